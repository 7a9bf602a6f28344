package sctpnet

import (
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestClaimWithinMessage has a stream claimed while ReadMsg waits for the rest of a
// message of it: that goes to the Stream, and ReadMsg must not go on with another
// stream's message.
func TestClaimWithinMessage(t *testing.T) {
	m := newMux(&Conn{})
	deliver := func(data string, stream uint16, more bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		b := newBuffer()
		m.deliver(piece{b, b.bytes[:copy(b.bytes[:], data)], engine.Message{Stream: stream, More: more}})
	}
	type result struct {
		data string
		msg  engine.Message
		err  error
	}
	got := make(chan result, 1)
	deliver("three-", 3, true)
	go func() {
		p := make([]byte, 100)
		n, msg, err := m.recv(p, whole)
		got <- result{string(p[:n]), msg, err}
	}()
	for begun := false; !begun; time.Sleep(time.Millisecond) {
		m.mu.Lock()
		begun = len(m.unclaimed.rest()) == 0 // and waits for the rest, or will
		m.mu.Unlock()
	}
	m.mu.Lock()
	m.claim(3)
	m.mu.Unlock()
	deliver("rest", 3, false) // for the Stream
	deliver("four", 4, false) // for the Conn
	select {
	case r := <-got:
		if r.data != "three-" || r.msg.Stream != 3 || !r.msg.More {
			t.Errorf("read %q, stream %d, more %v, %v; want \"three-\" with More", r.data, r.msg.Stream, r.msg.More, r.err)
		}
	case <-time.After(10 * time.Second):
		t.Error("waits for what will not come")
	}
}
