package udpencap

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A dialing is the active side of a handshake.
type dialing struct {
	ctx        context.Context // ends with the handshake
	stop       context.CancelFunc
	candidates []candidate // that were asked, and may answer
	rest       []uint16    // UDP ports that were not
	asked      int         // candidates so far
	refused    bool        // the last of them, once
	socket     *socket
	attempts   int // to send the same
	stale      int // cookies
	most       int // of either
	longest    time.Duration
	cookie     []byte // being echoed
	report     []byte // parameters of INIT ACK that were not recognized
}

// A candidate is one of the UDP ports where the peer may be. Each is asked with a tag
// of its own. One that is somebody else's never learns the association's tag.
type candidate struct {
	to   netip.AddrPort
	tag  uint32
	sent time.Time // of the last INIT
}

// askPause is how long a UDP port that has been asked twice is waited for before the
// next one is asked, too.
const askPause = 300 * time.Millisecond

// connect makes an association with a peer that is at one of several UDP ports. Each
// is asked only when the one before has refused, or has not answered twice: it may be
// somebody else's.
func (a *assoc) connect(ctx context.Context, ports []uint16) error {
	a.mu.Lock() // the port's packets find an association that is being dialed, or none
	if !a.port.add(a) {
		a.mu.Unlock()
		a.port.release()
		return os.NewSyscallError("connect", syscall.EADDRINUSE)
	}
	again := a.beginDialing(ports)
	a.mu.Unlock()
	return a.awaitHandshake(ctx, again)
}

// beginDialing sends the first INIT, and returns after what time the next UDP port is
// to be asked.
func (a *assoc) beginDialing(ports []uint16) (again time.Duration) {
	a.dial.ctx, a.dial.stop = context.WithCancel(context.Background())
	a.dial.rest = ports
	a.dial.socket = a.port.socketFor(a.peer.ip)
	a.dial.most = int(a.options.InitAttempts)
	if a.dial.most == 0 {
		a.dial.most = 8 // RFC 9260 section 16
	}
	a.dial.longest = a.options.InitTimeout
	if a.dial.longest == 0 {
		a.dial.longest = a.retry.Max
	}
	a.state = engine.StateCookieWait
	a.ask()
	return min(a.handshakeTimeout(), rtoInitial) + askPause
}

// awaitHandshake waits for the end of a handshake that was begun.
func (a *assoc) awaitHandshake(ctx context.Context, again time.Duration) error {
	defer a.dial.stop()
	silence := time.AfterFunc(again, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.state == engine.StateCookieWait {
			a.ask()
		}
	})
	defer silence.Stop()
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

// wasEstablished reports whether the handshake was completed. The MTU is set by establish,
// and by nothing before.
func (a *assoc) wasEstablished() bool { return a.mtu != 0 }

// ask sends INIT to the next UDP port. It reports false if there is none.
func (a *assoc) ask() bool {
	d := &a.dial
	if len(d.rest) == 0 {
		return false
	}
	c := candidate{to: netip.AddrPortFrom(a.peer.ip, d.rest[0]), tag: a.localTag}
	if d.asked++; d.asked > 1 {
		c.tag = a.port.addTag(a)
	}
	d.rest = d.rest[1:]
	d.candidates = append(d.candidates, c)
	if len(d.candidates) == 1 {
		a.ctrlTimer.start(a.handshakeTimeout())
	}
	a.sendInit(&d.candidates[len(d.candidates)-1])
	if tellsOfClosedPorts {
		return true
	}
	ctx := d.ctx
	time.AfterFunc(probeDelay, func() {
		if ctx.Err() == nil && a.isClosed(ctx, c.to) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.onClosed(c)
		}
	})
	return true
}

// handshakeTimeout is when to send INIT or COOKIE ECHO again.
func (a *assoc) handshakeTimeout() time.Duration {
	first := a.retry.Initial
	if a.state == engine.StateCookieEchoed {
		first = a.retry.RTO // there has been a round trip
	}
	return min(first<<min(a.dial.attempts, 16), a.dial.longest)
}

func (a *assoc) sendInit(c *candidate) {
	i := a.initiation()
	i.tag = c.tag
	c.sent = time.Now()
	a.stats.PacketsSent++
	a.stats.ControlSent++
	to := a.dial.socket.pathTo(c.to, a.localIP)
	to.sendPacket(newPacket(header{a.port.num, a.peer.port, 0}).add(ctInit, 0, i.value()))
}

// sendHandshake sends INIT or COOKIE ECHO again, or the latter for the first time.
func (a *assoc) sendHandshake() {
	a.ctrlTimer.start(a.handshakeTimeout())
	if a.state == engine.StateCookieWait {
		for i := range a.dial.candidates {
			a.sendInit(&a.dial.candidates[i])
		}
		return
	}
	p := newPacket(a.header()).add(ctCookieEcho, 0, a.dial.cookie)
	for u := range params(a.dial.report) {
		p = p.addCause(ctError, 0, causeUnrecognizedParam, u.raw)
	}
	a.stats.ControlSent++
	a.sendPacket(p)
}

func (a *assoc) onHandshakeTimeout() {
	if a.dial.attempts++; a.dial.attempts > a.dial.most {
		a.abandon(os.NewSyscallError("connect", syscall.ETIMEDOUT))
		return
	}
	a.sendHandshake()
	if a.state == engine.StateCookieWait && a.dial.attempts == a.dial.most {
		a.ask() // there is no later time for it
	}
}

// onInitAck goes on with the handshake.
func (a *assoc) onInitAck(at *arrival, c chunk) {
	asked := slices.IndexFunc(a.dial.candidates, func(c candidate) bool { return c.tag == at.header.tag })
	if a.state != engine.StateCookieWait || asked < 0 {
		return
	}
	var i initiation
	cause, ok := i.parse(c.value)
	if ok && i.cookie == nil {
		cause, ok = causeMissingParameter, false
		i.detail = []byte{0, 0, 0, 1, 0, paramCookie} // how many, and which
	}
	if !ok {
		at.socket.counters.malformed.Add(1)
		reply, flags := header{a.port.num, a.peer.port, i.tag}, byte(0)
		if i.tag == 0 { // it has no tag, or is cut short (section 3.3.3)
			reply.tag, flags = at.header.tag, flagReflected
		}
		at.back().sendPacket(newPacket(reply).addCause(ctAbort, flags, cause, i.detail))
		a.onRefused(at.header.tag)
		return
	}
	sent := a.dial.candidates[asked].sent
	a.choose(asked)
	a.path = a.pathTo(at)
	a.peerTag = i.tag
	a.peerInit = i
	a.dial.cookie = slices.Clone(i.cookie)
	a.dial.report = slices.Clone(i.unrecognized)
	if a.dial.attempts == 0 && a.dial.stale == 0 {
		a.retry.Measured(time.Since(sent))
	}
	a.dial.attempts = 0
	a.state = engine.StateCookieEchoed
	a.sendHandshake()
}

// choose makes the candidate that has answered the only one.
func (a *assoc) choose(i int) {
	c := a.dial.candidates[i]
	if a.localTag != c.tag {
		a.port.dropTag(a, a.localTag)
		a.localTag = c.tag
	}
	a.endDialing()
	a.dial.candidates = []candidate{c} // which may be asked again, for a newer cookie
}

// endDialing forgets the candidates, and all tags but the association's own.
func (a *assoc) endDialing() {
	for _, c := range a.dial.candidates {
		if c.tag != a.localTag {
			a.port.dropTag(a, c.tag)
		}
	}
	a.dial.candidates, a.dial.rest = nil, nil
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

// onRefused takes note that nobody listens where INIT with a tag has gone, and asks
// at the next UDP port.
func (a *assoc) onRefused(tag uint32) {
	if a.state == engine.StateCookieWait {
		i := slices.IndexFunc(a.dial.candidates, func(c candidate) bool { return c.tag == tag })
		if i < 0 {
			return
		}
		if tag != a.localTag { // which stays, as cookies for the peer's own dial have it
			a.port.dropTag(a, tag)
		}
		a.dial.candidates = slices.Delete(a.dial.candidates, i, i+1)
		if a.ask() || len(a.dial.candidates) > 0 {
			return
		}
	}
	a.finish(os.NewSyscallError("connect", syscall.ECONNREFUSED)) // without an ABORT in answer to one
}

// onClosed is onRefused for what the system tells of a UDP port that is closed.
func (a *assoc) onClosed(at candidate) {
	if a.state == engine.StateCookieWait && slices.ContainsFunc(a.dial.candidates, func(c candidate) bool {
		return c.to == at.to && c.tag == at.tag
	}) {
		a.onRefused(at.tag)
	}
}

// abandon ends a handshake.
func (a *assoc) abandon(err error) {
	if a.state == engine.StateCookieEchoed {
		a.sendAbort(causeUserAbort, nil)
	}
	a.finish(err)
}

// onUnreachable is onRefused for what the system tells of INIT that has come to a closed
// UDP port, where it does. The next port is asked at once. Where there is none, INIT is
// sent once more, a little later: the peer may be about to dial, too.
func (a *assoc) onUnreachable(at candidate) {
	d := &a.dial
	switch {
	case len(d.rest) > 0 || d.refused:
		a.onClosed(at)
		return
	case !tellsOfClosedPorts:
		return // there is a probe for that
	}
	d.refused = true
	ctx := d.ctx
	time.AfterFunc(probeDelay, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if ctx.Err() != nil || a.state != engine.StateCookieWait {
			return
		}
		for i := range d.candidates {
			a.sendInit(&d.candidates[i])
		}
	})
}

// probeDelay is how long a dial waits before it looks for a peer that cannot
// answer, because nothing has the UDP port.
const probeDelay = 30 * time.Millisecond

// isClosed reports whether a UDP port of the peer is closed, when it has found
// out, or false when ctx ends. It sends an INIT from a connected UDP socket, which
// the system tells of a port that is closed. That costs the peer nothing, and an
// answer goes nowhere.
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
	i.tag ^= 1 << 31
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

// tagAt returns the tag that a UDP port of the peer's was asked with, so that two ends
// which dial each other there name the same tags in both handshakes. A port that was not
// asked has the first one.
func (a *assoc) tagAt(from netip.AddrPort) uint32 {
	for _, c := range a.dial.candidates {
		if c.to == from {
			return c.tag
		}
	}
	return a.localTag
}
