package sctpnet_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"golang.org/x/sys/unix"
)

// These tests look at sockets by Linux's own calls, and compare what they see with what
// this package says.

// getsockopt returns an option that is an int.
func getsockopt(t testing.TB, s socketer, level, opt int) (v int) {
	t.Helper()
	control(t, s, func(fd int) (err error) {
		v, err = unix.GetsockoptInt(fd, level, opt)
		return err
	})
	return v
}

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

// tryPort binds a port that no socket may have.
func tryPort(ip net.IP, port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte(ip.To4()), Port: port})
}

// awaitPort waits until no socket is left that has a port.
func (ns *netns) awaitPort(t testing.TB, ip net.IP, port int) {
	t.Helper()
	ns.do(t, func() error {
		deadline := time.Now().Add(10 * time.Second * conformance.Slowness)
		for {
			err := tryPort(ip, port)
			switch {
			case !errors.Is(err, unix.EADDRINUSE):
				return err
			case time.Now().After(deadline):
				return fmt.Errorf("port %d is still in use: the system keeps a socket that was closed", port)
			}
			time.Sleep(10 * ms)
		}
	})
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

// TestSettersTakeEffect checks that what is set is there, and that it fails after Close.
func TestSettersTakeEffect(t *testing.T) {
	c, _ := pipe(t, "sctp", "127.0.0.1:0")
	setters := []struct {
		name       string
		set        func() error
		level, opt int
		want       int
	}{
		{"SetNoDelay(false)", func() error { return c.SetNoDelay(false) }, sctp.SOL_SCTP, sctp.SCTP_NODELAY, 0},
		{"SetNoDelay(true)", func() error { return c.SetNoDelay(true) }, sctp.SOL_SCTP, sctp.SCTP_NODELAY, 1},
		{"SetReadBuffer", func() error { return c.SetReadBuffer(50_000) }, unix.SOL_SOCKET, unix.SO_RCVBUF, 100_000},
		{"SetWriteBuffer", func() error { return c.SetWriteBuffer(50_000) }, unix.SOL_SOCKET, unix.SO_SNDBUF, 100_000},
		{"SetLinger(3)", func() error { return c.SetLinger(3) }, unix.SOL_SOCKET, unix.SO_LINGER, 1},
		{"SetLinger(-1)", func() error { return c.SetLinger(-1) }, unix.SOL_SOCKET, unix.SO_LINGER, 0},
	}
	for _, tt := range setters {
		if err := tt.set(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		// Of a struct linger this is the first field, whether it is on.
		if got := getsockopt(t, c, tt.level, tt.opt); got != tt.want {
			t.Errorf("%s: the option is %d, want %d", tt.name, got, tt.want)
		}
	}
	if c.SetReadBuffer(-1) == nil || c.SetWriteBuffer(-1) == nil {
		t.Error("a negative size of a buffer is accepted")
	}

	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, tt := range setters {
		var e *net.OpError
		if err := tt.set(); !errors.Is(err, net.ErrClosed) || !errors.As(err, &e) || e.Op != "set" {
			t.Errorf("%s after Close: %v, want ErrClosed", tt.name, err)
		}
	}
	for name, err := range map[string]error{
		"Control": raw.Control(func(uintptr) {}),
		"Read":    raw.Read(func(uintptr) bool { return true }),
		"Write":   raw.Write(func(uintptr) bool { return true }),
	} {
		var e *net.OpError
		if !errors.Is(err, net.ErrClosed) || !errors.As(err, &e) {
			t.Errorf("the raw %s after Close: %v, want ErrClosed", name, err)
		}
	}
}

// TestSyscallConn checks that the RawConn's calls wait as Read and Write do.
func TestSyscallConn(t *testing.T) {
	c, s := pipe(t, "sctp", "127.0.0.1:0")
	raw, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	watchdog(t, func() {
		time.AfterFunc(10*time.Millisecond, func() { c.Write([]byte("hello")) })
		b := make([]byte, 100)
		var n int
		var rerr error
		err := raw.Read(func(fd uintptr) bool {
			n, rerr = unix.Read(int(fd), b)
			return rerr != unix.EAGAIN
		})
		if err != nil || rerr != nil || string(b[:n]) != "hello" {
			t.Errorf("read %q, %v, %v", b[:max(n, 0)], err, rerr)
		}
		s.SetReadDeadline(time.Unix(1, 0))
		err = raw.Read(func(uintptr) bool { return false })
		var nerr net.Error
		if !errors.As(err, &nerr) || !nerr.Timeout() {
			t.Errorf("after the deadline: %v", err)
		}
	})
}

// TestRawWaitsDuringClaim claims a stream while Read and Write of a SyscallConn
// wait. Both go on: Read until Close, as what arrives is read for the streams.
func TestRawWaitsDuringClaim(t *testing.T) {
	c, s := pipe(t, "sctp4", "127.0.0.1:0")
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 32<<10)
	reading := conformance.Start(t, func() (int, error) {
		return 0, raw.Read(func(fd uintptr) bool {
			_, _, err := unix.Recvfrom(int(fd), make([]byte, 10), unix.MSG_DONTWAIT)
			return err != unix.EAGAIN
		})
	})
	writing := conformance.Start(t, func() (int, error) {
		return 0, raw.Write(func(fd uintptr) bool {
			for {
				switch err := unix.Sendto(int(fd), message, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil); err {
				case nil:
				case unix.EAGAIN:
					return false
				default:
					return true
				}
				select {
				case <-t.Context().Done():
					return true
				default:
				}
			}
		})
	})
	reading.Waits()
	writing.Waits()
	stream, err := c.Stream(3)
	if err != nil {
		t.Fatal(err)
	}
	reading.Waits()
	writing.Waits()
	if _, err := s.WriteStream([]byte("hello"), 3); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, stream, []byte("hello"))
	reading.Waits()
	later := conformance.Start(t, func() (int, error) {
		return 0, raw.Read(func(uintptr) bool { return true })
	})
	later.Waits()
	c.Close()
	watchdog(t, func() {
		for what, call := range map[string]*conformance.Call{"Read": reading, "later Read": later, "Write": writing} {
			_, err := call.Result()
			var e *net.OpError
			if !errors.Is(err, net.ErrClosed) || !errors.As(err, &e) {
				t.Errorf("%s ended by %v, want net.ErrClosed", what, err)
			}
		}
	})
}

// TestWriteFillsBuffer writes to a peer that does not read. What waits must wait
// for room in the send buffer and for nothing else.
func TestWriteFillsBuffer(t *testing.T) {
	for _, size := range []int{1000, 8 << 10, 60_000} {
		const buffer = 400_000
		ln := listenWith(t, "sctp4", "127.0.0.1:0", sctpnet.ListenConfig{Config: sctpnet.Config{ReadBuffer: buffer}})
		c := dial(t, &sctpnet.Dialer{Config: sctpnet.Config{WriteBuffer: buffer}}, "sctp4", ln.Addr().String())
		accept(t, ln)
		var err error
		for sent := 1; ; sent++ {
			by := time.Now().Add(3 * time.Second)
			c.SetWriteDeadline(by)
			if _, err = c.WriteMsg(make([]byte, size), sctpnet.MsgInfo{Stream: 1}); err != nil {
				break
			}
			if time.Now().After(by) {
				t.Errorf("messages of %d bytes: number %d was sent, and WriteMsg waited all the same", size, sent)
			}
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		if hasRoom(t, c) {
			t.Errorf("messages of %d bytes: WriteMsg waits though there is room", size)
		}
	}
}

// hasRoom reports whether the system has room for another message.
func hasRoom(t testing.TB, c *sctpnet.Conn) bool {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	p := []unix.PollFd{{Events: unix.POLLOUT}}
	err = raw.Control(func(fd uintptr) {
		p[0].Fd = int32(fd)
		if _, err := unix.Poll(p, 0); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return p[0].Revents&unix.POLLOUT != 0
}

// TestCloseUnreadFreesSocket closes associations that have received a
// part of a message, and not read it. The system must not keep their sockets, which
// would keep their ports too.
func TestCloseUnreadFreesSocket(t *testing.T) {
	ignore := func(*sctpnet.Conn, sctpnet.Event) {}
	for _, tt := range []struct {
		name   string
		config sctpnet.Config
	}{
		{"plain", sctpnet.Config{ReadBuffer: 100_000}},
		{"events", sctpnet.Config{ReadBuffer: 100_000, OnEvent: ignore, SenderDry: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const rounds = 20
			a, b := newLinks(t)
			watchdog(t, func() {
				for round := range rounds {
					port := 5000 + round
					ln := b.listen(t, sctpnet.ListenConfig{Config: tt.config}, "10.77.1.2:4000")
					local := &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{10, 77, 1, 1}}}, Port: port}
					dialed := a.dial(t, sctpnet.Dialer{Config: tt.config, LocalAddr: local}, "10.77.1.2:4000")
					accepted := accept(t, ln)
					for _, c := range []*sctpnet.Conn{dialed, accepted} {
						if err := c.SetWriteBuffer(200_000); err != nil {
							t.Fatal(err)
						}
						fillWindow(t, c)
					}
					dialed.Close()
					accepted.Close()
					ln.Close()
				}
			})
			b.awaitPort(t, net.IP{10, 77, 1, 2}, 4000)
			for round := range rounds {
				a.awaitPort(t, net.IP{10, 77, 1, 1}, 5000+round)
			}
		})
	}
}

// capture receives the packets of the interface lo.
func capture(t testing.TB) *wiretap {
	t.Helper()
	const all = unix.ETH_P_ALL
	var proto [2]byte
	binary.BigEndian.PutUint16(proto[:], all)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(binary.NativeEndian.Uint16(proto[:])))
	if err != nil {
		t.Skip("only root can look at packets:", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &wiretap{fd}
}

type wiretap struct{ fd int }

// want waits for an SCTP packet with some data in it, and checks where it goes.
func (w *wiretap) want(t testing.TB, data string, to netip.Addr) {
	t.Helper()
	buf := make([]byte, 1<<17)
	eventually(t, "a packet with "+data, func() bool {
		n, _, err := unix.Recvfrom(w.fd, buf, 0)
		if err != nil || !strings.Contains(string(buf[:n]), data) {
			return false
		}
		var got netip.Addr
		if buf[0]>>4 == 4 {
			got, _ = netip.AddrFromSlice(buf[16:20])
		} else {
			got, _ = netip.AddrFromSlice(buf[24:40])
		}
		if got != to {
			t.Errorf("%q went to %v, want %v", data, got, to)
		}
		return true
	})
}

func TestSetPrimary(t *testing.T) {
	for _, tt := range []struct{ listen, first, then string }{
		{"127.0.0.1/127.0.0.2:0", "127.0.0.1", "127.0.0.2"},
		{"127.0.0.1/[::1]:0", "127.0.0.1", "::1"},
	} {
		c, s := pipe(t, "sctp", tt.listen)
		wire := capture(t)
		for _, ip := range []netip.Addr{netip.MustParseAddr(tt.then), netip.MustParseAddr(tt.first)} {
			if err := c.SetPrimary(ip); err != nil {
				t.Fatal(err)
			}
			wantSame(t, c)
			mark := "primary " + ip.String()
			if _, err := c.Write([]byte(mark)); err != nil {
				t.Fatal(err)
			}
			wire.want(t, mark, ip)
			watchdog(t, func() { s.Read(make([]byte, 100)) })
		}
	}
}

func TestWriteMsgTo(t *testing.T) {
	for _, list := range []string{"127.0.0.1/127.0.0.2:0", "127.0.0.1/[::1]:0"} {
		c, s := pipe(t, "sctp", list)
		wire := capture(t)
		stream, err := c.Stream(5) // with which the Conn has a mux
		if err != nil {
			t.Fatal(err)
		}
		for i, to := range slices.Concat(c.PeerAddrs(), []netip.Addr{{}}, c.PeerAddrs()) {
			info := sctpnet.MsgInfo{Stream: 3, PPID: 46, Unordered: i%2 == 0, TTL: time.Minute, To: to}
			mark := fmt.Sprintf("message %d", i)
			write, stream3 := c.WriteMsg, uint16(3)
			if i%3 == 2 {
				write, stream3 = stream.WriteMsg, 5
			}
			if _, err := write([]byte(mark), info); err != nil {
				t.Fatal(err)
			}
			if !to.IsValid() {
				to = c.PeerAddrs()[0]
			}
			wire.want(t, mark, to)
			buf := make([]byte, 100)
			watchdog(t, func() {
				n, got, err := s.ReadMsg(buf)
				if err != nil || string(buf[:n]) != mark || got.Stream != stream3 || got.PPID != 46 || got.Unordered != info.Unordered || got.To.IsValid() {
					t.Errorf("got %q, %+v, %v", buf[:n], got, err)
				}
			})
		}
	}
}

// TestEventsRemoteError has an ERROR come from the peer, by way of a raw socket
// at its address.
func TestEventsRemoteError(t *testing.T) {
	watchdog(t, func() {
		client, server, ce, _, _, b := eventPair(t, nil)
		var raw int
		b.do(t, func() (err error) {
			raw, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
			return err
		})
		defer unix.Close(raw)
		// The answer of an acknowledgement brings the verification tag that
		// the client expects: of the packets that go to it. Here they are
		// seen by a tap.
		var tap int
		b.do(t, func() (err error) {
			const all = 3 << 8 // ETH_P_ALL in network order
			tap, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, all)
			return err
		})
		defer unix.Close(tap)
		exchange(t, client, server)
		var header []byte // SCTP's, of a packet to the client
		for header == nil {
			p := make([]byte, 64<<10)
			n, _, err := unix.Recvfrom(tap, p, 0)
			if err != nil {
				t.Fatal(err)
			}
			if p := p[:n]; n > 32 && p[0] == 0x45 && p[9] == unix.IPPROTO_SCTP && bytes.Equal(p[16:20], []byte{10, 77, 1, 1}) {
				header = p[20:28]
			}
		}
		for _, cause := range []struct {
			chunk []byte
			want  sctpnet.RemoteErrorEvent
		}{
			{[]byte{9, 0, 0, 12, 0, 6, 0, 8, 0x7f, 1, 2, 3}, sctpnet.RemoteErrorEvent{Cause: sctpnet.CauseUnrecognizedChunk, Data: []byte{0x7f, 1, 2, 3}}},
			{[]byte{9, 0, 0, 8, 0, 13, 0, 4}, sctpnet.RemoteErrorEvent{Cause: sctpnet.CauseProtocolViolation}},
		} {
			packet := slices.Concat(header, []byte{0, 0, 0, 0}, cause.chunk)
			binary.LittleEndian.PutUint32(packet[8:], crc32.Checksum(packet, crc32.MakeTable(crc32.Castagnoli)))
			if err := unix.Sendto(raw, packet, 0, &unix.SockaddrInet4{Addr: [4]byte{10, 77, 1, 1}}); err != nil {
				t.Fatal(err)
			}
			if e := await[sctpnet.RemoteErrorEvent](t, ce, nil); !reflect.DeepEqual(e, cause.want) {
				t.Errorf("%#v; want %#v", e, cause.want)
			}
		}
		exchange(t, client, server)
	})
}

func init() {
	children["privileged port"] = privilegedPort
	children["out of descriptors"] = outOfDescriptors
	children["packet out of descriptors"] = packetOutOfDescriptors
}

func TestListenPrivilegedPort(t *testing.T) {
	needSCTP(t)
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil && strings.TrimSpace(string(b)) == "0" {
		t.Skip("here net.ipv4.ip_unprivileged_port_start lets everybody have every port")
	}
	child(t, "privileged port")
}

func privilegedPort() error {
	if os.Geteuid() == 0 {
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:7")
	if err == nil {
		ln.Close()
	}
	if !errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("Listen: %v, want EACCES", err)
	}
	return nil
}

// TestAcceptOutOfDescriptors needs a process of its own to run out of them.
func TestAcceptOutOfDescriptors(t *testing.T) {
	needSCTP(t)
	child(t, "out of descriptors")
}

func outOfDescriptors() error {
	limit := syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c, err := sctpnet.Dial("sctp", ln.Addr().String())
	if err != nil {
		return err
	}
	var files []*os.File
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		files = append(files, f)
	}
	for range 3 {
		_, err = ln.Accept()
		//lint:ignore SA1019 http.Server asks so
		if nerr, ok := err.(net.Error); !ok || !nerr.Temporary() || !errors.Is(err, syscall.EMFILE) {
			return fmt.Errorf("Accept without descriptors: %v, want a temporary EMFILE", err)
		}
	}
	if _, err := sctpnet.Dial("sctp", ln.Addr().String()); !errors.Is(err, syscall.EMFILE) {
		return fmt.Errorf("Dial without descriptors: %v, want EMFILE", err)
	}
	files[0].Close()
	s, err := ln.Accept()
	if err != nil {
		return fmt.Errorf("Accept with a descriptor: %v", err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err = io.ReadFull(s, make([]byte, 1))
	return err
}

// TestPeelOffOutOfDescriptors needs a process of its own to run out of them.
func TestPeelOffOutOfDescriptors(t *testing.T) {
	needSCTP(t)
	child(t, "packet out of descriptors")
}

func packetOutOfDescriptors() error {
	limit := syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	pc, err := sctpnet.ListenPacket("sctp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c := pc.(*sctpnet.PacketConn)
	conn, err := sctpnet.Dial("sctp", c.LocalAddr().String())
	if err != nil {
		return err
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		return err
	}
	var files []*os.File
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		files = append(files, f)
	}
	for _, f := range files[1:] {
		defer f.Close()
	}
	peer := c.Associations()[0]
	if _, err := c.PeelOff(peer); !errors.Is(err, syscall.EMFILE) {
		return fmt.Errorf("PeelOff without descriptors: %v, want EMFILE", err)
	}
	files[0].Close()
	s, err := c.PeelOff(peer)
	if err != nil {
		return fmt.Errorf("PeelOff with a descriptor: %w", err)
	}
	if n, err := s.Read(make([]byte, 9)); n != 1 || err != nil {
		return fmt.Errorf("read %d, %w", n, err)
	}
	return nil
}

// child runs one of the children. It fails the test if that fails.
func child(t *testing.T, name string) {
	t.Helper()
	cmd := childCommand(name)
	watchdog(t, func() {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
}

// childCommand starts this program again, as one of the children.
func childCommand(name string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	return cmd
}

// TestOrderWithoutInterleaving is TestPacketConnOrderAfterPieces with a Conn that offers
// interleaving to a peer that has none.
func TestOrderWithoutInterleaving(t *testing.T) {
	watchdog(t, func() {
		a, b := newNetns(t), newNetns(t)
		linkLarge(t, a, b)
		var ln net.Listener
		a.do(t, func() (err error) {
			if err := os.WriteFile("/proc/sys/net/sctp/intl_enable", []byte("1"), 0); err != nil {
				return err
			}
			lc := sctpnet.ListenConfig{Config: sctpnet.Config{Interleaving: true, PartialDeliveryPoint: 500}}
			ln, err = lc.Listen(t.Context(), "sctp4", "10.77.1.1:0")
			return err
		})
		defer ln.Close()
		p := dialRaw(t, a, b, 0, port(ln.Addr()))
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c := conn.(*sctpnet.Conn)
		p.data(t, 0, dataFirst|dataUnordered, 0, part('a'))
		eventually(t, "the first part has come", func() bool { return received(t, a) > 0 })
		p.overtaking(t)
		p.data(t, 1, dataLast|dataUnordered, 0, part('a'))
		for _, want := range []string{"a", "b", "c", "d"} {
			got, _, err := c.ReadMessage(10_000)
			if err != nil || string(got[:1]) != want {
				t.Errorf("%d bytes of %.1q, %v; want %s", len(got), got, err, want)
			}
		}
	})
}
