package udpencap

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A heartbeat finds out whether an idle peer is still there (RFC 9260 section
// 8.3). While data is on its way its acknowledgements tell.
type heartbeat struct {
	timer timer
	sent  time.Time // the one that is not answered, else zero
	nonce uint64    // in it
	late  bool      // its answer has not come in time
	doubt bool      // the peer's host says that its UDP port is closed
}

const paramHeartbeatInfo = 1

// isAwaited reports whether the answer of a heartbeat may still come in time.
func (h *heartbeat) isAwaited() bool { return !h.sent.IsZero() && !h.late }

// heartbeatPeriod is the time between two heartbeats, beside the timeout.
func (a *assoc) heartbeatPeriod() time.Duration {
	if d := a.options.PathParams.HeartbeatInterval; d != 0 {
		return d
	}
	return heartbeatPeriod
}

// scheduleHeartbeat has the next one be sent when there is nothing else for a period. It
// began as long ago as passed says.
func (a *assoc) scheduleHeartbeat(passed time.Duration) {
	if a.options.PathParams.NoHeartbeat || a.state < engine.StateEstablished {
		a.hb.timer.stop()
		return
	}
	d := a.heartbeatPeriod() + a.retry.RTO - passed
	a.hb.timer.start(max(0, d+time.Duration(float64(a.retry.RTO)*(rand.Float64()-0.5))))
}

func (a *assoc) onHeartbeatTimer() {
	switch a.state {
	case engine.StateShutdownSent, engine.StateShutdownAckSent:
		if !a.waitsForReader() {
			a.hb.sent = time.Time{}
			return // the shutdown has its own timer (RFC 9260 section 8.3)
		}
	}
	if a.hb.isAwaited() {
		a.hb.late = true
		timeout := a.retry.RTO
		switch {
		case a.unanswered():
			a.unreachable()
		case a.hb.doubt:
			a.sendHeartbeat()
		default:
			// Not at once: answers of many associations may be late because there is
			// too much to do.
			a.scheduleHeartbeat(timeout)
		}
		return
	}
	if a.snd.IsIdle() {
		a.sendHeartbeat()
		return
	}
	a.scheduleHeartbeat(0)
}

func (a *assoc) sendHeartbeat() {
	a.hb.sent, a.hb.late = time.Now(), false
	a.hb.nonce = rand.Uint64()
	a.sendChunk(ctHeartbeat, heartbeatInfo(a.hb.nonce))
	a.hb.timer.start(a.retry.RTO)
}

// heartbeatInfo is the value of a HEARTBEAT.
func heartbeatInfo(nonce uint64) []byte {
	return appendParam(nil, paramHeartbeatInfo, binary.BigEndian.AppendUint64(nil, nonce))
}

// onHeartbeatAck takes an answer. One that is late tells, too, that the peer is there, and
// how long the round trip is.
func (a *assoc) onHeartbeatAck(at *arrival, v []byte) {
	info, _, ok := nextParam(v)
	if !ok || info.typ != paramHeartbeatInfo || len(info.value) != 8 {
		return
	}
	nonce := binary.BigEndian.Uint64(info.value)
	if a.move.isAnswer(at, nonce) {
		a.moved()
		return
	}
	if a.isProbeAnswer(nonce) || a.hb.sent.IsZero() || nonce != a.hb.nonce {
		return
	}
	a.answered()
	a.retry.Measured(time.Since(a.hb.sent))
	a.hb.sent = time.Time{}
	a.scheduleHeartbeat(0)
}
