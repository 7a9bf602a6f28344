package sender

// undos are the last reductions of cwnd that may prove to be for nothing, the oldest one
// first.
type undos struct {
	of [4]undo
	n  int
}

// An undo is what is needed to take a reduction of cwnd back: when each chunk that was
// taken for lost proves to have arrived as it was sent before (RFC 3708). Either it is
// acknowledged before it was sent again, or the peer reports a duplicate.
type undo struct {
	before      cubic
	first, last uint32 // the lowest and the highest TSN taken for lost
	open        int    // chunks that are not known to have arrived
}

// push adds a reduction.
func (u *undos) push(before *cubic) {
	if u.n == len(u.of) {
		u.drop(0)
	}
	u.of[u.n] = undo{before: *before}
	u.n++
}

func (u *undos) drop(i int) {
	copy(u.of[i:u.n], u.of[i+1:u.n])
	u.n--
}

// lost adds a chunk to the last reduction.
func (u *undos) lost(tsn uint32) {
	if u.n == 0 {
		return
	}
	r := &u.of[u.n-1]
	if r.open == 0 {
		r.first, r.last = tsn, tsn
	} else if before(tsn, r.first) {
		r.first = tsn
	} else if before(r.last, tsn) {
		r.last = tsn
	}
	r.open++
}

// arrived takes note that a chunk has arrived as it was sent before. If that was the last
// one of a reduction, it is taken back (RFC 4015, RFC 9438 section 4.9): cwnd is then what
// it would be without the reduction.
func (u *undos) arrived(tsn uint32, c *cubic) (undone bool) {
	for i := range u.n {
		r := &u.of[i]
		if r.open == 0 || before(tsn, r.first) || before(r.last, tsn) {
			continue
		}
		if r.open--; r.open > 0 {
			return false
		}
		cwnd, ssthresh := r.before.cwnd, r.before.ssthresh
		for k := i + 1; k < u.n; k++ {
			u.of[k].before.raise(cwnd, ssthresh)
			cwnd *= cubicBeta
			ssthresh = cwnd
		}
		c.raise(cwnd, ssthresh)
		u.drop(i)
		return true
	}
	return false
}
