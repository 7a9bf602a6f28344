package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A watch knows the calls that are under way and finds those that take too long.
type watch struct {
	limit time.Duration

	mu     sync.Mutex
	actors map[*actor]bool
}

// An actor is a goroutine that makes one call at a time.
type actor struct {
	watch *watch
	name  string
	call  atomic.Pointer[call]
}

type call struct {
	what  string
	since time.Time
}

func newWatch(limit time.Duration) *watch {
	return &watch{limit: limit, actors: make(map[*actor]bool)}
}

// actor adds an actor, which must be removed by its leave.
func (w *watch) actor(name string) *actor {
	a := &actor{watch: w, name: name}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.actors[a] = true
	return a
}

func (a *actor) leave() {
	a.watch.mu.Lock()
	defer a.watch.mu.Unlock()
	delete(a.watch.actors, a)
}

// do makes a call.
func (a *actor) do(what string, f func()) {
	a.call.Store(&call{what, time.Now()})
	f()
	a.call.Store(nil)
}

// late returns an error for a call that has taken longer than the limit.
func (w *watch) late() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for a := range w.actors {
		if c := a.call.Load(); c != nil && time.Since(c.since) > w.limit {
			return fmt.Errorf("%s: %s has not returned after %v", a.name, c.what, w.limit)
		}
	}
	return nil
}

// run looks for late calls until over is closed.
func (w *watch) run(over <-chan struct{}, report func(error)) {
	for {
		select {
		case <-over:
			return
		case <-time.After(time.Second):
		}
		if err := w.late(); err != nil {
			report(err)
		}
	}
}
