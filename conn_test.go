package sctpnet_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"golang.org/x/sys/unix"
)

// TestSmallWriteBuffer has a Write meet a send buffer that holds no message of
// the usual size.
func TestSmallWriteBuffer(t *testing.T) {
	c, s := pipe(t, "sctp", "127.0.0.1:0")
	if err := c.SetWriteBuffer(1); err != nil {
		t.Fatal(err)
	}
	if n := getsockopt(t, c, unix.SOL_SOCKET, unix.SO_SNDBUF); n >= 64<<10 {
		t.Fatalf("the send buffer has %d bytes, want few", n)
	}
	want := bytes.Repeat([]byte("0123456789"), 20_000)
	watchdog(t, func() {
		written := make(chan error, 1)
		go func() {
			n, err := c.Write(want)
			if err == nil && n != len(want) {
				err = io.ErrShortWrite
			}
			written <- errors.Join(err, c.Close())
		}()
		got, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes, %v; want %d", len(got), err, len(want))
		}
		if err := <-written; err != nil {
			t.Error(err)
		}
	})
}

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

func TestSetLinger(t *testing.T) {
	t.Run("0", func(t *testing.T) {
		c, s := pipe(t, "sctp", "127.0.0.1:0")
		if err := errors.Join(c.SetLinger(0), c.Close()); err != nil {
			t.Fatal(err)
		}
		watchdog(t, func() {
			if _, err := s.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the peer's Read: %v, want ECONNRESET", err)
			}
		})
	})
	t.Run("1", func(t *testing.T) {
		watchdog(t, func() {
			// A signal of the runtime's ends the wait, but not every time.
			for range 10 {
				c, _ := pipe(t, "sctp", "127.0.0.1:0")
				c.SetLinger(1)
				c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
				c.Write(make([]byte, 16<<20)) // as much as the peer takes unread, and more
				start := time.Now()
				c.Close()
				took := time.Since(start)
				if took > time.Second+5*atOnce {
					t.Errorf("Close took %v, want 1 s", took)
				}
				if took > 900*time.Millisecond {
					return
				}
			}
			t.Error("Close never took 1 s")
		})
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
}
