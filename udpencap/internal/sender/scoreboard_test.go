package sender

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// flight returns a sender that has sent so many chunks of a packet each, and the
// peer's window as large as that takes.
func flight(t *testing.T, n int) *sim {
	t.Helper()
	m := newSim(t, 10*time.Millisecond)
	m.s.peerWindow = 1 << 30
	m.s.cubic.cwnd = 1 << 30
	for range n {
		m.s.Queue(make([]byte, m.s.most()), Message{Stream: 1})
	}
	for m.s.Next(m.now) > 0 {
		m.s.Append(nil, simRoom, m.now)
	}
	if got := m.s.Unacked(); got != n {
		t.Fatalf("%d chunks are in flight, want %d", got, n)
	}
	return m
}

// check compares what the scoreboard counts with what it has.
func (b *scoreboard) check(t *testing.T) {
	t.Helper()
	flying, lostOnes, refusedOnes, gaps, over, bytes, cost := 0, 0, 0, 0, 0, 0, 0
	for i := range b.n {
		c := b.at(b.cum + 1 + uint32(i))
		if c.tsn != b.cum+1+uint32(i) {
			t.Fatalf("chunk %d has the TSN %d", i, c.tsn)
		}
		switch c.state {
		case inFlight:
			flying++
			bytes += c.size()
			cost += c.cost()
		case lost:
			lostOnes++
		case refused:
			refusedOnes++
		case acked:
			gaps++
		case abandoned:
			over++
		}
		if c.m.over != (c.state == abandoned) {
			t.Fatalf("chunk %d is in state %d, its message given up: %t", i, c.state, c.m.over)
		}
	}
	if over != b.over {
		t.Fatalf("counted %d abandoned, there are %d", b.over, over)
	}
	if flying != b.flying.n || lostOnes != b.lost.n || refusedOnes != b.refused.n || gaps != b.acked || bytes != b.bytes || cost != b.cost {
		t.Fatalf("counted %d in flight of %d bytes (%d), %d lost, %d refused, %d acknowledged; there are %d of %d bytes (%d), %d, %d, %d",
			b.flying.n, b.bytes, b.cost, b.lost.n, b.refused.n, b.acked, flying, bytes, cost, lostOnes, refusedOnes, gaps)
	}
	for l, want := range map[*list]state{&b.flying: inFlight, &b.lost: lost, &b.refused: refused} {
		tsn, packet := l.head, uint64(0)
		for i := range l.n {
			c := b.at(tsn)
			if c.state != want {
				t.Fatalf("a chunk in state %d is on the list of state %d", c.state, want)
			}
			if want == inFlight && c.packet < packet {
				t.Fatalf("packet %d comes after packet %d", c.packet, packet)
			}
			if next := c.links.after; want == refused && i < l.n-1 && !before(tsn, next) {
				t.Fatalf("TSN %d comes after %d", next, tsn)
			}
			packet = c.packet
			if i == l.n-1 && tsn != l.tail {
				t.Fatal("the list has another end")
			}
			tsn = c.links.after
		}
	}
}

// TestImpossibleSACKs has the peer acknowledge what was not sent, and by blocks that no
// peer sends that has counted well.
func TestImpossibleSACKs(t *testing.T) {
	const n = 6
	for _, tt := range []struct {
		cum    int // after what was acknowledged before
		blocks [][2]uint32
		ok     bool
	}{
		{0, nil, true},
		{n, nil, true},
		{n + 1, nil, false},
		{-1, nil, false},
		{1 << 30, nil, false},
		{-1 << 31, nil, false},
		{0, [][2]uint32{{2, 3}, {5, 6}}, true},
		{0, [][2]uint32{{2, 3}, {4, 4}}, true},
		{2, [][2]uint32{{2, 4}}, true},
		{2, [][2]uint32{{2, 5}}, false},
		{0, [][2]uint32{{0, 2}}, false},
		{0, [][2]uint32{{1, 2}}, false},
		{0, [][2]uint32{{3, 2}}, false},
		{0, [][2]uint32{{2, 7}}, false},
		{0, [][2]uint32{{7, 7}}, false},
		{0, [][2]uint32{{2, 65535}}, false},
		{0, [][2]uint32{{2, 4}, {2, 4}}, false},
		{0, [][2]uint32{{2, 4}, {4, 5}}, false},
		{0, [][2]uint32{{5, 6}, {2, 3}}, false},
		{n, [][2]uint32{{2, 2}}, false},
	} {
		t.Run(fmt.Sprint(tt.cum, tt.blocks), func(t *testing.T) {
			m := flight(t, n)
			v := sackOf(simTSN-1+uint32(tt.cum), 1<<20, tt.blocks, nil)
			if ok := m.s.Accepts(v); ok != tt.ok {
				t.Fatalf("accepted: %t", ok)
			}
			for k := range v {
				if m.s.Accepts(v[:k]) {
					t.Fatalf("accepted when cut to %d bytes", k)
				}
			}
			if tt.ok {
				m.s.SACK(v, m.now)
				m.s.board.check(t)
			}
		})
	}
}

// TestReneging has the peer drop what a gap block has acknowledged. It is in flight again,
// and sent again when later chunks have arrived.
func TestReneging(t *testing.T) {
	m := flight(t, 10)
	ack := func(cum uint32, blocks ...[2]uint32) {
		t.Helper()
		v := sackOf(simTSN-1+cum, 1<<20, blocks, nil)
		if !m.s.Accepts(v) {
			t.Fatalf("%v is not accepted", blocks)
		}
		m.s.SACK(v, m.now)
		m.s.board.check(t)
	}
	m.now += 20 * time.Millisecond
	ack(1, [2]uint32{2, 3}, [2]uint32{5, 7})
	if got := m.s.Unacked(); got != 4 {
		t.Fatalf("%d are not acknowledged, want 4", got)
	}
	ack(1, [2]uint32{2, 2})
	if got := m.s.Unacked(); got != 8 {
		t.Fatalf("%d are not acknowledged, want 8", got)
	}
	// That was an old SACK. The next one has all.
	ack(1, [2]uint32{2, 9})
	if got := m.s.Unacked(); got != 1 {
		t.Fatalf("%d are not acknowledged, want 1", got)
	}
	ack(4)
	if got := m.s.Unacked(); got != 6 {
		t.Fatalf("%d are not acknowledged, want 6", got)
	}
	// The receiver has none of them.
	m.r.cum = simTSN - 1 + 4
	if !m.run(time.Minute, m.isDone) {
		t.Fatalf("what the peer has dropped was not sent again: %d chunks are left", m.s.Unacked())
	}
	m.s.board.check(t)
}

// TestLeftOutBlocks has a SACK with as many blocks as there is room for. What comes after
// them is acknowledged still.
func TestLeftOutBlocks(t *testing.T) {
	m := flight(t, 100)
	var blocks [][2]uint32
	for i := range uint32(20) {
		blocks = append(blocks, [2]uint32{2 + 3*i, 3 + 3*i})
	}
	ack := func(blocks [][2]uint32) {
		m.s.SACK(sackOf(simTSN-1, 1<<20, blocks, nil), m.now)
		m.s.board.check(t)
	}
	ack(blocks)
	if got := m.s.Unacked(); got != 60 {
		t.Fatalf("%d are not acknowledged, want 60", got)
	}
	ack(blocks[:mostBlocks])
	if got := m.s.Unacked(); got != 60 {
		t.Errorf("%d are not acknowledged, want 60", got)
	}
	ack(blocks[:mostBlocks-1])
	if got := m.s.Unacked(); got != 70 {
		t.Errorf("%d are not acknowledged, want 70", got)
	}
}

// TestRandomSACKs compares the scoreboard with a set of TSNs.
func TestRandomSACKs(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		m := flight(t, 200)
		has := make(map[uint32]bool) // above cum
		cum := uint32(simTSN - 1)
		for range 200 {
			m.now += time.Duration(rnd.IntN(5)) * time.Millisecond
			last := m.s.Last()
			for range rnd.IntN(8) {
				tsn := cum + 1 + uint32(rnd.IntN(20))
				if !before(last, tsn) {
					has[tsn] = rnd.IntN(5) > 0
				}
			}
			for has[cum+1] {
				delete(has, cum+1)
				cum++
			}
			var blocks [][2]uint32
			gaps := 0
			for tsn := cum + 2; !before(last, tsn); tsn++ {
				if !has[tsn] {
					continue
				}
				gaps++
				if k := len(blocks) - 1; k >= 0 && blocks[k][1] == tsn-cum-1 {
					blocks[k][1]++
				} else {
					blocks = append(blocks, [2]uint32{tsn - cum, tsn - cum})
				}
			}
			v := sackOf(cum, 1<<20, blocks, nil)
			if !m.s.Accepts(v) {
				t.Fatalf("seed %d: %v is not accepted", seed, blocks)
			}
			m.s.SACK(v, m.now)
			m.s.board.check(t)
			if got, want := m.s.board.acked, gaps; len(blocks) < mostBlocks && got != want {
				t.Fatalf("seed %d: %d chunks are acknowledged by gap blocks, want %d", seed, got, want)
			}
			for m.s.Next(m.now) > 0 {
				m.s.Append(nil, simRoom, m.now)
			}
			m.s.board.check(t)
			if m.s.Expire(m.now) {
				m.s.Timeout(m.now)
			}
		}
	}
}

// TestCumulativeAckKeepsBlocks has a SHUTDOWN acknowledge less than a SACK before.
func TestCumulativeAckKeepsBlocks(t *testing.T) {
	m := flight(t, 10)
	m.s.SACK(sackOf(simTSN-1, 1<<20, [][2]uint32{{3, 5}, {7, 8}}, nil), m.now)
	if m.s.AcceptsCumulative(simTSN-2) || m.s.AcceptsCumulative(simTSN+10) {
		t.Error("an impossible acknowledgement is accepted")
	}
	m.s.CumulativeAck(simTSN, m.now)
	m.s.board.check(t)
	if got := m.s.Unacked(); got != 4 {
		t.Errorf("%d are not acknowledged, want 4", got)
	}
}

// FuzzSACK hands SACKs to a sender as they come from the network.
func FuzzSACK(f *testing.F) {
	f.Add(sackOf(simTSN+3, 1<<20, [][2]uint32{{2, 3}, {5, 9}}, []uint32{simTSN}), uint16(5))
	f.Add(sackOf(simTSN-1, 0, nil, nil), uint16(2000))
	var many []byte
	for i := range uint32(20) {
		many = append(many, sackOf(simTSN+i, 1<<20, [][2]uint32{{2 + i%3, 4}}, nil)...)
	}
	f.Add(many, uint16(400))
	f.Fuzz(func(t *testing.T, b []byte, ms uint16) {
		b = b[:min(len(b), 2000)]
		m := &sim{t: t, now: time.Second}
		m.rtt = RTT{Initial: time.Second, Min: time.Second, Max: 60 * time.Second}
		m.rtt.Update()
		m.s.Init(Config{TSN: simTSN, Window: 1 << 20, Room: simRoom, RTT: &m.rtt})
		for i := range 40 {
			m.s.Queue(make([]byte, 1+i*200), Message{Stream: uint16(i / 2), Policy: Policy(i % 4), Number: uint32(i % 3), Expires: m.now + time.Duration(i)*100*time.Millisecond})
		}
		for len(b) >= 12 {
			for m.s.Next(m.now) > 0 {
				m.s.Append(nil, simRoom, m.now)
			}
			m.s.board.check(t)
			// The lengths are made right, so that more of them are accepted.
			n := 12 + 4*(int(b[9])%8+int(b[11])%4)
			if n > len(b) {
				return
			}
			v := append([]byte(nil), b[:n]...)
			v[8], v[9], v[10], v[11] = 0, v[9]%8, 0, v[11]%4
			b = b[n:]
			if m.s.Accepts(v) {
				m.s.SACK(v, m.now)
			}
			if ms%8 == 0 {
				m.s.MakeRoom(1, func() bool { n, _ := m.s.Held(); return n < 30 })
			}
			m.s.board.check(t)
			m.now += time.Duration(ms) * time.Millisecond
			if m.s.Expire(m.now) {
				m.rtt.Double()
				m.s.Timeout(m.now)
			}
			m.s.board.check(t)
		}
	})
}

// TestIdleIsSmall sends much, and has all be acknowledged. The memory for that is given
// back.
func TestIdleIsSmall(t *testing.T) {
	m := flight(t, 1000)
	m.sack(1000)
	if n := len(m.s.board.chunks); n != 0 {
		t.Errorf("there is room for %d chunks", n)
	}
}
