package mux

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// How streams end. Each direction of a stream ends by its reset (RFC 6525). The
// side that sends asks for the reset when all its data has gone. The other side
// gets an event, in order with the data, which is the end of the direction. A
// number is free when both directions are reset and the Stream is closed.

// stop tells the peer that nobody reads a stream, as it goes on sending on one
// that was closed. The stream is reset once more, by a request that names it
// twice. The peer may have closed the stream and begun its next use when the
// request arrives; naming it twice keeps the peer from taking this for the end
// of that use. RFC 6525 has a request to stop, but Linux cannot grant it while
// it has data to send, and keeps all other requests waiting.
//
// Most often the peer is about to close the stream too. So stop does not tell
// it at once.
func (m *Mux) stop(s *Stream) {
	const patience = 100 * time.Millisecond
	switch now := time.Now(); {
	case s.dropped.IsZero():
		s.dropped = now
	case s.closed && s.out == outReset && now.Sub(s.dropped) > patience:
		m.ask(s, stopWanted)
	}
}

// onReset handles an event of a reset.
func (m *Mux) onReset(r engine.StreamResetEvent) {
	for m.resets.state == asking {
		m.resets.asked.Wait() // the answer may be to that request
	}
	m.resets.isDue = true
	switch {
	case r.Incoming && (r.Failed || r.Denied):
		return // not our request: we never ask for incoming resets
	case r.Denied:
		m.onDenied()
		return
	case r.Failed:
		m.resets.backOff(m)
	case !r.Incoming:
		m.resets.settle()
	}
	ids := r.Streams
	if len(ids) == 0 { // all
		for id, n := range m.numbers {
			// If nothing has come since the end of a stream, this is no other end.
			isOpen := n.stream != nil && (!r.Incoming || n.stream.in != inEnded)
			if isOpen || r.Incoming && n.next.isBegun {
				ids = append(ids, id)
			}
		}
	}
	for i, id := range ids {
		switch again := i > 0 && ids[i-1] == id; {
		case i+1 < len(ids) && ids[i+1] == id:
			// Twice: see stop.
		case !r.Incoming:
			m.onOutgoingReset(id, r.Failed)
		case again:
			m.onStop(id)
		default:
			m.onIncomingReset(id)
		}
	}
}

// onOutgoingReset handles the answer to a request of ours: the outgoing stream
// was reset, or the request has failed.
func (m *Mux) onOutgoingReset(id uint16, failed bool) {
	n := m.numbers[id]
	s := n.stream
	switch {
	case n.late > 0:
		n.late--
		m.put(id, n)
	case s == nil:
	case s.out.isAsked() && failed:
		m.ask(s, s.out-1)
	case s.out.isAsked():
		s.out++
		m.forget(s)
	case !failed:
		m.onAskedReset(s)
	}
}

// onAskedReset handles a reset that the peer has asked for: it reads the stream no more.
// Another one could end the number's next use, which the peer may have begun.
func (m *Mux) onAskedReset(s *Stream) {
	m.kick(&s.sender)
	if s.out < outReset {
		m.resets.list = slices.DeleteFunc(m.resets.list, func(other *Stream) bool { return other == s })
		s.out = outReset
		m.forget(s)
	}
}

// onIncomingReset handles the reset of an incoming stream by the peer.
func (m *Mux) onIncomingReset(id uint16) {
	s := m.numbers[id].stream
	if s != nil && s.isReset() {
		m.free(s) // this ends the next use, which was empty
		s = m.numbers[id].stream
	}
	switch {
	case m.isSpent(id):
	case m.numbers[id].next.hasEnded:
		// Nothing has come since. Many ends would take memory.
	case s == nil || s.in == inEnded && (m.isUsed(id) || s.out >= resetAsked):
		m.keep(piece{msg: engine.Message{Stream: id}})
	case s.in != inEnded:
		s.in = inEnded
		signal(s.reader.arrived)
		m.forget(s)
	}
}

// onStop ends the sending on a stream, as the peer has closed it. It may come
// late, when the number is free or in use again. A next use is not meant: that
// has not ended yet.
func (m *Mux) onStop(id uint16) {
	if s := m.numbers[id].stream; s != nil && s.in == inEnded {
		m.kick(&s.sender)
	}
}

// isReset reports whether a stream was closed and both its directions may be
// reset for the peer.
func (s *Stream) isReset() bool {
	return s.closed && s.in == inEnded && s.out >= resetAsked
}

// forget makes a stream's number free once nothing of the stream is left. If the
// number cannot be used again, nothing but the number is remembered.
func (m *Mux) forget(s *Stream) {
	n := m.numbers[s.id]
	if !s.closed || n.stream != s {
		return
	}
	if m.noReset != nil && s.out < outReset && n.spent == nil {
		n.spent = m.noReset
		m.put(s.id, n)
	}
	switch {
	case n.spent != nil:
		m.drop(s.id)
		m.free(s)
	case s.isReset() && (s.out.isSettled() || m.isUsed(s.id)):
		m.free(s)
	}
}

// free makes a stream's number free. If the answer to its reset is still to
// come, late keeps it from being taken for the next use's.
func (m *Mux) free(s *Stream) {
	n := m.numbers[s.id]
	n.stream = nil
	if s.out.isAsked() {
		n.late++
	}
	m.put(s.id, n)
	if n.next.isRefused {
		m.refuse(s.id)
	}
	if m.isUsed(s.id) {
		m.signalUnclaimed() // the peer may have begun to use it again
	}
	m.wakeOpeners()
}

// A resetter asks the peer for the resets of outgoing streams, by one request at a
// time. A request must wait until the data of its streams has gone, and for the
// answer to the request before.
type resetter struct {
	state     resetterState
	asked     sync.Cond // state is asking no more
	list      []*Stream // whose out is resetWanted or stopWanted, in order
	isDue     bool      // the list, or what holds it up, has changed: see unlock
	since     time.Time // when the last request was made
	timer     *time.Timer
	wait      time.Duration // until the next try of a request that was not made
	backedOff time.Duration // at most, after the last failure
}

type resetterState uint8

const (
	idle       resetterState = iota
	asking                   // the engine is being asked, with Mux.mu released
	awaiting                 // the answer is to come
	backingOff               // the request has failed, and the timer runs
)

// ask puts a stream on the list of those to be reset, or to be told to stop.
func (m *Mux) ask(s *Stream, to outState) {
	switch out, _ := m.hasStream(s.id); {
	case m.noReset != nil:
	case !out:
		s.out = outReset // a request that names it would fail as a whole
	default:
		s.out = to
		m.resets.list = append(m.resets.list, s)
		m.resets.isDue = true
	}
}

// unlock releases Mux.mu, after it has asked for the resets that are due.
func (m *Mux) unlock() {
	m.flushResets()
	m.mu.Unlock()
}

// flushResets asks for the resets on the list, as far as it can now. It releases
// Mux.mu while it asks: a caller must look again at what it has found before.
func (m *Mux) flushResets() {
	for m.resets.isDue {
		m.resets.isDue = false
		m.requestResets()
	}
}

// requestResets makes one request. If some stream can never be reset, that is
// noted, and another request is due. From Close on it makes none: a peer would take
// the reset of a stream that Close has cut off for the stream's regular end.
func (m *Mux) requestResets() {
	r := &m.resets
	if r.state != idle || len(r.list) == 0 || m.err != nil || m.closed.Load() {
		return
	}
	r.list = slices.DeleteFunc(r.list, func(s *Stream) bool {
		if s.out != stopWanted || s.in != inEnded {
			return false
		}
		s.out = outStopped // the peer has closed it too, and need not be told
		m.forget(s)
		return true
	})
	var some []*Stream
	var ids [][]uint16
	for _, s := range r.list {
		switch {
		case s.isSending || len(some) == maxResets: // endSend comes back
		case s.out == stopWanted:
			some, ids = append(some, s), append(ids, []uint16{s.id, s.id})
		default:
			some, ids = append(some, s), append(ids, []uint16{s.id})
		}
	}
	if len(some) == 0 {
		return
	}
	r.state = asking
	m.mu.Unlock()
	err := m.e.ResetStreams(slices.Concat(ids...))
	for i := 0; err == engine.ErrUnsent && len(some) > 1 && i < len(some); i++ {
		if m.e.ResetStreams(ids[i]) == nil {
			some, err = some[i:i+1], nil
		}
	}
	m.mu.Lock()
	r.state = idle
	r.asked.Broadcast()
	switch {
	case m.err != nil:
		return
	case err == engine.ErrBusy || err == engine.ErrUnsent:
		r.retry(m)
		return
	case err == nil:
		r.state, r.since, r.wait = awaiting, time.Now(), 0
	default:
		r.isDue = true
	}
	r.list = slices.DeleteFunc(r.list, func(s *Stream) bool { return slices.Contains(some, s) })
	for _, s := range some {
		if err == nil {
			s.out++
			m.forget(s) // the peer may use it again already
		} else {
			m.spend(s, err)
		}
	}
}

// maxResets is how many streams one request names at most. It must fit in a
// packet, even if it names all of them twice.
const maxResets = 128

// settle notes that the request was answered.
func (r *resetter) settle() {
	r.state, r.backedOff = idle, 0
}

// stop forgets all that is wanted.
func (r *resetter) stop() {
	r.state, r.list = idle, nil
	if r.timer != nil {
		r.timer.Stop()
	}
}

// retry comes back to the list later. Most often an event comes first, the answer
// to the request under way. But no event says that a stream's data has gone.
func (r *resetter) retry(m *Mux) {
	const most = 50 * time.Millisecond
	r.wait = min(max(2*r.wait, time.Millisecond), most)
	r.comeBack(m, r.wait/2+rand.N(r.wait))
}

// backOff holds all requests back for a while, as one has failed. Most likely
// the peer asked at the same time, and its request failed too. The answer took a
// round trip; the two sides must not ask again within half of one. If requests
// fail again and again, each is held back for longer: when an answer of ours was
// lost, the peer refuses all of them until its timer has repeated its request.
func (r *resetter) backOff(m *Mux) {
	const (
		most        = 2 * time.Second        // for one that fails first
		mostDoubled = 250 * time.Millisecond // for the others
	)
	if r.state == idle { // not the answer to a request of ours
		r.retry(m)
		return
	}
	r.state = backingOff
	first := min(2*time.Since(r.since), most) + time.Millisecond
	r.backedOff = max(first, min(2*r.backedOff, mostDoubled))
	r.comeBack(m, rand.N(r.backedOff))
}

func (r *resetter) comeBack(m *Mux, wait time.Duration) {
	if r.timer != nil {
		r.timer.Reset(wait)
		return
	}
	r.timer = time.AfterFunc(wait, func() {
		m.mu.Lock()
		defer m.unlock()
		if r.state == backingOff {
			r.state = idle
		}
		r.isDue = true
	})
}
