package sender

import (
	"math"
	"time"
)

// A hystart ends slow start before packets are lost, when round trips become longer
// (HyStart++, RFC 9406).
type hystart struct {
	end       uint64        // packet that ends the round
	last, now time.Duration // the shortest round trip of the last round, and of this one
	samples   int
	css       int // rounds of conservative slow start that are left, 0 if it is slow start
	baseline  time.Duration
}

// The constants of RFC 9406.
const (
	hystartMin     = 4 * time.Millisecond
	hystartMax     = 16 * time.Millisecond
	hystartDivisor = 8
	hystartSamples = 8
	cssDivisor     = 4
	cssRounds      = 5

	noRTT = math.MaxInt64
)

func (h *hystart) init() { *h = hystart{last: noRTT, now: noRTT} }

// growth is by how much cwnd grows. All packets are paced, so there is no limit L.
func (h *hystart) growth(acked float64) float64 {
	if h.css > 0 {
		return acked / cssDivisor
	}
	return acked
}

// measured takes a round trip into account. packet was acknowledged, and newest is the
// last that was sent. It reports whether slow start is over.
func (h *hystart) measured(rtt time.Duration, packet, newest uint64) (over bool) {
	if packet > h.end {
		h.end = newest
		h.last, h.now, h.samples = h.now, noRTT, 0
		if h.css > 0 {
			if h.css--; h.css == 0 {
				return true
			}
		}
	}
	h.now = min(h.now, rtt)
	h.samples++
	if h.samples < hystartSamples || h.last == noRTT {
		return false
	}
	switch {
	case h.css > 0:
		if h.now < h.baseline {
			h.css = 0 // that was jitter
		}
	case h.now >= h.last+min(max(h.last/hystartDivisor, hystartMin), hystartMax):
		h.baseline = h.now
		h.css = cssRounds
	}
	return false
}
