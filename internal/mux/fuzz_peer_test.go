package mux

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// FuzzPeer has a peer send messages, and events come, as no Mux and no kernel would
// send them. Whatever it is, calls end, no data is read twice or out of order, no
// Stream reads what lies on both sides of a reset, and what is kept has bounds.
func FuzzPeer(f *testing.F) {
	f.Add([]byte{0, 0, 0x13, 1, 0x22, 2, 1, 3, 0x40, 0, 9, 2, 0x2f, 3, 0x11, 4, 7, 10, 0})
	f.Add([]byte{1, 4, 2, 6, 0, 2, 0x31, 7, 0, 10, 0, 2, 0x35, 7, 0, 2, 0x61, 2, 0x31, 11, 3})
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 600 {
			return
		}
		bubble(t, func(t *testing.T) { runPeer(t, program) })
	})
}

// runPeer runs a program: a byte of settings, and then two bytes for each step.
func runPeer(t *testing.T, program []byte) {
	var (
		at     = 0
		f, _   = newLink()
		units  uint32
		resets [16]int                 // of each stream
		useOf  = make(map[uint32]int)  // what resets was when a unit was sent,
		uses   = make(map[*Stream]int) // and of the units that a Stream reads
		calls  sync.WaitGroup
		mu     sync.Mutex
		open   []*Stream
		last   = make(map[uint16]uint32) // unit that was read, of each stream
		busy   = make(map[*Stream]bool)  // a call sends, or of nil, receives
	)
	next := func() int {
		if at++; at > len(program) {
			return 0
		}
		return int(program[at-1])
	}
	settings := next()
	config := Config{Accepted: settings&1 != 0, Limits: Limits{AcceptStreams: 1 + settings>>1&3}}
	if settings&8 != 0 {
		config.OnEvent = func(engine.Event) { time.Sleep(time.Second) }
	}
	if settings&16 != 0 {
		config.Announces = func() bool { return true }
	}
	f.reconfig = settings&32 == 0
	m := f.start(t, config)
	if settings&64 != 0 {
		m.ServeStreams()
	}
	add := func(s *Stream) {
		mu.Lock()
		defer mu.Unlock()
		if s != nil {
			open = append(open, s)
		}
	}
	// begin calls f if no other call is under way. One that waits for another's lock
	// would keep time from going on.
	begin := func(s *Stream, f func()) {
		mu.Lock()
		defer mu.Unlock()
		if busy[s] {
			return
		}
		busy[s] = true
		calls.Go(func() {
			f()
			mu.Lock()
			defer mu.Unlock()
			busy[s] = false
		})
	}
	check := func(s *Stream, stream uint16, p []byte) {
		mu.Lock()
		defer mu.Unlock()
		for ; len(p) >= 4; p = p[4:] {
			i := binary.BigEndian.Uint32(p)
			if i == 0 {
				continue
			}
			if i <= last[stream] {
				t.Errorf("stream %d: unit %d was read behind %d", stream, i, last[stream])
			}
			last[stream] = i
			if use, ok := uses[s]; s != nil && ok && use != useOf[i] {
				t.Errorf("stream %d: data was read of uses %d and %d", stream, use, useOf[i])
			}
			uses[s] = useOf[i]
		}
	}
	for at < len(program) && !t.Failed() {
		op, arg := next(), next()
		var s *Stream
		if mu.Lock(); len(open) > 0 {
			s = open[arg>>4%len(open)]
		}
		mu.Unlock()
		switch op % 16 {
		case 0, 1: // a message
			mu.Lock()
			data := make([]byte, 4*(1+arg>>4<<min(op>>4, 10)))
			for i := 0; i < len(data) && len(data) <= minReceive; i += 4 { // others may be cut anywhere
				units++
				useOf[units] = resets[arg&15]
				binary.BigEndian.PutUint32(data[i:], units)
			}
			mu.Unlock()
			f.inject(arrival{data, engine.Message{Stream: uint16(arg & 15), More: op&16 != 0, Unordered: op&32 != 0}})
		case 2, 3: // a reset, or the answer to one
			var ids []uint16
			for range arg >> 6 {
				ids = append(ids, uint16(arg&15))
			}
			if op&32 != 0 {
				ids = append(ids, uint16(arg>>4&15))
			}
			if op&64 != 0 {
				ids = append(ids, 65535)
			}
			e := engine.StreamResetEvent{Incoming: op&16 == 0, Streams: ids}
			if op&0x80 != 0 {
				e.Denied, e.Failed = arg&1 == 0, arg&1 != 0
			} else if e.Incoming {
				for id := range resets {
					if isEnd(ids, uint16(id)) {
						resets[id]++
					}
				}
			}
			f.inject(event(e))
		case 4:
			f.do(func() { f.answer = answers(answer(arg % int(refuse+1))) })
		case 5:
			f.answerReset(answer(arg % 3))
		case 6:
			if s, err := m.TryOpen(); err == nil {
				add(s)
			}
		case 7:
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
				defer cancel()
				if s, err := m.Accept(ctx); err == nil {
					add(s)
				}
			})
		case 8:
			calls.Go(func() {
				if s, err := m.Claim(uint16(arg % 10)); err == nil {
					add(s)
				}
			})
		case 9:
			begin(nil, func() {
				p := make([]byte, 4<<(arg&15))
				m.SetReadDeadline(time.Now().Add(time.Second))
				for {
					n, msg, err := m.Recv(p, Whole)
					if check(nil, msg.Stream, p[:n]); err != nil {
						return
					}
				}
			})
		case 10:
			time.Sleep(time.Millisecond << (arg % 13))
		case 11:
			f.peer.take()
			f.do(func() {})
		case 12:
			f.inject(event(engine.StreamsAddedEvent{Out: uint16(arg), Denied: op&16 != 0}), event(engine.ShutdownEvent{}))
		}
		if s != nil {
			switch op % 16 {
			case 13:
				begin(s, func() { s.Send(make([]byte, arg<<9), op&16 != 0, engine.Message{Stream: s.id}) })
			case 14:
				p := make([]byte, 64<<10)
				s.SetReadDeadline(time.Now().Add(time.Second)) // the rest of a message may never come
				for {
					n, _, err := tryRecv(s, p, min(Mode(op>>4&3), Filled))
					if check(s, s.id, p[:n]); n == 0 || err != nil {
						break
					}
				}
			case 15:
				switch arg & 3 {
				case 0:
					s.CloseRead()
				case 1:
					s.CloseWrite()
				default:
					s.Close()
				}
			}
		}
		synctest.Wait()
		checkPeerBounds(t, m)
	}
	f.do(func() { f.stuck = false })
	m.Close(f.Close)
	calls.Wait()
	time.Sleep(time.Minute) // until OnEvent has returned
}

// isEnd reports whether a reset of streams ends a use of one: it is named, and not
// twice.
func isEnd(ids []uint16, id uint16) bool {
	for i := range ids {
		if ids[i] == id && (i == 0 || ids[i-1] != id) && (i+1 == len(ids) || ids[i+1] != id) {
			return true
		}
	}
	return len(ids) == 0
}

// checkPeerBounds checks how much a Mux keeps of a peer with 10 streams that may do
// anything.
func checkPeerBounds(t *testing.T, m *Mux) {
	m.mu.Lock()
	defer m.mu.Unlock()
	const over = bufferSize + 64<<10 + pieceSize // of what holds less than it may, and then gets a piece
	if size := m.memory.size(); size > m.config.StreamMemory+over {
		t.Errorf("the streams hold %d bytes, want at most %d", size, m.config.StreamMemory)
	}
	late := 0
	for _, n := range m.numbers {
		late += n.late
	}
	if len(m.numbers) > 20 || len(m.resets.list) > 20 || late > 40 {
		t.Errorf("kept are %d numbers, %d resets, %d late answers", len(m.numbers), len(m.resets.list), late)
	}
}
