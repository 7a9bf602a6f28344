package mux

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// The tests in this file are about what the Conn reads and what is accepted.

// recv reads for the Conn what there is of one message, or waits.
func recv(t testing.TB, m *Mux) (string, engine.Message) {
	t.Helper()
	p := make([]byte, 1000)
	n, msg, err := m.Recv(p, Whole)
	if err != nil {
		t.Errorf("Recv: %v", err)
	}
	return string(p[:n]), msg
}

// acceptNow accepts a stream that there must be.
func acceptNow(t testing.TB, m *Mux) *Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	s, err := m.Accept(ctx)
	if err != nil {
		t.Fatalf("Accept: %v", err)
	}
	return s
}

// acceptNone has Accept find nothing.
func acceptNone(t testing.TB, m *Mux) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if s, err := m.Accept(ctx); err == nil {
		t.Errorf("accepted stream %d, want none", s.ID())
	}
}

// TestConnReadsAllStreams has nobody ask for streams to accept, but for one that is
// claimed: the Conn reads all others.
func TestConnReadsAllStreams(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		claim(t, m, 2)
		for id := range uint16(5) {
			f.inject(message(id, string(rune('a'+id))))
		}
		for _, want := range []string{"a", "b", "d", "e"} {
			if got, _ := recv(t, m); got != want {
				t.Errorf("read %q, want %q", got, want)
			}
		}
	})
}

// TestAcceptNeverTakesZero has messages arrive on stream 0 before the first Accept,
// while it waits, and when nobody reads the Conn. They are the Conn's.
func TestAcceptNeverTakesZero(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.inject(message(0, "a"))
		synctest.Wait()
		accepted := make(chan uint16)
		go func() {
			for range 2 {
				s, err := m.Accept(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				accepted <- s.ID()
			}
		}()
		synctest.Wait()
		f.inject(message(0, "b"), message(5, "five"), message(0, "c"))
		if id := <-accepted; id != 5 {
			t.Errorf("accepted stream %d, want 5", id)
		}
		for _, want := range []string{"a", "b", "c"} {
			if got, msg := recv(t, m); got != want || msg.Stream != 0 {
				t.Errorf("read %q of stream %d, want %q of stream 0", got, msg.Stream, want)
			}
		}
		// Neither its end is something to accept.
		f.inject(message(0, "d"), incoming(0), message(0, "e"), message(7, "seven"))
		if id := <-accepted; id != 7 {
			t.Errorf("accepted stream %d, want 7", id)
		}
		for _, want := range []string{"d", "e"} {
			if got, _ := recv(t, m); got != want {
				t.Errorf("read %q, want %q", got, want)
			}
		}
	})
}

// TestConnLeavesStreamsToAccept has a Recv of the Conn wait all the time. From the
// first Accept on it gets nothing but stream 0, and nothing of what has arrived
// on other streams before.
func TestConnLeavesStreamsToAccept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.inject(message(4, "four"), message(0, "zero"), message(6, "six"))
		synctest.Wait()
		if s := acceptNow(t, m); s.ID() != 4 {
			t.Errorf("accepted stream %d, want 4", s.ID())
		}
		got := make(chan string)
		go func() {
			for {
				p := make([]byte, 1000)
				n, msg, err := m.Recv(p, Whole)
				if err != nil {
					close(got)
					return
				}
				if msg.Stream != 0 {
					t.Errorf("Recv: %q of stream %d", p[:n], msg.Stream)
				}
				got <- string(p[:n])
			}
		}()
		if data := <-got; data != "zero" {
			t.Errorf("read %q, want \"zero\"", data)
		}
		synctest.Wait()
		f.inject(message(8, "eight"), message(0, "again"))
		if data := <-got; data != "again" {
			t.Errorf("read %q, want \"again\"", data)
		}
		var ids []uint16
		for range 2 {
			ids = append(ids, acceptNow(t, m).ID())
		}
		if !slices.Equal(ids, []uint16{6, 8}) {
			t.Errorf("accepted streams %v, want 6 and 8", ids)
		}
		m.Close(f.Close)
		if data, ok := <-got; ok {
			t.Errorf("read %q after Close", data)
		}
	})
}

// TestAcceptThatEndsIsTheFirst has an Accept end by its context. Streams are for
// Accept all the same.
func TestAcceptThatEndsIsTheFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		acceptNone(t, m)
		f.inject(message(4, "four"), message(0, "zero"))
		if got, _ := recv(t, m); got != "zero" {
			t.Errorf("read %q, want \"zero\"", got)
		}
		if s := acceptNow(t, m); s.ID() != 4 {
			t.Errorf("accepted stream %d, want 4", s.ID())
		}
	})
}

// TestAcceptEndsAMessage has the first Accept come while a Recv of the Conn waits for
// the rest of a message of another stream. What was read has More; the rest is the
// Stream's.
func TestAcceptEndsAMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.inject(arrival{[]byte("three-"), engine.Message{Stream: 3, More: true}})
		done := make(chan struct{})
		go func() {
			defer close(done)
			if got, msg := recv(t, m); got != "three-" || msg.Stream != 3 || !msg.More {
				t.Errorf("read %q, %+v; want \"three-\" with More", got, msg)
			}
		}()
		synctest.Wait()
		acceptNone(t, m)
		<-done
		f.inject(message(3, "rest"), message(0, "zero"))
		if got, msg := recv(t, m); got != "zero" || msg.Stream != 0 {
			t.Errorf("read %q of stream %d, want \"zero\"", got, msg.Stream)
		}
		if got, err := read(acceptNow(t, m)); got != "rest" || err != nil {
			t.Errorf("read %q, %v; want \"rest\"", got, err)
		}
	})
}

// TestAcceptAfterAPartOfAMessage has the Conn read a part of a message with little
// memory before the first Accept. The rest of what it has begun is the Conn's.
func TestAcceptAfterAPartOfAMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.inject(message(3, "three-rest"), message(3, "next"))
		p := make([]byte, 6)
		if n, msg, err := m.Recv(p, Whole); string(p[:n]) != "three-" || !msg.More || err != nil {
			t.Fatalf("read %q, %+v, %v", p[:n], msg, err)
		}
		s := acceptNow(t, m)
		if got, msg := recv(t, m); got != "rest" || msg.Stream != 3 || msg.More {
			t.Errorf("read %q, %+v; want \"rest\" of stream 3", got, msg)
		}
		if got, err := read(s); got != "next" || err != nil {
			t.Errorf("read %q, %v; want \"next\"", got, err)
		}
	})
}

// TestAcceptMakesRoom has the data of streams that nobody claims fill the Conn's
// queue. The first Accept takes them out of it.
func TestAcceptMakesRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		const size = 32 << 10
		for range queueSize/size + 1 {
			f.inject(message(3, strings.Repeat("x", size)))
		}
		f.inject(message(0, "zero"), incoming(3))
		synctest.Wait()
		s := acceptNow(t, m)
		if n, err := io.Copy(io.Discard, streamConn{s}); n != size*(queueSize/size+1) || err != nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
		if got, _ := recv(t, m); got != "zero" {
			t.Errorf("read %d bytes, want \"zero\"", len(got))
		}
	})
}

// TestServeMakesRoom has the data of streams fill the Conn's queue. When the streams are
// served there is room for more.
func TestServeMakesRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		const size = 32 << 10
		for range queueSize/size + 1 {
			f.inject(message(3, strings.Repeat("x", size)))
		}
		f.inject(message(5, "five"))
		synctest.Wait()
		m.ServeStreams()
		synctest.Wait()
		m.mu.Lock()
		defer m.mu.Unlock()
		if !m.isUsed(5) {
			t.Error("stream 5 has not arrived")
		}
	})
}

// TestServedConnReadsNothing serves streams: stream 0 is accepted too.
func TestServedConnReadsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.inject(message(0, "zero"))
		synctest.Wait()
		m.ServeStreams()
		f.inject(message(1, "one"))
		for want := range uint16(2) {
			if err := m.AwaitAccept(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s := m.TryAccept(); s == nil || s.ID() != want {
				t.Errorf("accepted %+v, want stream %d", s, want)
			}
		}
		read := make(chan error)
		go func() {
			_, _, err := m.Recv(make([]byte, 1), Whole)
			read <- err
		}()
		f.inject(message(0, "more"))
		synctest.Wait()
		f.end(io.EOF)
		if err := <-read; err != io.EOF {
			t.Errorf("Recv: %v, want io.EOF", err)
		}
	})
}
