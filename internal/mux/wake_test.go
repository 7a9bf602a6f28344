package mux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// The tests in this file are about calls that wait, and what wakes them. Most
// run in a bubble of testing/synctest: a call that nobody wakes fails the test at
// once, and one that a timer wakes takes time by the bubble's clock.

// bubble runs a test in a bubble. A call that waits without end fails it.
func bubble(t *testing.T, test func(*testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		watchdog := time.AfterFunc(time.Hour, func() { panic(t.Name() + " has waited for an hour") })
		t.Cleanup(func() { watchdog.Stop() })
		test(t)
	})
}

// read reads from a stream what there is, or waits.
func read(s *Stream) (string, error) {
	p := make([]byte, 1000)
	n, _, err := s.Recv(p, Filled)
	return string(p[:n]), err
}

// readAll reads from a stream until its end.
func readAll(t testing.TB, s *Stream) string {
	t.Helper()
	var all strings.Builder
	for {
		data, err := read(s)
		all.WriteString(data)
		if err == io.EOF {
			return all.String()
		}
		if err != nil {
			t.Errorf("read of stream %d after %d bytes: %v", s.ID(), all.Len(), err)
			return all.String()
		}
	}
}

// claim claims a stream of a Mux.
func claim(t testing.TB, m *Mux, id uint16) *Stream {
	t.Helper()
	s, err := m.Claim(id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// write writes on a stream.
func write(t testing.TB, s *Stream, data string) {
	t.Helper()
	if n, err := s.Send([]byte(data), false, engine.Message{Stream: s.ID()}); n != len(data) || err != nil {
		t.Fatalf("write of %d bytes on stream %d: %d, %v", len(data), s.ID(), n, err)
	}
}

// gather makes a context for n goroutines that all are about to wait for it when
// meet returns, and go on to wait when the test calls the function that meet
// returns.
func gather(t testing.TB, n int) (ctx context.Context, meet func() (goOn func())) {
	arrived, gate := make(chan struct{}), make(chan struct{})
	hook := func() {
		select {
		case <-gate:
		case arrived <- struct{}{}:
			<-gate
		}
	}
	meet = func() func() {
		for range n {
			<-arrived
		}
		return func() { close(gate) }
	}
	return hookedContext{t.Context(), hook}, meet
}

// TestAcceptersWakeEachOther has two streams begin while two Accepts have found
// none and do not wait yet. There is one signal for both streams.
func TestAcceptersWakeEachOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		ctx, meet := gather(t, 2)
		accepted := make(chan uint16)
		for range 2 {
			go func() {
				if s, err := m.Accept(ctx); err != nil {
					t.Error(err)
				} else {
					accepted <- s.ID()
				}
			}()
		}
		goOn := meet()
		f.inject(message(1, "a"), message(3, "b"))
		synctest.Wait()
		goOn()
		if sum := <-accepted + <-accepted; sum != 4 {
			t.Errorf("the sum of the accepted streams is %d, want 1 + 3", sum)
		}
	})
}

// TestOpenersWakeEachOther has two numbers become free while two Opens have
// found none and do not wait yet. There is one signal for both numbers.
func TestOpenersWakeEachOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, _ := newLink()
		f.out, f.in = 6, 6 // 2 and 4 are for this side to open
		m := f.start(t, Config{})
		for range 2 {
			s, err := m.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
		}
		ctx, meet := gather(t, 2)
		opened := make(chan uint16)
		for range 2 {
			go func() {
				if s, err := m.Open(ctx); err != nil {
					t.Error(err)
				} else {
					opened <- s.ID()
				}
			}()
		}
		goOn := meet()
		begin := time.Now()
		f.inject(incoming(2, 4))
		synctest.Wait()
		goOn()
		if sum := <-opened + <-opened; sum != 6 {
			t.Errorf("the sum of the opened streams is %d, want 2 + 4", sum)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("took %v: the second number was found by looking again", took)
		}
	})
}

// TestClaimersWaitForTheirNumber has two Claims wait for numbers that are being
// closed. Each is woken by its own.
func TestClaimersWaitForTheirNumber(t *testing.T) {
	for _, order := range [][]uint16{{3, 5}, {5, 3}} {
		bubble(t, func(t *testing.T) {
			m, _, f, _ := pair(t)
			done := make(chan uint16)
			for _, id := range []uint16{3, 5} {
				claim(t, m, id).Close()
				go func() { done <- claim(t, m, id).ID() }()
			}
			synctest.Wait()
			begin := time.Now()
			for _, id := range order {
				f.inject(incoming(id))
				if got := <-done; got != id {
					t.Errorf("claimed stream %d, want %d", got, id)
				}
			}
			if took := time.Since(begin); took != 0 {
				t.Errorf("took %v: the number was found by looking again", took)
			}
		})
	}
}

// TestReadMakesFree has a number be for this side to open, and hold a message for
// the Conn. It is free when that is read.
func TestReadMakesFree(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, _ := newLink()
		f.out, f.in = 6, 6 // 2 and 4 are for this side to open
		m := f.start(t, Config{})
		claim(t, m, 2).Close()
		f.inject(message(4, "four"), incoming(4))
		synctest.Wait()
		opened := make(chan *Stream)
		go func() {
			s, err := m.Open(t.Context())
			if err != nil {
				t.Error(err)
			}
			opened <- s
		}()
		synctest.Wait()
		begin := time.Now()
		p := make([]byte, 10)
		if n, _, err := m.Recv(p, Whole); string(p[:n]) != "four" || err != nil {
			t.Fatalf("read %q, %v", p[:n], err)
		}
		m.TryRecv(p, Piece) // which drops the end
		if s := <-opened; s == nil || s.ID() != 4 {
			t.Errorf("opened %+v, want stream 4", s)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("took %v: the number was found by looking again", took)
		}
	})
}

// TestClaimMakesRoom has the queue of the unclaimed be full, with data of one
// stream. When that is claimed, there is room for what comes on others.
func TestClaimMakesRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		big := strings.Repeat("x", 32<<10)
		for range queueSize / len(big) {
			f.inject(message(3, big))
		}
		f.inject(message(5, "five"))
		synctest.Wait()
		m.mu.Lock()
		isFull, isUsed := m.unclaimed.isFull(), m.isUsed(5)
		m.mu.Unlock()
		if !isFull || isUsed {
			t.Fatalf("the queue is full: %v; stream 5 has arrived: %v", isFull, isUsed)
		}
		claim(t, m, 3)
		m.SetReadDeadline(time.Now().Add(time.Second))
		b := make([]byte, 10)
		if n, msg, err := m.Recv(b, Piece); string(b[:n]) != "five" || msg.Stream != 5 || err != nil {
			t.Fatalf("received %q of stream %d, %v; want stream 5's", b[:n], msg.Stream, err)
		}
	})
}

// TestClaimEndsAMessage has a stream be claimed while a Recv of the Conn waits for
// the rest of a message of it. The rest goes to the Stream, so Recv must return,
// though nothing else arrives.
func TestClaimEndsAMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		f.inject(arrival{[]byte("three-"), engine.Message{Stream: 3, More: true}})
		done := make(chan struct{})
		go func() {
			defer close(done)
			p := make([]byte, 100)
			n, msg, err := m.Recv(p, Whole)
			if string(p[:n]) != "three-" || msg.Stream != 3 || !msg.More || err != nil {
				t.Errorf("read %q, %+v, %v; want \"three-\" with More", p[:n], msg, err)
			}
		}()
		synctest.Wait()
		claim(t, m, 3)
		<-done
	})
}

// TestUnreadBehindAnEvent has a message lie behind an event that the handler is
// busy with. It has arrived, and is in no queue yet.
func TestUnreadBehindAnEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, _ := newLink()
		handling, handled := make(chan struct{}), make(chan struct{})
		m := f.start(t, Config{OnEvent: func(engine.Event) {
			close(handling)
			<-handled
		}})
		// After one message several are received at once.
		f.inject(message(0, "first"))
		p := make([]byte, 100)
		if _, _, err := m.Recv(p, Whole); err != nil {
			t.Fatal(err)
		}
		if m.Unread() {
			t.Fatal("something is unread before it was sent")
		}
		f.inject(event(engine.SenderDryEvent{}), message(0, "second"))
		<-handling
		if !m.Unread() {
			t.Error("nothing counts as unread; want the message behind the event")
		}
		close(handled)
		if _, _, err := m.Recv(p, Whole); err != nil {
			t.Fatal(err)
		}
		if m.Unread() {
			t.Error("something counts as unread when all has been read")
		}
	})
}

// TestCloseEndsTheWaitForRoom closes the Mux while its goroutine waits for room
// in a queue. It must not wait for the association's end then.
func TestCloseEndsTheWaitForRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		for range 10 {
			f.inject(message(3, strings.Repeat("x", 60<<10)))
		}
		synctest.Wait()
		m.mu.Lock()
		isFull := m.unclaimed.isFull()
		m.mu.Unlock()
		if !isFull {
			t.Fatal("the queue is not full")
		}
		before := f.endWaits()
		m.Close(f.Close)
		synctest.Wait()
		time.Sleep(time.Second)
		if n := f.endWaits() - before; n != 0 {
			t.Errorf("the goroutine waited for the end %d times after Close", n)
		}
	})
}

// TestCloseWakesAll closes the Mux while calls of all kinds wait.
func TestCloseWakesAll(t *testing.T) {
	for _, abort := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			m, _, f, af := pair(t)
			af.do(func() { af.stuck = true })
			s3, s5 := claim(t, m, 3), claim(t, m, 5)
			errs := make(chan error)
			calls := 0
			call := func(f func() error) {
				calls++
				go func() { errs <- f() }()
			}
			big := make([]byte, 4<<20)
			call(func() error { _, _, err := m.Recv(make([]byte, 1), Whole); return err })
			call(func() error { _, err := m.Send(big, false, engine.Message{}, false); return err })
			call(func() error { _, err := m.Accept(t.Context()); return err })
			for _, s := range []*Stream{s3, s5} {
				call(func() error { _, err := read(s); return err })
				call(func() error { _, err := s.Send(big, false, engine.Message{Stream: s.ID()}); return err })
			}
			synctest.Wait()
			end := f.Close
			if abort {
				end = f.Abort
			}
			begin := time.Now()
			if err := m.Close(end); err != nil {
				t.Error(err)
			}
			for range calls {
				if err := <-errs; !errors.Is(err, net.ErrClosed) {
					t.Errorf("a waiting call returned %v, want net.ErrClosed", err)
				}
			}
			if took := time.Since(begin); took != 0 {
				t.Errorf("the calls returned after %v", took)
			}
		})
	}
}

// TestCloseThatWaits has the association's Close wait, as with a linger time. Calls that
// wait for the peer do not wait for that, and neither does a receiver that waits
// for room.
func TestCloseThatWaits(t *testing.T) {
	for _, full := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			m, _, f, _ := pair(t)
			f.answer = answers(later)
			s := claim(t, m, 5)
			claim(t, m, 3).Close()
			if full {
				for range 2 * queueSize / (32 << 10) {
					f.inject(message(7, strings.Repeat("x", 32<<10)))
				}
			}
			errs := make(chan error, 4)
			calls := []func() error{
				func() error { _, err := m.Claim(3); return err },
				func() error { _, err := read(s); return err },
			}
			if !full {
				calls = append(calls,
					func() error { _, _, err := m.Recv(make([]byte, 1), Whole); return err },
					func() error { _, err := m.Accept(t.Context()); return err })
			}
			for _, call := range calls {
				go func() { errs <- call() }()
			}
			synctest.Wait()
			goOn, closed := make(chan struct{}), make(chan error)
			go func() {
				closed <- m.Close(func() error {
					<-goOn
					return f.Close()
				})
			}()
			for range calls {
				if err := <-errs; err != net.ErrClosed {
					t.Errorf("a waiting call returned %v, want net.ErrClosed", err)
				}
			}
			close(goOn)
			if err := <-closed; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestEndWhileOnEventRuns has the association end while OnEvent does not return. All
// waiting calls learn of it, after what has arrived. The other events come when
// OnEvent returns, in their order.
func TestEndWhileOnEventRuns(t *testing.T) {
	for _, before := range []int{0, 5} { // messages, after which several are received at once
		bubble(t, func(t *testing.T) {
			f, peer := newLink()
			f.out, f.in, f.room = 8, 8, 1000 // 2, 4 and 6 are for this side to open
			f.answer = answers(later)
			calls, goOn := make(chan engine.Event, 10), make(chan struct{})
			m := f.start(t, Config{OnEvent: func(e engine.Event) {
				calls <- e
				<-goOn
			}})
			s3, s5 := claim(t, m, 3), claim(t, m, 5)
			for range before {
				f.inject(message(3, "x"))
				synctest.Wait()
			}
			for range 3 {
				s, err := m.Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				s.Close()
			}
			peer.hold()
			lost := errors.New("lost")
			errs := make(map[string]chan error)
			call := func(name string, f func() error) {
				err := make(chan error, 1)
				errs[name] = err
				go func() { err <- f() }()
			}
			call("Recv", func() error { _, _, err := m.Recv(make([]byte, 1), Whole); return err })
			call("Accept", func() error { _, err := m.Accept(t.Context()); return err })
			call("Open", func() error { _, err := m.Open(t.Context()); return err })
			call("Claim", func() error { _, err := m.Claim(2); return err })
			call("Recv of a Stream", func() error { _, err := read(s5); return err })
			for _, s := range []*Stream{s3, s5} {
				call(fmt.Sprint("Send of stream ", s.ID()), func() error {
					_, err := s.Send(make([]byte, 100_000), false, engine.Message{Stream: s.ID()})
					return err
				})
			}
			synctest.Wait()
			f.inject(event(engine.SenderDryEvent{}), message(3, "last"), event(engine.ShutdownEvent{}), message(3, " words"), event(engine.SenderDryEvent{}))
			synctest.Wait()
			begin := time.Now()
			f.end(lost)
			for name, err := range errs {
				if err := <-err; err != lost && !errors.Is(err, syscall.EPIPE) {
					t.Errorf("%s: %v, want %v", name, err, lost)
				}
			}
			if took := time.Since(begin); took > time.Second {
				t.Errorf("the calls returned after %v", took)
			}
			all := ""
			for {
				got, err := read(s3)
				if all += got; err != nil {
					if err != lost {
						t.Errorf("read of the stream: %v, want %v", err, lost)
					}
					break
				}
			}
			if want := strings.Repeat("x", before) + "last words"; all != want {
				t.Errorf("read %q, want %q", all, want)
			}
			if n := len(calls); n != 1 {
				t.Errorf("%d calls of OnEvent while it runs, want 1", n)
			}
			close(goOn)
			for i, want := range []engine.Event{engine.SenderDryEvent{}, engine.ShutdownEvent{}, engine.SenderDryEvent{}} {
				if got := <-calls; got != want {
					t.Errorf("event %d is %T, want %T", i, got, want)
				}
			}
			if m.Unread() {
				t.Error("something counts as unread when all has been read")
			}
		})
	}
}

// TestEventsOneByOne has events come between messages. Each is told, after the messages
// before it have arrived.
func TestEventsOneByOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, _ := newLink()
		unread := make(chan bool, 10)
		var m *Mux
		m = f.start(t, Config{OnEvent: func(engine.Event) { unread <- m.Unread() }})
		for range 5 {
			f.inject(message(0, "x"), event(engine.SenderDryEvent{}), event(engine.ShutdownEvent{}))
			synctest.Wait()
			recv(t, m)
		}
		if n := len(unread); n != 10 {
			t.Fatalf("%d events, want 10", n)
		}
		for range 10 {
			if !<-unread {
				t.Error("an event came before the message before it")
			}
		}
	})
}

// TestCloseWhileOnEventRuns closes the Mux while OnEvent does not return. Nothing waits
// for the association's end any more, and no more events come.
func TestCloseWhileOnEventRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, _ := newLink()
		calls, goOn := make(chan engine.Event, 10), make(chan struct{})
		m := f.start(t, Config{OnEvent: func(e engine.Event) {
			calls <- e
			<-goOn
		}})
		for range 5 { // after which several are received at once
			f.inject(message(0, "x"))
			synctest.Wait()
		}
		f.inject(event(engine.SenderDryEvent{}), event(engine.ShutdownEvent{}))
		<-calls
		m.Close(f.Close)
		before := f.endWaits()
		time.Sleep(time.Second)
		if n := f.endWaits() - before; n != 0 {
			t.Errorf("%d waits for the end after Close", n)
		}
		close(goOn)
		synctest.Wait()
		if n := len(calls); n != 0 {
			t.Errorf("%d calls of OnEvent after Close", n)
		}
	})
}

// TestEndWakesAll has the association end while calls of all kinds wait.
func TestEndWakesAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, af := pair(t)
		af.do(func() { af.stuck = true })
		s := claim(t, m, 3)
		lost := errors.New("lost")
		errs := make(chan error)
		calls := 0
		call := func(f func() error) {
			calls++
			go func() { errs <- f() }()
		}
		call(func() error { _, _, err := m.Recv(make([]byte, 1), Whole); return err })
		call(func() error { _, err := m.Accept(t.Context()); return err })
		call(func() error { _, err := m.Accept(t.Context()); return err })
		call(func() error { _, err := read(s); return err })
		synctest.Wait()
		f.end(lost)
		for range calls {
			if err := <-errs; err != lost {
				t.Errorf("a waiting call returned %v, want %v", err, lost)
			}
		}
		synctest.Wait()
		if !m.HasEnded() {
			t.Error("HasEnded: false")
		}
	})
}

// readWhatIsThere reads from a stream without waiting.
func readWhatIsThere(s *Stream) {
	p := make([]byte, 1<<20)
	for {
		if _, _, err := tryRecv(s, p, Filled); err != nil {
			return
		}
	}
}

// TestRoomWhileResetsAreAsked has a reader empty the full queue, for which the receiver is
// about to wait, while the receiver asks for resets.
func TestRoomWhileResetsAreAsked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, f := newLink()
		m := f.start(t, Config{Accepted: true})
		first, second, full := claim(t, m, 1), claim(t, m, 3), claim(t, m, 5)
		f.answer = answers(later)
		first.Close()  // is asked for
		second.Close() // waits for the answer
		synctest.Wait()
		f.do(func() {
			f.answer = func([]uint16) answer {
				readWhatIsThere(full)
				return later
			}
		})
		data := string(make([]byte, 1024))
		var all []arrival
		for i := range 400 { // more than the queue takes
			if i == 204 {
				all = append(all, event(engine.StreamResetEvent{Streams: []uint16{1}}))
			}
			all = append(all, message(5, data))
		}
		f.do(func() { f.asked, f.arrived = nil, append(f.arrived, all...) })
		synctest.Wait()
		readWhatIsThere(full)
		synctest.Wait()
		f.l.mu.Lock()
		defer f.l.mu.Unlock()
		if left := len(f.arrived); left > 0 {
			t.Errorf("%d messages are not received, though there is room", left)
		}
	})
}
