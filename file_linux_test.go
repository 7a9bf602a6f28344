package sctpnet_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
	"golang.org/x/sys/unix"
)

func init() {
	children["serve a listener"] = serveListener
	children["take over"] = takeOver
}

// inherited is the first descriptor that a child gets beside the usual ones.
func inherited() *os.File { return os.NewFile(3, "inherited") }

// serveListener accepts two associations on the listener that it was given, and
// echoes a line of each.
func serveListener() error {
	f := inherited()
	ln, err := sctpnet.FileListener(f)
	if err != nil {
		return err
	}
	f.Close()
	fmt.Println("ready", ln.Addr())
	for range 2 {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			return err
		}
		if _, err := fmt.Fprint(c, "child: ", line); err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	// It is on the poller: a deadline ends a wait.
	ln.(*sctpnet.Listener).SetDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := ln.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("Accept after the deadline: %w", err)
	}
	return ln.Close()
}

// takeOver answers on the association that it was given.
func takeOver() error {
	f := inherited()
	c, err := sctpnet.FileConn(f)
	if err != nil {
		return err
	}
	f.Close()
	fmt.Println("ready", c.LocalAddr(), c.RemoteAddr())
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	s, err := c.(*sctpnet.Conn).Stream(3) // the rest of the package works too
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(s, "child: ", line); err != nil {
		return err
	}
	return c.Close()
}

// startChild starts this program again as one of children, with a file. It returns
// what the child says once it is ready, and a function that waits for its end.
func startChild(t testing.TB, name string, f *os.File) (ready string, wait func()) {
	t.Helper()
	cmd := childCommand(name)
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	ended := false
	t.Cleanup(func() {
		if !ended {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	watchdog(t, func() { ready, err = r.ReadString('\n') })
	if err != nil || !strings.HasPrefix(ready, "ready ") {
		t.Fatalf("the child said %q, %v", ready, err)
	}
	return strings.TrimSpace(strings.TrimPrefix(ready, "ready ")), func() {
		t.Helper()
		rest, _ := io.ReadAll(r)
		ended = true
		if err := cmd.Wait(); err != nil {
			t.Errorf("the child: %v: %s", err, rest)
		}
	}
}

func TestListenerFile(t *testing.T) {
	for _, address := range []string{"127.0.0.1/127.0.0.2:0", "[::]:0", "127.0.0.1/[::1]:0"} {
		ln := listen(t, "sctp", address)
		f, err := ln.File()
		if err != nil {
			t.Fatal(err)
		}
		// One that waits to be accepted is not lost.
		early := dial(t, nil, "sctp", ln.Addr().String())
		addr, wait := startChild(t, "serve a listener", f)
		if addr != ln.Addr().String() {
			t.Errorf("the child listens on %s, want %s", addr, ln.Addr())
		}
		f.Close()
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		late := dial(t, nil, "sctp", ln.Addr().String())
		for _, c := range []net.Conn{early, late} {
			fmt.Fprintln(c, "hello")
			watchdog(t, func() {
				if got, err := io.ReadAll(c); string(got) != "child: hello\n" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
		watchdog(t, wait)
		if _, err := sctpnet.Dial("sctp", ln.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("after the end of the child: %v", err)
		}
		if _, err := ln.File(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("File after Close: %v", err)
		}
	}
}

func TestConnFile(t *testing.T) {
	c, s := pipe(t, "sctp", "127.0.0.1/127.0.0.2:0")
	fmt.Fprintln(c, "hello") // still unread
	f, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	addrs, wait := startChild(t, "take over", f)
	if want := s.LocalAddr().String() + " " + s.RemoteAddr().String(); addrs != want {
		t.Errorf("addresses in the child: %s, want %s", addrs, want)
	}
	f.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	watchdog(t, func() {
		buf := make([]byte, 100)
		n, stream, err := c.ReadStream(buf)
		if string(buf[:n]) != "child: hello\n" || stream != 3 && err == nil || err != nil {
			n2, _, err2 := c.ReadStream(buf[n:])
			if got := string(buf[:n+n2]); got != "child: hello\n" || err2 != nil {
				t.Errorf("got %q, %v, %v", got, err, err2)
			}
		}
		if _, err := c.Read(buf); err != io.EOF {
			t.Errorf("after the child's Close: %v", err)
		}
	})
	watchdog(t, wait)
}

// In the same process the two are of equal rank.
func TestFileCopies(t *testing.T) {
	c, s := pipe(t, "sctp", "127.0.0.1:0")
	f, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("flags %#x, %v; want it non-blocking", flags, err)
	}
	if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %v; want it closed by exec", flags, err)
	}
	copied, err := sctpnet.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	// Deadlines still work for both.
	for _, end := range []net.Conn{s, copied} {
		end.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		watchdog(t, func() {
			if _, err := end.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read: %v", err)
			}
		})
		end.SetReadDeadline(time.Time{})
	}
	out, in := s.NumStreams()
	if o, i := copied.(*sctpnet.Conn).NumStreams(); o != out || i != in {
		t.Errorf("%d and %d streams, want %d and %d", o, i, out, in)
	}
	s.Close()
	send(t, c, copied.(*sctpnet.Conn), sctpnet.MsgInfo{PPID: 7}, 100)
	send(t, copied.(*sctpnet.Conn), c, sctpnet.MsgInfo{PPID: 7}, 100)
	copied.Close()
	watchdog(t, func() {
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("Read after both are closed: %v", err)
		}
	})
}

// A Conn of an association that has ended reads what is left.
func TestFileOfEnded(t *testing.T) {
	c, s := pipe(t, "sctp", "127.0.0.1:0")
	fmt.Fprint(c, "last words")
	c.Close()
	eventually(t, "the end", func() bool {
		_, err := s.Status()
		return err != nil
	})
	copied := copyOf(t, s)
	if copied.RemoteAddr() == nil || copied.LocalAddr() == nil {
		t.Error("no addresses")
	}
	watchdog(t, func() {
		if got, err := io.ReadAll(copied); string(got) != "last words" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestFileInUse(t *testing.T) {
	c, _ := pipe(t, "sctp", "127.0.0.1:0")
	if _, err := c.OpenStream(); err != nil {
		t.Fatal(err)
	}
	f, err := c.File()
	var operr *net.OpError
	if f != nil || !errors.As(err, &operr) || !strings.Contains(err.Error(), "streams") {
		t.Errorf("File of a Conn with streams: %v, %v", f, err)
	}
	c.Close()
	if _, err := c.File(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("File after Close: %v", err)
	}
}

func TestFileConnRefusesWrongFiles(t *testing.T) {
	ln := listen(t, "sctp", "127.0.0.1:0")
	c, _ := pipe(t, "sctp", "127.0.0.1:0")
	files := make(map[string]*os.File)
	add := func(name string, f *os.File, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Cleanup(func() { f.Close() })
		files[name] = f
	}
	socket := func(name string, domain, typ, proto int) {
		t.Helper()
		fd, err := unix.Socket(domain, typ|unix.SOCK_CLOEXEC, proto)
		add(name, os.NewFile(uintptr(fd), name), err)
	}
	f, err := ln.File()
	add("listener", f, err)
	f, err = c.File()
	add("conn", f, err)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	f, err = tcp.(*net.TCPListener).File()
	add("TCP", f, err)
	r, w, err := os.Pipe()
	add("pipe", r, err)
	add("other end", w, err)
	f, err = os.Open("/dev/null")
	add("device", f, err)
	socket("unix", unix.AF_UNIX, unix.SOCK_STREAM, 0)
	socket("one-to-many", unix.AF_INET, unix.SOCK_SEQPACKET, unix.IPPROTO_SCTP)
	socket("fresh", unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_SCTP)
	closed, err := os.Open("/dev/null")
	add("closed", closed, err)
	closed.Close()

	conn := func(f *os.File) (io.Closer, error) { return sctpnet.FileConn(f) }
	lis := func(f *os.File) (io.Closer, error) { return sctpnet.FileListener(f) }
	for _, tt := range []struct {
		name, file string
		make       func(*os.File) (io.Closer, error)
		says       string
	}{
		{"FileConn", "listener", conn, "listening socket"},
		{"FileListener", "conn", lis, "not a listening socket"},
		{"FileConn", "TCP", conn, "not an SCTP socket"},
		{"FileListener", "TCP", lis, "not an SCTP socket"},
		{"FileConn", "pipe", conn, "not a socket"},
		{"FileListener", "pipe", lis, "not a socket"},
		{"FileConn", "device", conn, "not a socket"},
		{"FileConn", "unix", conn, "not an SCTP socket"},
		{"FileListener", "unix", lis, "not an SCTP socket"},
		{"FileConn", "one-to-many", conn, "one-to-many"},
		{"FileListener", "one-to-many", lis, "one-to-many"},
		{"FileConn", "fresh", conn, "no association"},
		{"FileListener", "fresh", lis, "not a listening socket"},
		{"FileConn", "closed", conn, "bad file descriptor"},
		{"FileListener", "closed", lis, "bad file descriptor"},
		{"FileConn", "none", conn, "invalid argument"},
		{"FileListener", "none", lis, "invalid argument"},
	} {
		got, err := tt.make(files[tt.file])
		var operr *net.OpError
		if !errors.As(err, &operr) || operr.Op != "file" || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s of %s: %v, %v; want an error that says %q", tt.name, tt.file, got, err, tt.says)
		}
	}
	// They are none the worse for it.
	if flags, err := unix.FcntlInt(files["fresh"].Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("flags %#x, %v; want them as they were", flags, err)
	}
	if _, err := c.Status(); err != nil {
		t.Error(err)
	}
}

// A socket that another program has made is made fit.
func TestFileOfOthers(t *testing.T) {
	needSCTP(t)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "foreign")
	defer f.Close()
	if err := errors.Join(
		unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
		sctp.NewSCTPConn(fd, nil).SubscribeEvents(sctp.SCTP_EVENT_ALL),
		unix.Listen(fd, 5),
	); err != nil {
		t.Fatal(err)
	}
	ln, err := sctpnet.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := dial(t, nil, "sctp", ln.Addr().String())
	s := accept(t, ln)
	if _, err := c.WriteMsg([]byte("hello"), sctpnet.MsgInfo{Stream: 2, PPID: 46}); err != nil {
		t.Fatal(err)
	}
	watchdog(t, func() {
		buf := make([]byte, 100)
		n, info, err := s.ReadMsg(buf)
		if string(buf[:n]) != "hello" || info.Stream != 2 || info.PPID != 46 || err != nil {
			t.Errorf("got %q, %+v, %v", buf[:n], info, err)
		}
	})
	stream, err := c.Stream(3)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(stream, "by stream")
	if err := stream.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	watchdog(t, func() {
		peer, err := s.AcceptStream(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		if got, err := io.ReadAll(peer); string(got) != "by stream" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// TestBlockingDescriptor has somebody set the descriptor to blocking, which a
// duplicate of it is enough for. Deadlines must hold even so: a call that
// waited in the system would hold up all goroutines, if there is one processor.
func TestBlockingDescriptor(t *testing.T) {
	small := sctpnet.Config{ReadBuffer: 64 << 10, WriteBuffer: 64 << 10} // so that each write waits
	c, _ := configured(t, "sctp4", "127.0.0.1:0", small, small)
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const wait = 25 // seconds, after which the system would let go
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	for _, opt := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, opt, &unix.Timeval{Sec: wait}); err != nil {
			t.Fatal(err)
		}
	}
	for what, call := range map[string]func() error{
		"Read":      func() error { _, err := c.Read(make([]byte, 10)); return err },
		"ReadMsgs":  func() error { _, err := c.ReadMsgs(batchOf(2, 10)); return err },
		"Write":     func() error { _, err := c.Write(ballast()); return err },
		"WriteMsgs": func() error { _, err := c.WriteMsgs(batchOf(64, 10_000)); return err },
	} {
		watchdog(t, func() {
			ballast() // takes its time to make
			start := time.Now()
			c.SetDeadline(start.Add(100 * ms))
			err := call()
			wantError(t, what, err, os.ErrDeadlineExceeded)
			if took := time.Since(start); took >= wait*time.Second {
				t.Errorf("%s waited %v in the system", what, took)
			}
		})
	}
}

// TestRestartWithFile has a peer restart an association that File has copied. The copy
// keeps it from being aborted, but reads nothing of the new life. The new life ends
// with the copy.
func TestRestartWithFile(t *testing.T) {
	watchdog(t, func() {
		p, ln := newCrasher(t, sctpnet.ListenConfig{})
		client := p.dial(t)
		s := accept(t, ln)
		say(t, client, "old")
		c := copyOf(t, s)
		p.crash(t, client)
		again := p.dial(t)
		say(t, again, "for nobody")
		wantLife(t, s, "old")
		if b, err := io.ReadAll(c); len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the copy reads %q, %v", b, err)
		}
		say(t, again, "still for nobody")
		if b, err := io.ReadAll(c); len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the copy reads %q, %v", b, err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(again); len(b) > 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the new life reads %q, %v; want ECONNRESET", b, err)
		}
		again.Close() // it has the port
		exchange(t, p.dial(t), accept(t, ln))
	})
}
