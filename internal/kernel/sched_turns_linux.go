package kernel

import (
	"runtime"
	"sync/atomic"
	"time"
)

// With one processor for both, a writer that never waits keeps a reader away: the
// runtime polls the network only when nothing else can run. The window then
// fills, the kernel sends one chunk too many, and either that is dropped on the
// other side, and everything stands still until the retransmission timer
// expires, or the other side hands over messages in pieces. So there the writer
// of small messages waits now and then for the acknowledgement of what it has sent,
// which is when the reader has been woken too. It does so only while the peer's window
// has room: then the acknowledgement comes, whether the peer reads or not. Of large
// messages, acknowledgements follow the lost chunk, and it is sent again at once.
//
// Where the network takes its time it is not the processor that is short, and to
// wait would only cost. But the clock costs too, where asking for the time is a
// system call.
type turns struct {
	every int          // bytes; 0 for no turns
	sent  atomic.Int64 // since the last one
	start time.Time    // of one that is timed
	trust int          // how many not to time
	slow  bool         // the last one that was timed was slow
	over  int          // how many were passed over last
	pass  int          // how many are still to be
}

const (
	slowTurn = 2 * time.Millisecond // after which the next ones are passed over:
	passOver = 63                   // at first
	mostOver = 4000                 // and later, if they stay slow
	trusted  = 15                   // that are not timed after one that was not slow

	largeMessage = 4 << 10
)

// turnCost is what a message of n bytes counts: how much room the receiver's system
// spends on a small one. A large one counts nothing, unless others wait for room too:
// then a burst would be in their way.
func turnCost(n int, spare bool) int {
	if n >= largeMessage && !spare {
		return 0
	}
	return n + 2048
}

// setTurns has the writer wait each time that it has sent so many bytes, if
// there is one processor.
func (c *conn) setTurns(every int) {
	const least = 32 << 10 // less would be waiting all the time
	if c.alone && every >= least {
		c.turns.every = every
	}
}

// sends counts messages that were sent. On several processors there is nothing to
// count for.
func (t *turns) sends(cost int) {
	if t.every != 0 {
		t.sent.Add(int64(cost))
	}
}

// takeTurn reports whether the writer is to wait when it has sent messages of that
// cost more. A turn that is passed over is over with it.
func (t *turns) takeTurn(cost int) bool {
	if t.every == 0 || int(t.sent.Load())+cost < t.every {
		return false
	}
	if t.pass > 0 {
		t.pass--
		t.sent.Store(0)
		return false
	}
	return true
}

// isNear reports whether takeTurn may be true. It may be asked any number of times.
func (t *turns) isNear(cost int) bool { return t.every != 0 && int(t.sent.Load())+cost >= t.every }

// begin and end are called before and after the wait.
func (t *turns) begin() {
	t.sent.Store(0)
	if t.trust == 0 {
		t.start = time.Now()
	}
}

func (t *turns) end(fd int) {
	if t.trust > 0 {
		t.trust--
	} else if t.judge(time.Since(t.start) > slowTurn && isFar(fd)); t.pass > 0 {
		return
	}
	runtime.Gosched() // the reader is behind in the queue
}

// judge decides by how long a turn took what to do with the next ones.
func (t *turns) judge(slow bool) {
	switch {
	case !slow:
		t.trust, t.slow, t.over = trusted, false, 0
	case t.slow:
		t.over = min(2*t.over+passOver, mostOver)
		t.pass = t.over
	default:
		t.slow = true // which once may be an accident
	}
}

// hasWindow reports whether the peer's window has room for a chunk. Otherwise
// everything may be kept back until the peer reads, and the acknowledgement that a
// turn waits for does not come.
func hasWindow(fd int) bool {
	st, err := assocStatus(fd)
	return err == nil && int(st.RWND) >= int(st.FragmentationPoint)
}

// isFar reports whether the time that a turn took is the network's: on a busy
// processor others take it. What the kernel has measured tells, if it is more than
// the tick of a slow clock, which it takes for the least.
func isFar(fd int) bool {
	const tick = 10 * time.Millisecond
	st, err := assocStatus(fd)
	return err == nil && jiffies(uint64(st.PrimaryPeerAddr.SRTT)) > tick
}
