package mux

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A Conn is the part of an [engine.Conn] that a Mux uses.
type Conn interface {
	Take() (o engine.Owner, interrupted bool)
	Streams(ask bool) (out, in uint16)
	Features() (engine.Features, error)
	SetWriteDeadline(t time.Time) error
}

// Config is what a Mux is told at its start.
type Config struct {
	// Accepted says that the peer dialed. It decides which numbers Open uses.
	Accepted bool
	// MessageSize is how long the messages are that Send makes of its data
	// while no more than one stream is claimed, or no short ones come.
	MessageSize int
	Limits      // zero meaning those of DefaultLimits
	// OnEvent is called with each event, in order with the messages, if it is
	// not nil. Nothing is received until it returns.
	OnEvent func(engine.Event)
	// Announces reports whether both sides announce the streams that they
	// open, if it is not nil.
	Announces func() bool
	// ReadDeadline and WriteDeadline are those of the Conn.
	ReadDeadline, WriteDeadline time.Time
}

// Limits bound what is kept of the peer's streams.
type Limits struct {
	// AcceptStreams is how many streams can wait to be accepted.
	AcceptStreams int
	// StreamMemory is how much memory what was not read may take before nothing
	// more is received.
	StreamMemory int
}

// DefaultLimits are those of a Config that has none.
func DefaultLimits() Limits { return Limits{AcceptStreams: 128, StreamMemory: 4 << 20} }

// Or returns l with what it lacks from more.
func (l Limits) Or(more Limits) Limits {
	return Limits{cmp.Or(l.AcceptStreams, more.AcceptStreams), cmp.Or(l.StreamMemory, more.StreamMemory)}
}

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

	interleaves bool // a stream's pieces may come between those of another

	self   sender // sends for the Conn, on streams that nobody claimed
	reader reader // reads for it: see share

	acceptable chan struct{} // has a value when the backlog may have something
	dead       chan struct{} // closed when there is an err

	mu        sync.Mutex
	numbers   map[uint16]number
	claimed   int       // how many numbers have a Stream
	waiting   int       // how many wait to be accepted
	unclaimed queue     // what the Conn reads, in order of arrival
	backlog   queue     // what waits to be accepted, in order of arrival
	memory    memory    // of these, and of the streams' queues
	reads     share     // decides which of the two
	room      sync.Cond // for the receiver: a queue has got shorter
	sorting   int       // messages that were received and not delivered

	opened int           // which of its numbers Open looks at next
	freed  chan struct{} // closed when a number becomes free; nil if none waits for that

	turns   int       // how much they sent, in messages of bulkSize
	short   int       // turns at the last short message
	sending *sender   // the one that has the turn
	sendBy  time.Time // the write deadline that the engine has

	resets     resetter
	noReset    error  // why no stream can be reset, or nil
	whenDenied func() // or nil

	isTelling bool           // OnEvent runs
	untold    []engine.Event // that came while it ran

	watch        watch
	wakeReceiver func() // room.Broadcast

	ended bool  // the association has ended, though not receiving
	err   error // why nothing is received any more
}

// Start makes the Mux of an association, which is not taken yet, and gives it
// to publish before it interrupts the calls under way. These look for it there
// and go on with it; its methods wait until it is ready.
func Start(c Conn, config Config, publish func(*Mux)) *Mux {
	m := newMux(c, config)
	f, err := c.Features() // which an association that has ended does not tell
	m.interleaves = f.Interleaving
	if err == nil && !f.StreamReconfig {
		m.noReset = errNoReconfig
	}
	// An interrupted Send comes first: it has the turn and the lock.
	m.mu.Lock()
	defer m.mu.Unlock()
	m.self.mu.Lock()
	publish(m)
	var interrupted bool
	m.e, interrupted = c.Take()
	if !interrupted {
		m.self.mu.Unlock()
		m.turn <- struct{}{}
	}
	go newReceiver(m).run()
	return m
}

// SetLimits changes Config.Limits. What is kept already stays.
func (m *Mux) SetLimits(l Limits) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.config.Limits = l
	m.room.Broadcast()
}

// newMux makes a Mux that has no Owner yet, and no turn.
func newMux(c Conn, config Config) *Mux {
	config.Limits = config.Limits.Or(DefaultLimits())
	m := &Mux{
		conn:       c,
		config:     config,
		turn:       make(chan struct{}, 1),
		acceptable: make(chan struct{}, 1),
		dead:       make(chan struct{}),
		numbers:    make(map[uint16]number),
	}
	m.room.L = &m.mu
	m.wakeReceiver = m.room.Broadcast
	m.unclaimed.memory, m.backlog.memory = &m.memory, &m.memory
	m.resets.asked.L = &m.mu
	m.self.gone = make(chan struct{})
	m.reader.from, m.reader.arrived = m, make(chan struct{}, 1)
	m.reader.deadline.set(m, config.ReadDeadline)
	m.self.deadline.set(m, config.WriteDeadline)
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
	s := m.numbers[id].stream
	if s != nil && s.isReset() {
		// The peer has seen both resets. This begins the number's next use.
		m.free(s)
		s = m.numbers[id].stream
	}
	switch {
	case m.isSpent(id):
		p.buf.release()
	case s == nil || s.in == inEnded: // belongs to the next use
		m.keep(p)
		m.compact()
		m.awaitMemory()
		m.awaitRoom(m.unclaimed.isFull)
	case s.in != inOpen:
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
	u := m.numbers[id].next
	u.isBegun, u.hasEnded = true, p.isEnd()
	switch {
	case u.isRefused:
		p.buf.release()
	case u.pieces == 0 && !m.reads.has(id) && m.waiting >= m.config.AcceptStreams:
		p.buf.release()
		m.setNext(id, u)
		m.refuse(id)
		return
	default:
		u.pieces++
		m.queueOf(id).push(p)
		m.signalUnclaimed()
	}
	m.setNext(id, u)
}

// take removes piece i of the queue of streams that nobody claimed, and returns
// it.
func (m *Mux) take(q *queue, i int) piece {
	p := q.remove(i)
	id := p.msg.Stream
	u := m.numbers[id].next
	if u.pieces--; u.pieces == 0 && u.hasEnded {
		u = use{}
	}
	m.setNext(id, u)
	if !u.isBegun {
		m.wakeOpeners()
	}
	return p
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
	for _, n := range m.numbers {
		if n.stream != nil {
			signal(n.stream.reader.arrived)
		}
	}
	m.signalUnclaimed()
	m.resets.stop()
}

// hasStream reports whether there is a stream of a number in each direction, of those
// that are known: see Stream.learn.
func (m *Mux) hasStream(id uint16) (out, in bool) {
	o, i := m.conn.Streams(false)
	return id < o, id < i
}

// claim makes the Stream of a number that has none, and moves what has arrived
// for it.
func (m *Mux) claim(id uint16) *Stream {
	s := &Stream{m: m, id: id}
	s.queue.memory = &m.memory
	s.gone = make(chan struct{})
	s.reader.from, s.reader.arrived = s, make(chan struct{}, 1)
	n := m.numbers[id]
	n.stream = s
	m.put(id, n)
	if m.isUsed(id) {
		m.takeUse(s)
	}
	signal(m.reader.arrived) // for a Recv that has begun a message of this stream
	m.room.Signal()
	return s
}

// takeUse moves what has arrived of the first use of a stream to its Stream.
func (m *Mux) takeUse(s *Stream) {
	q := m.queueOf(s.id)
	pieces := q.removeStream(s.id)
	for len(pieces) > 0 && s.in != inEnded {
		if p := pieces[0]; p.isEnd() {
			s.in = inEnded
		} else {
			s.push(p)
		}
		pieces = pieces[1:]
	}
	var next use
	if len(pieces) > 0 {
		next = use{isBegun: true, pieces: len(pieces), hasEnded: m.numbers[s.id].next.hasEnded}
	}
	for _, p := range pieces {
		q.push(p)
	}
	m.setNext(s.id, next)
}

// Claim makes the Stream of a number, which must be that of a stream. It waits
// up to 5 s for one that is being closed.
func (m *Mux) Claim(id uint16) (*Stream, error) {
	s, err := m.awaitFree(context.Background(), func() (*Stream, error) {
		switch s, err := m.numbers[id].stream, m.checkSpent(id); {
		case err != nil:
			return nil, err
		case s == nil:
			return m.claim(id), nil
		case s.closed:
			return nil, errClosing
		}
		return nil, fmt.Errorf("stream %d is in use already", id)
	})
	if err == errClosing {
		err = fmt.Errorf("stream %d is still being closed", id)
	}
	return s, err
}

// Unread reports whether something has arrived that was not read.
func (m *Mux) Unread() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unclaimed.bytes > 0 || m.backlog.bytes > 0 || m.sorting > 0 || m.reader.begun.Load() {
		return true
	}
	for _, n := range m.numbers {
		if s := n.stream; s != nil && (s.queue.bytes > 0 || s.reader.begun.Load() && !s.reader.isStale) {
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
	m.reader.deadline.stop(m)
	m.self.deadline.stop(m)
	for _, n := range m.numbers {
		if n.stream != nil {
			n.stream.stopTimers()
		}
	}
	return err
}
