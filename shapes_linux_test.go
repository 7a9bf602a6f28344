package sctpnet_test

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

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

// connPairs returns the dialled end of a connection of TCP and one of SCTP.
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
