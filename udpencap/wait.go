package udpencap

import (
	"context"
	"sync"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// closing is the associations that were closed and go on in the background.
var closing struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when there is none, nil if nobody waits
}

// Wait returns when each association of the process that was closed before has
// delivered what was written, or has given up, which takes two minutes at most. A
// program calls it before its end, because Close does not wait. If ctx ends first, Wait
// returns ctx's error. Multiple goroutines may call it.
func Wait(ctx context.Context) error {
	closing.mu.Lock()
	if closing.n == 0 {
		closing.mu.Unlock()
		return nil
	}
	if closing.none == nil {
		closing.none = make(chan struct{})
	}
	none := closing.none
	closing.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// awaitEnd has Wait wait for the association, which was closed. The caller holds a.mu.
func (a *assoc) awaitEnd() {
	if a.state == engine.StateClosed {
		return
	}
	a.awaited = true
	closing.mu.Lock()
	closing.n++
	closing.mu.Unlock()
}

// hasEnded is awaitEnd's inverse.
func (a *assoc) hasEnded() {
	if !a.awaited {
		return
	}
	a.awaited = false
	closing.mu.Lock()
	defer closing.mu.Unlock()
	if closing.n--; closing.n == 0 && closing.none != nil {
		close(closing.none)
		closing.none = nil
	}
}
