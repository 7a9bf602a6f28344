package sender

import (
	"encoding/binary"
	"time"
)

// A state is what is known of a chunk that was sent.
type state uint8

const (
	inFlight  state = iota // it was sent, and nothing was heard of it
	lost                   // it has to be sent again,
	refused                // or when the peer has room for it
	acked                  // a gap block has it. The peer may still drop it (RFC 9260 section 6.2.1)
	abandoned              // its message was given up
)

// A chunk is a DATA chunk that was sent and not cumulatively acknowledged.
type chunk struct {
	m       *message
	from, n int // its part of the message
	at      time.Duration
	packet  uint64 // number of the packet that it went in last
	links   links
	state   state
	times   uint16 // sent, or presumed to be
	tsn     uint32
}

// isOutstanding reports whether the chunk is neither acknowledged nor given up.
func (c *chunk) isOutstanding() bool { return c.state != acked && c.state != abandoned }

// size is what the chunk takes in a packet.
func (c *chunk) size() int { return dataHeader + padded(c.n) }

// cost is how much of the peer's window the chunk takes. That counts bytes of messages,
// but what a small chunk takes in the peer's memory is more. Some count that, too, and
// all have too little of it at some time, and then drop what they have acknowledged.
func (c *chunk) cost() int { return costOf(c.n) }

func costOf(n int) int { return max(n, leastCost) }

const leastCost = 256

// A scoreboard has the chunks between the cumulative acknowledgement and the highest
// TSN that was sent.
type scoreboard struct {
	cum    uint32
	chunks []chunk // a ring; its length is a power of two,
	first  int     // from here on
	n      int     // chunks

	flying  list // in the order in which they were sent
	lost    list // in the order in which they have to be sent again,
	refused list // and these after them, in the order of their TSNs

	bytes int // in flight, headers included
	cost  int // of these, of the peer's window
	acked int // chunks that gap blocks have
	over  int // abandoned ones

	blocks, was []block // the gap blocks of the last SACK, and room for the next one's

	done func(m *message) // is called for a message that was acknowledged
}

// A block is a range of TSNs that a gap block acknowledges.
type block struct{ first, last uint32 }

// leastRing is how many chunks there is room for at first.
const leastRing = 8

// next is the TSN of the next new chunk.
func (b *scoreboard) next() uint32 { return b.cum + uint32(b.n) + 1 }

// at returns the chunk with a TSN that is on the scoreboard.
func (b *scoreboard) at(tsn uint32) *chunk {
	return &b.chunks[(b.first+int(tsn-b.cum-1))&(len(b.chunks)-1)]
}

// push adds a new chunk, which is not in a list yet.
func (b *scoreboard) push() *chunk {
	if b.n == len(b.chunks) {
		larger := make([]chunk, max(leastRing, 2*b.n))
		for i := range b.n {
			larger[i] = b.chunks[(b.first+i)&(len(b.chunks)-1)]
		}
		b.chunks, b.first = larger, 0
	}
	b.n++
	c := b.at(b.cum + uint32(b.n))
	*c = chunk{tsn: b.cum + uint32(b.n)}
	return c
}

// pop removes the chunk with the lowest TSN.
func (b *scoreboard) pop() {
	c := b.at(b.cum + 1)
	b.drop(c)
	*c = chunk{}
	b.first = (b.first + 1) & (len(b.chunks) - 1)
	b.cum++
	if b.n--; b.n == 0 && len(b.chunks) > leastRing*16 {
		b.chunks, b.first = nil, 0
	}
}

// drop takes a chunk out of what is counted of its state.
func (b *scoreboard) drop(c *chunk) {
	switch c.state {
	case inFlight:
		b.flown(c)
	case lost:
		b.lost.remove(b, c)
	case refused:
		b.refused.remove(b, c)
	case acked:
		b.acked--
	case abandoned:
		b.over--
	}
}

// abandon marks a chunk, which is counted nowhere, as one of a message that was given up.
func (b *scoreboard) abandon(c *chunk) {
	c.state = abandoned
	b.over++
}

// isPassable reports whether the peer waits for a chunk that was abandoned.
func (b *scoreboard) isPassable() bool { return b.n > 0 && b.at(b.cum+1).state == abandoned }

// passable is the TSN up to which all chunks are abandoned.
func (b *scoreboard) passable() uint32 {
	tsn := b.cum
	for tsn+1 != b.next() && b.at(tsn+1).state == abandoned {
		tsn++
	}
	return tsn
}

// fly puts a chunk that has just been sent into flight.
func (b *scoreboard) fly(c *chunk) {
	c.state = inFlight
	b.bytes += c.size()
	b.cost += c.cost()
	b.flying.push(b, c)
}

// flown takes a chunk out of flight.
func (b *scoreboard) flown(c *chunk) {
	b.bytes -= c.size()
	b.cost -= c.cost()
	b.flying.remove(b, c)
}

// lose marks a chunk in flight as lost.
func (b *scoreboard) lose(c *chunk) {
	b.flown(c)
	c.state = lost
	b.lost.push(b, c)
}

// refuse marks a chunk in flight as refused.
func (b *scoreboard) refuse(c *chunk) {
	b.flown(c)
	c.state = refused
	if l := &b.refused; l.n > 0 && before(c.tsn, l.tail) {
		l.insert(b, c)
	} else {
		l.push(b, c)
	}
}

// again is the next chunk to be sent again, nil if there is none.
func (b *scoreboard) again() *chunk {
	switch {
	case b.lost.n > 0:
		return b.at(b.lost.head)
	case b.refused.n > 0:
		return b.at(b.refused.head)
	}
	return nil
}

// hurry makes a chunk the next one to be sent again.
func (b *scoreboard) hurry(c *chunk) {
	b.drop(c)
	c.state = lost
	b.lost.unshift(b, c)
}

// unacked is how many chunks were not acknowledged, nor given up.
func (b *scoreboard) unacked() int { return b.n - b.acked - b.over }

// A sack is the value of a SACK chunk.
type sack struct {
	cum, window  uint32
	blocks, dups []byte
	keep         bool // the blocks of the one before hold on
}

// parseSACK reads a SACK chunk's value. It reports false where it is cut short.
func parseSACK(v []byte) (s sack, ok bool) {
	if len(v) < 12 {
		return s, false
	}
	gaps, dups := 4*int(binary.BigEndian.Uint16(v[8:])), 4*int(binary.BigEndian.Uint16(v[10:]))
	if len(v) < 12+gaps+dups {
		return s, false
	}
	return sack{cum: binary.BigEndian.Uint32(v), window: binary.BigEndian.Uint32(v[4:]), blocks: v[12 : 12+gaps], dups: v[12+gaps : 12+gaps+dups]}, true
}

func (s *sack) block(i int) (first, last uint32) {
	return uint32(binary.BigEndian.Uint16(s.blocks[4*i:])), uint32(binary.BigEndian.Uint16(s.blocks[4*i+2:]))
}

// isValid reports whether a SACK is one that a peer can send that has counted well: it
// acknowledges nothing that was not sent, and nothing less than a SACK before. Its
// blocks are in ascending order and disjoint, and the chunk after the cumulative
// acknowledgement is in none.
func (b *scoreboard) isValid(s *sack) bool {
	new := s.cum - b.cum
	if new > uint32(b.n) {
		return false
	}
	end, most := uint32(1), uint32(b.n)-new
	for i := range len(s.blocks) / 4 {
		first, last := s.block(i)
		if first <= end || last < first || last > most {
			return false
		}
		end = last
	}
	return true
}

// mostBlocks is how many gap blocks a SACK has at least that may have left some out:
// Linux sends 16 at most, and others as many as there is room for.
const mostBlocks = 16

// acknowledge applies a valid SACK. It calls arrived for each chunk that is acknowledged
// now and was not before, and dropped for each that an earlier SACK had in a gap block,
// and this one has not. Beside that it takes no more time than there are blocks.
func (b *scoreboard) acknowledge(s *sack, arrived, dropped func(c *chunk)) {
	for b.cum != s.cum {
		c := b.at(b.cum + 1)
		if c.isOutstanding() {
			arrived(c)
		}
		m := c.m
		b.pop()
		m.chunks--
		if m.chunks == 0 && m.rest() == 0 {
			b.done(m)
		}
	}
	was := b.blocks
	for len(was) > 0 && !before(b.cum, was[0].last) {
		was = was[1:]
	}
	if len(was) > 0 && !before(b.cum, was[0].first) {
		was[0].first = b.cum + 1
	}
	now := b.was[:0]
	for i := range len(s.blocks) / 4 {
		first, last := s.block(i)
		now = append(now, block{b.cum + first, b.cum + last})
	}
	without(now, was, func(tsn uint32) {
		c := b.at(tsn)
		if c.state == abandoned {
			return
		}
		arrived(c)
		b.drop(c)
		c.state = acked
		b.acked++
	})
	if s.keep {
		now = append(now, was...)
	} else if len(now) >= mostBlocks {
		// What is after the last block may only have been left out.
		for _, w := range was {
			if end := now[len(now)-1].last; before(end, w.last) {
				if !before(end, w.first) {
					w.first = end + 1
				}
				now = append(now, w)
			}
		}
	}
	without(was, now, func(tsn uint32) {
		c := b.at(tsn)
		if c.state == abandoned {
			return
		}
		b.drop(c)
		dropped(c)
		b.fly(c)
	})
	b.blocks, b.was = now, b.blocks[:0]
}

// without calls f for each TSN that is in some blocks and not in others.
func without(in, not []block, f func(tsn uint32)) {
	for _, r := range in {
		for tsn := r.first; !before(r.last, tsn); {
			for len(not) > 0 && before(not[0].last, tsn) {
				not = not[1:]
			}
			end := r.last
			if len(not) > 0 && !before(end, not[0].first) {
				if !before(tsn, not[0].first) {
					tsn = not[0].last + 1
					continue
				}
				end = not[0].first - 1
			}
			for ; !before(end, tsn); tsn++ {
				f(tsn)
			}
		}
	}
}

// before compares TSNs (RFC 1982).
func before(a, b uint32) bool { return int32(a-b) < 0 }

// A list is a list of chunks, linked by their TSNs.
type list struct {
	head, tail uint32
	n          int
}

// links are a chunk's neighbors on the list that it is on.
type links struct{ before, after uint32 }

func (l *list) push(b *scoreboard, c *chunk) {
	if l.n == 0 {
		l.head = c.tsn
	} else {
		c.links.before = l.tail
		b.at(l.tail).links.after = c.tsn
	}
	l.tail = c.tsn
	l.n++
}

func (l *list) unshift(b *scoreboard, c *chunk) {
	if l.n == 0 {
		l.tail = c.tsn
	} else {
		c.links.after = l.head
		b.at(l.head).links.before = c.tsn
	}
	l.head = c.tsn
	l.n++
}

// insert puts a chunk after the last one on the list that has a lower TSN, not at its end.
func (l *list) insert(b *scoreboard, c *chunk) {
	for tsn := c.tsn - 1; tsn != b.cum; tsn-- {
		if p := b.at(tsn); p.state == c.state {
			c.links = links{tsn, p.links.after}
			b.at(p.links.after).links.before = c.tsn
			p.links.after = c.tsn
			l.n++
			return
		}
	}
	l.unshift(b, c)
}

func (l *list) remove(b *scoreboard, c *chunk) {
	if c.tsn == l.head {
		l.head = c.links.after
	} else {
		b.at(c.links.before).links.after = c.links.after
	}
	if c.tsn == l.tail {
		l.tail = c.links.before
	} else {
		b.at(c.links.after).links.before = c.links.before
	}
	l.n--
}
