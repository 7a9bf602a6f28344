package kernel

// All associations of a one-to-many socket share its send buffer, unless
// net.sctp.sndbuf_policy is 1. A budget keeps one that does not read, or cannot be
// reached, from using all of it: what is queued for a peer is no more than what is
// left for the others. So of n peers that take nothing each has one part of n+1,
// and there is one part left.
//
// The kernel does not say how much is queued for an association. But it counts the
// chunks that were sent, and those that were not acknowledged; the rest of what was
// written is queued.
type budget struct {
	used, limit int // as queueCost has it; no more is known to be queued

	// Since nothing was queued:
	chunks uint64 // that were written,
	cost   int    // what they cost,
	begin  uint64 // and how many had been sent before
	last   uint64 // how many had been sent when that was last asked
	size   int    // of a chunk
}

// allows reports whether n more bytes may be sent. It asks the kernel only when
// what was sent since it last did may have used the budget.
func (b *budget) allows(t target, n int) bool {
	if b.used+queueCost(n) <= b.limit {
		return true
	}
	queued, size, err := sendQueue(t.fd)
	if err != nil {
		return true // let the send find out
	}
	st, err := t.assocStatus()
	if err != nil {
		return true
	}
	stats, err := statsOf(t)
	if err != nil {
		return true
	}
	b.size = max(1, int(st.FragmentationPoint))
	b.last = stats.OrderedSent + stats.UnorderedSent
	if st.Unackdata == 0 && st.State >= stateEstablished || b.chunks == 0 {
		b.chunks, b.cost, b.begin = 0, 0, b.last
	}
	b.used = b.backlog(int(st.Unackdata))
	free := max(0, size-queued)
	cost := min(queueCost(n), size/4) // else one that is very long could never be sent
	b.limit = b.used
	switch {
	case b.used+cost <= free && (b.used > 0 || cost <= free/2):
		b.limit += max(queueCost(n), (free-b.used)/8)
	case b.used == 0 && free > 0 && int(st.RWND) >= n:
		b.limit += queueCost(n) // the peer has room for it, and it is soon gone
	default:
		return false
	}
	return true
}

// backlog is about what is queued or not acknowledged.
func (b *budget) backlog(unacked int) int {
	sent := b.last - b.begin
	if b.chunks == 0 {
		return 0
	}
	if sent > b.chunks {
		b.begin = b.last - b.chunks // messages have more chunks than one would think
		sent = b.chunks
	}
	waiting := b.chunks - sent + uint64(unacked)
	return int(min(waiting, b.chunks) * uint64(b.cost) / b.chunks)
}

// sent counts a message.
func (b *budget) sent(n int) {
	b.used += queueCost(n)
	b.cost += queueCost(n)
	b.chunks += uint64((n + b.size - 1) / max(1, b.size))
}
