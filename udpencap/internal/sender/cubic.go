package sender

import (
	"math"
	"time"
)

// A cubic is congestion control as RFC 9438 describes it, with the slow start of RFC
// 9406. It counts in bytes.
type cubic struct {
	segment  float64 // the most that a packet has
	cwnd     float64
	ssthresh float64

	// Of congestion avoidance.
	epoch  time.Duration // its beginning
	begun  bool
	origin float64 // cwnd of the plateau, W_max
	k      float64 // seconds from the beginning to the plateau
	reno   float64 // W_est
	prior  float64 // cwnd before the last reduction, cwnd_prior

	start hystart
}

// The constants of RFC 9438.
const (
	cubicBeta  = 0.7
	cubicC     = 0.4
	renoAlpha  = 3 * (1 - cubicBeta) / (1 + cubicBeta)
	leastCwnd  = 4 // segments, after a loss (RFC 9260 section 7.2.3)
	minInitial = 4404
)

// initialWindow is the first cwnd (RFC 9260 section 7.2.1).
func initialWindow(segment int) int { return min(4*segment, max(2*segment, minInitial)) }

func (c *cubic) init(segment int) {
	*c = cubic{segment: float64(segment), cwnd: float64(initialWindow(segment)), ssthresh: math.Inf(1)}
	c.start.init()
}

func (c *cubic) inSlowStart() bool { return c.cwnd < c.ssthresh }

// acked has cwnd grow, as so many bytes were acknowledged while cwnd was used.
func (c *cubic) acked(now time.Duration, bytes int, rtt *RTT) {
	n := float64(bytes)
	if c.inSlowStart() {
		c.cwnd = min(c.cwnd+c.start.growth(n), max(c.ssthresh, c.cwnd))
		return
	}
	if !c.begun {
		c.begun, c.epoch, c.reno = true, now, c.cwnd
		if c.origin > c.cwnd {
			c.k = math.Cbrt((c.origin - c.cwnd) / c.segment / cubicC)
		} else {
			c.k, c.origin = 0, c.cwnd
		}
	}
	alpha := renoAlpha
	if c.reno >= c.prior {
		alpha = 1
	}
	c.reno += alpha * n / c.cwnd * c.segment
	t := now - c.epoch
	if c.at(t) < c.reno {
		c.cwnd = max(c.cwnd, c.reno)
		return
	}
	target := min(max(c.at(t+rtt.SRTT), c.cwnd), 1.5*c.cwnd)
	c.cwnd += (target - c.cwnd) * n / c.cwnd
}

// at is W_cubic.
func (c *cubic) at(t time.Duration) float64 {
	d := t.Seconds() - c.k
	return c.origin + cubicC*d*d*d*c.segment
}

// unused tells that cwnd was not used, so that the time does not count.
func (c *cubic) unused() { c.begun = false }

// lost reduces cwnd as packets were lost.
func (c *cubic) lost() {
	c.reduce()
	c.cwnd = c.ssthresh
}

func (c *cubic) reduce() {
	c.prior = c.cwnd
	if c.cwnd < c.origin {
		c.origin = c.cwnd * (1 + cubicBeta) / 2 // fast convergence
	} else {
		c.origin = c.cwnd
	}
	c.ssthresh = max(c.cwnd*cubicBeta, leastCwnd*c.segment)
	c.begun = false
}

// timeout reduces cwnd as T3-rtx has expired, to the least if again.
func (c *cubic) timeout(again bool) {
	if !again {
		c.reduce()
	}
	c.cwnd = c.segment
	c.begun = false
	c.start.init()
}

// raise has cwnd and ssthresh be this at least.
func (c *cubic) raise(cwnd, ssthresh float64) {
	c.cwnd, c.ssthresh = max(c.cwnd, cwnd), max(c.ssthresh, ssthresh)
	c.origin = max(c.origin, cwnd)
	c.begun = false
}

// idle has cwnd shrink after a pause: what it was is no longer known to be right (RFC
// 9260 section 7.2.1).
func (c *cubic) idle(pause, rto time.Duration) {
	least := float64(initialWindow(int(c.segment)))
	for ; pause > rto && c.cwnd > least; pause -= rto {
		c.ssthresh = max(c.ssthresh, 3*c.cwnd/4)
		c.cwnd = max(c.cwnd/2, least)
		c.begun = false
	}
}
