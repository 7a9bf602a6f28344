package sender

import (
	"testing"
	"time"
)

// TestRackWindow asks how long a packet may be late.
func TestRackWindow(t *testing.T) {
	const ms = time.Millisecond
	rtt := &RTT{SRTT: 50 * ms}
	for _, tt := range []struct {
		name       string
		reordered  bool
		after      uint64 // packets after it of which the last one has arrived
		recovering bool
		factor     time.Duration
		want       time.Duration
	}{
		{"one later has arrived", false, 1, false, 1, 10 * ms},
		{"two later", false, 2, false, 1, 10 * ms},
		{"three later", false, 3, false, 1, 0},
		{"others are lost", false, 1, true, 1, 0},
		{"packets come out of order", true, 3, false, 1, 10 * ms},
		{"packets come out of order, others are lost", true, 3, true, 1, 10 * ms},
		{"there were duplicates", true, 3, false, 3, 30 * ms},
		{"there were many", true, 3, false, 100, 50 * ms},
	} {
		r := rack{packet: 100, reordered: tt.reordered, factor: tt.factor}
		r.least.measured(40*ms, 1, 1)
		if got := r.window(100-tt.after, tt.recovering, rtt); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestRackFactor has duplicates be reported: once in a round trip the window grows, and
// after some recoveries without it is as it was.
func TestRackFactor(t *testing.T) {
	var r rack
	r.init()
	want := func(factor time.Duration) {
		t.Helper()
		if r.factor != factor {
			t.Errorf("the factor is %d, want %d", r.factor, factor)
		}
	}
	want(1)
	r.duplicates(10, 20)
	want(2)
	r.duplicates(15, 30)
	r.duplicates(19, 30)
	want(2) // it is the same round
	r.duplicates(20, 30)
	want(3)
	for range persistence - 1 {
		r.recovered()
	}
	want(3)
	r.recovered()
	want(1)
	r.duplicates(30, 40)
	for range persistence - 1 {
		r.recovered()
	}
	want(2)
}

// TestLeast measures a path that becomes longer, and shorter.
func TestLeast(t *testing.T) {
	const ms = time.Millisecond
	var l least
	packet := uint64(0)
	round := func(rtt time.Duration) {
		l.measured(rtt, packet+1, packet+10)
		l.measured(rtt+ms, packet+2, packet+10)
		packet += 10
	}
	want := func(rtt time.Duration) {
		t.Helper()
		if got := l.rtt(); got != rtt {
			t.Errorf("%v, want %v", got, rtt)
		}
	}
	want(0)
	round(10 * ms)
	want(10 * ms)
	for range 2*leastRounds - 1 {
		round(50 * ms)
		want(10 * ms)
	}
	round(50 * ms)
	want(50 * ms)
	round(20 * ms)
	want(20 * ms)
}
