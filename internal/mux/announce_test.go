package mux

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// announcingMux makes a Mux of an association whose ends announce streams.
func announcingMux(accepted bool) *Mux {
	f, _ := newLink()
	m := newMux(f, Config{Accepted: accepted, Announces: func() bool { return true }})
	m.e = f
	return m
}

// arrive has a message arrive.
func (m *Mux) arrive(data []byte, msg engine.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := newBuffer()
	m.deliver(piece{b, b.bytes[:copy(b.bytes[:], data)], msg})
}

// TestAnnouncementIsDropped has announcements arrive, and messages that are none.
func TestAnnouncementIsDropped(t *testing.T) {
	open := announcement[:]
	labeled := append(append([]byte{3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0}, "x"...), 0)
	for _, tt := range []struct {
		name string
		ours bool // the association was dialed by this side
		data []byte
		msg  engine.Message
		want bool // it is dropped
	}{
		{"announcement", false, open, engine.Message{Stream: 2, PPID: 50}, true},
		{"announcement to the dialer", true, open, engine.Message{Stream: 3, PPID: 50}, true},
		{"own number", false, open, engine.Message{Stream: 3, PPID: 50}, false},
		{"own number of the dialer", true, open, engine.Message{Stream: 2, PPID: 50}, false},
		{"stream 0", false, open, engine.Message{Stream: 0, PPID: 50}, false},
		{"other PPID", false, open, engine.Message{Stream: 2}, false},
		{"label", false, labeled, engine.Message{Stream: 2, PPID: 50}, false},
		{"ACK", false, []byte{2}, engine.Message{Stream: 2, PPID: 50}, false},
		{"a part", false, open, engine.Message{Stream: 2, PPID: 50, More: true}, false},
		{"behind what the Conn has read", false, open, engine.Message{Stream: 2, PPID: 50, SSN: 1}, false},
		{"unordered", false, open, engine.Message{Stream: 2, PPID: 50, Unordered: true}, false},
	} {
		for _, claimed := range []bool{false, true} {
			m := announcingMux(!tt.ours)
			m.reads = nothing
			var s *Stream
			if claimed {
				s = m.claim(tt.msg.Stream)
			}
			m.arrive(tt.data, tt.msg)
			if !claimed {
				if s = m.TryAccept(); s == nil {
					t.Errorf("%s: there is no stream to accept", tt.name)
					continue
				}
			}
			if dropped := len(s.queue.rest()) == 0; dropped != tt.want {
				t.Errorf("%s, claimed=%v: dropped is %v", tt.name, claimed, dropped)
			}
			// Only the first message can be one.
			m.arrive(open, engine.Message{Stream: tt.msg.Stream, PPID: 50})
			want := 2
			if tt.want {
				want = 1
			}
			if n := len(s.queue.rest()); n != want {
				t.Errorf("%s, claimed=%v: %d messages after another, want %d", tt.name, claimed, n, want)
			}
		}
	}
}

// TestAnnouncementOfNextUse has a number used twice, and the second use announced
// before the first one is closed here.
func TestAnnouncementOfNextUse(t *testing.T) {
	m := announcingMux(true)
	open := engine.Message{Stream: 2, PPID: 50}
	m.arrive(announcement[:], open)
	first := m.TryAccept()
	m.mu.Lock()
	m.onReset(engine.StreamResetEvent{Incoming: true, Streams: []uint16{2}})
	m.mu.Unlock()
	m.arrive(announcement[:], open)
	if s := m.TryAccept(); s != nil {
		t.Fatal("the next use was accepted before the first one was closed")
	}
	first.Close()
	m.mu.Lock()
	m.onReset(engine.StreamResetEvent{Streams: []uint16{2}})
	m.mu.Unlock()
	second := m.TryAccept()
	if second == nil || len(second.queue.rest()) != 0 {
		t.Fatal("the next use was not accepted, or its announcement not dropped")
	}
}

// TestFirstMessageLooksLikeAnnouncement sends messages that look like announcements:
// all of them arrive, and once with an announcement before them, if it was not sent
// yet.
func TestFirstMessageLooksLikeAnnouncement(t *testing.T) {
	for _, announced := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			announces := func() bool { return true }
			df, af := newLink()
			dialed := df.start(t, Config{Announces: announces})
			accepted := af.start(t, Config{Accepted: true, Announces: announces})
			s, err := dialed.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if announced {
				if err := s.Announce(); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if n, err := s.Send(announcement[:], true, engine.Message{Stream: s.ID(), PPID: 50}); n != announcementSize || err != nil {
					t.Fatalf("sent %d bytes, %v", n, err)
				}
			}
			if err := s.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			peer, err := accepted.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			for b := make([]byte, 100); ; got++ {
				n, msg, err := peer.Recv(b, Whole)
				if err == io.EOF {
					break
				}
				if err != nil || n != announcementSize || msg.PPID != 50 {
					t.Fatalf("received %x, %+v, %v", b[:n], msg, err)
				}
			}
			if got != 2 {
				t.Errorf("received %d messages, want 2", got)
			}
		})
	}
}

// TestUnknownPeerAnnounces has a peer send what would be an announcement, had it
// told that it sends such.
func TestUnknownPeerAnnounces(t *testing.T) {
	m := announcingMux(true)
	m.config.Announces = func() bool { return false }
	m.arrive(announcement[:], engine.Message{Stream: 2, PPID: 50})
	if s := m.TryAccept(); s == nil || len(s.queue.rest()) != 1 {
		t.Error("the message was dropped")
	}
}

// TestBacklogRefuses fills the memory of streams that wait to be accepted while
// nobody accepts any: that which holds most is refused, and the others are kept.
// If it is accepted and read, none is refused.
func TestBacklogRefuses(t *testing.T) {
	for _, accepts := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m := announcingMux(true)
			m.reads = nothing
			data := make([]byte, 60<<10)
			for m.memory.size()+bufferSize+pieceSize < DefaultLimits().StreamMemory {
				m.arrive(data, engine.Message{Stream: 2})
			}
			go func() {
				time.Sleep(backlogPatience / 2)
				if accepts {
					m.TryAccept().Recv(make([]byte, DefaultLimits().StreamMemory), Filled)
				}
			}()
			start := time.Now()
			m.arrive(data, engine.Message{Stream: 4})
			want := backlogPatience
			if accepts {
				want /= 2
			}
			if took := time.Since(start); took != want {
				t.Errorf("the receiver waited for %v, want %v", took, want)
			}
			if s := m.numbers[2].stream; s == nil || s.closed == accepts || s.closed && s.out == outOpen {
				t.Errorf("accepts=%v: stream 2 is %+v", accepts, s)
			}
			if s := m.TryAccept(); s == nil || s.id != 4 {
				t.Error("stream 4 was refused, too")
			}
		})
	}
}

// TestStreamZeroIsServed has AwaitAccept wait, and a message on stream 0 wake it.
func TestStreamZeroIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := announcingMux(true)
		m.ServeStreams()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.AwaitAccept(ctx) }()
		synctest.Wait()
		m.arrive([]byte("x"), engine.Message{})
		if err := <-done; err != nil {
			t.Errorf("AwaitAccept: %v", err)
		}
		if s := m.TryAccept(); s == nil || s.id != 0 {
			t.Errorf("TryAccept: %+v, want stream 0", s)
		}
		go func() { done <- m.AwaitAccept(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-done; err != context.Canceled {
			t.Errorf("AwaitAccept: %v, want the context's error", err)
		}
	})
}
