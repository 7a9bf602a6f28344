package mux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// answers makes a fake's answers: one after the other, and the last one from then
// on.
func answers(as ...answer) func([]uint16) answer {
	return func([]uint16) answer {
		a := as[0]
		if len(as) > 1 {
			as = as[1:]
		}
		return a
	}
}

// TestLateAnswer has the answer to a reset come when the number is in use again. It
// is no news of the next use, whatever it says.
func TestLateAnswer(t *testing.T) {
	for _, a := range []answer{grant, fail} {
		bubble(t, func(t *testing.T) {
			m, _, f, _ := pair(t)
			f.answer = answers(later, grant)
			s := claim(t, m, 3)
			f.inject(incoming(3))
			synctest.Wait()
			s.Close()
			f.inject(message(3, "next"))
			next, err := m.Accept(t.Context())
			if err != nil || next.ID() != 3 {
				t.Fatalf("accepted %v, %v; want stream 3", next, err)
			}
			f.answerReset(a)
			synctest.Wait()
			if n := len(f.requested()); n != 1 {
				t.Errorf("%d requests, want 1: the first use is over", n)
			}
			write(t, next, "answer")
			if data, err := read(next); data != "next" || err != nil {
				t.Errorf("read %q, %v; want \"next\"", data, err)
			}
			// The next use ends by answers of its own.
			f.inject(incoming(3))
			next.Close()
			time.Sleep(time.Second)
			m.mu.Lock()
			defer m.mu.Unlock()
			if len(m.numbers) != 0 {
				t.Errorf("the number is not free: %+v", m.numbers)
			}
		})
	}
}

// TestEmptyNextUse has the peer close a stream, and then the next use of its number,
// on which it has sent nothing. The answer to the reset of the first use has not
// come. Accept gives the next use, which has ended.
func TestEmptyNextUse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.answer = answers(later)
		s := claim(t, m, 3)
		f.inject(incoming(3))
		synctest.Wait()
		s.Close()
		f.inject(incoming(3))
		next, err := m.Accept(t.Context())
		if err != nil || next.ID() != 3 {
			t.Fatalf("accepted %v, %v; want stream 3", next, err)
		}
		if data, err := read(next); data != "" || err != io.EOF {
			t.Errorf("read %q, %v; want io.EOF", data, err)
		}
	})
}

// TestResetWaitsForSend ends the writing of a stream while a Send waits for room.
// The reset must come after what was sent; the fake sees to that.
func TestResetWaitsForSend(t *testing.T) {
	for _, closes := range []func(*Stream) error{(*Stream).CloseWrite, (*Stream).Close} {
		bubble(t, func(t *testing.T) {
			m, _, f, af := pair(t)
			af.do(func() { af.stuck = true })
			s := claim(t, m, 2)
			done := make(chan error)
			go func() {
				_, err := s.Send(make([]byte, 2*f.room), false, engine.Message{Stream: 2})
				done <- err
			}()
			synctest.Wait()
			if !f.isSending(2) {
				t.Fatal("the Send does not wait for room")
			}
			if err := closes(s); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err == nil {
				t.Error("the Send has succeeded")
			}
			synctest.Wait()
			if n := len(f.requested()); n == 0 {
				t.Error("the reset was not asked for when the Send had ended")
			}
		})
	}
}

// TestFailedReset has requests fail: each is made again.
func TestFailedReset(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.answer = answers(fail, fail, fail, grant)
		s := claim(t, m, 3)
		f.inject(incoming(3))
		synctest.Wait()
		s.Close()
		claim(t, m, 3) // which waits until the number is free
		if n := len(f.requested()); n != 4 {
			t.Errorf("%d requests, want 4", n)
		}
	})
}

// TestRefusedReset has the engine refuse a request for good. It is not made again, and
// those for other streams are made. The number is not used again.
func TestRefusedReset(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.answer = answers(refuse, grant)
		claim(t, m, 3).Close()
		claim(t, m, 5).Close()
		time.Sleep(time.Minute)
		if r := f.requested(); len(r) != 2 || r[0].ids[0] != 3 || r[1].ids[0] != 5 {
			t.Errorf("the requests are %v; want one for each stream", r)
		}
		wantSpent(t, m, 3, errRefused)
	})
}

// TestBackOffTimes has requests fail again and again, a round trip after they were
// made, as those of two ends do that ask at the same time. The next one must not be
// made at once, nor always after the same time.
func TestBackOffTimes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const rtt = 50 * time.Millisecond
		m, _, f, _ := pair(t)
		f.answer = answers(later)
		claim(t, m, 3).Close()
		var waits []time.Duration
		var sum time.Duration
		for n := 1; n <= 50; n++ {
			for len(f.requested()) < n {
				time.Sleep(100 * time.Microsecond)
			}
			time.Sleep(rtt)
			answered := time.Now()
			f.answerReset(fail)
			for len(f.requested()) == n {
				time.Sleep(100 * time.Microsecond)
			}
			wait := f.requested()[n].at.Sub(answered)
			most := 250 * time.Millisecond
			if n == 1 {
				most = 2*rtt + time.Millisecond
			}
			if wait > most+time.Millisecond {
				t.Errorf("request %d was made after %v, want %v at most", n, wait, most)
			}
			waits = append(waits, wait)
			sum += wait
		}
		if mean := sum / time.Duration(len(waits)); mean < rtt/2 {
			t.Errorf("a request was made again after %v on average, want at least half a round trip", mean)
		}
		if slices.Max(waits)-slices.Min(waits) < rtt/2 {
			t.Errorf("requests were made after %v to %v; two ends would stay in step", slices.Min(waits), slices.Max(waits))
		}
	})
}

// TestBackOffGrows has the peer refuse all requests, at once, until a timer of its own
// has passed. It is asked less and less often. Once it has granted one, the next
// one that fails is made again soon.
func TestBackOffGrows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const (
			rtt   = 500 * time.Microsecond
			timer = 2 * time.Second
		)
		m, _, f, _ := pair(t)
		begin := time.Now()
		f.answer = func([]uint16) answer {
			a := fail
			if time.Since(begin) > timer {
				a = grant
			}
			time.AfterFunc(rtt, func() { f.answerReset(a) })
			return later
		}
		claim(t, m, 3).Close()
		isReset := func(id uint16) bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.numbers[id].stream.out == outReset
		}
		for !isReset(3) {
			time.Sleep(time.Millisecond)
		}
		n := len(f.requested())
		if n < 10 || n > 60 {
			t.Errorf("%d requests in %v, want 10 to 60", n, timer)
		}
		if took := time.Since(begin); took > timer+300*time.Millisecond {
			t.Errorf("the request was granted after %v, want little more than %v", took, timer)
		}
		begin = time.Now()
		claim(t, m, 5).Close()
		for len(f.requested()) < n+2 {
			time.Sleep(100 * time.Microsecond)
		}
		if took := time.Since(begin); took > 5*time.Millisecond {
			t.Errorf("the first repetition was made after %v", took)
		}
	})
}

// TestCollidingResets has both ends reset streams all the time. As with Linux a
// request fails while another is under way in the other direction.
func TestCollidingResets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const rtt = 10 * time.Millisecond
		m1, m2, f1, f2 := pair(t)
		collided := make(map[*fake]bool)
		for _, f := range []*fake{f1, f2} {
			f.answer = func([]uint16) answer {
				if f.peer.asked != nil {
					collided[f], collided[f.peer] = true, true
				}
				time.AfterFunc(rtt, func() {
					a := grant
					f.do(func() {
						if collided[f] {
							a = fail
						}
						collided[f] = false
					})
					f.answerReset(a)
				})
				return later
			}
		}
		var streams []*Stream
		for id := range uint16(10) {
			s1, s2 := claim(t, m1, id), claim(t, m2, id)
			streams = append(streams, s1, s2)
		}
		for _, s := range streams {
			s.Close()
		}
		begin := time.Now()
		for isDone := false; !isDone; time.Sleep(time.Millisecond) {
			isDone = true
			for _, m := range []*Mux{m1, m2} {
				m.mu.Lock()
				isDone = isDone && m.claimed == 0
				m.mu.Unlock()
			}
			if time.Since(begin) > 10*time.Second {
				t.Fatal("the streams are not closed after 10 s")
			}
		}
	})
}

// TestBusyResets has the engine be busy, or have unsent data, for a second. The
// request is tried soon, less and less often, and made in the end.
func TestBusyResets(t *testing.T) {
	for _, a := range []answer{busy, unsent} {
		bubble(t, func(t *testing.T) {
			m, _, f, _ := pair(t)
			begin := time.Now()
			f.answer = func([]uint16) answer {
				if time.Since(begin) < time.Second {
					return a
				}
				return grant
			}
			s := claim(t, m, 3)
			f.inject(incoming(3))
			synctest.Wait()
			s.Close()
			claim(t, m, 3)
			requests := f.requested()
			n := len(requests)
			if first := requests[1].at.Sub(begin); first > 2*time.Millisecond {
				t.Errorf("the first retry came after %v, want 2 ms at most", first)
			}
			if n < 15 || n > 60 {
				t.Errorf("%d requests in a second, want 15 to 60", n)
			}
			if last := time.Since(begin); last > time.Second+100*time.Millisecond {
				t.Errorf("the request was granted after %v, want little more than 1 s", last)
			}
		})
	}
}

// TestUnsentHoldsUpNobody resets two streams at once. One has unsent data; the other
// must not wait for that.
func TestUnsentHoldsUpNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, peer, f, _ := pair(t)
		f.answer = answers(later, grant)
		claim(t, m, 1).Close() // a request that is under way
		full, empty := claim(t, m, 3), claim(t, m, 5)
		claim(t, peer, 3)
		at := claim(t, peer, 5)
		f.hold()
		write(t, full, "unsent")
		full.Close()
		empty.Close()
		f.answerReset(grant)
		time.Sleep(time.Second)
		f.do(func() { f.peer.arrived, f.held = append(f.peer.arrived, f.held[len(f.held)-1]), f.held[:len(f.held)-1] })
		if data, err := read(at); data != "" || err != io.EOF {
			t.Errorf("read %q, %v of the empty stream; want io.EOF", data, err)
		}
		f.release()
	})
}

// TestManyResets closes more streams at once than one request can name.
func TestManyResets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, peer := newLink()
		f.out, f.in = 300, 300
		m := f.start(t, Config{})
		peer.start(t, Config{Accepted: true})
		f.answer = answers(later, grant)
		for id := range uint16(300) {
			claim(t, m, id).Close()
		}
		f.answerReset(grant)
		time.Sleep(time.Second)
		seen := make(map[uint16]int)
		for _, r := range f.requested() {
			if len(r.ids) > maxResets {
				t.Errorf("a request names %d streams, want %d at most", len(r.ids), maxResets)
			}
			for _, id := range r.ids {
				seen[id]++
			}
		}
		for id := range uint16(300) {
			if seen[id] != 1 {
				t.Errorf("stream %d was named %d times, want once", id, seen[id])
			}
		}
	})
}

// TestOpenSkipsUsed has the peer use a number that is for this side to open. Open
// must choose another one.
func TestOpenSkipsUsed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.inject(message(2, "mine"), incoming(6))
		synctest.Wait()
		for _, want := range []uint16{4, 8} {
			s, err := m.Open(t.Context())
			if err != nil || s.ID() != want {
				t.Fatalf("opened %v, %v; want stream %d", s, err, want)
			}
		}
		if _, err := m.Open(t.Context()); !errors.Is(err, ErrNoFreeStream) {
			t.Errorf("a third Open: %v, want ErrNoFreeStream", err)
		}
	})
}

// TestSecondEnd has the peer's reset of an open stream be told of twice. There is one
// end, and no next use.
func TestSecondEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		s := claim(t, m, 3)
		f.inject(message(3, "data"), incoming(3), incoming(3))
		if got := readAll(t, s); got != "data" {
			t.Errorf("read %q, want \"data\"", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if s, err := m.Accept(ctx); err == nil {
			t.Errorf("accepted stream %d, which nobody has begun", s.ID())
		}
		s.Close()
		claim(t, m, 3)
	})
}

// TestStop closes a stream at one end while the other end goes on writing: after a
// while its Send fails with EPIPE. Then both ends close it and the number is free.
func TestStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m1, m2, _, _ := pair(t)
		s1, s2 := claim(t, m1, 3), claim(t, m2, 3)
		s2.Close()
		begin := time.Now()
		var err error
		for err == nil {
			_, err = s1.Send([]byte("who reads this?"), true, engine.Message{Stream: 3})
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(begin); err != syscall.EPIPE || took < 50*time.Millisecond || took > time.Second {
			t.Errorf("after %v a Send returned %v; want EPIPE, not at once but within 1 s", took, err)
		}
		if got := readAll(t, s1); got != "" {
			t.Errorf("read %q", got)
		}
		s1.Close()
		for _, m := range []*Mux{m1, m2} {
			s := claim(t, m, 3)
			if m == m1 {
				write(t, s, "new")
			} else if data, err := read(s); data != "new" || err != nil {
				t.Errorf("read %q, %v; want \"new\"", data, err)
			}
		}
	})
}

// TestReuse opens, uses and closes streams again and again, at both ends and in
// different orders. Each exchange gets its own bytes.
func TestReuse(t *testing.T) {
	for _, pieces := range []int{0, 1, 7} {
		bubble(t, func(t *testing.T) {
			f, af := newLink()
			f.out, f.in, af.out, af.in = 8, 8, 8, 8 // 3 are for each side to open
			f.pieces, af.pieces = pieces, pieces
			m, peer := f.start(t, Config{}), af.start(t, Config{Accepted: true})
			go func() {
				for {
					s, err := peer.Accept(t.Context())
					if err != nil {
						return
					}
					go func() {
						defer s.Close()
						question := readAll(t, s)
						write(t, s, "answer to "+question)
					}()
				}
			}()
			done := make(chan bool)
			for g := range 3 {
				go func() {
					defer func() { done <- true }()
					for i := range 100 {
						s, err := m.Open(t.Context())
						if err != nil {
							t.Error(err)
							return
						}
						question := fmt.Sprintf("question %d of %d %s", i, g, strings.Repeat("?", i))
						write(t, s, question)
						if err := s.CloseWrite(); err != nil {
							t.Error(err)
						}
						if got, want := readAll(t, s), "answer to "+question; got != want {
							t.Errorf("read %q, want %q", got, want)
						}
						s.Close()
					}
				}()
			}
			for range 3 {
				<-done
			}
		})
	}
}

// TestResetsOfNobody handles the answer to a request for a stream that nobody has, and
// events of requests for incoming streams, which are never made.
func TestResetsOfNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _ := idleMux()
		m.mu.Lock()
		defer m.mu.Unlock()
		s := m.claim(3)
		for _, r := range []engine.StreamResetEvent{
			{Streams: []uint16{5}},
			{Streams: []uint16{5}, Failed: true},
			{Streams: []uint16{3}, Incoming: true, Failed: true},
			{Streams: []uint16{3}, Incoming: true, Denied: true},
		} {
			m.onReset(r)
			if s.in != inOpen || s.out != outOpen || m.noReset != nil || s.isGone() {
				t.Errorf("%+v: the stream's states are %v and %v, and what resets cannot do %v", r, s.in, s.out, m.noReset)
			}
			if _, ok := m.numbers[5]; ok {
				t.Errorf("%+v: something is kept of stream 5", r)
			}
		}
	})
}

// TestAskedReset has the peer ask for the reset of a stream, which the system carries
// out, and end its own direction. The number is free when the Stream is closed, and the
// stream is not reset again: the peer may use it anew.
func TestAskedReset(t *testing.T) {
	for name, before := range map[string]func(f *fake, s *Stream){
		"Open":   func(*fake, *Stream) {},
		"Wanted": func(f *fake, s *Stream) { s.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f, _ := newLink()
				f.answer = func([]uint16) answer { return unsent } // what was written waits
				m := f.start(t, Config{})
				s := claim(t, m, 2)
				before(f, s)
				synctest.Wait()
				f.inject(event(engine.StreamResetEvent{Streams: []uint16{2}}), incoming(2))
				synctest.Wait()
				if _, err := s.Send([]byte("x"), false, engine.Message{Stream: 2}); err != syscall.EPIPE {
					t.Errorf("Send: %v, want EPIPE", err)
				}
				f.do(func() { f.answer, f.requests = nil, nil })
				s.Close()
				time.Sleep(time.Second)
				if r := f.requested(); len(r) > 0 {
					t.Errorf("the stream is reset again: %v", r)
				}
				if _, err := m.Claim(2); err != nil {
					t.Errorf("the number is not free: %v", err)
				}
			})
		})
	}
}

// TestNextUseBeforeOurReset has a peer that does not wait for our reset of a stream begin
// the number's next use. All of it is kept, and accepted after that reset.
func TestNextUseBeforeOurReset(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, _ := newLink()
		f.answer = answers(busy) // our reset has to wait
		m := f.start(t, Config{Accepted: true})
		s := claim(t, m, 2)
		f.inject(message(2, "first"), incoming(2))
		if data, err := read(s); data != "first" || err != nil {
			t.Fatalf("read %q, %v", data, err)
		}
		s.Close()
		f.inject(message(2, "ne"))
		synctest.Wait()
		f.do(func() { f.answer = nil })
		f.inject(message(2, "xt"), incoming(2))
		next, err := m.Accept(t.Context())
		if err != nil || next.ID() != 2 {
			t.Fatalf("accepted %v, %v; want stream 2", next, err)
		}
		if all := readAll(t, next); all != "next" {
			t.Errorf("read %q, want all of the next use", all)
		}
	})
}
