package main

import (
	"sync/atomic"
	"time"
)

// tooLong is a pause of the whole machine that spoils a sample of latencies,
// whatever side's it is: the sample is taken again.
const tooLong = 50 * time.Millisecond

// A pauseWatch notices when the machine stands still, as a virtual one does
// that its host has no time for.
type pauseWatch struct {
	longest atomic.Int64
	stop    chan struct{}
}

func watchPauses() *pauseWatch {
	w := &pauseWatch{stop: make(chan struct{})}
	go func() {
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		last := time.Now()
		for {
			select {
			case <-w.stop:
				return
			case <-ticker.C:
			}
			now := time.Now()
			w.longest.Store(max(w.longest.Load(), int64(now.Sub(last)-tick)))
			last = now
		}
	}()
	return w
}

// end returns the longest pause, in milliseconds.
func (w *pauseWatch) end() float64 {
	close(w.stop)
	return float64(w.longest.Load()) / 1e6
}
