package mux

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// wantSpent claims a number that is not used again, for some reason. The error
// comes at once.
func wantSpent(t testing.TB, m *Mux, id uint16, why error) {
	t.Helper()
	begin := time.Now()
	_, err := m.Claim(id)
	if !errors.Is(err, ErrNoFreeStream) || !errors.Is(err, why) || !strings.Contains(err.Error(), fmt.Sprintf("stream %d ", id)) {
		t.Errorf("Claim of stream %d: %v, want ErrNoFreeStream because of %v", id, err, why)
	}
	if took := time.Since(begin); took != 0 {
		t.Errorf("Claim of stream %d failed after %v", id, took)
	}
}

// withoutReconfig makes an association whose peer cannot reset streams.
func withoutReconfig(t testing.TB) (*Mux, *fake) {
	f, _ := newLink()
	f.reconfig = false
	return f.start(t, Config{}), f
}

// TestNoReconfig has a peer that cannot reset streams: CloseWrite says so, and Close
// is local.
func TestNoReconfig(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, f := withoutReconfig(t)
		s := claim(t, m, 3)
		if err := s.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "stream reconfiguration") {
			t.Errorf("CloseWrite: %v, want ErrUnsupported and the reason", err)
		}
		write(t, s, "goes on")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if n := len(f.requested()); n != 0 {
			t.Errorf("%d requests, want none", n)
		}
	})
}

// TestNumbersAreUsedOnce opens streams to a peer that cannot reset them until there
// are no more. The answer to one is never read on another.
func TestNumbersAreUsedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, f := withoutReconfig(t)
		for _, want := range []uint16{2, 4, 6, 8} {
			s, err := m.Open(t.Context())
			if err != nil || s.ID() != want {
				t.Fatalf("opened %v, %v; want stream %d", s, err, want)
			}
			write(t, s, "question")
			s.Close()
			f.inject(message(want, "late answer"))
			synctest.Wait()
		}
		begin := time.Now()
		_, err := m.Open(t.Context())
		if !errors.Is(err, ErrNoFreeStream) || !strings.Contains(err.Error(), "stream reconfiguration") {
			t.Errorf("Open: %v, want ErrNoFreeStream and the reason", err)
		}
		if _, err := m.TryOpen(); !errors.Is(err, ErrNoFreeStream) || errors.Is(err, ErrClosing) {
			t.Errorf("TryOpen: %v, want ErrNoFreeStream", err)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("Open failed after %v", took)
		}
		wantSpent(t, m, 4, errNoReconfig)
		acceptNone(t, m)
	})
}

// TestDroppedOnSpentNumbers has much arrive on a number whose Stream was closed: it
// takes no memory and holds up nothing.
func TestDroppedOnSpentNumbers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, f := withoutReconfig(t)
		claim(t, m, 3).Close()
		for range 2 * queueSize / 1000 {
			f.inject(message(3, strings.Repeat("x", 1000)))
		}
		f.inject(incoming(3), message(3, "x"), message(0, "zero"))
		if got, msg := recv(t, m); got != "zero" {
			t.Errorf("read %d bytes of stream %d, want \"zero\"", len(got), msg.Stream)
		}
		if m.Unread() {
			t.Error("what is dropped counts as unread")
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if n := m.numbers[3]; m.claimed != 0 || n != (number{spent: n.spent}) {
			t.Errorf("%+v; want nothing of stream 3", m.numbers)
		}
	})
}

// TestAcceptedOnce has a peer that cannot reset streams go on with a number when its
// Stream is closed: it is not accepted again.
func TestAcceptedOnce(t *testing.T) {
	for _, serves := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			m, f := withoutReconfig(t)
			if serves {
				m.ServeStreams()
			}
			f.inject(message(3, "part 0"))
			s := acceptNow(t, m)
			if s.ID() != 3 {
				t.Errorf("accepted stream %d, want 3", s.ID())
			}
			f.inject(message(3, "part 1"))
			synctest.Wait()
			s.Close()
			f.inject(message(3, "part 2"), incoming(3), message(5, "five"))
			if s := acceptNow(t, m); s.ID() != 5 {
				t.Errorf("accepted stream %d, want 5", s.ID())
			}
			acceptNone(t, m)
		})
	}
}

// TestDeniedReset has the peer deny the reset of one stream. From then on it is a
// peer that cannot reset streams. Nothing waits for it.
func TestDeniedReset(t *testing.T) {
	for _, ended := range []bool{false, true} { // by the peer, before
		bubble(t, func(t *testing.T) {
			m, _, f, _ := pair(t)
			f.answer = answers(later)
			half, denied, listed, later := claim(t, m, 1), claim(t, m, 3), claim(t, m, 5), claim(t, m, 7)
			if ended {
				f.inject(incoming(3))
			}
			synctest.Wait()
			denied.Close()
			if err := half.CloseWrite(); err != nil { // on the list
				t.Error(err)
			}
			listed.Close()
			waits := make(chan error)
			go func() {
				_, err := m.Claim(3)
				waits <- err
			}()
			synctest.Wait()
			begin := time.Now()
			f.answerReset(deny)
			if err := <-waits; !errors.Is(err, ErrNoFreeStream) || !errors.Is(err, errDenied) {
				t.Errorf("the Claim that waits: %v, want ErrNoFreeStream and the reason", err)
			}
			if took := time.Since(begin); took != 0 {
				t.Errorf("the Claim waited for %v", took)
			}
			wantSpent(t, m, 5, errDenied)
			if m.CanReset() {
				t.Error("CanReset: true")
			}
			if err := later.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "denies") {
				t.Errorf("CloseWrite: %v, want ErrUnsupported and the reason", err)
			}
			write(t, later, "goes on")
			f.inject(message(3, "late"), message(7, "seven"))
			if got, err := read(later); got != "seven" || err != nil {
				t.Errorf("read %q, %v", got, err)
			}
			later.Close()
			half.Close()
			wantSpent(t, m, 7, errDenied)
			wantSpent(t, m, 1, errDenied)
			acceptNone(t, m)
			time.Sleep(time.Minute)
			if n := len(f.requested()); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			for id, n := range m.numbers {
				if n != (number{spent: n.spent}) {
					t.Errorf("stream %d: %+v; want it spent", id, n)
				}
			}
			if len(m.resets.list) != 0 {
				t.Errorf("resets of %v are wanted", m.resets.list)
			}
		})
	}
}

// TestOpenAfterDenial opens streams while their resets are denied: each number is
// used once, and no Open waits.
func TestOpenAfterDenial(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.answer = answers(deny)
		begin := time.Now()
		for _, want := range []uint16{2, 4, 6, 8} {
			s, err := m.Open(t.Context())
			if err != nil || s.ID() != want {
				t.Fatalf("opened %v, %v; want stream %d", s, err, want)
			}
			s.Close()
			synctest.Wait()
		}
		if _, err := m.Open(t.Context()); !errors.Is(err, ErrNoFreeStream) || !strings.Contains(err.Error(), "denies") {
			t.Errorf("Open: %v, want ErrNoFreeStream and the reason", err)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

// TestDeniedNextUse has the peer begin the next use of a number, and deny the reset
// of the use before. That next use is dropped when the Stream is closed.
func TestDeniedNextUse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.answer = answers(later)
		s := claim(t, m, 3)
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		f.inject(incoming(3), message(3, "next"), message(0, "zero"))
		if got := readAll(t, s); got != "" {
			t.Errorf("read %q", got)
		}
		f.answerReset(deny)
		synctest.Wait()
		s.Close()
		if got, msg := recv(t, m); got != "zero" {
			t.Errorf("read %q of stream %d, want \"zero\"", got, msg.Stream)
		}
		acceptNone(t, m)
	})
}

// TestDeniedMakesRoom has the next use of a number fill the Conn's queue. It is dropped
// when the Stream is closed, as the peer has denied a reset.
func TestDeniedMakesRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.answer = answers(deny)
		s := claim(t, m, 3)
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		f.inject(incoming(3))
		for range 2 * queueSize / (32 << 10) {
			f.inject(message(3, strings.Repeat("x", 32<<10)))
		}
		f.inject(message(0, "zero"))
		synctest.Wait()
		s.Close()
		if got, _ := recv(t, m); got != "zero" {
			t.Errorf("read %d bytes, want \"zero\"", len(got))
		}
	})
}

// TestDeniedLate has the peer use a number again, and then deny the reset of the use
// before. No other answer to that is waited for.
func TestDeniedLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.answer = answers(later)
		s := claim(t, m, 3)
		f.inject(incoming(3))
		synctest.Wait()
		s.Close()
		f.inject(message(3, "next"))
		next := acceptNow(t, m)
		f.answerReset(deny)
		if got, err := read(next); got != "next" || err != nil {
			t.Errorf("read %q, %v; want \"next\"", got, err)
		}
		synctest.Wait()
		m.mu.Lock()
		defer m.mu.Unlock()
		if n := m.numbers[3]; n.late != 0 {
			t.Errorf("late: %d, want none", n.late)
		}
	})
}

// TestRemoveStream takes a stream's pieces out of a queue.
func TestRemoveStream(t *testing.T) {
	for _, taken := range []int{0, 1, 3} { // from the head, before
		q := queue{memory: new(memory)}
		for i := range 6 {
			q.push(piece{data: []byte{byte(i)}, msg: engine.Message{Stream: uint16(i % 2)}})
		}
		for range taken {
			q.remove(0)
		}
		var odd, even []byte
		for _, p := range q.removeStream(1) {
			odd = append(odd, p.data...)
		}
		for _, p := range q.rest() {
			even = append(even, p.data...)
		}
		wantOdd, wantEven := "\x01\x03\x05"[taken/2:], "\x00\x02\x04"[(taken+1)/2:]
		if string(odd) != wantOdd || string(even) != wantEven || q.bytes != len(even)*(1+pieceSize) {
			t.Errorf("after %d: removed %v, left %v, %d bytes; want %v, %v", taken, odd, even, q.bytes, []byte(wantOdd), []byte(wantEven))
		}
		q.removeStream(0)
		if len(q.rest()) != 0 || q.bytes != 0 {
			t.Errorf("after %d: %+v is not empty", taken, q)
		}
	}
}

// TestOpenEndsWithItsContext has an Open wait for a number until its context ends,
// with a peer that never answers.
func TestOpenEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, _ := newLink()
		f.out, f.in = 4, 4 // 2 is for this side to open
		f.answer = answers(later)
		m := f.start(t, Config{})
		claim(t, m, 2).Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.Open(ctx); err != context.DeadlineExceeded {
			t.Errorf("Open: %v, want the context's error", err)
		}
	})
}

// TestDeniedAfterReset has the peer deny a reset after it has granted that of another
// stream. What it then sends on that one is the number's next use, and is accepted
// when both ends have closed the first use, whatever came first.
func TestDeniedAfterReset(t *testing.T) {
	deny := func(t *testing.T, m *Mux, f *fake) {
		f.do(func() { f.answer = answers(deny) })
		claim(t, m, 5).Close()
		synctest.Wait()
		if m.CanReset() {
			t.Fatal("the denial has not come")
		}
	}
	for _, closesFirst := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			m, _, f, _ := pair(t)
			s := claim(t, m, 3)
			if err := s.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if closesFirst {
				s.Close()
			}
			deny(t, m, f)
			f.inject(incoming(3), message(3, "next"))
			synctest.Wait()
			if !closesFirst {
				s.Close()
			}
			next, err := m.Accept(t.Context())
			if err != nil || next.ID() != 3 {
				t.Fatalf("accepted %v, %v; want stream 3", next, err)
			}
			if data, err := read(next); data != "next" || err != nil {
				t.Errorf("read %q, %v; want \"next\"", data, err)
			}
			next.Close() // which the peer does not learn
			synctest.Wait()
			wantSpent(t, m, 3, errDenied)
		})
	}
}
