package mux

import (
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestClaimWithinMessage claims a stream while a Recv waits for the rest of a
// message of it. The rest goes to the Stream. Recv must not go on with a message
// of another stream.
func TestClaimWithinMessage(t *testing.T) {
	m := newMux(nil, Config{})
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
		n, msg, err := m.Recv(p, Whole)
		got <- result{string(p[:n]), msg, err}
	}()
	for begun := false; !begun; time.Sleep(time.Millisecond) {
		m.mu.Lock()
		begun = len(m.unclaimed.rest()) == 0 // and Recv waits for the rest, or will
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
		t.Error("Recv waits for data that will not come")
	}
}

// TestStopAfterTheEnd has the peer's request to stop sending come when the stream
// is closed at both ends, and when its number is in use again. It does not end
// the next use, whose end comes later.
func TestStopAfterTheEnd(t *testing.T) {
	m := newMux(nil, Config{})
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
	if s.in == inEnded || s.isGone() {
		t.Error("a request to stop has ended the next use of a stream")
	}
	incoming(3)
	if s.in != inEnded || s.isGone() {
		t.Error("the end of a stream was overlooked")
	}
	incoming(3, 3)
	if !s.isGone() {
		t.Error("a stream goes on writing after a request to stop")
	}
}

// TestManyEnds has the peer reset a stream that nobody claims, again and again.
func TestManyEnds(t *testing.T) {
	m := newMux(nil, Config{})
	m.mu.Lock()
	defer m.mu.Unlock()
	incoming := func() { m.onReset(engine.StreamResetEvent{Incoming: true, Streams: []uint16{3}}) }
	for range 1000 {
		incoming()
	}
	if n := len(m.unclaimed.rest()); n != 1 {
		t.Errorf("%d ends are kept of a stream that was not used, want 1", n)
	}
	// Each message is another use.
	for _, data := range []string{"a", "b"} {
		b := newBuffer()
		m.deliver(piece{b, b.bytes[:copy(b.bytes[:], data)], engine.Message{Stream: 3}})
		incoming()
	}
	for _, want := range []int{0, 1, 1} {
		s := m.accept()
		if s == nil || s.in != inEnded || len(s.queue.rest()) != want {
			t.Fatalf("accepted %+v, want a stream that has ended, with %d messages", s, want)
		}
		m.put(3, number{next: m.numbers[3].next}) // as if it were closed
	}
	if s := m.accept(); s != nil {
		t.Errorf("accepted a stream of which nothing has come: %+v", s)
	}
}

// TestNextUseAfterCloseRead ends both directions of a stream at both ends, without
// closing the Stream here. What then arrives belongs to the number's next use. It
// must be kept, although this use is not read.
func TestNextUseAfterCloseRead(t *testing.T) {
	m := newMux(nil, Config{})
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.claim(3)
	s.endRead()
	s.in, s.out = inEnded, outReset
	b := newBuffer()
	m.deliver(piece{b, b.bytes[:1], engine.Message{Stream: 3}})
	if n := len(m.unclaimed.rest()); n != 1 {
		t.Errorf("%d messages are kept for the next use of the stream, want 1", n)
	}
}

// TestSecondUseEnds has the peer begin the next use of a number before the first one
// is claimed, and end it before or after that.
func TestSecondUseEnds(t *testing.T) {
	for _, withEnd := range []bool{false, true} {
		m := newMux(nil, Config{})
		deliver := func() {
			b := newBuffer()
			m.deliver(piece{b, b.bytes[:1], engine.Message{Stream: 3}})
		}
		end := func() { m.onReset(engine.StreamResetEvent{Incoming: true, Streams: []uint16{3}}) }
		m.mu.Lock()
		deliver()
		end()
		deliver()
		if withEnd {
			end()
		}
		first := m.claim(3)
		if !withEnd {
			end()
		}
		m.put(3, number{next: m.numbers[3].next}) // as if it were closed
		second := m.accept()
		if len(first.queue.rest()) != 1 || first.in != inEnded || second == nil || len(second.queue.rest()) != 1 || second.in != inEnded {
			t.Errorf("the streams are %+v and %+v, want one message of each, and its end", first, second)
		}
		if m.isUsed(3) {
			t.Error("the stream counts as used")
		}
		m.mu.Unlock()
	}
}

// TestResetOfAll has the peer reset all its streams. One that had ended before does
// not end again.
func TestResetOfAll(t *testing.T) {
	m := newMux(nil, Config{})
	m.mu.Lock()
	defer m.mu.Unlock()
	s3, s4 := m.claim(3), m.claim(4)
	s4.in, s4.out = inEnded, outReset // by CloseWrite at both ends
	m.onReset(engine.StreamResetEvent{Incoming: true})
	if s3.in != inEnded {
		t.Error("stream 3 has not ended")
	}
	if n := len(m.unclaimed.rest()); n != 0 {
		t.Errorf("%d ends of streams that nobody has used", n)
	}
}

// idleMux makes a Mux that receives nothing by itself.
func idleMux() (*Mux, *fake) {
	f, _ := newLink()
	m := newMux(f, Config{})
	m.e = f
	return m, f
}

// TestAwaitRoomStopsWatching has the receiver wait for room for a while, again and
// again. It must not wait for the association's end when it does not wait for room.
func TestAwaitRoomStopsWatching(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, f := idleMux()
		for n := range 5 {
			q := queue{bytes: queueSize}
			go func() {
				for f.endWaits() <= n {
					time.Sleep(time.Millisecond)
				}
				m.mu.Lock()
				q.bytes = 0
				m.room.Signal()
				m.mu.Unlock()
			}()
			m.mu.Lock()
			m.awaitRoom(q.isFull)
			m.mu.Unlock()
			if f.isWaiting {
				t.Error("the engine still waits for the end")
			}
		}
		before := f.endWaits()
		time.Sleep(time.Second)
		if n := f.endWaits() - before; n > 0 {
			t.Errorf("%d waits for the end while nobody waits for room", n)
		}
	})
}

// TestEndIsNoticedWhileNothingIsReceived has the association end while the receiver waits
// for room. It learns of that at once.
func TestEndIsNoticedWhileNothingIsReceived(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, f := idleMux()
		q := queue{bytes: queueSize}
		over := make(chan struct{})
		go func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.awaitRoom(q.isFull)
			close(over)
		}()
		time.Sleep(watchAfter + time.Millisecond)
		f.end(io.EOF)
		synctest.Wait()
		select {
		case <-over:
		default:
			t.Error("the receiver waits for room after the end")
		}
	})
}

// TestBackOff has a request fail. It is made again, but not at once. Those for other
// streams are made too, even if the failed one is needed no more.
func TestBackOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, f := idleMux()
		f.answer = answers(later)
		m.mu.Lock()
		defer m.mu.Unlock()
		s3 := m.claim(3)
		m.ask(s3, resetWanted)
		m.flushResets()
		m.ask(m.claim(4), resetWanted)
		m.flushResets()
		if n := len(f.requested()); n != 1 {
			t.Fatalf("%d requests under way, want 1", n)
		}
		time.Sleep(50 * time.Millisecond) // the round trip
		s3.closed, s3.in = true, inEnded
		m.free(s3) // the peer uses it again
		f.do(func() { f.asked = nil })
		m.onReset(engine.StreamResetEvent{Streams: []uint16{3}, Failed: true})
		m.endSend(&s3.sender)
		m.flushResets()
		if n := len(f.requested()); n != 1 {
			t.Error("the next request was made at once")
		}
		m.mu.Unlock()
		time.Sleep(5 * time.Second)
		m.mu.Lock()
		if r := f.requested(); len(r) != 2 || !slices.Equal(r[1].ids, []uint16{4}) {
			t.Errorf("the requests are %v; want that for stream 4 after that for stream 3", r)
		}
	})
}
