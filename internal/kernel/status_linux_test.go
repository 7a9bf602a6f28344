package kernel

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// cStructures returns the lines that testdata/status.c writes, by their first
// word.
func cStructures(t testing.TB) map[string]string {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler:", err)
	}
	if _, err := os.Stat("/usr/include/netinet/sctp.h"); err != nil {
		t.Skip("no libsctp-dev:", err)
	}
	program := filepath.Join(t.TempDir(), "status")
	if out, err := exec.Command("cc", "-Wall", "-o", program, "testdata/status.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(program).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		lines[name] = rest
	}
	return lines
}

func TestStatusLayouts(t *testing.T) {
	c := cStructures(t)
	structure := func(name string) []byte {
		t.Helper()
		b, err := hex.DecodeString(c[name])
		if err != nil || len(b) == 0 {
			t.Fatalf("%s: %q, %v", name, c[name], err)
		}
		return b
	}
	path := engine.Path{
		Addr:  netip.MustParseAddr("2001:db8::1"),
		State: engine.PathStatePotentiallyFailed,
		CWND:  11,
		SRTT:  12 * tick(),
		RTO:   13 * time.Millisecond,
		MTU:   14,
	}

	var info sctp.PeerAddrinfo
	b := structure("paddrinfo")
	if n, err := binary.Decode(b, binary.NativeEndian, &info); n != len(b) || err != nil || n != sizeofPathInfo {
		t.Errorf("sctp_paddrinfo has %d bytes, decoded %d, %v; want %d", len(b), n, err, sizeofPathInfo)
	}
	if got := newPath(&info); got != path {
		t.Errorf("sctp_paddrinfo: got %+v, want %+v", got, path)
	}

	var st sctp.Status
	b = structure("status")
	if n, err := binary.Decode(b, binary.NativeEndian, &st); n != len(b) || err != nil {
		t.Errorf("sctp_status has %d bytes, decoded %d, %v", len(b), n, err)
	}
	path.Primary = true
	want := engine.Status{
		State: engine.StateShutdownAckSent, PeerWindow: 21, Unacked: 22, Pending: 23,
		InStreams: 24, OutStreams: 25, FragmentationPoint: 26, Primary: path,
	}
	if got := newStatus(&st); got != want {
		t.Errorf("sctp_status: got %+v, want %+v", got, want)
	}

	wantStats := engine.Stats{
		MaxRTO: 30 * tick(), MaxRTOAddr: netip.MustParseAddr("192.0.2.1"),
		SACKsReceived: 31, SACKsSent: 32, PacketsSent: 33, PacketsReceived: 34,
		Retransmitted: 35, OutOfOrder: 36, Duplicates: 37, GapAcks: 38,
		UnorderedSent: 39, UnorderedReceived: 40, OrderedSent: 41, OrderedReceived: 42,
		ControlSent: 43, ControlReceived: 44,
	}
	b = structure("assoc_stats")
	if got, ok := parseStats(b); !ok || got != wantStats {
		t.Errorf("sctp_assoc_stats: got %+v, want %+v", got, wantStats)
	}
	if len(b) > sizeofAssocStats {
		t.Errorf("sctp_assoc_stats has %d bytes, more than %d", len(b), sizeofAssocStats)
	}
	// That of i386 has no padding anywhere.
	if runtime.GOARCH == "amd64" {
		packed := append(bytes.Clone(b[:4]), b[8:]...)
		if got, ok := parseStats(packed); !ok || got != wantStats {
			t.Errorf("sctp_assoc_stats, packed: got %+v, want %+v", got, wantStats)
		}
	}
	for n := range len(b) {
		parseStats(b[:n])
	}

	for name, ip := range map[string]string{"setprim": "192.0.2.1", "setpeerprim": "2001:db8::1"} {
		got, err := assocAddr(&engine.Addr{IPAddrs: one(net.IPAddr{IP: net.ParseIP(ip)}), Port: 3868})
		if want := structure(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, %v; want %x", name, got, err, want)
		}
	}

	for name, numbers := range map[string][]any{
		"options": {sctp.SCTP_STATUS, sctp.SCTP_GET_PEER_ADDR_INFO, optGetAssocStats, sctp.SCTP_PRIMARY_ADDR,
			sctp.SCTP_SET_PEER_PRIMARY_ADDR, sctp.SCTP_SOCKOPT_BINDX_ADD, sctp.SCTP_SOCKOPT_BINDX_REM,
			optASCONF.num, sctp.SCTP_ADDR_OVER},
		"states": {engine.StateClosed, engine.StateCookieWait, engine.StateCookieEchoed, engine.StateEstablished,
			engine.StateShutdownPending, engine.StateShutdownSent, engine.StateShutdownReceived, engine.StateShutdownAckSent},
		"paths": {0, 1, 2, 3}, // as newPath has them
	} {
		if got := strings.TrimSpace(fmt.Sprintln(numbers...)); got != c[name] {
			t.Errorf("%s: got %s, want %s", name, got, c[name])
		}
	}
}
