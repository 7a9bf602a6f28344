package sender

import (
	"testing"
	"time"
)

// TestPacerRate sends for as long as the pacer lets it. That is somewhat more than one cwnd
// in a round trip, and in slow start two.
func TestPacerRate(t *testing.T) {
	const srtt, cwnd, size = 100 * time.Millisecond, 1_000_000, 1000
	for _, slowStart := range []bool{false, true} {
		c := newCubic(cwnd)
		want := 1.25
		if slowStart {
			c.ssthresh, want = 2*cwnd, 2
		}
		var p pacer
		now, sent := time.Minute, 0
		start := now
		for now < start+10*srtt {
			at, ok := p.ready(now)
			if !ok {
				if at < now+pacePause || at > now+5*pacePause {
					t.Fatalf("the next packet may go after %v", at-now)
				}
				now = at
				continue
			}
			p.sent(now, size, c, srtt)
			sent += size
		}
		if got := float64(sent) / 10 / cwnd; got < 0.95*want || got > 1.05*want {
			t.Errorf("slow start: %t: %.2f cwnd are sent in a round trip, want %.2f", slowStart, got, want)
		}
	}
}

// TestPacerPause sends nothing for a while. What it has not sent is not made up for, but
// for a few packets.
func TestPacerPause(t *testing.T) {
	c := newCubic(100_000)
	var p pacer
	now := time.Minute
	for _, pause := range []time.Duration{0, time.Second, time.Hour} {
		now += pause
		p.rests()
		n := 0
		for ; n < 1000; n++ {
			if _, ok := p.ready(now); !ok {
				break
			}
			p.sent(now, cubicSegment, c, 100*time.Millisecond)
		}
		if n < burst || n > burst+1 {
			t.Errorf("after %v %d packets may go at once", pause, n)
		}
	}
}

// TestPacerLate comes late each time that packets may go. What should have gone by then goes at
// once, but not more than a part of a round trip's.
func TestPacerLate(t *testing.T) {
	const srtt = 100 * time.Millisecond
	c := newCubic(1_000_000)
	for late, want := range map[time.Duration]float64{0: 1.25, 10 * time.Millisecond: 1.25, 50 * time.Millisecond: 0.625} {
		var p pacer
		now, sent := time.Minute, 0
		for start := now; now < start+10*srtt; {
			at, ok := p.ready(now)
			if !ok {
				now = at + late
				continue
			}
			p.sent(now, cubicSegment, c, srtt)
			sent += cubicSegment
		}
		if got := float64(sent) / 10 / c.cwnd; got < 0.9*want || got > 1.1*want {
			t.Errorf("%v late: %.2f cwnd are sent in a round trip, want %.2f", late, got, want)
		}
	}
}

// TestPacerShortPath does not pace where round trips are shorter than timers can be.
func TestPacerShortPath(t *testing.T) {
	c := newCubic(10_000)
	var p pacer
	for range 10_000 {
		p.sent(time.Second, 1000, c, leastPaced-1)
	}
	if _, ok := p.ready(time.Second); !ok {
		t.Error("the next packet has to wait")
	}
}
