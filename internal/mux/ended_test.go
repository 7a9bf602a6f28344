package mux

import (
	"io"
	"runtime"
	"slices"
	"testing"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestEndedOnceBeforeEOF has the association end by EOF, with the event of its end and
// without it, as it comes from Linux where SHUTDOWN COMPLETE is late: it may come then,
// or not.
func TestEndedOnceBeforeEOF(t *testing.T) {
	ended := engine.AssocEvent{Change: engine.AssocEnded}
	for _, comes := range []string{"", "before EOF", "behind EOF"} {
		f, _ := newLink()
		event := func() { f.inject(arrival{msg: engine.Message{Event: ended}}) }
		var got []engine.Event
		m := f.start(t, Config{OnEvent: func(e engine.Event) {
			if got = append(got, e); comes == "behind EOF" && len(got) == 1 {
				event()
			}
		}})
		if comes == "before EOF" {
			event()
		}
		f.do(func() { f.err = io.EOF })
		if n, _, err := m.Recv(make([]byte, 10), Filled); n != 0 || err != io.EOF {
			t.Errorf("Recv returns %d, %v", n, err)
		}
		if want := []engine.Event{ended}; !slices.EqualFunc(got, want, func(a, b engine.Event) bool {
			return a.(engine.AssocEvent).Change == b.(engine.AssocEvent).Change
		}) {
			t.Errorf("the event comes from the engine %s: OnEvent has got %v, want %v", comes, got, want)
		}
	}
}

// TestNoResetFromCloseOn closes a Stream as soon as its Recv says that the Mux is closed,
// when Close has not ended the association yet. The stream is cut off, and the peer must
// not take that for its end.
func TestNoResetFromCloseOn(t *testing.T) {
	m, _, f, _ := pair(t)
	s, err := m.Claim(2)
	if err != nil {
		t.Fatal(err)
	}
	m.mu.Lock() // as Close does, and waits
	closing := make(chan struct{})
	go func() {
		defer close(closing)
		m.Close(f.Close)
	}()
	for !m.closed.Load() {
		runtime.Gosched()
	}
	s.close()
	f.do(func() {
		if len(f.requests) > 0 {
			t.Errorf("requests for resets: %v", f.requests)
		}
	})
	m.mu.Unlock()
	<-closing
}
