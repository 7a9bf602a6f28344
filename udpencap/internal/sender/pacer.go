package sender

import "time"

// A pacer spreads packets over the round trip. It owes nothing to those who send
// little: after a pause some packets may go at once.
type pacer struct {
	next  time.Duration // when the next packet would go if all went evenly
	waits bool          // packets have had to wait for that, and not for anything else
}

const (
	// leastPaced is the shortest round trip that packets are spread over. Timers are
	// too coarse for shorter ones, and acknowledgements come often enough.
	leastPaced = 2 * time.Millisecond
	// pacePause is how long a pause is at least. What would go in it goes at its end.
	pacePause = time.Millisecond
	burst     = 10 // packets that may go at once
	// lateParts is which part of a round trip's packets may go at once if they have waited
	// for a timer and it was late, as where the processors are busy.
	lateParts = 4
)

// ready reports whether a packet may go now, and if not, when.
func (p *pacer) ready(now time.Duration) (at time.Duration, ok bool) {
	if now >= p.next {
		return 0, true
	}
	p.waits = true
	return p.next + pacePause, false
}

// rests tells that something else keeps packets back, or that there are none.
func (p *pacer) rests() { p.waits = false }

// sent takes note of a packet.
func (p *pacer) sent(now time.Duration, bytes int, c *cubic, srtt time.Duration) {
	if srtt < leastPaced {
		return
	}
	// Somewhat faster than one cwnd in a round trip, so that acknowledgements and
	// not the clock have the last word; in slow start twice as fast, as cwnd doubles.
	gain := 1.25
	if c.inSlowStart() {
		gain = 2
	}
	each := float64(srtt) / (gain * c.cwnd) // a byte
	credit := time.Duration(max(burst*c.segment*each, float64(2*pacePause)))
	if p.waits {
		credit = max(credit, srtt/lateParts)
	}
	p.next = max(p.next, now-credit) + time.Duration(float64(bytes)*each)
}
