package sctpnet_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"golang.org/x/sys/unix"
)

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

// TestPlainConnCosts checks that reading and writing take no allocation, and
// that an association has no goroutine.
func TestPlainConnCosts(t *testing.T) {
	before := runtime.NumGoroutine()
	c, s := pipe(t, "sctp", "127.0.0.1:0")
	b := make([]byte, 1024)
	transfer := func() {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(s, b); err != nil {
			t.Fatal(err)
		}
	}
	transfer()
	eventually(t, "the goroutines of earlier tests", func() bool { return runtime.NumGoroutine() <= before })
	if conformance.Slowness > 1 {
		t.Skip("the race detector allocates")
	}
	if n := testing.AllocsPerRun(1000, transfer); n != 0 {
		t.Errorf("a Write and a Read allocate %v times", n)
	}
	if err := c.Set(sctpnet.Config{PPID: 46}); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, transfer); n != 0 {
		t.Errorf("a Write with Config.PPID and a Read allocate %v times", n)
	}
}

// TestStreamCosts checks that neither messages nor a stream's bytes cost an
// allocation.
func TestStreamCosts(t *testing.T) {
	needSCTP(t)
	if conformance.Slowness > 1 {
		t.Skip("the race detector allocates")
	}
	for _, m := range messengers {
		t.Run(m.name, func(t *testing.T) {
			c1, c2 := pipe(t, "sctp4", "127.0.0.1:0")
			m1, m2 := m.make(t, c1, c2)
			for name, send := range map[string]func(){
				"WriteMsg and ReadMsg": sendMsg(t, m1, m2),
				"Write and Read":       sendBytes(t, m1, m2),
			} {
				if n := testing.AllocsPerRun(1000, send); n != 0 {
					t.Errorf("%s allocate %v times", name, n)
				}
			}
		})
	}
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
			by := time.Now().Add(time.Second * conformance.Slowness)
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

// TestWriteWithoutMemory writes while all SCTP sockets together have no memory left.
// The Write waits, has its deadline, and goes on when there is memory, although
// nothing that the socket has sent is acknowledged then.
func TestWriteWithoutMemory(t *testing.T) {
	needSCTP(t)
	const file = "/proc/sys/net/sctp/sctp_mem"
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can set net.sctp.sctp_mem")
	}
	restore := func() {
		if err := os.WriteFile(file, old, 0); err != nil {
			t.Error(err)
		}
	}
	c, s := pipe(t, "sctp", "127.0.0.1:0")
	defer restore()
	if err := os.WriteFile(file, []byte("0 0 0"), 0); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16<<10)
	sent := 0
	for err == nil {
		c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		var n int
		n, err = c.Write(b)
		if sent += n; sent > 64<<20 {
			t.Fatal("no Write waits")
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Write without memory: %v; want that it waits until its deadline", err)
	}
	c.SetWriteDeadline(time.Time{})
	writing := conformance.Start(t, func() (int, error) { return c.Write(b) })
	writing.Waits()
	restore()
	watchdog(t, func() {
		if _, err := io.ReadFull(s, make([]byte, sent+len(b))); err != nil {
			t.Errorf("Read with memory again: %v", err)
		}
		if _, err := writing.Result(); err != nil {
			t.Errorf("Write with memory again: %v", err)
		}
	})
}

// TestReadAfterCopyShutdown shuts an association down by a copy of its Conn.
func TestReadAfterCopyShutdown(t *testing.T) {
	c, s := pipe(t, "sctp4", "127.0.0.1:0")
	copied := copyOf(t, c)
	if err := copied.Shutdown(); err != nil {
		t.Fatal(err)
	}
	watchdog(t, func() {
		if _, err := s.Read(make([]byte, 10)); err != io.EOF {
			t.Fatalf("the peer's Read: %v, want EOF", err)
		}
		eventually(t, "the association to end", func() bool { return !alive(t, port(c.LocalAddr())) })
		for what, c := range map[string]*sctpnet.Conn{"original": c, "copy": copied} {
			if _, err := c.Read(make([]byte, 10)); err != io.EOF {
				t.Errorf("%s: %v, want EOF", what, err)
			}
		}
	})
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

// TestReadNothingAfterDeadline reads into an empty slice after the deadline, on
// TCP and SCTP.
func TestReadNothingAfterDeadline(t *testing.T) {
	ends := connPairs(t)
	for network, c := range ends {
		c.SetDeadline(time.Now().Add(-time.Second))
		for _, p := range [][]byte{nil, {}, make([]byte, 0, 10)} {
			if n, err := c.Read(p); n != 0 || err != nil {
				t.Errorf("%s: Read gives %d, %v", network, n, err)
			}
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: Read of a byte gives %v", network, err)
		}
		c.Close()
		if n, err := c.Read(nil); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: after Close, Read gives %d, %v", network, n, err)
		}
	}
}

// connPairs returns the dialed end of a connection of TCP and one of SCTP.
func connPairs(t *testing.T) map[string]net.Conn {
	t.Helper()
	sc, _ := pipe(t, "sctp", "127.0.0.1:0")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	tc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tc.Close() })
	return map[string]net.Conn{"tcp": tc, "sctp": sc}
}

// A shape is what can be seen of an error without its addresses.
type shape struct {
	op             string // of a net.OpError, "" if the error is none
	source, addr   bool   // that are set
	closed, passed bool   // net.ErrClosed, os.ErrDeadlineExceeded
	errno          syscall.Errno
}

func shapeOf(err error) (s shape) {
	if e, ok := err.(*net.OpError); ok {
		s.op, s.source, s.addr = e.Op, e.Source != nil, e.Addr != nil
	}
	s.closed = errors.Is(err, net.ErrClosed)
	s.passed = errors.Is(err, os.ErrDeadlineExceeded)
	errors.As(err, &s.errno)
	return s
}

// TestSyscallConnAsNet looks at the errors of what SyscallConn returns.
func TestSyscallConnAsNet(t *testing.T) {
	needSCTP(t)
	type sysconn interface {
		syscall.Conn
		SetDeadline(time.Time) error
		Close() error
	}
	tln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pairs := connPairs(t)
	for what, pair := range map[string][2]sysconn{
		"Conn":     {pairs["tcp"].(sysconn), pairs["sctp"].(sysconn)},
		"Listener": {tln.(sysconn), listen(t, "sctp", "127.0.0.1:0")},
	} {
		var shapes [2]map[string]shape
		for i, c := range pair {
			shapes[i] = make(map[string]shape)
			raw, err := c.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			try := func(when string) {
				called := 0
				f := func(uintptr) bool { called++; return true }
				shapes[i][when+" Control"] = shapeOf(raw.Control(func(fd uintptr) { f(fd) }))
				before := called
				shapes[i][when+" Read"] = shapeOf(raw.Read(f))
				shapes[i][when+" Write"] = shapeOf(raw.Write(f))
				if what == "Listener" && called != before {
					t.Errorf("%s, %s: Read or Write of %T calls the function", what, when, c)
				}
			}
			try("at first")
			c.SetDeadline(time.Now().Add(-time.Second))
			try("after the deadline")
			c.Close()
			try("after Close")
		}
		for when, want := range shapes[0] {
			if got := shapes[1][when]; got != want {
				t.Errorf("%s, %s: SCTP gives %+v, TCP %+v", what, when, got, want)
			}
		}
	}
}

// TestFileErrorsAsNet makes Conns and Listeners of files that have none.
func TestFileErrorsAsNet(t *testing.T) {
	needSCTP(t)
	closed, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, tt := range []struct {
		name string
		file *os.File
	}{{"closed", closed}, {"no socket", null}} {
		_, cerr := sctpnet.FileConn(tt.file)
		_, lerr := sctpnet.FileListener(tt.file)
		_, terr := net.FileConn(tt.file)
		for _, err := range []error{cerr, lerr} {
			if got, want := shapeOf(err), shapeOf(terr); got != want {
				t.Errorf("%s: SCTP gives %+v (%v), TCP %+v (%v)", tt.name, got, err, want, terr)
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if _, ok := e.(interface{ Unwrap() []error }); ok {
					t.Errorf("%s: %v holds a %T", tt.name, err, e)
				}
			}
		}
	}
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

// TestBatchDeadlineInMessage has the read deadline pass in the middle of a message:
// ReadMsgs returns the part that has arrived, and later the rest.
func TestBatchDeadlineInMessage(t *testing.T) {
	watchdog(t, func() {
		p, ln := newCrasher(t, sctpnet.ListenConfig{Config: sctpnet.Config{PartialDeliveryPoint: 1}})
		client := p.dial(t)
		s := accept(t, ln)
		// The first flight gets there, and no acknowledgement of it back.
		p.peer.netem(t, "link1", "loss 100%")
		sent := bytes.Repeat([]byte("m"), 40<<10)
		if _, err := client.WriteMsg(sent, sctpnet.MsgInfo{Stream: 2, PPID: 7}); err != nil {
			t.Fatal(err)
		}
		var got []byte
		read := func() (more bool, err error) {
			ms := []sctpnet.Message{{Data: make([]byte, 64<<10)}, {Data: make([]byte, 64<<10)}}
			n, err := s.ReadMsgs(ms)
			if err != nil {
				return true, err
			}
			if m := ms[0]; n != 1 || m.Info.Stream != 2 || m.Info.PPID != 7 {
				t.Errorf("read %d messages, the first is %+v", n, m.Info)
			}
			got = append(got, ms[0].Data[:ms[0].N]...)
			return ms[0].Info.More, nil
		}
		for len(got) == 0 {
			s.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if more, err := read(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			} else if !more || len(got) == len(sent) {
				t.Fatalf("read %d bytes of %d, which are all", len(got), len(sent))
			}
		}
		s.SetReadDeadline(time.Time{})
		p.peer.heal(t, "link1")
		for more := true; more; {
			var err error
			if more, err = read(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("read %d bytes, want the %d that were sent", len(got), len(sent))
		}
	})
}
