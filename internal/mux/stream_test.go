package mux

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/net/nettest"
)

// A streamConn is a Stream as a net.Conn.
type streamConn struct{ *Stream }

func (c streamConn) Read(p []byte) (int, error) {
	n, _, err := c.Recv(p, Filled)
	return n, err
}

func (c streamConn) Write(p []byte) (int, error) {
	return c.Send(p, false, engine.Message{Stream: c.ID()})
}

func (c streamConn) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (c streamConn) RemoteAddr() net.Addr { return &net.TCPAddr{} }

func (c streamConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// drain reads all that a stream has.
func drain(s *Stream) { io.Copy(io.Discard, streamConn{s}) }

// TestNettest has a Stream be a net.Conn.
func TestNettest(t *testing.T) {
	for _, pieces := range []int{0, 100} {
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			f1, f2 := newLink()
			f1.pieces, f2.pieces = pieces, pieces
			m1, m2 := f1.start(t, Config{}), f2.start(t, Config{Accepted: true})
			s1, s2 := claim(t, m1, 3), claim(t, m2, 3)
			return streamConn{s1}, streamConn{s2}, func() {
				m1.Close(f1.Close)
				m2.Close(f2.Close)
			}, nil
		})
	}
}

// TestTransfer sends on all streams at once, in both directions and in pieces of
// all sizes. Each stream carries its own bytes, in order.
func TestTransfer(t *testing.T) {
	for _, pieces := range []int{0, 1000} {
		f1, f2 := newLink()
		f1.pieces, f2.pieces = pieces, pieces
		f1.room, f2.room = 100_000, 100_000 // less than what is sent
		m1, m2 := f1.start(t, Config{}), f2.start(t, Config{Accepted: true})
		var all sync.WaitGroup
		transfer := func(from, to *Stream) {
			r := rand.New(rand.NewPCG(1, uint64(from.ID())))
			data := make([]byte, 150_000)
			for i := range data {
				data[i] = byte(r.Uint32())
			}
			all.Go(func() {
				for rest := data; len(rest) > 0; {
					n := min(len(rest), 1+rand.N(50_000))
					write(t, from, string(rest[:n]))
					rest = rest[n:]
				}
				if err := from.CloseWrite(); err != nil {
					t.Error(err)
				}
			})
			all.Go(func() {
				if got := readAll(t, to); got != string(data) {
					t.Errorf("stream %d: %d bytes have arrived, or others than the %d that were sent", to.ID(), len(got), len(data))
				}
			})
		}
		for id := range uint16(10) {
			s1, s2 := claim(t, m1, id), claim(t, m2, id)
			transfer(s1, s2)
			transfer(s2, s1)
		}
		all.Wait()
	}
}

// TestMessages sends messages and reads them with memory that holds them or not.
func TestMessages(t *testing.T) {
	for _, pieces := range []int{0, 1, 5} {
		bubble(t, func(t *testing.T) {
			m1, m2, f1, f2 := pair(t)
			f1.pieces, f2.pieces = pieces, pieces
			s1, s2 := claim(t, m1, 3), claim(t, m2, 3)
			messages := []string{"one", "twenty-two", "three hundred and thirty-three", "4"}
			for i, data := range messages {
				msg := engine.Message{Stream: 3, PPID: uint32(i)}
				if _, err := s1.Send([]byte(data), true, msg); err != nil {
					t.Fatal(err)
				}
			}
			for _, size := range []int{100, 3, 100, 1} {
				data := messages[0]
				ppid := uint32(4 - len(messages))
				messages = messages[1:]
				for rest := data; len(rest) > 0; {
					p := make([]byte, size)
					n, msg, err := s2.Recv(p, Whole)
					want := rest[:min(size, len(rest))]
					rest = rest[len(want):]
					if string(p[:n]) != want || msg.PPID != ppid || msg.More != (len(rest) > 0) || err != nil {
						t.Fatalf("read %q, %+v, %v; want %q of message %d, %d bytes to follow", p[:n], msg, err, want, ppid, len(rest))
					}
				}
			}
		})
	}
}

// TestFullQueue lets the data of one stream pile up. It holds the peer back, and
// other streams, until it is read, or need not be any more.
func TestFullQueue(t *testing.T) {
	for _, tt := range []struct {
		name string
		free func(*Stream)
	}{
		{"read", func(s *Stream) { go drain(s) }},
		{"CloseRead", func(s *Stream) { s.CloseRead() }},
		{"Close", func(s *Stream) { s.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m1, m2, _, _ := pair(t)
				full, s1 := claim(t, m1, 3), claim(t, m1, 5)
				s, s2 := claim(t, m2, 3), claim(t, m2, 5)
				sent := make(chan error)
				go func() {
					_, err := full.Send(make([]byte, 2<<20), false, engine.Message{Stream: 3})
					full.Close()
					sent <- err
				}()
				synctest.Wait()
				m2.mu.Lock()
				if n := s.queue.bytes; n < queueSize || n > queueSize+buffersize {
					t.Errorf("the queue holds %d bytes, want little more than %d", n, queueSize)
				}
				m2.mu.Unlock()
				write(t, s1, "other")
				synctest.Wait()
				m2.mu.Lock()
				if len(s2.queue.rest()) > 0 {
					t.Error("another stream's data has passed the full queue")
				}
				m2.mu.Unlock()
				begin := time.Now()
				tt.free(s)
				if data, err := read(s2); data != "other" || err != nil {
					t.Errorf("read %q, %v; want \"other\"", data, err)
				}
				if err := <-sent; err != nil {
					t.Error(err)
				}
				if took := time.Since(begin); took != 0 {
					t.Errorf("the queue was found to have room after %v", took)
				}
			})
		})
	}
}

const buffersize = 64 << 10

// TestFullUnclaimed lets data of streams that nobody claims pile up, until the Conn
// is read.
func TestFullUnclaimed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m1, m2, _, _ := pair(t)
		const size = 2 << 20
		sent := make(chan error)
		go func() {
			_, err := m1.Send(make([]byte, size), false, engine.Message{}, false)
			sent <- err
		}()
		synctest.Wait()
		select {
		case <-sent:
			t.Error("nothing holds the sender back")
		default:
		}
		p := make([]byte, 100_000)
		for n := 0; n < size; {
			k, _, err := m2.Recv(p, Filled)
			if n += k; err != nil {
				t.Fatal(err)
			}
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}

// TestEndBehindAFullQueue has the association end while the receiver waits for room
// in a queue that nobody reads. Calls on other streams must learn of it.
func TestEndBehindAFullQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		full, s := claim(t, m, 3), claim(t, m, 5)
		for range 6 {
			f.inject(message(3, strings.Repeat("x", 60<<10)))
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
		if took := time.Since(begin); took > time.Second {
			t.Errorf("the end was noticed after %v", took)
		}
		for n := 0; n < 6*60<<10; {
			data, err := read(full)
			if n += len(data); err != nil {
				t.Fatalf("Recv after %d bytes: %v", n, err)
			}
		}
		if _, err := read(full); err != lost {
			t.Errorf("Recv after all data: %v, want %v", err, lost)
		}
	})
}

// TestNextUseIsAccepted has the peer begin the next use of a number while both
// directions of the Stream have ended and it is not closed. When it is, the number
// is free, and Accept gets the next use.
func TestNextUseIsAccepted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		s := claim(t, m, 3)
		f.inject(message(3, "first"), incoming(3))
		if got := readAll(t, s); got != "first" {
			t.Errorf("read %q, want \"first\"", got)
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the reset is granted
		accepted := make(chan *Stream)
		go func() {
			s, err := m.Accept(t.Context())
			if err != nil {
				t.Error(err)
			}
			accepted <- s
		}()
		f.inject(message(3, "next"))
		synctest.Wait()
		s.Close()
		next := <-accepted
		if data, err := read(next); next.ID() != 3 || data != "next" || err != nil {
			t.Errorf("read %q, %v of stream %d; want \"next\" of stream 3", data, err, next.ID())
		}
	})
}

// TestAcceptEnds ends an Accept by its context.
func TestAcceptEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, _, _ := pair(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if s, err := m.Accept(ctx); err != context.DeadlineExceeded {
			t.Errorf("accepted %v, %v; want the context's error", s, err)
		}
	})
}

// TestClosedStream calls all methods of a Stream that is closed, or half of it is.
func TestClosedStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m1, m2, _, _ := pair(t)
		s, at := claim(t, m1, 3), claim(t, m2, 3)
		waiting := make(chan error)
		go func() {
			_, err := read(s)
			waiting <- err
		}()
		write(t, s, "last words")
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Send([]byte("more"), true, engine.Message{Stream: 3}); err != syscall.EPIPE {
			t.Errorf("Send after CloseWrite: %v, want EPIPE", err)
		}
		if got := readAll(t, at); got != "last words" {
			t.Errorf("read %q, want \"last words\"", got)
		}
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-waiting; err != net.ErrClosed {
			t.Errorf("a waiting Recv returned %v, want net.ErrClosed", err)
		}
		_, rerr := read(s)
		_, werr := s.Send([]byte("more"), true, engine.Message{Stream: 3})
		for call, err := range map[string]error{
			"Recv":             rerr,
			"Send":             werr,
			"Close":            s.Close(),
			"CloseRead":        s.CloseRead(),
			"CloseWrite":       s.CloseWrite(),
			"SetReadDeadline":  s.SetReadDeadline(time.Time{}),
			"SetWriteDeadline": s.SetWriteDeadline(time.Time{}),
		} {
			if err != net.ErrClosed {
				t.Errorf("%s after Close: %v, want net.ErrClosed", call, err)
			}
		}
		// What arrives after CloseRead is dropped, and nothing else changes.
		if err := at.CloseRead(); err != nil {
			t.Fatal(err)
		}
		if _, err := read(at); err != io.EOF {
			t.Errorf("Recv after CloseRead: %v, want io.EOF", err)
		}
	})
}

// TestWriteDeadline moves the deadline of a Send that waits for room, and of one that
// waits for its turn.
func TestWriteDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, af := pair(t)
		af.do(func() { af.stuck = true })
		room, turn := claim(t, m, 3), claim(t, m, 5)
		type result struct {
			err  error
			took time.Duration
		}
		begin := time.Now()
		start := func(s *Stream) chan result {
			done := make(chan result, 1)
			go func() {
				_, err := s.Send(make([]byte, 2*f.room), false, engine.Message{Stream: s.ID()})
				done <- result{err, time.Since(begin)}
			}()
			synctest.Wait()
			return done
		}
		room.SetWriteDeadline(begin.Add(time.Hour - time.Minute))
		first := start(room)
		second := start(turn)
		room.SetWriteDeadline(begin.Add(2 * time.Second))
		turn.SetWriteDeadline(begin.Add(time.Second))
		for want, done := range map[time.Duration]chan result{time.Second: second, 2 * time.Second: first} {
			if r := <-done; r.err != os.ErrDeadlineExceeded || r.took != want {
				t.Errorf("Send: %v after %v, want the deadline's error after %v", r.err, r.took, want)
			}
		}
		// A deadline that is moved on lets a Send go on.
		room.SetWriteDeadline(time.Now().Add(time.Second))
		again := start(room)
		room.SetWriteDeadline(time.Time{})
		time.Sleep(time.Minute)
		af.do(func() { af.stuck = false })
		s := claim(t, af.mux, 3)
		go drain(s)
		if r := <-again; r.err != nil {
			t.Errorf("Send without a deadline: %v", r.err)
		}
	})
}

// TestReadDeadline moves the deadline of a Recv that waits.
func TestReadDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		s := claim(t, m, 3)
		begin := time.Now()
		done := make(chan error, 1)
		recv := func() {
			_, err := read(s)
			done <- err
		}
		s.SetReadDeadline(begin.Add(time.Second))
		go recv()
		synctest.Wait()
		s.SetReadDeadline(begin.Add(3 * time.Second))
		if err := <-done; err != os.ErrDeadlineExceeded || time.Since(begin) != 3*time.Second {
			t.Errorf("Recv: %v after %v, want the deadline's error after 3 s", err, time.Since(begin))
		}
		f.inject(message(3, "kept"))
		synctest.Wait()
		if _, err := read(s); err != os.ErrDeadlineExceeded {
			t.Errorf("Recv after the deadline: %v", err)
		}
		s.SetReadDeadline(time.Time{})
		if data, err := read(s); data != "kept" || err != nil {
			t.Errorf("read %q, %v; want \"kept\"", data, err)
		}
	})
}

// besideBulk returns stream 5 of an association on which stream 3 sends without end, and
// waits for room.
func besideBulk(t *testing.T) (other *Stream, af *fake) {
	t.Helper()
	m, _, f, af := pair(t)
	af.do(func() { af.stuck = true })
	bulk, other := claim(t, m, 3), claim(t, m, 5)
	go bulk.Send(make([]byte, 8<<20), false, engine.Message{Stream: 3})
	synctest.Wait()
	if !f.isSending(3) {
		t.Fatal("the bulk does not wait for room")
	}
	return other, af
}

// TestLittlePassesBulk has one stream send without end while others send little. What
// is little goes past the Send that waits for room, and finds room left for it.
func TestLittlePassesBulk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		other, af := besideBulk(t)
		sent := make(chan error)
		go func() {
			_, err := other.Send([]byte("little"), false, engine.Message{Stream: 5})
			sent <- err
		}()
		synctest.Wait()
		select {
		case err := <-sent:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Fatal("a little message waits behind the bulk")
		}
		for _, a := range af.take() {
			if len(a.data) > bulkSize {
				t.Errorf("a message of %d bytes was sent while two streams are claimed, want %d at most", len(a.data), bulkSize)
			}
		}
	})
}

// TestManyLittleOnesWait has a stream send little messages behind the bulk of another. Some
// of them pass it, and then they wait for their turn, as the bulk has to have its own.
func TestManyLittleOnesWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		other, af := besideBulk(t)
		go func() {
			for {
				if _, err := other.Send(make([]byte, 100), false, engine.Message{Stream: 5}); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		n := 0
		for _, a := range af.take() {
			if a.msg.Stream == 5 {
				n++
			}
		}
		if n != little/100 {
			t.Errorf("%d little messages pass the bulk, want %d", n, little/100)
		}
	})
}

// TestTurns has several streams send in bulk. They take turns of turnSize.
func TestTurns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, af := pair(t)
		af.do(func() { af.stuck = true })
		f.do(func() { f.room = 2 * bulkSize }) // until all of them wait
		var all sync.WaitGroup
		const size = 20 * bulkSize
		for id := range uint16(3) {
			s := claim(t, m, id)
			all.Go(func() { s.Send(make([]byte, size), false, engine.Message{Stream: id}) })
		}
		synctest.Wait()
		f.do(func() { f.room = 16 << 20 })
		all.Wait()
		// No stream sends all while another waits.
		arrived := af.take()
		const each = turnSize / bulkSize
		turns, run := 0, 0
		for i, a := range arrived[:len(arrived)/2] {
			if i == 0 || a.msg.Stream != arrived[i-1].msg.Stream {
				turns, run = turns+1, 0
			}
			if run++; run > each {
				t.Fatalf("stream %d has sent %d messages while others wait, want %d", a.msg.Stream, run, each)
			}
		}
		if most := len(arrived)/2/each + 2; turns > most {
			t.Errorf("%d messages took %d turns, want %d at most", len(arrived)/2, turns, most)
		}
		last := make(map[uint16]int)
		for i, a := range arrived {
			last[a.msg.Stream] = i
		}
		for id, i := range last {
			if i < len(arrived)/2 {
				t.Errorf("stream %d has sent all by message %d of %d", id, i, len(arrived))
			}
		}
	})
}

// TestLargeMessagesUntilAShortOne has two streams send in bulk. Their messages are large
// when no short one has come beside them for long, and small again after one.
func TestLargeMessagesUntilAShortOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, af := pair(t)
		af.do(func() { af.stuck = true })
		f.do(func() { f.room = 64 << 20 })
		bulk, other := claim(t, m, 3), claim(t, m, 5)
		// A rest that is short is of the bulk.
		size := m.config.MessageSize + little
		send := func(s *Stream, n int) (most int) {
			if _, err := s.Send(make([]byte, n), false, engine.Message{Stream: s.id}); err != nil {
				t.Fatal(err)
			}
			for _, a := range af.take() {
				most = max(most, len(a.data))
			}
			return most
		}
		for range 2 {
			send(other, 1)
			for i := range besides * bulkSize / turnSize {
				if n := send(bulk, size); n != bulkSize {
					t.Fatalf("%d turns after a short message: one of %d bytes, want %d", i, n, bulkSize)
				}
			}
			if n := send(bulk, size); n != m.config.MessageSize {
				t.Errorf("long after a short message: one of %d bytes, want %d", n, m.config.MessageSize)
			}
		}
	})
}

// TestOneStreamSendsLargeMessages has one stream alone send as the Conn does.
func TestOneStreamSendsLargeMessages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, af := newLink()
		m := f.start(t, Config{MessageSize: 50_000})
		write(t, claim(t, m, 3), string(make([]byte, 120_000)))
		var sizes []int
		for _, a := range af.take() {
			sizes = append(sizes, len(a.data))
		}
		if len(sizes) != 3 || sizes[0] != 50_000 || sizes[1] != 50_000 || sizes[2] != 20_000 {
			t.Errorf("messages of %v bytes, want 50000, 50000 and 20000", sizes)
		}
	})
}

// TestInterruptedSend starts the Mux in the middle of a Send of the Conn. That Send
// has the turn, and others come after it.
func TestInterruptedSend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, af := newLink()
		f.interrupted = true
		af.stuck = true
		m := f.start(t, Config{})
		s := claim(t, m, 3)
		sent := make(chan error)
		go func() {
			_, err := s.Send(make([]byte, 2*little), true, engine.Message{Stream: 3})
			sent <- err
		}()
		synctest.Wait()
		if len(af.take()) > 0 {
			t.Error("a stream has sent before the Send that was interrupted")
		}
		if n, err := m.Send([]byte("the rest"), false, engine.Message{}, true); n != 8 || err != nil {
			t.Errorf("sent %d bytes, %v; want 8", n, err)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		if n, err := m.Send([]byte("the next"), false, engine.Message{}, false); n != 8 || err != nil {
			t.Errorf("sent %d bytes, %v; want 8", n, err)
		}
		a := af.take()
		if len(a) != 3 || string(a[0].data) != "the rest" || string(a[2].data) != "the next" {
			t.Errorf("sent %+v; want \"the rest\", that of the stream, \"the next\"", a)
		}
	})
}

// TestSendBeforeStart has a call of the Conn find the Mux while it takes the
// association: it sends when the Mux has it.
func TestSendBeforeStart(t *testing.T) {
	for _, data := range []string{"little", string(make([]byte, 2*little))} {
		conformance.Watchdog(t, func() {
			f, af := newLink()
			af.stuck = true
			var call *conformance.Call
			f.taking = func() {
				call = conformance.Start(t, func() (int, error) {
					return f.mux.Send([]byte(data), false, engine.Message{}, false)
				})
				call.Waits()
			}
			f.start(t, Config{})
			if n, err := call.Result(); n != len(data) || err != nil {
				t.Errorf("sent %d bytes, %v; want %d", n, err, len(data))
			}
			if a := af.take(); len(a) != 1 || string(a[0].data) != data {
				t.Errorf("%d messages were sent, want one of %d bytes", len(a), len(data))
			}
		})
	}
}

// TestMuxDeadlines gives a Mux the deadlines that the Conn has.
func TestMuxDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, af := newLink()
		af.stuck = true
		begin := time.Now()
		m := f.start(t, Config{ReadDeadline: begin.Add(time.Second), WriteDeadline: begin.Add(2 * time.Second)})
		_, _, err := m.Recv(make([]byte, 1), Whole)
		if err != os.ErrDeadlineExceeded || time.Since(begin) != time.Second {
			t.Errorf("Recv: %v after %v, want the deadline's error after 1 s", err, time.Since(begin))
		}
		_, err = m.Send(make([]byte, 4<<20), false, engine.Message{}, false)
		if err != os.ErrDeadlineExceeded || time.Since(begin) != 2*time.Second {
			t.Errorf("Send: %v after %v, want the deadline's error after 2 s", err, time.Since(begin))
		}
	})
}
