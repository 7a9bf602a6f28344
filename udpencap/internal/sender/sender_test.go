package sender

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"
)

// packet returns the next packet, nil if there is none.
func (m *sim) packet() []byte {
	if m.s.Next(m.now) == 0 {
		return nil
	}
	return m.s.Append(nil, simRoom, m.now)
}

// sizes are the sizes of the data of the chunks of a packet.
func sizes(b []byte) (n []int) {
	for len(b) > 0 {
		k := int(binary.BigEndian.Uint16(b[2:]))
		n = append(n, k-dataHeader)
		b = b[padded(k):]
	}
	return n
}

// TestBundling looks at how messages are divided, and put into packets together.
func TestBundling(t *testing.T) {
	m := newSim(t, time.Millisecond)
	m.s.cubic.cwnd = 1 << 20
	const most = simRoom - dataHeader
	for _, tt := range []struct {
		name     string
		messages []int
		want     [][]int
	}{
		{"small ones", []int{1, 2, 3, 4}, [][]int{{1, 2, 3, 4}}},
		{"one that fits", []int{most}, [][]int{{most}}},
		{"one byte more", []int{most + 1}, [][]int{{most}, {1}}},
		{"one that fits the next packet", []int{most / 2, most / 2}, [][]int{{most / 2}, {most / 2}}},
		{"a large one after a small one", []int{100, most + 1}, [][]int{{100, most - dataHeader - 100}, {dataHeader + 101}}},
		{"a large one after one that leaves little room", []int{most - 100, most + 1}, [][]int{{most - 100}, {most}, {1}}},
		{"large ones", []int{2 * most, 2*most - 1}, [][]int{{most}, {most}, {most}, {most - 1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range tt.messages {
				m.s.Queue(make([]byte, n), Message{})
			}
			for i, want := range tt.want {
				got := sizes(m.packet())
				if len(got) != len(want) {
					t.Fatalf("packet %d has %v, want %v", i, got, want)
				}
				for k := range got {
					if got[k] != want[k] {
						t.Fatalf("packet %d has %v, want %v", i, got, want)
					}
				}
			}
			if b := m.packet(); b != nil {
				t.Errorf("there is one more packet: %v", sizes(b))
			}
			m.s.SACK(sackOf(m.s.Last(), 1<<20, nil, nil), m.now)
		})
	}
}

// TestChunks looks at each field of DATA chunks.
func TestChunks(t *testing.T) {
	m := newSim(t, time.Millisecond)
	m.s.cubic.cwnd = 1 << 20
	large := simRoom + 10
	m.s.Queue([]byte("abc"), Message{Stream: 3, PPID: 0x01020304})
	m.s.Queue([]byte("def"), Message{Stream: 3, Unordered: true})
	m.s.Queue([]byte("g"), Message{Stream: 3})
	m.s.Queue([]byte("h"), Message{Stream: 4})
	m.s.Queue(make([]byte, large), Message{Stream: 3})
	m.s.SetEnding(m.now)
	var got []byte
	for b := m.packet(); b != nil; b = m.packet() {
		got = append(got, b...)
	}
	for i, want := range []struct {
		flags       byte
		stream, ssn uint16
		ppid        uint32
	}{
		{flagBegin | flagEnd, 3, 0, 0x01020304},
		{flagBegin | flagEnd | flagUnordered, 3, 0, 0},
		{flagBegin | flagEnd, 3, 1, 0},
		{flagBegin | flagEnd, 4, 0, 0},
		{flagBegin, 3, 2, 0},
		{flagEnd | flagImmediate, 3, 2, 0}, // there is nothing after it
	} {
		if len(got) == 0 {
			t.Fatalf("there are %d chunks", i)
		}
		n := int(binary.BigEndian.Uint16(got[2:]))
		if got[0] != 0 || got[1] != want.flags || binary.BigEndian.Uint32(got[4:]) != simTSN+uint32(i) ||
			binary.BigEndian.Uint16(got[8:]) != want.stream || binary.BigEndian.Uint16(got[10:]) != want.ssn || binary.BigEndian.Uint32(got[12:]) != want.ppid {
			t.Errorf("chunk %d begins %x, want %+v", i, got[:dataHeader], want)
		}
		got = got[padded(n):]
	}
	if len(got) > 0 {
		t.Error("there are more chunks")
	}
}

// TestUnsent asks for streams with messages that were not sent entirely.
func TestUnsent(t *testing.T) {
	m := newSim(t, time.Millisecond)
	m.s.Queue(make([]byte, 10*simRoom), Message{Stream: 1})
	m.s.Queue([]byte("x"), Message{Stream: 2})
	for m.packet() != nil {
	}
	if !m.s.IsUnsent(1) || !m.s.IsUnsent(2) || m.s.IsUnsent(3) || !m.s.AnyUnsent() {
		t.Error("what cwnd has kept back does not count as unsent")
	}
	m.s.cubic.cwnd = 1 << 20
	for m.packet() != nil {
	}
	if m.s.IsUnsent(1) || m.s.IsUnsent(2) || m.s.AnyUnsent() {
		t.Error("what was sent counts as unsent")
	}
	m.s.Restart([]uint16{1})
	m.s.SACK(sackOf(m.s.Last(), 1<<20, nil, nil), m.now)
	for id, want := range map[uint16]uint16{1: 0, 2: 1} {
		m.s.Queue([]byte("x"), Message{Stream: id})
		if got := binary.BigEndian.Uint16(m.packet()[10:]); got != want {
			t.Errorf("the next message of stream %d has the number %d, want %d", id, got, want)
		}
	}
}

// TestClosedWindow has a peer without room. It is asked again and again, which is no sign
// of congestion; when there is room what it has dropped is sent at once.
func TestClosedWindow(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.r.window = 20_000
	m.s.peerWindow = m.r.window
	m.r.deaf = true
	for range 20 {
		m.s.Queue(make([]byte, 4000), Message{})
	}
	m.run(20*time.Second, func() bool { return false })
	if m.asked == 0 {
		t.Error("the peer was not asked whether it has room")
	}
	if m.s.board.flying.n > 1 {
		t.Errorf("%d chunks are in flight", m.s.board.flying.n)
	}
	cwnd := m.s.CWND()
	if cwnd < 4404 {
		t.Errorf("cwnd is %d", cwnd)
	}
	// The peer reads, and says so.
	m.r.deaf, m.r.held = false, 0
	m.r.window = 1 << 20
	start := m.now
	m.ack()
	if !m.run(time.Minute, m.isDone) {
		t.Fatal("not all has arrived")
	}
	if took := m.now - start; took > 500*time.Millisecond {
		t.Errorf("after the window was open it took %v", took)
	}
}

// TestTailLoss loses the last packets of a burst. A probe shows it, long before T3-rtx.
func TestTailLoss(t *testing.T) {
	for _, n := range []int{1, 2} {
		m := newSim(t, 10*time.Millisecond)
		m.feed(10_000, 1000, time.Minute) // there has been a round trip
		first, last := m.packets+1, m.packets+5
		m.s.cubic.cwnd = 1 << 20
		m.drop = func(packet int, _ []byte) bool { return packet > last-n && packet <= last }
		for range last - first + 1 {
			m.s.Queue(make([]byte, 1000), Message{})
		}
		start := m.now
		if !m.run(time.Minute, m.isDone) {
			t.Fatal("not all has arrived")
		}
		if m.timeouts > 0 {
			t.Errorf("T3-rtx has expired %d times", m.timeouts)
		}
		if took := m.now - start; took > 400*time.Millisecond {
			t.Errorf("%d lost: it took %v", n, took)
		}
		// That is a loss as any other, though nothing else has shown it.
		m.s.Queue(make([]byte, 1000), Message{})
		m.run(time.Minute, m.isDone)
		if m.s.cubic.ssthresh == math.Inf(1) {
			t.Errorf("%d lost: cwnd was not reduced", n)
		}
	}
}

// TestTailProbeForNothing has an acknowledgement be so late that a probe is sent. That is
// no sign of congestion.
func TestTailProbeForNothing(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.feed(10_000, 1000, time.Minute)
	m.late = func(int) time.Duration { return 300 * time.Millisecond }
	m.s.Queue(make([]byte, 1000), Message{})
	if !m.run(time.Minute, m.isDone) {
		t.Fatal("not all has arrived")
	}
	m.run(time.Second, func() bool { return false })
	m.late = nil
	m.s.Queue(make([]byte, 1000), Message{})
	m.run(time.Minute, m.isDone)
	if m.s.Counts.Retransmitted == 0 || m.timeouts > 0 {
		t.Fatalf("%d chunks were sent again, and T3-rtx has expired %d times", m.s.Counts.Retransmitted, m.timeouts)
	}
	if m.s.cubic.ssthresh != math.Inf(1) {
		t.Error("cwnd was reduced")
	}
}

// TestTimeouts has a peer that is silent, and then answers.
func TestTimeouts(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.feed(10_000, 1000, time.Minute)
	m.drop = func(int, []byte) bool { return true }
	for range 3 {
		m.s.Queue(make([]byte, 1000), Message{})
	}
	start := m.now
	m.run(10*time.Second, func() bool { return m.timeouts == 3 })
	if took := m.now - start; took < 7*time.Second || took > 9*time.Second {
		t.Errorf("three timeouts took %v, want 1, 2 and 4 s", took)
	}
	if got := m.s.CWND(); got != simRoom+commonHeader {
		t.Errorf("cwnd is %d, want one packet", got)
	}
	m.drop = nil
	if !m.run(time.Minute, m.isDone) {
		t.Fatal("not all has arrived")
	}
	m.s.board.check(t)
}

// TestSpuriousTimeout has the path stand still for longer than RTO. When the peer tells
// that nothing was lost, cwnd is what it was.
func TestSpuriousTimeout(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.feed(1<<20, 16<<10, time.Minute)
	cwnd := m.s.CWND()
	if cwnd < 50_000 {
		t.Fatalf("cwnd is %d", cwnd)
	}
	still := m.now + 1500*time.Millisecond
	m.late = func(int) time.Duration { return max(0, still-m.now) }
	for range 20 {
		m.s.Queue(make([]byte, 1400), Message{})
	}
	m.run(time.Minute, func() bool { return m.timeouts > 0 })
	if got := m.s.CWND(); got > 2*simRoom {
		t.Fatalf("after a timeout cwnd is %d", got)
	}
	if !m.run(time.Minute, m.isDone) {
		t.Fatal("not all has arrived")
	}
	m.run(time.Second, func() bool { return false })
	if got := m.s.CWND(); got < cwnd/2 {
		t.Errorf("cwnd is %d, was %d", got, cwnd)
	}
}

// TestLostAgain loses a chunk again and again. Chunks that were sent later tell each time,
// so that T3-rtx need not.
func TestLostAgain(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.feed(100_000, 10_000, time.Minute)
	tsn := m.s.Last() + 5
	times := 0
	m.drop = func(_ int, b []byte) bool {
		for len(b) > 0 {
			if binary.BigEndian.Uint32(b[4:]) == tsn && times < 4 {
				times++
				return true
			}
			b = b[padded(int(binary.BigEndian.Uint16(b[2:]))):]
		}
		return false
	}
	start := m.now
	total := 4_000_000
	var sent int
	done := m.run(time.Minute, func() bool {
		for ; sent < total; sent += 10_000 {
			if _, held := m.s.Held(); held > 2_000_000 {
				break
			}
			m.s.Queue(make([]byte, 10_000), Message{})
		}
		return sent >= total && m.isDone()
	})
	if !done || times != 4 {
		t.Fatalf("not all has arrived, or the chunk was lost %d times", times)
	}
	if m.timeouts > 0 {
		t.Errorf("T3-rtx has expired %d times in %v", m.timeouts, m.now-start)
	}
}

// TestPacing sends a large window after a pause. It does not go at once.
func TestPacing(t *testing.T) {
	m := newSim(t, 50*time.Millisecond)
	m.feed(5<<20, 64<<10, time.Minute)
	if m.s.CWND() < 200_000 {
		t.Fatalf("cwnd is %d", m.s.CWND())
	}
	m.now += 200 * time.Millisecond
	m.s.Queue(make([]byte, 200_000), Message{})
	n := 0
	for m.s.Next(m.now) > 0 {
		n += len(m.s.Append(nil, simRoom, m.now))
	}
	if n < burst*simRoom/2 || n > 150_000 {
		t.Errorf("%d bytes have gone at once, cwnd is %d", n, m.s.CWND())
	}
	if at := m.s.Deadline(); at <= m.now || at > m.now+10*time.Millisecond {
		t.Errorf("the next ones go after %v", at-m.now)
	}
}

// TestIdleWindow has cwnd shrink while nothing is sent.
func TestIdleWindow(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.feed(1<<20, 16<<10, time.Minute)
	before := m.s.CWND()
	m.now += time.Minute
	m.s.Queue([]byte("x"), Message{})
	m.packet()
	if got := m.s.CWND(); got >= before || got != initialWindow(simRoom+commonHeader) {
		t.Errorf("cwnd is %d, before %d", got, before)
	}
}

// TestMostAhead keeps the peer from having more than it can keep track of.
func TestMostAhead(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.s.cubic.cwnd = 1 << 30
	m.s.peerWindow = 1 << 30
	for range mostAhead + 100 {
		m.s.Queue([]byte("x"), Message{})
	}
	for m.packet() != nil {
	}
	if got := m.s.Unacked(); got != mostAhead {
		t.Errorf("%d chunks are in flight, want %d", got, mostAhead)
	}
}

// TestStop forgets everything.
func TestStop(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.s.Queue(make([]byte, 100_000), Message{})
	m.packet()
	last := m.s.Last()
	m.s.Stop()
	n, held := m.s.Held()
	if n != 0 || held != 0 || !m.s.IsIdle() || m.s.Deadline() != 0 || m.packet() != nil || m.s.Last() != last || m.s.AnyUnsent() {
		t.Error("something is left")
	}
}

// TestResend sends again what is in flight, without a reduction of cwnd.
func TestResend(t *testing.T) {
	m := flight(t, 10)
	m.s.Resend(m.now)
	m.s.board.check(t)
	for m.s.Next(m.now) > 0 {
		m.s.Append(nil, simRoom, m.now)
	}
	if m.s.Counts.Retransmitted != 10 || m.s.recovering {
		t.Errorf("%d chunks were sent again; recovering: %t", m.s.Counts.Retransmitted, m.s.recovering)
	}
}

// TestSmallerPackets has packets become smaller while larger chunks are lost. Each of
// these goes alone.
func TestSmallerPackets(t *testing.T) {
	m := flight(t, 3)
	m.s.SetRoom(1000)
	m.s.Resend(m.now)
	for i := range 3 {
		if m.s.Next(m.now) == 0 {
			t.Fatalf("chunk %d is not sent", i)
		}
		if got := sizes(m.s.Append(nil, 1000, m.now)); len(got) != 1 || got[0] != simRoom-dataHeader {
			t.Fatalf("packet %d has %v", i, got)
		}
	}
	m.s.Queue(make([]byte, 1200), Message{})
	m.s.Next(m.now)
	if got := sizes(m.s.Append(nil, 1000, m.now)); len(got) != 1 || got[0] != 984 {
		t.Errorf("a packet has %v", got)
	}
}

// TestAllocations sends and acknowledges in the steady state.
func TestAllocations(t *testing.T) {
	m := newSim(t, time.Millisecond)
	buf := make([]byte, 0, 2000)
	p := make([]byte, 64<<10)
	v := sackOf(0, 1<<20, nil, nil)
	round := func() {
		m.now += 100 * time.Microsecond
		m.s.Queue(p, Message{Stream: 1})
		for {
			for m.s.Next(m.now) > 0 {
				buf = m.s.Append(buf[:0], simRoom, m.now)
			}
			binary.BigEndian.PutUint32(v, m.s.Last())
			if !m.s.Accepts(v) {
				t.Fatal("not accepted")
			}
			m.s.SACK(v, m.now)
			if m.isDone() {
				return
			}
			m.now += 10 * time.Millisecond
		}
	}
	for range 100 {
		round()
	}
	// Pools may lose a message to the garbage collector.
	if n := testing.AllocsPerRun(100, round); n >= 1 {
		t.Errorf("%v allocations for a message", n)
	}
}

// TestLosesLarge loses large packets alone, or what it loses at random.
func TestLosesLarge(t *testing.T) {
	for _, tt := range []struct {
		name string
		drop func(packet int, b []byte) bool
		want bool
	}{
		{"large ones", func(_ int, b []byte) bool { return slices.Max(sizes(b)) > 1300 }, true},
		{"every fifth", func(packet int, _ []byte) bool { return packet%5 == 0 }, false},
	} {
		m := newSim(t, 10*time.Millisecond)
		m.drop = tt.drop
		got := false
		for i := range 600 {
			n := 100
			if i%20 == 0 {
				n = 1400
			}
			m.s.Queue(make([]byte, n), Message{Unordered: true})
		}
		m.run(20*time.Second, func() bool {
			got = got || m.s.LosesLarge()
			return got || m.isDone()
		})
		if got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

// TestLargestWindow has a peer with the largest window that there is. It does not count as
// none where an int has 32 bits.
func TestLargestWindow(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.s.Init(Config{TSN: simTSN, Window: math.MaxUint32, Room: simRoom, RTT: &m.rtt})
	if m.s.Window() != math.MaxInt32 {
		t.Errorf("the window is %d", m.s.Window())
	}
	const largest = -1 // as an int of 32 bits
	m.s.SACK(sackOf(simTSN-1, largest, nil, nil), m.now)
	if m.s.Window() != math.MaxInt32 {
		t.Errorf("after a SACK the window is %d", m.s.Window())
	}
}
