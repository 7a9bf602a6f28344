package sender

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"
)

// TestShutWindowIsAskedByOnePacket has a peer drop most of what it has promised room for. It
// is asked by one packet at a time. When it has room, all comes at once.
func TestShutWindowIsAskedByOnePacket(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.feed(100_000, 1000, time.Minute) // cwnd grows
	m.s.cubic.cwnd = 100_000
	for range 20 {
		m.s.Queue(make([]byte, 1000), Message{})
	}
	m.r.deaf, m.r.window = true, 5000
	m.run(10*time.Second, func() bool { return m.asked == 1 })
	before, asked := m.packets, m.asked
	m.run(time.Minute, func() bool { return false })
	if got, want := m.packets-before, m.asked-asked+1; got != want || m.timeouts > 0 {
		t.Errorf("the peer is asked %d times by %d packets; T3-rtx counts %d times", want, got, m.timeouts)
	}
	if m.s.CWND() < 100_000 {
		t.Errorf("cwnd is %d", m.s.CWND())
	}
	m.r.deaf, m.r.window, m.r.held = false, 1<<20, 0
	m.ack()
	start := m.now
	if !m.run(time.Minute, m.isDone) || m.now-start > 300*time.Millisecond {
		t.Errorf("when there was room it took %v", m.now-start)
	}
}

// TestRefused asks whether the peer has no room for what T3-rtx is for.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		happens func(m *sim)
		want    bool
	}{
		{"it has room", func(m *sim) { m.sack(0) }, false},
		{"it has no room", func(m *sim) { m.shut(0, 999) }, true},
		{"it has just enough", func(m *sim) { m.shut(0, 1000) }, false},
		{"it has no room for the rest", func(m *sim) { m.shut(1, 0) }, true},
		{"all has arrived", func(m *sim) { m.shut(3, 0) }, false},
		{"it was sent since then", func(m *sim) {
			m.shut(0, 0)
			m.now += m.rtt.RTO
			m.s.Timeout(m.now)
			m.packet()
		}, false},
		{"and was refused again", func(m *sim) {
			m.shut(0, 0)
			m.now += m.rtt.RTO
			m.s.Timeout(m.now)
			m.packet()
			m.now++
			m.shut(0, 0)
		}, true},
		{"it is to be sent again", func(m *sim) {
			m.shut(0, 0)
			m.now += m.rtt.RTO
			m.s.Timeout(m.now)
		}, true},
		{"it was given up", func(m *sim) {
			m.shut(0, 0)
			for range 3 {
				m.s.giveUp(m.s.board.at(m.s.board.passable() + 1).m)
			}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newSim(t, 10*time.Millisecond)
			for range 3 {
				m.s.Queue(make([]byte, 1000), Message{})
				m.packet()
			}
			m.now += 20 * time.Millisecond
			tt.happens(m)
			if got := m.s.Refused(); got != tt.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// shut acknowledges so many chunks, by a peer with a window.
func (m *sim) shut(n uint32, window int) {
	m.s.SACK(sackOf(simTSN-1+n, window, nil, nil), m.now)
}

// TestPause asks how long the pauses are between questions whether there is room.
func TestPause(t *testing.T) {
	for _, tt := range []struct {
		rto, max time.Duration
		want     []time.Duration
	}{
		{time.Second, time.Minute, []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 15 * time.Second}},
		{time.Second, 3 * time.Second, []time.Duration{2 * time.Second, 3 * time.Second, 3 * time.Second}},
		{20 * time.Second, time.Minute, []time.Duration{20 * time.Second, 20 * time.Second}},
	} {
		m := newSim(t, 10*time.Millisecond)
		m.rtt = RTT{Initial: tt.rto, Min: tt.rto, Max: tt.max}
		m.rtt.Update()
		m.s.Queue(make([]byte, 1000), Message{})
		m.packet()
		for i, want := range tt.want {
			m.now += time.Millisecond
			m.shut(0, 0)
			m.now = m.s.Deadline()
			m.s.Expire(m.now)
			m.s.Timeout(m.now)
			m.packet()
			if got := m.s.Deadline() - m.now; got != tt.rto {
				t.Errorf("RTO %v: T3-rtx of probe %d is %v", tt.rto, i, got)
			}
			sent := m.now
			m.now += time.Millisecond
			m.shut(0, 0)
			if got := m.s.Deadline() - sent; got != want {
				t.Errorf("RTO %v: pause %d is %v, want %v", tt.rto, i, got, want)
			}
		}
		m.shut(0, 1)
		if got := m.s.Deadline() - m.now; got > tt.rto {
			t.Errorf("RTO %v: after the window has grown the pause is %v", tt.rto, got)
		}
		if m.s.pause != 0 {
			t.Error("the next pause does not begin anew")
		}
	}
}

// TestRefusedIsAskedBesideOthers has T3-rtx expire for a chunk that the peer has no room for,
// while a smaller one is on its way, for which it has room.
func TestRefusedIsAskedBesideOthers(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.rtt.Measured(20 * time.Millisecond)
	m.s.Queue(make([]byte, 1000), Message{})
	m.packet()
	m.now += 20 * time.Millisecond
	m.shut(0, 2000)
	m.shut(0, 999)
	m.s.peerWindow = 1400 // so that something fits beside it
	m.s.Queue(make([]byte, 10), Message{})
	m.now = m.s.t3 - time.Millisecond
	if m.packet() == nil {
		t.Fatal("the small one was not sent")
	}
	m.s.peerWindow = 999
	m.now += time.Millisecond
	if !m.s.Expire(m.now) {
		t.Fatal("T3-rtx has not expired")
	}
	m.s.rack.rtt = 20 * time.Millisecond
	m.s.Timeout(m.now)
	if m.s.board.flying.n != 1 {
		t.Fatalf("%d are in flight", m.s.board.flying.n)
	}
	if m.packet() == nil {
		t.Error("the peer is not asked")
	}
}

// TestRefusedIsNoLoss has T3-rtx expire for a chunk that the peer has no room for, and that
// is to be sent again already. It is none of the losses of the last reduction of cwnd.
func TestRefusedIsNoLoss(t *testing.T) {
	m := flight(t, 2)
	m.s.reduce(false)
	m.s.lose(m.s.board.at(simTSN))
	m.s.peerWindow = 0
	m.s.Timeout(m.now)
	if u := m.s.undos.of[m.s.undos.n-1]; u.open != 1 {
		t.Errorf("%d chunks were lost", u.open)
	}
}

// TestMissingAsksFirst has a chunk be lost three times while the peer holds what came after
// it, and has no room for more. That chunk asks whether there is room, as nothing else makes
// some.
func TestMissingAsksFirst(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.feed(100_000, 1000, time.Minute) // cwnd grows
	m.s.cubic.cwnd = 100_000
	m.r.window = 10_000
	missing, lost := m.s.Last()+1, 0
	m.drop = func(_ int, b []byte) bool {
		if binary.BigEndian.Uint32(b[4:]) != missing || lost == 3 {
			return false
		}
		lost++
		return true
	}
	for range 30 {
		m.s.Queue(make([]byte, 1000), Message{})
	}
	start := m.now
	if !m.run(time.Hour, m.isDone) || m.now-start > 5*time.Second {
		t.Errorf("it took %v", m.now-start)
	}
}

// TestPauseBeginsAnew has a peer without room take a chunk after a long time, and refuse the
// next one. It is asked again as soon as when it had no room for the first time.
func TestPauseBeginsAnew(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.r.deaf, m.r.window = true, 0
	m.s.peerWindow = 0
	var at []time.Duration
	m.drop = func(int, []byte) bool {
		at = append(at, m.now)
		return false
	}
	m.s.Queue(make([]byte, 1000), Message{})
	m.s.Queue(make([]byte, 1000), Message{})
	m.run(50*time.Second, func() bool { return false })
	m.r.window = 1000 // no SACK says so
	if !m.run(time.Minute, func() bool { return m.r.messages == 1 }) {
		t.Fatal("nothing has arrived")
	}
	at = nil
	m.run(4*time.Second, func() bool { return false })
	if len(at) != 3 || at[1]-at[0] != time.Second || at[2]-at[1] != 2*time.Second {
		t.Errorf("the peer is asked at %v", at)
	}
}

// TestForwardDoesNotPause has a peer have no room for a long time, and be told of a message
// that was given up meanwhile. When that is lost it is repeated after RTO, whatever the pause
// is until the peer is asked again.
func TestForwardDoesNotPause(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    Message
		more func(m *sim)
	}{
		{"when it was to be sent again", Message{Policy: Timed, Expires: 20 * time.Second}, func(*sim) {}},
		{"for another message", Message{Policy: Priority, Number: 1}, func(m *sim) {
			m.s.MakeRoom(0, func() bool { return m.s.number == 1 })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newSim(t, 10*time.Millisecond)
			m.rtt.Measured(2 * m.delay)
			m.r.deaf, m.r.window = true, 0
			m.s.peerWindow = 0
			m.s.Queue(make([]byte, 1000), tt.m)
			m.s.Queue(make([]byte, 1000), Message{})
			lost := time.Duration(0)
			m.drop = func(_ int, b []byte) bool {
				if b[0] != chunkForward || lost > 0 {
					return false
				}
				lost = m.now
				return true
			}
			m.run(25*time.Second, func() bool { return false })
			tt.more(m)
			if !m.run(time.Minute, func() bool { return len(m.forwards) > 0 }) || m.now-lost > time.Second+m.delay {
				t.Errorf("it was lost at %v, and has come at %v", lost, m.now)
			}
		})
	}
}

// TestLittleRoomIsForLittle has a peer refuse much of what it has promised room for, and then
// have room for a message at a time, or for a byte. No more is sent again than there may be
// room for, and what is missing first comes first.
func TestLittleRoomIsForLittle(t *testing.T) {
	for _, tt := range []struct{ size, read int }{{1000, 1000}, {1000, 1}, {100, 100}, {100, 1}} {
		m := newSim(t, 10*time.Millisecond)
		m.feed(100_000, 1000, time.Minute) // cwnd grows
		m.s.cubic.cwnd = 200_000
		m.r.deaf, m.r.window = true, 10*tt.size
		for range 100 {
			m.s.Queue(make([]byte, tt.size), Message{})
		}
		m.run(500*time.Millisecond, func() bool { return false })
		messages, again := m.r.messages, m.s.Counts.Retransmitted
		const times = 50
		for range times {
			m.read(tt.read)
			m.run(200*time.Millisecond, func() bool { return false })
		}
		if n := m.s.Counts.Retransmitted - again; n > 3*times {
			t.Errorf("%d chunks were sent again as there was room %d times for %d bytes", n, times, tt.read)
		}
		if n := m.r.messages - messages; tt.read == tt.size && n < times-1 {
			t.Errorf("%d messages have arrived, while there was room for %d", n, times)
		}
	}
}

// TestRefusedGoesFirst has a peer refuse two chunks, and then have room for one of them. What is
// new waits for both, also where it would fit.
func TestRefusedGoesFirst(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	for range 2 {
		m.s.Queue(make([]byte, 1000), Message{})
		m.packet()
	}
	m.now += 20 * time.Millisecond
	m.shut(0, 0)
	m.s.Queue(make([]byte, 100), Message{})
	m.shut(0, 1500)
	if got := sizes(m.packet()); !slices.Equal(got, []int{1000}) {
		t.Errorf("chunks of %d bytes are sent", got)
	}
	if got := sizes(m.packet()); got != nil {
		t.Errorf("and of %d bytes", got)
	}
}

// TestRefusedIsTooOld has a peer have room again for chunks whose time has passed. They are not
// sent again.
func TestRefusedIsTooOld(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	for range 2 {
		m.s.Queue(make([]byte, 1000), Message{Policy: Timed, Expires: m.now + time.Second/2})
		m.packet()
	}
	m.now += 20 * time.Millisecond
	m.shut(0, 0)
	m.now += time.Second / 2
	m.shut(0, 1<<20)
	if b := m.packet(); len(b) == 0 || b[0] != chunkForward {
		t.Errorf("a packet %x is sent", b)
	}
	if m.packet() != nil || m.s.number > 0 {
		t.Errorf("%d messages are left", m.s.number)
	}
}

// TestRefusedHasArrived has a peer acknowledge what counts as refused. It only was late. Its
// round trip counts, and is no sign of packets that come out of order.
func TestRefusedHasArrived(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.s.Queue(make([]byte, 1000), Message{})
	m.packet()
	m.now += 20 * time.Millisecond
	m.shut(0, 0)
	m.shut(0, 1500)
	if m.s.board.refused.n != 1 {
		t.Fatal("it does not count as refused")
	}
	m.shut(1, 1500)
	if !m.s.IsIdle() || m.rtt.SRTT == 0 || m.s.rack.reordered {
		t.Errorf("idle: %t; SRTT %v; out of order: %t", m.s.IsIdle(), m.rtt.SRTT, m.s.rack.reordered)
	}
}

// TestProbeBesideRefused has a peer have room for two of three chunks that it has refused. When
// it acknowledges one and falls silent there is a tail loss probe.
func TestProbeBesideRefused(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	for range 3 {
		m.s.Queue(make([]byte, 1000), Message{})
		m.packet()
	}
	m.rtt.Measured(20 * time.Millisecond)
	m.now += 20 * time.Millisecond
	m.shut(0, 0)
	m.now += 20 * time.Millisecond
	m.shut(0, 2000)
	m.packet()
	m.packet()
	m.now += 20 * time.Millisecond
	m.shut(1, 999)
	if m.packet() != nil {
		t.Fatal("there is room")
	}
	m.now = m.s.Deadline()
	if t3 := m.s.Expire(m.now); t3 || m.packet() == nil {
		t.Errorf("T3-rtx has expired: %t, or nothing was sent", t3)
	}
}
