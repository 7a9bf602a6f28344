package sctpnet

import (
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
// sending, that nobody reads it: the stream is reset once more. The peer knows
// the first reset as the end of what it reads; a second one with nothing in
// between can only mean that (see onReset). RFC 6525 has a request for it, but
// the peer's system cannot grant that while it has data to send, and keeps all
// other requests waiting.
//
// Most often the peer is about to close the stream too, so it is not told at
// once. A second reset that comes when the peer has begun to use the number again
// would be taken for the end of that.
func (m *mux) stop(s *Stream) {
	const patience = 400 * time.Millisecond
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
	if r.Incoming && (r.Failed || r.Denied) {
		return // somebody else has asked for it: we do not
	}
	if !r.Incoming {
		m.asking = false
	}
	if !r.Failed {
		defer m.flushResets()
	}
	ids := r.Streams
	if len(ids) == 0 { // all
		for id := range m.streams {
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
	for _, id := range ids {
		s := m.streams[id]
		switch {
		case r.Incoming && s == nil && !m.used[id] && time.Now().Before(m.resting[id]):
			delete(m.resting, id) // it was told to stop, and had done so
		case !r.Incoming && m.late[id] > 0:
			if m.late[id]--; m.late[id] == 0 {
				delete(m.late, id)
			}
		case r.Failed:
			if s != nil && s.out == asked {
				// Most likely the peer was asking at the same time.
				m.ask(s)
				m.retryResets()
			}
		case !r.Incoming && s == nil:
		case !r.Incoming && s.out == asked:
			s.out = over
			m.forget(s)
		case !r.Incoming:
			m.kick(&s.sender) // the peer has asked for it
		case s == nil || s.in == over && m.used[id]:
			m.unclaimed.push(piece{msg: engine.Message{Stream: id}})
			m.signalUnclaimed()
		case s.in == over:
			s.wroteLate = false
			m.kick(&s.sender) // see stop
		default:
			s.in = over
			s.peerDone = true
			signal(s.arrived)
			m.forget(s)
		}
	}
}

// isReset reports whether a stream was closed and both directions are reset, as
// far as the peer is concerned.
func (s *Stream) isReset() bool { return s.isClosed && s.in == over && s.out >= asked }

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
	if s.wroteLate {
		// The peer may be about to tell us to stop.
		m.resting[s.id] = time.Now().Add(rest)
	}
	signal(m.freed)
}

// isClosing reports whether a number will be free soon.
func (m *mux) isClosing(id uint16) bool {
	s := m.streams[id]
	return s != nil && s.isClosed || s == nil && time.Now().Before(m.resting[id])
}

// rest is how long OpenStream does not use a number of which the peer may still
// say that nobody reads it.
const rest = 2 * time.Second

// awaitFree waits for claim to return a stream or an error, as long as it returns
// neither, but not for ever. It is called again when a number may have become
// free: closing takes a round trip or two, and a few timeouts where packets are
// lost.
func (m *mux) awaitFree(claim func() (*Stream, error), otherwise error) (*Stream, error) {
	const most = 5 * time.Second
	for start := time.Now(); ; {
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
		if time.Since(start) > most {
			return nil, otherwise
		}
		select {
		case <-m.freed:
		case <-m.dead:
		case <-time.After(rest / 10): // the end of a rest is not signalled
		}
	}
}

// isFree reports whether a number can be used for a new stream.
func (m *mux) isFree(id uint16) bool {
	return m.streams[id] == nil && !m.used[id] && !time.Now().Before(m.resting[id])
}

// ask puts a stream on the list of those to be reset, for flushResets.
func (m *mux) ask(s *Stream) {
	if m.canReset {
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
		s.out = over // the peer has stopped by itself
		m.forget(s)
		return true
	})
	ids := make([]uint16, 0, min(len(m.resets), maxResets))
	for _, s := range m.resets {
		if !s.isSending && len(ids) < maxResets {
			ids = append(ids, s.id)
		}
	}
	if len(ids) == 0 {
		return // the sender will come here when he is done
	}
	err := m.e.ResetStreams(ids)
	for i := 0; err == engine.ErrUnsent && len(ids) > 1 && i < len(ids); i++ {
		if one := ids[i : i+1]; m.e.ResetStreams(one) == nil {
			ids, err = one, nil
		}
	}
	switch err {
	case engine.ErrBusy, engine.ErrUnsent:
		m.retryResets()
		return
	case nil:
		m.asking = true
		m.wait = 0
	}
	// Asked for, or they never will be.
	m.resets = slices.DeleteFunc(m.resets, func(s *Stream) bool {
		if !slices.Contains(ids, s.id) {
			return false
		}
		s.out = asked
		return true
	})
}

// maxResets is how many streams one request names: it must fit in a packet.
const maxResets = 256

// retryResets comes back to the list later. Most often an event does before:
// the answer to the request under way. But no event says that a stream's data
// has gone.
func (m *mux) retryResets() {
	const most = 50 * time.Millisecond
	m.wait = min(max(2*m.wait, time.Millisecond), most)
	// By chance, so that two sides that ask at the same time do so once.
	wait := m.wait/2 + rand.N(m.wait)
	if m.retry == nil {
		m.retry = time.AfterFunc(wait, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.err == nil {
				m.asking = false
				m.flushResets()
			}
		})
		return
	}
	m.retry.Reset(wait)
}
