package sender

import "time"

// A rack finds out what is lost by the time at which other packets were sent that have
// arrived (RACK, RFC 8985 section 6).
type rack struct {
	packet uint64        // the one sent last of those that have arrived,
	rtt    time.Duration // and its round trip
	first  uint64        // the same, of chunks that were sent once
	least  least

	reordered bool          // packets were seen to come out of order
	factor    time.Duration // of the reordering window
	persist   int           // recoveries until it is 1 again
	round     uint32        // TSN that ends the round in which the factor has grown
	inRound   bool
}

const (
	dupThresh    = 3 // packets after a lost one, where nothing comes out of order
	persistence  = 16
	windowParts  = 4 // of the shortest round trip are the reordering window
	firstFactor  = 1
	probeSlack   = 5 * time.Millisecond   // for timers and the peer's processors
	longestDelay = 200 * time.Millisecond // of an acknowledgement
)

func (r *rack) init() { *r = rack{factor: firstFactor} }

// A least is the shortest round trip of the last rounds. That of all time says nothing of
// a path that has become longer, as a queue does that has filled, or a peer that is busy
// (RFC 8985 section 6.2, step 1).
type least struct {
	now, last time.Duration // of the rounds that are counted, and of those before; 0 for none
	rounds    int           // that are counted
	end       uint64        // packet that ends the round
}

// leastRounds is how many rounds are counted together.
const leastRounds = 4

// measured takes a round trip into account, of a packet that was acknowledged. newest is the
// last that was sent.
func (l *least) measured(rtt time.Duration, packet, newest uint64) {
	if packet > l.end {
		l.end = newest
		if l.rounds++; l.rounds > leastRounds {
			l.last, l.now, l.rounds = l.now, 0, 1
		}
	}
	if l.now == 0 || rtt < l.now {
		l.now = rtt
	}
}

func (l *least) rtt() time.Duration {
	if l.last == 0 {
		return l.now
	}
	return min(l.now, l.last)
}

// window is how long a chunk that was sent in a packet may come after later ones.
func (r *rack) window(packet uint64, recovering bool, rtt *RTT) time.Duration {
	if !r.reordered && (recovering || r.packet >= packet+dupThresh) {
		return 0
	}
	return min(r.factor*r.least.rtt()/windowParts, rtt.SRTT)
}

// duplicates takes note that the peer has reported duplicates: the window was too
// small. cum is what is acknowledged, and next the next TSN to be sent.
func (r *rack) duplicates(cum, next uint32) {
	if r.inRound && before(cum, r.round) {
		return
	}
	r.inRound, r.round = true, next
	r.factor++
	r.persist = persistence
}

// recovered takes note of the end of a recovery.
func (r *rack) recovered() {
	if r.persist--; r.persist <= 0 {
		r.factor = firstFactor
	}
}

// A probe is a tail loss probe (RFC 8985 section 7).
type probe struct {
	due   time.Duration // when it is to be sent, 0 for never
	out   bool          // it was sent and not answered
	end   uint32        // the next TSN then
	again bool          // it was a chunk sent again,
	tsn   uint32        // this one
}
