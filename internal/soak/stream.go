package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/sctpnet/sctpnet"
)

// A streamEnd is how an end of an exchange ends its stream.
type streamEnd int

const (
	halfClose   streamEnd = iota // CloseWrite after writing, Close after reading
	deafenFirst                  // CloseRead in the middle, then as halfClose
	closeFirst                   // Close after writing
)

// run plays end i of an exchange on a stream. The first bytes may have been read.
func (x *exchange) run(i int, c *sctpnet.Stream, how streamEnd, r *rand.Rand) {
	defer x.done()
	a := x.s.watch.actor(fmt.Sprintf("%s, end %d", x.name, i))
	defer a.leave()
	stop := x.moveDeadlines(i, c, fork(r))
	var reading sync.WaitGroup
	readers := fork(r)
	reading.Go(func() {
		if how == deafenFirst {
			x.read(i, c, readers, readers.IntN(x.total[1-i]))
			x.did.note(i, deaf)
			if err := c.CloseRead(); err != nil {
				if _, bad := x.readEnd(i, err); bad != nil {
					x.s.fail(fmt.Errorf("CloseRead: %w", bad))
				}
			}
		}
		x.read(i, c, readers, -1)
	})
	x.write(i, c, fork(r))
	if how != closeFirst {
		x.did.note(i, halfClosed)
		var err error
		a.do("CloseWrite", func() { err = c.CloseWrite() })
		if err != nil {
			if bad := x.writeEnd(i, err); bad != nil {
				x.s.fail(fmt.Errorf("CloseWrite: %w", bad))
			}
		}
		a.do("waiting for its reader", reading.Wait)
	}
	x.did.note(i, closed)
	x.s.closes(a, c, x.assoc.has(i, allCloses))
	a.do("waiting for its reader after Close", reading.Wait)
	stop()
}

// closes closes a Conn or Stream and checks that it is closed. One that the
// association's Close has closed may say so.
func (s *soak) closes(a *actor, c net.Conn, maybe bool) {
	var err error
	a.do("Close", func() { err = c.Close() })
	if err != nil && !(maybe && errors.Is(err, net.ErrClosed)) {
		s.fail(fmt.Errorf("%s: Close: %w", a.name, err))
	}
	s.isClosed(a, c)
}

// isClosed checks that calls on what was closed say so.
func (s *soak) isClosed(a *actor, c net.Conn) {
	b := make([]byte, 1)
	for _, call := range []struct {
		name string
		f    func() error
	}{
		{"Read", func() error { _, err := c.Read(b); return err }},
		{"Write", func() error { _, err := c.Write(b); return err }},
		{"SetDeadline", func() error { return c.SetDeadline(time.Time{}) }},
		{"Close", c.Close},
	} {
		var err error
		a.do(call.name+" after Close", func() { err = call.f() })
		if !errors.Is(err, net.ErrClosed) {
			s.fail(fmt.Errorf("%s: %s after Close gives %v", a.name, call.name, err))
		}
	}
	if c.LocalAddr() == nil || c.RemoteAddr() == nil {
		s.fail(fmt.Errorf("%s: no address after Close", a.name))
	}
}

// identify reads the number of the flow that comes on a stream, and finds its
// exchange. It returns nil and the error of Read if the stream ends before.
func (s *soak) identify(name string, c *sctpnet.Stream) (*exchange, error) {
	a := s.watch.actor(name)
	defer a.leave()
	var b [headerLen]byte
	for n := 0; n < len(b); {
		var k int
		var err error
		a.do("Read of the first bytes", func() { k, err = c.Read(b[n:]) })
		n += k
		if err == io.EOF && n > 0 {
			s.fail(fmt.Errorf("%s: stream %d ended after %d bytes: %x", name, c.ID(), n, b[:n]))
		}
		if err != nil {
			return nil, err
		}
	}
	id := binary.BigEndian.Uint64(b[:])
	s.mu.Lock()
	x := s.exchanges[id]
	delete(s.exchanges, id)
	s.mu.Unlock()
	if x == nil {
		s.fail(fmt.Errorf("%s: stream %d begins with %x, which is not the beginning of a flow that waits", name, c.ID(), b))
	}
	for i, f := range x.flows {
		if f.id == id {
			x.reader = 1 - i
			if err := f.read(b[:]); err != nil {
				s.fail(err)
			}
		}
	}
	return x, nil
}

// expect has identify find an exchange by the flow of the end that writes first.
func (s *soak) expect(x *exchange, first int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exchanges[x.flows[first].id] = x
}

// forget is for an exchange that is over, whether it was found or not.
func (s *soak) forget(x *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range x.flows {
		delete(s.exchanges, f.id)
	}
}

// endsOf chooses how the ends of an exchange end.
func endsOf(r *rand.Rand, polite bool) [2]streamEnd {
	if polite || r.IntN(2) == 0 {
		return [2]streamEnd{halfClose, halfClose}
	}
	return [2]streamEnd{streamEnd(r.IntN(3)), streamEnd(r.IntN(3))}
}

// streams has both ends of an association open, claim and accept streams, until it
// ends. It returns two groups: the exchanges, which finish by themselves while the
// association lives, and what finishes when it has ended.
func (p *plan) streams(r *rand.Rand, polite bool) (exchanges, rest *sync.WaitGroup) {
	exchanges, rest = new(sync.WaitGroup), new(sync.WaitGroup)
	p.claims(r, polite, exchanges)
	// From the first AcceptStream on the Conn reads stream 0 alone, so it comes
	// before all reading.
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for i, c := range p.conns {
		if s, err := c.AcceptStream(over); !errors.Is(err, context.Canceled) {
			p.s.fail(fmt.Errorf("%s, end %d: AcceptStream with a context that has ended gives %v, %v", p.name, i, s, err))
		}
	}
	for i, c := range p.conns {
		rest.Go(func() { p.accept(i, c, rest) })
		for k := range r.IntN(6) {
			r := fork(r)
			exchanges.Go(func() {
				for m := range r.IntN(6) {
					if !p.open(fmt.Sprintf("%s, stream %d.%d of end %d", p.name, k, m, i), i, c, r, polite) {
						return
					}
				}
			})
		}
	}
	return exchanges, rest
}

// claims has both ends claim the same streams by their numbers.
func (p *plan) claims(r *rand.Rand, polite bool, exchanges *sync.WaitGroup) {
	for id := uint16(1); id < 4; id++ {
		if r.IntN(3) > 0 {
			continue
		}
		x := p.s.newExchange(fmt.Sprintf("%s, claimed stream %d", p.name, id), r, &p.did)
		p.add(x)
		how := endsOf(r, polite)
		var ss [2]*sctpnet.Stream
		for i, c := range p.conns {
			var err error
			if ss[i], err = c.Stream(id); err != nil {
				p.s.fail(fmt.Errorf("%s, end %d: %w", x.name, i, err))
			}
		}
		for i := range ss {
			r := fork(r)
			exchanges.Go(func() { x.run(i, ss[i], how[i], r) })
		}
	}
}

// open opens a stream at end i and plays both ends of an exchange: the other one
// when the stream is accepted. It reports whether the association lives.
func (p *plan) open(name string, i int, c *sctpnet.Conn, r *rand.Rand, polite bool) bool {
	a := p.s.watch.actor(name)
	defer a.leave()
	var s *sctpnet.Stream
	err := sctpnet.ErrNoFreeStream
	for start := time.Now(); errors.Is(err, sctpnet.ErrNoFreeStream) && time.Since(start) < p.s.watch.limit; {
		a.do("OpenStream", func() { s, err = c.OpenStream() })
	}
	if err != nil {
		if !p.did.either(allCloses | shutDown) {
			p.s.fail(fmt.Errorf("%s: %w", name, err))
		}
		return false
	}
	x := p.s.newExchange(name, r, &p.did)
	x.how = endsOf(r, polite)
	x.r = fork(r)
	p.add(x)
	p.s.expect(x, i)
	x.run(i, s, x.how[i], r)
	a.do("waiting for the other end", func() {
		select {
		case <-x.over:
		case <-p.ending:
		}
	})
	return !p.did.either(allCloses | shutDown)
}

// accept accepts streams at end i until the association has ended.
func (p *plan) accept(i int, c *sctpnet.Conn, handlers *sync.WaitGroup) {
	name := fmt.Sprintf("%s, accepted by end %d", p.name, i)
	for {
		s, err := c.AcceptStream(context.Background())
		if err != nil {
			if _, bad := p.did.readEnd(i, err); bad != nil {
				p.s.fail(fmt.Errorf("%s: AcceptStream: %w", name, bad))
			}
			return
		}
		handlers.Go(func() {
			x, err := p.s.identify(name, s)
			switch {
			case err != nil:
				if _, bad := p.did.readEnd(i, err); bad != nil {
					p.s.fail(fmt.Errorf("%s: the first bytes of stream %d: %w", name, s.ID(), bad))
				}
				s.Close()
			case x.assoc != &p.did || x.reader != i:
				p.s.fail(fmt.Errorf("%s: stream %d has the bytes of %s for its end %d", name, s.ID(), x.name, x.reader))
			default:
				x.run(i, s, x.how[i], x.r)
			}
		})
	}
}
