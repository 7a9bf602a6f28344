package udpencap

import (
	"math/rand/v2"
	"time"
)

// A move is a peer's change to another UDP port that is not yet certain. Packets of
// the association have come from there, and a HEARTBEAT has gone there. When that is
// answered from there, the port is the peer's. Until then everything else goes to the
// old port: a forger that knows the tag must not choose where the traffic goes.
type move struct {
	path  path
	nonce uint64
	sent  time.Time // the HEARTBEAT, zero if there is none
}

// movePause is the time until the next HEARTBEAT to a port, be it this one or
// another, if none is answered.
const movePause = time.Second

// noteSource takes note of where a packet of the peer's has come from, and to which
// socket.
func (a *assoc) noteSource(at *arrival) {
	if at.from == a.path.to && at.socket == a.path.socket {
		return
	}
	m := &a.move
	now := time.Now()
	if !m.sent.IsZero() && now.Sub(m.sent) < movePause {
		return
	}
	*m = move{a.pathTo(at), rand.Uint64(), now}
	a.stats.ControlSent++
	a.stats.PacketsSent++
	m.path.sendPacket(newPacket(a.header()).add(ctHeartbeat, 0, heartbeatInfo(m.nonce)))
}

// isAnswer reports whether a HEARTBEAT ACK shows that the peer has moved.
func (m *move) isAnswer(at *arrival, nonce uint64) bool {
	return !m.sent.IsZero() && nonce == m.nonce && at.from == m.path.to && at.socket == m.path.socket
}

// moved has packets go to the peer's new port. What went to the old one of late may be
// lost, and is sent again.
func (a *assoc) moved() {
	a.path = a.move.path
	a.move = move{}
	a.answered()
	a.sendAck()
	a.snd.Resend(a.now())
	a.wantsPump = true
}
