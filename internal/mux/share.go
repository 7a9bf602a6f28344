package mux

import "slices"

// A share is which of the streams that nobody claimed the Conn reads. The others
// are to be accepted. It only ever gets less, in this order.
type share uint8

const (
	allStreams share = iota // nobody has asked for a stream to accept
	stream0                 // Accept was called
	nothing                 // ServeStreams was called
)

func (r share) has(id uint16) bool { return r == allStreams || r == stream0 && id == 0 }

// queueOf returns the queue for what arrives on a stream that nobody claimed.
func (m *Mux) queueOf(id uint16) *queue {
	if m.reads.has(id) {
		return &m.unclaimed
	}
	return &m.backlog
}

// leaveToAccept makes the Conn's share less, also of what it has not read yet.
func (m *Mux) leaveToAccept(to share) {
	if to <= m.reads {
		return
	}
	m.reads = to
	m.waiting = 0
	for id, n := range m.numbers {
		m.waiting += one(m.waits(id, n))
	}
	had := m.unclaimed
	m.unclaimed = queue{memory: &m.memory}
	var begun []uint16 // what is to be accepted now
	for _, p := range had.rest() {
		m.memory.subtract(&p)
		id := p.msg.Stream
		m.queueOf(id).push(p)
		if !m.reads.has(id) && !slices.Contains(begun, id) {
			begun = append(begun, id)
		}
	}
	for _, id := range begun[min(len(begun), m.config.AcceptStreams):] {
		m.refuse(id)
	}
	m.signalUnclaimed() // also for a Recv that has begun a message
	m.room.Signal()
}

// isElsewhere reports whether what arrives on a stream does not belong to the
// Conn.
func (m *Mux) isElsewhere(id uint16) bool {
	return m.numbers[id].stream != nil || !m.reads.has(id)
}
