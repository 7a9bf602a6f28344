package sctpnet

import (
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// A streamWatch looks for signs that the association of a StreamDialer's Stream
// is stuck: a call that waited until its deadline, or a Read that was waiting for
// an answer when the Stream was closed, while nothing arrived on the whole
// association. A nil streamWatch does nothing.
type streamWatch struct {
	m     arrivalCounter
	stuck func()

	readBy, writeBy atomic.Int64 // the deadlines, in Unix nanoseconds; 0 for none

	// The last Read, if it is waiting: since when, in Unix nanoseconds, and how
	// often something had arrived by then.
	readSince, readArrivals atomic.Uint64
	// The last Write, one more than how often something had arrived by then.
	writeArrivals atomic.Uint64
}

// An arrivalCounter is a Mux.
type arrivalCounter interface{ Arrivals() uint64 }

// answerPatience is how long a Read must have waited for an answer when its
// Stream is closed. A shorter wait says nothing of the association.
const answerPatience = time.Second

// A watchedCall is a call that a streamWatch has seen begin.
type watchedCall struct {
	since    time.Time
	arrivals uint64
}

func (w *streamWatch) beginRead() (c watchedCall) {
	if w != nil {
		c = watchedCall{time.Now(), w.m.Arrivals()}
		w.readArrivals.Store(c.arrivals)
		w.readSince.Store(uint64(c.since.UnixNano()))
	}
	return c
}

func (w *streamWatch) endRead(c watchedCall, err error) {
	if w != nil {
		w.readSince.Store(0)
		w.end(c, &w.readBy, err)
	}
}

func (w *streamWatch) beginWrite() (c watchedCall) {
	if w != nil {
		c = watchedCall{time.Now(), w.m.Arrivals()}
		w.writeArrivals.Store(c.arrivals + 1)
	}
	return c
}

func (w *streamWatch) endWrite(c watchedCall, err error) {
	if w != nil {
		w.end(c, &w.writeBy, err)
	}
}

// end looks at the error of a call. A deadline that had passed before the call,
// or was moved to the past to interrupt it, says nothing of the association.
func (w *streamWatch) end(c watchedCall, by *atomic.Int64, err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) && by.Load() > c.since.UnixNano() && w.m.Arrivals() == c.arrivals {
		w.stuck()
	}
}

// setDeadlines takes note of deadlines.
func (w *streamWatch) setDeadlines(read, write bool, t time.Time) {
	if w == nil {
		return
	}
	var n int64
	if !t.IsZero() {
		n = t.UnixNano()
	}
	if read {
		w.readBy.Store(n)
	}
	if write {
		w.writeBy.Store(n)
	}
}

// close looks at a Stream that is about to be closed.
func (w *streamWatch) close() {
	if w == nil {
		return
	}
	since := int64(w.readSince.Load())
	now := w.m.Arrivals()
	if since != 0 && time.Since(time.Unix(0, since)) >= answerPatience &&
		w.readArrivals.Load() == now && w.writeArrivals.Load() == now+1 {
		w.stuck()
	}
}
