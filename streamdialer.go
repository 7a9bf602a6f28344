package sctpnet

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// A StreamDialer dials streams: each DialContext opens a stream on an
// association that all dials to the same network and address share. The
// association is made when it is first needed, made anew when it has ended,
// and closed when it has had no open stream for a while. While all streams of
// an association are in use, dials share another one.
//
// Its zero value is ready for use, and its DialContext fits
// [net/http.Transport]'s, for a peer that serves a [NewStreamListener]. A
// StreamDialer must not be copied after first use. Multiple goroutines may use
// it simultaneously.
type StreamDialer struct {
	// Dialer makes the associations. If OutStreams or MaxInStreams of its
	// Config are zero they are 256, as many as a [Listener] grants with a zero
	// Config. Half of the lesser number are for this side to open.
	Dialer Dialer

	// IdleTimeout is how long an association without open streams is kept.
	// Zero means 90 s, as long as [net/http.DefaultTransport] keeps
	// connections; negative means not at all.
	IdleTimeout time.Duration

	mu     sync.Mutex
	shared map[streamKey][]*sharedConn // the oldest first
}

const (
	streamDialerStreams = listenStreams
	defaultIdleTimeout  = 90 * time.Second
)

type streamKey struct{ network, address string }

// A sharedConn is an association that streams share, or the dial for it.
type sharedConn struct {
	ready  chan struct{} // closed when the dial is over, and conn or err set
	cancel context.CancelFunc
	conn   *Conn
	err    error

	// Under StreamDialer.mu.
	users  int         // open streams, and dials for one
	isFull bool        // all its streams were in use, and none was closed since
	idle   *time.Timer // while there are no users
}

// Dial opens a stream without a context; see [StreamDialer.DialContext].
func (d *StreamDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext opens a stream, a [*Stream], to the address on the named
// network. Networks and addresses are those of [Dial]. All who wait for an
// association to be made wait for the same handshake, which is given up when
// none of them is left. The peer is not told of a stream before something is
// written.
//
// The error wraps [ErrNoFreeStream] if the peer grants so few streams that none
// is for this side to open.
func (d *StreamDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	key := streamKey{network, address}
	for hasMetEnd := false; ; {
		sc := d.join(key)
		s, err := sc.open(ctx, network)
		if err == nil {
			s.onClose = func() { d.streamClosed(key, sc) }
			return s, nil
		}
		ended := sc.hasEnded()
		full := !ended && errors.Is(err, ErrNoFreeStream) && sc.hasStreams()
		switch {
		case ended:
			d.forget(key, sc)
		case full:
			d.setFull(sc)
		}
		d.leave(key, sc)
		switch {
		case full && ctx.Err() == nil: // another one has room, or is made
		case ended && !hasMetEnd:
			hasMetEnd = true // it is replaced, but not for ever
		default:
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
	s, err := sc.conn.openStream(ctx)
	if err != nil && err == ctx.Err() {
		return nil, cancelled()
	}
	return s, sc.conn.opError("open", err)
}

// hasStreams reports whether an association has streams for this side to open.
func (sc *sharedConn) hasStreams() bool {
	out, in := sc.conn.NumStreams()
	return min(out, in) > 2
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

// join makes the caller a user of the newest association with room, of which
// there is one being dialled at least.
func (d *StreamDialer) join(key streamKey) *sharedConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	var sc *sharedConn
	for _, other := range d.shared[key] {
		if !other.isFull {
			sc = other
		}
	}
	if sc == nil {
		ctx, cancel := context.WithCancel(context.Background())
		sc = &sharedConn{ready: make(chan struct{}), cancel: cancel}
		if d.shared == nil {
			d.shared = make(map[streamKey][]*sharedConn)
		}
		d.shared[key] = append(d.shared[key], sc)
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
		sc.conn = c.(*Conn)
		sc.conn.startMux().whenEnded(func() { d.ended(key, sc) })
	}
	close(sc.ready)
	d.mu.Lock()
	defer d.mu.Unlock()
	if sc.users == 0 {
		d.rest(key, sc) // they left before it was ready
	}
}

// forget keeps further dials from using an association.
func (d *StreamDialer) forget(key streamKey, sc *sharedConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.remove(key, sc)
}

// remove is forget with d.mu held.
func (d *StreamDialer) remove(key streamKey, sc *sharedConn) {
	list := slices.DeleteFunc(d.shared[key], func(other *sharedConn) bool { return other == sc })
	if len(list) == 0 {
		delete(d.shared, key)
	} else {
		d.shared[key] = list
	}
}

// setFull keeps further dials from an association until a stream is closed.
func (d *StreamDialer) setFull(sc *sharedConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sc.isFull = true
}

// streamClosed ends the use of a shared association by a stream, whose number
// another one can have.
func (d *StreamDialer) streamClosed(key streamKey, sc *sharedConn) {
	d.mu.Lock()
	sc.isFull = false
	d.mu.Unlock()
	d.leave(key, sc)
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
		d.remove(key, sc)
	}
}

// rest lets an association without users be, for a while if another dial may
// still come for it. It is called with d.mu held, after the dial.
func (d *StreamDialer) rest(key streamKey, sc *sharedConn) {
	switch {
	case sc.conn == nil, sc.idle != nil:
	case !slices.Contains(d.shared[key], sc) || d.IdleTimeout < 0 || sc.conn.hasEnded():
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
	d.remove(key, sc)
	sc.conn.Close()
}

// CloseIdleConnections closes the associations that have no open stream now.
// It does not wait for IdleTimeout, and does not keep others from being made.
func (d *StreamDialer) CloseIdleConnections() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, list := range d.shared {
		for _, sc := range slices.Clone(list) { // end changes the list
			if sc.idle != nil {
				sc.idle.Stop()
				d.end(key, sc)
			}
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
