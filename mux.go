package sctpnet

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A mux shares one association among its streams. There is none until the
// first stream is claimed, unless somebody handles events; from then on its
// goroutine alone receives, and sorts what comes into queues, and who sends
// takes turns.
//
// Received bytes lie in buffers that the queues point into: they are written
// once by the system and copied once, to the reader. A queue that is full
// stops the goroutine and so the association, whose window then holds the peer
// back.
type mux struct {
	c *Conn
	e engine.Owner

	// turn holds a token that a sender takes for the time of one message.
	turn chan struct{}

	self sender   // the Conn's own sending, on streams that nobody claimed
	read deadline // and receiving
	rmu  sync.Mutex
	cur  piece // what a Read of the Conn has begun; under rmu

	arrived    chan struct{} // has a value when something unclaimed may be there
	acceptable chan struct{} // the same for AcceptStream
	freed      chan struct{} // has a value when a number has become free
	dead       chan struct{} // closed when receiving has ended

	mu        sync.Mutex
	room      sync.Cond // for the receiver: a queue has got shorter
	streams   map[uint16]*Stream
	unclaimed queue                // in order of arrival
	late      map[uint16]int       // answers to resets to come, of numbers in use again
	resting   map[uint16]time.Time // numbers that OpenStream does not use until then
	used      map[uint16]bool      // streams the peer has used and not reset, unclaimed
	opened    int                  // how often OpenStream has looked for a number
	reading   int                  // goroutines in a Read of the Conn
	sending   *sender              // whose turn it is, and
	sendBy    time.Time            // the write deadline that the engine has
	resets    []*Stream            // to be reset, in order
	asking    bool                 // a request for resets is under way
	retry     *time.Timer          // of resets
	wait      time.Duration        // until the next retry
	canReset  bool
	ended     bool  // the association has ended, though not receiving
	err       error // why receiving has ended
}

// queueSize is how many bytes a queue takes before it is full, of which every
// piece costs pieceSize beside its own. One that is not full takes another
// piece, whatever its size.
const (
	queueSize = 256 << 10
	pieceSize = 128
)

// A sender is somebody who sends, with a deadline of his own.
type sender struct {
	mu   sync.Mutex // held for the time of one Write
	by   deadline
	gone chan struct{} // closed when he may send no more

	// Under mux.mu, of a stream: its peer has reset it, and it has sent since.
	peerDone, wroteLate bool
}

// startMux returns the association's mux, which it makes if there is none.
func (c *Conn) startMux() *mux {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.mux.Load(); m != nil {
		return m
	}
	m := &mux{
		c:          c,
		turn:       make(chan struct{}, 1),
		arrived:    make(chan struct{}, 1),
		acceptable: make(chan struct{}, 1),
		freed:      make(chan struct{}, 1),
		dead:       make(chan struct{}),
		streams:    make(map[uint16]*Stream),
		used:       make(map[uint16]bool),
		late:       make(map[uint16]int),
		resting:    make(map[uint16]time.Time),
	}
	m.room.L = &m.mu
	m.self.gone = make(chan struct{})
	m.read.set(c.readBy)
	m.self.by.set(c.writeBy)
	// Whom Take turns away finds the mux here, and waits for it to be ready. A
	// Write that was cut short comes first: it has the turn and the lock.
	m.mu.Lock()
	defer m.mu.Unlock()
	m.self.mu.Lock()
	c.mux.Store(m)
	var interrupted bool
	m.e, interrupted = c.e.Take()
	m.canReset = m.e.CanReset()
	if !interrupted {
		m.self.mu.Unlock()
		m.turn <- struct{}{}
	}
	go m.receive()
	return m
}

// A buffer is memory that the system receives into.
type buffer struct {
	refs  atomic.Int32 // pieces, and the receiver
	used  int
	bytes [64 << 10]byte
}

// minReceive is how much of a buffer must be left to receive into.
const minReceive = 4 << 10

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func newBuffer() *buffer {
	b := buffers.Get().(*buffer)
	b.used = 0
	b.refs.Store(1)
	return b
}

func (b *buffer) release() {
	if b.refs.Add(-1) == 0 {
		buffers.Put(b)
	}
}

// A piece is a message or a part of one, or the end of a stream.
type piece struct {
	buf  *buffer // nil of an end
	data []byte
	msg  engine.Message
}

func (p *piece) isEnd() bool { return p.buf == nil }

// cost is what the piece counts in a queue.
func (p *piece) cost() int {
	if p.isEnd() {
		return 0
	}
	return len(p.data) + pieceSize
}

// A queue is a queue of pieces, those from head on.
type queue struct {
	pieces []piece
	head   int
	bytes  int
}

func (q *queue) isFull() bool { return q.bytes >= queueSize }

// rest returns the pieces that are in the queue.
func (q *queue) rest() []piece { return q.pieces[q.head:] }

func (q *queue) push(p piece) {
	if q.head > 0 && len(q.pieces) == cap(q.pieces) {
		n := copy(q.pieces, q.rest())
		clear(q.pieces[n:])
		q.pieces, q.head = q.pieces[:n], 0
	}
	q.pieces = append(q.pieces, p)
	q.bytes += p.cost()
}

// remove takes the piece i of rest out.
func (q *queue) remove(i int) piece {
	i += q.head
	p := q.pieces[i]
	q.bytes -= p.cost()
	copy(q.pieces[q.head+1:i+1], q.pieces[q.head:i])
	q.pieces[q.head] = piece{}
	if q.head++; q.head == len(q.pieces) {
		q.pieces, q.head = q.pieces[:0], 0
	}
	return p
}

// drop empties the queue.
func (q *queue) drop() {
	for _, p := range q.rest() {
		if p.buf != nil {
			p.buf.release()
		}
	}
	*q = queue{}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// receive is the mux's goroutine. It ends with the association, or its Close.
func (m *mux) receive() {
	b := newBuffer()
	defer func() { b.release() }()
	for {
		if len(b.bytes)-b.used < minReceive {
			b.release()
			b = newBuffer()
		}
		n, msg, err := m.e.Recv(b.bytes[b.used:])
		m.mu.Lock()
		switch {
		case err != nil:
			m.end(err)
			m.mu.Unlock()
			return
		case msg.Event != nil:
			if r, ok := msg.Event.(engine.StreamResetEvent); ok {
				m.onReset(r)
			}
		default:
			b.refs.Add(1)
			p := piece{b, b.bytes[b.used : b.used+n], msg}
			b.used += n
			m.deliver(p)
		}
		m.mu.Unlock()
		if msg.Event != nil && m.c.onEvent != nil {
			m.c.onEvent(m.c, newEvent(msg.Event))
		}
	}
}

// deliver puts a piece where it belongs and waits until there is room for
// more.
func (m *mux) deliver(p piece) {
	id := p.msg.Stream
	s := m.streams[id]
	if s != nil && s.isReset() {
		// The peer has seen both resets and begins anew.
		m.free(s)
		s = nil
	}
	switch {
	case s == nil || s.in == over && !s.deaf:
		m.used[id] = true
		m.unclaimed.push(p)
		m.signalUnclaimed()
		if m.unclaimed.isFull() {
			m.awaitRoom(&m.unclaimed)
		}
	case s.deaf:
		p.buf.release()
		m.stop(s)
	default:
		s.queue.push(p)
		signal(s.arrived)
		if s.queue.isFull() {
			m.awaitRoom(&s.queue) // or for its being dropped
		}
	}
}

// awaitRoom waits until there is room in a queue. It does not let the end of
// the association go unnoticed meanwhile, for which others may be waiting: once
// that has come, what is left to receive is not much, and is taken without
// regard to room.
func (m *mux) awaitRoom(q *queue) {
	const lookEvery = 200 * time.Millisecond
	var look *time.Timer
	for q.isFull() && !m.ended && !m.c.closed.Load() {
		if look == nil {
			look = time.AfterFunc(lookEvery, func() {
				ended := m.e.Ended()
				m.mu.Lock()
				defer m.mu.Unlock()
				if m.ended = ended; ended {
					m.room.Broadcast()
				} else {
					look.Reset(lookEvery)
				}
			})
			defer look.Stop()
		}
		m.room.Wait()
	}
}

// stop tells the peer of a stream that was closed, and on which it goes on
// sending, that nobody reads it: the stream is reset once more. The peer knows
// the first reset as the end of what it reads; a second one with nothing in
// between can only mean that (see onReset). RFC 6525 has a request for it, but
// the peer's system cannot grant that while it has data to send, and keeps all
// other requests waiting.
//
// Most often the peer is about to close the stream too, so it is not told at
// once.
func (m *mux) stop(s *Stream) {
	const patience = 100 * time.Millisecond
	switch now := time.Now(); {
	case s.dropped.IsZero():
		s.dropped = now
	case !s.stopping && s.isClosed && s.out == over && now.Sub(s.dropped) > patience:
		s.stopping = true
		m.ask(s)
		m.flushResets()
	}
}

func (m *mux) signalUnclaimed() {
	signal(m.arrived)
	signal(m.acceptable)
}

// end notes why receiving has ended and wakes everybody.
func (m *mux) end(err error) {
	m.err = err
	close(m.dead)
	for _, s := range m.streams {
		signal(s.arrived)
	}
	m.signalUnclaimed()
	if m.retry != nil {
		m.retry.Stop()
	}
	m.resets = nil
}

// onReset takes note of a reset.
func (m *mux) onReset(r engine.StreamResetEvent) {
	if r.Incoming && (r.Failed || r.Denied) {
		return // somebody else has asked for it: we do not
	}
	if !r.Incoming {
		m.asking = false
	}
	if !r.Failed {
		defer m.flushResets()
	}
	ids := r.Streams
	if len(ids) == 0 { // all
		for id := range m.streams {
			ids = append(ids, id)
		}
		if r.Incoming {
			for id := range m.used {
				if m.streams[id] == nil {
					ids = append(ids, id)
				}
			}
		}
	}
	for _, id := range ids {
		s := m.streams[id]
		switch {
		case r.Incoming && s == nil && time.Now().Before(m.resting[id]):
			delete(m.resting, id) // it was told to stop, and had done so
		case !r.Incoming && m.late[id] > 0:
			if m.late[id]--; m.late[id] == 0 {
				delete(m.late, id)
			}
		case r.Failed:
			if s != nil && s.out == asked {
				// Most likely the peer was asking at the same time.
				m.ask(s)
				m.retryResets()
			}
		case !r.Incoming && s == nil:
		case !r.Incoming && s.out == asked:
			s.out = over
			m.forget(s)
		case !r.Incoming:
			m.kick(&s.sender) // the peer has asked for it
		case s == nil || s.in == over && m.used[id]:
			m.unclaimed.push(piece{msg: engine.Message{Stream: id}})
			m.signalUnclaimed()
		case s.in == over:
			s.wroteLate = false
			m.kick(&s.sender) // see stop
		default:
			s.in = over
			s.peerDone = true
			signal(s.arrived)
			m.forget(s)
		}
	}
}

// isReset reports whether a stream was closed and both directions are reset, as
// far as the peer is concerned.
func (s *Stream) isReset() bool { return s.isClosed && s.in == over && s.out >= asked }

// forget makes a stream's number free once nothing of the stream is left.
func (m *mux) forget(s *Stream) {
	if s.isClosed && m.streams[s.id] == s && (s.isReset() && s.out == over || !m.canReset) {
		m.free(s)
		if len(m.unclaimed.rest()) > 0 {
			m.signalUnclaimed() // the peer may have begun to use it again
		}
	}
}

// free makes a stream's number free. If the answer to its reset is still to
// come, it will be no news of the next use.
func (m *mux) free(s *Stream) {
	delete(m.streams, s.id)
	if s.out == asked {
		m.late[s.id]++
	}
	if s.wroteLate {
		// The peer may be about to tell us to stop.
		m.resting[s.id] = time.Now().Add(rest)
	}
	signal(m.freed)
}

// isClaimed reports whether what arrives on a stream is not the Conn's.
func (m *mux) isClaimed(id uint16) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.streams[id] != nil
}

// isClosing reports whether a number will be free soon.
func (m *mux) isClosing(id uint16) bool {
	s := m.streams[id]
	return s != nil && s.isClosed || s == nil && time.Now().Before(m.resting[id])
}

// rest is how long OpenStream does not use a number of which the peer may still
// say that nobody reads it.
const rest = time.Second

// awaitFree waits for claim to return a stream or an error, as long as it returns
// neither, but not for ever. It is called again when a number may have become
// free: closing takes a round trip or two, and a few timeouts where packets are
// lost.
func (m *mux) awaitFree(claim func() (*Stream, error), otherwise error) (*Stream, error) {
	const most = 5 * time.Second
	for start := time.Now(); ; {
		m.mu.Lock()
		s, err := claim()
		if err == nil && s == nil {
			err = m.err
		}
		m.mu.Unlock()
		if s != nil {
			signal(m.freed) // for another who waits
		}
		if s != nil || err != nil {
			return s, err
		}
		if time.Since(start) > most {
			return nil, otherwise
		}
		select {
		case <-m.freed:
		case <-m.dead:
		case <-time.After(rest / 10): // the end of a rest is not signalled
		}
	}
}

// isFree reports whether a number can be used for a new stream.
func (m *mux) isFree(id uint16) bool {
	return m.streams[id] == nil && !m.used[id] && !time.Now().Before(m.resting[id])
}

// ask puts a stream on the list of those to be reset, for flushResets.
func (m *mux) ask(s *Stream) {
	if m.canReset {
		s.out = wanted
		m.resets = append(m.resets, s)
	}
}

// flushResets asks for the resets on the list as far as it can now: a request
// must wait for the data of its stream, and for the answer to the one before.
func (m *mux) flushResets() {
	if m.asking || len(m.resets) == 0 {
		return
	}
	m.resets = slices.DeleteFunc(m.resets, func(s *Stream) bool {
		if !s.stopping || s.in != over {
			return false
		}
		s.out = over // the peer has stopped by itself
		m.forget(s)
		return true
	})
	ids := make([]uint16, 0, min(len(m.resets), maxResets))
	for _, s := range m.resets {
		if m.sending != &s.sender && len(ids) < maxResets {
			ids = append(ids, s.id)
		}
	}
	if len(ids) == 0 {
		return // the sender will come here when he is done
	}
	err := m.e.ResetStreams(ids)
	for i := 0; err == engine.ErrUnsent && len(ids) > 1 && i < len(ids); i++ {
		if one := ids[i : i+1]; m.e.ResetStreams(one) == nil {
			ids, err = one, nil
		}
	}
	switch err {
	case engine.ErrBusy, engine.ErrUnsent:
		m.retryResets()
		return
	case nil:
		m.asking = true
		m.wait = 0
	}
	// Asked for, or they never will be.
	m.resets = slices.DeleteFunc(m.resets, func(s *Stream) bool {
		if !slices.Contains(ids, s.id) {
			return false
		}
		s.out = asked
		return true
	})
}

// maxResets is how many streams one request names: it must fit in a packet.
const maxResets = 256

// retryResets comes back to the list later. Most often an event does before:
// the answer to the request under way. But no event says that a stream's data
// has gone.
func (m *mux) retryResets() {
	const most = 50 * time.Millisecond
	m.wait = min(max(2*m.wait, time.Millisecond), most)
	// By chance, so that two sides that ask at the same time do so once.
	wait := m.wait/2 + rand.N(m.wait)
	if m.retry == nil {
		m.retry = time.AfterFunc(wait, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.err == nil {
				m.asking = false
				m.flushResets()
			}
		})
		return
	}
	m.retry.Reset(wait)
}

// claim makes the stream with a number of which there is none, and moves what
// has arrived for it.
func (m *mux) claim(id uint16) *Stream {
	s := &Stream{m: m, id: id, arrived: make(chan struct{}, 1)}
	s.gone = make(chan struct{})
	m.streams[id] = s
	delete(m.used, id)
	for i := 0; i < len(m.unclaimed.rest()) && s.in != over; {
		switch p := &m.unclaimed.rest()[i]; {
		case p.msg.Stream != id:
			i++
		case p.isEnd():
			m.unclaimed.remove(i)
			s.in = over
		default:
			s.queue.push(m.unclaimed.remove(i))
		}
	}
	if s.queue.bytes > 0 || s.in == over {
		signal(s.arrived)
	}
	m.room.Signal()
	return s
}

// accept claims the first stream that the peer has begun to use, nil if there
// is none. Stream 0 is left to a Read of the Conn that is waiting.
func (m *mux) accept() *Stream {
	for _, p := range m.unclaimed.rest() {
		if id := p.msg.Stream; m.streams[id] == nil && (id != 0 || m.reading == 0) {
			return m.claim(id)
		}
	}
	return nil
}

func (m *mux) acceptStream(ctx context.Context) (*Stream, error) {
	for {
		m.mu.Lock()
		s := m.accept()
		more, err := len(m.unclaimed.rest()) > 0, m.err
		m.mu.Unlock()
		if s != nil || err != nil || m.c.closed.Load() {
			if more || err != nil {
				signal(m.acceptable) // for the next one who waits
			}
			if s == nil && err == nil {
				err = net.ErrClosed
			}
			if s != nil {
				err = nil
			}
			return s, err
		}
		select {
		case <-m.acceptable:
		case <-m.dead:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// recv is the Conn's receiving. It takes what nobody has claimed.
func (m *mux) recv(p []byte, whole bool) (n int, msg engine.Message, err error) {
	m.mu.Lock()
	m.reading++
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.reading--
		if len(m.unclaimed.rest()) > 0 {
			m.signalUnclaimed()
		}
		m.mu.Unlock()
	}()
	m.rmu.Lock()
	defer m.rmu.Unlock()
	return receive(p, whole, &m.cur, &m.read, m.arrived, m)
}

// next takes the next unclaimed piece.
func (m *mux) next() (piece, bool, error) {
	if m.c.closed.Load() {
		return piece{}, false, net.ErrClosed
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := 0; i < len(m.unclaimed.rest()); {
		switch p := &m.unclaimed.rest()[i]; {
		case m.streams[p.msg.Stream] != nil: // of its next use
			i++
		case p.isEnd():
			delete(m.used, p.msg.Stream)
			m.unclaimed.remove(i)
		default:
			m.room.Signal()
			return m.unclaimed.remove(i), true, nil
		}
	}
	return piece{}, false, m.err
}

// A source has pieces to read: ok is false when there is none yet.
type source interface {
	next() (p piece, ok bool, err error)
}

// receive fills p from *cur and then from a source, waiting when that has
// nothing. With whole set it waits for all of a message that it has begun.
func receive(p []byte, whole bool, cur *piece, by *deadline, arrived <-chan struct{}, from source) (n int, msg engine.Message, err error) {
	for {
		if by.isPast() {
			err = os.ErrDeadlineExceeded
			break
		}
		if len(p) == 0 {
			return 0, msg, nil
		}
		if len(cur.data) == 0 {
			got, ok, err1 := from.next()
			if err1 != nil {
				err = err1
				break
			}
			if !ok {
				select {
				case <-arrived:
				case <-by.wait():
				}
				continue
			}
			*cur = got
		}
		if n == 0 {
			msg = cur.msg
		}
		k := copy(p[n:], cur.data)
		n += k
		cur.data = cur.data[k:]
		rest := len(cur.data) > 0
		msg.More = cur.msg.More || rest
		if !rest {
			cur.buf.release()
			*cur = piece{}
		}
		if !whole || !msg.More || n == len(p) {
			return n, msg, nil
		}
	}
	if n > 0 {
		err = nil // the next call will meet it again
	}
	return n, msg, err
}

// send sends p for somebody, in messages of messageSize or if single is set in
// one. resume says that he was at it before there was a mux: he has the turn
// then, and his lock.
func (m *mux) send(by *sender, p []byte, single bool, msg engine.Message, resume bool) (n int, err error) {
	if !resume {
		by.mu.Lock()
	}
	defer by.mu.Unlock()
	for {
		part := p[n:]
		size := 0
		if !single {
			part = part[:min(len(part), messageSize)]
			size = messageSize
		}
		k, err := m.sendPart(by, part, size, msg, resume)
		resume = false
		n += k
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// sendPart sends a part of somebody's data when it is his turn, which it is
// already if mine is set.
func (m *mux) sendPart(by *sender, p []byte, size int, msg engine.Message, mine bool) (n int, err error) {
	if !mine {
		if err := by.check(); err != nil || len(p) == 0 {
			return 0, err
		}
		select {
		case <-m.turn:
		case <-by.by.wait():
			return 0, os.ErrDeadlineExceeded
		case <-by.gone:
			return 0, net.ErrClosed
		}
	}
	m.mu.Lock()
	err = by.check()
	if err == nil {
		m.sending = by
		by.wroteLate = by.peerDone
		m.setSendBy(by.by.time())
	}
	m.mu.Unlock()

	if err == nil {
		n, err = m.e.Send(p, size, msg)
	}

	m.mu.Lock()
	m.sending = nil
	if m.err == nil {
		m.flushResets()
	}
	m.mu.Unlock()
	m.turn <- struct{}{}
	if err == os.ErrDeadlineExceeded && by.isGone() {
		err = net.ErrClosed // it was kick's deadline
	}
	return n, err
}

// check returns why somebody cannot send, if he cannot.
func (by *sender) check() error {
	switch {
	case by.isGone():
		return net.ErrClosed
	case by.by.isPast():
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (by *sender) isGone() bool {
	select {
	case <-by.gone:
		return true
	default:
		return false
	}
}

// setSendBy sets the engine's write deadline, if it is another.
func (m *mux) setSendBy(t time.Time) {
	if !t.Equal(m.sendBy) || t.IsZero() != m.sendBy.IsZero() {
		m.e.SetWriteDeadline(t)
		m.sendBy = t
	}
}

// setWriteDeadline moves somebody's write deadline.
func (m *mux) setWriteDeadline(of *sender, t time.Time) {
	of.by.set(t)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sending == of && !of.isGone() {
		m.setSendBy(t)
	}
}

// kick ends somebody's sending.
func (m *mux) kick(of *sender) {
	if of.isGone() {
		return
	}
	close(of.gone)
	if m.sending == of {
		m.setSendBy(time.Unix(1, 0))
	}
}

// unread reports whether something that arrived was not read.
func (m *mux) unread() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unclaimed.bytes > 0 {
		return true
	}
	for _, s := range m.streams {
		if s.queue.bytes > 0 {
			return true
		}
	}
	return false
}

// wake wakes who waits for room or a message, after Close.
func (m *mux) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kick(&m.self)
	m.room.Broadcast()
}
