package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/sctpnet/sctpnet"
)

// A link is what a Conn and a Stream have in common.
type link interface {
	net.Conn
	io.ReaderFrom
	io.WriterTo
	ReadMsg(p []byte) (int, sctpnet.MsgInfo, error)
	WriteMsg(p []byte, info sctpnet.MsgInfo) (int, error)
	WriteBuffers(*net.Buffers) (int64, error)
}

// An exchange is a flow each way between two ends, which read and write at the
// same time.
type exchange struct {
	s     *soak
	name  string
	assoc *deeds // of the association
	did   deeds  // of the stream, if it is one
	flows [2]*flow
	total [2]int // bytes that each end is to write
	moves bool   // deadlines are moved
	bare  bool   // no bytes are handed to io.Copy
	left  atomic.Int32
	over  chan struct{} // closed when both ends are done

	// Of an exchange whose stream is to be accepted:
	reader int          // the end that has accepted it
	how    [2]streamEnd // what the ends do
	r      *rand.Rand   // for the end that accepts it
}

// newExchange makes an exchange; the flow of end i is flows[i].
func (s *soak) newExchange(name string, r *rand.Rand, assoc *deeds) *exchange {
	x := &exchange{s: s, name: name, assoc: assoc, moves: r.IntN(3) == 0, bare: r.IntN(2) == 0, over: make(chan struct{})}
	for i := range x.flows {
		x.flows[i] = &flow{id: r.Uint64(), name: fmt.Sprintf("%s, what end %d writes", name, i)}
		x.total[i] = amount(r)
	}
	x.left.Store(2)
	return x
}

// done says that an end is done. After the second one the bytes are judged.
func (x *exchange) done() {
	if x.left.Add(-1) == 0 {
		x.verdict()
		close(x.over)
	}
}

// amount is how many bytes a flow has: mostly few, rarely many.
func amount(r *rand.Rand) int {
	switch n := r.IntN(50); {
	case n < 30:
		return firstWrite + r.IntN(3_000)
	case n < 49:
		return firstWrite + r.IntN(40_000)
	default:
		return firstWrite + r.IntN(1_000_000)
	}
}

// firstWrite is how many bytes the first Write of a flow has.
const firstWrite = 100

// size is the length of a Write, or of the memory for a Read.
func size(r *rand.Rand) int {
	switch n := r.IntN(20); {
	case n < 12:
		return 1 + r.IntN(2000)
	case n < 19:
		return 1 + r.IntN(40_000)
	default:
		return 1 + r.IntN(150_000)
	}
}

// readEnd judges a stream's error by the stream's ends, and then by those of the
// association.
func (x *exchange) readEnd(i int, err error) (outcome, error) {
	switch {
	case errors.Is(err, net.ErrClosed) && x.did.has(i, closed), err == io.EOF && x.did.has(i, deaf):
		return stopped, nil
	case err == io.EOF && x.did.others(i, halfClosed|closed):
		return whole, nil
	}
	o, err := x.assoc.readEnd(i, err)
	if err != nil {
		err = fmt.Errorf("%s: %w; and those of the stream %v", x.name, err, &x.did)
	}
	return o, err
}

func (x *exchange) writeEnd(i int, err error) error {
	if errors.Is(err, net.ErrClosed) && x.did.has(i, closed) ||
		mayNotWrite(err) && (x.did.others(i, closed) || x.did.has(i, halfClosed)) {
		return nil
	}
	if err := x.assoc.writeEnd(i, err); err != nil {
		return fmt.Errorf("%s: %w; and those of the stream %v", x.name, err, &x.did)
	}
	return nil
}

// write writes all that end i is to write, or until it may not any more.
func (x *exchange) write(i int, c link, r *rand.Rand) {
	f := x.flows[i]
	a := x.s.watch.actor(f.name)
	defer a.leave()
	first := true
	for f.accepted < x.total[i] {
		n := min(size(r), x.total[i]-f.accepted)
		if first {
			n = firstWrite
		}
		p := f.next(n)
		how := r.IntN(6)
		var err error
		switch {
		case how == 0 && n <= maxMessage:
			a.do("WriteMsg", func() { n, err = c.WriteMsg(p, sctpnet.MsgInfo{PPID: r.Uint32()}) })
		case how == 1:
			v := pieces(r, p)
			a.do("WriteBuffers", func() {
				var n64 int64
				n64, err = c.WriteBuffers(&v)
				n = int(n64)
			})
		default:
			a.do("Write", func() { n, err = c.Write(p) })
		}
		if err == nil && n < len(p) {
			x.s.fail(fmt.Errorf("%s: a write of %d bytes returned %d and no error", f.name, len(p), n))
		}
		if err := f.wrote(n); err != nil {
			x.s.fail(err)
		}
		first = first && f.accepted == 0
		switch {
		case err == nil:
		case isTimeout(err) && x.moves:
			time.Sleep(time.Millisecond)
		default:
			if err := x.writeEnd(i, err); err != nil {
				x.s.fail(err)
			}
			return
		}
	}
}

// maxMessage is the largest message that every write buffer holds.
const maxMessage = 30_000

// pieces divides p.
func pieces(r *rand.Rand, p []byte) (v net.Buffers) {
	for len(p) > 0 {
		n := min(len(p), 1+r.IntN(3000))
		v, p = append(v, p[:n]), p[n:]
	}
	return v
}

// read reads what the other end than i writes, up to the end, or if most >= 0 that
// many bytes. The flow's first bytes may have been read.
func (x *exchange) read(i int, c link, r *rand.Rand, most int) {
	f := x.flows[1-i]
	a := x.s.watch.actor(f.name + " (reading it)")
	defer a.leave()
	buf := make([]byte, 0, 8192)
	for most < 0 || f.got() < most {
		if most < 0 && !x.bare && r.IntN(20) == 0 {
			var err error
			a.do("WriteTo", func() { _, err = c.WriteTo(checker{f}) })
			if err == nil {
				err = io.EOF
			}
			if isTimeout(err) && x.moves {
				time.Sleep(time.Millisecond)
				continue
			}
			x.endRead(i, c, a, f, err)
			return
		}
		n := size(r)
		if most >= 0 {
			n = min(n, most-f.got())
		}
		if n > cap(buf) {
			buf = make([]byte, 0, n)
		}
		p := buf[:n]
		var err error
		if r.IntN(4) == 0 {
			a.do("ReadMsg", func() { n, _, err = c.ReadMsg(p) })
		} else {
			a.do("Read", func() { n, err = c.Read(p) })
		}
		if e := f.read(p[:n]); e != nil {
			x.s.fail(e)
		}
		switch {
		case err == nil && n == 0:
			x.s.fail(fmt.Errorf("%s: a read returned no byte and no error", f.name))
		case err == nil:
		case isTimeout(err) && x.moves:
			time.Sleep(time.Millisecond)
		default:
			x.endRead(i, c, a, f, err)
			return
		}
	}
	f.end(whole)
}

// A checker is where WriteTo writes to.
type checker struct{ f *flow }

func (w checker) Write(p []byte) (int, error) {
	if err := w.f.read(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// endRead notes how reading has ended. It must stay so.
func (x *exchange) endRead(i int, c link, a *actor, f *flow, err error) {
	o, bad := x.readEnd(i, err)
	if bad != nil {
		x.s.fail(bad)
	}
	f.end(o)
	x.s.stays(f.name, a, c, err)
}

// stays checks that a Read after the end gives the end again, or says that the
// reader has closed meanwhile.
func (s *soak) stays(name string, a *actor, c io.Reader, end error) {
	var n int
	var err error
	a.do("Read after the end", func() { n, err = c.Read(make([]byte, 10)) })
	same := err == end || wasReset(err) && wasReset(end)
	if n != 0 || err == nil || !same && !errors.Is(err, net.ErrClosed) && !isTimeout(err) {
		s.fail(fmt.Errorf("%s: reading ended by %v, and then gave %d bytes, %v", name, end, n, err))
	}
}

// moveDeadlines moves the deadlines of end i until the returned function is called.
// In the end there are none.
func (x *exchange) moveDeadlines(i int, c link, r *rand.Rand) (stop func()) {
	if !x.moves {
		return func() {}
	}
	set := func(f func(time.Time) error, t time.Time) {
		if err := f(t); err != nil && !(errors.Is(err, net.ErrClosed) && (x.did.has(i, closed) || x.assoc.has(i, allCloses))) {
			x.s.fail(fmt.Errorf("%s: a deadline at end %d: %w", x.name, i, err))
		}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for range 50 {
			select {
			case <-quit:
				return
			case <-time.After(time.Duration(r.IntN(10)) * time.Millisecond):
			}
			f := []func(time.Time) error{c.SetDeadline, c.SetReadDeadline, c.SetWriteDeadline}[r.IntN(3)]
			switch r.IntN(4) {
			case 0:
				set(f, time.Unix(1, 0))
			case 1:
				set(f, time.Now().Add(time.Duration(r.IntN(5000))*time.Microsecond))
			case 2:
				set(f, time.Now().Add(time.Hour))
			default:
				set(f, time.Time{})
			}
		}
		set(c.SetDeadline, time.Time{})
	}()
	return func() {
		close(quit)
		<-done
		set(c.SetDeadline, time.Time{})
	}
}

// verdict judges both flows, after both ends have ended.
func (x *exchange) verdict() {
	for _, f := range x.flows {
		if err := f.verdict(); err != nil {
			x.s.fail(fmt.Errorf("%w; the ends of the association have done %v, those of the stream %v", err, x.assoc, &x.did))
		}
	}
}
