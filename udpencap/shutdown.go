package udpencap

import (
	"encoding/binary"
	"io"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// beginShutdown begins the graceful end, once all has arrived that was sent.
func (a *assoc) beginShutdown() {
	a.shutdown = true
	a.endSending()
	if a.state == engine.StateEstablished {
		a.state = engine.StateShutdownPending
		a.advanceShutdown()
	}
	a.writable.Broadcast()
}

// endSending tells the sender that there will be no more to send.
func (a *assoc) endSending() {
	if a.state >= engine.StateEstablished {
		a.snd.SetEnding(a.now())
		a.setSendTimer()
	}
}

// advanceShutdown goes on with a graceful end when there is nothing left to be
// acknowledged.
func (a *assoc) advanceShutdown() {
	if n, _ := a.snd.Held(); n > 0 {
		return
	}
	switch a.state {
	case engine.StateShutdownPending:
		a.state = engine.StateShutdownSent
		a.stopSending()
		a.ctrlCount = 0
		a.sendShutdown()
		a.guardShutdown()
	case engine.StateShutdownReceived:
		a.state = engine.StateShutdownAckSent
		a.stopSending()
		a.ctrlCount = 0
		a.sendShutdown()
	}
}

// sendShutdown sends SHUTDOWN or SHUTDOWN ACK, for the first time or again.
func (a *assoc) sendShutdown() {
	if a.state == engine.StateShutdownSent {
		a.rx.ackSent()
		a.sendChunk(ctShutdown, a.shutdownValue())
	} else {
		a.sendChunk(ctShutdownAck, nil)
	}
	a.ctrlTimer.start(a.retry.backoff(a.ctrlCount))
}

// sendShutdownAndAck answers DATA that comes in SHUTDOWN-SENT.
func (a *assoc) sendShutdownAndAck() {
	p := a.takeReply(shutdownSize+ackSize).add(ctShutdown, 0, a.shutdownValue())
	a.stats.ControlSent++
	a.sendPacket(a.rx.appendAck(p, a.mtu))
	a.ctrlTimer.start(a.retry.backoff(a.ctrlCount))
}

// shutdownSize is the size of a SHUTDOWN chunk.
const shutdownSize = 8

func (a *assoc) shutdownValue() []byte { return binary.BigEndian.AppendUint32(nil, a.rx.cum) }

func (a *assoc) onShutdownTimeout() {
	a.ctrlCount++
	switch {
	case a.ctrlCount > a.retry.most:
		a.unreachable()
	default:
		a.sendShutdown()
		if a.waitsForReader() && !a.hb.isAwaited() {
			a.sendHeartbeat() // a peer that has more to send answers nothing else
		}
	}
}

// waitsForReader reports whether the peer, in SHUTDOWN-SENT, may have more to send than
// there is room for, as nobody reads.
func (a *assoc) waitsForReader() bool {
	return a.state == engine.StateShutdownSent && a.rx.unread()
}

// noteLife takes note that the peer is there, in SHUTDOWN-SENT. It answers
// SHUTDOWN only when it has sent all it has, for which it may have to wait until
// there is room.
func (a *assoc) noteLife(typ byte) {
	switch typ {
	case ctData, ctHeartbeat, ctHeartbeatAck:
		a.ctrlCount = 0
		a.answered()
	}
	if typ == ctData && a.receiving { // somebody waits for it
		a.guardShutdown()
	}
}

// guardShutdown gives the peer, in SHUTDOWN-SENT, time for what it has left to
// send. That may take long, but not for ever where nobody reads it (RFC 9260
// section 9.2, T5-shutdown-guard). After Close it is flushLimit that counts.
func (a *assoc) guardShutdown() {
	if a.state == engine.StateShutdownSent && !a.closed {
		a.flushTimer.start(max(5*a.retry.Max, flushLimit))
	}
}

func (a *assoc) onShutdown(v []byte) {
	if len(v) < 4 {
		return
	}
	cum := binary.BigEndian.Uint32(v)
	switch a.state {
	case engine.StateEstablished, engine.StateShutdownPending:
		a.state = engine.StateShutdownReceived
		a.tell(engine.ShutdownEvent{})
		a.wakeCalls()
		a.onCumulativeAck(cum)
		a.endSending()
		a.advanceShutdown()
	case engine.StateShutdownReceived:
		a.onCumulativeAck(cum)
	case engine.StateShutdownSent:
		// Both at once.
		a.state = engine.StateShutdownAckSent
		a.ctrlCount = 0
		if !a.closed {
			a.flushTimer.stop()
		}
		a.sendShutdown()
	case engine.StateShutdownAckSent:
		a.answer(ctShutdownAck, nil)
	}
}

func (a *assoc) onShutdownAck() {
	switch a.state {
	case engine.StateShutdownSent, engine.StateShutdownAckSent:
		a.sendChunk(ctShutdownComplete, nil)
		a.finish(io.EOF)
	}
}

func (a *assoc) onShutdownComplete() {
	if a.state == engine.StateShutdownAckSent {
		a.finish(io.EOF)
	}
}
