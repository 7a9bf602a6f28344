// Package sender is the sending half of an SCTP association: it fragments messages into
// DATA chunks, bundles these into packets as the windows allow, and sends again what is
// lost.
//
// It knows neither the network nor a clock. Its user asks it for packets, hands it the
// SACK chunks that come, tells it the time, and calls it when the time has come that it
// has named. It has no lock, and starts no goroutine.
//
// The algorithms are those of RFC 9260 sections 6 and 7, with loss detection by time
// and tail loss probes (RFC 8985), the congestion control of RFC 9438 and the slow start
// of RFC 9406, and with an undo of what proves to be for nothing (RFC 3708, RFC 4015).
package sender

import (
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// dataHeader is the size of a DATA chunk's header.
const dataHeader = 16

// Flags of DATA chunks.
const (
	flagEnd       = 1
	flagBegin     = 2
	flagUnordered = 4
	flagImmediate = 8 // RFC 7053
)

// mostAhead is how many TSNs there are between what is acknowledged cumulatively and the
// last one that is sent. Linux drops what is further ahead, and reports it as duplicate.
const mostAhead = 4096

// A Sender sends to a peer. The zero value sends nothing: see Init. Times are since some
// moment in the past, which is the same for all.
type Sender struct {
	Counts Counts

	rtt     *RTT
	room    int // for chunks, in a packet
	failed  func(m Message, data []byte, sent bool)
	queue   queue
	streams map[uint16]*outStream
	unsent  int  // streams with unsent messages
	held    int  // bytes of messages that are not acknowledged
	number  int  // of these messages,
	lesser  int  // and of those with a priority
	ending  bool // there will be no more

	peerWindow int
	shut       time.Duration // when the peer has last dropped chunks as it had no room, 0 for never since it has had some
	heard      time.Duration // when its last acknowledgement came
	pause      time.Duration // until it is asked again whether it has room, 0 if T3-rtx counts
	limited    bool          // cwnd has kept a chunk back since it was last to grow

	board   scoreboard
	packets uint64        // the number of the last packet,
	last    time.Duration // and when it was sent
	urgent  bool          // a packet goes whatever the windows say
	t3      time.Duration
	reorder time.Duration // when loss detection has to look again, 0 for never
	paced   time.Duration // when the next packet may go, 0 for now

	forward forward

	rack  rack
	probe probe
	cubic cubic
	pacer pacer

	recovering bool
	recovery   uint32 // the next TSN when recovery began
	reduced    uint64 // the last packet that cwnd was reduced for
	timeouts   int    // in a row
	largeLost  int    // times that large chunks were lost again and again, and none has arrived
	undos      undos
}

// Counts count chunks, and gap blocks.
type Counts struct {
	Ordered, Unordered uint64 // sent for the first time
	Retransmitted      uint64
	GapAcks            uint64
	Forwards           uint64 // FORWARD TSN chunks
	GivenUp            uint64 // messages
}

// A Config is what a Sender has to know.
type Config struct {
	TSN    uint32 // of the first chunk
	Window uint32 // the peer's
	Room   int    // for chunks, in a packet
	RTT    *RTT

	// Failed, if it is not nil, is called with each message that is given up, and with
	// whether it was sent at least in part.
	Failed func(m Message, data []byte, sent bool)
}

// Init makes s ready.
func (s *Sender) Init(c Config) {
	*s = Sender{rtt: c.RTT, peerWindow: windowOf(c.Window), failed: c.Failed}
	s.board.cum = c.TSN - 1
	s.board.done = s.done
	s.rack.init()
	s.SetRoom(c.Room)
	s.cubic.init(s.room + commonHeader)
}

// commonHeader is what each packet has beside its chunks.
const commonHeader = 12

// SetRoom sets how much room there is for chunks in a packet.
func (s *Sender) SetRoom(n int) {
	s.room = n &^ 3
	s.cubic.segment = float64(s.room + commonHeader)
}

// Stop forgets all messages.
func (s *Sender) Stop() {
	s.queue = queue{turns: s.queue.turns}
	s.board = scoreboard{cum: s.board.next() - 1, done: s.done}
	s.held, s.number, s.lesser = 0, 0, 0
	s.streams, s.unsent = nil, 0
	s.t3, s.reorder, s.paced, s.probe.due = 0, 0, 0, 0
	s.urgent, s.forward.due = false, false
}

// Fail calls failed for each message that is not acknowledged, those that were sent
// first.
func (s *Sender) Fail(failed func(m Message, data []byte, sent bool)) {
	var last *message
	for tsn := s.board.cum + 1; tsn != s.board.next(); tsn++ {
		if m := s.board.at(tsn).m; m != last && !m.over {
			failed(m.Message, slices.Clone(m.data), true)
			last = m
		}
	}
	for _, m := range s.queue.messages() {
		if m != last {
			failed(m.Message, slices.Clone(m.data), m.sent > 0)
		}
	}
}

// Queue takes a message that is to be sent. It keeps a copy of p, which is not empty.
func (s *Sender) Queue(p []byte, m Message) {
	q := newMessage(p)
	q.Message = m
	if m.Policy == Priority {
		s.lesser++
	}
	o := s.streams[m.Stream]
	if o == nil {
		if s.streams == nil {
			s.streams = make(map[uint16]*outStream)
		}
		o = new(outStream)
		s.streams[m.Stream] = o
	}
	q.out = o
	if o.unsent++; o.unsent == 1 {
		s.unsent++
	}
	s.held += len(p)
	s.number++
	s.queue.push(q)
}

// done forgets a message that was acknowledged, or passed over.
func (s *Sender) done(m *message) {
	if !m.over {
		s.release(m)
	}
	m.free()
}

// release has a message count no more.
func (s *Sender) release(m *message) {
	s.held -= len(m.data)
	s.number--
	if m.Policy == Priority {
		s.lesser--
	}
}

// unqueue takes a message off the queue.
func (s *Sender) unqueue(m *message) {
	s.queue.remove(m)
	if m.out.unsent--; m.out.unsent == 0 {
		s.unsent--
	}
}

// SetEnding says that no more messages will come.
func (s *Sender) SetEnding(now time.Duration) {
	s.ending = true
	s.armProbe(now)
}

// Held returns how many messages are not acknowledged, and their bytes.
func (s *Sender) Held() (messages, bytes int) { return s.number, s.held }

// IsIdle reports whether there is nothing that was sent and not acknowledged
// cumulatively.
func (s *Sender) IsIdle() bool { return s.board.n == 0 }

// Unacked is how many chunks were sent and not acknowledged.
func (s *Sender) Unacked() int { return s.board.unacked() }

// Acked is the cumulative acknowledgement.
func (s *Sender) Acked() uint32 { return s.board.cum }

// Last is the highest TSN that was sent.
func (s *Sender) Last() uint32 { return s.board.next() - 1 }

// CWND is the congestion window.
func (s *Sender) CWND() int { return int(s.cubic.cwnd) }

// IsUnsent reports whether there are messages of a stream that were not sent entirely.
func (s *Sender) IsUnsent(stream uint16) bool {
	o := s.streams[stream]
	return o != nil && o.unsent > 0
}

// AnyUnsent reports whether there are such messages of any stream.
func (s *Sender) AnyUnsent() bool { return s.unsent > 0 }

// Restart begins the numbering of streams anew, of all if there are none.
func (s *Sender) Restart(streams []uint16) {
	if len(streams) == 0 {
		for _, o := range s.streams {
			o.restart()
		}
	}
	for _, id := range streams {
		if o := s.streams[id]; o != nil {
			o.restart()
		}
	}
}

// most is the most data that a chunk has.
func (s *Sender) most() int { return (s.room - dataHeader) &^ 3 }

// Next returns how many bytes of room the next packet has to have for chunks at least,
// and 0 if there is none that may be sent now.
func (s *Sender) Next(now time.Duration) int {
	s.paced = 0
	s.giveUpOld(now)
	if s.forward.due {
		return forwardHeader + skipSize
	}
	n := s.nextSize()
	switch {
	case n == 0:
		s.urgent = false
		s.pacer.rests()
		return 0
	case s.urgent:
		return n
	case s.board.bytes >= int(s.cubic.cwnd):
		s.limited = true
		s.pacer.rests()
		return 0
	}
	at, ok := s.pacer.ready(now)
	if !ok {
		s.limited = true
		s.paced = at
		return 0
	}
	return n
}

// nextSize is Next without regard to the congestion window.
func (s *Sender) nextSize() int {
	if c := s.board.again(); c != nil {
		if s.waits(c) {
			return 0
		}
		return c.size()
	}
	if m := s.queue.head(); m != nil {
		n, rest := s.most(), m.rest()
		if rest > n {
			rest = n
		}
		if s.isAllowed(rest) {
			if len(m.data) > n {
				rest = min(rest, n/leastPart)
			}
			return dataHeader + padded(rest)
		}
	}
	if s.urgent && s.board.flying.n > 0 {
		return s.board.at(s.board.flying.tail).size()
	}
	return 0
}

// leastPart is which part of a packet's room the rest of it has to be at least to take
// the beginning of a message that needs more.
const leastPart = 4

// Append appends the chunks of the next packet, where there is one (see Next) and room
// for so many bytes.
func (s *Sender) Append(b []byte, room int, now time.Duration) []byte {
	start := len(b)
	left := func() int { return room&^3 - (len(b) - start) }
	if s.forward.due {
		s.t3 = earliest(s.t3, now+s.rtt.RTO) // it is repeated, too
		return s.appendForward(b, room, now)
	}
	if s.board.n == 0 {
		s.cubic.idle(now-s.last, s.rtt.RTO)
	}
	s.packets++
	fresh := false
	board := &s.board
	for c := board.again(); c != nil && !s.waits(c); c = board.again() {
		if c.size() > left() && (len(b) > start || c.size() <= s.room) {
			break
		}
		board.drop(c)
		b = s.again(b, c, s.isAwaited(c), now)
		s.giveUpOld(now)
	}
	if board.again() == nil {
		for ; ; s.giveUpOld(now) {
			m := s.queue.head()
			if m == nil {
				break
			}
			n := s.part(m, left())
			if n == 0 || !s.isAllowed(n) {
				break
			}
			b = s.appendNew(b, m, n, now)
			fresh = true
		}
	}
	if len(b) == start && s.urgent && board.flying.n > 0 {
		// A tail loss probe.
		c := board.at(board.flying.tail)
		board.flown(c)
		b = s.again(b, c, true, now)
		s.probe.again, s.probe.tsn = s.probe.out, c.tsn
	}
	if len(b) == start {
		s.packets--
		return b
	}
	s.urgent, s.last = false, now
	if s.t3 == 0 {
		s.t3 = now + s.rtt.RTO
	}
	if fresh {
		s.armProbe(now)
	}
	s.pacer.sent(now, len(b)-start+commonHeader, &s.cubic, s.rtt.SRTT)
	return b
}

// part is how much of a message goes into a chunk that there is so much room for, or 0 if
// that has to wait for the next packet. Only messages that need more than a packet are
// divided.
func (s *Sender) part(m *message, room int) int {
	room -= dataHeader
	switch rest := m.rest(); {
	case rest <= room:
		return rest
	case len(m.data) > s.most() && room >= s.most()/leastPart:
		return min(room&^3, rest)
	}
	return 0
}

// appendNew appends a new chunk.
func (s *Sender) appendNew(b []byte, m *message, n int, now time.Duration) []byte {
	c := s.board.push()
	c.m, c.from, c.n = m, m.sent, n
	c.at, c.packet, c.times = now, s.packets, 1
	s.board.fly(c)
	if m.sent == 0 && !m.Unordered {
		m.ssn, m.resets = m.out.ssn, m.out.resets
		m.out.ssn++
	}
	m.sent += n
	m.chunks++
	m.last = c.tsn
	if m.rest() == 0 {
		s.unqueue(m)
	}
	if m.Unordered {
		s.Counts.Unordered++
	} else {
		s.Counts.Ordered++
	}
	return s.write(b, c, s.ending && s.queue.head() == nil)
}

// again appends a chunk once more.
func (s *Sender) again(b []byte, c *chunk, immediate bool, now time.Duration) []byte {
	c.at, c.packet = now, s.packets
	if c.times < math.MaxUint16 {
		c.times++
	}
	s.board.fly(c)
	s.Counts.Retransmitted++
	return s.write(b, c, immediate)
}

// isAwaited reports whether something waits until a lost chunk is acknowledged: the end,
// what is not sent, or a call for which there is no room. Then the peer is not to delay
// that (RFC 9260 section 3.3.1, the I bit). A peer that has no room for the chunk says so at
// once.
func (s *Sender) isAwaited(c *chunk) bool {
	return s.ending || (s.board.n > 1 || s.queue.head() != nil) && c.n <= s.peerWindow
}

// write appends a chunk to a packet.
func (s *Sender) write(b []byte, c *chunk, immediate bool) []byte {
	m := c.m
	var flags byte
	if c.from == 0 {
		flags |= flagBegin
	}
	if c.from+c.n == len(m.data) {
		flags |= flagEnd
	}
	if m.Unordered {
		flags |= flagUnordered
	}
	if immediate {
		flags |= flagImmediate
	}
	b = append(b, 0, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(dataHeader+c.n))
	b = binary.BigEndian.AppendUint32(b, c.tsn)
	b = binary.BigEndian.AppendUint16(b, m.Stream)
	b = binary.BigEndian.AppendUint16(b, m.ssn)
	b = binary.BigEndian.AppendUint32(b, m.PPID)
	b = append(b, m.data[c.from:c.from+c.n]...)
	return append(b, zeros[:padded(c.n)-c.n]...)
}

var zeros [4]byte

// padded rounds a length up to a multiple of four.
func padded(n int) int { return (n + 3) &^ 3 }

// Accepts reports whether the value of a SACK chunk is one that SACK takes: it is neither
// older than one before nor impossible.
func (s *Sender) Accepts(v []byte) bool {
	k, ok := parseSACK(v)
	return ok && s.board.isValid(&k)
}

// SACK takes a SACK chunk's value that Accepts has found good. It reports whether that
// has acknowledged something.
func (s *Sender) SACK(v []byte, now time.Duration) (progress bool) {
	k, _ := parseSACK(v)
	return s.acknowledge(&k, now)
}

// AcceptsCumulative is Accepts for a chunk that has nothing but a cumulative
// acknowledgement, as SHUTDOWN has.
func (s *Sender) AcceptsCumulative(cum uint32) bool {
	return s.board.isValid(&sack{cum: cum})
}

// CumulativeAck is SACK for such a chunk.
func (s *Sender) CumulativeAck(cum uint32, now time.Duration) (progress bool) {
	return s.acknowledge(&sack{cum: cum, window: uint32(s.peerWindow), keep: true}, now)
}

func (s *Sender) acknowledge(k *sack, now time.Duration) (progress bool) {
	board := &s.board
	flight, cum := board.bytes, board.cum
	first := s.rack.first
	var newest chunk // of those that have arrived
	growth := 0      // bytes that cwnd may grow for
	board.acknowledge(k, func(c *chunk) {
		progress = true
		if c.packet > newest.packet {
			newest = *c
		}
		if c.size() > large {
			s.largeLost = 0
		}
		if c.packet > s.reduced {
			growth += c.size()
		}
		if c.times == 1 {
			if c.packet < first {
				s.rack.reordered = true
			}
			s.rack.first = max(s.rack.first, c.packet)
		}
		if c.state == lost { // but was not
			s.rack.reordered = s.rack.reordered || c.times == 1
			s.arrived(c.tsn)
		}
	}, func(c *chunk) {
		// It is as if it were sent just now: older acknowledgements may have been late,
		// and the next ones will tell.
		s.packets++
		c.at, c.packet, c.times = now, s.packets, 2
	})
	s.heard = now
	if progress {
		s.pause = min(s.pause, s.rtt.RTO) // it had room, and may soon have more
	}
	s.Counts.GapAcks += uint64(len(k.blocks) / 4)
	s.measure(&newest, now)
	s.duplicates(k)
	s.opened(k, progress || board.cum != cum, now)
	if board.cum != cum {
		progress = true
		s.timeouts = 0
		s.answerProbe()
	}
	if s.recovering && !before(board.cum+1, s.recovery) {
		s.recovering = false
		s.rack.recovered()
	}
	s.detect(now)
	if growth > 0 {
		s.grow(growth, flight, now)
	}
	s.noteForward(now)
	switch {
	case board.n == 0:
		s.t3, s.probe.due = 0, 0
	case progress || s.t3 == 0:
		s.t3 = now + s.rtt.RTO
	}
	if board.cum != cum {
		s.armProbe(now)
	}
	return progress
}

// measure takes the round trip of the packet into account that was sent last of those
// that have arrived.
func (s *Sender) measure(newest *chunk, now time.Duration) {
	if newest.packet == 0 {
		return
	}
	rtt := now - newest.at
	if newest.times > 1 {
		if rtt < s.rack.least.rtt() {
			return // it was the chunk as it was sent before
		}
	} else {
		s.rtt.Measured(rtt)
		s.rack.least.measured(max(rtt, 1), newest.packet, s.packets)
		if s.cubic.inSlowStart() && s.cubic.start.measured(rtt, newest.packet, s.packets) {
			s.cubic.ssthresh = s.cubic.cwnd
		}
	}
	if newest.packet > s.rack.packet {
		s.rack.packet, s.rack.rtt = newest.packet, rtt
	}
}

// duplicates looks at what the peer says that it has received twice.
func (s *Sender) duplicates(k *sack) {
	counted := false
	for d := k.dups; len(d) > 0; d = d[4:] {
		tsn := binary.BigEndian.Uint32(d)
		if !before(tsn, s.board.next()) {
			continue // it was never sent
		}
		counted = true
		if p := &s.probe; p.out && p.again && tsn == p.tsn {
			*p = probe{due: p.due} // it was for nothing
		} else {
			s.arrived(tsn)
		}
	}
	if counted {
		s.rack.duplicates(s.board.cum, s.board.next())
	}
}

// answerProbe looks whether a tail loss probe was answered. If it was a chunk sent again,
// it has mended a loss where later chunks are acknowledged, and no duplicate was reported
// before (RFC 8985 section 7.4).
func (s *Sender) answerProbe() {
	p := &s.probe
	if !p.out || before(s.board.cum+1, p.end) || p.again && s.board.cum+1 == p.end {
		return
	}
	if p.again && !s.recovering {
		s.reduce(false)
	}
	*p = probe{due: p.due}
}

// detect marks as lost what was sent long enough before something that has arrived.
func (s *Sender) detect(now time.Duration) {
	s.reorder = 0
	board := &s.board
	for board.flying.n > 0 {
		c := board.at(board.flying.head)
		if c.packet >= s.rack.packet {
			return
		}
		if w := s.rack.window(c.packet, s.recovering, s.rtt); w > 0 {
			if at := c.at + s.rack.rtt + w; at > now {
				s.reorder = at
				return
			}
		}
		if c.packet > s.reduced {
			s.reduce(false)
		}
		s.lose(c)
	}
}

// LosesLarge reports whether it seems that all large packets get lost, and others do not.
// It begins to count anew.
func (s *Sender) LosesLarge() bool {
	if s.largeLost < mostLargeLost {
		return false
	}
	s.largeLost = 0
	return true
}

const (
	large         = 1200 // bytes of a chunk
	againAndAgain = 3    // times that it was sent
	mostLargeLost = 3
)

// lose marks a chunk as lost.
func (s *Sender) lose(c *chunk) {
	if c.size() > large && c.times >= againAndAgain {
		s.largeLost++
	}
	s.undos.lost(c.tsn)
	s.board.lose(c)
	s.probe.due = 0
}

// reduce reduces cwnd, and begins a recovery.
func (s *Sender) reduce(timeout bool) {
	s.undos.push(&s.cubic)
	if timeout {
		s.cubic.timeout(s.timeouts > 1)
	} else {
		s.cubic.lost()
		s.urgent = true // one packet goes at once (RFC 9260 section 7.2.4)
	}
	s.recovering, s.recovery, s.reduced = true, s.board.next(), s.packets
	s.probe.due = 0
}

// arrived takes note that a chunk that was taken for lost has arrived as it was sent
// before.
func (s *Sender) arrived(tsn uint32) {
	if s.undos.arrived(tsn, &s.cubic) {
		s.rack.reordered = true
		s.recovering = false
	}
}

// grow has cwnd grow, if it was needed: something waits for it, or the bytes in flight are
// about as many.
func (s *Sender) grow(acked, flight int, now time.Duration) {
	free := s.cubic.cwnd - float64(flight)
	waits := s.limited
	s.limited = false
	if !waits && free > 3*s.cubic.segment && !(s.cubic.inSlowStart() && free < s.cubic.cwnd/2) {
		s.cubic.unused()
		return
	}
	s.cubic.acked(now, acked, s.rtt)
}

// armProbe has a tail loss probe be sent when nothing is heard for some time, unless
// there are signs of loss already.
func (s *Sender) armProbe(now time.Duration) {
	s.probe.due = 0
	board := &s.board
	if board.flying.n == 0 || board.lost.n > 0 || board.acked > 0 || s.recovering || s.probe.out || s.rtt.SRTT == 0 {
		return
	}
	d := 2*s.rtt.SRTT + probeSlack
	if !s.ending && board.at(board.flying.head).packet == board.at(board.flying.tail).packet {
		d += longestDelay // of the acknowledgement of a single packet
	}
	if tail := board.at(board.flying.tail); tail.m.Policy == Limited && uint32(tail.times) > tail.m.Number {
		return // it must not be sent again
	}
	if d <= s.rtt.RTO/2 { // otherwise it is not worth it
		s.probe.due = now + d
	}
}

// Deadline returns when Expire is to be called, and 0 if it need not be.
func (s *Sender) Deadline() time.Duration { return earliest(s.ResendAt(), s.paced) }

// ResendAt returns when Expire would have something be sent again, and 0 for never.
func (s *Sender) ResendAt() time.Duration { return earliest(s.t3, s.reorder, s.probe.due) }

// earliest returns the earliest of some times. Zero is no time.
func earliest(times ...time.Duration) (at time.Duration) {
	for _, t := range times {
		if t != 0 && (at == 0 || t < at) {
			at = t
		}
	}
	return at
}

// Expire does what has its time now. It reports whether T3-rtx has expired: then Timeout
// is to be called, or the association is at its end.
func (s *Sender) Expire(now time.Duration) (t3 bool) {
	if s.reorder != 0 && now >= s.reorder {
		s.detect(now)
	}
	if s.probe.due != 0 && now >= s.probe.due {
		s.urgent = true
		s.probe = probe{out: true, end: s.board.next()}
		s.t3 = now + s.rtt.RTO
	}
	if s.paced != 0 && now >= s.paced {
		s.paced = 0
	}
	return s.t3 != 0 && now >= s.t3
}

// Delayed tells that the last packets have gone out only now.
func (s *Sender) Delayed(now time.Duration) {
	if s.t3 != 0 {
		s.t3 = now + s.rtt.RTO
		s.armProbe(now)
	}
}

// Timeout has what is in flight be sent again, after T3-rtx has expired (RFC 9260 section
// 6.3.3), but for what was sent of late.
func (s *Sender) Timeout(now time.Duration) {
	if s.Refused() {
		s.askLater()
	}
	s.t3 = now + s.rtt.RTO
	s.probe = probe{}
	board := &s.board
	lose := s.lose
	oldest := true
	for i := range board.n {
		c := board.at(board.cum + 1 + uint32(i))
		if !c.isOutstanding() {
			continue
		}
		if oldest {
			oldest = false
			isLoss := c.n <= s.peerWindow
			if isLoss {
				s.timeouts++
				s.reduce(true)
			} else {
				lose = board.refuse // the peer may have dropped all, which says nothing of the path
			}
			if c.state == inFlight {
				lose(c)
			} else if isLoss {
				s.undos.lost(c.tsn)
			}
			board.hurry(c) // what comes after it may wait for it
		} else if c.state == inFlight && (s.rack.rtt == 0 || now >= c.at+s.rack.rtt+s.rack.window(c.packet, true, s.rtt)) {
			lose(c)
		}
	}
	s.forward.due = board.isPassable()
	s.urgent = true
}

// Resend has all that is in flight be sent again, as the peer is somewhere else now.
func (s *Sender) Resend(now time.Duration) {
	for s.board.flying.n > 0 {
		s.board.lose(s.board.at(s.board.flying.head))
	}
	s.forward.due = s.board.isPassable()
	if s.board.n > 0 {
		s.t3 = now + s.rtt.RTO
		s.urgent = s.board.unacked() > 0
	}
}

func (o *outStream) restart() {
	o.ssn = 0
	o.resets++
}
