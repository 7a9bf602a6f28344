package udpencap

import (
	"sync"
	"time"
)

// A timer calls f, with mu held, when its time has come. It is used with mu
// held. To move it later, as most are moved most of the time, costs nothing: it
// looks again when the earlier time has come.
type timer struct {
	mu    *sync.Mutex
	f     func()
	at    time.Time // zero when it is stopped
	t     *time.Timer
	due   time.Time // when t fires, if it has not
	ended bool
}

func (t *timer) init(mu *sync.Mutex, f func()) { t.mu, t.f = mu, f }

func (t *timer) start(d time.Duration) {
	if t.ended {
		return
	}
	t.at = time.Now().Add(d)
	switch {
	case t.t == nil:
		t.t = time.AfterFunc(d, t.fire)
	case t.due.IsZero() || t.at.Before(t.due):
		t.t.Reset(d)
	default:
		return
	}
	t.due = t.at
}

func (t *timer) isRunning() bool { return !t.at.IsZero() }

func (t *timer) stop() { t.at = time.Time{} }

// end stops the timer for good.
func (t *timer) end() {
	t.stop()
	t.ended = true
	if t.t != nil {
		t.t.Stop()
	}
}

func (t *timer) fire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.due = time.Time{}
	if t.at.IsZero() {
		return
	}
	if left := time.Until(t.at); left > 0 {
		t.due = t.at
		t.t.Reset(left)
		return
	}
	t.at = time.Time{}
	t.f()
}

// A waiting is the deadline of calls that wait on a condition.
type waiting struct {
	cond  *sync.Cond
	at    time.Time
	timer timer
}

func (w *waiting) init(mu *sync.Mutex, cond *sync.Cond) {
	w.cond = cond
	w.timer.init(mu, cond.Broadcast)
}

// set moves the deadline; the zero time means never. Waiting calls look at it.
func (w *waiting) set(t time.Time) {
	w.at = t
	w.timer.stop()
	if !t.IsZero() {
		w.timer.start(max(0, time.Until(t)))
	}
	w.cond.Broadcast()
}

func (w *waiting) isPast() bool { return !w.at.IsZero() && !time.Now().Before(w.at) }
