package mux

import "time"

// A deadline is a time that goroutines can wait for. The zero value never passes.
// Mux.mu guards it.
type deadline struct {
	at     time.Time // the zero time means never
	timer  *time.Timer
	passed chan struct{} // closed when it has passed; nil until a goroutine waits
	isPast bool          // passed is closed
	isOver bool          // see stop
}

// set moves the deadline; the zero time means never.
func (d *deadline) set(m *Mux, t time.Time) {
	if !d.isOver {
		d.move(m, t)
	}
}

// stop ends the deadline: it does not pass, and set has no effect.
func (d *deadline) stop(m *Mux) {
	d.move(m, time.Time{})
	d.isOver = true
}

func (d *deadline) move(m *Mux, t time.Time) {
	if d.timer != nil {
		// If it is too late to stop the timer, its function finds that d.timer is
		// another.
		d.timer.Stop()
		d.timer = nil
	}
	d.at = t
	if d.isPast {
		d.passed, d.isPast = nil, false
	}
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.pass()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if d.timer == timer {
			d.timer = nil
			d.pass()
		}
	})
	d.timer = timer
}

func (d *deadline) pass() {
	close(d.wait())
	d.isPast = true
}

// wait returns a channel that is closed when the deadline passes. A deadline
// that is moved before it has passed moves for the channel, too.
func (d *deadline) wait() chan struct{} {
	if d.passed == nil {
		d.passed = make(chan struct{})
	}
	return d.passed
}
