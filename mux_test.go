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

// TestStopAfterTheEnd has the peer's word to stop come when the stream is closed at
// both ends, and when it is used again: it is no end of that, which comes later.
func TestStopAfterTheEnd(t *testing.T) {
	m := newMux(&Conn{})
	m.mu.Lock()
	defer m.mu.Unlock()
	incoming := func(ids ...uint16) { m.onReset(engine.StreamResetEvent{Incoming: true, Streams: ids}) }
	incoming(3, 3, 5)
	for _, want := range []uint16{5, 0} {
		var got uint16
		s := m.accept()
		if s != nil {
			got = s.id
		}
		if got != want {
			t.Fatalf("accepted stream %d, want %d (0 is none)", got, want)
		}
	}
	s := m.claim(3)
	incoming(4, 3, 3)
	if s.in == over || s.isGone() {
		t.Error("a word to stop has ended the next use of a stream")
	}
	incoming(3)
	if s.in != over || s.isGone() {
		t.Error("the end of a stream was not taken as that")
	}
	incoming(3, 3)
	if !s.isGone() {
		t.Error("told to stop, a stream goes on writing")
	}
}

// TestManyEnds has the peer reset a stream again and again that nobody claims.
func TestManyEnds(t *testing.T) {
	m := newMux(&Conn{})
	m.mu.Lock()
	defer m.mu.Unlock()
	incoming := func() { m.onReset(engine.StreamResetEvent{Incoming: true, Streams: []uint16{3}}) }
	for range 1000 {
		incoming()
	}
	if n := len(m.unclaimed.rest()); n != 1 {
		t.Errorf("%d ends are kept of a stream that was not used, want 1", n)
	}
	// What comes then is another use.
	for _, data := range []string{"a", "b"} {
		b := newBuffer()
		m.deliver(piece{b, b.bytes[:copy(b.bytes[:], data)], engine.Message{Stream: 3}})
		incoming()
	}
	for _, want := range []int{0, 1, 1} {
		s := m.accept()
		if s == nil || s.in != over || len(s.queue.rest()) != want {
			t.Fatalf("accepted %+v, want a stream that has ended, with %d messages", s, want)
		}
		delete(m.streams, 3) // as if it were closed
	}
	if s := m.accept(); s != nil {
		t.Errorf("accepted a stream of which nothing has come: %+v", s)
	}
}
