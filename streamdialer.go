package sctpnet

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// A StreamDialer dials streams: each DialContext opens a stream on an
// association that all dials to the same network and address share. The
// association is made when it is first needed, made anew when it has ended,
// and closed when it has had no open stream for a while.
//
// Its zero value is ready for use, and its DialContext fits
// [net/http.Transport]'s, for a peer that serves a [NewStreamListener]. A
// StreamDialer must not be copied after first use. Multiple goroutines may use
// it simultaneously.
type StreamDialer struct {
	// Dialer makes the associations. If OutStreams or MaxInStreams of its
	// Config are zero they are 1024; half of the lesser number are for this
	// side to open. A [Listener] with a zero Config has fewer at first, and adds
	// the others within a round trip.
	Dialer Dialer

	// IdleTimeout is how long an association without open streams is kept.
	// Zero means 90 s, as long as [net/http.DefaultTransport] keeps
	// connections; negative means not at all.
	IdleTimeout time.Duration

	mu     sync.Mutex
	shared map[streamKey]*sharedConn
}

const (
	streamDialerStreams = 1024
	defaultIdleTimeout  = 90 * time.Second

	// growth is how long a young association's peer may take to add streams,
	// which it is then seen to have done within growthTick.
	growth     = 5 * time.Second
	growthTick = 5 * time.Millisecond
)

type streamKey struct{ network, address string }

// A sharedConn is an association that streams share, or the dial for it.
type sharedConn struct {
	ready  chan struct{} // closed when the dial is over, and conn or err set
	cancel context.CancelFunc
	conn   *Conn
	since  time.Time // when conn was made
	err    error

	// Under StreamDialer.mu.
	users int         // open streams, and dials for one
	idle  *time.Timer // while there are none
}

// Dial opens a stream without a context; see [StreamDialer.DialContext].
func (d *StreamDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext opens a stream, a [*Stream], to the address on the named
// network. Networks and addresses are those of [Dial]. All who wait for an
// association to be made wait for the same handshake, which is given up when
// none of them is left. It sees the values of the context that it began for.
// The peer is not told of a stream before something is written.
//
// The error wraps [ErrNoFreeStream] when all streams of the association are in
// use.
func (d *StreamDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	key := streamKey{network, address}
	for again := false; ; again = true {
		sc := d.join(ctx, key)
		s, err := sc.open(ctx, network)
		if err == nil {
			s.onClose = func() { d.leave(key, sc) }
			return s, nil
		}
		ended := sc.hasEnded()
		if ended {
			d.forget(key, sc)
		}
		d.leave(key, sc)
		// One that has ended in the meantime is replaced, but not for ever.
		if !ended || again {
			return nil, err
		}
	}
}

// open opens a stream when the association is there.
func (sc *sharedConn) open(ctx context.Context, network string) (*Stream, error) {
	cancelled := func() error { return dialError("dial", network, nil, nil, contextError(ctx.Err())) }
	select {
	case <-sc.ready:
	case <-ctx.Done():
		return nil, cancelled()
	}
	if sc.err != nil {
		return nil, sc.err
	}
	if ctx.Err() != nil {
		return nil, cancelled()
	}
	for {
		grows := sc.grows()
		s, err := sc.conn.openStream(ctx)
		switch {
		case err != nil && err == ctx.Err():
			return nil, cancelled()
		case !errors.Is(err, ErrNoFreeStream) || !grows:
			return s, sc.conn.opError("open", err)
		}
		select {
		case <-time.After(growthTick):
		case <-ctx.Done():
			return nil, cancelled()
		}
	}
}

// grows reports whether the peer may be adding streams.
func (sc *sharedConn) grows() bool {
	if time.Since(sc.since) > growth {
		return false
	}
	out, in := sc.conn.NumStreams()
	return in < out
}

// hasEnded reports whether an association was made and has ended.
func (sc *sharedConn) hasEnded() bool {
	select {
	case <-sc.ready:
		return sc.conn != nil && sc.conn.hasEnded()
	default:
		return false
	}
}

// join makes the caller a user of the shared association, of which there is one
// being dialled at least. A dial that begins sees the values of the context.
func (d *StreamDialer) join(ctx context.Context, key streamKey) *sharedConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	sc := d.shared[key]
	if sc == nil {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		sc = &sharedConn{ready: make(chan struct{}), cancel: cancel}
		if d.shared == nil {
			d.shared = make(map[streamKey]*sharedConn)
		}
		d.shared[key] = sc
		go d.dial(ctx, key, sc)
	}
	sc.users++
	if sc.idle != nil {
		sc.idle.Stop()
		sc.idle = nil
	}
	return sc
}

// dial makes the association of a sharedConn.
func (d *StreamDialer) dial(ctx context.Context, key streamKey, sc *sharedConn) {
	defer sc.cancel()
	dialer := d.Dialer
	if dialer.Config.OutStreams == 0 {
		dialer.Config.OutStreams = streamDialerStreams
	}
	if dialer.Config.MaxInStreams == 0 {
		dialer.Config.MaxInStreams = streamDialerStreams
	}
	c, err := dialer.DialContext(ctx, key.network, key.address)
	if err != nil {
		sc.err = err
		d.forget(key, sc)
	} else {
		sc.conn, sc.since = c.(*Conn), time.Now()
		sc.conn.startMux().whenEnded(func() { d.ended(key, sc) })
	}
	close(sc.ready)
	d.mu.Lock()
	defer d.mu.Unlock()
	sc.cancel = nil // with it goes the context of the dial that came first
	if sc.users == 0 {
		d.rest(key, sc) // they left before it was ready
	}
}

// forget makes the next dial make another association.
func (d *StreamDialer) forget(key streamKey, sc *sharedConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shared[key] == sc {
		delete(d.shared, key)
	}
}

// leave ends the use of a shared association by a stream or a dial.
func (d *StreamDialer) leave(key streamKey, sc *sharedConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if sc.users--; sc.users > 0 {
		return
	}
	select {
	case <-sc.ready:
		d.rest(key, sc)
	default:
		// Nobody waits for it any more. Who comes now dials again.
		sc.cancel()
		if d.shared[key] == sc {
			delete(d.shared, key)
		}
	}
}

// rest lets an association without users be, for a while if another dial may
// still come for it. It is called with d.mu held, after the dial.
func (d *StreamDialer) rest(key streamKey, sc *sharedConn) {
	switch {
	case sc.conn == nil, sc.idle != nil:
	case d.shared[key] != sc || d.IdleTimeout < 0 || sc.conn.hasEnded():
		d.end(key, sc)
	default:
		timeout := d.IdleTimeout
		if timeout == 0 {
			timeout = defaultIdleTimeout
		}
		sc.idle = time.AfterFunc(timeout, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if sc.users == 0 {
				d.end(key, sc)
			}
		})
	}
}

// ended closes an association that has ended while it had no users. If it has
// some, the last one to leave does.
func (d *StreamDialer) ended(key streamKey, sc *sharedConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if sc.idle != nil {
		sc.idle.Stop()
		d.end(key, sc)
	}
}

// end closes an association, with d.mu held.
func (d *StreamDialer) end(key streamKey, sc *sharedConn) {
	if d.shared[key] == sc {
		delete(d.shared, key)
	}
	sc.conn.Close()
}

// CloseIdleConnections closes the associations that have no open stream now.
// It does not wait for IdleTimeout, and does not keep others from being made.
func (d *StreamDialer) CloseIdleConnections() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, sc := range d.shared {
		if sc.idle != nil {
			sc.idle.Stop()
			d.end(key, sc)
		}
	}
}

// hasEnded reports whether the association is known to have ended.
func (c *Conn) hasEnded() bool {
	m := c.mux.Load()
	if m == nil {
		return c.closed.Load()
	}
	select {
	case <-m.dead:
		return true
	default:
		return false
	}
}
