package mux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A Conn is what a Mux needs of an association beside its Owner. Every
// [engine.Conn] is one.
type Conn interface {
	Take() (o engine.Owner, interrupted bool)
	Streams() (out, in uint16)
	NumStreams() (out, in uint16)
}

// Config is what a Mux is told at its start.
type Config struct {
	// Accepted says that the peer dialed. It decides which numbers Open uses.
	Accepted bool
	// MessageSize is how long the messages are that Send makes of its data
	// while no more than one stream is claimed.
	MessageSize int
	// AcceptStreams is how many streams can wait to be accepted, 0 meaning
	// DefaultAcceptStreams.
	AcceptStreams int
	// StreamMemory is how much memory what was not read may take before nothing
	// more is received, 0 meaning DefaultStreamMemory.
	StreamMemory int
	// OnEvent is called with each event, in order with the messages, if it is
	// not nil. Nothing is received until it returns.
	OnEvent func(engine.Event)
	// Announces reports whether both sides announce the streams that they
	// open, if it is not nil.
	Announces func() bool
	// ReadDeadline and WriteDeadline are those of the Conn.
	ReadDeadline, WriteDeadline time.Time
}

// What a Config of zero means.
const (
	DefaultAcceptStreams = 128
	DefaultStreamMemory  = 4 << 20
)

// A Mux shares one association among its streams.
type Mux struct {
	conn   Conn
	e      engine.Owner
	config Config
	closed atomic.Bool

	arrivals atomic.Uint64 // messages of the peer, and ends of its streams

	// turn holds a token. A sender takes it for the time of one message, if it
	// sends much or there is no room.
	turn chan struct{}

	self   sender // sends for the Conn, on streams that nobody claimed
	reader reader // reads for it: see share

	acceptable chan struct{} // has a value when the backlog may have something
	dead       chan struct{} // closed when there is an err

	mu           sync.Mutex
	room         sync.Cond // for the receiver: a queue has got shorter
	streams      map[uint16]*Stream
	unclaimed    queue            // what the Conn reads, in order of arrival
	backlog      queue            // what waits to be accepted, in order of arrival
	memory       memory           // of these, and of the streams' queues
	reads        share            // decides which of the two
	late         map[uint16]int   // answers to resets to come, of numbers in use again
	used         map[uint16]use   // streams that nobody claimed and the peer uses
	freed        chan struct{}    // closed when a number becomes free; nil if none waits for that
	sorting      int              // messages that were received and not delivered
	opened       int              // how often Open has looked for a number
	turns        int              // how many there were
	sending      *sender          // the one that has the turn
	sendBy       time.Time        // the write deadline that the engine has
	resets       []*Stream        // to be reset, in order
	asking       bool             // a request for resets is under way,
	askedAt      time.Time        // since then,
	isBackingOff bool             // or rather has failed
	retry        *time.Timer      // of resets
	wait         time.Duration    // until the next retry
	backedOff    time.Duration    // at most, after the last failure
	noReset      error            // why no stream can be reset, or nil
	whenDenied   func()           // or nil
	spent        map[uint16]error // numbers that are not used again, and why
	ended        bool             // the association has ended, though not receiving
	isTelling    bool             // OnEvent runs
	untold       []engine.Event   // that came while it ran
	err          error            // why nothing is received any more
}

// A use is what the peer has done with a stream that nobody claimed.
type use struct {
	pieces    int  // in the queue
	hasEnded  bool // the peer has reset the stream, and not sent since
	isRefused bool // see refuse
}

// Start makes the Mux of an association, which is not taken yet, and gives it
// to publish before it interrupts the calls under way. These look for it there
// and go on with it; its methods wait until it is ready.
func Start(c Conn, config Config, publish func(*Mux)) *Mux {
	m := newMux(c, config)
	// An interrupted Send comes first: it has the turn and the lock.
	m.mu.Lock()
	defer m.mu.Unlock()
	m.self.mu.Lock()
	publish(m)
	var interrupted bool
	m.e, interrupted = c.Take()
	if !m.e.CanReset() {
		m.noReset = errNoReconfig
	}
	if !interrupted {
		m.self.mu.Unlock()
		m.turn <- struct{}{}
	}
	go newReceiver(m).run()
	return m
}

// newMux makes a Mux that has no Owner yet, and no turn.
func newMux(c Conn, config Config) *Mux {
	if config.AcceptStreams == 0 {
		config.AcceptStreams = DefaultAcceptStreams
	}
	if config.StreamMemory == 0 {
		config.StreamMemory = DefaultStreamMemory
	}
	m := &Mux{
		conn:       c,
		config:     config,
		turn:       make(chan struct{}, 1),
		acceptable: make(chan struct{}, 1),
		dead:       make(chan struct{}),
		streams:    make(map[uint16]*Stream),
		used:       make(map[uint16]use),
		late:       make(map[uint16]int),
		spent:      make(map[uint16]error),
	}
	m.room.L = &m.mu
	m.unclaimed.memory, m.backlog.memory = &m.memory, &m.memory
	m.self.gone = make(chan struct{})
	m.reader.arrived = make(chan struct{}, 1)
	m.reader.by.set(config.ReadDeadline)
	m.self.by.set(config.WriteDeadline)
	return m
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// deliver puts a piece where it belongs and waits until there is room for
// more.
func (m *Mux) deliver(p piece) {
	id := p.msg.Stream
	s := m.streams[id]
	if s != nil && s.isReset() {
		// The peer has seen both resets. This begins the number's next use.
		m.free(s)
		s = m.streams[id]
	}
	switch {
	case m.isSpent(id):
		p.buf.release()
	case s == nil || s.in == over && !s.isClosed: // belongs to the next use
		m.keep(p)
		m.compact()
		m.awaitMemory()
		m.awaitRoom(m.unclaimed.isFull)
	case s.deaf:
		p.buf.release()
		m.stop(s)
	default:
		s.push(p)
		signal(s.reader.arrived)
		m.compact()
		m.awaitMemory()
		m.awaitRoom(s.queue.isFull) // which dropping it ends, too
	}
}

// keep puts a piece of a stream that nobody claimed into its queue, or refuses the
// stream.
func (m *Mux) keep(p piece) {
	id := p.msg.Stream
	u := m.used[id]
	u.hasEnded = p.isEnd()
	switch {
	case u.isRefused:
		p.buf.release()
	case u.pieces == 0 && !m.reads.has(id) && m.waiting() >= m.config.AcceptStreams:
		p.buf.release()
		m.used[id] = u
		m.refuse(id)
		return
	default:
		u.pieces++
		m.queueOf(id).push(p)
		m.signalUnclaimed()
	}
	m.used[id] = u
}

// take removes piece i of the queue of streams that nobody claimed, and returns
// it.
func (m *Mux) take(q *queue, i int) piece {
	p := q.remove(i)
	id := p.msg.Stream
	u := m.used[id]
	if u.pieces--; u.pieces == 0 && u.hasEnded {
		delete(m.used, id)
		m.wakeOpeners()
	} else {
		m.used[id] = u
	}
	return p
}

// isUsed reports whether the peer uses a stream that nobody claimed.
func (m *Mux) isUsed(id uint16) bool {
	_, ok := m.used[id]
	return ok
}

func (m *Mux) signalUnclaimed() {
	signal(m.reader.arrived)
	signal(m.acceptable)
}

// HasEnded reports whether receiving has ended, or Close was called.
func (m *Mux) HasEnded() bool {
	select {
	case <-m.dead:
		return true
	default:
		return false
	}
}

// end notes why nothing is received any more, if that is news, and wakes all
// waiters.
func (m *Mux) end(err error) {
	if m.err != nil {
		return
	}
	m.err = err
	close(m.dead)
	for _, s := range m.streams {
		signal(s.reader.arrived)
	}
	m.signalUnclaimed()
	if m.retry != nil {
		m.retry.Stop()
	}
	m.resets = nil
}

// hasStream reports whether there is a stream of a number in each direction.
func (m *Mux) hasStream(id uint16) (out, in bool) {
	o, i := m.conn.Streams()
	if id >= min(o, i) {
		o, i = m.conn.NumStreams() // some may have been added
	}
	return id < o, id < i
}

// claim makes the Stream of a number that has none, and moves what has arrived
// for it.
func (m *Mux) claim(id uint16) *Stream {
	s := &Stream{m: m, id: id}
	s.queue.memory = &m.memory
	s.gone = make(chan struct{})
	s.reader.arrived = make(chan struct{}, 1)
	m.streams[id] = s
	if m.isUsed(id) {
		m.takeUse(s)
	}
	if s.queue.bytes > 0 || s.in == over {
		signal(s.reader.arrived)
	}
	signal(m.reader.arrived) // for a Recv that has begun a message of this stream
	m.room.Signal()
	return s
}

// takeUse moves what has arrived of the first use of a stream to its Stream.
func (m *Mux) takeUse(s *Stream) {
	q := m.queueOf(s.id)
	pieces := q.removeStream(s.id)
	for len(pieces) > 0 && s.in != over {
		if p := pieces[0]; p.isEnd() {
			s.in = over
		} else {
			s.push(p)
		}
		pieces = pieces[1:]
	}
	if len(pieces) == 0 {
		delete(m.used, s.id)
		return
	}
	for _, p := range pieces {
		q.push(p)
	}
	m.used[s.id] = use{pieces: len(pieces), hasEnded: m.used[s.id].hasEnded}
}

// Claim makes the Stream of a number, which must be that of a stream. It waits
// up to 5 s for one that is being closed.
func (m *Mux) Claim(id uint16) (*Stream, error) {
	return m.awaitFree(context.Background(), func() (*Stream, error) {
		switch s, err := m.streams[id], m.checkSpent(id); {
		case err != nil:
			return nil, err
		case s == nil:
			return m.claim(id), nil
		case s.isClosed:
			return nil, nil
		}
		return nil, fmt.Errorf("stream %d is in use already", id)
	}, func() error { return fmt.Errorf("stream %d is still being closed", id) })
}

// ErrNoFreeStream is returned by Open when all streams are in use, or were used
// and cannot be used again.
var ErrNoFreeStream = errors.New("no free stream")

// Open makes the Stream of a number that is not in use: an even one, but not 0,
// on the side that dialed, an odd one on the side that accepted (RFC 8832
// section 6). It waits up to 5 s for one that is being closed.
func (m *Mux) Open(ctx context.Context) (*Stream, error) {
	return m.awaitFree(ctx, func() (*Stream, error) {
		first, count := m.own() // some may have been added
		return m.claimUnused(first, count, m.noFreeStream)
	}, m.noFreeStream)
}

// ErrClosing is an ErrNoFreeStream that may be over soon: some of the streams are
// being closed.
var ErrClosing = fmt.Errorf("%w: some are being closed", ErrNoFreeStream)

// TryOpen is Open without the wait.
func (m *Mux) TryOpen() (*Stream, error) {
	first, count := m.own()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return nil, net.ErrClosed
	}
	s, err := m.claimUnused(first, count, func() error { return ErrNoFreeStream })
	if s == nil && err == nil {
		err = ErrClosing
	}
	return s, err
}

// own returns the first number that is for this side to open, and how many
// there are. They are every second one.
func (m *Mux) own() (first, count int) {
	first = 2
	if m.config.Accepted {
		first = 1
	}
	out, in := m.conn.NumStreams()
	return first, max(0, (int(min(out, in))-first+1)/2)
}

// CanOpen returns an error if no number is for this side to open.
func (m *Mux) CanOpen() error {
	if _, count := m.own(); count == 0 {
		return m.noFreeStream()
	}
	return nil
}

func (m *Mux) noFreeStream() error {
	out, in := m.conn.NumStreams()
	_, count := m.own()
	return fmt.Errorf("%w: of %d outgoing and %d incoming, %d are for this side to open", ErrNoFreeStream, out, in, count)
}

// claimUnused makes the Stream of a number for this side that is not in use. It
// returns none if all are in use, but no error if some of them are being closed.
func (m *Mux) claimUnused(first, count int, none func() error) (*Stream, error) {
	if m.err != nil {
		return nil, m.err
	}
	closing, why := false, m.noReset
	for range count {
		id := uint16(first + 2*(m.opened%count))
		m.opened++
		switch s := m.streams[id]; {
		case m.isSpent(id):
			why = m.spent[id]
		case s == nil && !m.isUsed(id):
			return m.claim(id), nil
		case s != nil && s.isClosed:
			closing = true
		}
	}
	switch {
	case closing:
		return nil, nil
	case why != nil:
		return nil, fmt.Errorf("%w: each number is used once: %w", none(), why)
	}
	return nil, none()
}

// accept claims the first stream that the peer has begun to use. It returns nil
// if there is none.
func (m *Mux) accept() *Stream {
	m.leaveToAccept(stream0)
	if id := m.begunStream(); id >= 0 {
		return m.claim(uint16(id))
	}
	return nil
}

// Accept waits for a stream that the peer begins to use, or has used before,
// and makes its Stream. From the first Accept on, the Conn reads stream 0 alone.
func (m *Mux) Accept(ctx context.Context) (*Stream, error) {
	for {
		if m.closed.Load() {
			return nil, net.ErrClosed
		}
		m.mu.Lock()
		s := m.accept()
		more, err := len(m.backlog.rest()) > 0, m.err
		m.mu.Unlock()
		if s != nil {
			if more {
				signal(m.acceptable) // for the next waiter
			}
			return s, nil
		}
		if err != nil {
			return nil, err
		}
		select {
		case <-m.acceptable:
		case <-m.dead:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Unread reports whether something has arrived that was not read.
func (m *Mux) Unread() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unclaimed.bytes > 0 || m.backlog.bytes > 0 || m.sorting > 0 || m.reader.begun.Load() {
		return true
	}
	for _, s := range m.streams {
		if s.queue.bytes > 0 || s.reader.begun.Load() && !s.deaf {
			return true
		}
	}
	return false
}

// Close closes the Mux. It calls end, which ends the association in one way or
// another, and returns its error. Waiting calls return net.ErrClosed, also while
// OnEvent or end does not return; those that send do when end has returned.
func (m *Mux) Close(end func() error) error {
	m.closed.Store(true)
	m.mu.Lock()
	m.end(net.ErrClosed)
	m.room.Broadcast()
	m.mu.Unlock()
	err := end()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kick(&m.self)
	m.reader.by.stop()
	m.self.by.stop()
	for _, s := range m.streams {
		s.stopTimers()
	}
	return err
}
