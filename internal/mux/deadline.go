package mux

import (
	"sync"
	"time"
)

// A deadline is a time that goroutines can wait for. The zero value never
// passes.
type deadline struct {
	mu     sync.Mutex
	at     time.Time
	timer  *time.Timer
	passed chan struct{} // closed when it has passed; nil until a goroutine waits
	done   bool          // passed is closed
}

// set moves the deadline; the zero time means never.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		// If it is too late to stop the timer, its function finds that d.timer is
		// another.
		d.timer.Stop()
		d.timer = nil
	}
	d.at = t
	if d.done {
		d.passed, d.done = nil, false
	}
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.expire()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.timer == timer {
			d.timer = nil
			d.expire()
		}
	})
	d.timer = timer
}

func (d *deadline) expire() {
	if d.passed == nil {
		d.passed = make(chan struct{})
	}
	close(d.passed)
	d.done = true
}

// wait returns a channel that is closed when the deadline passes. A deadline
// that is moved before it has passed moves for the channel, too.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.passed == nil {
		d.passed = make(chan struct{})
	}
	return d.passed
}

// time returns the deadline; the zero time means never.
func (d *deadline) time() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

// isPast reports whether it has passed.
func (d *deadline) isPast() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.done
}
