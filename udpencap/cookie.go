package udpencap

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"
)

// A cookie is all that this side has to remember of an association between its
// INIT ACK and the COOKIE ECHO. It travels to the peer and back instead of
// being kept here, so that an INIT costs no memory.
//
// It is short: an INIT may come from a forged address, and to that no more than three
// times as much must go as has come from it. What the packet with the COOKIE ECHO says
// anyway, addresses, ports and the local tag, is signed but not contained.
type cookie struct {
	cookieFor

	expires           int64  // Unix milliseconds
	peerUDP           uint16 // port that INIT came from
	peerTag           uint32
	localTSN, peerTSN uint32
	peerWindow        uint32
	peerOut, peerIn   uint16    // streams that the peer asks for and grants
	adaptation        uint32    // only if adapts is set
	tieTags           [2]uint32 // of an association that there was already, otherwise zero
	reconfig, partial bool
	adapts, batches   bool
}

// A cookieFor is whose a cookie is.
type cookieFor struct {
	peerIP   netip.Addr
	src, dst uint16 // SCTP ports, the peer's first
	localTag uint32
}

const (
	leastCookie = macSize + timeSize + 2 + 4*4 + 2*2 + 1
	macSize     = 16 // RFC 2104 has it be half of the hash at least
	timeSize    = 5  // bytes of milliseconds
)

// Flags of a cookie.
const (
	cookieReconfig = 1 << iota
	cookiePartial
	cookieBatches
	cookieAdapts // the adaptation follows,
	cookieTies   // and the tie tags
)

// cookieKey is this process's, and known to nobody.
var cookieKey = func() (key [32]byte) {
	rand.Read(key[:])
	return key
}()

func (c *cookie) seal() []byte {
	b := make([]byte, timeSize, leastCookie+12)
	putTime(b, c.expires)
	for _, v := range []uint16{c.peerUDP, c.peerOut, c.peerIn} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	for _, v := range []uint32{c.peerTag, c.localTSN, c.peerTSN, c.peerWindow} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	ties := c.tieTags != [2]uint32{}
	var flags byte
	for i, f := range []bool{c.reconfig, c.partial, c.batches, c.adapts, ties} {
		if f {
			flags |= 1 << i
		}
	}
	b = append(b, flags)
	if c.adapts {
		b = binary.BigEndian.AppendUint32(b, c.adaptation)
	}
	if ties {
		b = binary.BigEndian.AppendUint32(b, c.tieTags[0])
		b = binary.BigEndian.AppendUint32(b, c.tieTags[1])
	}
	return append(b, c.mac(b)...)
}

func (c *cookieFor) mac(b []byte) []byte {
	ip := c.peerIP.As16()
	m := hmac.New(sha256.New, cookieKey[:])
	m.Write(ip[:])
	m.Write(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, c.src), c.dst))
	m.Write(binary.BigEndian.AppendUint32(nil, c.localTag))
	m.Write(b)
	return m.Sum(nil)[:macSize]
}

// openCookie reads a cookie of this process. It reports false for any other, and for
// one that was not made for the sender of the packet.
func openCookie(b []byte, owner cookieFor) (c cookie, ok bool) {
	n := len(b) - macSize
	if len(b) < leastCookie || !hmac.Equal(owner.mac(b[:n]), b[n:]) {
		return c, false
	}
	b = b[:n]
	c.cookieFor = owner
	c.expires = getTime(b, time.Now().UnixMilli())
	b = b[timeSize:]
	for _, v := range []*uint16{&c.peerUDP, &c.peerOut, &c.peerIn} {
		*v = binary.BigEndian.Uint16(b)
		b = b[2:]
	}
	for _, v := range []*uint32{&c.peerTag, &c.localTSN, &c.peerTSN, &c.peerWindow} {
		*v = binary.BigEndian.Uint32(b)
		b = b[4:]
	}
	flags := b[0]
	b = b[1:]
	c.reconfig = flags&cookieReconfig != 0
	c.partial = flags&cookiePartial != 0
	c.batches = flags&cookieBatches != 0
	if c.adapts = flags&cookieAdapts != 0; c.adapts {
		c.adaptation = binary.BigEndian.Uint32(b)
		b = b[4:]
	}
	if flags&cookieTies != 0 {
		c.tieTags = [2]uint32{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
	}
	return c, true
}

// putTime puts the low bytes of a time, of which getTime makes the one that is nearest
// to another: they begin anew only after 34 years.
func putTime(b []byte, ms int64) {
	for i := range timeSize {
		b[i] = byte(ms >> (8 * i))
	}
}

func getTime(b []byte, near int64) (ms int64) {
	for i := range timeSize {
		ms |= int64(b[i]) << (8 * i)
	}
	const unused = 64 - 8*timeSize
	return near + (ms-near)<<unused>>unused
}

// staleness is by how much the cookie has outlived its life, not positive if it
// has not.
func (c *cookie) staleness(now time.Time) time.Duration {
	return now.Sub(time.UnixMilli(c.expires))
}

// initiation is what the peer's INIT said.
func (c *cookie) initiation() initiation {
	return initiation{
		tag:        c.peerTag,
		window:     c.peerWindow,
		out:        c.peerOut,
		in:         c.peerIn,
		tsn:        c.peerTSN,
		reconfig:   c.reconfig,
		partial:    c.partial,
		adaptation: c.adaptation,
		adapts:     c.adapts,
		batches:    c.batches,
	}
}

// spentCookies are those that were used of late. One that comes again when its
// association is over, because a copy of it was long on its way or somebody has
// kept one, must not make another association.
//
// They are remembered for their lives at least, and then until others have taken
// their place. Only if there are very many in that time the oldest are forgotten
// early.
type spentCookies struct {
	newer, older       map[tags]struct{}
	newerEnd, olderEnd int64 // when the lives of all of them are over
}

// tags are those of an association: this side's and the peer's.
type tags struct{ local, peer uint32 }

func (c *cookie) tags() tags { return tags{c.localTag, c.peerTag} }

// mostSpent is how many are remembered twice over.
const mostSpent = 1 << 15

func (s *spentCookies) has(t tags) bool {
	_, newer := s.newer[t]
	_, older := s.older[t]
	return newer || older
}

// add adds the cookies with these tags, which expire at some time in milliseconds.
func (s *spentCookies) add(t tags, expires int64, now time.Time) {
	if ms := now.UnixMilli(); s.newer == nil || ms > s.olderEnd || len(s.newer) >= mostSpent {
		s.older, s.olderEnd = s.newer, s.newerEnd
		if ms > s.olderEnd {
			s.older = nil
		}
		s.newer, s.newerEnd = make(map[tags]struct{}), 0
	}
	s.newer[t] = struct{}{}
	s.newerEnd = max(s.newerEnd, expires)
}
