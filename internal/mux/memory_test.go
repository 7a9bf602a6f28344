package mux

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A traffic has buffers of messages arrive, as an engine fills them.
type traffic struct {
	m    *Mux
	bufs map[*buffer]bool
}

// arrive has messages arrive in one buffer, each of so many bytes on a stream.
func (tr *traffic) arrive(sizes map[uint16]int) {
	tr.m.mu.Lock()
	defer tr.m.mu.Unlock()
	b := newBuffer()
	tr.bufs[b] = true
	for id, size := range sizes {
		b.refs.Add(1)
		tr.m.deliver(piece{b, b.bytes[b.used:][:size], engine.Message{Stream: id}})
		b.used += size
	}
	b.release()
}

// held is the memory that the pieces in a queue take, and their number.
func held(q *queue, bufs map[*buffer]bool) (size, n int) {
	size = q.pieces.Cap() * 120
	for _, p := range q.rest() {
		if n++; p.buf != nil {
			bufs[p.buf] = true
		} else {
			size += cap(p.data)
		}
	}
	return size, n
}

// TestMemoryIsBounded has messages arrive that nobody reads, beside others that are
// read: on one stream or on many, claimed or not. They must not take much more memory
// than they may before nothing more is received.
func TestMemoryIsBounded(t *testing.T) {
	const limit = 512 << 10
	for _, tt := range []struct {
		unread, read int // bytes of messages
		streams      int // that are not read
		claimed      bool
	}{
		{1, 0, 1, true},
		{1, 0, 200, true},
		{1, 60_000, 1, true},
		{1, 60_000, 200, true},
		{4100, 60_000, 200, true},
		{20_000, 40_000, 200, true},
		{60_000, 0, 200, true},
		{1, 60_000, 1, false},
		{1, 60_000, 100, false},
		{4100, 60_000, 100, false},
		{33_000, 20_000, 100, false},
	} {
		t.Run(fmt.Sprintf("%+v", tt), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f, _ := newLink()
				f.out, f.in = 300, 300
				m := newMux(f, Config{Limits: Limits{StreamMemory: limit, AcceptStreams: 1000}})
				m.e = f
				reader := claim(t, m, 1)
				m.leaveToAccept(nothing)
				if tt.claimed {
					for id := range uint16(tt.streams) {
						claim(t, m, 2+id)
					}
				}
				tr := &traffic{m, make(map[*buffer]bool)}
				done := false
				go func() {
					p := make([]byte, bufferSize)
					for n := 0; !done; n++ {
						sizes := map[uint16]int{2 + uint16(n%tt.streams): tt.unread}
						if tt.read > 0 {
							sizes[1] = tt.read
						}
						tr.arrive(sizes)
						tryRecv(reader, p, Filled)
					}
				}()
				time.Sleep(backlogPatience / 2)
				synctest.Wait()
				done = true
				m.mu.Lock()
				bufs := make(map[*buffer]bool)
				size, n := held(&m.backlog, bufs)
				for _, number := range m.numbers {
					if number.stream == nil {
						continue
					}
					k, pieces := held(&number.stream.queue, bufs)
					size += k
					n += pieces
				}
				for b := range bufs {
					size += len(b.bytes)
				}
				if size > 2*limit {
					t.Errorf("%d messages take %d bytes, in %d buffers among others; the limit is %d, and %d are counted", n, size, len(bufs), limit, m.memory.size())
				}
				full := tt.streams == 1 && tt.claimed && n*(tt.unread+pieceSize) >= queueSize
				if !full && n*(tt.unread+pieceSize) < limit/3 {
					t.Errorf("after %d messages no more are received", n)
				}
				m.mu.Unlock()
				m.Close(f.Close)
			})
		})
	}
}

// TestMemoryOfSmallMessages keeps small messages that came one by one. Few keep a
// small buffer each, and many are copied together.
func TestMemoryOfSmallMessages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _, f, _ := pair(t)
		s := claim(t, m, 3)
		for n := 1; n <= 500; n++ {
			f.inject(message(3, "x"))
			synctest.Wait()
			m.mu.Lock()
			if got, most := m.memory.size(), min(n*smallSize, 4*bufferSize)+n*(pieceSize+1); got > most || len(s.queue.rest()) != n {
				t.Fatalf("%d of %d messages take %d bytes, want at most %d", len(s.queue.rest()), n, got, most)
			}
			m.mu.Unlock()
		}
	})
}

// TestMemoryComesBack has messages arrive that are read, dropped, refused, moved or
// read in part. In the end nothing is counted.
func TestMemoryComesBack(t *testing.T) {
	for _, end := range []struct {
		name string
		do   func(m *Mux, s *Stream)
	}{
		{"read", func(m *Mux, s *Stream) { s.Recv(make([]byte, 1<<20), Filled) }},
		{"read in part, and then all", func(m *Mux, s *Stream) {
			s.Recv(make([]byte, 1000), Piece)
			if m.memory.size() == 0 {
				panic("the rest of a message does not count")
			}
			s.Recv(make([]byte, 1<<20), Filled)
		}},
		{"closed", func(m *Mux, s *Stream) { s.Close() }},
		{"closed after a part was read", func(m *Mux, s *Stream) {
			s.Recv(make([]byte, 1000), Piece)
			s.Recv(make([]byte, 1000), Piece)
			s.Close()
			s.Recv(make([]byte, 1000), Piece)
		}},
		{"closed for reading", func(m *Mux, s *Stream) { s.CloseRead() }},
	} {
		t.Run(end.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, f := idleMux()
				tr := &traffic{m, make(map[*buffer]bool)}
				s := claim(t, m, 1)
				m.leaveToAccept(nothing)
				for range 3 {
					tr.arrive(map[uint16]int{1: 30_000, 2: 10_000})
				}
				m.mu.Lock()
				m.onIncomingReset(2)
				m.mu.Unlock()
				accepted := acceptNow(t, m)
				accepted.Recv(make([]byte, 1<<20), Filled)
				end.do(m, s)
				if m.memory != (memory{}) {
					t.Errorf("%+v is counted, of nothing", m.memory)
				}
				m.Close(f.Close)
			})
		})
	}
}

// TestIdleReceiverHasNoBuffer has an association receive something and then wait.
func TestIdleReceiverHasNoBuffer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, _ := newLink()
		m := f.start(t, Config{})
		s := claim(t, m, 3)
		wantIdle := func() {
			t.Helper()
			synctest.Wait()
			if f.lent {
				t.Error("the engine has a buffer while it waits")
			}
		}
		wantIdle()
		for _, data := range []string{"x", string(make([]byte, 60_000))} {
			f.inject(message(3, data))
			if n, _, err := s.Recv(make([]byte, 60_000), Whole); n != len(data) || err != nil {
				t.Errorf("read %d bytes, %v; want %d", n, err, len(data))
			}
			wantIdle()
		}
	})
}

// TestReceiverGoesOnAtOnce has a receiver wait as the streams hold all that they may.
// It goes on as soon as they may hold more, and as soon as the rest of a message is read.
func TestReceiverGoesOnAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(m *Mux, s *Stream)
	}{
		{"SetLimits", func(m *Mux, s *Stream) {
			m.SetLimits(Limits{AcceptStreams: 1, StreamMemory: 4 * bufferSize})
		}},
		{"the rest is read", func(m *Mux, s *Stream) {
			if n, _, err := s.Recv(make([]byte, 60_000), Piece); n != 59_000 || err != nil {
				t.Errorf("read %d bytes, %v; want 59000", n, err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, f := idleMux()
				m.config.StreamMemory = bufferSize * 3 / 2
				s, other := claim(t, m, 1), claim(t, m, 3)
				m.arrive(make([]byte, 60_000), engine.Message{Stream: 1})
				if n, _, err := s.Recv(make([]byte, 1000), Piece); n != 1000 || err != nil {
					t.Fatalf("read %d bytes, %v; want 1000", n, err)
				}
				received := make(chan struct{})
				go func() {
					defer close(received)
					m.arrive(make([]byte, 60_000), engine.Message{Stream: other.ID()})
				}()
				synctest.Wait()
				select {
				case <-received:
					t.Error("the receiver does not wait")
				default:
				}
				start := time.Now()
				tt.do(m, s)
				<-received
				if took := time.Since(start); took > 0 {
					t.Errorf("the receiver went on after %v", took)
				}
				m.Close(f.Close)
			})
		})
	}
}

// TestOwnMemory gives a piece memory of its own, and moves one to a small buffer. The
// large buffer is free then.
func TestOwnMemory(t *testing.T) {
	for name, leave := range map[string]func(*piece){"own": (*piece).own, "shrink": (*piece).shrink} {
		b := newBuffer()
		copy(b.bytes, "data")
		p := piece{buf: b, data: b.bytes[:4]}
		leave(&p)
		if refs := b.refs.Load(); refs != 0 {
			t.Errorf("%s: the buffer is still in use, %d times", name, refs)
		}
		if string(p.data) != "data" {
			t.Errorf("%s: %q", name, p.data)
		}
		p.buf.release()
	}
}

// TestBuffersComeBack receives messages. What they lie in is free when they are read and
// the receiver waits.
func TestBuffersComeBack(t *testing.T) {
	for _, size := range []int{1, smallSize + 1} {
		m, _ := idleMux()
		m.mu.Lock()
		s := m.claim(3)
		m.mu.Unlock()
		r := newReceiver(m)
		lent := r.Lend()
		lent[0].N, lent[0].Message = size, engine.Message{Stream: 3}
		r.msgs = lent[:1]
		r.compact()
		r.sort()
		large, in := r.b, r.in
		r.Return()
		if n := in.refs.Load(); n != 1 {
			t.Errorf("%d bytes that wait to be read: their buffer counts %d uses, want 1", size, n)
		}
		if n, _, err := s.Recv(make([]byte, size), Piece); n != size || err != nil {
			t.Errorf("read %d bytes, %v; want %d", n, err, size)
		}
		for _, b := range []*buffer{large, in} {
			if n := b.refs.Load(); n != 0 {
				t.Errorf("%d bytes that were read: a buffer of %d is still in use, %d times", size, len(b.bytes), n)
			}
		}
	}
}

// TestRestsTakeLittle has many streams' messages be read in part. What is left counts no
// more than a few times of its size, and so does not stop the receiver.
func TestRestsTakeLittle(t *testing.T) {
	const streams = 100
	for _, tt := range []struct{ size, first, second int }{
		{3000, 1, 0},
		{8000, 1, 0},
		{8000, 1, 5000},
		{15_000, 1, 0},
		{60_000, 1000, 57_000},
	} {
		t.Run(fmt.Sprintf("%+v", tt), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, f := idleMux()
				f.out, f.in = streams, streams
				m.config.StreamMemory = 1 << 30 // so that it fails, and does not hang
				for id := range uint16(streams) {
					s := claim(t, m, id)
					m.arrive(make([]byte, tt.size), engine.Message{Stream: id})
					s.Recv(make([]byte, tt.first), Piece)
					if tt.second > 0 {
						s.Recv(make([]byte, tt.second), Piece)
					}
				}
				unread := streams * (tt.size - tt.first - tt.second)
				if got := m.memory.size(); got < unread || got > 4*unread {
					t.Errorf("%d bytes are unread, and %d are counted", unread, got)
				}
				m.Close(f.Close)
			})
		})
	}
}
