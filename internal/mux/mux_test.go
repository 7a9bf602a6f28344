package mux

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestClaimWithinMessage has a stream claimed while ReadMsg waits for the rest of a
// message of it: that goes to the Stream, and ReadMsg must not go on with another
// stream's message.
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
		n, msg, err := m.Recv(p, 0, engine.Message{}, Whole)
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

// TestNextUseAfterCloseRead has both ends close a stream in both directions, but
// here not altogether, and the peer use it again: that is not what is not read.
func TestNextUseAfterCloseRead(t *testing.T) {
	m := newMux(nil, Config{})
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.claim(3)
	s.endRead()
	s.in, s.out = over, over
	b := newBuffer()
	m.deliver(piece{b, b.bytes[:1], engine.Message{Stream: 3}})
	if n := len(m.unclaimed.rest()); n != 1 {
		t.Errorf("%d messages are kept for the next use of the stream, want 1", n)
	}
}

// TestSecondUseEnds has the peer begin to use a stream again before the first use of
// it is claimed, and end that after.
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
		delete(m.streams, 3) // as if it were closed
		second := m.accept()
		if len(first.queue.rest()) != 1 || first.in != over || second == nil || len(second.queue.rest()) != 1 || second.in != over {
			t.Errorf("the streams are %+v and %+v, want one message of each, and its end", first, second)
		}
		if m.isUsed(3) {
			t.Error("the stream counts as used")
		}
		m.mu.Unlock()
	}
}

// TestSmallPieces has a queue take small messages from buffers that hold much
// else, as many of one or few as there may be. They must not keep the buffers.
func TestSmallPieces(t *testing.T) {
	for _, each := range []int{1, 2, 100} {
		var q queue
		bufs := make(map[*buffer]bool)
		n := 0
		for ; !q.isFull(); n += each {
			b := newBuffer()
			for i := range each {
				b.refs.Add(1)
				b.bytes[i] = byte(n + i)
				q.push(piece{b, b.bytes[i : i+1], engine.Message{}})
			}
			b.release()
		}
		for i, p := range q.rest() {
			if p.data[0] != byte(i) {
				t.Fatalf("message %d is %d", i, p.data[0])
			}
			if p.buf != nil {
				bufs[p.buf] = true
			}
		}
		if size := len(bufs) * len(buffer{}.bytes); size > 16*queueSize {
			t.Errorf("%d messages of a byte, %d of each buffer, keep %d bytes", n, each, size)
		}
		for len(q.rest()) > 0 {
			p := q.remove(0)
			p.buf.release()
		}
		if q.last != nil {
			t.Error("an empty queue keeps a buffer")
		}
	}
}

// TestResetOfAll has the peer reset all its streams: one that had ended before
// does not end again.
func TestResetOfAll(t *testing.T) {
	m := newMux(nil, Config{})
	m.mu.Lock()
	defer m.mu.Unlock()
	s3, s4 := m.claim(3), m.claim(4)
	s4.in, s4.out = over, over // by CloseWrite at both ends
	m.onReset(engine.StreamResetEvent{Incoming: true})
	if s3.in != over {
		t.Error("stream 3 has not ended")
	}
	if n := len(m.unclaimed.rest()); n != 0 {
		t.Errorf("%d ends of streams that nobody has used", n)
	}
}

// A fakeOwner is an engine of which the test makes all events.
type fakeOwner struct {
	engine.Owner
	asked atomic.Int32 // requests for resets
	looks atomic.Int32
}

func (f *fakeOwner) ResetStreams([]uint16) error { f.asked.Add(1); return nil }
func (f *fakeOwner) Ended() bool                 { f.looks.Add(1); return false }

// fakeMux makes a mux that has a fakeOwner.
func fakeMux() (*Mux, *fakeOwner) {
	f := new(fakeOwner)
	m := newMux(nil, Config{})
	m.e = f
	return m, f
}

// TestAwaitRoomStopsLooking has the receiver wait for room for a while, again and
// again: it must not look whether the association has ended when it does not wait.
func TestAwaitRoomStopsLooking(t *testing.T) {
	m, f := fakeMux()
	for range 5 {
		q := queue{bytes: queueSize}
		before := f.looks.Load()
		go func() {
			for f.looks.Load() == before {
				time.Sleep(time.Millisecond)
			}
			m.mu.Lock()
			q.bytes = 0
			m.room.Signal()
			m.mu.Unlock()
		}()
		m.mu.Lock()
		m.awaitRoom(&q)
		m.mu.Unlock()
	}
	before := f.looks.Load()
	time.Sleep(500 * time.Millisecond) // two looks of each, if they went on
	if n := f.looks.Load() - before; n > 1 {
		t.Errorf("%d looks while nobody waits", n)
	}
}

// TestBackOff has requests fail: they are made again, though not at once, and so
// are those of other streams even if the failed one is of no use any more.
func TestBackOff(t *testing.T) {
	m, f := fakeMux()
	m.canReset = true
	m.conn = streamsOf(10)
	m.mu.Lock()
	defer m.mu.Unlock()
	s3 := m.claim(3)
	m.ask(s3)
	m.flushResets()
	m.ask(m.claim(4))
	m.flushResets()
	if n := f.asked.Load(); n != 1 {
		t.Fatalf("%d requests under way, want 1", n)
	}
	m.askedAt = m.askedAt.Add(-50 * time.Millisecond) // that long a way
	s3.isClosed, s3.in = true, over
	m.free(s3) // the peer uses it again
	m.onReset(engine.StreamResetEvent{Streams: []uint16{3}, Failed: true})
	m.flushResets() // as the end of a Write does
	if n := f.asked.Load(); n != 1 {
		t.Error("it was asked again at once")
	}
	for deadline := time.Now().Add(5 * time.Second); f.asked.Load() == 1; {
		if time.Now().After(deadline) {
			t.Fatal("it was never asked again")
		}
		m.mu.Unlock()
		time.Sleep(time.Millisecond)
		m.mu.Lock()
	}
}

// streamsOf is an association that has that many streams each way.
type streamsOf uint16

func (n streamsOf) Take() (engine.Owner, bool)   { return nil, false }
func (n streamsOf) Streams() (out, in uint16)    { return uint16(n), uint16(n) }
func (n streamsOf) NumStreams() (out, in uint16) { return uint16(n), uint16(n) }
