package udpencap

import (
	"encoding/binary"
	"slices"
)

// Chunks are put together to messages, and these wait for their turn in their stream.

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

func (r *receiver) stream(id uint16) *inStream {
	s := r.streams[id]
	if s == nil {
		s = new(inStream)
		r.streams[id] = s
	}
	return s
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
	drop(r.byLast[r.cum]) // of the messages that have begun before, only this one can go on
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
