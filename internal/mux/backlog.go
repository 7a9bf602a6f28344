package mux

import "time"

// Streams that wait to be accepted must not hold up those that are read. So more
// is kept of them than a queue holds. But their number is limited, and if they
// hold too much and nobody accepts any for a while, one is refused.
const backlogPatience = time.Second

// refuse closes a stream that nobody claimed, and drops what has arrived on it. If
// there still is a Stream of the number's use before, that is done when the number
// is free; until then what arrives is dropped.
func (m *Mux) refuse(id uint16) {
	hasEnded := m.numbers[id].next.hasEnded
	m.drop(id)
	if m.numbers[id].stream != nil {
		m.setNext(id, use{isBegun: true, hasEnded: hasEnded, isRefused: true})
		return
	}
	s := m.claim(id)
	if hasEnded {
		s.in = inEnded
	}
	s.close()
}

// awaitMemory waits until the streams hold less than they may. If nobody reads or
// accepts one, and those that wait to be accepted hold most of it, the one of them
// that holds most is refused.
func (m *Mux) awaitMemory() {
	for m.isFull() && !m.ended && !m.closed.Load() {
		expired := false
		timer := time.AfterFunc(backlogPatience, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			expired = true
			m.room.Broadcast()
		})
		before := m.memory.size()
		m.awaitRoom(func() bool { return m.isFull() && m.memory.size() >= before && !expired })
		timer.Stop()
		if expired && m.isFull() && m.memory.size() >= before && m.backlog.bytes > m.config.StreamMemory/4 {
			m.refuse(m.largest())
		}
	}
}

// largest returns the number of the stream that holds most of the backlog.
func (m *Mux) largest() uint16 {
	var most uint16
	held := make(map[uint16]int)
	for _, p := range m.backlog.rest() {
		id := p.msg.Stream
		if held[id] += p.cost(); held[id] > held[most] {
			most = id
		}
	}
	return most
}
