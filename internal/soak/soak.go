package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet"
)

// A soak is what runs on one network from one seed.
type soak struct {
	network string
	seed    uint64
	watch   *watch
	report  func(error) // does not return

	mu        sync.Mutex
	exchanges map[uint64]*exchange // those whose streams wait to be identified, by their flows

	lobbies   [2]*lobby         // without events and with them
	mute      *sctpnet.Listener // serves dials that are given up
	refused   string            // an address at which nobody listens
	servers   [2]net.Listener   // of streams: one that reads first, one that writes first
	dialers   []*sctpnet.StreamDialer
	logs      sync.Map // of *eventLog, by *sctpnet.Conn
	greetings atomic.Uint64
	serving   sync.WaitGroup

	plans, streams atomic.Uint64
}

// config is for all associations. A lost ABORT is noticed at the next heartbeat. The
// watch comes long before an association is given up: on a busy machine answers come
// late.
func config(r *rand.Rand) sctpnet.Config {
	c := sctpnet.Config{
		RTO:          sctpnet.RTO{Max: 4 * time.Second},
		AssocParams:  sctpnet.AssocParams{MaxRetransmissions: 200},
		PathParams:   sctpnet.PathParams{HeartbeatInterval: time.Second, MaxRetransmissions: 200},
		InitAttempts: 100,
	}
	if r != nil {
		c.OutStreams = []int{0, 8, 20}[r.IntN(3)]
		c.MaxInStreams = c.OutStreams
		if r.IntN(4) == 0 {
			c.ReadBuffer, c.WriteBuffer = 100_000, 100_000
		}
	}
	return c
}

// newSoak listens and has everything served.
func newSoak(network string, seed uint64, limit time.Duration, report func(error)) (*soak, error) {
	s := &soak{
		network: network, seed: seed, watch: newWatch(limit), report: report,
		exchanges: make(map[uint64]*exchange),
	}
	listen := func(c sctpnet.Config) (*sctpnet.Listener, error) {
		ln, err := (&sctpnet.ListenConfig{Config: c}).Listen(context.Background(), network, "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		return ln.(*sctpnet.Listener), nil
	}
	for i := range s.lobbies {
		c := config(nil)
		if i == 1 {
			c.OnEvent = s.onEvent
		}
		ln, err := listen(c)
		if err != nil {
			return nil, err
		}
		s.lobbies[i] = &lobby{ln: ln, arrived: make(map[int]chan *sctpnet.Conn)}
		s.serving.Go(func() { s.welcome(s.lobbies[i]) })
	}
	for i := range s.servers {
		c := config(nil)
		c.Adaptation = sctpnet.AdaptationStreams
		ln, err := listen(c)
		if err != nil {
			return nil, err
		}
		s.servers[i] = sctpnet.NewStreamListener(ln)
		s.serving.Go(func() { s.serve(i, s.servers[i]) })
	}
	var err error
	if s.mute, err = listen(config(nil)); err != nil {
		return nil, err
	}
	s.serving.Go(s.serveMute)
	ln, err := listen(config(nil))
	if err != nil {
		return nil, err
	}
	s.refused = ln.Addr().String()
	ln.Close()
	for _, idle := range []time.Duration{-1, 20 * time.Millisecond, 0} {
		s.dialers = append(s.dialers, &sctpnet.StreamDialer{Dialer: sctpnet.Dialer{Config: config(nil)}, IdleTimeout: idle})
	}
	return s, nil
}

// close ends what newSoak has begun.
func (s *soak) close() {
	for _, l := range s.lobbies {
		l.ln.Close()
	}
	for _, ln := range s.servers {
		ln.Close()
	}
	s.mute.Close()
	for _, d := range s.dialers {
		d.Close()
	}
	a := s.watch.actor("the end")
	defer a.leave()
	a.do("waiting for what serves", s.serving.Wait)
	for _, l := range s.lobbies {
		l.clear()
	}
}

// fail reports a fault and does not return.
func (s *soak) fail(err error) { s.report(fmt.Errorf("%s: %w", s.network, err)) }

// rand returns a generator that depends on the seed and a number.
func (s *soak) rand(n uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, n)) }

// run plays plans, so many at a time, until the time is over.
func (s *soak) run(workers int, d time.Duration) {
	over := time.Now().Add(d)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for time.Now().Before(over) {
				s.play(s.plans.Add(1))
			}
		})
	}
	all.Wait()
}

// play plays the plan of a number.
func (s *soak) play(n uint64) {
	r := s.rand(n)
	switch k := r.IntN(20); {
	case k < 12:
		s.association(n, r)
	case k < 18:
		s.dialStreams(n, r)
	default:
		s.dialInVain(n, r)
	}
}

// A lobby is where accepted associations wait for the ends that dialed them.
type lobby struct {
	ln *sctpnet.Listener

	mu      sync.Mutex
	arrived map[int]chan *sctpnet.Conn // by the port of the end that dialed
}

// from returns where the association that was dialed from a port arrives.
func (l *lobby) from(port int) chan *sctpnet.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	ch := l.arrived[port]
	if ch == nil {
		ch = make(chan *sctpnet.Conn, 1)
		l.arrived[port] = ch
	}
	return ch
}

func (l *lobby) forget(port int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.arrived, port)
}

func (s *soak) welcome(l *lobby) {
	for {
		c, err := l.ln.AcceptConn()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.fail(fmt.Errorf("accept: %w", err))
		}
		if err := l.arrive(c); err != nil {
			s.fail(err)
		}
	}
}

// arrive has an association wait for the end that dialed it. It takes the place of
// one that a dial gave up, whose COOKIE ACK was lost.
func (l *lobby) arrive(c *sctpnet.Conn) error {
	ch := l.from(portOf(c.RemoteAddr()))
	select {
	case other := <-ch:
		if isUp(other) {
			return fmt.Errorf("accept: a second association from %v", c.RemoteAddr())
		}
		other.Close()
	default:
	}
	ch <- c
	return nil
}

// clear closes the associations that dials gave up.
func (l *lobby) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ch := range l.arrived {
		select {
		case c := <-ch:
			c.Close()
		default:
		}
	}
}

func isUp(c *sctpnet.Conn) bool {
	_, err := c.Status()
	return err == nil
}

func portOf(a net.Addr) int { return a.(*sctpnet.Addr).Port }

// pair makes the plan's association.
func (p *plan) pair(a *actor, r *rand.Rand) {
	s := p.s
	l := s.lobbies[r.IntN(2)]
	d := sctpnet.Dialer{Config: config(r)}
	if r.IntN(3) == 0 {
		d.Config.OnEvent = s.onEvent
	}
	var c net.Conn
	var err error
	a.do("Dial", func() { c, err = d.Dial(s.network, l.ln.Addr().String()) })
	if err != nil {
		s.fail(fmt.Errorf("%s: %w", p.name, err))
	}
	p.conns[0] = c.(*sctpnet.Conn)
	port := portOf(c.LocalAddr())
	for p.conns[1] == nil || !isUp(p.conns[1]) {
		if p.conns[1] != nil {
			p.conns[1].Close() // of a dial from this port that was given up
		}
		a.do("Accept", func() { p.conns[1] = <-l.from(port) })
	}
	l.forget(port)
	p.tells = [2]bool{d.Config.OnEvent != nil, l == s.lobbies[1]}
}

// An eventLog is what OnEvent was told of an association's life.
type eventLog struct {
	mu      sync.Mutex
	changes []sctpnet.AssocChange
}

// onEvent notes the events of an association, from the first one on, which must be
// that it is up.
func (s *soak) onEvent(c *sctpnet.Conn, e sctpnet.Event) {
	ae, ok := e.(sctpnet.AssocEvent)
	if ok && ae.Change == sctpnet.AssocUp {
		s.logs.LoadOrStore(c, new(eventLog))
	}
	if l, found := s.logs.Load(c); ok && found {
		l := l.(*eventLog)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.changes = append(l.changes, ae.Change)
	}
}

// checkEvents checks the events of end i, whose reading has ended.
func (p *plan) checkEvents(i int, o outcome, polite bool) {
	want := []sctpnet.AssocChange{sctpnet.AssocUp}
	switch {
	case !p.tells[i] || o == stopped || polite:
		return // there are none, Close has ended them, or they go on
	case o == whole:
		want = append(want, sctpnet.AssocEnded)
	case o == cut:
		want = append(want, sctpnet.AssocLost)
	}
	var got []sctpnet.AssocChange
	if l, found := p.s.logs.Load(p.conns[i]); found {
		l := l.(*eventLog)
		l.mu.Lock()
		got = slices.Clone(l.changes)
		l.mu.Unlock()
	}
	if !slices.Equal(got, want) {
		p.s.fail(fmt.Errorf("%s, end %d: reading has ended, and the events are %v, not %v", p.name, i, got, want))
	}
}

// dialStreams has a StreamDialer dial a few streams, one after the other or at the
// same time. If it is the plan's own, it may be closed meanwhile.
func (s *soak) dialStreams(n uint64, r *rand.Rand) {
	name := fmt.Sprintf("streams %d", n)
	a := s.watch.actor(name)
	defer a.leave()
	did, ending := new(deeds), make(chan struct{})
	d := s.dialers[r.IntN(len(s.dialers))]
	own := r.IntN(4) == 0
	if own {
		d = &sctpnet.StreamDialer{Dialer: sctpnet.Dialer{Config: config(nil)}}
	}
	closes := own && r.IntN(2) == 0
	oneByOne := r.IntN(3) == 0
	var all sync.WaitGroup
	for k := range 1 + r.IntN(10) {
		r := fork(r)
		dial := func() { s.dialStream(fmt.Sprintf("%s.%d", name, k), d, did, ending, !closes && r.IntN(3) == 0, r) }
		if oneByOne {
			dial()
			continue
		}
		all.Go(dial)
	}
	if closes {
		time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond)
		did.note(0, closedAnyhow)
		close(ending)
		if err := d.Close(); err != nil {
			s.fail(fmt.Errorf("%s: %w", name, err))
		}
	}
	a.do("waiting for the streams", all.Wait)
	if own && !closes {
		if err := d.Close(); err != nil {
			s.fail(fmt.Errorf("%s: %w", name, err))
		}
	}
}

// dialStream dials a stream and plays its dialing end.
func (s *soak) dialStream(name string, d *sctpnet.StreamDialer, did *deeds, ending chan struct{}, isGreeted bool, r *rand.Rand) {
	a := s.watch.actor(name)
	defer a.leave()
	ln := s.servers[0]
	if isGreeted {
		ln = s.servers[1]
	}
	var c net.Conn
	var err error
	a.do("DialContext", func() { c, err = d.DialContext(context.Background(), s.network, ln.Addr().String()) })
	if err != nil {
		if !(errors.Is(err, net.ErrClosed) && did.has(0, closedAnyhow)) {
			s.fail(fmt.Errorf("%s: %w", name, err))
		}
		return
	}
	s.streams.Add(1)
	stream := c.(*sctpnet.Stream)
	var x *exchange
	if isGreeted {
		if x, err = s.identify(name, stream); err != nil {
			s.fail(fmt.Errorf("%s: the first bytes: %w", name, err))
		}
		if x.reader != 0 {
			s.fail(fmt.Errorf("%s: it has the bytes of %s for end %d", name, x.name, x.reader))
		}
	} else {
		x = s.newExchange(name, r, did)
		x.how, x.r = endsOf(r, false), fork(r)
		s.expect(x, 0)
	}
	x.run(0, stream, x.how[0], r)
	if !did.has(0, closedAnyhow) {
		a.do("waiting for the other end", func() {
			select {
			case <-x.over:
			case <-ending:
			}
		})
	}
}

// serve serves the streams of a StreamListener.
func (s *soak) serve(i int, ln net.Listener) {
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.fail(fmt.Errorf("accept of a stream: %w", err))
		}
		stream := c.(*sctpnet.Stream)
		s.serving.Go(func() {
			if i == 1 {
				s.greet(stream)
				return
			}
			x, err := s.identify("a served stream", stream)
			if err != nil {
				stream.Close()
				return
			}
			if x.reader != 1 {
				s.fail(fmt.Errorf("a served stream has the bytes of %s for end %d", x.name, x.reader))
			}
			x.run(1, stream, x.how[1], x.r)
		})
	}
}

// greet plays the end that accepts a stream where that end writes first, and the
// other one learns of the exchange by what it reads.
func (s *soak) greet(stream *sctpnet.Stream) {
	n := s.greetings.Add(1)
	r := s.rand(n | 1<<63)
	x := s.newExchange(fmt.Sprintf("greeted stream %d", n), r, new(deeds))
	x.how, x.r = endsOf(r, false), fork(r)
	s.expect(x, 1)
	x.run(1, stream, x.how[1], fork(r))
}

// dialInVain makes dials that are refused or given up.
func (s *soak) dialInVain(n uint64, r *rand.Rand) {
	a := s.watch.actor(fmt.Sprintf("dial %d in vain", n))
	defer a.leave()
	var err error
	if r.IntN(2) == 0 {
		a.do("Dial", func() { _, err = (&sctpnet.Dialer{Config: config(r)}).Dial(s.network, s.refused) })
		if !errors.Is(err, syscall.ECONNREFUSED) {
			s.fail(fmt.Errorf("%s: a dial to a port without a listener gives %v", a.name, err))
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.IntN(5000))*time.Microsecond)
	defer cancel()
	var c net.Conn
	a.do("DialContext", func() {
		c, err = (&sctpnet.Dialer{Config: config(r)}).DialContext(ctx, s.network, s.mute.Addr().String())
	})
	switch {
	case err == nil:
		s.closes(a, c, false)
	case c != nil || !isTimeout(err) && !errors.Is(err, context.DeadlineExceeded):
		s.fail(fmt.Errorf("%s: a dial whose context ends gives %v, %v", a.name, c, err))
	}
}

// serveMute accepts associations whose dials may be given up. They end without a
// byte.
func (s *soak) serveMute() {
	for {
		c, err := s.mute.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.fail(fmt.Errorf("accept: %w", err))
		}
		s.serving.Go(func() {
			a := s.watch.actor("the end that accepted what may be given up")
			defer a.leave()
			var n int
			a.do("Read", func() { n, err = c.Read(make([]byte, 1)) })
			if n > 0 || err != io.EOF && !wasReset(err) {
				s.fail(fmt.Errorf("%s: Read gives %d bytes, %v", a.name, n, err))
			}
			s.closes(a, c, false)
		})
	}
}
