package udpencap

import (
	"net/netip"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/udpencap/internal/sender"
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
	sender.RTT
	most     int // attempts without an answer
	pathMost int // attempts after which the path is inactive
	errors   int // attempts in a row without an answer
}

func (r *retry) init(o engine.Options) {
	r.set(engine.RTO{Initial: rtoInitial, Min: rtoMin, Max: rtoMax})
	r.set(o.RTO)
	r.most = maxRetrans
	if n := o.AssocParams.MaxRetransmissions; n != 0 {
		r.most = n
	}
	r.pathMost = pathMaxRetrans
	if n := o.PathParams.MaxRetransmissions; n != 0 {
		r.pathMost = n
	}
}

// check returns an error for limits that exclude each other.
func (r *retry) check() error { return engine.RTO{Min: r.Min, Max: r.Max}.Check() }

// set changes those values that are not zero.
func (r *retry) set(v engine.RTO) {
	for _, f := range []struct {
		to *time.Duration
		v  time.Duration
	}{{&r.Initial, v.Initial}, {&r.Min, v.Min}, {&r.Max, v.Max}} {
		if f.v != 0 {
			*f.to = f.v
		}
	}
	r.Update()
}

// isInactive reports whether the path has left too much unanswered.
func (r *retry) isInactive() bool { return r.errors > r.pathMost }

// answered takes note that the peer is there.
func (a *assoc) answered() {
	a.hb.doubt = false
	r := &a.retry
	if r.errors == 0 {
		return
	}
	if r.isInactive() {
		a.tellPath(engine.PathReachable)
	}
	r.errors = 0
	r.Update()
}

// unanswered reports whether to give up. If not, the next timeout is longer.
func (a *assoc) unanswered() bool {
	r := &a.retry
	wasInactive := r.isInactive()
	r.errors++
	if r.isInactive() && !wasInactive {
		a.tellPath(engine.PathUnreachable)
	}
	r.Double()
	return r.errors > r.most
}

// tellPath tells of a change of the path.
func (a *assoc) tellPath(change engine.PathChange) {
	a.tell(engine.PathEvent{Addr: netip.AddrPortFrom(a.peer.ip, a.peer.port), Change: change})
}

// backoff is the timeout after so many attempts, whatever else was not answered.
func (r *retry) backoff(attempts int) time.Duration {
	return min(r.Base()<<min(attempts, 16), r.Max)
}
