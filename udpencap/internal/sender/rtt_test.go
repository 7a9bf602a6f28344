package sender

import (
	"testing"
	"time"
)

// TestRTT compares with RFC 9260 section 6.3.1.
func TestRTT(t *testing.T) {
	const ms = time.Millisecond
	r := RTT{Initial: time.Second, Min: 10 * ms, Max: 3 * time.Second}
	r.Update()
	if r.RTO != time.Second {
		t.Errorf("RTO is %v at first", r.RTO)
	}
	for i, tt := range []struct{ rtt, srtt, rttvar, rto time.Duration }{
		{80 * ms, 80 * ms, 40 * ms, 240 * ms},
		{160 * ms, 90 * ms, 50 * ms, 290 * ms},
		{10 * ms, 80 * ms, 57500 * time.Microsecond, 310 * ms},
	} {
		r.Measured(tt.rtt)
		if r.SRTT != tt.srtt || r.Var != tt.rttvar || r.RTO != tt.rto {
			t.Errorf("after %d: %+v, want %+v", i+1, r, tt)
		}
	}
	if r.PeakRTO != time.Second {
		t.Errorf("the longest RTO is %v", r.PeakRTO)
	}
	for _, want := range []time.Duration{620 * ms, 1240 * ms, 2480 * ms, 3000 * ms, 3000 * ms} {
		if r.Double(); r.RTO != want || r.PeakRTO != max(time.Second, want) {
			t.Errorf("doubled it is %v, the longest %v; want %v", r.RTO, r.PeakRTO, want)
		}
	}
	r.PeakRTO = 0
	if r.Update(); r.RTO != 310*ms || r.PeakRTO != 310*ms {
		t.Errorf("when it is answered RTO is %v, the longest %v", r.RTO, r.PeakRTO)
	}
	for range 100 {
		r.Measured(0)
	}
	if r.RTO != r.Min || r.SRTT <= 0 {
		t.Errorf("after short round trips: %+v", r)
	}
}
