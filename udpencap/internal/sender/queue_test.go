package sender

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// order sends what there is as the peer acknowledges it, and returns the streams of the
// chunks in the order of their TSNs.
func (m *sim) order(do func(chunks int)) (streams []uint16) {
	m.t.Helper()
	next := m.s.Last() + 1
	m.drop = func(_ int, b []byte) bool {
		for len(b) > 0 {
			if tsn := binary.BigEndian.Uint32(b[4:]); tsn == next {
				streams = append(streams, binary.BigEndian.Uint16(b[8:]))
				next++
				do(len(streams))
			}
			b = b[padded(int(binary.BigEndian.Uint16(b[2:]))):]
		}
		return false
	}
	if !m.run(time.Minute, m.isDone) {
		m.t.Fatal("not all has arrived")
	}
	return streams
}

// TestTurns has a stream with a large backlog, while another one has a small message to
// send now and then. With turns that waits for one message, and without for all.
func TestTurns(t *testing.T) {
	const backlog, size, parts = 200, 10_000, 7 // chunks of a message
	for _, turns := range []bool{true, false} {
		m := newSim(t, 10*time.Millisecond)
		m.r.window, m.s.peerWindow = 50_000, 50_000 // which is full all the time
		if turns {
			m.s.SetTurns()
		}
		for range backlog {
			m.s.Queue(make([]byte, size), Message{Stream: 1})
		}
		var queued []int // after so many chunks
		streams := m.order(func(chunks int) {
			if chunks%100 == 50 && len(queued) < 5 {
				queued = append(queued, chunks)
				m.s.Queue([]byte("small"), Message{Stream: 2})
			}
		})
		for _, at := range queued {
			i := slices.Index(streams[at:], 2)
			streams[at+i] = 0
			if turns && i > parts+1 || !turns && at+i < backlog*parts {
				t.Errorf("turns: %t: what was queued after %d chunks comes after %d more", turns, at, i)
			}
		}
	}
}

// TestTurnsAreEven has streams with messages of the same size, one of them much more.
func TestTurnsAreEven(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.s.SetTurns()
	for range 90 {
		m.s.Queue(make([]byte, 3000), Message{Stream: 1})
	}
	for id := range uint16(3) {
		for range 10 {
			m.s.Queue(make([]byte, 3000), Message{Stream: 2 + id})
		}
	}
	got := m.order(func(int) {})
	const parts = 3
	for i := 0; i < len(got); i += parts {
		want := uint16(1)
		if i < 40*parts {
			want = uint16(i/parts%4 + 1)
		}
		for k := range parts {
			if got[i+k] != want {
				t.Fatalf("chunks %d and on are of streams %v, want %d", i, got[i:i+parts], want)
			}
		}
	}
}

// TestTurnsBegin has turns begin while messages wait. One that was begun is finished, and
// each stream keeps its order.
func TestTurnsBegin(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	for i := range 30 {
		m.s.Queue(make([]byte, 20_000+i), Message{Stream: uint16(i % 3)})
	}
	m.packet()
	if m.s.queue.head().sent == 0 {
		t.Fatal("no message was begun")
	}
	m.s.SetTurns()
	m.s.SetTurns()
	for i := range 3 {
		m.s.Queue([]byte{byte(i)}, Message{Stream: uint16(i)})
	}
	for i := 0; ; i++ {
		q := m.s.queue.head()
		if q == nil {
			if i != 33 {
				t.Errorf("%d messages were there", i)
			}
			break
		}
		want := 20_000 + i
		if i >= 30 {
			want = 1
		}
		if q.Stream != uint16(i%3) || len(q.data) != want {
			t.Errorf("message %d is of stream %d, and has %d bytes", i, q.Stream, len(q.data))
		}
		m.s.unqueue(q)
	}
}

// TestQueueAtRandom compares a queue with lists.
func TestQueueAtRandom(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		q := queue{turns: seed%2 == 0}
		var streams [4]outStream
		var lists [4][]*message
		var turn []int
		for range 500 {
			id := rnd.IntN(4)
			list := id
			if !q.turns {
				list = 0
			}
			if l := lists[list]; rnd.IntN(2) == 0 || len(l) == 0 {
				m := &message{out: &streams[id]}
				if q.push(m); len(l) == 0 {
					turn = append(turn, list)
				}
				lists[list] = append(l, m)
			} else {
				i := rnd.IntN(len(l)) * rnd.IntN(2)
				first := turn[0] == list && i == 0
				q.remove(l[i])
				lists[list] = slices.Delete(l, i, i+1)
				if first || len(lists[list]) == 0 {
					turn = slices.DeleteFunc(turn, func(n int) bool { return n == list })
					if len(lists[list]) > 0 {
						turn = append(turn, list)
					}
				}
			}
			var want []*message
			for _, n := range turn {
				want = append(want, lists[n]...)
			}
			if got := q.messages(); !slices.Equal(got, want) {
				t.Fatalf("seed %d: the queue has %d messages, want %d, or in another order", seed, len(got), len(want))
			}
			if len(want) > 0 && q.head() != want[0] || len(want) == 0 && q.head() != nil {
				t.Fatalf("seed %d: the next message is another", seed)
			}
		}
	}
}
