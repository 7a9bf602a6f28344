package mux

import (
	"io"
	"slices"
	"testing"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestEndedOnceBeforeEOF has the association end by EOF, with the event of its end and
// without it, as it comes from Linux where SHUTDOWN COMPLETE is late.
func TestEndedOnceBeforeEOF(t *testing.T) {
	ended := engine.AssociationEvent{Change: engine.AssociationEnded}
	for _, comes := range []bool{false, true} {
		f, _ := newLink()
		var got []engine.Event
		m := f.start(t, Config{OnEvent: func(e engine.Event) { got = append(got, e) }})
		if comes {
			f.inject(arrival{msg: engine.Message{Event: ended}})
		}
		f.do(func() { f.err = io.EOF })
		if n, _, err := m.Recv(make([]byte, 10), 0, engine.Message{}, Filled); n != 0 || err != io.EOF {
			t.Errorf("Recv returns %d, %v", n, err)
		}
		if want := []engine.Event{ended}; !slices.EqualFunc(got, want, func(a, b engine.Event) bool {
			return a.(engine.AssociationEvent).Change == b.(engine.AssociationEvent).Change
		}) {
			t.Errorf("the event comes from the engine: %v; OnEvent has got %v, want %v", comes, got, want)
		}
	}
}
