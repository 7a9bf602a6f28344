package udpencap

import (
	"runtime/debug"
	"sync/atomic"
)

// A budget is how much memory the associations of a process may fill with what their
// peers send. Each may have as much as is left by all of them together. So a few can
// have all they need, however many do their worst there is something left for others,
// and none has to be asked for what it has.
type budget struct{ most, used atomic.Int64 }

var budgetOfProcess budget

func init() { budgetOfProcess.most.Store(min(mostMemory, debug.SetMemoryLimit(-1)/4)) }

const (
	mostMemory = 256 << 20
	leastShare = 16 << 10 // what an association may have where nothing is left
)

// share is how much an association may have.
func (b *budget) share() int { return int(max(leastShare, b.most.Load()-b.used.Load())) }

// A holding is what an association has of a budget. It is used with the association's
// lock held.
type holding struct {
	of *budget
	n  int
}

func (h *holding) add(n int) {
	h.n += n
	h.of.used.Add(int64(n))
}

// giveBack is for what will not be read.
func (h *holding) giveBack() { h.add(-h.n) }
