package sctpnet_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
	"golang.org/x/sys/unix"
)

const ms = time.Millisecond

// kernelAnswer asks an SCTP option of the kernel through a second descriptor.
// buf holds its C structure, with arguments in it.
func kernelAnswer(t testing.TB, s socketer, opt int, buf []byte) []byte {
	t.Helper()
	var second int
	control(t, s, func(fd int) (err error) {
		second, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	defer unix.Close(second)
	n := uint32(len(buf))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(second), sctp.SOL_SCTP, uintptr(opt),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		t.Fatalf("getsockopt %d: %v", opt, errno)
	}
	return buf[:n]
}

// field32 is a field of a C structure that an SCTP option has.
func field32(t testing.TB, s socketer, opt, size, offset int) uint32 {
	return binary.NativeEndian.Uint32(kernelAnswer(t, s, opt, make([]byte, size))[offset:])
}

func field16(t testing.TB, s socketer, opt, size, offset int) uint16 {
	return binary.NativeEndian.Uint16(kernelAnswer(t, s, opt, make([]byte, size))[offset:])
}

// Offsets in the structures that have a struct sockaddr_storage which is not
// packed.
const (
	wordSize = int(unsafe.Sizeof(uintptr(0)))
	afterSS  = wordSize + 128
	ssValues = (afterSS + 6 + wordSize - 1) / wordSize * wordSize
	encaps   = (afterSS + 2 + wordSize - 1) / wordSize * wordSize
)

// must returns a getter's value.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		return v
	}
}

// An optionTest sets one option, in a Config and by a setter, and compares what
// the getter and the kernel say.
type optionTest struct {
	name   string
	config sctpnet.Config                // nothing: there is none
	set    func(*sctpnet.Conn) error     // nil: there is none
	get    func(*sctpnet.Conn) any       // of what was set
	want   any                           // by get
	kernel func(socketer) any            // the C structure's fields
	answer any                           // by kernel
	skip   func(*testing.T) (why string) // where the kernel has no such option
}

var allPaths netip.Addr

func optionTests(t testing.TB) []optionTest {
	path := func(p sctpnet.PathParams) func(c *sctpnet.Conn) error {
		return func(c *sctpnet.Conn) error { return c.SetPathParams(allPaths, p) }
	}
	paths := func(keep func(sctpnet.PathParams) any) func(c *sctpnet.Conn) any {
		return func(c *sctpnet.Conn) any {
			p := must[sctpnet.PathParams](t)(c.PathParams(allPaths))
			one := must[sctpnet.PathParams](t)(c.PathParams(c.PeerAddrs()[0]))
			if keep(p) != keep(one) {
				t.Errorf("of one path %+v, of all %+v", one, p)
			}
			return keep(p)
		}
	}
	// struct sctp_paddrparams
	const spp, interval, maxrxt, mtu, flags, flow, dscp = 156, 132, 136, 138, 146, 150, 154
	rto := sctpnet.RTO{Initial: 400 * ms, Min: 60 * ms, Max: 8 * time.Second}
	sack := sctpnet.SACK{Delay: 60 * ms, Frequency: 5}
	return []optionTest{
		{
			name:   "RTO",
			config: sctpnet.Config{RTO: rto},
			set:    func(c *sctpnet.Conn) error { return c.SetRTO(rto) },
			get:    func(c *sctpnet.Conn) any { return must[sctpnet.RTO](t)(c.RTO()) },
			want:   rto,
			kernel: func(s socketer) any {
				return [3]uint32{field32(t, s, 0, 16, 4), field32(t, s, 0, 16, 8), field32(t, s, 0, 16, 12)}
			},
			answer: [3]uint32{400, 8000, 60},
		},
		{
			name:   "association retransmissions",
			config: sctpnet.Config{AssocParams: sctpnet.AssocParams{MaxRetransmissions: 3}},
			set: func(c *sctpnet.Conn) error {
				return c.SetAssocParams(sctpnet.AssocParams{MaxRetransmissions: 3})
			},
			get: func(c *sctpnet.Conn) any {
				p := must[sctpnet.AssocParams](t)(c.AssocParams())
				if p.LocalWindow <= 0 || p.PeerWindow <= 0 {
					t.Errorf("windows of %+v", p)
				}
				return p.MaxRetransmissions
			},
			want:   3,
			kernel: func(s socketer) any { return field16(t, s, 1, 20, 4) },
			answer: uint16(3),
		},
		{
			name:   "cookie life",
			config: sctpnet.Config{AssocParams: sctpnet.AssocParams{CookieLife: 5 * time.Second}},
			set: func(c *sctpnet.Conn) error {
				return c.SetAssocParams(sctpnet.AssocParams{CookieLife: 5 * time.Second})
			},
			get:    func(c *sctpnet.Conn) any { return must[sctpnet.AssocParams](t)(c.AssocParams()).CookieLife },
			want:   5 * time.Second,
			kernel: func(s socketer) any { return field32(t, s, 1, 20, 16) },
			answer: uint32(5000),
		},
		{
			name:   "heartbeat interval",
			config: sctpnet.Config{PathParams: sctpnet.PathParams{HeartbeatInterval: 2 * time.Second}},
			set:    path(sctpnet.PathParams{HeartbeatInterval: 2 * time.Second}),
			get:    paths(func(p sctpnet.PathParams) any { return p.HeartbeatInterval }),
			want:   2 * time.Second,
			kernel: func(s socketer) any {
				return [2]uint32{field32(t, s, 9, spp, interval), field32(t, s, 9, spp, flags) & 3}
			},
			answer: [2]uint32{2000, 1},
		},
		{
			name:   "no heartbeat",
			config: sctpnet.Config{PathParams: sctpnet.PathParams{NoHeartbeat: true}},
			set:    path(sctpnet.PathParams{NoHeartbeat: true}),
			get:    paths(func(p sctpnet.PathParams) any { return p.NoHeartbeat }),
			want:   true,
			kernel: func(s socketer) any { return field32(t, s, 9, spp, flags) & 3 },
			answer: uint32(2),
		},
		{
			name:   "path retransmissions",
			config: sctpnet.Config{PathParams: sctpnet.PathParams{MaxRetransmissions: 7}},
			set:    path(sctpnet.PathParams{MaxRetransmissions: 7}),
			get:    paths(func(p sctpnet.PathParams) any { return p.MaxRetransmissions }),
			want:   7,
			kernel: func(s socketer) any { return field16(t, s, 9, spp, maxrxt) },
			answer: uint16(7),
		},
		{
			name:   "fixed path MTU",
			config: sctpnet.Config{PathParams: sctpnet.PathParams{MTU: 1200}},
			set:    path(sctpnet.PathParams{MTU: 1200}),
			get: paths(func(p sctpnet.PathParams) any {
				return sctpnet.PathParams{MTU: p.MTU, DiscoverMTU: p.DiscoverMTU}
			}),
			want: sctpnet.PathParams{MTU: 1200},
			kernel: func(s socketer) any {
				return [2]uint32{field32(t, s, 9, spp, mtu), field32(t, s, 9, spp, flags) & 0x18}
			},
			answer: [2]uint32{1200, 0x10},
		},
		{
			name:   "path MTU discovery",
			config: sctpnet.Config{PathParams: sctpnet.PathParams{DiscoverMTU: true}},
			set:    path(sctpnet.PathParams{DiscoverMTU: true}),
			get:    paths(func(p sctpnet.PathParams) any { return p.DiscoverMTU && p.MTU > 0 }),
			want:   true,
			kernel: func(s socketer) any { return field32(t, s, 9, spp, flags) & 0x18 },
			answer: uint32(8),
		},
		{
			name:   "DSCP",
			config: sctpnet.Config{PathParams: sctpnet.PathParams{DSCP: 46}},
			set:    path(sctpnet.PathParams{DSCP: 46}),
			get:    paths(func(p sctpnet.PathParams) any { return p.DSCP }),
			want:   46,
			kernel: func(s socketer) any { return kernelAnswer(t, s, 9, make([]byte, spp))[dscp] },
			answer: uint8(46 << 2),
		},
		{
			name:   "thresholds",
			config: sctpnet.Config{PathParams: sctpnet.PathParams{PotentiallyFailed: 2, PrimarySwitchover: 4}},
			set:    path(sctpnet.PathParams{PotentiallyFailed: 2, PrimarySwitchover: 4}),
			get:    paths(func(p sctpnet.PathParams) any { return [2]int{p.PotentiallyFailed, p.PrimarySwitchover} }),
			want:   [2]int{2, 4},
			kernel: func(s socketer) any {
				return [2]uint16{field16(t, s, 37, ssValues, afterSS+2), field16(t, s, 37, ssValues, afterSS+4)}
			},
			answer: [2]uint16{2, 4},
		},
		{
			name:   "UDP port",
			config: sctpnet.Config{}, // packets would not arrive
			set:    path(sctpnet.PathParams{UDPPort: 9899}),
			get:    paths(func(p sctpnet.PathParams) any { return p.UDPPort }),
			want:   9899,
			kernel: func(s socketer) any {
				return binary.BigEndian.Uint16(kernelAnswer(t, s, 132, make([]byte, encaps))[afterSS:])
			},
			answer: uint16(9899),
		},
		{
			name:   "SACK",
			config: sctpnet.Config{SACK: sack},
			set:    func(c *sctpnet.Conn) error { return c.SetSACK(sack) },
			get:    func(c *sctpnet.Conn) any { return must[sctpnet.SACK](t)(c.SACK()) },
			want:   sack,
			kernel: func(s socketer) any { return [2]uint32{field32(t, s, 16, 12, 4), field32(t, s, 16, 12, 8)} },
			answer: [2]uint32{60, 5},
		},
		{
			name:   "SACK of each packet",
			config: sctpnet.Config{SACK: sctpnet.SACK{Frequency: 1}},
			set:    func(c *sctpnet.Conn) error { return c.SetSACK(sctpnet.SACK{Frequency: 1}) },
			get:    func(c *sctpnet.Conn) any { return must[sctpnet.SACK](t)(c.SACK()) },
			want:   sctpnet.SACK{Frequency: 1},
			kernel: func(s socketer) any { return [2]uint32{field32(t, s, 16, 12, 4), field32(t, s, 16, 12, 8)} },
			answer: [2]uint32{0, 1},
		},
		{
			name:   "Nagle",
			config: sctpnet.Config{Nagle: true},
			set:    func(c *sctpnet.Conn) error { return c.SetNoDelay(false) },
			get:    func(c *sctpnet.Conn) any { return must[bool](t)(c.NoDelay()) },
			want:   false,
			kernel: func(s socketer) any { return field32(t, s, 3, 4, 0) },
			answer: uint32(0),
		},
		{
			name:   "read buffer",
			config: sctpnet.Config{ReadBuffer: 50000},
			set:    func(c *sctpnet.Conn) error { return c.SetReadBuffer(50000) },
			get:    func(c *sctpnet.Conn) any { return must[int](t)(c.ReadBuffer()) },
			want:   100000,
			kernel: func(s socketer) any { return getsockopt(t, s, unix.SOL_SOCKET, unix.SO_RCVBUF) },
			answer: 100000,
		},
		{
			name:   "write buffer",
			config: sctpnet.Config{WriteBuffer: 60000},
			set:    func(c *sctpnet.Conn) error { return c.SetWriteBuffer(60000) },
			get:    func(c *sctpnet.Conn) any { return must[int](t)(c.WriteBuffer()) },
			want:   120000,
			kernel: func(s socketer) any { return getsockopt(t, s, unix.SOL_SOCKET, unix.SO_SNDBUF) },
			answer: 120000,
		},
		{
			name:   "max segment",
			config: sctpnet.Config{MaxSegment: 1000},
			set:    func(c *sctpnet.Conn) error { return c.SetMaxSegment(1000) },
			get:    func(c *sctpnet.Conn) any { return must[int](t)(c.MaxSegment()) },
			want:   1000,
			kernel: func(s socketer) any { return field32(t, s, 13, 8, 4) },
			answer: uint32(1000),
		},
		{
			name:   "max burst",
			config: sctpnet.Config{MaxBurst: 9},
			set:    func(c *sctpnet.Conn) error { return c.SetMaxBurst(9) },
			get:    func(c *sctpnet.Conn) any { return must[int](t)(c.MaxBurst()) },
			want:   9,
			kernel: func(s socketer) any { return field32(t, s, 20, 8, 4) },
			answer: uint32(9),
		},
		{
			name:   "no max burst",
			config: sctpnet.Config{MaxBurst: -1},
			set:    func(c *sctpnet.Conn) error { return c.SetMaxBurst(-1) },
			get:    func(c *sctpnet.Conn) any { return must[int](t)(c.MaxBurst()) },
			want:   0,
			kernel: func(s socketer) any { return field32(t, s, 20, 8, 4) },
			answer: uint32(0),
		},
		{
			name:   "adaptation",
			config: sctpnet.Config{Adaptation: 0x01020304},
			get:    func(c *sctpnet.Conn) any { return must[uint32](t)(c.Adaptation()) },
			want:   uint32(0x01020304),
			kernel: func(s socketer) any { return field32(t, s, 7, 4, 0) },
			answer: uint32(0x01020304),
		},
		reliabilityTest(t, sctpnet.PartialReliability{Policy: sctpnet.TimedReliability, Lifetime: 3 * time.Second}, 3000, 0x10),
		reliabilityTest(t, sctpnet.PartialReliability{Policy: sctpnet.LimitedRetransmissions, Retransmissions: 2}, 2, 0x20),
		reliabilityTest(t, sctpnet.PartialReliability{Policy: sctpnet.PriorityReliability, Priority: 77}, 77, 0x30),
		schedulerTest(t, sctpnet.SchedulerPriority),
		schedulerTest(t, sctpnet.SchedulerRoundRobin),
		schedulerTest(t, sctpnet.SchedulerFair),
		schedulerTest(t, sctpnet.SchedulerWeighted),
		{
			name: "stream value",
			set: func(c *sctpnet.Conn) error {
				if err := c.SetScheduler(sctpnet.SchedulerPriority); err != nil {
					return err
				}
				return c.SetStreamValue(3, 500)
			},
			get:  func(c *sctpnet.Conn) any { return must[uint16](t)(c.StreamValue(3)) },
			want: uint16(500),
			kernel: func(s socketer) any {
				b := make([]byte, 8)
				binary.NativeEndian.PutUint16(b[4:], 3)
				return binary.NativeEndian.Uint16(kernelAnswer(t, s, 124, b)[6:])
			},
			answer: uint16(500),
		},
		{
			name:   "fragment interleave",
			config: sctpnet.Config{FragmentInterleave: 2},
			set:    func(c *sctpnet.Conn) error { return c.SetFragmentInterleave(2) },
			get:    func(c *sctpnet.Conn) any { return must[int](t)(c.FragmentInterleave()) > 0 },
			want:   true,
			kernel: func(s socketer) any { return field32(t, s, 18, 4, 0) > 0 },
			answer: true,
		},
		{
			name:   "partial delivery point",
			config: sctpnet.Config{PartialDeliveryPoint: 4000},
			set:    func(c *sctpnet.Conn) error { return c.SetPartialDeliveryPoint(4000) },
			get:    func(c *sctpnet.Conn) any { return must[int](t)(c.PartialDeliveryPoint()) },
			want:   4000,
			kernel: func(s socketer) any { return field32(t, s, 19, 4, 0) },
			answer: uint32(4000),
		},
		featureTest(t, "no partial reliability", sctpnet.Config{NoPartialReliability: true}, 113, 0,
			func(f sctpnet.Features) bool { return !f.PartialReliability }),
		featureTest(t, "no ECN", sctpnet.Config{NoECN: true}, 130, 0,
			func(f sctpnet.Features) bool { return !f.ECN }),
		featureTest(t, "authentication", sctpnet.Config{Auth: &sctpnet.Auth{}}, 129, 1,
			func(f sctpnet.Features) bool { return f.Auth && !f.AddressReconfig }),
		featureTest(t, "address reconfiguration", sctpnet.Config{AddressReconfig: true}, 128, 1,
			func(f sctpnet.Features) bool { return f.Auth && f.AddressReconfig }),
		featureTest(t, "defaults", sctpnet.Config{OutStreams: 20}, 117, 1, func(f sctpnet.Features) bool {
			return f == sctpnet.Features{PartialReliability: true, StreamReconfig: true, ECN: true}
		}),
	}
}

func reliabilityTest(t testing.TB, p sctpnet.PartialReliability, value uint32, policy uint16) optionTest {
	return optionTest{
		name:   "partial reliability " + p.Policy.String(),
		config: sctpnet.Config{PartialReliability: p},
		set:    func(c *sctpnet.Conn) error { return c.SetPartialReliability(p) },
		get:    func(c *sctpnet.Conn) any { return must[sctpnet.PartialReliability](t)(c.PartialReliability()) },
		want:   p,
		kernel: func(s socketer) any {
			return [2]uint32{field32(t, s, 114, 12, 4), uint32(field16(t, s, 114, 12, 8))}
		},
		answer: [2]uint32{value, uint32(policy)},
	}
}

func schedulerTest(t testing.TB, s sctpnet.Scheduler) optionTest {
	return optionTest{
		name:   "scheduler " + s.String(),
		config: sctpnet.Config{Scheduler: s},
		set:    func(c *sctpnet.Conn) error { return c.SetScheduler(s) },
		get:    func(c *sctpnet.Conn) any { return must[sctpnet.Scheduler](t)(c.Scheduler()) },
		want:   s,
		kernel: func(k socketer) any { return field32(t, k, 123, 8, 4) },
		answer: uint32(s),
		skip: func(*testing.T) string {
			if s > sctpnet.SchedulerRoundRobin && !hasScheduler(t, s) {
				return "this kernel has no such scheduler"
			}
			return ""
		},
	}
}

// hasScheduler asks a socket that this package has not touched.
func hasScheduler(t testing.TB, s sctpnet.Scheduler) bool {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	b := make([]byte, 8)
	binary.NativeEndian.PutUint32(b[4:], uint32(s))
	return unix.SetsockoptString(fd, sctp.SOL_SCTP, 123, string(b)) == nil
}

func featureTest(t testing.TB, name string, config sctpnet.Config, opt int, answer uint32, ok func(sctpnet.Features) bool) optionTest {
	return optionTest{
		name:   name,
		config: config,
		get:    func(c *sctpnet.Conn) any { return ok(must[sctpnet.Features](t)(c.Features())) },
		want:   true,
		kernel: func(s socketer) any { return field32(t, s, opt, 8, 4) },
		answer: answer,
	}
}

// TestOptions sets each option and reads it back, through the getter and from
// the kernel.
func TestOptions(t *testing.T) {
	check := func(t *testing.T, tt optionTest, end string, c *sctpnet.Conn) {
		t.Helper()
		if got := tt.get(c); got != tt.want {
			t.Errorf("%s: %+v, want %+v", end, got, tt.want)
		}
		if got := tt.kernel(c); got != tt.answer {
			t.Errorf("%s: the kernel says %v, want %v", end, got, tt.answer)
		}
	}
	for _, tt := range optionTests(t) {
		t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
			needSCTP(t)
			if tt.skip != nil {
				if why := tt.skip(t); why != "" {
					t.Skip(why)
				}
			}
			for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
				if !reflect.ValueOf(tt.config).IsZero() {
					c, s := configured(t, address, tt.config, tt.config)
					check(t, tt, "Config, client "+address, c)
					check(t, tt, "Config, server "+address, s)
					works(t, c, s)
				}
				if tt.set != nil {
					c, s := configured(t, address, sctpnet.Config{}, sctpnet.Config{})
					if got := tt.kernel(s); tt.name != "stream value" && got == tt.answer {
						t.Errorf("it is %v without being set", got)
					}
					for end, conn := range map[string]*sctpnet.Conn{"client ": c, "server ": s} {
						if err := tt.set(conn); err != nil {
							t.Errorf("%s: %v", end, err)
						}
						check(t, tt, "setter, "+end+address, conn)
					}
					if tt.name != "UDP port" {
						works(t, c, s)
					}
				}
			}
		})
	}
}

// works sends a message each way, of more than one packet where that is
// small.
func works(t testing.TB, a, b *sctpnet.Conn) {
	t.Helper()
	watchdog(t, func() {
		for _, p := range [][2]*sctpnet.Conn{{a, b}, {b, a}} {
			want := bytes.Repeat([]byte("0123456789"), 300)
			if _, err := p[0].Write(want); err != nil {
				t.Error(err)
				return
			}
			got := make([]byte, len(want))
			if _, err := io.ReadFull(p[1], got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
		}
	})
}

// TestOptionOfOnePath sets the parameters of one of two paths.
func TestOptionOfOnePath(t *testing.T) {
	c, _ := pipe(t, "sctp", "127.0.0.1/127.0.0.2:0")
	addrs := c.PeerAddrs()
	if len(addrs) != 2 {
		t.Fatalf("the peer's addresses are %v", addrs)
	}
	set := sctpnet.PathParams{HeartbeatInterval: 3 * time.Second, MaxRetransmissions: 9, MTU: 1400,
		PotentiallyFailed: 3, PrimarySwitchover: 5, DSCP: 10, UDPPort: 4444}
	if err := c.SetPathParams(addrs[1], set); err != nil {
		t.Fatal(err)
	}
	if got := must[sctpnet.PathParams](t)(c.PathParams(addrs[1])); got != set {
		t.Errorf("%+v, want %+v", got, set)
	}
	other := must[sctpnet.PathParams](t)(c.PathParams(addrs[0]))
	if other.MaxRetransmissions == 9 || other.MTU == 1400 || other.DSCP == 10 || other.UDPPort == 4444 || other.PotentiallyFailed == 3 {
		t.Errorf("the other path has it too: %+v", other)
	}
	// Back, and negative numbers for zero.
	if err := c.SetPathParams(addrs[1], sctpnet.PathParams{PotentiallyFailed: -1, DSCP: -1, UDPPort: -1}); err != nil {
		t.Fatal(err)
	}
	set.PotentiallyFailed, set.DSCP, set.UDPPort = 0, 0, 0
	if got := must[sctpnet.PathParams](t)(c.PathParams(addrs[1])); got != set {
		t.Errorf("%+v, want %+v", got, set)
	}
	// What a getter returned changes nothing.
	if err := c.SetPathParams(addrs[1], set); err != nil {
		t.Fatal(err)
	}
	if got := must[sctpnet.PathParams](t)(c.PathParams(addrs[1])); got != set {
		t.Errorf("%+v, want %+v", got, set)
	}
	for _, a := range []netip.Addr{addrs[0], allPaths} {
		if err := c.Heartbeat(a); err != nil {
			t.Errorf("heartbeat to %v: %v", a, err)
		}
	}
	// No such thing.
	for _, addr := range []string{"127.0.0.3", "::1", "192.0.2.1", "fe80::1%lo", "fe80::1%nosuchif"} {
		a := netip.MustParseAddr(addr)
		_, gerr := c.PathParams(a)
		for what, err := range map[string]error{"set": c.SetPathParams(a, set), "get": gerr, "heartbeat": c.Heartbeat(a)} {
			if err == nil || !strings.Contains(err.Error(), "not an address of the peer") || !strings.Contains(err.Error(), addr[:3]) {
				t.Errorf("%s of %s: %v", what, addr, err)
			}
		}
	}
	// The association goes on.
	if err := c.SetRTO(sctpnet.RTO{Min: 400 * ms}); err != nil {
		t.Error(err)
	}
}

// TestOptionOfMixedPaths sets the parameters of an IPv4 and an IPv6 path of one
// association.
func TestOptionOfMixedPaths(t *testing.T) {
	c, _ := pipe(t, "sctp", "127.0.0.1/[::1]:0")
	addrs := c.PeerAddrs()
	if len(addrs) != 2 {
		t.Fatalf("the peer's addresses are %v", addrs)
	}
	for i, a := range addrs {
		set := sctpnet.PathParams{MaxRetransmissions: 11 + i, UDPPort: 1000 + i}
		want := set
		if a.Is6() {
			set.FlowLabel = 0x12345
			want.FlowLabel = 0x12345
		}
		if err := c.SetPathParams(a, set); err != nil {
			t.Fatal(err)
		}
		p := must[sctpnet.PathParams](t)(c.PathParams(a))
		if got := (sctpnet.PathParams{MaxRetransmissions: p.MaxRetransmissions, UDPPort: p.UDPPort, FlowLabel: p.FlowLabel}); got != want {
			t.Errorf("%v: %+v, want %+v", a, got, want)
		}
	}
	if p := must[sctpnet.PathParams](t)(c.PathParams(netip.MustParseAddr("::ffff:127.0.0.1"))); p.MaxRetransmissions != 11 && p.MaxRetransmissions != 12 {
		t.Errorf("mapped IPv4: %+v", p)
	}
}

// TestOptionsOutOfRange checks what is refused before any system call.
func TestOptionsOutOfRange(t *testing.T) {
	c, s := pipe(t, "sctp", "127.0.0.1:0")
	type path = sctpnet.PathParams
	for _, tt := range []struct {
		names  []string // what the error names: option, value and range
		config *sctpnet.Config
		set    func() error
	}{
		{[]string{"RTO.Initial", "-1s", "1ms", "24h"}, &sctpnet.Config{RTO: sctpnet.RTO{Initial: -time.Second}},
			func() error { return c.SetRTO(sctpnet.RTO{Initial: -time.Second}) }},
		{[]string{"RTO.Min", "1µs", "1ms", "24h"}, &sctpnet.Config{RTO: sctpnet.RTO{Min: time.Microsecond}},
			func() error { return c.SetRTO(sctpnet.RTO{Min: time.Microsecond}) }},
		{[]string{"RTO.Max", "25h", "1ms", "24h"}, &sctpnet.Config{RTO: sctpnet.RTO{Max: 25 * time.Hour}},
			func() error { return c.SetRTO(sctpnet.RTO{Max: 25 * time.Hour}) }},
		{[]string{"RTO.Min", "2s", "1s", "RTO.Max"}, &sctpnet.Config{RTO: sctpnet.RTO{Min: 2 * time.Second, Max: time.Second}},
			func() error { return c.SetRTO(sctpnet.RTO{Min: 2 * time.Second, Max: time.Second}) }},
		{[]string{"RTO.Min", "2m", "1m", "RTO.Max"}, &sctpnet.Config{RTO: sctpnet.RTO{Min: 2 * time.Minute}},
			func() error { return c.SetRTO(sctpnet.RTO{Min: 2 * time.Minute}) }},
		{[]string{"RTO.Min", "20ms", "RTO.Max"}, nil,
			func() error { return c.SetRTO(sctpnet.RTO{Max: 20 * ms}) }},
		{[]string{"MaxRetransmissions", "65536", "1 to 65535"}, &sctpnet.Config{AssocParams: sctpnet.AssocParams{MaxRetransmissions: 65536}},
			func() error { return c.SetAssocParams(sctpnet.AssocParams{MaxRetransmissions: 65536}) }},
		{[]string{"CookieLife", "-1ns", "1ms"}, &sctpnet.Config{AssocParams: sctpnet.AssocParams{CookieLife: -1}},
			func() error { return c.SetAssocParams(sctpnet.AssocParams{CookieLife: -1}) }},
		{[]string{"HeartbeatInterval", "-1s", "1ms", "24h"}, &sctpnet.Config{PathParams: path{HeartbeatInterval: -time.Second}},
			func() error { return c.SetPathParams(allPaths, path{HeartbeatInterval: -time.Second}) }},
		{[]string{"PathParams.MaxRetransmissions", "-2", "65535"}, &sctpnet.Config{PathParams: path{MaxRetransmissions: -2}},
			func() error { return c.SetPathParams(allPaths, path{MaxRetransmissions: -2}) }},
		{[]string{"PotentiallyFailed", "70000", "65535"}, &sctpnet.Config{PathParams: path{PotentiallyFailed: 70000}},
			func() error { return c.SetPathParams(allPaths, path{PotentiallyFailed: 70000}) }},
		{[]string{"PrimarySwitchover", "-1", "65535"}, &sctpnet.Config{PathParams: path{PrimarySwitchover: -1}},
			func() error { return c.SetPathParams(allPaths, path{PrimarySwitchover: -1}) }},
		{[]string{"PotentiallyFailed", "5", "PrimarySwitchover, 4"}, &sctpnet.Config{PathParams: path{PotentiallyFailed: 5, PrimarySwitchover: 4}},
			func() error { return c.SetPathParams(allPaths, path{PotentiallyFailed: 5, PrimarySwitchover: 4}) }},
		{[]string{"MTU", "511", "512 to 65535"}, &sctpnet.Config{PathParams: path{MTU: 511}},
			func() error { return c.SetPathParams(allPaths, path{MTU: 511}) }},
		{[]string{"DSCP", "64", "63"}, &sctpnet.Config{PathParams: path{DSCP: 64}},
			func() error { return c.SetPathParams(allPaths, path{DSCP: 64}) }},
		{[]string{"FlowLabel", "1048576", "1048575"}, &sctpnet.Config{PathParams: path{FlowLabel: 1 << 20}},
			func() error { return c.SetPathParams(allPaths, path{FlowLabel: 1 << 20}) }},
		{[]string{"UDPPort", "65536", "65535"}, &sctpnet.Config{PathParams: path{UDPPort: 65536}},
			func() error { return c.SetPathParams(allPaths, path{UDPPort: 65536}) }},
		{[]string{"SACK.Delay", "501ms", "1ms to 500ms"}, &sctpnet.Config{SACK: sctpnet.SACK{Delay: 501 * ms}},
			func() error { return c.SetSACK(sctpnet.SACK{Delay: 501 * ms}) }},
		{[]string{"SACK.Frequency", "-1", "1 to 65535"}, &sctpnet.Config{SACK: sctpnet.SACK{Frequency: -1}},
			func() error { return c.SetSACK(sctpnet.SACK{Frequency: -1}) }},
		{[]string{"MaxSegment", "439", "440 to 65516"}, &sctpnet.Config{MaxSegment: 439},
			func() error { return c.SetMaxSegment(439) }},
		{[]string{"MaxBurst", "65536", "65535"}, &sctpnet.Config{MaxBurst: 65536},
			func() error { return c.SetMaxBurst(65536) }},
		{[]string{"ReadBuffer", "-1", "2147483647"}, &sctpnet.Config{ReadBuffer: -1}, nil},
		{[]string{"WriteBuffer", "-1", "2147483647"}, &sctpnet.Config{WriteBuffer: -1}, nil},
		{[]string{"PartialReliability.Lifetime", "0s", "1ms"}, &sctpnet.Config{PartialReliability: sctpnet.PartialReliability{Policy: sctpnet.TimedReliability}},
			func() error {
				return c.SetPartialReliability(sctpnet.PartialReliability{Policy: sctpnet.TimedReliability})
			}},
		{[]string{"PartialReliability.Policy", "9", "0 to 3"}, &sctpnet.Config{PartialReliability: sctpnet.PartialReliability{Policy: 9}},
			func() error { return c.SetPartialReliability(sctpnet.PartialReliability{Policy: 9}) }},
		{[]string{"Scheduler", "5", "0 to 4"}, &sctpnet.Config{Scheduler: 5},
			func() error { return c.SetScheduler(5) }},
		{[]string{"FragmentInterleave", "3", "0 to 2"}, &sctpnet.Config{FragmentInterleave: 3},
			func() error { return c.SetFragmentInterleave(3) }},
		{[]string{"PartialDeliveryPoint", "-4", "2147483647"}, &sctpnet.Config{PartialDeliveryPoint: -4},
			func() error { return c.SetPartialDeliveryPoint(-4) }},
		{[]string{"partial delivery point", "2147483647", "0 to", "half the read buffer"}, nil,
			func() error { return c.SetPartialDeliveryPoint(1<<31 - 1) }},
		{[]string{"stream 64", "0 to 63"}, nil, func() error { return c.SetStreamValue(64, 1) }},
		{[]string{"stream 64", "0 to 63"}, nil, func() error { _, err := c.StreamValue(64); return err }},
		{[]string{"outgoing streams", "-1", "0 to 65471"}, nil, func() error { return c.AddStreams(-1, 0) }},
		{[]string{"incoming streams", "65472", "0 to 65471"}, nil, func() error { return c.AddStreams(0, 65472) }},
		{[]string{"AuthKey.Secret", "0 bytes", "1 to 65535"}, &sctpnet.Config{Auth: &sctpnet.Auth{Keys: []sctpnet.AuthKey{{ID: 1}}}},
			func() error { return c.SetAuthKey(sctpnet.AuthKey{ID: 1}) }},
		{[]string{"Auth.Chunks", "is 1;", "INIT"}, &sctpnet.Config{Auth: &sctpnet.Auth{Chunks: []uint8{0, 1}}}, nil},
		{[]string{"Auth.Chunks", "21 types", "20"}, &sctpnet.Config{Auth: &sctpnet.Auth{Chunks: make([]uint8, 21)}}, nil},
		{[]string{"Auth.HMACs", "2", "1 (SHA-1)"}, &sctpnet.Config{Auth: &sctpnet.Auth{HMACs: []uint16{2}}}, nil},
		{[]string{"Auth.HMACs", "[3]", "1 (SHA-1), which must be there"}, &sctpnet.Config{Auth: &sctpnet.Auth{HMACs: []uint16{3}}}, nil},
		{[]string{"Auth.Active", "7", "Keys"}, &sctpnet.Config{Auth: &sctpnet.Auth{Active: 7}}, nil},
	} {
		errs := make(map[string]error)
		if tt.set != nil {
			errs["set"] = tt.set()
		}
		if tt.config != nil {
			_, errs["Config"] = (&sctpnet.Dialer{Config: *tt.config}).Dial("sctp", s.LocalAddr().String())
		}
		for what, err := range errs {
			var op *net.OpError
			if err == nil || !errors.As(err, &op) {
				t.Errorf("%s of %v: %v, want a *net.OpError", what, tt.names, err)
				continue
			}
			for _, name := range tt.names {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%s: %q does not say %q", what, err, name)
				}
			}
		}
	}
	works(t, c, s)
}

// setters are all of a Conn's setters and getters here.
func setters(c *sctpnet.Conn) map[string]func() error {
	m := map[string]func() error{
		"SetRTO":                  func() error { return c.SetRTO(sctpnet.RTO{Min: time.Second}) },
		"SetAssocParams":          func() error { return c.SetAssocParams(sctpnet.AssocParams{MaxRetransmissions: 3}) },
		"SetPathParams":           func() error { return c.SetPathParams(allPaths, sctpnet.PathParams{MTU: 1000}) },
		"Heartbeat":               func() error { return c.Heartbeat(allPaths) },
		"SetSACK":                 func() error { return c.SetSACK(sctpnet.SACK{Frequency: 1}) },
		"SetMaxSegment":           func() error { return c.SetMaxSegment(1000) },
		"SetMaxBurst":             func() error { return c.SetMaxBurst(0) },
		"SetPartialReliability":   func() error { return c.SetPartialReliability(sctpnet.PartialReliability{}) },
		"SetScheduler":            func() error { return c.SetScheduler(sctpnet.SchedulerPriority) },
		"SetStreamValue":          func() error { return c.SetStreamValue(1, 2) },
		"SetFragmentInterleave":   func() error { return c.SetFragmentInterleave(1) },
		"SetPartialDeliveryPoint": func() error { return c.SetPartialDeliveryPoint(1000) },
		"AddStreams":              func() error { return c.AddStreams(1, 1) },
		"ResetAssociation":        func() error { return c.ResetAssociation() },
		"SetAuthKey":              func() error { return c.SetAuthKey(sctpnet.AuthKey{ID: 1, Secret: []byte("x")}) },
		"ActivateAuthKey":         func() error { return c.ActivateAuthKey(1) },
		"DeactivateAuthKey":       func() error { return c.DeactivateAuthKey(1) },
		"DeleteAuthKey":           func() error { return c.DeleteAuthKey(1) },
		"SetNoDelay":              func() error { return c.SetNoDelay(true) },
		"SetReadBuffer":           func() error { return c.SetReadBuffer(10000) },
		"SetWriteBuffer":          func() error { return c.SetWriteBuffer(10000) },
		"SetLinger":               func() error { return c.SetLinger(1) },
	}
	getter(m, "RTO", c.RTO)
	getter(m, "AssocParams", c.AssocParams)
	getter(m, "PathParams", func() (sctpnet.PathParams, error) { return c.PathParams(allPaths) })
	getter(m, "PathParams of one", func() (sctpnet.PathParams, error) { return c.PathParams(netip.MustParseAddr("127.0.0.1")) })
	getter(m, "SACK", c.SACK)
	getter(m, "NoDelay", c.NoDelay)
	getter(m, "ReadBuffer", c.ReadBuffer)
	getter(m, "WriteBuffer", c.WriteBuffer)
	getter(m, "MaxSegment", c.MaxSegment)
	getter(m, "MaxBurst", c.MaxBurst)
	getter(m, "PartialReliability", c.PartialReliability)
	getter(m, "Scheduler", c.Scheduler)
	getter(m, "StreamValue", func() (uint16, error) { return c.StreamValue(1) })
	getter(m, "FragmentInterleave", c.FragmentInterleave)
	getter(m, "PartialDeliveryPoint", c.PartialDeliveryPoint)
	getter(m, "Adaptation", c.Adaptation)
	getter(m, "Features", c.Features)
	getter(m, "AuthState", c.AuthState)
	return m
}

func getter[T any](m map[string]func() error, name string, get func() (T, error)) {
	m[name] = func() error { _, err := get(); return err }
}

func TestOptionsAfterClose(t *testing.T) {
	c, _ := pipe(t, "sctp", "127.0.0.1:0")
	c.Close()
	for name, f := range setters(c) {
		err := f()
		var op *net.OpError
		if !errors.As(err, &op) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v, want net.ErrClosed in a *net.OpError", name, err)
		} else if strings.HasPrefix(name, "Set") && op.Op != "set" {
			t.Errorf("%s: Op is %q", name, op.Op)
		}
	}
	for name, f := range setters(nil) {
		if err := f(); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s of a nil Conn: %v, want EINVAL", name, err)
		}
	}
}

// TestOptionsAfterEnd checks that nothing panics or hangs once the peer is gone.
func TestOptionsAfterEnd(t *testing.T) {
	c, s := pipe(t, "sctp", "127.0.0.1:0")
	s.Abort()
	watchdog(t, func() {
		c.Read(make([]byte, 1))
		for name, f := range setters(c) {
			if err := f(); errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestOptionsUnsupported checks what the kernel or the peer lacks.
func TestOptionsUnsupported(t *testing.T) {
	c, s := pipe(t, "sctp", "127.0.0.1:0")
	unsupported := func(what string, err error, names ...string) {
		t.Helper()
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v, want ErrUnsupported", what, err)
			return
		}
		for _, name := range names {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %q does not say %s", what, err, name)
			}
		}
	}
	for _, sched := range []sctpnet.Scheduler{sctpnet.SchedulerFair, sctpnet.SchedulerWeighted} {
		if hasScheduler(t, sched) {
			continue
		}
		unsupported("SetScheduler", c.SetScheduler(sched), "SCTP_STREAM_SCHEDULER", sched.String())
		_, err := (&sctpnet.Dialer{Config: sctpnet.Config{Scheduler: sched}}).Dial("sctp", s.LocalAddr().String())
		unsupported("Config.Scheduler", err, "SCTP_STREAM_SCHEDULER")
	}
	unsupported("SetAuthKey", c.SetAuthKey(sctpnet.AuthKey{ID: 1, Secret: []byte("x")}), "SCTP_AUTH_KEY", "RFC 4895")
	unsupported("ActivateAuthKey", c.ActivateAuthKey(1), "SCTP_AUTH_ACTIVE_KEY")
	if b, err := os.ReadFile("/proc/sys/net/sctp/intl_enable"); err == nil && b[0] == '0' {
		_, err := (&sctpnet.Dialer{Config: sctpnet.Config{Interleaving: true}}).Dial("sctp", s.LocalAddr().String())
		unsupported("Config.Interleaving", err, "SCTP_INTERLEAVING_SUPPORTED", "net.sctp.intl_enable")
	}
	works(t, c, s)
}

// plainPeer is a listening socket without any extension.
func plainPeer(t *testing.T) (address string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 1)); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port)
}

func TestAddStreams(t *testing.T) {
	c, s := configured(t, "127.0.0.1:0", sctpnet.Config{}, sctpnet.Config{OutStreams: 64, MaxInStreams: 65535})
	streams := func(conn *sctpnet.Conn) [2]int {
		out, in := conn.NumStreams()
		return [2]int{int(out), int(in)}
	}
	if _, err := c.WriteStream([]byte("x"), 64); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("stream 64 before: %v", err)
	}
	if err := c.AddStreams(10, 0); err != nil {
		t.Fatal(err)
	}
	if got := streams(c); got != [2]int{74, 64} {
		t.Errorf("%v streams, want 74 outgoing", got)
	}
	watchdog(t, func() {
		if _, err := c.WriteStream([]byte("new"), 73); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 10)
		if n, stream, err := s.ReadStream(p); err != nil || stream != 73 || string(p[:n]) != "new" {
			t.Fatalf("%q on stream %d, %v", p[:n], stream, err)
		}
	})
	if got := streams(s); got != [2]int{64, 74} {
		t.Errorf("the peer has %v streams", got)
	}
	// Incoming ones are made by the peer.
	soon(t, func() error { return c.AddStreams(0, 6) })
	soon(t, func() error {
		if a, b := streams(c), streams(s); a != [2]int{74, 70} || b != [2]int{70, 74} {
			return fmt.Errorf("%v and %v streams", a, b)
		}
		return nil
	})
	watchdog(t, func() {
		if _, err := s.WriteStream([]byte("back"), 69); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 10)
		if n, stream, err := c.ReadStream(p); err != nil || stream != 69 || string(p[:n]) != "back" {
			t.Fatalf("%q on stream %d, %v", p[:n], stream, err)
		}
	})
	if err := c.AddStreams(0, 0); err != nil {
		t.Errorf("none: %v", err)
	}
	s.Close()
	c.Close()
	if got := streams(c); got != [2]int{74, 70} {
		t.Errorf("%v streams after Close", got)
	}

	// A peer that cannot.
	p := dial(t, nil, "sctp", plainPeer(t))
	for what, err := range map[string]error{"AddStreams": p.AddStreams(1, 0), "ResetAssociation": p.ResetAssociation()} {
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "peer has no stream reconfiguration") {
			t.Errorf("%s with a plain peer: %v", what, err)
		}
	}
	if f := must[sctpnet.Features](t)(p.Features()); f.StreamReconfig {
		t.Errorf("with a plain peer: %+v", f)
	}
}

// soon tries for a while.
func soon(t testing.TB, f func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * ms) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func TestResetAssociation(t *testing.T) {
	c, s := pipe(t, "sctp", "127.0.0.1:0")
	works(t, c, s)
	read := func() sctpnet.MsgInfo {
		t.Helper()
		p := make([]byte, 10)
		_, info, err := s.ReadMsg(p)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	watchdog(t, func() {
		c.Write([]byte("x"))
		if info := read(); info.SSN != 1 {
			t.Fatalf("SSN is %d before", info.SSN)
		}
		soon(t, c.ResetAssociation) // once all is acknowledged
		c.Write([]byte("y"))
		if info := read(); info.SSN != 0 {
			t.Errorf("SSN is %d afterwards, want 0", info.SSN)
		}
		works(t, s, c)
	})
}

// TestDefaultReliability checks that the policy is that of all messages,
// whatever else is said of them, on a path that loses all.
func TestDefaultReliability(t *testing.T) {
	c, s := pipe(t, "sctp", "127.0.0.1:0")
	// More retransmissions than there are, but as milliseconds too few.
	err := c.SetPartialReliability(sctpnet.PartialReliability{Policy: sctpnet.LimitedRetransmissions, Retransmissions: 40})
	if err != nil {
		t.Fatal(err)
	}
	// Fill the window, so that what follows waits for longer than that.
	big := make([]byte, 16<<10)
	c.SetWriteDeadline(time.Now().Add(300 * ms))
	n := 0
	for {
		if _, err := c.WriteMsg(big, sctpnet.MsgInfo{Stream: 1, PPID: 7}); err != nil {
			break
		}
		n++
	}
	watchdog(t, func() {
		p := make([]byte, len(big))
		for i := range n {
			for {
				_, info, err := s.ReadMsg(p)
				if err != nil {
					t.Errorf("message %d of %d: %v", i, n, err)
					return
				}
				if !info.More {
					break
				}
			}
		}
	})
}

func TestAuth(t *testing.T) {
	secret := []byte("a secret of both")
	config := sctpnet.Config{Auth: &sctpnet.Auth{
		Chunks: []uint8{0}, // DATA
		HMACs:  []uint16{sctpnet.HMACSHA256, sctpnet.HMACSHA1},
		Keys:   []sctpnet.AuthKey{{ID: 5, Secret: secret}},
		Active: 5,
	}}
	c, s := configured(t, "127.0.0.1:0", config, config)
	works(t, c, s)
	for end, conn := range map[string]*sctpnet.Conn{"client": c, "server": s} {
		st := must[sctpnet.AuthState](t)(conn.AuthState())
		if st.Active != 5 || !slices.Contains(st.LocalChunks, 0) || !slices.Contains(st.PeerChunks, 0) {
			t.Errorf("%s: %+v", end, st)
		}
		if end == "client" && !slices.Equal(st.HMACs, config.Auth.HMACs) {
			t.Errorf("%s: HMACs are %v", end, st.HMACs)
		}
		if got := field16(t, conn, 24, 8, 4); got != 5 {
			t.Errorf("%s: the kernel's active key is %d", end, got)
		}
	}
	// A new key, on both sides before it is used.
	for _, conn := range []*sctpnet.Conn{s, c} {
		if err := conn.SetAuthKey(sctpnet.AuthKey{ID: 6, Secret: []byte("another")}); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range []*sctpnet.Conn{s, c} {
		if err := conn.ActivateAuthKey(6); err != nil {
			t.Fatal(err)
		}
		if st := must[sctpnet.AuthState](t)(conn.AuthState()); st.Active != 6 {
			t.Errorf("active key is %d, want 6", st.Active)
		}
	}
	works(t, c, s)
	if err := c.DeactivateAuthKey(5); err != nil {
		t.Error(err)
	}
	soon(t, func() error { return c.DeleteAuthKey(5) })
	for what, err := range map[string]error{
		"activate deleted":  c.ActivateAuthKey(5),
		"activate unknown":  c.ActivateAuthKey(99),
		"delete active":     c.DeleteAuthKey(6),
		"deactivate active": c.DeactivateAuthKey(6),
	} {
		if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "key ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	works(t, c, s)
	if !bytes.Equal(secret, []byte("a secret of both")) || len(config.Auth.Keys) != 1 {
		t.Error("the Config was changed")
	}
}

// TestConfigLimits checks defaults that give way to limits which were set.
func TestConfigLimits(t *testing.T) {
	for _, tt := range []struct{ set, want sctpnet.RTO }{
		{sctpnet.RTO{}, sctpnet.RTO{Initial: time.Second, Min: 250 * ms, Max: time.Minute}},
		{sctpnet.RTO{Max: 200 * ms}, sctpnet.RTO{Initial: 200 * ms, Min: 200 * ms, Max: 200 * ms}},
		{sctpnet.RTO{Min: 2 * time.Second}, sctpnet.RTO{Initial: 2 * time.Second, Min: 2 * time.Second, Max: time.Minute}},
		{sctpnet.RTO{Initial: 500 * ms}, sctpnet.RTO{Initial: 500 * ms, Min: 250 * ms, Max: time.Minute}},
	} {
		config := sctpnet.Config{RTO: tt.set}
		c, s := configured(t, "127.0.0.1:0", config, config)
		for _, conn := range []*sctpnet.Conn{c, s} {
			got := must[sctpnet.RTO](t)(conn.RTO())
			got.Min = got.Min.Round(10 * ms) // the kernel counts in ticks
			if got != tt.want {
				t.Errorf("RTO %+v gives %+v, want %+v", tt.set, got, tt.want)
			}
		}
	}
	kernel := sctpnet.Config{KernelDefaults: true, RTO: sctpnet.RTO{Max: 2 * time.Second}, ReadBuffer: 40000}
	c, _ := configured(t, "127.0.0.1:0", kernel, kernel)
	if got, want := must[sctpnet.RTO](t)(c.RTO()), (sctpnet.RTO{Initial: 3 * time.Second, Min: time.Second, Max: 2 * time.Second}); got != want {
		t.Errorf("KernelDefaults: RTO is %+v, want %+v", got, want)
	}
	if got := must[int](t)(c.ReadBuffer()); got != 80000 {
		t.Errorf("KernelDefaults: read buffer is %d", got)
	}
}

// TestInterleaving checks that messages which interleave arrive whole.
func TestInterleaving(t *testing.T) {
	needSCTP(t)
	const sysctl = "/proc/sys/net/sctp/intl_enable"
	old, err := os.ReadFile(sysctl)
	if err != nil {
		t.Skip("this kernel has no interleaving: ", err)
	}
	if err := os.WriteFile(sysctl, []byte("1"), 0); err != nil {
		t.Skip("only root can turn it on: ", err)
	}
	defer os.WriteFile(sysctl, old, 0)
	config := sctpnet.Config{Interleaving: true, Scheduler: sctpnet.SchedulerRoundRobin, ReadBuffer: 60000}
	c, s := configured(t, "127.0.0.1:0", config, config)
	for _, conn := range []*sctpnet.Conn{c, s} {
		if f := must[sctpnet.Features](t)(conn.Features()); !f.Interleaving {
			t.Fatalf("%+v", f)
		}
		if level := must[int](t)(conn.FragmentInterleave()); level == 0 {
			t.Errorf("fragment interleave is %d", level)
		}
	}
	const size, each = 100 << 10, 10
	message := func(stream uint16) []byte { return bytes.Repeat([]byte{byte(stream)}, size) }
	watchdog(t, func() {
		for stream := range uint16(3) {
			go func() {
				for range each {
					if _, err := c.WriteStream(message(stream), stream); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		time.Sleep(300 * ms) // the window is full of pieces
		p := make([]byte, size)
		var have [3]int
		pieces := 0
		for total := 0; total < 3*each*size; pieces++ {
			n, info, err := s.ReadMsg(p)
			if err != nil {
				t.Error(err)
				return
			}
			total += n
			have[info.Stream] += n
			if i := slices.IndexFunc(p[:n], func(b byte) bool { return b != byte(info.Stream) }); i >= 0 {
				t.Errorf("byte %d of %d on stream %d is stream %d's", i, n, info.Stream, p[i])
				return
			}
		}
		if have != [3]int{each * size, each * size, each * size} {
			t.Errorf("streams have %v bytes", have)
		}
		t.Logf("%d pieces", pieces)
	})
}
