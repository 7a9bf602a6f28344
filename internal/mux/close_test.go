package mux

import (
	"errors"
	"maps"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// isCollected reports whether an object is garbage, and waits for a while until it
// is.
func isCollected[T any](p weak.Pointer[T]) bool {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		runtime.GC()
		if p.Value() == nil {
			return true
		}
	}
	return false
}

// TestClosedStreamIsGarbage closes streams whose deadlines are far away. Their timers
// must not keep them in memory, nor must deadlines that are set at the time of
// Close.
func TestClosedStreamIsGarbage(t *testing.T) {
	m, _, f, _ := pair(t)
	for name, set := range map[string]func(*Stream, time.Time){
		"read":  func(s *Stream, at time.Time) { s.SetReadDeadline(at) },
		"write": func(s *Stream, at time.Time) { s.SetWriteDeadline(at) },
		"late read": func(s *Stream, at time.Time) {
			s.Close()
			m.mu.Lock()
			defer m.mu.Unlock()
			s.reader.deadline.set(m, at) // as SetReadDeadline does that began before
		},
		"late write": func(s *Stream, at time.Time) {
			s.Close()
			m.mu.Lock()
			defer m.mu.Unlock()
			m.setWriteDeadline(&s.sender, at)
		},
	} {
		s := claim(t, m, 3)
		p := weak.Make(s)
		set(s, time.Now().Add(time.Hour))
		s.Close()
		s = nil
		f.inject(incoming(3)) // so that the number is free
		if !isCollected(p) {
			t.Errorf("%s: the closed Stream stays in memory", name)
		}
	}
}

// TestClosedMuxIsGarbage closes a Mux with deadlines far away, its own and those of a
// Stream that is not closed.
func TestClosedMuxIsGarbage(t *testing.T) {
	f, _ := newLink()
	far := time.Now().Add(time.Hour)
	m := Start(f, Config{ReadDeadline: far, WriteDeadline: far}, func(*Mux) {})
	p := weak.Make(m)
	s := claim(t, m, 3)
	s.SetReadDeadline(far)
	s.SetWriteDeadline(far)
	m.Close(f.Close)
	m.SetReadDeadline(far)
	s.SetReadDeadline(far)
	m, s = nil, nil
	if !isCollected(p) {
		t.Error("the closed Mux stays in memory")
	}
}

// TestClosedIsNoTimeout closes a Mux and a Stream whose deadlines have passed. Calls
// return net.ErrClosed, and not the deadline's error: a caller that tries again
// after that would never end.
func TestClosedIsNoTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		s, other := claim(t, m, 3), claim(t, m, 5)
		past := time.Now().Add(-time.Second)
		m.SetReadDeadline(past)
		m.SetWriteDeadline(past)
		for _, s := range []*Stream{s, other} {
			s.SetReadDeadline(past)
			s.SetWriteDeadline(past)
		}
		p := make([]byte, 10)
		calls := map[string]func() error{
			"Recv of the Conn": func() error { _, _, err := m.Recv(p, Filled); return err },
			"Send of the Conn": func() error { _, err := m.Send(p, false, engine.Message{}, false); return err },
			"Recv":             func() error { _, _, err := s.Recv(p, Filled); return err },
			"Send":             func() error { _, err := s.Send(p, false, engine.Message{Stream: 3}); return err },
			"Recv, not closed": func() error { _, _, err := other.Recv(p, Filled); return err },
		}
		setters := map[string]func() error{
			"SetReadDeadline":  func() error { return other.SetReadDeadline(past) },
			"SetWriteDeadline": func() error { return other.SetWriteDeadline(past) },
			"CloseRead":        func() error { return other.CloseRead() },
			"CloseWrite":       func() error { return other.CloseWrite() },
		}
		for name, call := range calls {
			if err := call(); err != os.ErrDeadlineExceeded {
				t.Errorf("%s: %v, want the deadline's error", name, err)
			}
		}
		s.Close()
		m.Close(f.Close)
		maps.Copy(calls, setters)
		for name, call := range calls {
			if err := call(); err != net.ErrClosed {
				t.Errorf("%s after Close: %v, want net.ErrClosed", name, err)
			}
		}
	})
}

// TestNoStreamAfterClose closes the Mux of an association that has failed: whatever
// makes a Stream returns net.ErrClosed, and not the failure.
func TestNoStreamAfterClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.inject(message(4, "unclaimed"))
		f.end(syscall.ECONNRESET)
		synctest.Wait()
		if _, err := m.Open(t.Context()); err != syscall.ECONNRESET {
			t.Fatalf("Open: %v, want the failure", err)
		}
		m.Close(f.Close)
		for name, call := range map[string]func() (*Stream, error){
			"Claim":          func() (*Stream, error) { return m.Claim(3) },
			"Claim of begun": func() (*Stream, error) { return m.Claim(4) },
			"Open":           func() (*Stream, error) { return m.Open(t.Context()) },
			"TryOpen":        m.TryOpen,
			"Accept":         func() (*Stream, error) { return m.Accept(t.Context()) },
		} {
			if s, err := call(); s != nil || err != net.ErrClosed {
				t.Errorf("%s after Close: %v, %v; want net.ErrClosed", name, s, err)
			}
		}
	})
}

// TestNoAcceptAfterClose has a stream wait for Accept when the Mux is closed.
func TestNoAcceptAfterClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.inject(message(1, "too late"))
		synctest.Wait()
		m.Close(f.Close)
		if s, err := m.Accept(t.Context()); err != net.ErrClosed {
			t.Errorf("accepted %v, %v; want net.ErrClosed", s, err)
		}
	})
}

// TestCloseBesideAStuckHandler closes a Mux while OnEvent does not return, and while
// the engine's Recv does not. All waiting calls return.
func TestCloseBesideAStuckHandler(t *testing.T) {
	for _, name := range []string{"handler", "engine"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f, _ := newLink()
				f.out, f.in = 4, 4 // 2 is for this side to open
				f.answer = answers(later)
				handling, handled := make(chan bool), make(chan bool)
				m := f.start(t, Config{OnEvent: func(engine.Event) {
					handling <- true
					<-handled
				}})
				defer close(handled)
				s := claim(t, m, 3)
				claim(t, m, 2).Close()
				errs := make(chan error)
				calls := 0
				call := func(f func() error) {
					calls++
					go func() { errs <- f() }()
				}
				call(func() error { _, _, err := m.Recv(make([]byte, 1), Whole); return err })
				for range 2 {
					call(func() error { _, err := m.Accept(t.Context()); return err })
				}
				call(func() error { _, err := m.Open(t.Context()); return err }) // waits for 2
				call(func() error { _, err := read(s); return err })
				if name == "handler" {
					f.inject(event(engine.SenderDryEvent{}))
					<-handling
				} else {
					f.do(func() { f.stuck = true })
				}
				synctest.Wait()
				begin := time.Now()
				if err := m.Close(f.Close); err != nil {
					t.Error(err)
				}
				for range calls {
					if err := <-errs; err != net.ErrClosed {
						t.Errorf("a waiting call returned %v, want net.ErrClosed", err)
					}
				}
				if took := time.Since(begin); took != 0 {
					t.Errorf("the calls returned after %v", took)
				}
			})
		})
	}
}

// TestUnreadRest reads a part of a message. The rest is unread, on a Stream as on the
// Conn, until it is read or the Stream is closed.
func TestUnreadRest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		s := claim(t, m, 3)
		recv := func(from string, n int) {
			t.Helper()
			var err error
			if from == "Stream" {
				_, _, err = s.Recv(make([]byte, n), Filled)
			} else {
				_, _, err = m.Recv(make([]byte, n), Filled)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		unread := func(want bool, when string) {
			t.Helper()
			synctest.Wait()
			if got := m.Unread(); got != want {
				t.Errorf("something is unread %s: %v, want %v", when, got, want)
			}
		}
		for from, id := range map[string]uint16{"Conn": 0, "Stream": 3} {
			unread(false, "at first")
			f.inject(message(id, "partly"))
			unread(true, from+": at arrival")
			recv(from, 4)
			unread(true, from+": after a part was read")
			recv(from, 100)
			unread(false, from+": after all was read")
		}
		f.inject(message(3, "partly"))
		recv("Stream", 1)
		s.Close()
		unread(false, "after Close of the Stream")
	})
}

// TestReadOfNothing reads with an empty slice, after a deadline and before it.
func TestReadOfNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		s := claim(t, m, 3)
		for _, at := range []time.Time{{}, time.Now().Add(-time.Second)} {
			m.SetReadDeadline(at)
			s.SetReadDeadline(at)
			if n, _, err := m.Recv(nil, Filled); n != 0 || err != nil {
				t.Errorf("Recv of the Conn with deadline %v: %d, %v; want 0, nil", at, n, err)
			}
			if n, _, err := s.Recv(nil, Filled); n != 0 || err != nil {
				t.Errorf("Recv with deadline %v: %d, %v; want 0, nil", at, n, err)
			}
		}
		s.Close()
		m.Close(f.Close)
		if _, _, err := m.Recv(nil, Filled); err != net.ErrClosed {
			t.Errorf("Recv of the Conn after Close: %v, want net.ErrClosed", err)
		}
		if _, _, err := s.Recv(nil, Filled); err != net.ErrClosed {
			t.Errorf("Recv after Close: %v, want net.ErrClosed", err)
		}
	})
}

// TestEndOfAddedStream ends a stream that was added and is not known of yet. The engine is
// asked, without the lock held, and the peer is told of the end of what was sent.
func TestEndOfAddedStream(t *testing.T) {
	for name, tt := range map[string]struct {
		end    func(*Stream) error
		resets int
	}{
		"CloseWrite": {(*Stream).CloseWrite, 1},
		"CloseRead":  {(*Stream).CloseRead, 0},
		"Close":      {(*Stream).Close, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, _, f, _ := pair(t)
				s := claim(t, m, 3)
				f.do(func() { f.isOld = true })
				f.asking = func() {
					if !m.mu.TryLock() {
						t.Error("the engine is asked with Mux.mu held")
						return
					}
					m.mu.Unlock()
				}
				if err := tt.end(s); err != nil {
					t.Fatal(err)
				}
				if out, _ := f.Streams(false); out == 2 {
					t.Error("the engine was not asked")
				}
				if asked := resetsAsked(f); asked[3] != tt.resets {
					t.Errorf("asked for resets of %v, want %d of stream 3", asked, tt.resets)
				}
			})
		})
	}
}

// TestOpenAsksForMore opens a stream where streams were added, and that was not received.
func TestOpenAsksForMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.do(func() { f.isOld = true })
		if _, err := m.TryOpen(); !errors.Is(err, ErrNoFreeStream) {
			t.Errorf("TryOpen: %v, want ErrNoFreeStream", err)
		}
		if s, err := m.Open(t.Context()); err != nil || s.ID() != 2 {
			t.Errorf("Open: %v, %v; want stream 2", s, err)
		}
	})
}
