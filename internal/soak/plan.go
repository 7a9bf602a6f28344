package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sctpnet/sctpnet"
)

// A plan is one association and what happens on it, all by the plan's number.
type plan struct {
	s      *soak
	name   string
	conns  [2]*sctpnet.Conn // dialed and accepted
	tells  [2]bool          // whether the end has a handler of events
	did    deeds
	ending chan struct{} // closed when an end is about to end the association

	once sync.Once
	mu   sync.Mutex
	all  []*exchange
}

// An ending is how a plan's association ends.
type ending int

const (
	politely   ending = iota // one end closes when everything was read, the other then
	byShutdown               // one end shuts down in the middle, and both read to the end
	byClose                  // one end closes in the middle
	unreadRest               // one end closes having read a part of a message
	byAbort                  // one end aborts in the middle
	byLinger                 // the same by SetLinger(0) and Close
	crossing                 // both do one of these at about the same time
	endings
)

// An activity is what the two ends of an association do.
type activity interface {
	// start starts reading and writing at both ends. The end that is to close
	// politely, or -1, stops reading when it has read all.
	start(polite int)
	// settle waits until all was written, and read at that end.
	settle(a *actor)
	// finish waits until reading has ended, after the end of the association, and
	// judges what was read.
	finish(a *actor)
}

// association plays a plan.
func (s *soak) association(n uint64, r *rand.Rand) {
	p := &plan{s: s, name: fmt.Sprintf("association %d", n), ending: make(chan struct{})}
	a := s.watch.actor(p.name)
	defer a.leave()
	how, who := ending(r.IntN(int(endings))), r.IntN(2)
	if r.IntN(2) == 0 {
		how = politely
	}
	p.pair(a, r)
	polite := -1
	if how == politely {
		polite = who
	}
	var act activity
	switch {
	case how == unreadRest:
		act = &unreadBytes{p: p, who: who, r: r}
	case r.IntN(3) == 0:
		act = newMessages(p, r)
	default:
		act = &bytes{p: p, r: r, useStreams: r.IntN(3) > 0}
	}
	act.start(polite)
	pause := time.Duration(r.IntN(60)) * time.Millisecond
	if r.IntN(4) == 0 {
		pause = time.Duration(r.IntN(1000)) * time.Millisecond
	}
	switch how {
	case politely:
		act.settle(a)
		p.end(a, who, closed)
	case unreadRest:
		act.settle(a)
		p.end(a, who, closedUnread)
	case byShutdown:
		time.Sleep(pause)
		p.end(a, who, shutDown)
	case byClose:
		time.Sleep(pause)
		p.end(a, who, closedAnyhow)
	case byAbort, byLinger:
		time.Sleep(pause)
		p.abort(a, who, how == byLinger)
	case crossing:
		time.Sleep(pause)
		var both sync.WaitGroup
		for i := range p.conns {
			r := fork(r)
			both.Go(func() {
				a := s.watch.actor(fmt.Sprintf("%s, end %d", p.name, i))
				defer a.leave()
				time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond)
				switch r.IntN(3) {
				case 0:
					p.abort(a, i, r.IntN(2) == 0)
				case 1:
					p.end(a, i, closedAnyhow)
				default:
					p.end(a, i, shutDown)
				}
			})
		}
		a.do("waiting for both ends", both.Wait)
	}
	act.finish(a)
	for i, c := range p.conns {
		if !p.did.has(i, allCloses) {
			p.outlived(a, i)
			p.end(a, i, closedAnyhow)
		}
		s.isClosed(a, c)
		s.logs.Delete(c)
	}
	for _, x := range p.all {
		x.verdict()
		s.forget(x)
	}
}

// add notes an exchange of the association.
func (p *plan) add(x *exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, x)
}

// end ends the association at end i.
func (p *plan) end(a *actor, i int, what deed) {
	p.did.note(i, what)
	p.once.Do(func() { close(p.ending) })
	f, name := p.conns[i].Close, "Close"
	if what == shutDown {
		f, name = p.conns[i].Shutdown, "Shutdown"
	}
	var err error
	a.do(name, func() { err = f() })
	if err != nil && !(what == shutDown && p.did.others(i, allCloses|shutDown)) {
		p.s.fail(fmt.Errorf("%s, end %d: %s: %w", p.name, i, name, err))
	}
}

// abort aborts it.
func (p *plan) abort(a *actor, i int, byLinger bool) {
	p.did.note(i, aborted)
	p.once.Do(func() { close(p.ending) })
	c := p.conns[i]
	var err error
	switch {
	case !byLinger:
		a.do("Abort", func() { err = c.Abort() })
	default:
		if err = c.SetLinger(0); err != nil && p.did.others(i, allCloses|shutDown) {
			err = nil // the association may have ended
		}
		if err == nil {
			a.do("Close", func() { err = c.Close() })
		}
	}
	if err != nil {
		p.s.fail(fmt.Errorf("%s, end %d: to abort: %w", p.name, i, err))
	}
}

// outlived checks the Conn of an end whose association has ended, by what the other
// end did.
func (p *plan) outlived(a *actor, i int) {
	var err error
	a.do("Write after the end", func() { _, err = p.conns[i].Write([]byte("x")) })
	if !mayNotWrite(err) {
		p.s.fail(fmt.Errorf("%s, end %d: a Write after the end of the association gives %v", p.name, i, err))
	}
}

// fork returns a generator for another goroutine.
func fork(r *rand.Rand) *rand.Rand { return rand.New(rand.NewPCG(r.Uint64(), r.Uint64())) }

// bytes is bytes on stream 0, both ways, and perhaps streams beside it.
type bytes struct {
	p          *plan
	r          *rand.Rand
	useStreams bool

	x               *exchange
	polite          int
	writers         sync.WaitGroup
	readers         [2]sync.WaitGroup
	exchanges, rest *sync.WaitGroup
}

func (b *bytes) start(polite int) {
	p := b.p
	b.polite = polite
	b.x = p.s.newExchange(p.name, b.r, &p.did)
	p.add(b.x)
	b.exchanges, b.rest = new(sync.WaitGroup), new(sync.WaitGroup)
	if b.useStreams {
		b.exchanges, b.rest = p.streams(b.r, polite >= 0)
	}
	for i, c := range p.conns {
		wr, rr, mr := fork(b.r), fork(b.r), fork(b.r)
		stop := b.x.moveDeadlines(i, c, mr)
		b.writers.Go(func() { b.x.write(i, c, wr) })
		b.readers[i].Go(func() {
			defer stop()
			most := -1
			if i == polite {
				most = b.x.total[1-i]
			}
			b.x.read(i, c, rr, most)
			p.checkEvents(i, b.x.flows[1-i].outcome, i == polite)
		})
	}
}

func (b *bytes) settle(a *actor) {
	a.do("waiting for the writers", b.writers.Wait)
	a.do("waiting for the streams", b.exchanges.Wait)
	a.do("waiting for the reader that will close", b.readers[b.polite].Wait)
}

func (b *bytes) finish(a *actor) {
	a.do("waiting for the writers", b.writers.Wait)
	a.do("waiting for the streams", b.exchanges.Wait)
	for i := range b.readers {
		a.do("waiting for the readers", b.readers[i].Wait)
	}
	a.do("waiting for the accepted streams", b.rest.Wait)
}

// unreadBytes has an end read a few bytes of a message of the other, which writes no
// more.
type unreadBytes struct {
	p   *plan
	who int
	r   *rand.Rand

	x       *exchange
	reader  sync.WaitGroup
	writers sync.WaitGroup
	others  sync.WaitGroup
}

func (u *unreadBytes) start(int) {
	p, other := u.p, 1-u.who
	u.x = p.s.newExchange(p.name, u.r, &p.did)
	u.x.moves = false
	p.add(u.x)
	wr, rr, some := [2]*rand.Rand{fork(u.r), fork(u.r)}, fork(u.r), 1+u.r.IntN(firstWrite-1)
	for i, c := range p.conns {
		u.writers.Go(func() { u.x.write(i, c, wr[i]) })
	}
	u.others.Go(func() {
		u.x.read(other, p.conns[other], rr, -1)
		p.checkEvents(other, u.x.flows[u.who].outcome, false)
	})
	u.reader.Go(func() {
		a := p.s.watch.actor(p.name + ", reading a part of a message")
		defer a.leave()
		f := u.x.flows[other]
		one := make([]byte, 1)
		for range some {
			a.do("Read", func() {
				if _, err := io.ReadFull(p.conns[u.who], one); err != nil {
					p.s.fail(fmt.Errorf("%s: Read: %w", p.name, err))
				}
			})
			if err := f.read(one); err != nil {
				p.s.fail(err)
			}
		}
		f.end(stopped)
	})
}

func (u *unreadBytes) settle(a *actor) { a.do("waiting for the reader", u.reader.Wait) }

func (u *unreadBytes) finish(a *actor) {
	a.do("waiting for the writers", u.writers.Wait)
	a.do("waiting for the other reader", u.others.Wait)
}
