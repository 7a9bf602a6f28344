package kernel

import "github.com/sctpnet/sctpnet/internal/engine"

// A room is what is left of the send buffer for others when a sender of much has
// used it. It asks the kernel only when that much may have been sent since it last
// did.
type room struct {
	size   int // of the send buffer
	limit  int // of what is queued, as the kernel counts it
	queued int // at most, now
}

// isFor reports whether n bytes more can be sent.
func (r *room) isFor(fd, n int) bool {
	if cost := queueCost(n); r.queued+cost <= r.limit {
		r.queued += cost
		return true
	}
	queued, size, err := sendQueue(fd)
	if err != nil {
		return true // let the send find out
	}
	r.size, r.limit = size, size-engine.SpareRoom(size)
	r.queued = queued
	if queued > max(0, r.limit-2*engine.Excess(n)) {
		return false
	}
	r.queued += queueCost(n)
	return true
}

// cut is how long a message of n bytes can be at most.
func (r *room) cut(n int) int {
	if r.size == 0 {
		return n // it is not known yet
	}
	return engine.SpareSize(n, r.size)
}

// queueCost is at least what the kernel counts for n bytes: with packets of an
// Ethernet's size less than twice as much, and something for each message.
func queueCost(n int) int { return 2*n + 1024 }

// sendQueue returns how much is queued to be sent or acknowledged, and the size
// of the send buffer.
func sendQueue(fd int) (queued, size int, err error) {
	m, err := memoryOf(fd)
	return int(m.queued), int(m.writeBuffer), err
}
