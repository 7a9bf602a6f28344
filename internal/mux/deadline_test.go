package mux

import (
	"sync"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestWriteDeadlinesAtOnce moves the write deadline of a Send that waits, from two
// goroutines. The engine has the last one in the end.
func TestWriteDeadlinesAtOnce(t *testing.T) {
	conformance.Watchdog(t, func() {
		m, _, f, _ := pair(t)
		f.hold() // what is sent first fills the buffer
		f.do(func() { f.room = 1 })
		s := claim(t, m, 3)
		if _, err := s.Send([]byte("x"), true, engine.Message{Stream: 3}); err != nil {
			t.Fatal(err)
		}
		sending := make(chan error)
		go func() {
			_, err := s.Send([]byte("x"), true, engine.Message{Stream: 3})
			sending <- err
		}()
		conformance.WaitFor(t, "a Send that waits", func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.sending == &s.sender
		})
		begin := time.Now().Add(time.Hour)
		for i := range 5000 {
			var wg sync.WaitGroup
			for k := range 2 {
				at := begin.Add(time.Duration(2*i+k) * time.Second)
				wg.Go(func() { s.SetWriteDeadline(at) })
			}
			wg.Wait()
			f.l.mu.Lock()
			by := f.by
			f.l.mu.Unlock()
			if want := s.deadline.at; !by.Equal(want) {
				t.Fatalf("the engine has the deadline %v, want %v", by, want)
			}
		}
		s.SetWriteDeadline(time.Unix(1, 0))
		if err := <-sending; err == nil {
			t.Error("Send succeeds")
		}
	})
}
