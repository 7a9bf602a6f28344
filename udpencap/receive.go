package udpencap

import (
	"encoding/binary"
	"runtime"
	"slices"
	"sort"

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
