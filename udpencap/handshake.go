package udpencap

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

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
	p := s.port(h.dst)
	if p == nil {
		s.outOfTheBlue(h, chunks, from, to)
		return
	}
	key := peer{from.Addr(), h.src}
	switch {
	case first.typ == ctInit:
		if h.tag != 0 || len(rest) > 0 {
			s.counters.malformed.Add(1)
			return
		}
		p.onInit(s, h, first, from, to)
		return
	case first.typ == ctCookieEcho:
		if a := p.onCookieEcho(s, h, first, from, to); a != nil && len(rest) > 0 {
			a.input(s, h, rest, from, to, false, in)
		}
		return
	case h.tag == 0:
		s.counters.wrongTag.Add(1)
		return
	}
	if a := p.find(h.tag); a != nil && a.peer.port == h.src {
		a.input(s, h, chunks, from, to, false, in)
		return
	}
	a := p.findPeer(key)
	if a == nil {
		s.outOfTheBlue(h, chunks, from, to)
		return
	}
	a.mu.Lock()
	reflected := a.peerTag == h.tag && a.state > engine.StateCookieWait
	a.mu.Unlock()
	switch {
	case reflected && (first.typ == ctAbort || first.typ == ctShutdownComplete):
		a.input(s, h, chunks, from, to, true, in)
	case first.typ == ctShutdownAck && !a.isEstablished():
		s.outOfTheBlue(h, chunks, from, to) // of an association before (section 8.5.1)
	default:
		s.counters.wrongTag.Add(1)
	}
}

func (a *assoc) isEstablished() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state >= engine.StateEstablished
}

// outOfTheBlue answers a packet that belongs to no association (section 8.4).
func (s *socket) outOfTheBlue(h header, chunks []byte, from netip.AddrPort, to netip.Addr) {
	s.counters.strange.Add(1)
	reply := header{h.dst, h.src, h.tag}
	back := path{socket: s, to: from, oob: s.source(to)}
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

// onInit answers an INIT with an INIT ACK, of which nothing is kept here.
func (p *port) onInit(s *socket, h header, c chunk, from netip.AddrPort, to netip.Addr) {
	back := path{socket: s, to: from, oob: s.source(to)}
	var i initiation
	if cause, ok := i.parse(c.value); !ok {
		s.counters.malformed.Add(1)
		if i.tag != 0 {
			back.sendPacket(newPacket(header{p.num, h.src, i.tag}).addCause(ctAbort, 0, cause, i.badHost))
		}
		return
	}
	key := peer{from.Addr(), h.src}
	ck := cookie{
		made:       time.Now().UnixNano(),
		peerIP:     key.ip.As16(),
		src:        h.src,
		dst:        h.dst,
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
			ck.localTag, ck.localTSN = a.localTag, a.localTSN
			if a.state == engine.StateCookieEchoed {
				ck.tieTags = a.tieTags
			}
			a.mu.Unlock()
		case engine.StateShutdownAckSent:
			a.sendChunk(ctShutdownAck, 0, nil)
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
			s.outOfTheBlue(h, c.raw, from, to)
			return
		}
		o = l.currentOptions()
	}
	if ck.localTag == 0 {
		ck.localTag, ck.localTSN = p.newTag(), randUint32()
	}
	ck.life = int64(o.Assoc.CookieLife)
	if ck.life == 0 {
		ck.life = int64(cookieLife)
	}
	mine := localInitiation(&o)
	mine.tag, mine.tsn = ck.localTag, ck.localTSN
	mine.out = min(mine.out, i.in)
	mine.cookie = ck.seal()
	mine.unrecognized = i.unrecognized
	back.sendPacket(newPacket(header{p.num, h.src, i.tag}).add(ctInitAck, 0, mine.value()))
}

// cookieLife is what RFC 9260 section 16 suggests.
const cookieLife = 60 * time.Second

func (p *port) listening() *listener {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.listener
}

// onCookieEcho makes an association of a cookie (sections 5.1.5 and 5.2.4). It
// returns the one that the rest of the packet is for, or nil.
func (p *port) onCookieEcho(s *socket, h header, c chunk, from netip.AddrPort, to netip.Addr) *assoc {
	var ck cookie
	if !ck.open(c.value) || !ck.isFor(from.Addr(), h) {
		if p.find(h.tag) == nil && p.findPeer(peer{from.Addr(), h.src}) == nil {
			s.outOfTheBlue(h, c.raw, from, to)
		} else {
			s.counters.wrongTag.Add(1)
		}
		return nil
	}
	if !to.IsValid() {
		to, _ = localTo(from) // the likeliest, as the system does not tell
	}
	reply := header{p.num, h.src, ck.peerTag}
	back := path{socket: s, to: from, oob: s.source(to)}
	key := peer{from.Addr(), h.src}
	i := ck.initiation()
	stale := func() bool {
		late := ck.staleness(time.Now())
		if late <= 0 {
			return false
		}
		us := binary.BigEndian.AppendUint32(nil, uint32(min(late.Microseconds(), 1<<32-1)))
		back.sendPacket(newPacket(reply).addCause(ctError, 0, causeStaleCookie, us))
		return true
	}

	if a := p.findPeer(key); a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		local, remote := ck.localTag == a.localTag, ck.peerTag == a.peerTag
		dialling := a.state == engine.StateCookieWait || a.state == engine.StateCookieEchoed
		switch {
		case a.state == engine.StateClosed:
			// It has just gone.
		case local && dialling:
			if stale() {
				return nil
			}
			a.path, a.localIP = back, to
			if a.establish(&i) != nil {
				return nil
			}
			a.sendChunk(ctCookieAck, 0, nil)
			return a
		case local && remote:
			a.sendChunk(ctCookieAck, 0, nil) // the one before was lost
			return a
		case !local && !remote && ck.tieTags == a.tieTags:
			if stale() {
				return nil
			}
			if from != a.path.to {
				a.refuseRestart(back, reply)
				return nil
			}
			if a.state == engine.StateShutdownAckSent {
				a.sendChunk(ctShutdownAck, 0, nil)
				back.sendPacket(newPacket(reply).addCause(ctError, 0, causeCookieInShutdown, nil))
				return nil
			}
			// The peer has restarted. To it the old association is gone, and
			// so is everything that was on its way.
			if a.options.Events {
				a.rx.pushEvent(engine.AssociationEvent{Change: engine.AssociationRestarted})
			}
			a.finish(errReset)
		default:
			s.counters.wrongTag.Add(1)
			return nil
		}
	}
	l := p.listening()
	if l == nil || l.isSpent(&ck) {
		s.outOfTheBlue(h, c.raw, from, to)
		return nil
	}
	if stale() {
		return nil
	}
	return l.establish(back, to, key, &ck, &i)
}

// refuseRestart answers who would begin the association anew from another UDP
// port than the peer's. It may be somebody else behind the same address
// translator, who happens to have the same SCTP port, and must not end it
// (draft-tuexen-tsvwg-sctp-udp-encaps-cons section 4.4).
func (a *assoc) refuseRestart(back path, reply header) {
	ports := binary.BigEndian.AppendUint16(nil, a.path.to.Port())
	ports = binary.BigEndian.AppendUint16(ports, back.to.Port())
	back.sendPacket(newPacket(reply).addCause(ctAbort, 0, causeNewUDPPort, ports))
}

// A dialling is the active side of a handshake.
type dialling struct {
	asked      []netip.AddrPort // where the peer may have been, by UDP port,
	candidates []netip.AddrPort // and may be still
	socket     *socket
	sent       time.Time // of the last INIT
	attempts   int       // to send the same
	stale      int       // cookies
	most       int       // of either
	longest    time.Duration
	cookie     []byte // being echoed
	report     []byte // parameters of INIT ACK that were not recognized
}

// connect makes an association with one of several UDP ports of the peer, of
// which the first counts that answers.
func (a *assoc) connect(ctx context.Context, candidates []netip.AddrPort) error {
	a.mu.Lock()
	a.dial.asked, a.dial.candidates = candidates, slices.Clone(candidates)
	a.dial.socket = a.port.sockets[0]
	a.dial.most = int(a.options.InitAttempts)
	if a.dial.most == 0 {
		a.dial.most = 8 // RFC 9260 section 16
	}
	a.dial.longest = a.options.InitTimeout
	if a.dial.longest == 0 {
		a.dial.longest = a.retry.longest
	}
	a.state = engine.StateCookieWait
	a.sendHandshake()
	a.mu.Unlock()

	probing, stop := context.WithCancel(context.Background())
	defer stop()
	probe := time.AfterFunc(probeDelay, func() { a.probe(probing, candidates) })
	defer probe.Stop()
	select {
	case <-a.done:
	case <-ctx.Done():
		a.mu.Lock()
		if a.state < engine.StateEstablished {
			a.abandon(ctx.Err())
		} else {
			a.abort()
		}
		a.mu.Unlock()
		return ctx.Err()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state == engine.StateClosed && !a.wasEstablished() {
		return a.err
	}
	return nil
}

// wasEstablished reports whether the handshake was completed.
func (a *assoc) wasEstablished() bool { return a.mtu != 0 }

// sendHandshake sends INIT or COOKIE ECHO, for the first time or again.
func (a *assoc) sendHandshake() {
	first := a.retry.initial
	if a.state == engine.StateCookieEchoed {
		first = a.retry.rto // there has been a round trip
	}
	a.ctrlTimer.start(min(first<<min(a.dial.attempts, 16), a.dial.longest))
	if a.state == engine.StateCookieEchoed {
		p := newPacket(a.header()).add(ctCookieEcho, 0, a.dial.cookie)
		for rest := a.dial.report; len(rest) > 0; {
			u, r, ok := nextParam(rest)
			if !ok {
				break
			}
			p, rest = p.addCause(ctError, 0, causeUnrecognizedParam, u.raw), r
		}
		a.sendPacket(p)
		return
	}
	a.dial.sent = time.Now()
	i := a.initiation()
	init := newPacket(header{a.port.num, a.peer.port, 0}).add(ctInit, 0, i.value())
	for _, to := range a.dial.candidates {
		a.stats.PacketsSent++
		path{socket: a.dial.socket, to: to, oob: a.dial.socket.source(a.localIP)}.sendPacket(init)
	}
}

func (a *assoc) onHandshakeTimeout() {
	if a.dial.attempts++; a.dial.attempts > a.dial.most {
		a.abandon(os.NewSyscallError("connect", syscall.ETIMEDOUT))
		return
	}
	a.sendHandshake()
}

// onInitAck goes on with the handshake.
func (a *assoc) onInitAck(s *socket, c chunk, from netip.AddrPort, to netip.Addr) {
	if a.state != engine.StateCookieWait || from.Addr() != a.peer.ip {
		return
	}
	var i initiation
	cause, ok := i.parse(c.value)
	if ok && i.cookie == nil {
		cause, ok = causeMissingParameter, false
	}
	if !ok {
		s.counters.malformed.Add(1)
		if i.tag != 0 {
			path{socket: s, to: from, oob: s.source(to)}.sendPacket(newPacket(header{a.port.num, a.peer.port, i.tag}).addCause(ctAbort, 0, cause, i.badHost))
		}
		a.onRefused(from)
		return
	}
	a.path = path{socket: s, to: from, oob: s.source(a.localIP)}
	a.peerTag = i.tag
	a.peerInit = i
	a.dial.cookie = slices.Clone(i.cookie)
	a.dial.report = slices.Clone(i.unrecognized)
	if a.dial.attempts == 0 && a.dial.stale == 0 {
		a.retry.measured(time.Since(a.dial.sent))
	}
	a.dial.attempts = 0
	a.state = engine.StateCookieEchoed
	a.sendHandshake()
}

func (a *assoc) onCookieAck() {
	if a.state == engine.StateCookieEchoed {
		a.dial.cookie, a.dial.report = nil, nil
		a.establish(&a.peerInit)
	}
}

// onStaleCookie begins the handshake again, as it has taken too long, but not for
// ever.
func (a *assoc) onStaleCookie() {
	if a.dial.stale++; a.dial.stale > a.dial.most {
		a.abandon(os.NewSyscallError("connect", syscall.ETIMEDOUT))
		return
	}
	a.state = engine.StateCookieWait
	a.peerTag = 0
	a.dial.attempts = 0
	a.sendHandshake()
}

// onRefused takes note that nobody listens at one of the peer's UDP ports.
func (a *assoc) onRefused(from netip.AddrPort) {
	if a.state == engine.StateCookieEchoed && from != a.path.to {
		return
	}
	if a.state == engine.StateCookieWait {
		a.dial.candidates = slices.DeleteFunc(a.dial.candidates, func(c netip.AddrPort) bool { return c == from })
		if len(a.dial.candidates) > 0 {
			return
		}
	}
	a.abandon(os.NewSyscallError("connect", syscall.ECONNREFUSED))
}

// isLateReply reports whether a packet is what became of an INIT at one of
// several UDP ports, after the association was made with another. All have had
// the same tag, and who answers may be somebody else altogether.
func (a *assoc) isLateReply(first byte, from netip.AddrPort) bool {
	return (first == ctInitAck || first == ctAbort) && slices.Contains(a.dial.asked, from)
}

// abandon ends a handshake.
func (a *assoc) abandon(err error) {
	if a.state == engine.StateCookieEchoed {
		a.sendAbort(causeUserAbort, nil)
	}
	a.finish(err)
}

// probeDelay is how long a dial waits before it looks for a peer that cannot
// answer, because nothing has the UDP port.
const probeDelay = 30 * time.Millisecond

// probe sends an INIT to each UDP port from a connected UDP socket, which the
// system tells of a port that is closed. That costs the peer nothing, and an
// answer goes nowhere.
func (a *assoc) probe(ctx context.Context, candidates []netip.AddrPort) {
	var wg sync.WaitGroup
	for _, to := range candidates {
		wg.Go(func() {
			if a.isClosed(ctx, to) {
				a.mu.Lock()
				if a.state == engine.StateCookieWait {
					a.onRefused(to)
				}
				a.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// isClosed reports whether a UDP port of the peer is closed, when it has found
// out, or false when ctx ends.
func (a *assoc) isClosed(ctx context.Context, to netip.AddrPort) bool {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return false
	}
	defer c.Close()
	tellOfRefusal(c)
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	a.mu.Lock() // the dial may be over, and calls change the settings
	i := a.initiation()
	a.mu.Unlock()
	i.tag = a.localTag ^ 1<<31
	b := newPacket(header{a.port.num, a.peer.port, 0}).add(ctInit, 0, i.value()).seal()
	// What tells gets lost too, and a port that is open now may be closed soon.
	for wait := time.Second; ; wait *= 2 {
		if transport.Load() == nil {
			c.Write(b)
		}
		c.SetReadDeadline(time.Now().Add(wait))
		if _, err = c.Read(make([]byte, 2048)); !os.IsTimeout(err) {
			break
		}
	}
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, wsaReset)
}
