package udpencap

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

func (a *assoc) isEstablished() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state >= engine.StateEstablished
}

// onInit answers an INIT with an INIT ACK. Nothing of it is kept here.
func (p *port) onInit(at *arrival, c chunk) {
	h, from, back := at.header, at.from, at.back()
	var i initiation
	if cause, ok := i.parse(c.value); !ok {
		at.socket.counters.malformed.Add(1)
		if i.tag != 0 {
			back.sendPacket(newPacket(header{p.num, h.src, i.tag}).addCause(ctAbort, 0, cause, i.detail))
		}
		return
	}
	key := peer{from.Addr(), h.src}
	ck := cookie{
		cookieFor:  cookieFor{peerIP: key.ip, src: h.src, dst: h.dst},
		peerUDP:    from.Port(),
		peerTag:    i.tag,
		peerTSN:    i.tsn,
		peerWindow: i.window,
		peerOut:    i.out,
		peerIn:     i.in,
		adaptation: i.adaptation,
		reconfig:   i.reconfig,
		partial:    i.partial,
		adapts:     i.adapts,
		batches:    i.batches,
	}
	var o engine.Options
	a := p.findPeer(key)
	if a != nil {
		a.mu.Lock()
		o = a.options // as it is now: calls change it
		switch a.state {
		case engine.StateClosed:
			a.mu.Unlock()
			a = nil
		case engine.StateCookieWait, engine.StateCookieEchoed:
			// Both dial at once: they agree on what they have said already
			// (section 5.2.1).
			ck.localTag, ck.localTSN = a.tagAt(from), a.localTSN
			if a.state == engine.StateCookieEchoed {
				ck.tieTags = a.tieTags
			}
			a.mu.Unlock()
		case engine.StateShutdownAckSent:
			a.sendChunk(ctShutdownAck, nil)
			a.mu.Unlock()
			return
		default:
			// The peer has begun anew, or somebody pretends to be it: the
			// cookie will tell (section 5.2.2).
			if from != a.path.to {
				a.refuseRestart(back, header{p.num, h.src, i.tag})
				a.mu.Unlock()
				return
			}
			ck.tieTags = a.tieTags
			a.mu.Unlock()
		}
	}
	if a == nil {
		l := p.listening()
		if l == nil {
			at.outOfTheBlue(c.raw)
			return
		}
		o = l.currentOptions()
		o.ReadBuffer = min(bufferSize(o.ReadBuffer), 2*waitingWindow)
	}
	if ck.localTag == 0 {
		ck.localTag, ck.localTSN = p.newTag(), randUint32()
	}
	mine := p.initAck(&ck, &i, &o)
	back.sendPacket(newPacket(header{p.num, h.src, i.tag}).add(ctInitAck, 0, mine.value()))
}

// initAck is the answer to an INIT, with the cookie sealed.
func (p *port) initAck(ck *cookie, i *initiation, o *engine.Options) initiation {
	ck.expires = time.Now().Add(lifeOfCookies(o)).UnixMilli()
	mine := localInitiation(o)
	mine.tag, mine.tsn, mine.window = ck.localTag, ck.localTSN, uint32(p.readWindow(o))
	// What the peer does not have it need not know of, and it must not get more than
	// three times what it has sent: nobody knows yet whether it is at that address.
	mine.reconfig = mine.reconfig && i.reconfig
	mine.partial = mine.partial && i.partial
	mine.batches = mine.batches && i.batches
	mine.out = min(mine.out, i.in)
	mine.cookie = ck.seal()
	mine.unrecognized = i.unrecognized
	return mine
}

// cookieLife is what RFC 9260 section 16 suggests.
const cookieLife = 60 * time.Second

func lifeOfCookies(o *engine.Options) time.Duration {
	return cmp.Or(o.AssocParams.CookieLife, cookieLife)
}

func (p *port) listening() *listener {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.listener
}

// onCookieEcho makes an association of a cookie (sections 5.1.5 and 5.2.4). It
// returns the one that the rest of the packet is for, or nil.
func (p *port) onCookieEcho(at *arrival, c chunk) *assoc {
	s, h, from := at.socket, at.header, at.from
	ck, ok := openCookie(c.value, cookieFor{peerIP: from.Addr(), src: h.src, dst: h.dst, localTag: h.tag})
	if !ok {
		s.counters.wrongTag.Add(1) // in silence (section 5.1.5)
		return nil
	}
	if !at.to.IsValid() {
		likely := *at
		likely.to, _ = localTo(anyOf(from.Addr()), from) // as the system does not tell
		at = &likely
	}
	reply := header{p.num, h.src, ck.peerTag}
	back := at.back()
	key := peer{from.Addr(), h.src}
	i := ck.initiation()
	if a := p.findPeer(key); a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.answers = 0
		local, remote := ck.localTag == a.localTag, ck.peerTag == a.peerTag
		dialing := a.state == engine.StateCookieWait || a.state == engine.StateCookieEchoed
		asked := slices.IndexFunc(a.dial.candidates, func(c candidate) bool { return c.tag == ck.localTag })
		switch {
		case a.state == engine.StateClosed:
			// It has just gone.
		case (local || asked >= 0) && dialing:
			if ck.refuseStale(back, reply) {
				return nil
			}
			if !local {
				a.choose(asked)
			}
			a.path, a.localIP = back, at.to
			a.establish(&i)
			a.answer(ctCookieAck, nil)
			return a
		case local && remote:
			// The one before was lost. It is the first chunk of its packet: what answers a
			// packet that was read with this one goes before.
			a.sendReply()
			a.answer(ctCookieAck, nil)
			return a
		case !local && !remote && ck.tieTags == a.tieTags:
			if from != a.path.to {
				a.refuseRestart(back, reply)
				return nil
			}
			if ck.refuseStale(back, reply) {
				return nil
			}
			if a.state == engine.StateShutdownAckSent {
				a.sendChunk(ctShutdownAck, nil)
				back.sendPacket(newPacket(reply).addCause(ctError, 0, causeCookieInShutdown, nil))
				return nil
			}
			// The peer has restarted. To it the old association is gone, and
			// so is everything that was on its way.
			a.many.restarted = true
			a.tell(engine.AssocEvent{Change: engine.AssocRestarted})
			if p.listening() == nil {
				// While there is a socket: the association may be its last.
				at.outOfTheBlue(c.raw)
				a.finish(errReset)
				return nil
			}
			a.finish(errReset)
		default:
			s.counters.wrongTag.Add(1)
			return nil
		}
	}
	l := p.listening()
	if l == nil || l.isSpent(&ck) {
		at.outOfTheBlue(c.raw)
		return nil
	}
	if ck.refuseStale(back, reply) {
		return nil
	}
	return l.establish(back, at.to, key, &ck, &i)
}

// refuseStale answers a cookie that is too old. It reports whether it was. A cookie proves
// the UDP port that its INIT came from, and no other. A peer whose address translator has
// chosen another one meanwhile begins again from there.
func (c *cookie) refuseStale(back path, reply header) bool {
	late := c.staleness(time.Now())
	if late <= 0 && back.to.Port() == c.peerUDP {
		return false
	}
	us := binary.BigEndian.AppendUint32(nil, uint32(min(max(0, late.Microseconds()), 1<<32-1)))
	back.sendPacket(newPacket(reply).addCause(ctError, 0, causeStaleCookie, us))
	return true
}

// refuseRestart answers an end that would begin the association anew from another
// UDP port than the peer's. It may be another host behind the same address
// translator, which happens to have the same SCTP port, and must not end the
// association (draft-tuexen-tsvwg-sctp-udp-encaps-cons section 4.4).
func (a *assoc) refuseRestart(back path, reply header) {
	ports := binary.BigEndian.AppendUint16(nil, a.path.to.Port())
	ports = binary.BigEndian.AppendUint16(ports, back.to.Port())
	back.sendPacket(newPacket(reply).addCause(ctAbort, 0, causeNewUDPPort, ports))
}
