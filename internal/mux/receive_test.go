package mux

import (
	"fmt"
	"testing"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestOneReceiveForAMessage has the peer send more than the receiver can take, of
// messages of one size after others. Each costs one receive, but for the few from
// which the receiver learns their size.
func TestOneReceiveForAMessage(t *testing.T) {
	const few, count = 3, 64
	for _, size := range []int{minReceive + 1, 10_000, 24_000, bufferSize/2 + 1, 40_000, bufferSize - 1, bufferSize} {
		for _, first := range []int{0, 1, minReceive + 1, 20_000, bufferSize} {
			t.Run(fmt.Sprintf("%d after %d", size, first), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					m1, m2, f1, f2 := pair(t)
					f1.do(func() { f1.room = 64 << 20 })
					s1, s2 := claim(t, m1, 3), claim(t, m2, 3)
					send := func(size int) {
						if _, err := s1.Send(make([]byte, size), true, engine.Message{Stream: 3}); err != nil {
							t.Fatal(err)
						}
					}
					f1.hold()
					if first > 0 {
						send(first)
					}
					for range count {
						send(size)
					}
					f1.release()
					p := make([]byte, size)
					for rest := first + count*size; rest > 0; {
						n, _, err := s2.Recv(p, Whole)
						if err != nil {
							t.Fatal(err)
						}
						rest -= n
					}
					f2.l.mu.Lock()
					defer f2.l.mu.Unlock()
					if f2.received > 1+count+few {
						t.Errorf("%d messages cost %d receives", 1+count, f2.received)
					}
				})
			})
		}
	}
}

// TestManyMessagesForAReceive has small messages wait for the receiver: it takes many
// at once.
func TestManyMessagesForAReceive(t *testing.T) {
	const count = 1000
	for size, most := range map[int]int{1: 70, 100: 70, 1000: 110, 2000: 160} {
		bubble(t, func(t *testing.T) {
			m1, m2, f1, f2 := pair(t)
			f1.do(func() { f1.room = 64 << 20 })
			s1, s2 := claim(t, m1, 3), claim(t, m2, 3)
			f1.hold()
			for range count {
				if _, err := s1.Send(make([]byte, size), true, engine.Message{Stream: 3}); err != nil {
					t.Fatal(err)
				}
			}
			f1.release()
			for range count {
				if n, _, err := s2.Recv(make([]byte, size), Whole); n != size || err != nil {
					t.Fatal(n, err)
				}
			}
			f2.l.mu.Lock()
			defer f2.l.mu.Unlock()
			if f2.received > most {
				t.Errorf("%d messages of %d bytes cost %d receives", count, size, f2.received)
			}
		})
	}
}

// TestWholeOfInterleavedMessages asks for whole messages where pieces of others can come
// between: each piece is returned as it comes.
func TestWholeOfInterleavedMessages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _ := idleMux()
		m.interleaves = true
		m.mu.Lock()
		m.deliver(piece{data: []byte("begin"), msg: engine.Message{More: true}})
		m.mu.Unlock()
		p := make([]byte, 100)
		n, msg, err := m.Recv(p, Whole)
		if string(p[:n]) != "begin" || !msg.More || err != nil {
			t.Fatalf("received %q, more: %v, %v", p[:n], msg.More, err)
		}
		if k, msg, err := m.Resume(p, n, msg); k != n || !msg.More || err != nil {
			t.Errorf("the rest: %d bytes, more: %v, %v; want the %d that there were", k, msg.More, err, n)
		}
	})
}
