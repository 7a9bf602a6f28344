package sender

import (
	"math"
	"time"
)

// What the peer has no room for it drops, and says so. Then one packet is sent again from time
// to time, to find out whether there is room, as the SACK that says so may be lost (RFC 9260
// section 6.1, rule A). The time between two of them doubles.

// longestPause is how long that time is at most. A Close gives up after 30 seconds in which
// nothing is acknowledged. By then the peer must have been asked.
const longestPause = 15 * time.Second

// windowOf is a window as an int, which may have 32 bits.
func windowOf(n uint32) int { return int(min(n, math.MaxInt32)) }

// Window is how much of the peer's window is free.
func (s *Sender) Window() int { return max(0, s.peerWindow-s.board.cost) }

// isAllowed reports whether a new chunk may go.
func (s *Sender) isAllowed(n int) bool { return s.board.n < mostAhead && s.hasRoom(n) }

// hasRoom reports whether the peer's window has room for a chunk. One chunk goes when there
// is none in flight, to find out (RFC 9260 section 6.1, rule A).
func (s *Sender) hasRoom(n int) bool {
	return s.board.cost+costOf(n) <= s.peerWindow || s.board.flying.n == 0
}

// waits reports whether a chunk that is to be sent again has to wait for room.
func (s *Sender) waits(c *chunk) bool { return c.state == refused && !s.urgent && !s.hasRoom(c.n) }

// Refused reports whether the peer has no room for what T3-rtx is for, and was heard since
// that was sent. When T3-rtx expires then, that is no error of the path or the peer.
func (s *Sender) Refused() bool {
	for tsn := s.board.cum + 1; tsn != s.board.next(); tsn++ {
		if c := s.board.at(tsn); c.isOutstanding() {
			return c.n > s.peerWindow && c.at < s.heard
		}
	}
	return false
}

// askLater has the peer be asked after twice the time. It is what T3-rtx waits for once the
// peer has answered. Until then a packet may be lost, and T3-rtx is as for any other.
func (s *Sender) askLater() {
	s.pause = max(s.rtt.RTO, min(2*max(s.pause, s.rtt.RTO), s.rtt.Max, longestPause))
}

// opened takes the peer's window. What the peer did not take as it had no room for it is sent
// again when it has room, without waiting for T3-rtx. That is no sign of congestion. A peer
// that drops a chunk says at once that it has no room, and acknowledges nothing by that. If
// none has said so, an acknowledgement is only late.
func (s *Sender) opened(k *sack, progress bool, now time.Duration) {
	window := windowOf(k.window)
	more := window > s.peerWindow
	s.peerWindow = window
	if more {
		s.pause = 0
		s.t3 = min(s.t3, now+s.rtt.RTO)
	}
	if flying := &s.board.flying; !progress && flying.n > 0 {
		if c := s.board.at(flying.head); c.n > s.peerWindow {
			s.shut = now
			s.probe.due = 0 // it was answered
			// A FORWARD TSN may have been lost. That is not put off.
			if !s.board.isPassable() {
				s.t3 = max(s.t3, c.at+s.pause)
			}
		}
	}
	if s.shut == 0 || !more {
		return
	}
	for s.board.flying.n > 0 {
		c := s.board.at(s.board.flying.head)
		if c.at > s.shut || c.at+s.rtt.SRTT+s.rtt.SRTT/4 > now {
			break
		}
		s.board.refuse(c)
	}
	s.shut = 0
	s.armProbe(now) // for what may have been dropped, too
}
