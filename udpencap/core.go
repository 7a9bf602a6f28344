package udpencap

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// A core is the sending half of an association. pion fragments messages,
// numbers the chunks, paces them by window and congestion and sends again what
// was lost. It knows one stream only and one peer that lives for ever: it gets
// to see SACKs and nothing else, and of what it sends DATA goes out and nothing
// else. A DATA chunk of pion's has a ticket in place of its payload protocol
// identifier, by which it is given the stream, the number and the flags that it
// really has.
//
// Its timers are those of RFC 9260, which cannot be changed, and it does not
// notice that what it sent again was lost again before they expire. So what is
// on its way is kept here too, and sent again by the association's own timeout.
type core struct {
	pion   *sctp.Association
	stream *sctp.Stream
	pipe   *pipe

	tickets queue[ticket] // of the messages that were not acknowledged, in order
	first   uint32        // number of the first ticket
	queued  int           // bytes of these messages
	unsent  map[uint16]int
	ssn     map[uint16]uint16 // of the next message of a stream

	flight queue[flying] // from acked+1 on
	acked  uint32        // all up to this
	window uint32        // the peer's, as it said last

	out batch
}

// A ticket is what a message that pion sends really is.
type ticket struct {
	stream, ssn uint16
	ppid        uint32
	unordered   bool
	size        int
	last        uint32 // TSN of the last chunk,
	sent        bool   // once that has gone
}

// A flying chunk was sent and not acknowledged.
type flying struct {
	raw   []byte // the chunk
	at    time.Time
	sent  int  // times
	acked bool // by a gap
}

// A queue is a queue.
type queue[T any] struct {
	items []T
	head  int
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

func (q *queue[T]) at(i int) *T { return &q.items[q.head+i] }

func (q *queue[T]) push(v T) {
	if q.head > 0 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

func (q *queue[T]) pop() {
	var zero T
	q.items[q.head] = zero
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
}

// The ports that pion believes in, and the stream that all it sends is on.
const (
	pionPort   = 5000
	pionStream = 0
)

func (c *core) init(localTSN, window uint32) {
	c.acked = localTSN - 1
	c.window = window
	c.unsent = make(map[uint16]int)
	c.ssn = make(map[uint16]uint16)
}

// startCore starts pion's association as an established one, of two INITs made
// for it. Until there is something to send there is none: it takes much memory.
func (a *assoc) startCore() error {
	c := &a.core
	if c.stream != nil {
		return nil
	}
	c.pipe = &pipe{a: a}
	c.pipe.ready.L = &c.pipe.mu
	c.out.init(a)
	options := []sctp.ClientOption{
		sctp.WithNetConn(c.pipe),
		sctp.WithSNAP(pionInit(a.localTag, leastWindow, a.localTSN), pionInit(a.peerTag, c.window, a.peerInit.tsn)),
		sctp.WithMTU(uint32(a.mtu)),
		sctp.WithMaxMessageSize(maxMessageSize),
		sctp.WithMaxReceiveBufferSize(leastWindow),
		sctp.WithEnableInterleaving(false),
		sctp.WithEnableZeroChecksum(true),
		sctp.WithLoggerFactory(silence{}),
		sctp.WithRTOMax(float64(a.retry.longest.Milliseconds())),
	}
	var err error
	if c.pion, err = sctp.ClientContext(context.Background(), options...); err != nil {
		return err
	}
	c.stream, err = c.pion.OpenStream(pionStream, 0)
	return err
}

// pionInit is an INIT chunk as pion would have sent or received one. It lets
// pion leave checksums out, and have it look at each SACK for room, which is
// what it does where there is partial reliability.
func pionInit(tag, window, tsn uint32) []byte {
	const paramZeroChecksum, dtls = 0x8001, 1
	i := initiation{tag: tag, window: window, out: 1, in: 1, tsn: tsn, partial: true}
	v := appendParam(i.value(), paramZeroChecksum, []byte{0, 0, 0, dtls})
	return packet(nil).add(ctInit, 0, v)
}

// stopCore ends pion's association.
func (a *assoc) stopCore() {
	if a.core.pipe != nil {
		a.core.pipe.Close()
	}
	a.core.flight = queue[flying]{}
}

// peerWindow and cwnd are how much may be sent.
func (c *core) peerWindow() int {
	if c.pion == nil {
		return int(c.window)
	}
	return int(c.pion.RWND())
}

func (c *core) cwnd(mtu int) int {
	if c.pion == nil {
		return min(4*mtu, max(2*mtu, 4380)) // as it will be (RFC 9260 section 7.2.1)
	}
	return int(c.pion.CWND())
}

func (c *core) isIdle() bool { return c.flight.len() == 0 }

// ticketOf returns the ticket with a number, nil for none.
func (c *core) ticketOf(n uint32) *ticket {
	if i := n - c.first; i < uint32(c.tickets.len()) {
		return c.tickets.at(int(i))
	}
	return nil
}

// newTicket makes a ticket for a message and returns its number.
func (c *core) newTicket(m engine.Message, size int) uint32 {
	t := ticket{stream: m.Stream, ppid: m.PPID, unordered: m.Unordered, size: size}
	if !m.Unordered {
		t.ssn = c.ssn[m.Stream]
		c.ssn[m.Stream]++
	}
	c.tickets.push(t)
	c.queued += size
	c.unsent[m.Stream]++
	return c.first + uint32(c.tickets.len()) - 1
}

// transmit sends a packet of pion's.
func (a *assoc) transmit(raw []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state < engine.StateEstablished {
		return net.ErrClosed
	}
	c := &a.core
	var kept packet // if not all of it is
	now := time.Now()
	for b := raw[headerSize:]; ; {
		k, rest, ok := nextChunk(b)
		if !ok {
			break
		}
		if k.typ != ctData {
			return nil // it has no business with the peer
		}
		tsn := binary.BigEndian.Uint32(k.value)
		t := c.ticketOf(binary.BigEndian.Uint32(k.value[8:]))
		i := tsn - c.acked - 1
		if t == nil || i > uint32(c.flight.len()) {
			// It was acknowledged meanwhile.
			if kept == nil {
				kept = append(make(packet, 0, len(raw)), raw[:len(raw)-len(b)]...)
			}
			b = rest
			continue
		}
		if t.unordered {
			k.raw[1] |= flagUnordered
		}
		if a.shutdown && int(i) == c.flight.len() && t == c.tickets.at(c.tickets.len()-1) {
			k.raw[1] |= flagImmediate // there is nothing after it
		}
		binary.BigEndian.PutUint16(k.value[4:], t.stream)
		binary.BigEndian.PutUint16(k.value[6:], t.ssn)
		binary.BigEndian.PutUint32(k.value[8:], t.ppid)
		if int(i) == c.flight.len() {
			c.flight.push(flying{raw: k.raw, at: now, sent: 1})
			if t.unordered {
				a.stats.UnorderedSent++
			} else {
				a.stats.OrderedSent++
			}
			if k.flags&flagEnd != 0 {
				t.last, t.sent = tsn, true
				a.messageSent(t.stream)
			}
		} else {
			f := c.flight.at(int(i))
			f.at = now
			f.sent++
			a.stats.Retransmitted++
		}
		if kept != nil {
			kept = pad(append(kept, k.raw...))
		}
		b = rest
	}
	if kept != nil {
		raw = kept
	}
	if len(raw) <= headerSize {
		return nil
	}
	if !a.dataTimer.isRunning() {
		a.dataTimer.start(a.retry.rto)
	}
	a.stats.PacketsSent++
	c.out.add(raw)
	return nil
}

// messageSent takes note that all of a message has gone out.
func (a *assoc) messageSent(stream uint16) {
	c := &a.core
	if c.unsent[stream]--; c.unsent[stream] == 0 {
		delete(c.unsent, stream)
	}
}

// onSACK handles the peer's acknowledgement, and hands it on to pion.
func (a *assoc) onSACK(v []byte) {
	c := &a.core
	if len(v) < 12 {
		return
	}
	cum := binary.BigEndian.Uint32(v)
	window := binary.BigEndian.Uint32(v[4:])
	gaps, dups := int(binary.BigEndian.Uint16(v[8:])), int(binary.BigEndian.Uint16(v[10:]))
	if len(v) < 12+4*(gaps+dups) || before(cum, c.acked) || cum-c.acked > uint32(c.flight.len()) {
		return
	}
	if !areGaps(v[12:12+4*gaps], c.flight.len()-int(cum-c.acked)) {
		return
	}
	a.stats.SACKsReceived++
	c.window = window
	now := time.Now()
	var rtt time.Duration
	progress := cum != c.acked
	a.answered()
	for c.acked != cum {
		if f := c.flight.at(0); f.sent == 1 && !f.acked {
			rtt = now.Sub(f.at)
		}
		c.flight.pop()
		c.acked++
	}
	for i := range gaps {
		g := v[12+4*i:]
		first, last := int(binary.BigEndian.Uint16(g)), int(binary.BigEndian.Uint16(g[2:]))
		a.stats.GapAcks++
		for k := first; k <= last; k++ {
			if f := c.flight.at(k - 1); !f.acked {
				f.acked = true
				progress = true
				if f.sent == 1 {
					rtt = now.Sub(f.at)
				}
			}
		}
	}
	if rtt > 0 {
		a.retry.measured(rtt)
	}
	if c.flight.len() == 0 {
		a.dataTimer.stop()
	} else if progress {
		a.dataTimer.start(a.retry.rto)
	}
	if c.pipe != nil {
		c.pipe.deliver(v)
	}
	if gaps > 0 {
		a.sendLostAgain(now)
	}
	a.acknowledged()
	if progress && a.flushTimer.isRunning() {
		a.flushTimer.start(flushLimit)
	}
}

// areGaps reports whether the gap blocks of a SACK are such as a peer can send that
// has counted well: in ascending order, disjoint, and of no more chunks than are on
// their way. So a SACK costs no more than there is to acknowledge, and pion, which
// ends without a word at a chunk that it has not sent, is never told of one.
func areGaps(blocks []byte, flight int) bool {
	for end := 0; len(blocks) > 0; blocks = blocks[4:] {
		first, last := int(binary.BigEndian.Uint16(blocks)), int(binary.BigEndian.Uint16(blocks[2:]))
		if first <= end || last < first || last > flight {
			return false
		}
		end = last
	}
	return true
}

// onCumulativeAck is for the acknowledgement in a SHUTDOWN.
func (a *assoc) onCumulativeAck(cum uint32) {
	v := binary.BigEndian.AppendUint32(nil, cum)
	v = binary.BigEndian.AppendUint32(v, a.core.window)
	a.onSACK(append(v, 0, 0, 0, 0))
}

// acknowledged forgets the messages that have arrived.
func (a *assoc) acknowledged() {
	c := &a.core
	before0 := c.queued
	for c.tickets.len() > 0 {
		t := c.tickets.at(0)
		if !t.sent || before(c.acked, t.last) {
			break
		}
		c.queued -= t.size
		c.tickets.pop()
		c.first++
	}
	if c.queued == before0 {
		return
	}
	a.writable.Broadcast()
	if c.queued == 0 {
		if a.options.SenderDry {
			a.rx.pushEvent(engine.SenderDryEvent{})
		}
		a.advanceShutdown()
	}
}

// onDataTimeout sends the oldest chunks again, which nothing was heard of for
// too long.
func (a *assoc) onDataTimeout() {
	c := &a.core
	if c.flight.len() == 0 {
		return
	}
	if a.unanswered() {
		a.unreachable()
		return
	}
	a.sendAgain(func(*flying) bool { return true })
	a.dataTimer.start(a.retry.rto)
}

// sendLostAgain sends what has been sent again once and was lost again: as that
// was more than a round trip ago and later chunks have come.
func (a *assoc) sendLostAgain(now time.Time) {
	patience := a.retry.srtt + max(a.retry.srtt/2, 5*time.Millisecond)
	a.sendAgain(func(f *flying) bool { return f.sent > 1 && now.Sub(f.at) > patience })
}

// sendAgain sends a packet of the oldest chunks that are lost.
func (a *assoc) sendAgain(lost func(*flying) bool) {
	const look = 64
	c := &a.core
	p := newPacket(a.header())
	for i := range min(c.flight.len(), look) {
		f := c.flight.at(i)
		if f.acked || !lost(f) {
			continue
		}
		if len(p) > headerSize && len(p)+len(f.raw) > a.mtu {
			break
		}
		p = pad(append(p, f.raw...))
		f.sent++
		f.at = time.Now()
		a.stats.Retransmitted++
	}
	if len(p) > headerSize {
		a.sendPacket(p)
	}
}

// A batch is packets that are sent at once: all of the same size, but the last,
// which may be shorter. pion makes many at a time, and does not say when that
// was all; but then, mostly, the last is not full.
type batch struct {
	a       *assoc
	mu      sync.Mutex
	path    path
	buf     *[]byte // nil if there is no packet
	size, n int
	waits   bool // for the flusher
}

var batchBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, 1<<16)
	return &b
}}

func (b *batch) init(a *assoc) { b.a = a }

// add adds a packet of pion's. The caller holds a.mu.
func (b *batch) add(raw []byte) {
	a := b.a
	b.mu.Lock()
	defer b.mu.Unlock()
	// An acknowledgement that is due goes with it.
	ack := 0
	if r := &a.rx; a.ackTimer.isRunning() && len(r.later) == 0 && len(r.dups) == 0 {
		if len(raw)+16 <= a.mtu || a.mtu == loopbackMTU {
			ack = 16
		}
	}
	n := len(raw) + ack
	if b.n > 0 && (n > b.size || len(*b.buf)+n > maxBatch || b.n == maxSegments || b.path.to != a.path.to) {
		b.flush()
	}
	if b.n == 0 {
		b.buf = batchBuffers.Get().(*[]byte)
		b.size = n
		b.path = a.path
		b.path.single = !a.peerInit.batches
	}
	start := len(*b.buf)
	p := appendHeader(*b.buf, a.header())
	if ack > 0 {
		p = a.rx.appendAck(p, a.mtu)
	}
	p = append(p, raw[headerSize:]...)
	p[start:].seal()
	*b.buf = p
	if b.n++; n < b.size || n < a.mtu-8 || maxSegments == 1 {
		b.flush()
	} else if !b.waits {
		select {
		case a.path.socket.flushes <- b:
			b.waits = true
		default:
			b.flush()
		}
	}
}

// flush sends the batch. The caller holds b.mu.
func (b *batch) flush() {
	if b.n == 0 {
		return
	}
	b.path.send(*b.buf, b.size)
	*b.buf = (*b.buf)[:0]
	batchBuffers.Put(b.buf)
	b.buf, b.n = nil, 0
}

// A pipe is the network as pion sees it.
type pipe struct {
	a     *assoc
	mu    sync.Mutex
	ready sync.Cond
	sacks queue[[]byte]
	over  bool
}

// mostSACKs is how many wait for pion at most: a later one says all that an
// earlier one did.
const mostSACKs = 8

// deliver hands a SACK to pion.
func (p *pipe) deliver(v []byte) {
	b := appendHeader(make(packet, 0, headerSize+chunkHeaderSize+len(v)), header{pionPort, pionPort, p.a.localTag})
	b = b.add(ctSACK, 0, v)
	p.mu.Lock()
	if p.sacks.len() >= mostSACKs {
		p.sacks.pop()
	}
	p.sacks.push(b)
	p.mu.Unlock()
	p.ready.Signal()
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.sacks.len() == 0 {
		if p.over {
			return 0, io.EOF
		}
		p.ready.Wait()
	}
	n := copy(b, *p.sacks.at(0))
	p.sacks.pop()
	return n, nil
}

func (p *pipe) Write(b []byte) (int, error) {
	if err := p.a.transmit(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (p *pipe) Close() error {
	p.mu.Lock()
	p.over = true
	p.sacks = queue[[]byte]{}
	p.mu.Unlock()
	p.ready.Broadcast()
	return nil
}

func (p *pipe) LocalAddr() net.Addr              { return nil } // which pion does not ask for
func (p *pipe) RemoteAddr() net.Addr             { return nil }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// silence is pion's log.
type silence struct{}

func (silence) NewLogger(string) logging.LeveledLogger { return silence{} }

func (silence) Trace(string)          {}
func (silence) Tracef(string, ...any) {}
func (silence) Debug(string)          {}
func (silence) Debugf(string, ...any) {}
func (silence) Info(string)           {}
func (silence) Infof(string, ...any)  {}
func (silence) Warn(string)           {}
func (silence) Warnf(string, ...any)  {}
func (silence) Error(string)          {}
func (silence) Errorf(string, ...any) {}
