package udpencap

import (
	"net/netip"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// An arrival is where a packet has come from and to, without its chunks.
type arrival struct {
	socket *socket
	header header
	from   netip.AddrPort // IP address and UDP port
	to     netip.Addr     // of this host; invalid where the system does not tell
}

// back is the path to where the packet has come from.
func (at *arrival) back() path { return at.socket.pathTo(at.from, at.to) }

// input takes a packet from the network to the association it belongs to. The
// verification tag says which that is (RFC 9260 section 8.5).
func (s *socket) input(b []byte, from netip.AddrPort, to netip.Addr, in *intake) {
	s.counters.received.Add(1)
	h, chunks, ok := parseHeader(b)
	if !ok || !from.Addr().IsValid() || from.Addr().IsMulticast() || from.Addr().IsUnspecified() || from.Port() == 0 {
		s.counters.malformed.Add(1)
		return
	}
	first, rest, ok := nextChunk(chunks)
	if !ok {
		s.counters.malformed.Add(1)
		return
	}
	if first.typ == ctInit && (h.tag != 0 || len(rest) > 0) { // wherever it goes
		s.counters.malformed.Add(1)
		return
	}
	at := &arrival{s, h, from, to}
	p := s.port(h.dst)
	if p == nil {
		at.outOfTheBlue(chunks)
		return
	}
	key := peer{from.Addr(), h.src}
	switch {
	case first.typ == ctInit:
		p.onInit(at, first)
		return
	case first.typ == ctCookieEcho:
		switch a := p.onCookieEcho(at, first); {
		case a == nil:
		case len(rest) > 0:
			a.input(at, rest, false, in)
		default:
			in.add(a)
		}
		return
	case h.tag == 0:
		s.counters.wrongTag.Add(1)
		return
	}
	if a := p.find(h.tag); a != nil && a.peer == key {
		a.input(at, chunks, false, in)
		return
	}
	a := p.findPeer(key)
	if a == nil {
		at.outOfTheBlue(chunks)
		return
	}
	a.mu.Lock()
	reflected := a.peerTag == h.tag && a.state > engine.StateCookieWait
	a.mu.Unlock()
	switch {
	case reflected && (first.typ == ctAbort || first.typ == ctShutdownComplete):
		a.input(at, chunks, true, in)
	case first.typ == ctShutdownAck && !a.isEstablished():
		at.outOfTheBlue(chunks) // of an association before (section 8.5.1)
	default:
		s.counters.wrongTag.Add(1)
	}
}

// outOfTheBlue answers a packet that belongs to no association (section 8.4).
func (at *arrival) outOfTheBlue(chunks []byte) {
	s, back := at.socket, at.back()
	s.counters.strange.Add(1)
	reply := header{at.header.dst, at.header.src, at.header.tag}
	first, _, _ := nextChunk(chunks)
	for rest := chunks; ; {
		c, r, ok := nextChunk(rest)
		if !ok {
			break
		}
		rest = r
		switch c.typ {
		case ctAbort, ctShutdownComplete, ctCookieAck:
			s.counters.ignored.Add(1)
			return
		case ctError:
			if e, _, ok := nextParam(c.value); ok && e.typ == causeStaleCookie {
				s.counters.ignored.Add(1)
				return
			}
		}
	}
	switch first.typ {
	case ctInit:
		var i initiation
		if len(first.value) < initSize {
			s.counters.ignored.Add(1)
			return
		}
		i.parse(first.value)
		if i.tag == 0 {
			s.counters.ignored.Add(1)
			return
		}
		reply.tag = i.tag
		back.sendPacket(newPacket(reply).add(ctAbort, 0, nil))
	case ctShutdownAck:
		back.sendPacket(newPacket(reply).add(ctShutdownComplete, flagReflected, nil))
	default:
		back.sendPacket(newPacket(reply).add(ctAbort, flagReflected, nil))
	}
}
