package sctpnet_test

import (
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"golang.org/x/sys/unix"
)

// TestSetters checks that what is set is there, and that it fails after Close.
func TestSetters(t *testing.T) {
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
	conformance.WaitFor(t, "the goroutines of earlier tests", func() bool { return runtime.NumGoroutine() <= before })
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
