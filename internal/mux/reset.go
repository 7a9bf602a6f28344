package mux

import (
	"context"
	"math/rand/v2"
	"slices"
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
	case !s.stopping && s.isClosed && s.out == over && now.Sub(s.dropped) > patience:
		s.stopping = true
		m.ask(s)
		m.flushResets()
	}
}

// onReset handles an event of a reset.
func (m *Mux) onReset(r engine.StreamResetEvent) {
	switch {
	case r.Incoming && (r.Failed || r.Denied):
		return // not our request: we never ask for incoming resets
	case r.Denied:
		m.onDenied()
		return
	case r.Failed:
		m.backOff()
	case r.Incoming:
		defer m.flushResets()
	default:
		m.asking, m.isBackingOff = false, false
		m.backedOff = 0
		defer m.flushResets()
	}
	ids := r.Streams
	if len(ids) == 0 { // all
		for id, s := range m.streams {
			if r.Incoming && s.in == over && !m.isUsed(id) {
				continue // nothing has come since the end
			}
			ids = append(ids, id)
		}
		if r.Incoming {
			for id := range m.used {
				if m.streams[id] == nil {
					ids = append(ids, id)
				}
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
	s := m.streams[id]
	switch {
	case m.late[id] > 0:
		if m.late[id]--; m.late[id] == 0 {
			delete(m.late, id)
		}
	case s == nil:
	case failed:
		if s.out == asked {
			m.ask(s)
		}
	case s.out == asked:
		s.out = over
		m.forget(s)
	default:
		m.kick(&s.sender) // the peer has asked for the reset
	}
}

// onIncomingReset handles the reset of an incoming stream by the peer.
func (m *Mux) onIncomingReset(id uint16) {
	s := m.streams[id]
	if s != nil && s.isReset() {
		m.free(s) // this ends the next use, which was empty
		s = m.streams[id]
	}
	switch {
	case m.isSpent(id):
	case m.used[id].hasEnded:
		// Nothing has come since. Many ends would take memory.
	case s == nil || s.in == over && (m.isUsed(id) || s.out >= asked):
		m.keep(piece{msg: engine.Message{Stream: id}})
	case s.in == open:
		s.in = over
		signal(s.reader.arrived)
		m.forget(s)
	}
}

// onStop ends the sending on a stream, as the peer has closed it. It may come
// late, when the number is free or in use again. A next use is not meant: that
// has not ended yet.
func (m *Mux) onStop(id uint16) {
	if s := m.streams[id]; s != nil && s.in == over {
		m.kick(&s.sender)
	}
}

// isReset reports whether a stream was closed and both its directions may be
// reset for the peer.
func (s *Stream) isReset() bool {
	return s.isClosed && s.in == over && (s.out >= asked || s.stopping)
}

// forget makes a stream's number free once nothing of the stream is left. If the
// number cannot be used again, nothing but the number is remembered.
func (m *Mux) forget(s *Stream) {
	if !s.isClosed || m.streams[s.id] != s {
		return
	}
	if m.noReset != nil && s.out != over && m.spent[s.id] == nil {
		m.spent[s.id] = m.noReset
	}
	switch {
	case m.spent[s.id] != nil:
		m.drop(s.id)
		m.free(s)
	case s.isReset() && (s.out == over || m.isUsed(s.id)):
		m.free(s)
	}
}

// free makes a stream's number free. If the answer to its reset is still to
// come, late keeps it from being taken for the next use's.
func (m *Mux) free(s *Stream) {
	delete(m.streams, s.id)
	if s.out == asked {
		m.late[s.id]++
	}
	if m.used[s.id].isRefused {
		m.refuse(s.id)
	}
	if m.isUsed(s.id) {
		m.signalUnclaimed() // the peer may have begun to use it again
	}
	m.wakeOpeners()
}

// wakeOpeners wakes all that wait for a number to be free. They may want
// different ones.
func (m *Mux) wakeOpeners() {
	if m.freed != nil {
		close(m.freed)
		m.freed = nil
	}
}

// awaitFree calls claim until that returns a stream or an error: first at once
// and then whenever a number has become free. It returns the error otherwise
// after 5 s. Closing a stream takes a round trip or two, and a few timeouts
// where packets are lost. Nothing tells that streams were added, so it looks at the
// end once more.
func (m *Mux) awaitFree(ctx context.Context, claim func() (*Stream, error), otherwise func() error) (*Stream, error) {
	timeout := time.NewTimer(5 * time.Second)
	defer timeout.Stop()
	for isLast := false; ; {
		m.mu.Lock()
		s, err := claim()
		if err == nil && s == nil {
			err = m.err
		}
		if m.freed == nil {
			m.freed = make(chan struct{})
		}
		freed := m.freed
		m.mu.Unlock()
		switch {
		case s != nil || err != nil:
			return s, err
		case isLast:
			return nil, otherwise()
		}
		select {
		case <-freed:
		case <-m.dead:
		case <-timeout.C:
			isLast = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ask puts a stream on the list of those to be reset, for flushResets.
func (m *Mux) ask(s *Stream) {
	switch out, _ := m.hasStream(s.id); {
	case m.noReset != nil:
	case !out:
		s.out = over // a request that names it would fail as a whole
	default:
		s.out = wanted
		m.resets = append(m.resets, s)
	}
}

// flushResets asks for the resets on the list, as far as it can now. A request
// must wait until the data of its streams has gone, and for the answer to the
// request before. From Close on it asks for none: a peer would take the reset of a
// stream that Close has cut off for the stream's regular end.
func (m *Mux) flushResets() {
	if m.closed.Load() || m.asking || len(m.resets) == 0 {
		return
	}
	m.resets = slices.DeleteFunc(m.resets, func(s *Stream) bool {
		if !s.stopping || s.in != over {
			return false
		}
		s.out = over // the peer has closed it too, and need not be told
		m.forget(s)
		return true
	})
	var some []*Stream
	for _, s := range m.resets {
		if !s.isSending && len(some) < maxResets {
			some = append(some, s)
		}
	}
	if len(some) == 0 {
		return // endSend comes back
	}
	err := m.request(some)
	for i := 0; err == engine.ErrUnsent && len(some) > 1 && i < len(some); i++ {
		if one := some[i : i+1]; m.request(one) == nil {
			some, err = one, nil
		}
	}
	switch err {
	case engine.ErrBusy, engine.ErrUnsent:
		m.retryResets()
		return
	case nil:
		m.asking = true
		m.askedAt = time.Now()
		m.wait = 0
	}
	m.resets = slices.DeleteFunc(m.resets, func(s *Stream) bool { return slices.Contains(some, s) })
	for _, s := range some {
		if err == nil {
			s.out = asked
			m.forget(s) // the peer may use it again already
		} else {
			m.spend(s, err)
		}
	}
	if err != nil {
		m.flushResets()
	}
}

// maxResets is how many streams one request names at most. It must fit in a
// packet, even if it names all of them twice.
const maxResets = 128

// request asks for the reset of streams.
func (m *Mux) request(streams []*Stream) error {
	var ids []uint16
	for _, s := range streams {
		ids = append(ids, s.id)
		if s.stopping {
			ids = append(ids, s.id)
		}
	}
	return m.e.ResetStreams(ids)
}

// retryResets comes back to the list later. Most often an event comes first, the
// answer to the request under way. But no event says that a stream's data has
// gone.
func (m *Mux) retryResets() {
	const most = 50 * time.Millisecond
	m.wait = min(max(2*m.wait, time.Millisecond), most)
	m.retryIn(m.wait/2 + rand.N(m.wait))
}

// backOff holds all requests back for a while, as one has failed. Most likely
// the peer asked at the same time, and its request failed too. The answer took a
// round trip; the two sides must not ask again within half of one. If requests
// fail again and again, each is held back for longer: when an answer of ours was
// lost, the peer refuses all of them until its timer has repeated its request.
func (m *Mux) backOff() {
	const (
		most        = 2 * time.Second        // for one that fails first
		mostDoubled = 250 * time.Millisecond // for the others
	)
	if !m.asking { // not the answer to a request of ours
		m.retryResets()
		return
	}
	m.isBackingOff = true
	first := min(2*time.Since(m.askedAt), most) + time.Millisecond
	m.backedOff = max(first, min(2*m.backedOff, mostDoubled))
	m.retryIn(rand.N(m.backedOff))
}

func (m *Mux) retryIn(wait time.Duration) {
	if m.retry == nil {
		m.retry = time.AfterFunc(wait, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.isBackingOff {
				m.isBackingOff = false
				m.asking = false
			}
			if m.err == nil {
				m.flushResets()
			}
		})
		return
	}
	m.retry.Reset(wait)
}
