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
type cookie struct {
	made              int64 // Unix nanoseconds
	life              int64
	peerIP            [16]byte
	peerUDP           uint16    // port that INIT came from
	src, dst          uint16    // SCTP ports, the peer's first
	tieTags           [2]uint32 // of an association that there was already
	localTag, peerTag uint32
	localTSN, peerTSN uint32
	peerWindow        uint32
	peerOut, peerIn   uint16 // streams that the peer asks for and grants
	adaptation        uint32
	reconfig, partial bool
	adapts, batches   bool
}

const cookieSize = 8 + 8 + 16 + 2 + 2*2 + 4*7 + 2*2 + 4 + 1

// cookieKey is this process's, and known to nobody.
var cookieKey = func() (key [32]byte) {
	rand.Read(key[:])
	return key
}()

func (c *cookie) seal() []byte {
	b := make([]byte, 0, cookieSize+sha256.Size)
	b = binary.BigEndian.AppendUint64(b, uint64(c.made))
	b = binary.BigEndian.AppendUint64(b, uint64(c.life))
	b = append(b, c.peerIP[:]...)
	for _, v := range []uint16{c.peerUDP, c.src, c.dst, c.peerOut, c.peerIn} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	for _, v := range []uint32{c.tieTags[0], c.tieTags[1], c.localTag, c.peerTag, c.localTSN, c.peerTSN, c.peerWindow, c.adaptation} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	var flags byte
	for i, f := range []bool{c.reconfig, c.partial, c.adapts, c.batches} {
		if f {
			flags |= 1 << i
		}
	}
	b = append(b, flags)
	return append(b, mac(b)...)
}

func mac(b []byte) []byte {
	m := hmac.New(sha256.New, cookieKey[:])
	m.Write(b)
	return m.Sum(nil)
}

// open reads a cookie of this process. It reports false for any other.
func (c *cookie) open(b []byte) bool {
	if len(b) != cookieSize+sha256.Size || !hmac.Equal(mac(b[:cookieSize]), b[cookieSize:]) {
		return false
	}
	c.made = int64(binary.BigEndian.Uint64(b))
	c.life = int64(binary.BigEndian.Uint64(b[8:]))
	copy(c.peerIP[:], b[16:])
	b = b[32:]
	for _, v := range []*uint16{&c.peerUDP, &c.src, &c.dst, &c.peerOut, &c.peerIn} {
		*v = binary.BigEndian.Uint16(b)
		b = b[2:]
	}
	for _, v := range []*uint32{&c.tieTags[0], &c.tieTags[1], &c.localTag, &c.peerTag, &c.localTSN, &c.peerTSN, &c.peerWindow, &c.adaptation} {
		*v = binary.BigEndian.Uint32(b)
		b = b[4:]
	}
	for i, f := range []*bool{&c.reconfig, &c.partial, &c.adapts, &c.batches} {
		*f = b[0]&(1<<i) != 0
	}
	return true
}

// isFor reports whether the cookie was made for the sender of a packet.
func (c *cookie) isFor(ip netip.Addr, h header) bool {
	return c.peerIP == ip.As16() && c.src == h.src && c.dst == h.dst && c.localTag == h.tag
}

// staleness is by how much the cookie has outlived its life, not positive if it
// has not.
func (c *cookie) staleness(now time.Time) time.Duration {
	return now.Sub(time.Unix(0, c.made)) - time.Duration(c.life)
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
	newer, older map[spentCookie]struct{}
	turn         time.Time // when newer becomes older
}

// A spentCookie is the tags of an association: this side's and the peer's.
type spentCookie struct{ local, peer uint32 }

// mostSpent is how many are remembered twice over.
const mostSpent = 1 << 15

func (s *spentCookies) has(c *cookie) bool {
	key := spentCookie{c.localTag, c.peerTag}
	_, newer := s.newer[key]
	_, older := s.older[key]
	return newer || older
}

func (s *spentCookies) add(c *cookie, now time.Time) {
	life := time.Duration(c.life)
	if s.newer == nil || now.After(s.turn) || len(s.newer) >= mostSpent {
		s.older = s.newer
		if now.After(s.turn.Add(life)) {
			s.older = nil
		}
		s.newer = make(map[spentCookie]struct{})
		s.turn = now.Add(life)
	}
	s.newer[spentCookie{c.localTag, c.peerTag}] = struct{}{}
}
