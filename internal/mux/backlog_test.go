package mux

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// resetsAsked returns how often each stream was named by a request that succeeded.
func resetsAsked(f *fake) map[uint16]int {
	asked := make(map[uint16]int)
	for _, r := range f.requested() {
		for _, id := range r.ids {
			asked[id]++
		}
	}
	return asked
}

// TestAcceptLimit has the peer begin more streams than may wait to be accepted. The
// next one is closed, whatever has come of it. When one is accepted there is room
// for another.
func TestAcceptLimit(t *testing.T) {
	for _, next := range [][]arrival{
		{message(7, "seven")},
		{message(7, "seven"), incoming(7)},
		{incoming(7)},
		{arrival{[]byte("sev"), engine.Message{Stream: 7, More: true}}},
	} {
		for _, serves := range []bool{false, true} {
			bubble(t, func(t *testing.T) {
				f, _ := newLink()
				m := f.start(t, Config{Limits: Limits{AcceptStreams: 3}})
				if serves {
					m.ServeStreams()
				} else {
					acceptNone(t, m)
				}
				f.inject(message(1, "one"), message(3, "three"), incoming(5), message(1, "more"))
				f.inject(next...)
				synctest.Wait()
				if asked := resetsAsked(f); len(asked) != 1 || asked[7] != 1 {
					t.Errorf("resets were asked for of streams %v, want 7", asked)
				}
				if !serves {
					f.inject(message(0, "zero"))
					if got, _ := recv(t, m); got != "zero" {
						t.Errorf("read %q, want \"zero\": stream 0 is not accepted", got)
					}
				}
				if s := acceptNow(t, m); s.ID() != 1 {
					t.Errorf("accepted stream %d, want 1", s.ID())
				}
				f.inject(message(9, "nine"))
				for _, want := range []uint16{3, 5, 9} {
					if s := acceptNow(t, m); s.ID() != want {
						t.Errorf("accepted stream %d, want %d", s.ID(), want)
					}
				}
				if next[len(next)-1].msg.Event == nil {
					f.inject(incoming(7)) // the peer closes it, too
				}
				f.inject(message(7, "next use"))
				if got, err := read(acceptNow(t, m)); got != "next use" || err != nil {
					t.Errorf("read %q, %v; want \"next use\"", got, err)
				}
			})
		}
	}
}

// TestAcceptLimitOfTheFirstAccept has more streams wait than may when the first Accept
// comes. Before that there was no limit.
func TestAcceptLimitOfTheFirstAccept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, _ := newLink()
		m := f.start(t, Config{Limits: Limits{AcceptStreams: 2}})
		for id := range uint16(6) {
			f.inject(message(id, "x"))
		}
		synctest.Wait()
		if got, msg := recv(t, m); got != "x" || msg.Stream != 0 {
			t.Errorf("read %q of stream %d", got, msg.Stream)
		}
		if n := len(f.requested()); n != 0 {
			t.Errorf("%d requests before the first Accept", n)
		}
		for _, want := range []uint16{1, 2} {
			if s := acceptNow(t, m); s.ID() != want {
				t.Errorf("accepted stream %d, want %d", s.ID(), want)
			}
		}
		acceptNone(t, m)
		if asked := resetsAsked(f); len(asked) != 3 || asked[3] == 0 || asked[4] == 0 || asked[5] == 0 {
			t.Errorf("resets were asked for of streams %v, want 3, 4 and 5", asked)
		}
	})
}

// TestAcceptLimitWithoutReset has a peer that cannot reset streams begin too many: what
// comes on them is dropped.
func TestAcceptLimitWithoutReset(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, _ := newLink()
		f.reconfig = false
		m := f.start(t, Config{Limits: Limits{AcceptStreams: 1}})
		acceptNone(t, m)
		f.inject(message(1, "one"), message(3, "three"))
		synctest.Wait()
		if s := acceptNow(t, m); s.ID() != 1 {
			t.Errorf("accepted stream %d, want 1", s.ID())
		}
		f.inject(message(3, "more"))
		acceptNone(t, m)
		wantSpent(t, m, 3, errNoReconfig)
	})
}

// TestUnacceptedHoldUpNobody has one stream that nobody accepts send without end, at
// first within what may be kept, then beyond it. A stream that is read goes on, and
// another one can be accepted.
func TestUnacceptedHoldUpNobody(t *testing.T) {
	for _, serves := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			m, _, f, _ := pair(t)
			if serves {
				m.ServeStreams()
			}
			f.inject(message(1, "one"))
			s := acceptNow(t, m)
			const size = 60 << 10
			flood := func(n int) {
				for range n {
					f.inject(message(3, strings.Repeat("x", size)))
				}
			}
			f.inject(message(5, "five"))
			begin := time.Now()
			flood(2 * queueSize / size)
			f.inject(message(1, "two"))
			if got, err := read(s); got != "one" && got != "onetwo" || err != nil {
				t.Errorf("read %q, %v", got, err)
			}
			synctest.Wait()
			if took := time.Since(begin); took != 0 {
				t.Errorf("the stream was held up for %v", took)
			}
			flood(2 * DefaultLimits().StreamMemory / size)
			f.inject(message(1, "three"))
			for all := ""; !strings.HasSuffix(all, "three"); {
				got, err := read(s)
				if all += got; err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(begin); took > 2*backlogPatience {
				t.Errorf("the stream was held up for %v", took)
			}
			if resetsAsked(f)[3] == 0 {
				t.Error("no reset was asked for of the stream that sends so much")
			}
			if s := acceptNow(t, m); s.ID() != 5 {
				t.Errorf("accepted stream %d, want 5", s.ID())
			}
			acceptNone(t, m)
		})
	}
}

// TestNextUseHoldsUpNobody has the peer begin the next use of a number, and send much,
// while the Stream of the use before is open. Nobody can accept it.
func TestNextUseHoldsUpNobody(t *testing.T) {
	for _, tt := range []struct {
		size    int
		refused bool
	}{{2 * queueSize, false}, {2 * DefaultLimits().StreamMemory, true}} {
		for _, ends := range []bool{false, true} {
			bubble(t, func(t *testing.T) {
				m, _, f, _ := pair(t)
				f.inject(message(1, "one"), incoming(1))
				s := acceptNow(t, m)
				if got := readAll(t, s); got != "one" {
					t.Errorf("read %q, want \"one\"", got)
				}
				const size = 60 << 10
				for n := 0; n < tt.size; n += size {
					f.inject(message(1, strings.Repeat("x", size)))
				}
				if ends {
					f.inject(incoming(1))
				}
				f.inject(message(3, "three"))
				var next *Stream
				for begin := time.Now(); next == nil; {
					if next = m.TryAccept(); next == nil && time.Since(begin) > 2*backlogPatience {
						t.Fatal("stream 3 is held up")
					}
					time.Sleep(10 * time.Millisecond)
				}
				if next.ID() != 3 {
					t.Fatalf("accepted stream %d, want 3", next.ID())
				}
				m.mu.Lock()
				if n := m.backlog.bytes; (n == 0) != tt.refused {
					t.Errorf("%d bytes are kept", n)
				}
				m.mu.Unlock()
				write(t, s, "goes on")
				s.Close()
				synctest.Wait()
				if tt.refused {
					acceptNone(t, m)
					if n := resetsAsked(f)[1]; n != 2 {
						t.Errorf("the reset of stream 1 was asked for %d times, want once for each use", n)
					}
					if !ends {
						f.inject(message(1, "x"), incoming(1))
					}
					f.inject(message(1, "third use"))
					if got, err := read(acceptNow(t, m)); got != "third use" || err != nil {
						t.Errorf("read %d bytes, %v; want \"third use\"", len(got), err)
					}
					return
				}
				got := acceptNow(t, m)
				if !ends {
					f.inject(incoming(1))
				}
				if n, err := io.Copy(io.Discard, streamConn{got}); int(n) < tt.size || err != nil {
					t.Errorf("read %d bytes, %v; want %d", n, err, tt.size)
				}
			})
		}
	}
}

// TestEndBehindAFullBacklog has the association end while the receiver waits for a
// stream to be accepted.
func TestEndBehindAFullBacklog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.inject(message(1, "one"))
		s := acceptNow(t, m)
		if got, err := read(s); got != "one" || err != nil {
			t.Fatalf("read %q, %v", got, err)
		}
		const size = 60 << 10
		for range DefaultLimits().StreamMemory/size + 3 {
			f.inject(message(3, strings.Repeat("x", size)))
		}
		lost := errors.New("lost")
		done := make(chan error)
		go func() {
			_, err := read(s)
			done <- err
		}()
		synctest.Wait()
		begin := time.Now()
		f.end(lost)
		if err := <-done; err != lost {
			t.Errorf("Recv: %v, want %v", err, lost)
		}
		if took := time.Since(begin); took > backlogPatience/2 {
			t.Errorf("the end was noticed after %v", took)
		}
	})
}
