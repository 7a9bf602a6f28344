package sender

import (
	"math"
	"testing"
	"time"
)

const cubicSegment = 1000

// newCubic is in congestion avoidance.
func newCubic(cwnd float64) *cubic {
	c := new(cubic)
	c.init(cubicSegment)
	c.cwnd, c.ssthresh = cwnd, 0
	return c
}

func isAbout(got, want float64) bool { return math.Abs(got-want) <= 1e-6*math.Abs(want) }

// TestCubicReduction loses packets at windows of several sizes.
func TestCubicReduction(t *testing.T) {
	for _, tt := range []struct {
		name                         string
		cwnd, origin                 float64 // before
		wantCwnd, wantOrigin, wantSS float64
	}{
		{"first", 100_000, 0, 70_000, 100_000, 70_000},
		{"lower than the last one", 80_000, 100_000, 56_000, 68_000, 56_000},
		{"higher than the last one", 120_000, 100_000, 84_000, 120_000, 84_000},
		{"small", 2500, 0, 4000, 2500, 4000},
	} {
		c := newCubic(tt.cwnd)
		c.origin = tt.origin
		c.lost()
		if !isAbout(c.cwnd, tt.wantCwnd) || !isAbout(c.origin, tt.wantOrigin) || !isAbout(c.ssthresh, tt.wantSS) || c.prior != tt.cwnd {
			t.Errorf("%s: %+v", tt.name, c)
		}
	}
}

// TestCubicTimeout has T3-rtx expire twice. ssthresh is that of the first time.
func TestCubicTimeout(t *testing.T) {
	c := newCubic(100_000)
	c.timeout(false)
	if c.cwnd != cubicSegment || !isAbout(c.ssthresh, 70_000) {
		t.Errorf("once: cwnd %v, ssthresh %v", c.cwnd, c.ssthresh)
	}
	c.timeout(true)
	if c.cwnd != cubicSegment || !isAbout(c.ssthresh, 70_000) {
		t.Errorf("twice: cwnd %v, ssthresh %v", c.cwnd, c.ssthresh)
	}
}

// TestCubicGrowth compares the growth after a loss with the curve of RFC 9438, where its
// terms are larger than what Reno would have.
func TestCubicGrowth(t *testing.T) {
	const rtt = 100 * time.Millisecond
	c := newCubic(1_000_000)
	c.lost()
	r := &RTT{SRTT: rtt}
	k := math.Cbrt(300 / cubicC) // seconds until cwnd is what it was
	now := time.Minute
	start := now
	for now-start < 25*time.Second {
		c.acked(now, int(c.cwnd), r) // all of it in each round trip
		now += rtt
		at := (now - start).Seconds()
		want := 1_000_000 + cubicC*math.Pow(at-k, 3)*cubicSegment
		if math.Abs(c.cwnd-want) > 0.03*want {
			t.Fatalf("after %.1f s cwnd is %.0f, want %.0f", at, c.cwnd, want)
		}
	}
}

// TestCubicGrowthIsBounded has much time pass between acknowledgements.
func TestCubicGrowthIsBounded(t *testing.T) {
	c := newCubic(100_000)
	c.lost()
	r := &RTT{SRTT: 10 * time.Second}
	c.acked(time.Second, 1000, r)
	before := c.cwnd
	c.acked(time.Hour, int(before), r)
	if c.cwnd > 1.5*before*1.001 || c.cwnd < 1.4*before {
		t.Errorf("cwnd is %v, was %v", c.cwnd, before)
	}
}

// TestCubicIsFriendly has round trips so short that Reno would be faster: cwnd is what
// Reno's is with CUBIC's reduction, and with its own once cwnd is what it was.
func TestCubicIsFriendly(t *testing.T) {
	c := newCubic(100_000)
	c.lost()
	r := &RTT{SRTT: time.Millisecond}
	now := time.Second
	var grown []float64 // in each round trip
	for range 200 {
		before := c.cwnd
		c.acked(now, int(c.cwnd), r)
		grown = append(grown, c.cwnd-before)
		now += r.SRTT
	}
	if first := grown[5]; math.Abs(first-renoAlpha*cubicSegment) > 10 {
		t.Errorf("in a round trip cwnd grows by %.0f, want %.0f", first, renoAlpha*cubicSegment)
	}
	if last := grown[199]; c.cwnd <= 100_000 || math.Abs(last-cubicSegment) > 10 {
		t.Errorf("later cwnd is %.0f, and grows by %.0f, want %d", c.cwnd, last, cubicSegment)
	}
}

// TestCubicUnused has the window not be needed for a while. It does not grow for that.
func TestCubicUnused(t *testing.T) {
	c := newCubic(1_000_000)
	c.lost()
	r := &RTT{SRTT: 100 * time.Millisecond}
	now := time.Second
	for range 20 {
		c.acked(now, int(c.cwnd), r)
		now += r.SRTT
	}
	before := c.cwnd
	c.unused()
	now += time.Hour
	c.acked(now, int(c.cwnd), r)
	if c.cwnd > 1.1*before {
		t.Errorf("cwnd is %.0f, was %.0f", c.cwnd, before)
	}
}

// TestCubicIdle has pauses of several timeouts: each halves cwnd, and ssthresh remembers.
func TestCubicIdle(t *testing.T) {
	for _, tt := range []struct {
		pause      time.Duration
		cwnd, want float64
		ssthresh   float64
	}{
		{time.Second, 100_000, 100_000, 0},
		{time.Second + 1, 100_000, 50_000, 75_000},
		{2*time.Second + 1, 100_000, 25_000, 75_000},
		{time.Hour, 100_000, 4000, 75_000},
		{time.Hour, 3000, 3000, 0},
	} {
		c := newCubic(tt.cwnd)
		c.idle(tt.pause, time.Second)
		if c.cwnd != tt.want || c.ssthresh != tt.ssthresh {
			t.Errorf("after %v cwnd of %.0f is %.0f, ssthresh %.0f; want %.0f, %.0f", tt.pause, tt.cwnd, c.cwnd, c.ssthresh, tt.want, tt.ssthresh)
		}
	}
}

// TestCubicRaise takes a reduction back: the plateau is then not below cwnd.
func TestCubicRaise(t *testing.T) {
	c := newCubic(50_000)
	c.origin = 60_000
	c.raise(100_000, 90_000)
	if c.cwnd != 100_000 || c.ssthresh != 90_000 || c.origin != 100_000 {
		t.Errorf("%+v", c)
	}
	c.raise(10_000, 10_000)
	if c.cwnd != 100_000 || c.ssthresh != 90_000 || c.origin != 100_000 {
		t.Errorf("%+v", c)
	}
}
