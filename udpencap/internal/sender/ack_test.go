package sender

import (
	"math"
	"testing"
	"time"
)

// sack acknowledges so many chunks since the first one, and blocks after that, as they come
// in a packet.
func (m *sim) sack(chunks int, blocks ...[2]uint32) (progress bool) {
	m.t.Helper()
	v := sackOf(simTSN-1+uint32(chunks), m.s.peerWindow, blocks, nil)
	if !m.s.Accepts(v) {
		m.t.Fatal("not accepted")
	}
	progress = m.s.SACK(v, m.now)
	m.s.board.check(m.t)
	return progress
}

// TestAckOfResent acknowledges a chunk that was sent twice. As long as it may have been the
// first time nothing follows from it.
func TestAckOfResent(t *testing.T) {
	for _, tt := range []struct {
		times   uint16
		after   time.Duration
		packet  uint64 // that counts as the last that has arrived
		measure bool
	}{
		{1, 5 * time.Millisecond, 7, true},
		{2, 5 * time.Millisecond, 0, false},
		{2, 15 * time.Millisecond, 7, false},
	} {
		m := newSim(t, 10*time.Millisecond)
		m.rtt.Measured(10 * time.Millisecond)
		m.s.rack.least.measured(10*time.Millisecond, 1, 6)
		before := m.rtt.SRTT
		m.s.measure(&chunk{at: m.now, packet: 7, times: tt.times}, m.now+tt.after)
		if m.s.rack.packet != tt.packet || (m.rtt.SRTT != before) != tt.measure {
			t.Errorf("%+v: packet %d, SRTT %v", tt, m.s.rack.packet, m.rtt.SRTT)
		}
	}
}

// TestRecovery loses the first of ten packets. What was sent before that was found does
// not have cwnd grow, one packet goes at once, and with the last of those that were sent
// it is over.
func TestRecovery(t *testing.T) {
	m := flight(t, 10)
	m.s.cubic.cwnd = float64(m.s.board.bytes / 2)
	m.now += 20 * time.Millisecond
	m.sack(0, [2]uint32{2, 4})
	if !m.s.recovering || m.s.board.lost.n != 1 {
		t.Fatalf("recovering: %t, %d lost", m.s.recovering, m.s.board.lost.n)
	}
	if m.s.board.bytes < m.s.CWND() {
		t.Fatal("there is room in cwnd")
	}
	if b := m.packet(); !hasTSN(b, simTSN) {
		t.Error("what was lost is not sent at once")
	}
	cwnd := m.s.CWND()
	m.now += 20 * time.Millisecond
	m.sack(0, [2]uint32{2, 8})
	if got := m.s.CWND(); got != cwnd {
		t.Errorf("cwnd is %d, was %d", got, cwnd)
	}
	m.sack(9)
	if !m.s.recovering {
		t.Error("it is over too early")
	}
	m.sack(10)
	if m.s.recovering {
		t.Error("it still recovers")
	}
}

// TestTimeoutsApart has T3-rtx expire twice, with an acknowledgement between. The second
// time is not one more of the first.
func TestTimeoutsApart(t *testing.T) {
	m := flight(t, 4)
	m.s.cubic.cwnd = 100_000
	timeout := func() {
		m.now = m.s.t3
		if !m.s.Expire(m.now) {
			t.Fatal("T3-rtx has not expired")
		}
		m.s.Timeout(m.now)
	}
	timeout()
	if got := m.s.cubic.ssthresh; math.Abs(got-70_000) > 1 {
		t.Errorf("ssthresh is %v", got)
	}
	timeout()
	if got := m.s.cubic.ssthresh; math.Abs(got-70_000) > 1 {
		t.Errorf("without an answer ssthresh is %v", got)
	}
	m.sack(1)
	m.s.cubic.cwnd = 50_000
	timeout()
	if got := m.s.cubic.ssthresh; math.Abs(got-35_000) > 1 {
		t.Errorf("after an answer ssthresh is %v", got)
	}
}

// TestTimeoutForgetsProbe has T3-rtx expire after a tail loss probe was sent. What is
// acknowledged then says nothing of the probe.
func TestTimeoutForgetsProbe(t *testing.T) {
	m := flight(t, 3)
	m.s.probe = probe{out: true, end: m.s.board.next(), again: true, tsn: simTSN + 2}
	m.s.Timeout(m.now)
	if m.s.probe.out {
		t.Error("it waits for the answer to a probe")
	}
}

// TestRenegedIsNotMeasured takes a gap acknowledgement back. When the chunk is acknowledged
// nobody knows since when it was on its way.
func TestRenegedIsNotMeasured(t *testing.T) {
	m := flight(t, 5)
	m.now += 10 * time.Millisecond
	m.sack(0, [2]uint32{2, 3})
	m.sack(0)
	before := m.rtt.SRTT
	m.now += 30 * time.Millisecond
	m.sack(3)
	if m.rtt.SRTT != before {
		t.Errorf("SRTT is %v, was %v", m.rtt.SRTT, before)
	}
}

// TestOpenedWindow has a peer have room again. What it may have dropped is sent again at
// once, but not what was sent just now, nor what was sent since it had none.
func TestOpenedWindow(t *testing.T) {
	m := flight(t, 2)
	m.rtt.Measured(10 * time.Millisecond)
	m.now += 20 * time.Millisecond
	m.s.Queue(make([]byte, 100), Message{})
	m.packet()
	says := func(window int) { m.s.SACK(sackOf(simTSN-1, window, nil, nil), m.now) }
	check := func(refused, flying int) {
		t.Helper()
		if m.s.board.refused.n != refused || m.s.board.flying.n != flying || m.s.recovering {
			t.Errorf("%d are refused, %d in flight; recovering: %t", m.s.board.refused.n, m.s.board.flying.n, m.s.recovering)
		}
	}
	says(0)
	m.s.Queue(make([]byte, 100), Message{})
	if m.packet() != nil {
		t.Fatal("there is a window")
	}
	says(1 << 20)
	check(2, 1)
	for range 3 {
		m.packet()
	}
	m.now += time.Minute
	says(1 << 19)
	says(1 << 20)
	check(0, 4)
}

// TestNarrowWindow has a peer that reads slowly, but has always had room for what was sent to
// it, be late with its acknowledgement. Nothing is sent again when its window opens.
func TestNarrowWindow(t *testing.T) {
	m := flight(t, 10)
	m.rtt.Measured(10 * time.Millisecond)
	m.s.peerWindow = m.s.board.cost
	m.s.Queue(make([]byte, 100), Message{})
	if m.packet() != nil {
		t.Fatal("there is a window")
	}
	m.now += 50 * time.Millisecond
	m.s.SACK(sackOf(simTSN+1, 8*m.s.most(), nil, nil), m.now)
	m.s.SACK(sackOf(simTSN+1, 1<<20, nil, nil), m.now)
	if n := m.s.board.refused.n; n > 0 {
		t.Errorf("%d chunks count as refused", n)
	}
}

// TestUnusedWindow acknowledges while cwnd is much larger than what is sent: it does not
// grow, and the time does not count.
func TestUnusedWindow(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.s.cubic.cwnd, m.s.cubic.ssthresh, m.s.cubic.begun = 100_000, 50_000, true
	m.s.Queue(make([]byte, 1000), Message{})
	m.packet()
	m.now += 20 * time.Millisecond
	m.sack(1)
	if m.s.CWND() != 100_000 || m.s.cubic.begun {
		t.Errorf("cwnd is %d, and the time counts: %t", m.s.CWND(), m.s.cubic.begun)
	}
}

// TestProbeTime asks when a tail loss probe is sent.
func TestProbeTime(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name   string
		rtt    time.Duration // each time
		chunks int
		ending bool
		want   time.Duration // 0 for never
	}{
		{"two packets", 20 * ms, 2, false, 45 * ms},
		{"one packet", 20 * ms, 1, false, 245 * ms},
		{"one packet, the last one", 20 * ms, 1, true, 45 * ms},
		{"a long path", 400 * ms, 2, false, 0},
	} {
		m := newSim(t, 10*ms)
		for range 100 {
			m.rtt.Measured(tt.rtt)
		}
		m.s.cubic.cwnd = 1 << 20
		if tt.ending {
			m.s.SetEnding(m.now)
		}
		for range tt.chunks {
			m.s.Queue(make([]byte, 1400), Message{})
			m.packet()
		}
		got := m.s.probe.due
		if got != 0 {
			got -= m.now
		}
		if got != tt.want {
			t.Errorf("%s: after %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestImmediate asks when what is sent again wants to be acknowledged at once.
func TestImmediate(t *testing.T) {
	for _, tt := range []struct {
		name      string
		chunks    int // in flight
		more      bool
		window    int
		ending    bool
		probe     bool
		immediate bool
	}{
		{name: "nothing else", chunks: 1, window: 10_000},
		{name: "another one is on its way", chunks: 2, window: 10_000, immediate: true},
		{name: "another one is not sent", chunks: 1, more: true, window: 10_000, immediate: true},
		{name: "the last one", chunks: 1, window: 10_000, ending: true, immediate: true},
		{name: "a probe", chunks: 1, window: 10_000, probe: true, immediate: true},
		{name: "no room", chunks: 1, more: true, window: 1000},
	} {
		m := newSim(t, 10*time.Millisecond)
		m.s.cubic.cwnd = float64(tt.chunks * simRoom)
		for range tt.chunks {
			m.s.Queue(make([]byte, 1400), Message{})
			m.packet()
		}
		m.s.peerWindow = tt.window
		if tt.more {
			m.s.Queue(make([]byte, 1400), Message{})
		}
		if tt.ending {
			m.s.SetEnding(m.now)
		}
		if tt.probe {
			m.s.urgent = true
		} else {
			m.now += time.Second
			m.s.Timeout(m.now)
		}
		b := m.packet()
		if !hasTSN(b, simTSN) {
			t.Fatalf("%s: it is not sent again", tt.name)
		}
		if got := b[1]&flagImmediate != 0; got != tt.immediate {
			t.Errorf("%s: it wants to be acknowledged at once: %t", tt.name, got)
		}
	}
}

// TestNextSize asks how much room a packet needs for the beginning of a large message.
func TestNextSize(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.s.Queue(make([]byte, 10*simRoom), Message{})
	if got, want := m.s.Next(m.now), dataHeader+padded(m.s.most()/leastPart); got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
	m = newSim(t, 10*time.Millisecond)
	m.s.Queue(make([]byte, 1000), Message{})
	if got, want := m.s.Next(m.now), dataHeader+1000; got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
}

// TestForwardAgain has what was told of messages that were given up be told again, when
// the peer is somewhere else. That the peer has it is progress.
func TestForwardAgain(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.s.Queue([]byte("a"), Message{Policy: Priority, Number: 2})
	m.packet()
	m.s.MakeRoom(1, func() bool { return false })
	if b := m.packet(); len(b) == 0 || b[0] != chunkForward {
		t.Fatalf("sent %x", b)
	}
	if b := m.packet(); b != nil {
		t.Fatalf("then sent %x", b)
	}
	m.s.Resend(m.now)
	if b := m.packet(); len(b) == 0 || b[0] != chunkForward {
		t.Errorf("then sent %x", b)
	}
	if !m.sack(1) {
		t.Error("that is no progress")
	}
	m.finish()
}

// TestTimeoutOfLost has T3-rtx expire before what counts as lost already was sent again. If
// it is acknowledged then, the timeout was for nothing.
func TestTimeoutOfLost(t *testing.T) {
	m := flight(t, 1)
	m.s.cubic.cwnd = 100_000
	m.s.lose(m.s.board.at(simTSN))
	m.s.Timeout(m.now)
	if m.s.CWND() != simRoom+commonHeader {
		t.Fatalf("cwnd is %d", m.s.CWND())
	}
	m.sack(1)
	if m.s.CWND() < 100_000 {
		t.Errorf("cwnd is %d", m.s.CWND())
	}
}

// TestProbeAfterProgress has the first of three packets be acknowledged, and nothing more.
// The tail loss probe comes two round trips after that. There is one, and then T3-rtx.
func TestProbeAfterProgress(t *testing.T) {
	const ms = time.Millisecond
	m := newSim(t, 10*ms)
	for range 100 {
		m.rtt.Measured(20 * ms)
	}
	m.s.cubic.cwnd = 1 << 20
	for range 3 {
		m.s.Queue(make([]byte, 1400), Message{})
		m.packet()
	}
	m.now += 20 * ms
	m.sack(1)
	due := m.s.probe.due
	if want := m.now + 2*m.rtt.SRTT + probeSlack; due != want {
		t.Fatalf("the probe is due at %v, want %v", due, want)
	}
	m.now = due
	if m.s.Expire(m.now) {
		t.Fatal("T3-rtx has expired")
	}
	if m.packet() == nil {
		t.Fatal("there was no probe")
	}
	if got, want := m.s.Deadline(), due+m.rtt.RTO; got != want {
		t.Errorf("after the probe something is due at %v, want T3-rtx at %v", got, want)
	}
	if m.s.Expire(m.now); m.packet() != nil {
		t.Error("there was a second probe")
	}
}

// TestTimeoutOfTooMuch has T3-rtx expire for a chunk that the peer has no room for. That is
// no sign of congestion, and does not count.
func TestTimeoutOfTooMuch(t *testing.T) {
	for _, window := range []int{0, 1 << 20} {
		m := flight(t, 2)
		m.s.cubic.cwnd = 100_000
		m.s.peerWindow = window
		m.s.Timeout(m.now)
		if isFull := window == 0; (m.s.timeouts == 0) != isFull || (m.s.CWND() == 100_000) != isFull {
			t.Errorf("with a window of %d: %d timeouts, cwnd %d", window, m.s.timeouts, m.s.CWND())
		}
	}
}

// TestLargeOnesArrive loses large chunks again and again, but one of them arrives.
func TestLargeOnesArrive(t *testing.T) {
	m := flight(t, 4)
	lose := func(tsn uint32) {
		c := m.s.board.at(tsn)
		c.times = againAndAgain
		m.s.lose(c)
	}
	for i := range uint32(mostLargeLost - 1) {
		lose(simTSN + 1 + i)
	}
	m.sack(1)
	lose(simTSN + mostLargeLost)
	if m.s.LosesLarge() {
		t.Error("all large ones count as lost")
	}
}
