package sctpnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// A StreamDialer dials streams: each DialContext opens a stream on an
// association that dials to the same network and address share. An association
// is made when it is first needed, and another one when all streams of those
// that there are are in use. One that has ended is replaced. One that has had no
// open stream for a while is closed.
//
// Its zero value is ready for use, and its DialContext fits
// [net/http.Transport]'s, for a peer that serves a [NewStreamListener]. A
// StreamDialer must not be copied after first use. Multiple goroutines may use
// it simultaneously.
type StreamDialer struct {
	// Dialer makes the associations. If OutStreams or MaxInStreams of its
	// Config are zero they are 256; half of the lesser number are for this
	// side to open.
	Dialer Dialer

	// IdleTimeout is how long an association without open streams is kept.
	// Zero means 90 s, as long as [net/http.DefaultTransport] keeps
	// connections; negative means not at all.
	IdleTimeout time.Duration

	mu     sync.Mutex
	closed bool
	shared map[streamKey][]*sharedConn // all that live, the newest last
}

const (
	streamDialerStreams = 256
	defaultIdleTimeout  = 90 * time.Second
)

type streamKey struct{ network, address string }

// A sharedConn is an association that streams share, or the dial for it. All
// but ready, and what is set before it is closed, is under StreamDialer.mu.
type sharedConn struct {
	key    streamKey
	state  sharedState
	users  int                // open streams, and dials that wait for the handshake or have a stream to come
	ready  chan struct{}      // closed when the handshake is over: conn or err is set then
	cancel context.CancelFunc // of the handshake
	conn   *Conn
	err    error
	idle   *time.Timer // of the state idle only
}

// A sharedState is the state of a sharedConn. Only StreamDialer.move changes it.
//
//	dialing ──> used <──> idle
//	   │          │         │
//	   v          v         v
//	failed     draining ─> ended
type sharedState uint8

const (
	dialing  sharedState = iota // the handshake is under way, and dials wait for it
	used                        // there are users
	idle                        // there are none, and a timer runs
	draining                    // there are users, and no more are taken
	failed                      // the handshake has failed, or nobody waits for it any more
	ended                       // the association is closed
)

// Dial opens a stream without a context; see [StreamDialer.DialContext].
func (d *StreamDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext opens a stream, a [*Stream], to the address on the named
// network. Networks and addresses are those of [Dial]. All who wait for an
// association to be made wait for the same handshake, which is given up when
// none of them is left. It has the values of the context of the first of them.
//
// The error wraps [ErrNoFreeStream] when a new association has no stream for
// this side to open, and [net.ErrClosed] after Close.
func (d *StreamDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	key := streamKey{network, address}
	for again := false; ; {
		s, sc, err := d.join(ctx, key)
		if err != nil || s != nil {
			return asConn(s), err
		}
		select {
		case <-sc.ready:
			s, err = d.open(ctx, sc)
		case <-ctx.Done():
			err = dialError("dial", network, nil, nil, contextError(ctx.Err()))
		}
		d.leave(sc)
		switch {
		case err == nil:
			return s, nil
		case errors.Is(err, ErrNoFreeStream) && sc.err == nil: // others have them: join another association
		case errors.Is(err, errReplace) && !again:
			again = true
		default:
			return nil, err
		}
	}
}

// errReplace says that an association ended before a stream of it was opened. It
// is replaced, but not for ever.
var errReplace = errors.New("the association ended as soon as it was made")

// asConn is a stream, if there is one, as a net.Conn.
func asConn(s *Stream) net.Conn {
	if s == nil {
		return nil
	}
	return s
}

// join opens a stream on the newest association that has room. Otherwise it
// returns one that is being made, and the caller is a user of that.
func (d *StreamDialer) join(ctx context.Context, key streamKey) (*Stream, *sharedConn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	failure := func(err error) error { return dialError("dial", key.network, nil, nil, err) }
	switch {
	case d.closed:
		return nil, nil, failure(net.ErrClosed)
	case ctx.Err() != nil:
		return nil, nil, failure(contextError(ctx.Err()))
	}
	for _, sc := range slices.Backward(slices.Clone(d.shared[key])) {
		if s, _ := d.tryOpen(sc); s != nil {
			return s, nil, nil
		}
	}
	for _, sc := range d.shared[key] {
		if sc.state == dialing {
			sc.users++
			return nil, sc, nil
		}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	sc := &sharedConn{key: key, ready: make(chan struct{}), cancel: cancel, users: 1}
	if d.shared == nil {
		d.shared = make(map[streamKey][]*sharedConn)
	}
	d.shared[key] = append(d.shared[key], sc)
	go d.dial(ctx, sc)
	return nil, sc, nil
}

// tryOpen opens a stream on an association, if that has room. d.mu is held.
func (d *StreamDialer) tryOpen(sc *sharedConn) (*Stream, error) {
	if sc.state != used && sc.state != idle {
		return nil, errReplace
	}
	ms, err := sc.conn.startMux().TryOpen()
	switch {
	case err == nil:
		sc.users++
		d.move(sc, used)
		return &Stream{c: sc.conn, s: ms, onClose: func() { d.leave(sc) }}, nil
	case errors.Is(err, ErrNoFreeStream):
		return nil, err
	}
	d.drain(sc)
	return nil, fmt.Errorf("%w: %w", errReplace, err)
}

// open is tryOpen for a user of an association, when its handshake is over.
func (d *StreamDialer) open(ctx context.Context, sc *sharedConn) (*Stream, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case sc.err != nil:
		return nil, sc.err
	case d.closed:
		return nil, dialError("dial", sc.key.network, nil, nil, net.ErrClosed)
	case ctx.Err() != nil:
		return nil, dialError("dial", sc.key.network, nil, nil, contextError(ctx.Err()))
	}
	s, err := d.tryOpen(sc)
	return s, sc.conn.opError("open", err)
}

// dial makes the association of a sharedConn.
func (d *StreamDialer) dial(ctx context.Context, sc *sharedConn) {
	defer sc.cancel()
	c, err := d.handshake(ctx, sc.key)
	if d.dialed(sc, c, err) {
		c.startMux().WhenEnded(func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.drain(sc)
		})
	}
}

// dialed takes note of a handshake that is over. It reports whether there is an
// association.
func (d *StreamDialer) dialed(sc *sharedConn, c *Conn, err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case sc.state == failed: // nobody waits for it, or the StreamDialer is closed
		if err == nil {
			c.Abort()
		}
		return false
	case err != nil:
		sc.err = err
		d.move(sc, failed)
		return false
	}
	sc.conn = c
	d.move(sc, used)
	return true
}

// handshake makes an association that has a stream for this side to open.
func (d *StreamDialer) handshake(ctx context.Context, key streamKey) (*Conn, error) {
	dialer := d.Dialer
	if dialer.Config.OutStreams == 0 {
		dialer.Config.OutStreams = streamDialerStreams
	}
	if dialer.Config.MaxInStreams == 0 {
		dialer.Config.MaxInStreams = streamDialerStreams
	}
	nc, err := dialer.DialContext(ctx, key.network, key.address)
	if err != nil {
		return nil, err
	}
	c := nc.(*Conn)
	if err := c.startMux().CanOpen(); err != nil && !c.hasEnded() {
		c.Close()
		return nil, c.opError("open", err)
	}
	return c, nil
}

// leave ends the use of a shared association by a stream or a dial.
func (d *StreamDialer) leave(sc *sharedConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if sc.users--; sc.users > 0 {
		return
	}
	switch sc.state {
	case dialing:
		d.move(sc, failed)
	case used:
		d.move(sc, idle)
	case draining:
		d.move(sc, ended)
	}
}

// drain keeps new users from an association. d.mu is held.
func (d *StreamDialer) drain(sc *sharedConn) {
	switch sc.state {
	case used:
		d.move(sc, draining)
	case idle:
		d.move(sc, ended)
	}
}

// move is the one place where an association's state changes. d.mu is held.
func (d *StreamDialer) move(sc *sharedConn, to sharedState) {
	from := sc.state
	if from == idle && sc.idle != nil {
		sc.idle.Stop() // if that is too late, its function sees another timer
		sc.idle = nil
	}
	if to == idle && d.IdleTimeout < 0 {
		to = ended
	}
	sc.state = to
	if from == dialing {
		if to == failed {
			sc.cancel()
		}
		close(sc.ready)
	}
	switch to {
	case idle:
		sc.idle = d.idleTimer(sc)
	case ended:
		sc.conn.Close()
		fallthrough
	case failed:
		d.forget(sc)
	}
}

// idleTimer ends an association that is idle for long.
func (d *StreamDialer) idleTimer(sc *sharedConn) (t *time.Timer) {
	timeout := d.IdleTimeout
	if timeout == 0 {
		timeout = defaultIdleTimeout
	}
	t = time.AfterFunc(timeout, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if sc.idle == t {
			d.move(sc, ended)
		}
	})
	return t
}

// forget takes an association from the list. d.mu is held.
func (d *StreamDialer) forget(sc *sharedConn) {
	list := slices.DeleteFunc(d.shared[sc.key], func(other *sharedConn) bool { return other == sc })
	if len(list) == 0 {
		delete(d.shared, sc.key)
		return
	}
	d.shared[sc.key] = list
}

// all returns the associations. d.mu is held.
func (d *StreamDialer) all() []*sharedConn {
	var all []*sharedConn
	for _, list := range d.shared {
		all = append(all, list...)
	}
	return all
}

// CloseIdleConnections closes the associations that have no open stream now.
// It does not wait for IdleTimeout, and does not keep others from being made.
func (d *StreamDialer) CloseIdleConnections() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, sc := range d.all() {
		if sc.state == idle {
			d.move(sc, ended)
		}
	}
}

// Close closes all associations, as [Conn.Close] does, and with them all
// streams. Dials that wait, and later ones, fail with [net.ErrClosed], as does a
// second Close.
func (d *StreamDialer) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return &net.OpError{Op: "close", Net: "sctp", Err: net.ErrClosed}
	}
	d.closed = true
	for _, sc := range d.all() {
		switch sc.state {
		case dialing:
			sc.err = dialError("dial", sc.key.network, nil, nil, net.ErrClosed)
			d.move(sc, failed)
		default:
			d.move(sc, ended)
		}
	}
	return nil
}

// hasEnded reports whether the association is known to have ended.
func (c *Conn) hasEnded() bool {
	m := c.mux.Load()
	if m == nil {
		return c.closed.Load()
	}
	return m.HasEnded()
}
