package kernel

import (
	"runtime"
	"sync/atomic"
	"time"
)

// With one processor for both, a writer who never waits keeps a reader away: the
// runtime polls the network only when nothing else can run. The window then
// fills, the kernel sends one chunk too many, and either that is dropped on the
// other side, and everything stands still until the retransmission timer
// expires, or the other side hands over messages in pieces. So there the writer
// waits now and then for the acknowledgement of what he has sent, which is when
// the reader has been woken too.
//
// Where the network takes its time it is not the processor that is short, and to
// wait would only cost. But the clock costs too, where asking for the time is a
// system call.
type turns struct {
	every int          // bytes; 0 for no turns
	sent  atomic.Int64 // since the last one
	start time.Time    // of one that is timed
	trust int          // how many not to time
	pass  int          // how many not to take
}

const (
	slowTurn = 2 * time.Millisecond // after which the next ones are passed over
	passOver = 63
	trusted  = 15 // that are not timed after one that was not slow
)

// turnCost is what a message of n bytes counts. The receiver's system spends that
// much room on a small one.
func turnCost(n int) int { return n + 2048 }

// set has the writer wait each time that he has sent so many bytes, if
// there is one processor.
func (t *turns) set(every int) {
	const least = 32 << 10 // less would be waiting all the time
	if runtime.GOMAXPROCS(0) == 1 && every >= least {
		t.every = every
	}
}

// isDue reports whether the writer is to wait when he has sent messages of that
// cost more.
func (t *turns) isDue(cost int) bool {
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

// isNear reports whether isDue may be the case. It may be asked any number of
// times.
func (t *turns) isNear(cost int) bool { return t.every != 0 && int(t.sent.Load())+cost >= t.every }

// begin and end are called before and after the wait.
func (t *turns) begin() {
	t.sent.Store(0)
	if t.trust == 0 {
		t.start = time.Now()
	}
}

func (t *turns) end(fd int) {
	switch {
	case t.trust > 0:
		t.trust--
	case time.Since(t.start) > slowTurn && isFar(fd):
		t.pass = passOver
		return
	default:
		t.trust = trusted
	}
	runtime.Gosched() // the reader is behind in the queue
}

// isFar reports whether the time that a turn took is the network's: on a busy
// processor others take it.
func isFar(fd int) bool {
	st, err := assocStatus(fd)
	return err == nil && jiffies(uint64(st.PrimaryPeerAddr.SRTT)) > slowTurn
}
