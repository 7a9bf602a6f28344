package udpencap

import (
	"encoding/binary"
	"net/netip"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// onPortUnreachable is told that a packet has come to a UDP port that is closed,
// and how the packet began. As RFC 6951 says, that counts only if its verification
// tag is right, and then as the peer's having no SCTP (RFC 9260 section 10). An
// established association ends by it if its peer has been silent, too: the process
// was killed, or all its ABORTs were lost. Without that, a firewall that is being
// configured would be enough.
func (s *socket) onPortUnreachable(b []byte, to netip.AddrPort) {
	a, tag := s.sentBy(b, to)
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.state == engine.StateClosed:
	case a.state == engine.StateCookieWait:
		// INIT has no tag but the one that it offers, if it is quoted so far.
		const offered = headerSize + chunkHeaderSize
		if len(b) >= offered+4 && b[headerSize] == ctInit {
			a.onUnreachable(candidate{to: to, tag: binary.BigEndian.Uint32(b[offered:])})
		}
	case tag != a.peerTag || to != a.path.to:
	case a.state == engine.StateCookieEchoed:
		a.onRefused(a.localTag)
	case max(a.retry.errors, a.ctrlCount) >= enoughSilence:
		a.onAbort(tag, nil)
	default:
		a.hb.doubt = true
	}
}

// enoughSilence is how often in a row the peer has not answered.
const enoughSilence = 2

// onTooBig is told that a packet was larger than a router's next link, which takes n
// bytes, and how the packet began. As RFC 8899 section 4.6 says, that counts only if
// the verification tag is right.
func (s *socket) onTooBig(b []byte, to netip.AddrPort, n int) {
	a, tag := s.sentBy(b, to)
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state != engine.StateClosed && a.wasEstablished() && tag == a.peerTag && to == a.path.to {
		a.limitMTU(n - a.overhead())
	}
}

// sentBy returns the association that has sent a packet that begins with b, and the
// packet's verification tag.
func (s *socket) sentBy(b []byte, to netip.AddrPort) (a *assoc, tag uint32) {
	if len(b) < 8 { // without the checksum
		return nil, 0
	}
	own, theirs, tag := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:])
	p := s.port(own)
	if p == nil {
		return nil, 0
	}
	return p.findPeer(peer{to.Addr(), theirs}), tag
}
