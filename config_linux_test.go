package sctpnet_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
	"golang.org/x/sys/unix"
)

// systemDefault is an option of a socket that this package has not touched.
func systemDefault(t *testing.T, level, opt int) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	v, err := unix.GetsockoptInt(fd, level, opt)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestConfigDefaults checks what the zero Config sets and KernelDefaults does
// not, at both ends.
func TestConfigDefaults(t *testing.T) {
	needSCTP(t)
	// The system doubles the size of a buffer that is asked for.
	buffer := func(limit string) int {
		b, err := os.ReadFile("/proc/sys/net/core/" + limit)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		return 2 * min(2<<20, n)
	}
	for _, tt := range []struct {
		name       string
		level, opt int
		want       int
	}{
		{"SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF, buffer("rmem_max")},
		{"SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF, buffer("wmem_max")},
		{"SCTP_NODELAY", sctp.SOL_SCTP, sctp.SCTP_NODELAY, 1},
	} {
		for _, kernel := range []bool{false, true} {
			want := tt.want
			if kernel {
				want = systemDefault(t, tt.level, tt.opt)
			}
			config := sctpnet.Config{KernelDefaults: kernel}
			c, s := configured(t, "sctp", "127.0.0.1:0", config, config)
			for end, conn := range map[string]*sctpnet.Conn{"client": c, "server": s} {
				if got := getsockopt(t, conn, tt.level, tt.opt); got != want {
					t.Errorf("KernelDefaults %t: the %s's %s is %d, want %d", kernel, end, tt.name, got, want)
				}
			}
		}
	}
}

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

// An optionTest sets one option, in a Config for the handshake and by Set, and
// compares what Config and the kernel say.
type optionTest struct {
	name   string
	config sctpnet.Config                // nothing: there is none
	set    func(*sctpnet.Conn) error     // nil: Set of the Config
	fixed  bool                          // the handshake settles it
	back   bool                          // it is set and then as before
	get    func(*sctpnet.Conn) any       // of what was set
	want   any                           // by get
	kernel func(socketer) any            // the C structure's fields
	answer any                           // by kernel
	skip   func(*testing.T) (why string) // where the kernel has no such option
}

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
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).RTO },
			want:   rto,
			kernel: func(s socketer) any {
				return [3]uint32{field32(t, s, 0, 16, 4), field32(t, s, 0, 16, 8), field32(t, s, 0, 16, 12)}
			},
			answer: [3]uint32{400, 8000, 60},
		},
		{
			name:   "association retransmissions",
			config: sctpnet.Config{AssocParams: sctpnet.AssocParams{MaxRetransmissions: 3}},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).AssocParams.MaxRetransmissions },
			want:   3,
			kernel: func(s socketer) any { return field16(t, s, 1, 20, 4) },
			answer: uint16(3),
		},
		{
			name:   "cookie life",
			config: sctpnet.Config{AssocParams: sctpnet.AssocParams{CookieLife: 5 * time.Second}},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).AssocParams.CookieLife },
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
			config: sctpnet.Config{PathParams: sctpnet.PathParams{PotentiallyFailedThreshold: 2, PrimarySwitchoverThreshold: 4}},
			set:    path(sctpnet.PathParams{PotentiallyFailedThreshold: 2, PrimarySwitchoverThreshold: 4}),
			get: paths(func(p sctpnet.PathParams) any {
				return [2]int{p.PotentiallyFailedThreshold, p.PrimarySwitchoverThreshold}
			}),
			want: [2]int{2, 4},
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
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).SACK },
			want:   sack,
			kernel: func(s socketer) any { return [2]uint32{field32(t, s, 16, 12, 4), field32(t, s, 16, 12, 8)} },
			answer: [2]uint32{60, 5},
		},
		{
			name:   "SACK of each packet",
			config: sctpnet.Config{SACK: sctpnet.SACK{Frequency: 1}},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).SACK },
			want:   sctpnet.SACK{Frequency: 1},
			kernel: func(s socketer) any { return [2]uint32{field32(t, s, 16, 12, 4), field32(t, s, 16, 12, 8)} },
			answer: [2]uint32{0, 1},
		},
		{
			name:   "Nagle",
			config: sctpnet.Config{Nagle: true},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).Nagle },
			want:   true,
			kernel: func(s socketer) any { return field32(t, s, 3, 4, 0) },
			answer: uint32(0),
		},
		{
			name:   "SetNoDelay",
			set:    func(c *sctpnet.Conn) error { return c.SetNoDelay(false) },
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).Nagle },
			want:   true,
			kernel: func(s socketer) any { return field32(t, s, 3, 4, 0) },
			answer: uint32(0),
		},
		{
			name: "SetNoDelay after Nagle",
			back: true,
			set: func(c *sctpnet.Conn) error {
				return errors.Join(c.Set(sctpnet.Config{Nagle: true}), c.SetNoDelay(true))
			},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).Nagle },
			want:   false,
			kernel: func(s socketer) any { return field32(t, s, 3, 4, 0) },
			answer: uint32(1),
		},
		{
			name:   "read buffer",
			config: sctpnet.Config{ReadBuffer: 50000},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).ReadBuffer },
			want:   50000,
			kernel: func(s socketer) any { return getsockopt(t, s, unix.SOL_SOCKET, unix.SO_RCVBUF) },
			answer: 100000,
		},
		{
			name:   "write buffer",
			config: sctpnet.Config{WriteBuffer: 60000},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).WriteBuffer },
			want:   60000,
			kernel: func(s socketer) any { return getsockopt(t, s, unix.SOL_SOCKET, unix.SO_SNDBUF) },
			answer: 120000,
		},
		{
			name:   "SetReadBuffer",
			set:    func(c *sctpnet.Conn) error { return c.SetReadBuffer(50000) },
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).ReadBuffer },
			want:   50000,
			kernel: func(s socketer) any { return getsockopt(t, s, unix.SOL_SOCKET, unix.SO_RCVBUF) },
			answer: 100000,
		},
		{
			name:   "SetWriteBuffer",
			set:    func(c *sctpnet.Conn) error { return c.SetWriteBuffer(60000) },
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).WriteBuffer },
			want:   60000,
			kernel: func(s socketer) any { return getsockopt(t, s, unix.SOL_SOCKET, unix.SO_SNDBUF) },
			answer: 120000,
		},
		{
			name: "no max segment",
			back: true,
			set: func(c *sctpnet.Conn) error {
				return errors.Join(c.Set(sctpnet.Config{MaxSegment: 1000}), c.Set(sctpnet.Config{MaxSegment: -1}))
			},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).MaxSegment },
			want:   0,
			kernel: func(s socketer) any { return field32(t, s, 13, 8, 4) > 1500 }, // of the path
			answer: true,
		},
		{
			name:   "max segment",
			config: sctpnet.Config{MaxSegment: 1000},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).MaxSegment },
			want:   1000,
			kernel: func(s socketer) any { return field32(t, s, 13, 8, 4) },
			answer: uint32(1000),
		},
		{
			name:   "max burst",
			config: sctpnet.Config{MaxBurst: 9},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).MaxBurst },
			want:   9,
			kernel: func(s socketer) any { return field32(t, s, 20, 8, 4) },
			answer: uint32(9),
		},
		{
			name:   "no max burst",
			config: sctpnet.Config{MaxBurst: -1},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).MaxBurst },
			want:   -1,
			kernel: func(s socketer) any { return field32(t, s, 20, 8, 4) },
			answer: uint32(0),
		},
		{
			name:   "adaptation",
			fixed:  true,
			config: sctpnet.Config{Adaptation: 0x01020304},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).Adaptation },
			want:   uint32(0x01020304),
			kernel: func(s socketer) any { return field32(t, s, 7, 4, 0) },
			answer: uint32(0x01020304),
		},
		{
			name: "no partial reliability by default",
			back: true,
			set: func(c *sctpnet.Conn) error {
				return errors.Join(
					c.Set(sctpnet.Config{PartialReliability: sctpnet.PartialReliability{Policy: sctpnet.ReliabilityPriority, Priority: 5}}),
					c.Set(sctpnet.Config{PartialReliability: sctpnet.PartialReliability{Policy: -1}}),
				)
			},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).PartialReliability },
			want:   sctpnet.PartialReliability{},
			kernel: func(s socketer) any { return field16(t, s, 114, 12, 8) },
			answer: uint16(0),
		},
		{
			name: "scheduler first come",
			back: true,
			set: func(c *sctpnet.Conn) error {
				return errors.Join(c.Set(sctpnet.Config{Scheduler: sctpnet.SchedulerPriority}), c.Set(sctpnet.Config{Scheduler: -1}))
			},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).Scheduler },
			want:   sctpnet.SchedulerFirstCome,
			kernel: func(s socketer) any { return field32(t, s, 123, 8, 4) },
			answer: uint32(0),
		},
		{
			name: "no fragment interleave",
			back: true,
			set: func(c *sctpnet.Conn) error {
				return errors.Join(c.Set(sctpnet.Config{FragmentInterleave: 1}), c.Set(sctpnet.Config{FragmentInterleave: -1}))
			},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).FragmentInterleave },
			want:   0,
			kernel: func(s socketer) any { return field32(t, s, 18, 4, 0) },
			answer: uint32(0),
		},
		{
			name: "no partial delivery point",
			back: true,
			set: func(c *sctpnet.Conn) error {
				return errors.Join(c.Set(sctpnet.Config{PartialDeliveryPoint: 4000}), c.Set(sctpnet.Config{PartialDeliveryPoint: -1}))
			},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).PartialDeliveryPoint },
			want:   0,
			kernel: func(s socketer) any { return field32(t, s, 19, 4, 0) },
			answer: uint32(0),
		},
		reliabilityTest(t, sctpnet.PartialReliability{Policy: sctpnet.ReliabilityTimed, TTL: 3 * time.Second}, 3000, 0x10),
		reliabilityTest(t, sctpnet.PartialReliability{Policy: sctpnet.ReliabilityRetransmissions, Retransmissions: 2}, 2, 0x20),
		reliabilityTest(t, sctpnet.PartialReliability{Policy: sctpnet.ReliabilityPriority, Priority: 77}, 77, 0x30),
		schedulerTest(t, sctpnet.SchedulerPriority),
		schedulerTest(t, sctpnet.SchedulerRoundRobin),
		schedulerTest(t, sctpnet.SchedulerFair),
		schedulerTest(t, sctpnet.SchedulerWeighted),
		{
			name: "stream value",
			set: func(c *sctpnet.Conn) error {
				if err := c.Set(sctpnet.Config{Scheduler: sctpnet.SchedulerPriority}); err != nil {
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
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).FragmentInterleave > 0 },
			want:   true,
			kernel: func(s socketer) any { return field32(t, s, 18, 4, 0) > 0 },
			answer: true,
		},
		{
			name:   "partial delivery point",
			config: sctpnet.Config{PartialDeliveryPoint: 4000},
			get:    func(c *sctpnet.Conn) any { return inForce(t, c).PartialDeliveryPoint },
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
		get:    func(c *sctpnet.Conn) any { return inForce(t, c).PartialReliability },
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
		get:    func(c *sctpnet.Conn) any { return inForce(t, c).Scheduler },
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
		fixed:  true,
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
					c, s := configured(t, "sctp", address, tt.config, tt.config)
					check(t, tt, "Config, client "+address, c)
					check(t, tt, "Config, server "+address, s)
					works(t, c, s)
				}
				if !tt.fixed {
					c, s := configured(t, "sctp", address, sctpnet.Config{}, sctpnet.Config{})
					set := tt.set
					if set == nil {
						set = func(c *sctpnet.Conn) error { return c.Set(tt.config) }
					}
					if got := tt.kernel(s); !tt.back && tt.name != "stream value" && got == tt.answer {
						t.Errorf("it is %v without being set", got)
					}
					for end, conn := range map[string]*sctpnet.Conn{"client ": c, "server ": s} {
						if err := set(conn); err != nil {
							t.Errorf("%s: %v", end, err)
						}
						check(t, tt, "Set, "+end+address, conn)
					}
					if tt.name != "UDP port" {
						works(t, c, s)
					}
				}
			}
		})
	}
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
		unsupported("Set", c.Set(sctpnet.Config{Scheduler: sched}), "Scheduler", "SCTP_STREAM_SCHEDULER", sched.String())
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

func TestAddStreamsWithPlainPeer(t *testing.T) {
	needSCTP(t)
	p := dial(t, nil, "sctp", plainPeer(t))
	for what, err := range map[string]error{"AddStreams": p.AddStreams(1, 0), "ResetAssoc": p.ResetAssoc()} {
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "peer has no stream reconfiguration") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if f := must[sctpnet.Features](t)(p.Features()); f.StreamReconfig {
		t.Errorf("%+v", f)
	}
}

func TestAuth(t *testing.T) {
	secret := []byte("a secret of both")
	config := sctpnet.Config{Auth: &sctpnet.Auth{
		Chunks: []uint8{0}, // DATA
		HMACs:  []uint16{sctpnet.HMACSHA256, sctpnet.HMACSHA1},
		Keys:   []sctpnet.AuthKey{{ID: 5, Secret: secret}},
		Active: 5,
	}}
	c, s := configured(t, "sctp", "127.0.0.1:0", config, config)
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
