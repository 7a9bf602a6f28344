package sender

import (
	"encoding/binary"
	"slices"
	"time"
)

// A Policy says when a message is given up (RFC 3758, RFC 7496).
type Policy uint8

const (
	Reliable Policy = iota // never
	Timed                  // it was not sent, or has to be sent again, after Expires
	Limited                // it has to be sent again more than Number times
	Priority               // MakeRoom is called for one whose Number is lower
)

// isOver reports whether to give a message up whose next chunk was sent so many times.
func (m *message) isOver(now time.Duration, times uint16) bool {
	switch m.Policy {
	case Timed:
		return now >= m.Expires
	case Limited:
		return uint32(times) > m.Number
	}
	return false
}

// Of the FORWARD TSN chunk.
const (
	chunkForward  = 192
	forwardHeader = 8 // with the TSN
	skipSize      = 4
)

// A forward is what the peer was told of messages that were given up.
type forward struct {
	due  bool          // it is to be told now
	last uint32        // the TSN that it was told of last,
	at   time.Duration // and when, 0 if nothing was
}

// giveUp gives a message up. Of its chunks the peer is told by a FORWARD TSN.
func (s *Sender) giveUp(m *message) {
	sent := m.sent > 0
	if m.rest() > 0 {
		s.unqueue(m)
		if sent {
			// The rest gets a TSN, too, so that the peer knows that the message does not go
			// on where the next one begins.
			c := s.board.push()
			c.m, c.from = m, m.sent
			s.board.abandon(c)
			m.last = c.tsn
			m.chunks++
		}
		m.sent = len(m.data)
	}
	m.over = true
	s.Counts.GivenUp++
	s.release(m)
	if s.failed != nil {
		s.failed(m.Message, slices.Clone(m.data), sent)
	}
	if m.chunks == 0 {
		m.free()
		return
	}
	for i := range m.chunks {
		if c := s.board.at(m.last - uint32(i)); c.state != abandoned {
			s.board.drop(c)
			s.board.abandon(c)
		}
	}
	s.noteForward(0)
}

// giveUpOld gives up what is next to be sent, for the first time or again, and is too
// old for that.
func (s *Sender) giveUpOld(now time.Duration) {
	for c := s.board.again(); c != nil; c = s.board.again() {
		if !c.m.isOver(now, c.times) {
			break
		}
		s.giveUp(c.m)
	}
	for m := s.queue.head(); m != nil && m.isOver(now, 0); m = s.queue.head() {
		s.giveUp(m)
	}
}

// MakeRoom gives up messages of the policy Priority whose numbers are higher than one,
// until there is enough room. First are those that were not sent.
func (s *Sender) MakeRoom(number uint32, enough func() bool) {
	if s.lesser == 0 {
		return
	}
	isLess := func(m *message) bool { return m.Policy == Priority && m.Number > number && !m.over }
	for _, m := range s.queue.messages() {
		if enough() {
			return
		}
		if isLess(m) {
			s.giveUp(m)
		}
	}
	board := &s.board
	for tsn := board.cum + 1; tsn != board.next() && !enough(); tsn++ {
		if c := board.at(tsn); isLess(c.m) {
			s.giveUp(c.m)
		}
	}
}

// noteForward has the peer be told of what was given up, unless it was told of late.
func (s *Sender) noteForward(now time.Duration) {
	f := &s.forward
	if !s.board.isPassable() {
		f.due = false
		return
	}
	if f.at == 0 || now == 0 || before(f.last, s.board.passable()) || now >= f.at+s.rtt.SRTT+s.rtt.SRTT/4 {
		f.due = true
	}
}

// appendForward appends a FORWARD TSN chunk: all up to its TSN was given up, and of
// these streams the messages up to a number.
func (s *Sender) appendForward(b []byte, room int, now time.Duration) []byte {
	start := len(b)
	b = append(b, chunkForward, 0, 0, 0, 0, 0, 0, 0)
	board := &s.board
	tsn := board.cum
	skips := len(b)
next:
	for ; tsn+1 != board.next(); tsn++ {
		c := board.at(tsn + 1)
		if c.state != abandoned {
			break
		}
		if m := c.m; !m.Unordered && m.resets == m.out.resets { // else the peer has forgotten its number
			for e := b[skips:]; len(e) > 0; e = e[skipSize:] {
				if binary.BigEndian.Uint16(e) == m.Stream {
					binary.BigEndian.PutUint16(e[2:], m.ssn)
					continue next
				}
			}
			if len(b)-start+skipSize > room {
				break // the rest with the next one
			}
			b = binary.BigEndian.AppendUint16(b, m.Stream)
			b = binary.BigEndian.AppendUint16(b, m.ssn)
		}
	}
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	binary.BigEndian.PutUint32(b[start+4:], tsn)
	s.forward = forward{last: tsn, at: now}
	s.Counts.Forwards++
	return b
}
