package udpencap

import (
	"sync"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// now is the time as the sender has it.
func (a *assoc) now() time.Duration { return time.Since(a.epoch) }

// pump sends what may be sent now. It leaves the lock for each system call, so it comes
// last in what its caller does. One goroutine at a time sends for an association.
func (a *assoc) pump() {
	if a.pumping {
		return // the other one looks again
	}
	a.pumping = true
	a.sendReply() // a COOKIE ACK goes before DATA
	for a.state >= engine.StateEstablished {
		b := a.fill()
		if b == nil {
			break
		}
		b.to = a.path
		b.to.single = !a.peerInit.batches
		a.mu.Unlock()
		full := b.send()
		a.mu.Lock()
		if full {
			// The socket's goroutine sends now.
			a.held = b
			a.pumped.Broadcast()
			b.to.socket.later.add(a)
			return
		}
		b.free()
	}
	a.pumping = false
	a.pumped.Broadcast()
	a.givenUp()
	a.setSendTimer()
}

// awaitPump waits until a goroutine that sends has sent what may be sent now, or cannot.
func (a *assoc) awaitPump() {
	for a.pumping && a.held == nil {
		a.pumped.Wait()
	}
}

// sendHeld sends the batch that the system had no room for, and goes on.
func (a *assoc) sendHeld() {
	a.held.wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held.free()
	a.held, a.pumping = nil, false
	a.snd.Delayed(a.now())
	a.pump()
}

// setSendTimer has the sender be called when it wants to be.
func (a *assoc) setSendTimer() {
	if at := a.snd.Deadline(); at != 0 && a.state >= engine.StateEstablished {
		a.sendTimer.start(at - a.now())
	} else {
		a.sendTimer.stop()
	}
}

// fill makes packets of what may be sent now. It returns nil if there is nothing.
func (a *assoc) fill() *batch {
	now := a.now()
	var b *batch
	for {
		need := a.snd.Next(now)
		if need == 0 {
			return b
		}
		if b == nil {
			b = newBatch()
			a.beginSearch()
		}
		room := a.mtu - headerSize
		if headerSize+max(need, room) > cap(b.buf)-len(b.buf) {
			return b
		}
		start := len(b.buf)
		p := appendHeader(b.buf, a.header())
		// An acknowledgement that is due goes with it.
		if r := &a.rx; (r.ackNow || a.ackTimer.isRunning()) && len(r.later) == 0 && len(r.dups) == 0 && need+ackSize <= room {
			p = r.appendAck(p, a.mtu)
			room -= ackSize
		}
		bare := len(p)
		if p = a.snd.Append(p, room, now); len(p) == bare {
			if start > 0 {
				return b
			}
			b.free()
			return nil
		}
		p[start:].seal()
		b.add(p, start, a.mtu)
		a.stats.PacketsSent++
	}
}

// A batch is packets of an association.
type batch struct {
	to     path
	buf    packet
	groups []group
	sent   int // groups
}

// A group is packets of a batch that the system can be handed as one: all of the same
// size, but the last, which may be shorter. One packet that is too large for the path is
// divided by the system.
type group struct {
	from, to, size, n int
	divide            bool
}

var batches = sync.Pool{New: func() any { return &batch{buf: make(packet, 0, 1<<16)} }}

func newBatch() *batch { return batches.Get().(*batch) }

func (b *batch) free() {
	b.to, b.buf, b.groups, b.sent = path{}, b.buf[:0], b.groups[:0], 0
	batches.Put(b)
}

// add adds the packet that p has from start on.
func (b *batch) add(p packet, start, mtu int) {
	b.buf = p
	size := len(p) - start
	if i := len(b.groups) - 1; i >= 0 {
		g := &b.groups[i]
		if size <= g.size && !g.divide && g.to-g.from == g.n*g.size && g.n < maxSegments && len(p)-g.from <= maxBatch {
			g.to = len(p)
			g.n++
			return
		}
	}
	b.groups = append(b.groups, group{start, len(p), size, 1, size > mtu})
}

// send sends the packets. It reports whether the system had no room for some of them.
func (b *batch) send() (full bool) {
	for ; b.sent < len(b.groups); b.sent++ {
		g := &b.groups[b.sent]
		b.to.divide = g.divide
		n, full := b.to.send(b.buf[g.from:g.to], g.size)
		if full {
			g.from += n
			return true
		}
	}
	return false
}

// wait sends the rest of the packets when the system has room.
func (b *batch) wait() {
	for ; b.sent < len(b.groups); b.sent++ {
		b.to.divide = b.groups[b.sent].divide
		for g := &b.groups[b.sent]; g.from < g.to; {
			g.from += b.to.waitSend(b.buf[g.from:g.to], g.size)
		}
	}
}

// onSACK handles the peer's acknowledgement.
func (a *assoc) onSACK(v []byte) {
	if !a.snd.Accepts(v) {
		return
	}
	a.stats.SACKsReceived++
	a.answered()
	a.search.silent = 0
	a.acknowledged(func() bool { return a.snd.SACK(v, a.now()) })
	if a.snd.LosesLarge() {
		a.shrinkMTU()
	}
}

// onCumulativeAck is for the acknowledgement in a SHUTDOWN.
func (a *assoc) onCumulativeAck(cum uint32) {
	if !a.snd.AcceptsCumulative(cum) {
		return
	}
	a.answered()
	a.acknowledged(func() bool { return a.snd.CumulativeAck(cum, a.now()) })
}

// acknowledged has the sender take an acknowledgement, and goes on with what waits for
// that.
func (a *assoc) acknowledged(take func() (progress bool)) {
	number, _ := a.snd.Held()
	if take() && a.flushTimer.isRunning() {
		limit := flushLimit
		if a.closed {
			limit = min(limit, max(0, closeLimit-time.Since(a.closedAt)))
		}
		a.flushTimer.start(limit)
	}
	a.wantsPump = true
	if left, _ := a.snd.Held(); left < number {
		a.messagesOver()
	}
}

// messagesOver goes on with what waits for messages to be acknowledged, or given up.
func (a *assoc) messagesOver() {
	a.writable.Broadcast()
	if left, _ := a.snd.Held(); left == 0 {
		if a.options.SenderDry {
			a.rx.pushEvent(engine.SenderDryEvent{})
		}
		a.advanceShutdown()
	}
}

// onSendTimer is when the sender wants to go on.
func (a *assoc) onSendTimer() {
	if a.held != nil {
		return // the system has no room, which is no fault of the peer's
	}
	if a.waitsForSocket() {
		a.sendTimer.start(unreadPause)
		return
	}
	if a.snd.Expire(a.now()) {
		isSilent := !a.snd.Refused()
		if isSilent && a.unanswered() {
			a.unreachable()
			return
		}
		a.snd.Timeout(a.now())
		if isSilent {
			a.noteSilence()
		}
	}
	a.pump()
}

// Where the processors are busy, a timer may fire before the socket's goroutine has read what
// the peer has sent. That may be the acknowledgement for which the timer is. So the timer
// waits for the socket. It looks again after each unreadPause, and waits for mostUnread at
// most.
const (
	unreadPause = time.Millisecond
	mostUnread  = 100 * time.Millisecond
)

// A readWait is the wait of a timer until what lies in a socket has been read.
type readWait struct {
	of    time.Duration // the time of the timer
	since time.Duration
	turn  uint64 // it is over at the end of this turn of the socket's goroutine
}

// waitsForSocket reports whether something would be sent again before what could spare it
// has been read.
func (a *assoc) waitsForSocket() bool {
	w, s, now, at := &a.readWait, a.path.socket, a.now(), a.snd.ResendAt()
	if at == 0 || now < at || !s.isBehind() {
		return false
	}
	turn := s.turns.n.Load()
	if w.of != at {
		// What has come by now is read in the next turn at the latest.
		*w = readWait{at, now, turn + 2}
		if s.turns.isUnderWay(turn) {
			w.turn++
		}
	}
	return turn < w.turn && now-w.since < mostUnread
}

// isBehind reports whether something has come that was not taken, or is being handled.
func (s *socket) isBehind() bool {
	// In this order: what is taken in between is being handled, or was, when the turn is
	// looked at.
	return s.isUnread() || s.turns.isUnderWay(s.turns.n.Load())
}

// stopSending forgets what was not sent or acknowledged, and needs no larger packets.
func (a *assoc) stopSending() {
	a.snd.Stop()
	a.sendTimer.stop()
	a.search.timer.stop()
}
