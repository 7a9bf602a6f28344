package sctpnet

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/sctpnet/sctpnet/internal/mux"
)

// NewStreamListener returns a listener whose Accept yields the streams that
// peers open, each a [*Stream], on the associations that ln accepts. It is what
// serves the streams of a [StreamDialer], as in
//
//	http.Serve(sctpnet.NewStreamListener(ln), handler)
//
// What ln accepts that is no [*Conn] is passed on as it is.
//
// If ln is a [*Listener] whose Config.Adaptation is zero, it sends
// [AdaptationStreams] from now on, which a StreamDialer expects. For other
// listeners, such as one that wraps a Listener, set Config.Adaptation to
// AdaptationStreams when the Listener is made. Do so too if peers may dial
// between Listen and NewStreamListener; otherwise they dial twice.
//
// Stream 0 is accepted like the others, when its first bytes arrive. So a peer
// that uses the association as one connection is served too. Closing its Stream
// shuts the association down, so that the peer reads io.EOF, if no other stream
// is open and the peer cannot reset streams. The same holds for a peer that can,
// if it has used no other stream and does not send the adaptation layer
// indication.
//
// A peer that cannot reset streams can use each number once: what it sends on one
// whose Stream was closed is dropped.
//
// A stream that waits to be accepted does not hold up accepted ones, until
// Config.StreamMemory of one association is taken. It then receives nothing. After
// a second of that, the waiting stream that holds most is closed, as is one that
// exceeds Config.AcceptStreams.
//
// Accept returns the errors of ln, which the StreamListener owns from now on.
// Closing it closes ln and leaves the open streams alone. Streams that peers open
// after that are closed at once, and each association is shut down when the last
// of its streams is closed.
func NewStreamListener(ln net.Listener) net.Listener {
	if ln == nil {
		panic("nil net.Listener")
	}
	if l, ok := ln.(*Listener); ok && l.ok() && l.e.Adaptation() == 0 {
		l.e.SetAdaptation(AdaptationStreams) // fails only if Accept does, too
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &streamListener{Listener: ln, accepted: make(chan acceptResult), ctx: ctx, cancel: cancel}
	go l.run()
	return l
}

type streamListener struct {
	net.Listener
	accepted chan acceptResult
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
}

// An acceptResult is what Accept returns, or an association that has a stream to
// accept.
type acceptResult struct {
	offer *servedConn
	conn  net.Conn
	err   error
}

func (l *streamListener) Accept() (net.Conn, error) {
	for {
		select {
		case r := <-l.accepted:
			if r.offer == nil {
				return r.conn, r.err
			}
			if s := r.offer.accept(); s != nil {
				return s, nil
			}
		case <-l.ctx.Done():
			return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
		}
	}
}

func (l *streamListener) Close() error {
	l.cancel()
	return l.Listener.Close()
}

// pass hands something to Accept. It reports whether that was done before the context
// ended.
func (l *streamListener) pass(ctx context.Context, r acceptResult) bool {
	select {
	case l.accepted <- r:
		return true
	case <-ctx.Done():
		return false
	}
}

// run accepts associations.
func (l *streamListener) run() {
	for {
		c, err := l.Listener.Accept()
		switch c := c.(type) {
		case *Conn:
			go l.serve(c)
			continue
		case nil:
			if !l.pass(l.ctx, acceptResult{err: err}) || errors.Is(err, net.ErrClosed) {
				l.cancel()
				return
			}
		default:
			if !l.pass(l.ctx, acceptResult{conn: c}) {
				c.Close()
				return
			}
		}
	}
}

// A servedConn is an association that a streamListener serves.
type servedConn struct {
	c      *Conn
	m      *mux.Mux
	cancel context.CancelFunc // ends the serving

	mu          sync.Mutex
	open        int  // streams that were accepted and are not closed
	usesStreams bool // the peer says that it does, or has opened others than stream 0
	zeroClosed  bool // stream 0 was accepted and closed
	refuses     bool // no more are accepted
	idle        sync.Cond
}

// accept accepts a stream, if there is one.
func (sc *servedConn) accept() *Stream {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.refuses {
		return nil
	}
	s := sc.m.TryAccept()
	if s == nil {
		return nil
	}
	sc.open++
	if s.ID() != 0 {
		sc.usesStreams = true
	}
	return &Stream{c: sc.c, s: s, onClose: func() { sc.closed(s.ID()) }}
}

// closed takes note of a stream that was closed.
func (sc *servedConn) closed(id uint16) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.open--
	if id == 0 {
		sc.zeroClosed = true
	}
	if sc.open == 0 {
		sc.idle.Broadcast()
		sc.endPlain()
	}
}

// denied takes note of a peer that denies resets of streams, which it may do
// after they were closed.
func (sc *servedConn) denied() {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.open == 0 {
		sc.endPlain()
	}
}

// endPlain ends the serving once stream 0 was closed, if the reset of that stream tells
// the peer nothing: for one that reads the association, only its end is an EOF. No stream
// is open, and those that wait to be accepted are served before.
func (sc *servedConn) endPlain() {
	isTold := sc.usesStreams && sc.m.CanReset()
	if sc.zeroClosed && !isTold && !sc.m.CanAccept() {
		sc.cancel()
	}
}

// awaitIdle waits until no stream is open. Then no more are accepted.
func (sc *servedConn) awaitIdle() {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	for sc.open > 0 {
		sc.idle.Wait()
	}
	sc.refuses = true
}

// serve offers the streams of one association to Accept, until the association
// ends, has no more use, or the listener is closed. It closes the association
// when no stream is open.
func (l *streamListener) serve(c *Conn) {
	c.learnIndication()
	m, err := c.streamMux()
	if err != nil {
		c.Abort() // its peer dials again
		return
	}
	sc := &servedConn{c: c, m: m, usesStreams: c.knows.Load()}
	sc.idle.L = &sc.mu
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	sc.cancel = cancel
	m.WhenDenied(sc.denied)
	m.ServeStreams()
	for m.AwaitAccept(ctx) == nil {
		if !l.pass(ctx, acceptResult{offer: sc}) {
			break
		}
	}
	// What peers open from now on is closed at once.
	ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	go func() {
		sc.awaitIdle()
		cancel()
	}()
	m.RefuseStreams(ctx)
	sc.awaitIdle()
	c.Shutdown()
	c.finishStreams()
}
