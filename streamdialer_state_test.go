package sctpnet

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestOldIdleTimer has the idle timer fire at the same time as a dial comes and
// goes: the association has begun to be idle anew, and the old timer does not end
// it.
func TestOldIdleTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = time.Second
		d := &StreamDialer{IdleTimeout: timeout}
		sc := &sharedConn{state: used, ready: make(chan struct{})}
		d.shared = map[streamKey][]*sharedConn{{}: {sc}}
		state := func() sharedState {
			d.mu.Lock()
			defer d.mu.Unlock()
			return sc.state
		}

		d.mu.Lock()
		d.move(sc, idle)
		time.Sleep(timeout) // now the timer's function waits for the lock
		d.move(sc, used)
		d.move(sc, idle)
		d.mu.Unlock()
		synctest.Wait()
		if state() != idle {
			t.Fatal("the old timer has ended the association")
		}
		time.Sleep(timeout - time.Nanosecond)
		synctest.Wait()
		if state() != idle {
			t.Fatal("the association ended too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if state() != ended || len(d.shared) != 0 {
			t.Errorf("the association is in state %d, want it ended and forgotten", state())
		}
	})
}
