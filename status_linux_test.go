package sctpnet_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/testnet"
	"golang.org/x/sys/unix"
)

// second returns what github.com/ishidawataru/sctp makes of another descriptor
// of the same socket.
func second(t testing.TB, s socketer) *sctp.SCTPConn {
	t.Helper()
	var dup int
	control(t, s, func(fd int) (err error) {
		dup, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	t.Cleanup(func() { unix.Close(dup) })
	return sctp.NewSCTPConn(dup, nil)
}

// assocLine returns the columns of /proc/thread-self/net/sctp/assocs of the end of an
// association that has a local port.
func assocLine(t testing.TB, port int) []string {
	t.Helper()
	all := assocs(t)
	i := slices.IndexFunc(all, func(f []string) bool { return f[assocLocalPort] == strconv.Itoa(port) })
	if i < 0 {
		t.Fatalf("no port %d in %q", port, all)
	}
	return all[i]
}

func TestStatus(t *testing.T) {
	c, s := pipe(t, "sctp", "127.0.0.1/127.0.0.2:0")
	send(t, c, s, sctpnet.MsgInfo{}, 1000)
	for _, c := range []*sctpnet.Conn{c, s} {
		var st sctpnet.Status
		var raw *sctp.Status
		eventually(t, "nothing unacknowledged", func() bool {
			var err, err2 error
			st, err = c.Status()
			raw, err2 = second(t, c).GetStatus()
			if err := errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
			return st.Unacked == 0 && raw.Unackdata == 0
		})
		want := sctpnet.Status{
			State:              sctpnet.StateEstablished,
			OutStreams:         raw.Ostreams,
			InStreams:          raw.Instreams,
			Unacked:            int(raw.Unackdata),
			Pending:            int(raw.Penddata),
			LocalWindow:        int(field32(t, c, 1, 20, 12)), // of struct sctp_assocparams
			PeerWindow:         int(raw.RWND),
			FragmentationPoint: int(raw.FragmentationPoint),
			Primary: sctpnet.Path{
				Addr:    netip.MustParseAddr("127.0.0.1"),
				State:   sctpnet.PathStateActive,
				Primary: true,
				CWND:    int(raw.PrimaryPeerAddr.CWND),
				SRTT:    st.Primary.SRTT,
				RTO:     time.Duration(raw.PrimaryPeerAddr.RTO) * time.Millisecond,
				MTU:     int(raw.PrimaryPeerAddr.MTU),
			},
		}
		if st != want {
			t.Errorf("got  %+v\nwant %+v", st, want)
		}
		if st.LocalWindow == 0 || st.PeerWindow == 0 || st.FragmentationPoint == 0 || st.Primary.CWND == 0 || st.Primary.RTO == 0 || st.Primary.MTU == 0 {
			t.Errorf("zeros in %+v", st)
		}
		if f := assocLine(t, port(c.LocalAddr())); f[assocState] != "3" { // counted without the first of the states
			t.Errorf("state %s in /proc/thread-self/net/sctp/assocs", f[assocState])
		}
	}
}

func TestPaths(t *testing.T) {
	c, _ := pipe(t, "sctp", "127.0.0.1/127.0.0.2/127.0.0.3:0")
	if err := c.SetPrimary(netip.MustParseAddr("127.0.0.2")); err != nil {
		t.Fatal(err)
	}
	paths, err := c.Paths()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, p := range paths {
		got = append(got, p.Addr.String())
		if p.State != sctpnet.PathStateActive && p.State != sctpnet.PathStateUnconfirmed || p.Primary != (i == 0) ||
			p.CWND == 0 || p.RTO < 100*time.Millisecond || p.MTU < 1000 {
			t.Errorf("path %+v", p)
		}
	}
	slices.Sort(got[1:])
	if want := []string{"127.0.0.2", "127.0.0.1", "127.0.0.3"}; !slices.Equal(got, want) {
		t.Errorf("paths to %v, want %v", got, want)
	}
	// The kernel's table has RTOs in its own ticks, and the states.
	b, err := os.ReadFile("/proc/thread-self/net/sctp/remaddr")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		want := fmt.Sprint(2) // SCTP_ACTIVE
		if p.State == sctpnet.PathStateUnconfirmed {
			want = fmt.Sprint(3)
		}
		if !slices.ContainsFunc(strings.Split(string(b), "\n"), func(line string) bool {
			f := strings.Fields(line)
			return len(f) >= 8 && f[0] == p.Addr.String() && f[7] == want
		}) {
			t.Errorf("%+v is not in\n%s", p, b)
		}
	}
}

// A path whose address has gone is noticed by what is sent to it: a message, then
// heartbeats.
func TestPathStates(t *testing.T) {
	silentNet(t)
	for _, last := range []string{"11", "12"} {
		if err := ip("address add", "198.51.100."+last+"/24 dev", silentLink); err != nil {
			t.Fatal(err)
		}
	}
	sysctl(t, "path_max_retrans", "2")
	sysctl(t, "hb_interval", "200")
	sysctl(t, "rto_max", "1000")
	for _, expose := range []string{"0", "1", "2"} {
		if _, err := os.Stat("/proc/sys/net/sctp/pf_expose"); err == nil {
			sysctl(t, "pf_expose", expose)
		}
		c, s := pipe(t, "sctp", "198.51.100.11/198.51.100.12:0")
		send(t, c, s, sctpnet.MsgInfo{}, 1)
		second := netip.MustParseAddr("198.51.100.12")
		state := func() sctpnet.PathState {
			paths, err := c.Paths()
			if err != nil || len(paths) != 2 || paths[1].Addr != second {
				t.Fatalf("%+v, %v", paths, err)
			}
			return paths[1].State
		}
		eventually(t, "an active path", func() bool { return state() == sctpnet.PathStateActive })
		if err := ip("address delete 198.51.100.12/24 dev", silentLink); err != nil {
			t.Fatal(err)
		}
		seen := make(map[sctpnet.PathState]bool)
		if _, err := c.WriteMsg([]byte("x"), sctpnet.MsgInfo{To: second}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "an inactive path", func() bool {
			seen[state()] = true
			return seen[sctpnet.PathStateInactive]
		})
		if !seen[sctpnet.PathStatePotentiallyFailed] {
			t.Errorf("states seen: %v", seen)
		}
		if err := ip("address add 198.51.100.12/24 dev", silentLink); err != nil {
			t.Fatal(err)
		}
		c.Abort()
	}
}

// The kernel gives a round-trip time and the greatest timeout in ticks.
func TestPathTimes(t *testing.T) {
	needSCTP(t)
	needRoot(t)
	const delay = 100 * time.Millisecond
	if err := testnet.Own().Netem("lo", "delay 100ms"); err != nil {
		t.Skip("this kernel cannot delay packets: ", err)
	}
	defer testnet.Own().Heal("lo")
	d := &sctpnet.Dialer{Config: sctpnet.Config{KernelDefaults: true}} // RTO.Initial of 3 s
	ln := listen(t, "sctp", "127.0.0.1:0")
	c := dial(t, d, "sctp", ln.Addr().String())
	s := accept(t, ln)
	if st, err := c.Stats(); err != nil || st.MaxRTO < time.Second {
		t.Errorf("%+v, %v", st, err)
	}
	for range 3 {
		send(t, c, s, sctpnet.MsgInfo{}, 100)
		time.Sleep(3 * delay)
	}
	st, err := c.Status()
	if err != nil {
		t.Fatal(err)
	}
	// The delay, there and back; the acknowledgement may wait for 10 ms too, and
	// a busy machine makes it more.
	if got := st.Primary.SRTT; got < 2*delay-20*time.Millisecond || got > 50*delay {
		t.Errorf("a smoothed round-trip time of %v, want about %v", got, 2*delay)
	}
	if got := st.Primary.RTO; got < time.Second || got > 20*time.Second {
		t.Errorf("a retransmission timeout of %v", got)
	}
	c.Stats()
	stats, err := c.Stats()
	if err != nil || stats.MaxRTO < time.Second || stats.MaxRTO > max(time.Second, st.Primary.RTO) || stats.MaxRTOAddr != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("%+v, %v; want the least of 1 s", stats, err)
	}
}
