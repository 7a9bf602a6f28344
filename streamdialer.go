package sctpnet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/mux"
)

// A StreamDialer dials streams: each DialContext opens a stream on an
// association that dials to the same network and address share. An association
// is made when it is first needed. Another one is made when all streams are in
// use; DialContext waits up to a second for streams that are being closed. An
// association that has ended is replaced, and one that has had no open stream
// for a while is closed.
//
// The peer must serve a [NewStreamListener], or the like: the two ends tell each
// other in the handshake that they serve streams, by the adaptation layer
// indication [AdaptationStreams]. Config.Adaptation of the Dialer replaces that
// number, at both ends. Each stream is announced to the peer, so its Accept
// returns even if the server speaks first. Streams that the peer opens are
// closed at once.
//
// An association may be stuck. That is assumed when nothing arrives on it while
// a Read or Write of one of its Streams waits until its deadline, or while a Read
// waits for an answer for a second or more and its Stream is then closed. Such
// an association takes no new dials and is closed with its last Stream.
//
// The zero value is ready for use, and DialContext fits [net/http.Transport]. A
// StreamDialer must not be copied after first use. Multiple goroutines may use
// it simultaneously.
type StreamDialer struct {
	// Network is as that of a [Dialer]. Empty means that of the field Dialer.
	Network string

	// Dialer makes the associations. If OutStreams or MaxInStreams of its
	// Config are zero they are 256; half of the lesser number are for this
	// side to open.
	Dialer Dialer

	// IdleTimeout is how long an association without open streams is kept.
	// Zero means 90 s, as long as [net/http.DefaultTransport] keeps
	// connections; negative means not at all.
	IdleTimeout time.Duration

	// AnyPeer allows peers that the StreamDialer otherwise refuses. A dial to
	// them fails without AnyPeer.
	//
	// A peer that does not send the adaptation layer indication may not serve
	// streams. It is told of a stream only when something is written.
	//
	// A peer that cannot reset streams (RFC 6525) does not learn of the Close
	// of a Stream, and each number is used once. When they are used up, another
	// association is made, and the old one is closed with its last Stream.
	AnyPeer bool

	mu     sync.Mutex
	closed bool
	shared map[streamKey][]*sharedConn // neither failed nor ended; the newest is last
	ending []*sharedConn               // ended, and with a port that is not free yet
}

const (
	streamDialerStreams = 256
	defaultIdleTimeout  = 90 * time.Second
)

type streamKey struct{ network, address string }

// A sharedConn is an association that streams share, or the dial for it.
// StreamDialer.mu guards it. conn, m and err do not change once ready is closed.
type sharedConn struct {
	key    streamKey
	state  sharedState
	users  int                // open streams, and dials that wait for one
	opened bool               // a stream of it was opened
	ready  chan struct{}      // closed when the handshake is over: conn and m are set then, or err
	cancel context.CancelFunc // of the handshake
	conn   *Conn
	m      *mux.Mux // of conn
	err    error
	idle   *time.Timer   // of the state idle only
	over   chan struct{} // closed when it is ending no more
}

// A sharedState is the state of a sharedConn. Only StreamDialer.move changes it.
//
//	dialing ──> used <──> idle
//	   │          │         │
//	   v          v         v
//	failed     draining ─> ended
type sharedState uint8

const (
	sharedDialing  sharedState = iota // the handshake is under way, and dials wait for it
	sharedUsed                        // there are users
	sharedIdle                        // there are none, and a timer runs
	sharedDraining                    // there are users, and no more are taken
	sharedFailed                      // the handshake has failed, or nobody waits for it any more
	sharedEnded                       // the association is closed, or about to be
)

// Dial opens a stream without a context; see [StreamDialer.DialContext].
func (d *StreamDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext opens a stream, a [*Stream], to the address on the named
// network. Networks and addresses are those of [Dial].
//
// Dials that need a new association wait for the same handshake. It has the
// values of the first dial's context, and is given up when no dial waits for it
// any more. A dial to a peer that says nothing of streams, or cannot reset them,
// is tried once more after 100 ms; see AnyPeer.
//
// The error wraps [errors.ErrUnsupported] when the peer is not one for streams,
// [ErrNoFreeStream] when a new association has no stream for this side to open,
// and [net.ErrClosed] after Close.
func (d *StreamDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if ctx == nil {
		panic("nil context")
	}
	name, _, err := lookupNetwork(network, cmp.Or(d.Network, d.Dialer.Network, "sctp"))
	if err != nil {
		return nil, dialError("dial", network, nil, nil, err)
	}
	key := streamKey{name, address}
	for waits, again := true, false; ; {
		s, sc, err := d.join(ctx, key, waits)
		if err != nil {
			return nil, err
		}
		if s == nil {
			select {
			case <-sc.ready:
				s, err = d.open(ctx, sc)
				if waits && errors.Is(err, mux.ErrClosing) {
					s, err = d.openClosing(ctx, sc)
					waits = false
				}
			case <-ctx.Done():
				err = dialError("dial", name, nil, nil, contextError(ctx.Err()))
			}
			d.leave(sc)
		}
		if err == nil {
			err = d.announce(ctx, s)
		}
		switch {
		case err == nil:
			return s, nil
		case errors.Is(err, errReplace):
			if again {
				return nil, err
			}
			again = true
		case errors.Is(err, ErrNoFreeStream) && sc.err == nil: // others have them: join another association
		default:
			return nil, err
		}
	}
}

// errReplace says that an association ended before a stream of it was opened.
// DialContext replaces it, once.
var errReplace = errors.New("the association has ended")

// replaceError is errReplace with the reason, if there is one.
func replaceError(err error) error {
	if err == io.EOF {
		return errReplace // which is how an association ends, and nothing was read here
	}
	return fmt.Errorf("%w: %w", errReplace, err)
}

// announce announces a stream, if the peer knows what that is. It closes the
// stream if it fails.
func (d *StreamDialer) announce(ctx context.Context, s *Stream) error {
	if !s.c.knows.Load() {
		return nil
	}
	// The end of ctx is a write deadline in the past, which ends the wait for
	// room.
	call := s.watch.beginWrite()
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		s.s.SetWriteDeadline(time.Unix(1, 0))
		close(interrupted)
	})
	err := s.s.Announce()
	if !stop() {
		<-interrupted
		if errors.Is(err, os.ErrDeadlineExceeded) && s.watch.m.Arrivals() == call.arrivals {
			s.watch.stuck()
		}
		s.Close()
		return dialError("dial", s.c.network, nil, s.c.remote, contextError(ctx.Err()))
	}
	if err == nil {
		return nil
	}
	s.watch.stuck() // it is ending
	s.Close()
	return s.c.opError("dial", replaceError(err))
}

// join opens a stream on the newest association that has room. Otherwise it
// returns one that is being made, or if waits is set one that has streams being
// closed. The caller is a user of that.
func (d *StreamDialer) join(ctx context.Context, key streamKey, waits bool) (*Stream, *sharedConn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	failure := func(err error) error { return dialError("dial", key.network, nil, nil, err) }
	switch {
	case d.closed:
		return nil, nil, failure(net.ErrClosed)
	case ctx.Err() != nil:
		return nil, nil, failure(contextError(ctx.Err()))
	}
	var closing *sharedConn
	for _, sc := range slices.Backward(slices.Clone(d.shared[key])) {
		switch s, err := d.tryOpen(sc); {
		case err == nil:
			return s, nil, nil
		case closing == nil && errors.Is(err, mux.ErrClosing):
			closing = sc
		}
	}
	for _, sc := range d.shared[key] {
		if sc.state == sharedDialing {
			sc.users++
			return nil, sc, nil
		}
	}
	if waits && closing != nil {
		d.use(closing)
		return nil, closing, nil
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
	if sc.state != sharedUsed && sc.state != sharedIdle {
		return nil, errReplace
	}
	s, err := sc.m.TryOpen()
	switch {
	case err == nil:
		return d.newStream(sc, s), nil
	case errors.Is(err, ErrNoFreeStream):
		if !sc.m.CanReset() {
			d.drain(sc) // its numbers are used up
		}
		return nil, err
	}
	d.drain(sc)
	return nil, replaceError(err)
}

// use makes the caller a user of an association. d.mu is held.
func (d *StreamDialer) use(sc *sharedConn) {
	sc.users++
	if sc.state == sharedIdle {
		d.move(sc, sharedUsed)
	}
}

// newStream makes a Stream a user of its association. d.mu is held.
func (d *StreamDialer) newStream(sc *sharedConn, s *mux.Stream) *Stream {
	d.use(sc)
	sc.opened = true
	watch := &streamWatch{m: sc.m, stuck: func() { d.stuck(sc) }}
	return &Stream{c: sc.conn, s: s, onClose: func() { d.leave(sc) }, watch: watch}
}

// openClosing is open of one of the streams that are being closed, which takes a
// round trip or two. That is less than making another association, unless the
// peer does not close them.
func (d *StreamDialer) openClosing(ctx context.Context, sc *sharedConn) (*Stream, error) {
	limited, cancel := context.WithTimeout(ctx, closingPatience)
	defer cancel()
	s, err := sc.m.Open(limited)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil && sc.state == sharedUsed:
		return d.newStream(sc, s), nil
	case err == nil:
		s.Close()
		return nil, sc.conn.opError("dial", errReplace)
	case ctx.Err() != nil:
		return nil, dialError("dial", sc.key.network, nil, nil, contextError(ctx.Err()))
	case limited.Err() != nil, errors.Is(err, ErrNoFreeStream):
		return nil, ErrNoFreeStream
	}
	return nil, sc.conn.opError("dial", replaceError(err))
}

// closingPatience is how long a dial waits for streams that are being closed
// before it makes another association.
const closingPatience = time.Second

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
	if errors.Is(err, ErrNoFreeStream) && !sc.opened {
		// The peer has begun to use all of them, and would those of another.
		d.drain(sc)
		err = fmt.Errorf("%w: %w: the peer uses those for this side to open", errReplace, ErrNoFreeStream)
	}
	return s, sc.conn.opError("dial", err)
}

// dial makes the association of a sharedConn, and refuses what the peer opens on
// it until it ends.
func (d *StreamDialer) dial(ctx context.Context, sc *sharedConn) {
	d.awaitPort(ctx)
	c, m, err := d.handshake(ctx, sc.key)
	if !d.dialed(sc, c, m, err) {
		return
	}
	m.ServeStreams()
	m.RefuseStreams(context.Background())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drain(sc)
}

// dialed takes note of a handshake that is over. It reports whether there is an
// association.
func (d *StreamDialer) dialed(sc *sharedConn, c *Conn, m *mux.Mux, err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case sc.state == sharedFailed: // nobody waits for it, or the StreamDialer is closed
		if err == nil {
			c.Abort()
		}
		return false
	case err != nil:
		sc.err = err
		d.move(sc, sharedFailed)
		return false
	}
	sc.conn, sc.m = c, m
	d.move(sc, sharedUsed)
	return true
}

// handshake makes an association that serves streams. A peer that does not say
// so may be just about to: see NewStreamListener. It is asked once more.
func (d *StreamDialer) handshake(ctx context.Context, key streamKey) (*Conn, *mux.Mux, error) {
	dialer := d.Dialer
	config := &dialer.Config
	if config.OutStreams == 0 {
		config.OutStreams = streamDialerStreams
	}
	if config.MaxInStreams == 0 {
		config.MaxInStreams = streamDialerStreams
	}
	if config.Adaptation == 0 {
		config.Adaptation = AdaptationStreams
	}
	for again := false; ; again = true {
		nc, err := dialer.DialContext(ctx, key.network, key.address)
		switch {
		case errors.Is(err, syscall.ECONNRESET) && !again:
			continue // the peer has agreed, and aborted: see docs/telecom.md
		case err != nil:
			return nil, nil, err
		}
		c := nc.(*Conn)
		c.learnIndication()
		m, err := c.streamMux()
		if err == nil {
			err = d.suits(c, m, config.Adaptation)
		}
		if err == nil {
			if err = m.CanOpen(); err == nil || m.HasEnded() {
				return c, m, nil
			}
			again = true // it would be the same
		}
		c.Close()
		if again {
			return nil, nil, dialError("dial", c.network, nil, c.remote, err)
		}
		select {
		case <-time.After(lateListener):
		case <-ctx.Done():
			return nil, nil, dialError("dial", c.network, nil, c.remote, contextError(ctx.Err()))
		}
	}
}

// lateListener is how long a server may take from Listen to NewStreamListener.
const lateListener = 100 * time.Millisecond

// suits returns an error for a peer that does not serve streams, or cannot reset
// them.
func (d *StreamDialer) suits(c *Conn, m *mux.Mux, adaptation uint32) error {
	switch _, got := c.e.Adaptation(); {
	case d.AnyPeer:
	case !c.knows.Load():
		sent := "no adaptation layer indication"
		if got != 0 {
			sent = fmt.Sprintf("the adaptation layer indication %#x", got)
		}
		return fmt.Errorf("the peer does not serve streams: it sends %s, want %#x; serve a NewStreamListener there, or set StreamDialer.AnyPeer: %w",
			sent, adaptation, errors.ErrUnsupported)
	case !m.CanReset():
		return fmt.Errorf("the peer cannot reset streams: stream reconfiguration (RFC 6525) must be enabled at both ends; or set StreamDialer.AnyPeer: %w",
			errors.ErrUnsupported)
	}
	return nil
}

// leave ends the use of a shared association by a stream or a dial.
func (d *StreamDialer) leave(sc *sharedConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if sc.users--; sc.users > 0 {
		return
	}
	switch sc.state {
	case sharedDialing:
		d.move(sc, sharedFailed)
	case sharedUsed:
		d.move(sc, sharedIdle)
	case sharedDraining:
		d.move(sc, sharedEnded)
	}
}

// drain keeps new users from an association. d.mu is held.
func (d *StreamDialer) drain(sc *sharedConn) {
	switch sc.state {
	case sharedUsed:
		d.move(sc, sharedDraining)
	case sharedIdle:
		d.move(sc, sharedEnded)
	}
}

// stuck is drain for the watch of a Stream.
func (d *StreamDialer) stuck(sc *sharedConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drain(sc)
}

// move is the one place where an association's state changes. d.mu is held.
func (d *StreamDialer) move(sc *sharedConn, to sharedState) {
	from := sc.state
	if from == sharedIdle && sc.idle != nil {
		sc.idle.Stop() // if that is too late, its function sees another timer
		sc.idle = nil
	}
	if to == sharedIdle && d.IdleTimeout < 0 {
		to = sharedEnded
	}
	sc.state = to
	if from == sharedDialing {
		sc.cancel()
		sc.cancel = nil // it would keep the values of the first dial's context
		close(sc.ready)
	}
	switch to {
	case sharedIdle:
		sc.idle = d.idleTimer(sc)
	case sharedEnded:
		if sc.users > 0 { // the StreamDialer is closed
			sc.conn.Close()
		} else {
			sc.conn.Shutdown()
			sc.over = make(chan struct{})
			d.ending = append(d.ending, sc)
			go d.finish(sc)
		}
		fallthrough
	case sharedFailed:
		d.forget(sc)
	}
}

// finish closes the Conn of an association that has ended.
func (d *StreamDialer) finish(sc *sharedConn) {
	sc.conn.finishStreams()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ending = slices.DeleteFunc(d.ending, func(other *sharedConn) bool { return other == sc })
	close(sc.over)
}

// awaitPort waits until no association that has ended has the Dialer's local port,
// if it has one.
func (d *StreamDialer) awaitPort(ctx context.Context) {
	if a, ok := d.Dialer.LocalAddr.(*Addr); !ok || a == nil || a.Port == 0 {
		return
	}
	d.mu.Lock()
	ending := slices.Clone(d.ending)
	d.mu.Unlock()
	for _, sc := range ending {
		select {
		case <-sc.over:
		case <-ctx.Done():
			return
		}
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
			d.move(sc, sharedEnded)
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
		if sc.state == sharedIdle {
			d.move(sc, sharedEnded)
		}
	}
}

// Close closes all associations, as [Conn.Close] does, and with them all
// streams. An association without open streams is shut down first, which may
// take 5 s after Close has returned: what was written on its streams is
// delivered. Dials that wait, and later ones, fail with [net.ErrClosed], as does
// a second Close.
func (d *StreamDialer) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return &net.OpError{Op: "close", Net: "sctp", Err: net.ErrClosed}
	}
	d.closed = true
	for _, sc := range d.all() {
		switch sc.state {
		case sharedDialing:
			sc.err = dialError("dial", sc.key.network, nil, nil, net.ErrClosed)
			d.move(sc, sharedFailed)
		default:
			d.move(sc, sharedEnded)
		}
	}
	return nil
}
