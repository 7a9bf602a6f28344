package udpencap

import (
	"encoding/binary"
	"runtime"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/fifo"
)

// A receiver is what has come from the peer: which chunks, what of them makes
// messages, and what is there to be read.
type receiver struct {
	a *assoc

	cum    uint32 // all chunks up to this one have come,
	later  []span // and these
	dups   []uint32
	held   *holding // of the window
	window int      // bytes that may be
	small  int      // what window was before, until the peer knows of this one, else 0
	waits  bool     // nobody can read, as the association was not accepted
	told   int      // that the peer was told there is room for
	owed   int      // of all that it was ever told, what it may still send
	ackIn  int      // packets until the next acknowledgement is due
	ackNow bool
	fresh  bool // something has come since the last acknowledgement,
	counts bool // and in this packet

	byFirst, byLast map[uint32]*run // messages that lack a part
	streams         map[uint16]*inStream
	queue           fifo.Queue[piece] // to be read
	events          int               // that are in it,
	eventBytes      int               // and what they hold
}

// A span is a range of chunks.
type span struct{ first, last uint32 }

// A run is consecutive chunks of one message.
type run struct {
	first, last  uint32
	begins, ends bool
	unordered    bool
	stream, ssn  uint16
	ppid         uint32
	head, tail   *fragment
	isGap        bool // it is none, but has the number of a message that will not come
}

// An inStream is the state of an incoming stream.
type inStream struct {
	next    uint16 // the number of the message to be read next
	waiting map[uint16]*run
}

// A piece is a message or a part of one, or an event. There may be thousands, so
// it has no more of an engine.Message than is needed.
type piece struct {
	data            []byte    // that is not read
	of              *fragment // that has it
	stream, ssn     uint16
	ppid, tsn       uint32
	unordered, more bool
	event           engine.Event
}

func (p *piece) message() engine.Message {
	return engine.Message{Stream: p.stream, PPID: p.ppid, Unordered: p.unordered, SSN: p.ssn, TSN: p.tsn, More: p.more, Event: p.event}
}

// cost is what a chunk counts: what it takes in memory, which is more than the bytes
// that it has.
func (f *fragment) cost() int { return cap(f.data) + chunkCost }

// chunkCost is what a chunk takes beside its data.
const chunkCost = 160

// mostAhead is how far ahead of what is missing a chunk may be: an
// acknowledgement says it with 16 bits.
const mostAhead = 1<<16 - 1

// mostSpans is how many spans are kept, each of which may be of one chunk that
// counts for little. An acknowledgement has no room for so many.
const mostSpans = 4096

// mostOver is how much more than the window is taken in when nothing can be
// read of it: it is a message that is larger than the window.
const mostOver = 16 << 20

func (r *receiver) init(a *assoc, tsn uint32) {
	r.a = a
	r.held = &holding{of: &budgetOfProcess}
	// An association that has ended may never be closed.
	runtime.AddCleanup(a, (*holding).giveBack, r.held)
	r.cum = tsn - 1
	r.window = a.readWindow()
	r.told, r.owed = r.window, r.window
	r.ackIn = 1 // the first packet is acknowledged at once
	r.byFirst = make(map[uint32]*run)
	r.byLast = make(map[uint32]*run)
	r.streams = make(map[uint16]*inStream)
}

// await has an association wait to be accepted, after others. It then has less room.
func (r *receiver) await(others int) {
	r.waits = true
	r.window = min(r.window, waitingWindow, max(int(leastWindow), waitingMemory/(others+1)))
	r.told, r.owed = r.window, r.window
}

// accepted ends the wait. The peer learns from its next acknowledgement that there is more
// room. It gets one now if it knows of too little to have another soon.
func (a *assoc) accepted() {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &a.rx
	r.waits = false
	r.small, r.window = r.window, a.readWindow()
	if r.held.n > 0 && r.told < max(r.small/2, 2*a.mtu) && a.state != engine.StateClosed {
		a.sendAck()
	}
}

func (r *receiver) stream(id uint16) *inStream {
	s := r.streams[id]
	if s == nil {
		s = new(inStream)
		r.streams[id] = s
	}
	return s
}

// room is how much more the peer may send.
func (r *receiver) room() int {
	most := r.most()
	if r.held.n >= r.window && r.isEmpty() && !r.waits {
		return max(0, min(most, r.window+mostOver-r.held.n, r.held.of.share()-r.held.n))
	}
	return max(0, most-r.held.n)
}

// most is how much may be held.
func (r *receiver) most() int { return min(r.window, r.held.of.share()) }

// highest is the highest chunk that has come.
func (r *receiver) highest() uint32 {
	if n := len(r.later); n > 0 {
		return r.later[n-1].last
	}
	return r.cum
}

// onData takes a DATA chunk in. It reports whether the association lives on.
func (a *assoc) onData(c chunk) bool {
	r := &a.rx
	if len(c.raw) <= dataHeaderSize {
		if len(c.raw) == dataHeaderSize {
			a.violation(causeNoUserData, c.value[:4])
			return false
		}
		return true
	}
	if !a.takesData() {
		return true
	}
	tsn := binary.BigEndian.Uint32(c.value)
	if r.has(tsn) {
		if len(r.dups) < 16 {
			r.dups = append(r.dups, tsn)
		}
		a.stats.Duplicates++
		r.ackNow = true
		return true
	}
	// What fills a gap may take more room than there is, but not without end, and
	// the first gap more than others, as all others wait for that.
	most := 2 * r.most()
	if tsn == r.cum+1 {
		most += r.most()
	}
	fills := before(tsn, r.highest()) && r.held.n < most
	// So may what the peer was told there is room for: it does not know what a chunk
	// takes here.
	n := len(c.raw) - dataHeaderSize
	owed := n <= r.owed && r.held.n < min(2*r.window, r.held.of.share())
	if !fills && !owed && r.room() == 0 || tsn-r.cum > mostAhead || r.isOneTooMany(tsn) {
		r.ackNow = true // which says how much room there is
		return true
	}
	stream := binary.BigEndian.Uint16(c.value[4:])
	ssn := binary.BigEndian.Uint16(c.value[6:])
	r.note(tsn)
	r.owed -= n
	if c.flags&flagImmediate != 0 || r.told < a.mtu { // which the peer may be waiting for
		r.ackNow = true
	}
	if uint32(stream) >= a.in.Load() {
		a.answer(ctError, appendCause(nil, causeInvalidStream, append(binary.BigEndian.AppendUint16(nil, stream), 0, 0)))
		return true
	}
	if a.closed {
		// Nobody is there to read it. But the peer must get what was written
		// before, as it does from the kernel, and not an ABORT instead.
		a.performResets()
		return true
	}
	part := run{
		first:     tsn,
		last:      tsn,
		begins:    c.flags&flagBegin != 0,
		ends:      c.flags&flagEnd != 0,
		unordered: c.flags&flagUnordered != 0,
		stream:    stream,
		ssn:       ssn,
		ppid:      binary.BigEndian.Uint32(c.value[8:]),
	}
	f := newFragment(c.value[dataHeaderSize-chunkHeaderSize:])
	r.held.add(f.cost())
	if part.unordered {
		a.stats.UnorderedReceived++
	} else {
		a.stats.OrderedReceived++
	}
	r.assemble(part, f)
	a.performResets()
	return true
}

// takesData reports whether the peer may send more. It has not begun to shut down.
func (a *assoc) takesData() bool {
	switch a.state {
	case engine.StateEstablished, engine.StateShutdownPending, engine.StateShutdownSent:
		return true
	}
	return false
}

func (r *receiver) has(tsn uint32) bool {
	if !before(r.cum, tsn) {
		return true
	}
	i := r.spanFor(tsn)
	return i < len(r.later) && !before(tsn, r.later[i].first)
}

// spanFor returns the index of the first span that does not end before a chunk.
func (r *receiver) spanFor(tsn uint32) int {
	return sort.Search(len(r.later), func(i int) bool { return !before(r.later[i].last, tsn) })
}

// isOneTooMany reports whether a chunk would make another span where there is no
// room for one.
func (r *receiver) isOneTooMany(tsn uint32) bool {
	if len(r.later) < mostSpans || tsn == r.cum+1 {
		return false
	}
	_, left, right := r.gapFor(tsn)
	return !left && !right
}

// gapFor returns the index of the span that a missing chunk comes before, and
// whether it touches the one before that, or that.
func (r *receiver) gapFor(tsn uint32) (i int, left, right bool) {
	i = r.spanFor(tsn)
	left = i > 0 && r.later[i-1].last+1 == tsn
	right = i < len(r.later) && r.later[i].first == tsn+1
	return i, left, right
}

// note takes note of a chunk that has come for the first time.
func (r *receiver) note(tsn uint32) {
	r.fresh, r.counts = true, true
	if tsn == r.cum+1 && len(r.later) == 0 {
		r.cum = tsn
		return
	}
	r.ackNow = true // there is a gap, or there was
	if tsn != r.cum+1 {
		r.a.stats.OutOfOrder++
	}
	i, left, right := r.gapFor(tsn)
	switch {
	case left && right:
		r.later[i-1].last = r.later[i].last
		r.later = slices.Delete(r.later, i, i+1)
	case left:
		r.later[i-1].last = tsn
	case right:
		r.later[i].first = tsn
	default:
		r.later = slices.Insert(r.later, i, span{tsn, tsn})
	}
	r.advance()
}

// missing is how many chunks have not come though later ones have.
func (r *receiver) missing() int {
	n, last := 0, r.cum
	for _, s := range r.later {
		n += int(s.first - last - 1)
		last = s.last
	}
	return n
}

// advance moves cum over what has come after it.
func (r *receiver) advance() {
	n := 0
	for n < len(r.later) && !before(r.cum+1, r.later[n].first) {
		if before(r.cum, r.later[n].last) {
			r.cum = r.later[n].last
		}
		n++
	}
	r.later = slices.Delete(r.later, 0, n)
}

// assemble puts a chunk together with its neighbours, and delivers the message
// when it is complete.
func (r *receiver) assemble(part run, f *fragment) {
	if part.begins && len(r.byLast) > 0 {
		if left := r.byLast[part.first-1]; left != nil {
			r.giveUp(left)
		}
	}
	if part.begins && part.ends && r.isNext(&part) {
		r.pushFragment(&part, f, false)
		return
	}
	var m *run
	if left := r.byLast[part.first-1]; left != nil && !part.begins {
		m = left
		delete(r.byLast, left.last)
		m.last, m.ends = part.last, part.ends
		m.tail.next = f
		m.tail = f
	} else {
		m = newRun()
		*m = part
		m.head, m.tail = f, f
	}
	if !m.ends {
		right := r.byFirst[m.last+1]
		switch {
		case right == nil:
		case right.begins:
			r.giveUp(m)
			return
		default:
			delete(r.byFirst, right.first)
			delete(r.byLast, right.last)
			m.last, m.ends = right.last, right.ends
			m.tail.next = right.head
			m.tail = right.tail
			right.free()
		}
	}
	if m.begins && m.ends {
		delete(r.byFirst, m.first)
		r.complete(m)
		return
	}
	if !m.begins && !before(r.cum, m.first) {
		// What is before it has come and was no part of it, or never will.
		delete(r.byFirst, m.first)
		r.drop(m)
		return
	}
	r.byFirst[m.first] = m
	if !m.ends {
		r.byLast[m.last] = m
	}
}

// isNext reports whether a message may be delivered as soon as it has come, without any
// that waits for it.
func (r *receiver) isNext(m *run) bool {
	if m.unordered {
		return true
	}
	s := r.stream(m.stream)
	if m.ssn != s.next || len(s.waiting) > 0 {
		return false
	}
	s.next++
	return true
}

// complete delivers a message when its turn has come.
func (r *receiver) complete(m *run) {
	if m.unordered {
		r.deliver(m)
		return
	}
	s := r.stream(m.stream)
	if m.ssn != s.next {
		if s.waiting == nil {
			s.waiting = make(map[uint16]*run)
		}
		if old := s.waiting[m.ssn]; old != nil {
			r.drop(old) // the peer has lost count
		}
		s.waiting[m.ssn] = m
		return
	}
	r.deliver(m)
	s.next++
	r.deliverWaiting(s)
}

func (r *receiver) deliverWaiting(s *inStream) {
	for m := s.waiting[s.next]; m != nil; m = s.waiting[s.next] {
		delete(s.waiting, s.next)
		r.deliver(m)
		s.next++
	}
}

func (r *receiver) deliver(m *run) {
	for f := m.head; f != nil; {
		next := f.next
		f.next = nil
		r.pushFragment(m, f, next != nil)
		f = next
	}
	if m.isGap {
		r.held.add(-chunkCost)
	}
	m.free()
}

func (r *receiver) pushFragment(m *run, f *fragment, more bool) {
	r.push(piece{
		data:      f.data,
		of:        f,
		stream:    m.stream,
		ppid:      m.ppid,
		unordered: m.unordered,
		ssn:       m.ssn,
		tsn:       m.first,
		more:      more,
	})
}

func (r *receiver) push(p piece) {
	r.queue.Push(p)
	r.a.readable.Signal()
	r.a.tellMany()
}

func (r *receiver) pushEvent(e engine.Event) {
	r.events++
	r.eventBytes += sizeOf(e)
	r.push(piece{event: e})
}

// hasEvents reports whether so many events wait to be read that the peer must not
// cause more of them.
func (r *receiver) hasEvents() bool { return r.events >= 64 || r.eventBytes >= 64<<10 }

// sizeOf is how much the peer has put into an event.
func sizeOf(e engine.Event) int {
	switch e := e.(type) {
	case engine.RemoteErrorEvent:
		return len(e.Data)
	case engine.StreamResetEvent:
		return 2 * len(e.Streams)
	}
	return 0
}

func (r *receiver) isEmpty() bool { return r.queue.Len() == 0 }

// pop takes the first piece off the queue.
func (r *receiver) pop() {
	if p := r.queue.Pop(); p.event != nil {
		r.events--
		r.eventBytes -= sizeOf(p.event)
	} else {
		p.of.free()
	}
}

// freed takes note that a piece of this cost was read, and tells the peer when there is
// noticeably more room than it knows of.
func (r *receiver) freed(cost int) {
	r.held.add(-cost)
	a := r.a
	a.guardShutdown()
	if !a.takesData() {
		return
	}
	room := r.room()
	if r.small > 0 {
		room = min(room, max(0, r.small-r.held.n))
	}
	if room-r.told >= max(r.window/4, a.mtu) || r.told < a.mtu && room-r.told >= min(r.window/4, 2*a.mtu) {
		a.sendAck()
	}
}

func (r *receiver) drop(m *run) {
	for f := m.head; f != nil; {
		next := f.next
		r.held.add(-f.cost())
		f.free()
		f = next
	}
	if m.isGap {
		r.held.add(-chunkCost)
	}
	m.free()
}

// giveUp drops a part of a message whose rest will not come: the next chunk begins
// another one, or was passed over. No message of the stream has to wait for it. That does
// not always follow from the FORWARD TSN: Linux has it say nothing of a message whose
// chunks have come as far as they were sent.
func (r *receiver) giveUp(m *run) {
	delete(r.byFirst, m.first)
	if r.byLast[m.last] == m {
		delete(r.byLast, m.last)
	}
	gap := run{stream: m.stream, ssn: m.ssn, isGap: true}
	ordered := !m.unordered
	r.drop(m)
	if ordered && !before16(gap.ssn, r.stream(gap.stream).next) {
		m := newRun()
		*m = gap
		r.held.add(chunkCost) // it may wait, too
		r.complete(m)
	}
}

// dropIncomplete drops what will never be read.
func (r *receiver) dropIncomplete() {
	for _, m := range r.byFirst {
		r.drop(m)
	}
	for _, s := range r.streams {
		for _, m := range s.waiting {
			r.drop(m)
		}
	}
	r.byFirst, r.byLast, r.streams = nil, nil, nil
}

// dropAll drops what nobody can read any more.
func (r *receiver) dropAll() {
	r.queue, r.events, r.eventBytes = fifo.Queue[piece]{}, 0, 0
	r.byFirst, r.byLast, r.streams = nil, nil, nil
	if r.held != nil {
		r.held.giveBack()
	}
}

// unread reports whether the peer has sent what was not read.
func (r *receiver) unread() bool { return r.held != nil && r.held.n > 0 }

// onForwardTSN passes over messages that the peer has given up (RFC 3758).
func (a *assoc) onForwardTSN(v []byte) {
	r := &a.rx
	if len(v) < 4 || !a.takesData() {
		return
	}
	tsn := binary.BigEndian.Uint32(v)
	r.ackNow = true
	if !before(r.cum, tsn) || tsn-r.cum > mostAhead {
		return
	}
	r.passOver(tsn)
	for v = v[4:]; len(v) >= 4; v = v[4:] {
		id, ssn := binary.BigEndian.Uint16(v), binary.BigEndian.Uint16(v[2:])
		if uint32(id) >= a.in.Load() {
			continue
		}
		s := r.stream(id)
		if before16(ssn, s.next) {
			continue
		}
		for _, m := range s.waitingUpTo(ssn) {
			delete(s.waiting, m.ssn)
			r.deliver(m)
		}
		s.next = ssn + 1
		r.deliverWaiting(s)
	}
	a.performResets()
}

// passOver drops the messages up to a chunk that lack a part. A
// packet can ask for it a hundred times, so the shorter way to find them is taken.
func (r *receiver) passOver(tsn uint32) {
	drop := func(m *run) {
		if m == nil || m.last == tsn && !m.ends && m.begins && !r.has(tsn+1) {
			return // it may go on
		}
		r.giveUp(m)
	}
	drop(r.byLast[r.cum]) // the only one before, of which all parts have come so far
	if n := tsn - r.cum; int(n) <= len(r.byFirst) {
		for first := r.cum + 1; !before(tsn, first); first++ {
			drop(r.byFirst[first])
		}
	} else {
		for first, m := range r.byFirst {
			if !before(tsn, first) {
				drop(m)
			}
		}
	}
	r.cum = tsn
	r.advance()
}

// waitingUpTo returns the messages that wait for others up to a number, in order,
// found the shorter way.
func (s *inStream) waitingUpTo(ssn uint16) (found []*run) {
	if n := ssn - s.next; int(n) <= len(s.waiting) {
		for i := range n + 1 {
			if m := s.waiting[s.next+i]; m != nil {
				found = append(found, m)
			}
		}
		return found
	}
	for _, m := range s.waiting {
		if m.ssn-s.next <= ssn-s.next {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(m, n *run) int { return int(m.ssn-s.next) - int(n.ssn-s.next) })
	return found
}

// endPacket does what is to be done for each packet.
func (r *receiver) endPacket() {
	if r.counts {
		r.counts = false
		r.ackIn--
	}
}

// endIntake does what is to be done once for all packets that came at once.
func (a *assoc) endIntake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acknowledge()
	a.sendReply()
	if a.wantsPump {
		a.wantsPump = false
		a.pump()
		if a.rx.ackNow { // there was no room for it
			a.sendAck()
		}
	}
}

// acknowledge acknowledges what came at once, now or soon.
func (a *assoc) acknowledge() {
	r := &a.rx
	if a.state < engine.StateEstablished || !r.fresh && !r.ackNow {
		return
	}
	switch {
	case a.state == engine.StateShutdownSent:
		a.sendShutdownAndAck()
	case r.ackNow || r.ackIn <= 0:
		if r.ackNow = a.isAckCarried(); !r.ackNow {
			a.sendAck()
		}
	case !a.ackTimer.isRunning():
		a.ackTimer.start(a.ackDelay())
	}
}

// isAckCarried reports whether DATA goes next, and has room for the acknowledgement.
func (a *assoc) isAckCarried() bool {
	r := &a.rx
	if !a.wantsPump || a.pumping || a.reply != nil || len(r.later) > 0 || len(r.dups) > 0 {
		return false
	}
	need := a.snd.Next(a.now())
	return need > 0 && need+ackSize <= a.mtu-headerSize
}

func (a *assoc) ackDelay() time.Duration {
	if d := a.options.SACK.Delay; d != 0 {
		return d
	}
	return 200 * time.Millisecond
}

// sendAck sends a SACK, with no DATA.
func (a *assoc) sendAck() {
	if a.state < engine.StateEstablished {
		return
	}
	if a.reply != nil {
		a.sendPacket(a.rx.appendAck(a.takeReply(ackSize), a.mtu))
		return
	}
	p := acks.Get().(*packet)
	defer acks.Put(p)
	*p = a.rx.appendAck(appendHeader((*p)[:0], a.header()), a.mtu)
	a.sendPacket(*p)
}

// acks are packets for acknowledgements.
var acks = sync.Pool{New: func() any { return new(packet) }}

// appendAck appends a SACK chunk to a packet that has room for one.
func (r *receiver) appendAck(p packet, mtu int) packet {
	r.told, r.small = r.room(), 0
	r.owed = max(r.owed, r.told)
	gaps := min(len(r.later), max(0, mtu-len(p)-16)/4)
	dups := min(len(r.dups), max(0, mtu-len(p)-16-4*gaps)/4)
	p = append(p, ctSACK, 0)
	p = binary.BigEndian.AppendUint16(p, uint16(16+4*gaps+4*dups))
	p = binary.BigEndian.AppendUint32(p, r.cum)
	p = binary.BigEndian.AppendUint32(p, uint32(r.told))
	p = binary.BigEndian.AppendUint16(p, uint16(gaps))
	p = binary.BigEndian.AppendUint16(p, uint16(dups))
	for _, s := range r.later[:gaps] {
		p = binary.BigEndian.AppendUint16(p, uint16(s.first-r.cum))
		p = binary.BigEndian.AppendUint16(p, uint16(s.last-r.cum))
	}
	for _, tsn := range r.dups[:dups] {
		p = binary.BigEndian.AppendUint32(p, tsn)
	}
	r.dups = r.dups[:0]
	r.ackSent()
	r.a.stats.SACKsSent++
	r.a.stats.ControlSent++
	return p
}

// ackSent takes note that an acknowledgement has gone.
func (r *receiver) ackSent() {
	r.ackNow, r.fresh = false, false
	r.ackIn = r.ackFrequency()
	r.a.ackTimer.stop()
}

// ackFrequency is how many packets are acknowledged together.
func (r *receiver) ackFrequency() int {
	if f := r.a.options.SACK.Frequency; f != 0 {
		return f
	}
	return 2
}
