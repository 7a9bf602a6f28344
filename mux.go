package sctpnet

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
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

	// turn holds a token that a sender takes for the time of one message, if he
	// sends much or there is no room.
	turn chan struct{}

	self sender   // the Conn's own sending, on streams that nobody claimed
	read deadline // and receiving
	rmu  sync.Mutex
	cur  piece // what a Read of the Conn has begun; under rmu

	arrived    chan struct{} // has a value when something unclaimed may be there
	acceptable chan struct{} // the same for AcceptStream
	freed      chan struct{} // has a value when a number has become free
	dead       chan struct{} // closed when receiving has ended

	mu           sync.Mutex
	room         sync.Cond // for the receiver: a queue has got shorter
	streams      map[uint16]*Stream
	unclaimed    queue          // in order of arrival
	late         map[uint16]int // answers to resets to come, of numbers in use again
	used         map[uint16]use // of streams that nobody claimed and the peer uses
	sorting      int            // messages that were received and not delivered
	opened       int            // how often OpenStream has looked for a number
	reading      int            // goroutines in a Read of the Conn
	turns        int            // how many there were
	sending      *sender        // whose turn it is, and
	sendBy       time.Time      // the write deadline that the engine has
	resets       []*Stream      // to be reset, in order
	asking       bool           // a request for resets is under way,
	askedAt      time.Time      // since then,
	isBackingOff bool           // or rather has failed
	retry        *time.Timer    // of resets
	wait         time.Duration  // until the next retry
	canReset     bool
	ended        bool   // the association has ended, though not receiving
	err          error  // why receiving has ended
	onEnd        func() // called then, if not nil
}

// A use is what the peer has done with a stream that nobody claimed.
type use struct {
	pieces   int  // that are unclaimed
	hasEnded bool // it has reset the stream, and not sent since
}

// A sender is somebody who sends, with a deadline of his own.
type sender struct {
	mu   sync.Mutex // held for the time of one Write
	by   deadline
	gone chan struct{} // closed when he may send no more

	// Under mux.mu.
	isSending   bool
	sent, turns int // what he has sent since there were that many turns
}

// startMux returns the association's mux, which it makes if there is none.
func (c *Conn) startMux() *mux {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.mux.Load(); m != nil {
		return m
	}
	m := newMux(c)
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

// newMux makes the mux of a Conn, which is not taken yet.
func newMux(c *Conn) *mux {
	m := &mux{
		c:          c,
		turn:       make(chan struct{}, 1),
		arrived:    make(chan struct{}, 1),
		acceptable: make(chan struct{}, 1),
		freed:      make(chan struct{}, 1),
		dead:       make(chan struct{}),
		streams:    make(map[uint16]*Stream),
		used:       make(map[uint16]use),
		late:       make(map[uint16]int),
	}
	m.room.L = &m.mu
	m.self.gone = make(chan struct{})
	return m
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
	var batch [receiveBatch]engine.Msg
	slots := 1 // in use: many if messages are small and many
	for {
		if len(b.bytes)-b.used < minReceive {
			b.release()
			b = newBuffer()
		}
		rest := len(b.bytes) - b.used
		msgs := batch[:min(slots, rest/minReceive)]
		size := rest / len(msgs)
		for i := range msgs {
			start := b.used + i*size
			msgs[i].Data = b.bytes[start : start+size]
		}
		n, err := m.e.Recv(msgs)
		if err != nil {
			m.mu.Lock()
			m.end(err)
			f := m.onEnd
			m.mu.Unlock()
			if f != nil {
				f()
			}
			return
		}
		slots = nextSlots(msgs[:n], len(msgs))
		m.sort(b, msgs[:n])
	}
}

// receiveBatch is how many messages are received at once at most.
const receiveBatch = 16

// nextSlots is how many messages to receive next: twice as many if there were
// as many as that now, and one if one of them would have taken more room than
// there is for several.
func nextSlots(msgs []engine.Msg, slots int) int {
	for i := range msgs {
		if m := &msgs[i]; m.More || m.N > minReceive {
			return 1
		}
	}
	if len(msgs) == slots {
		slots = min(2*slots, receiveBatch)
	}
	return slots
}

// sort delivers what has arrived. It moves it together in its buffer.
func (m *mux) sort(b *buffer, msgs []engine.Msg) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range msgs {
		if msgs[i].Event == nil {
			m.sorting++
		}
	}
	for i := range msgs {
		if r, ok := msgs[i].Event.(engine.StreamResetEvent); ok {
			m.onReset(r)
		}
		if e := msgs[i].Event; e != nil {
			if m.c.onEvent != nil {
				m.mu.Unlock()
				m.c.onEvent(m.c, newEvent(e))
				m.mu.Lock()
			}
		} else {
			n := copy(b.bytes[b.used:], msgs[i].Data[:msgs[i].N])
			b.refs.Add(1)
			p := piece{b, b.bytes[b.used : b.used+n], msgs[i].Message}
			b.used += n
			m.sorting--
			m.deliver(p)
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
	case s == nil || s.in == over && !s.isClosed: // of the next use
		m.keep(p)
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

// keep puts a piece among the unclaimed.
func (m *mux) keep(p piece) {
	id := p.msg.Stream
	m.used[id] = use{m.used[id].pieces + 1, p.isEnd()}
	m.unclaimed.push(p)
	m.signalUnclaimed()
}

// take takes one out.
func (m *mux) take(i int) piece {
	p := m.unclaimed.remove(i)
	id := p.msg.Stream
	u := m.used[id]
	if u.pieces--; u.pieces == 0 && u.hasEnded {
		delete(m.used, id)
	} else {
		m.used[id] = u
	}
	return p
}

func (m *mux) isUsed(id uint16) bool {
	_, ok := m.used[id]
	return ok
}

// awaitRoom waits until there is room in a queue. It does not let the end of
// the association go unnoticed meanwhile, for which others may be waiting: once
// that has come, what is left to receive is not much, and is taken without
// regard to room.
func (m *mux) awaitRoom(q *queue) {
	const lookEvery = 200 * time.Millisecond
	var look *time.Timer
	isDone := false
	for q.isFull() && !m.ended && !m.c.closed.Load() {
		if look == nil {
			look = time.AfterFunc(lookEvery, func() {
				ended := m.e.Ended()
				m.mu.Lock()
				defer m.mu.Unlock()
				switch {
				case ended:
					m.ended = true
					m.room.Broadcast()
				case !isDone:
					look.Reset(lookEvery)
				}
			})
		}
		m.room.Wait()
	}
	isDone = true
	if look != nil {
		look.Stop()
	}
}

func (m *mux) signalUnclaimed() {
	signal(m.arrived)
	signal(m.acceptable)
}

// whenEnded has f called when receiving has ended.
func (m *mux) whenEnded(f func()) {
	m.mu.Lock()
	m.onEnd = f
	ended := m.err != nil
	m.mu.Unlock()
	if ended {
		f()
	}
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

// isElsewhere reports whether what arrives on a stream is not the Conn's.
func (m *mux) isElsewhere(id uint16) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.streams[id] != nil
}

// claim makes the stream with a number of which there is none, and moves what
// has arrived for it.
func (m *mux) claim(id uint16) *Stream {
	s := &Stream{m: m, id: id, arrived: make(chan struct{}, 1)}
	s.gone = make(chan struct{})
	m.streams[id] = s
	for i := 0; i < len(m.unclaimed.rest()) && s.in != over; {
		switch p := &m.unclaimed.rest()[i]; {
		case p.msg.Stream != id:
			i++
		case p.isEnd():
			m.take(i)
			s.in = over
		default:
			s.queue.push(m.take(i))
		}
	}
	if m.used[id].pieces == 0 {
		delete(m.used, id)
	}
	if s.queue.bytes > 0 || s.in == over {
		signal(s.arrived)
	}
	signal(m.arrived) // a Read that has begun a message of it
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
func (m *mux) recv(p []byte, how mode) (n int, msg engine.Message, err error) {
	return m.resume(p, 0, msg, how)
}

// resume is recv after n bytes of a message that was begun.
func (m *mux) resume(p []byte, n int, msg engine.Message, how mode) (int, engine.Message, error) {
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
	return receive(p, n, msg, how, &m.cur, &m.read, m.arrived, m)
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
			m.take(i)
		default:
			m.room.Signal()
			return m.take(i), true, nil
		}
	}
	return piece{}, false, m.err
}

// A source has pieces to read: ok is false when there is none yet.
type source interface {
	next() (p piece, ok bool, err error)
	isElsewhere(stream uint16) bool // what arrives on a stream goes to another
}

// A mode is how to read.
type mode uint8

const (
	whole  mode = 1 << iota // wait for all of a message that was begun, as far as there is room for it
	filled                  // go on with more messages that there are
	noWait                  // do not wait for the first one
)

// errNothing is what there is to read without waiting.
var errNothing = errors.New("nothing has arrived")

// receive fills p, of which n bytes are there of msg, from *cur and then from a
// source, waiting when that has nothing.
func receive(p []byte, n int, msg engine.Message, how mode, cur *piece, by *deadline, arrived <-chan struct{}, from source) (int, engine.Message, error) {
	var err error
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
			switch {
			case ok:
			case how&filled != 0 && n > 0:
				return n, msg, nil
			case n > 0 && from.isElsewhere(msg.Stream):
				return n, msg, nil
			case how&noWait != 0 && n == 0:
				return 0, msg, errNothing
			default:
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
		} else if how&filled == 0 && (cur.msg.Stream != msg.Stream || cur.msg.SSN != msg.SSN || cur.msg.Unordered != msg.Unordered) {
			return n, msg, nil // what was begun does not go on here
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
		if n == len(p) || how&filled == 0 && (how&whole == 0 || !msg.More) {
			return n, msg, nil
		}
	}
	if n > 0 {
		err = nil // the next call will meet it again
	}
	return n, msg, err
}

// Sending is fair among those who send: whoever has sent little of late sends
// at once, whoever sends much takes turns with others like him, in messages of
// bulkSize if there are several streams, and leaves room in the system's buffer
// for the first. Which of the messages there is sent next the system decides, by
// its scheduler.
const (
	bulkSize = 16 << 10
	little   = 4 << 10 // bytes, since the last turn of one's own,
	late     = 16      // or since that many turns of others
)

// send sends p for somebody, in messages of some size or if single is set in
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
			size = m.messageSize()
			part = part[:min(len(part), size)]
		}
		k, err := m.sendPart(by, part, size, msg, resume)
		resume = false
		n += k
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

func (m *mux) messageSize() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.streams) > 1 {
		return bulkSize
	}
	return messageSize
}

// sendPart sends a part of somebody's data, at once or when it is his turn, which
// it is already if mine is set.
func (m *mux) sendPart(by *sender, p []byte, size int, msg engine.Message, mine bool) (n int, err error) {
	if !mine {
		if err := by.check(); err != nil || len(p) == 0 {
			return 0, err
		}
		if m.isLittle(by, len(p)) {
			if n, err := m.trySend(by, p, msg); err != engine.ErrFull {
				return n, err
			}
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
	err = m.beginSend(by)
	spare := len(m.streams) > 1
	if err == nil {
		m.sending = by
		m.setSendBy(by.by.time())
	}
	m.mu.Unlock()

	if err == nil {
		n, err = m.e.Send(p, size, msg, spare)
	}

	m.mu.Lock()
	m.sending = nil
	m.turns++
	by.turns, by.sent = m.turns, 0
	m.endSend(by)
	m.mu.Unlock()
	m.turn <- struct{}{}
	if err == os.ErrDeadlineExceeded && by.isGone() {
		err = net.ErrClosed // it was kick's deadline
	}
	return n, err
}

// isLittle reports whether somebody sends little even with n bytes more.
func (m *mux) isLittle(by *sender, n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.turns-by.turns >= late {
		by.turns, by.sent = m.turns, 0
	}
	if by.sent+n > little {
		return false
	}
	by.sent += n
	return true
}

// trySend sends a message for somebody if there is room.
func (m *mux) trySend(by *sender, p []byte, msg engine.Message) (n int, err error) {
	m.mu.Lock()
	err = m.beginSend(by)
	m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err = m.e.TrySend(p, msg)
	m.mu.Lock()
	m.endSend(by)
	m.mu.Unlock()
	return n, err
}

// beginSend and endSend are around each message.
func (m *mux) beginSend(by *sender) error {
	if err := by.check(); err != nil {
		return err
	}
	by.isSending = true
	return nil
}

func (m *mux) endSend(by *sender) {
	by.isSending = false
	if m.err == nil {
		m.flushResets()
	}
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
	if m.unclaimed.bytes > 0 || m.sorting > 0 {
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
