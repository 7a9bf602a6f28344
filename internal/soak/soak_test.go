package main

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// A damagedLink has what comes through it changed.
type damagedLink struct {
	link
	damage func(p []byte, n int) int // of what Read has returned; returns n anew
}

func (d damagedLink) Read(p []byte) (int, error) {
	n, err := d.link.Read(p)
	if n > 0 {
		n = d.damage(p, n)
	}
	return n, err
}

func (d damagedLink) ReadMsg(p []byte) (n int, info sctpnet.MsgInfo, err error) {
	n, err = d.Read(p)
	return n, info, err
}

// TestModelFindsDamage has an exchange over links that lose, double, change and swap
// bytes, which must be found, and over one that does nothing.
func TestModelFindsDamage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(p []byte, n int) int
		want   string // in the fault that is found; "" for none
	}{
		{"nothing", func(p []byte, n int) int { return n }, ""},
		{"a byte lost", func(p []byte, n int) int { return copy(p, p[1:n]) }, "is byte"},
		{"the last byte lost", func(p []byte, n int) int { return n - 1 }, "of the same flow"},
		{"a byte doubled", func(p []byte, n int) int { copy(p[1:n], p[:n-1]); return n }, "byte"},
		{"a byte changed", func(p []byte, n int) int { p[n/2] ^= 1; return n }, "byte"},
		{"two bytes swapped", func(p []byte, n int) int { p[n/2], p[n/2-1] = p[n/2-1], p[n/2]; return n }, "byte"},
		{"another flow's bytes", func(p []byte, n int) int { fill(p[:n], 7, 4096); return n }, "is not of this flow"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found := testFaults(t, func(s *soak) {
				x := s.newExchange("exchange", rand.New(rand.NewPCG(1, 2)), new(deeds))
				x.moves, x.bare, x.total = false, true, [2]int{200_000, 200_000}
				p := pairOf(t)
				var all sync.WaitGroup
				for i := range p {
					all.Go(func() { x.write(i, p[i], rand.New(rand.NewPCG(3, uint64(i)))) })
				}
				isDone := false
				once := func(b []byte, n int) int {
					// The last byte of all would only be missed by the watch.
					if isDone || n < 20 || x.flows[0].got()+n > 150_000 {
						return n
					}
					isDone = true
					return tt.damage(b, n)
				}
				all.Go(func() { x.read(0, p[0], rand.New(rand.NewPCG(5, 6)), x.total[1]) })
				all.Go(func() { x.read(1, damagedLink{p[1], once}, rand.New(rand.NewPCG(7, 8)), x.total[0]) })
				all.Wait()
				x.verdict()
			})
			switch {
			case tt.want == "" && found != nil:
				t.Errorf("found %v", found)
			case tt.want != "" && (found == nil || !strings.Contains(found.Error(), tt.want)):
				t.Errorf("found %v, not %q", found, tt.want)
			}
		})
	}
}

// pairOf makes an association over UDP.
func pairOf(t *testing.T) [2]link {
	ln, err := sctpnet.Listen("sctp4+udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := sctpnet.Dial("sctp4+udp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.(*sctpnet.Conn).Abort(); d.(*sctpnet.Conn).Abort() })
	return [2]link{c.(*sctpnet.Conn), d.(*sctpnet.Conn)}
}

// testFaults returns the first fault that f finds, or nil.
func testFaults(t *testing.T, f func(s *soak)) error {
	t.Helper()
	faults := make(chan error, 100)
	s := &soak{network: "test", watch: newWatch(time.Minute), exchanges: make(map[uint64]*exchange)}
	s.report = func(err error) {
		faults <- err
		runtime.Goexit()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(s)
	}()
	select {
	case err := <-faults:
		return err
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("neither a fault nor an end in a minute")
	}
	select {
	case err := <-faults:
		return err
	default:
		return nil
	}
}

// TestVerdict tries what the model says at the end of a flow.
func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		name           string
		accepted, came int
		outcome        outcome
		ok             bool
	}{
		{"all came", 500, 500, whole, true},
		{"the end is missing, at EOF", 500, 499, whole, false},
		{"the end is missing, after an ABORT", 500, 499, cut, true},
		{"the end was not read", 500, 10, stopped, true},
		{"more than was accepted", 400, 500, whole, false},
		{"more than was accepted, before an ABORT", 400, 500, cut, false},
	} {
		f := &flow{id: 1, name: "flow"}
		p := f.next(500)
		if err := f.read(p[:tt.came]); err != nil {
			t.Fatal(err)
		}
		if err := f.wrote(tt.accepted); err != nil {
			t.Fatal(err)
		}
		f.end(tt.outcome)
		if err := f.verdict(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestMessageModel tries messages that are lost, doubled, divided and crossed.
func TestMessageModel(t *testing.T) {
	type message struct {
		data []byte
		info sctpnet.MsgInfo
	}
	for _, tt := range []struct {
		name   string
		change func(m []message) []message
		ok     bool
	}{
		{"nothing", func(m []message) []message { return m }, true},
		{"one lost", func(m []message) []message { return m[1:] }, false},
		{"the last one lost", func(m []message) []message { return m[:len(m)-1] }, false},
		{"one doubled", func(m []message) []message { return append(m, m[0]) }, false},
		{"an unordered one doubled", func(m []message) []message { return append(m, m[5]) }, false},
		{"an unordered one early", func(m []message) []message { return append([]message{m[5]}, append(m[:5:5], m[6:]...)...) }, true},
		{"two swapped", func(m []message) []message { m[0], m[2] = m[2], m[0]; return m }, false},
		{"streams crossed", func(m []message) []message { m[0].info.Stream ^= 1; return m }, false},
		{"no such stream", func(m []message) []message { m[0].info.Stream = 9; return m }, false},
		{"another PPID", func(m []message) []message { m[0].info.PPID ^= 1; return m }, false},
		{"two in one", func(m []message) []message {
			m[0].data = append(m[0].data, m[2].data...)
			return append(m[:2], m[3:]...)
		}, false},
		{"two pieces", func(m []message) []message {
			a, b := m[0], m[0]
			a.data, b.data, a.info.More = a.data[:10], a.data[10:], true
			return append([]message{a, b}, m[1:]...)
		}, true},
		{"the rest of one lost", func(m []message) []message { m[0].info.More, m[0].data = true, m[0].data[:10]; return m }, false},
	} {
		w := &way{flows: map[uint16]*flow{0: {id: 10, name: "stream 0"}, 1: {id: 11, name: "stream 1"}}, bag: &bag{id: 12, name: "unordered"}}
		var ms []message
		for i := range 6 {
			m := message{info: sctpnet.MsgInfo{Stream: uint16(i % 2)}}
			if i > 3 {
				m.info.Unordered = true
				m.data, m.info.PPID = w.bag.message(100 + i)
				w.bag.wrote(m.info.PPID)
			} else {
				f := w.flows[m.info.Stream]
				m.data, m.info.PPID = f.message(100 + i)
				if err := f.wrote(100 + i); err != nil {
					t.Fatal(err)
				}
			}
			ms = append(ms, m)
		}
		in := assembler{w: w}
		var err error
		for _, m := range tt.change(ms) {
			err = errors.Join(err, in.add(m.data, m.info, nil))
		}
		w.end(whole)
		if err = errors.Join(err, w.verdict()); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestEndsByDeeds tries which ends of reading are faults, by what was done.
func TestEndsByDeeds(t *testing.T) {
	reset := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	gone := &net.OpError{Op: "read", Err: net.ErrClosed}
	silent := &net.OpError{Op: "read", Err: syscall.ETIMEDOUT}
	for _, tt := range []struct {
		own, others deed
		err         error
		ok          bool
	}{
		{0, 0, io.EOF, false}, {0, 0, reset, false}, {0, 0, gone, false}, {0, 0, silent, false},
		{0, closed, io.EOF, true}, {0, closed, reset, false}, {0, closed, gone, false},
		{0, shutDown, io.EOF, true}, {0, shutDown, reset, false}, {shutDown, 0, io.EOF, true},
		{0, closedAnyhow, io.EOF, true}, {0, closedAnyhow, reset, true},
		{0, closedUnread, io.EOF, false}, {0, closedUnread, reset, true},
		{0, aborted, io.EOF, false}, {0, aborted, reset, true}, {0, aborted, silent, false},
		{aborted, 0, gone, true}, {closed, 0, gone, true}, {closed, 0, reset, false},
	} {
		var d deeds
		d.note(0, tt.own)
		d.note(1, tt.others)
		if _, err := d.readEnd(0, tt.err); (err == nil) != tt.ok {
			t.Errorf("own deeds %#x, the other's %#x, %v: %v", tt.own, tt.others, tt.err, err)
		}
	}
}

// TestWatchFindsHang has a call take too long.
func TestWatchFindsHang(t *testing.T) {
	w := newWatch(time.Millisecond)
	a := w.actor("the actor")
	defer a.leave()
	quit := make(chan struct{})
	defer close(quit)
	go a.do("Read", func() { <-quit })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if err := w.late(); err != nil {
			if !strings.Contains(err.Error(), "the actor: Read") {
				t.Error(err)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the watch does not find it")
		}
	}
}

// TestBadArguments tries arguments that are refused, in one line.
func TestBadArguments(t *testing.T) {
	for _, args := range [][]string{{}, {"10"}, {"10x"}, {"-5s"}, {"1ms"}, {"10s", "x"}, {"10s", "-1"}, {"10s", "1", "2"}, {"10s", "99999999999999999999"}} {
		err := (&settings{workers: 1}).parse("sctp4", "0", args)
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("arguments %q: %v", args, err)
		}
	}
	for _, loss := range []string{"", "x", "-1", "21", "1,,2"} {
		if err := (&settings{workers: 1}).parse("sctp4", loss, []string{"1s"}); err == nil {
			t.Errorf("loss %q passes", loss)
		}
	}
}

// TestSoakOverUDP plays a few plans. All must pass, and leave nothing.
func TestSoakOverUDP(t *testing.T) {
	before := measure()
	faults := make(chan error, 100)
	s, err := newSoak("sctp4+udp", 1, time.Minute, func(err error) {
		faults <- err
		runtime.Goexit()
	})
	if err != nil {
		t.Fatal(err)
	}
	over, done := make(chan struct{}), make(chan struct{})
	go s.watch.run(over, s.fail)
	go func() {
		defer close(done)
		var all sync.WaitGroup
		for n := range uint64(12) {
			all.Go(func() { s.play(n) })
		}
		all.Wait()
		s.close()
	}()
	select {
	case <-done:
	case err := <-faults:
		t.Fatal(err)
	}
	close(over)
	if _, err := awaitRest(before, time.Minute); err != nil {
		t.Error(err)
	}
}
