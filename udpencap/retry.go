package udpencap

import (
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// What RFC 9260 section 16 suggests.
const (
	rtoInitial      = time.Second
	rtoMin          = time.Second
	rtoMax          = 60 * time.Second
	maxRetrans      = 10
	pathMaxRetrans  = 5
	heartbeatPeriod = 30 * time.Second
)

// A retry is when to try again what was not answered (RFC 9260 section 6.3),
// and when to give up.
type retry struct {
	initial, shortest, longest time.Duration
	most                       int // attempts without an answer

	srtt, rttvar time.Duration // of the round trip; zero when there is none yet
	rto          time.Duration
	errors       int           // attempts in a row without an answer
	maxRTO       time.Duration // so far
}

func (r *retry) init(o engine.Options) {
	r.set(engine.RTO{Initial: rtoInitial, Min: rtoMin, Max: rtoMax})
	r.set(o.RTO)
	r.most = maxRetrans
	if n := o.Assoc.MaxRetransmissions; n != 0 {
		r.most = n
	}
	// There is one path only, and with it the association is gone.
	if n := o.Path.MaxRetransmissions; n != 0 {
		r.most = min(r.most, n)
	}
}

// set changes those values that are not zero.
func (r *retry) set(v engine.RTO) {
	for _, f := range []struct {
		to *time.Duration
		v  time.Duration
	}{{&r.initial, v.Initial}, {&r.shortest, v.Min}, {&r.longest, v.Max}} {
		if f.v != 0 {
			*f.to = f.v
		}
	}
	r.update()
}

func (r *retry) update() {
	r.rto = r.initial
	if r.srtt != 0 {
		r.rto = r.srtt + 4*r.rttvar
	}
	r.rto = min(max(r.rto, r.shortest), r.longest)
	r.maxRTO = max(r.maxRTO, r.rto)
}

// measured takes a round trip into account.
func (r *retry) measured(rtt time.Duration) {
	rtt = max(rtt, 1)
	if r.srtt == 0 {
		r.srtt, r.rttvar = rtt, rtt/2
	} else {
		r.rttvar += ((r.srtt - rtt).Abs() - r.rttvar) / 4
		r.srtt += (rtt - r.srtt) / 8
	}
	r.update()
}

// answered takes note that the peer is there.
func (r *retry) answered() {
	if r.errors > 0 {
		r.errors = 0
		r.update()
	}
}

// unanswered reports whether to give up. If not, the next timeout is longer.
func (r *retry) unanswered() bool {
	r.errors++
	r.rto = min(2*r.rto, r.longest)
	r.maxRTO = max(r.maxRTO, r.rto)
	return r.errors > r.most
}

// backoff is the timeout after so many attempts.
func (r *retry) backoff(attempts int) time.Duration {
	return min(r.rto<<min(attempts, 16), r.longest)
}
