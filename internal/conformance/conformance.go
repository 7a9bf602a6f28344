// Package conformance is one suite of behaviors for every net.Conn that this
// module makes, whichever engine is below it. It goes on where
// golang.org/x/net/nettest ends: at large writes, at the ways in which a
// connection ends, and at the errors it ends with.
//
// What not every Conn has is found by its methods, and tested where it is
// there: Abort() error, Shutdown() error, CloseWrite() error.
package conformance

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// limit is the longest that one test can take before it counts as hanging. It is
// far more than a test takes on a busy machine.
const limit = 5 * time.Minute

// atOnce is the longest that something takes which does not wait, on a busy machine.
const atOnce = (2 + Slowness) * time.Second

var tests = []struct {
	name string
	f    func(*pair)
}{
	{"Write", testWrite},
	{"EmptyWrite", testEmptyWrite},
	{"ShortRead", testShortRead},
	{"ConcurrentWriters", testConcurrentWriters},

	{"PastDeadline", testPastDeadline},
	{"FutureDeadline", testFutureDeadline},
	{"DeadlineMovedEarlier", testDeadlineMovedEarlier},
	{"DeadlineMovedLater", testDeadlineMovedLater},
	{"PartialWrite", testPartialWrite},

	{"CloseThenEOF", testCloseThenEOF},
	{"CloseDelivers", testCloseDelivers},
	{"CloseWakes", testCloseWakes},
	{"CloseCutsWrite", testCloseCutsWrite},
	{"CloseUnread", testCloseUnread},
	{"UseAfterClose", testUseAfterClose},
	{"WriteAfterPeersClose", testWriteAfterPeersClose},

	{"Abort", testAbort},
	{"AbortFoundByWrite", testAbortFoundByWrite},
	{"AbortAfterData", testAbortAfterData},
	{"OwnAbort", testOwnAbort},

	{"Shutdown", testShutdown},
	{"ShutdownWakes", testShutdownWakes},
	{"ShutdownPending", testShutdownPending},
	{"ShutdownByBoth", testShutdownByBoth},
	{"UseAfterShutdown", testUseAfterShutdown},
	{"CloseWrite", testCloseWrite},

	{"Addresses", testAddresses},
}

// TestConn runs the suite on pairs that mp makes. Whatever has to do with ends
// is tried from both sides of them. The sizes are lengths of single writes to
// try besides the usual ones. The tests go on, in parallel, until t ends.
func TestConn(t *testing.T, mp nettest.MakePipe, sizes ...int) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // most of the time they wait
			Watchdog(t, func() {
				tt.f(&pair{t, mp, sizes})
			})
		})
	}
}

// Watchdog runs f and fails the test, with the stacks of all goroutines, if it
// hangs.
func Watchdog(t testing.TB, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done) // also if f ends by t.FailNow
		f()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		if t.Failed() {
			t.FailNow()
		}
	case <-timer.C:
		// Not by Fatalf: f may wake when the test has ended, and if it fails then
		// the process dies, with all that was not printed yet.
		fmt.Fprintf(os.Stderr, "%s hangs\n\n%s\n", t.Name(), stacks())
		t.Fatalf("hangs: not done after %v", limit)
	}
}

// WaitFor waits until ok returns true, and fails the test if it takes too long.
func WaitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// HeapBytes is what the heap has in use, without garbage and without what pools keep.
func HeapBytes() int {
	runtime.GC()
	runtime.GC() // what pools had before is gone now
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// WaitForHeap waits until at most so many bytes are in use. A goroutine that is about to
// wait, or what an earlier test has left, may have some until then.
func WaitForHeap(t testing.TB, most int) {
	t.Helper()
	used := HeapBytes()
	for deadline := time.Now().Add(limit); used > most; used = HeapBytes() {
		if time.Now().After(deadline) {
			t.Fatalf("the heap has %d bytes, want %d at most", used, most)
		}
	}
}

func stacks() []byte {
	buf := make([]byte, 1<<20)
	return buf[:runtime.Stack(buf, true)]
}

// A pair is one test's source of connected Conns.
type pair struct {
	*testing.T
	mp    nettest.MakePipe
	sizes []int
}

// pipe makes a pair that lives until stop is called or the test ends.
func (p *pair) pipe() (c1, c2 net.Conn, stop func()) {
	p.Helper()
	c1, c2, stop, err := p.mp()
	if err != nil {
		p.Fatal("making a pair:", err)
	}
	p.Cleanup(stop)
	return c1, c2, stop
}

// rounds runs f n times on a new pair as made, and n times on one with its ends
// exchanged.
func (p *pair) rounds(n int, f func(i int, c1, c2 net.Conn)) {
	p.Helper()
	for i := range 2 * n {
		c1, c2, stop := p.pipe()
		if i%2 != 0 {
			c1, c2 = c2, c1
		}
		f(i/2, c1, c2)
		stop()
		if p.Failed() {
			p.Fatalf("in round %d of %d", i+1, 2*n)
		}
	}
}

// run runs f as a subtest.
func (p *pair) run(name string, f func(p *pair)) {
	p.Run(name, func(t *testing.T) {
		f(&pair{t, p.mp, p.sizes})
	})
}

// A call is a method that runs in a goroutine of its own.
type call struct {
	p    *pair
	done chan struct{}
	n    int
	err  error
}

// start calls f, a Read or a Write, with b.
func (p *pair) start(f func([]byte) (int, error), b []byte) *call {
	c := &call{p: p, done: make(chan struct{})}
	started := make(chan struct{})
	go func() {
		defer close(c.done)
		close(started)
		c.n, c.err = f(b)
	}()
	<-started
	return c
}

// waits returns when the call waits for something. The test fails if it
// returns instead.
func (c *call) waits() {
	c.p.Helper()
	WaitFor(c.p, "a call to wait", func() bool {
		select {
		case <-c.done:
			c.p.Fatalf("the call returned %d, %v; want it to wait", c.n, c.err)
		default:
		}
		return othersWait()
	})
}

// result waits for the call to return.
func (c *call) result() (int, error) {
	<-c.done
	return c.n, c.err
}

// othersWait reports whether all goroutines but this one wait for something.
// (To ask for their stacks, which would tell of one alone, can crash a program
// while others return from system calls, at least up to Go 1.26.)
func othersWait() bool {
	s := []metrics.Sample{
		{Name: "/sched/goroutines/running:goroutines"},
		{Name: "/sched/goroutines/runnable:goroutines"},
		{Name: "/sched/goroutines/not-in-go:goroutines"},
	}
	metrics.Read(s)
	return s[0].Value.Uint64() <= 1 && s[1].Value.Uint64() == 0 && s[2].Value.Uint64() == 0
}

// wantError checks that err has the shape of package net's and wraps one of
// the causes.
func (p *pair) wantError(c net.Conn, op string, err error, causes ...error) {
	p.Helper()
	e, ok := err.(*net.OpError)
	if !ok {
		p.Errorf("%s: error is %T (%v), want a *net.OpError around %v", op, err, err, causes)
		return
	}
	if e.Op != op {
		p.Errorf("%v: Op is %q, want %q", err, e.Op, op)
	}
	if network := strings.NewReplacer("4", "", "6", "").Replace(e.Net); network != c.LocalAddr().Network() {
		p.Errorf("%v: Net is %q, want %q, or that with 4 or 6", err, e.Net, c.LocalAddr().Network())
	}
	source, addr := c.LocalAddr(), c.RemoteAddr()
	if op == "set" {
		source, addr = nil, source // as in package net
	}
	if e.Source != source {
		p.Errorf("%v: Source is %v, want %v", err, e.Source, source)
	}
	if e.Addr != addr {
		p.Errorf("%v: Addr is %v, want %v", err, e.Addr, addr)
	}
	for _, cause := range causes {
		if errors.Is(err, cause) {
			return
		}
	}
	p.Errorf("%s: error is %v, want one that wraps %v", op, err, causes)
}

// often is how many times something that must happen every time is tried on
// one pair.
const often = 3

// wantEOF checks that Read returns io.EOF and nothing else, every time.
func (p *pair) wantEOF(c net.Conn) {
	p.Helper()
	for range often {
		if n, err := c.Read(make([]byte, 100)); n != 0 || err != io.EOF {
			p.Errorf("Read returned %d, %v; want 0, EOF", n, err)
		}
	}
}

// wantReset checks that every Read returns ECONNRESET and every Write too, or
// EPIPE.
func (p *pair) wantReset(c net.Conn) {
	p.Helper()
	for range often {
		n, err := c.Read(make([]byte, 100))
		if n != 0 {
			p.Errorf("Read returned %d bytes after the peer's abort", n)
		}
		p.wantError(c, "read", err, syscall.ECONNRESET)
		n, err = c.Write([]byte("x"))
		if n != 0 {
			p.Errorf("Write accepted %d bytes after the peer's abort", n)
		}
		p.wantError(c, "write", err, syscall.ECONNRESET, syscall.EPIPE)
	}
}

// write and read move data that fits into the buffers on the way.
func (p *pair) write(c net.Conn, s string) {
	p.Helper()
	if n, err := c.Write([]byte(s)); n != len(s) || err != nil {
		p.Fatalf("Write returned %d, %v; want %d, nil", n, err, len(s))
	}
}

func (p *pair) read(c net.Conn, want string) {
	p.Helper()
	b := make([]byte, len(want))
	if n, err := io.ReadFull(c, b); err != nil || string(b) != want {
		p.Fatalf("read %q, %v; want %q", b[:n], err, want)
	}
}

func (p *pair) close(c net.Conn) {
	p.Helper()
	if err := c.Close(); err != nil {
		p.Errorf("Close: %v", err)
	}
}

// since checks that what began at start was over at once.
func (p *pair) since(start time.Time, what string) {
	p.Helper()
	if d := time.Since(start); d > atOnce {
		p.Errorf("%s took %v", what, d)
	}
}

// size names a number of bytes for a subtest.
func size(n int) string { return strconv.Itoa(n) + "B" }
