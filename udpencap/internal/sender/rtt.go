package sender

import "time"

// An RTT is the round trip time of a path, and what follows from it: the
// retransmission timeout (RFC 9260 section 6.3.1).
type RTT struct {
	Initial, Min, Max time.Duration // of RTO

	SRTT, Var time.Duration // zero as long as nothing was measured
	RTO       time.Duration
	PeakRTO   time.Duration // the longest RTO since somebody has set this to zero
}

// Base is RTO without the doublings.
func (r *RTT) Base() time.Duration {
	base := r.Initial
	if r.SRTT != 0 {
		base = r.SRTT + 4*r.Var
	}
	return min(max(base, r.Min), r.Max)
}

// Update takes the doublings of RTO back.
func (r *RTT) Update() {
	r.RTO = r.Base()
	r.PeakRTO = max(r.PeakRTO, r.RTO)
}

// Measured takes a round trip into account.
func (r *RTT) Measured(rtt time.Duration) {
	rtt = max(rtt, 1)
	if r.SRTT == 0 {
		r.SRTT, r.Var = rtt, rtt/2
	} else {
		r.Var += ((r.SRTT - rtt).Abs() - r.Var) / 4
		r.SRTT += (rtt - r.SRTT) / 8
	}
	r.Update()
}

// Double doubles RTO, as nothing was answered.
func (r *RTT) Double() {
	r.RTO = min(2*r.RTO, r.Max)
	r.PeakRTO = max(r.PeakRTO, r.RTO)
}
