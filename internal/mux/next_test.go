package mux

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestNextUseOfFullQueue has the next use of a number fill the queue of the Conn,
// before the Stream of the number is closed. Its Close must not wait for an answer
// that is behind what fills the queue.
func TestNextUseOfFullQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, _ := newLink()
		m := f.start(t, Config{})
		s := claim(t, m, 2)
		f.inject(incoming(2))
		for range 300 {
			f.inject(arrival{make([]byte, 1<<10), engine.Message{Stream: 2}})
		}
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		m.SetReadDeadline(time.Now().Add(time.Minute))
		if _, msg, err := m.Recv(make([]byte, 100), Piece); err != nil || msg.Stream != 2 {
			t.Errorf("read from stream %d, %v; want what came on 2", msg.Stream, err)
		}
	})
}

// TestResetOfNextUseWakesAccept has the peer reset a number in its next use, before
// the answer to our request has come. The next use can be accepted from then on.
func TestResetOfNextUseWakesAccept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, _ := newLink()
		f.answer = func([]uint16) answer { return later }
		m := f.start(t, Config{})
		f.inject(message(2, "x"))
		s, err := m.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f.inject(incoming(2), message(2, "next"), incoming(2))
		synctest.Wait()
		accepted := false
		go func() {
			_, err := m.Accept(context.Background())
			accepted = err == nil
		}()
		synctest.Wait()
		s.Close()
		synctest.Wait()
		f.inject(incoming(2))
		synctest.Wait()
		if !accepted {
			t.Error("Accept waits though there is a stream to accept")
		}
	})
}

// TestMessageEndsAtReset has the peer give up a message, reset its stream and use
// it again. What it sends then is another message.
func TestMessageEndsAtReset(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, _ := newLink()
		m := f.start(t, Config{})
		f.inject(arrival{[]byte("ab"), engine.Message{Stream: 2, More: true}})
		synctest.Wait()
		f.inject(incoming(2), message(2, "cd"))
		synctest.Wait()
		p := make([]byte, 100)
		for _, want := range []struct {
			data string
			more bool
		}{{"ab", true}, {"cd", false}} {
			n, msg, err := m.Recv(p, Whole)
			if string(p[:n]) != want.data || msg.More != want.more || err != nil {
				t.Errorf("read %q, more=%v, %v; want %q, more=%v", p[:n], msg.More, err, want.data, want.more)
			}
		}
	})
}

// TestOpenFindsAddedStreams has streams be added while Open waits for one that is being
// closed. It opens one of them, if not at once.
func TestOpenFindsAddedStreams(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.answer = answers(later)
		for range 4 {
			s, err := m.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
		}
		time.AfterFunc(time.Second, func() { f.do(func() { f.out, f.in = 12, 12 }) })
		if s, err := m.Open(t.Context()); err != nil || s.ID() != 10 {
			t.Errorf("opened %v, %v; want stream 10", s, err)
		}
	})
}

// TestNextBeginsAfterOneGivenUp has a message begin behind a part of another one that
// was given up. A Recv returns the part alone, and only the first Recv of the next one
// says that it begins.
func TestNextBeginsAfterOneGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		s := claim(t, m, 3)
		f.inject(
			arrival{[]byte("part"), engine.Message{Stream: 3, Unordered: true, More: true}},
			arrival{[]byte("next"), engine.Message{Stream: 3, Unordered: true, Begins: true}},
		)
		for _, want := range []struct {
			size         int // of memory
			data         string
			more, begins bool
		}{{10, "part", true, false}, {3, "nex", true, true}, {10, "t", false, false}} {
			p := make([]byte, want.size)
			n, msg, err := s.Recv(p, Whole)
			if string(p[:n]) != want.data || msg.More != want.more || msg.Begins != want.begins || err != nil {
				t.Errorf("read %q, %+v, %v; want %+v", p[:n], msg, err, want)
			}
		}
	})
}

// TestReadUseIsOver has the Conn read all of a stream that the peer has reset. The number
// is in use until the end was read, too.
func TestReadUseIsOver(t *testing.T) {
	m := newMux(nil, Config{})
	m.mu.Lock()
	defer m.mu.Unlock()
	for range 2 {
		b := newBuffer()
		m.deliver(piece{b, b.bytes[:1], engine.Message{Stream: 2}})
	}
	m.onReset(engine.StreamResetEvent{Incoming: true, Streams: []uint16{2}})
	for i, isEnd := range []bool{false, false, true} {
		if !m.isUsed(2) {
			t.Errorf("the number is not in use before piece %d was read", i)
		}
		if p, ok, _, err := m.next(); !ok || p.isEnd() != isEnd || err != nil {
			t.Errorf("piece %d: %v, end: %v, %v", i, ok, p.isEnd(), err)
		}
	}
	if m.isUsed(2) {
		t.Error("the number is in use after the end was read")
	}
}
