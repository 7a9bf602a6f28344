package sctpnet

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// How streams end. Each direction of a stream ends by its reset (RFC 6525): the
// side that sends asks for it when all its data has gone, and the event at the
// other side, in order with the data, is the end of it. When both directions
// are reset and the Stream is closed, its number is free.

// stop tells the peer of a stream that was closed, and on which it goes on
// sending, that nobody reads it: the stream is reset once more, by a request that
// names it twice. So it cannot be taken for the end of the stream's next use, if
// it comes when the peer has closed the stream and begun that. RFC 6525 has a
// request for it, but the peer's system cannot grant that while it has data to
// send, and keeps all other requests waiting.
//
// Most often the peer is about to close the stream too, so it is not told at
// once.
func (m *mux) stop(s *Stream) {
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

// onReset takes note of a reset.
func (m *mux) onReset(r engine.StreamResetEvent) {
	switch {
	case r.Incoming && (r.Failed || r.Denied):
		return // somebody else has asked for it: we do not
	case r.Failed:
		m.backOff()
	case r.Incoming:
		defer m.flushResets()
	default:
		m.asking, m.isBackingOff = false, false
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

// onOutgoingReset takes note that our request was granted, or has failed.
func (m *mux) onOutgoingReset(id uint16, failed bool) {
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
		m.kick(&s.sender) // the peer has asked for it
	}
}

// onIncomingReset takes note that the peer's direction of a stream has ended.
func (m *mux) onIncomingReset(id uint16) {
	s := m.streams[id]
	if s != nil && s.isReset() {
		m.free(s) // it is of the next use, of which nothing else has come
		s = nil
	}
	switch {
	case m.used[id].hasEnded:
		// Nothing has come since, and many ends would take memory.
	case s == nil || s.in == over && (m.isUsed(id) || s.out >= asked):
		m.keep(piece{msg: engine.Message{Stream: id}})
	case s.in == open:
		s.in = over
		signal(s.arrived)
		m.forget(s)
	}
}

// onStop has the sending on a stream end, which the peer has closed. It may come
// late, when the number is in use again, or free: the end of that use comes after
// it.
func (m *mux) onStop(id uint16) {
	if s := m.streams[id]; s != nil && s.in == over {
		m.kick(&s.sender)
	}
}

// isReset reports whether a stream was closed and both directions are reset, as
// far as the peer is concerned.
func (s *Stream) isReset() bool {
	return s.isClosed && s.in == over && (s.out >= asked || s.stopping)
}

// forget makes a stream's number free once nothing of the stream is left.
func (m *mux) forget(s *Stream) {
	if s.isClosed && m.streams[s.id] == s && (s.isReset() && s.out == over || !m.canReset) {
		m.free(s)
		if len(m.unclaimed.rest()) > 0 {
			m.signalUnclaimed() // the peer may have begun to use it again
		}
	}
}

// free makes a stream's number free. If the answer to its reset is still to
// come, it will be no news of the next use.
func (m *mux) free(s *Stream) {
	delete(m.streams, s.id)
	if s.out == asked {
		m.late[s.id]++
	}
	signal(m.freed)
}

// awaitFree waits for claim to return a stream or an error, as long as it returns
// neither, but not for ever. It is called again when a number has become free:
// closing takes a round trip or two, and a few timeouts where packets are
// lost.
func (m *mux) awaitFree(ctx context.Context, claim func() (*Stream, error), otherwise error) (*Stream, error) {
	const lookEvery = 200 * time.Millisecond
	timeout := time.NewTimer(5 * time.Second)
	defer timeout.Stop()
	for {
		m.mu.Lock()
		s, err := claim()
		if err == nil && s == nil {
			err = m.err
		}
		m.mu.Unlock()
		if s != nil {
			signal(m.freed) // for another who waits
		}
		if s != nil || err != nil {
			return s, err
		}
		select {
		case <-m.freed:
		case <-m.dead:
		case <-time.After(lookEvery): // somebody who waits for another number has taken the signal
		case <-timeout.C:
			return nil, otherwise
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ask puts a stream on the list of those to be reset, for flushResets.
func (m *mux) ask(s *Stream) {
	switch out, _ := m.c.hasStream(s.id); {
	case !m.canReset:
	case !out:
		s.out = over // a request would fail, and all others in it
	default:
		s.out = wanted
		m.resets = append(m.resets, s)
	}
}

// flushResets asks for the resets on the list as far as it can now: a request
// must wait for the data of its stream, and for the answer to the one before.
func (m *mux) flushResets() {
	if m.asking || len(m.resets) == 0 {
		return
	}
	m.resets = slices.DeleteFunc(m.resets, func(s *Stream) bool {
		if !s.stopping || s.in != over {
			return false
		}
		s.out = over // the peer has closed it, too
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
		return // the sender will come here when he is done
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
	// Asked for, or they never will be.
	m.resets = slices.DeleteFunc(m.resets, func(s *Stream) bool {
		if !slices.Contains(some, s) {
			return false
		}
		s.out = asked
		return true
	})
}

// maxResets is how many streams one request names, some of them twice: it must
// fit in a packet.
const maxResets = 128

// request asks for the reset of streams.
func (m *mux) request(streams []*Stream) error {
	var ids []uint16
	for _, s := range streams {
		ids = append(ids, s.id)
		if s.stopping {
			ids = append(ids, s.id)
		}
	}
	return m.e.ResetStreams(ids)
}

// retryResets comes back to the list later. Most often an event does before:
// the answer to the request under way. But no event says that a stream's data
// has gone.
func (m *mux) retryResets() {
	const most = 50 * time.Millisecond
	m.wait = min(max(2*m.wait, time.Millisecond), most)
	m.retryIn(m.wait/2 + rand.N(m.wait))
}

// backOff has nothing be asked for a while, as a request has failed: most likely
// the peer was asking at the same time, and so its request failed too. The answer
// took a round trip, and the two must not ask again within half of one.
func (m *mux) backOff() {
	const most = 2 * time.Second
	if !m.asking { // somebody else has asked, or for us
		m.retryResets()
		return
	}
	m.isBackingOff = true
	m.retryIn(rand.N(min(2*time.Since(m.askedAt), most) + time.Millisecond))
}

func (m *mux) retryIn(wait time.Duration) {
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
