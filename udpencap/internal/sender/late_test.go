package sender

import (
	"testing"
	"time"
)

// TestLateEnds has both ends share a busy processor, and come to their turn late and at
// different times. Nothing is lost, and next to nothing is sent again.
func TestLateEnds(t *testing.T) {
	for _, turn := range []time.Duration{5 * time.Millisecond, 30 * time.Millisecond, 70 * time.Millisecond} {
		for _, window := range []int{64 << 10, 256 << 10, 2 << 20} {
			m := newSim(t, 100*time.Microsecond)
			m.turn = turn
			m.r.window, m.s.peerWindow = window, window
			m.r.deaf = true
			var read func()
			n := 0
			read = func() {
				if n++; m.r.unread > 0 {
					m.read(window * (n%3 + 1) / 4)
				}
				m.after(turn, read)
			}
			read()
			const total = 4 << 20
			m.feed(total, 64<<10, time.Minute)
			if n := m.s.Counts.Retransmitted; n > m.s.Counts.Ordered/1000 || m.timeouts > 0 {
				t.Errorf("turns of %v, a window of %d: %d of %d chunks are sent again, T3-rtx has expired %d times", turn, window, n, m.s.Counts.Ordered, m.timeouts)
			}
		}
	}
}

// TestLateTimers has the ends of a long path be late as the processors are busy. It is not
// much slower for that, though packets are paced.
func TestLateTimers(t *testing.T) {
	rate := func(turn time.Duration) float64 {
		m := newSim(t, 50*time.Millisecond)
		m.turn = turn
		m.r.window = 2 << 20
		m.s.peerWindow = m.r.window
		const total = 16 << 20
		return rateOf(total, m.feed(total, 64<<10, time.Minute))
	}
	soon, late := rate(0), rate(40*time.Millisecond)
	if part := late / soon; part < 0.6 {
		t.Errorf("%.2f of the rate is left", part)
	}
}
