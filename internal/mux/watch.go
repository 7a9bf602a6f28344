package mux

import (
	"context"
	"time"
)

// A watch waits, while nothing is received, for the end of the association. By
// receiving it would be learned behind all that has arrived before. Mux.mu guards it.
//
// Most of these times are short, and must cost nothing. So the timer is not stopped
// with them: when it expires it looks whether one has lasted.
type watch struct {
	onEnd  func()      // of the time that has begun, nil if none has
	times  uint64      // how many have begun
	timer  *time.Timer // nil before the first one
	isSet  bool        // the timer is set,
	set    uint64      // and this is what times was then
	cancel func()      // the wait for the end, nil if there is none,
	over   chan struct{}
}

// watchAfter is how long nothing is received at least before the end of the
// association is waited for.
const watchAfter = 200 * time.Millisecond

// watchEnd says that nothing is received until stopWatch. If the association ends
// before, onEnd is called, with Mux.mu held.
func (m *Mux) watchEnd(onEnd func()) {
	w := &m.watch
	w.onEnd = onEnd
	w.times++
	switch {
	case w.isSet:
	case w.timer == nil:
		w.setTimer()
		w.timer = time.AfterFunc(watchAfter, m.lookAtWatch)
	default:
		w.setTimer()
		w.timer.Reset(watchAfter)
	}
}

// setTimer notes that the timer is set.
func (w *watch) setTimer() { w.isSet, w.set = true, w.times }

// stopWatch says that something is received again. It releases Mux.mu if the end was
// waited for.
func (m *Mux) stopWatch() {
	w := &m.watch
	w.onEnd = nil
	if w.cancel == nil {
		return
	}
	w.cancel()
	w.cancel = nil
	over := w.over
	m.mu.Unlock()
	<-over // as the engine does not receive meanwhile
	m.mu.Lock()
}

// lookAtWatch is called when the timer has expired.
func (m *Mux) lookAtWatch() {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &m.watch
	w.isSet = false
	if w.onEnd == nil || m.closed.Load() {
		return
	}
	if w.times != w.set {
		w.setTimer()
		w.timer.Reset(watchAfter)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	over, times := make(chan struct{}), w.times
	w.cancel, w.over = cancel, over
	m.mu.Unlock()
	ended := m.e.AwaitEnd(ctx)
	close(over)
	m.mu.Lock()
	// Another time may have begun. It has a wait of its own.
	if ended && w.onEnd != nil && w.times == times && !m.closed.Load() {
		m.ended = true
		w.onEnd()
	}
}
