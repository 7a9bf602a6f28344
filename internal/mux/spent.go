package mux

import (
	"errors"
	"fmt"
)

// Where a stream cannot be reset, the peer does not learn that it was closed, and
// what it still sends would be taken for the number's next use. So the number has
// none: once its Stream is closed it is spent, and what comes on it is dropped.
// All numbers of peers without stream reconfiguration are so, and of peers that
// have denied one reset.
var (
	errNoReconfig = fmt.Errorf("the peer has no stream reconfiguration (RFC 6525): %w", errors.ErrUnsupported)
	errDenied     = fmt.Errorf("the peer denies stream resets (RFC 6525): %w", errors.ErrUnsupported)
)

// spend gives a number up, for some reason, once its Stream is closed. If the
// outgoing stream was reset before, the peer knows of the end and may use the
// number again: then nothing is given up but the request to stop.
func (m *Mux) spend(s *Stream, why error) {
	if s.out < outReset {
		n := m.numbers[s.id]
		n.spent = why
		m.put(s.id, n)
	}
	s.out = outStopped // it is asked for no more
	m.forget(s)
}

// checkSpent returns an error for a number that is spent.
func (m *Mux) checkSpent(id uint16) error {
	if !m.isSpent(id) {
		return nil
	}
	return fmt.Errorf("%w: stream %d was used, and its number cannot be used again: %w", ErrNoFreeStream, id, m.numbers[id].spent)
}

// drop drops what has arrived on a stream that nobody claimed.
func (m *Mux) drop(id uint16) {
	if !m.isUsed(id) {
		return
	}
	for _, p := range m.queueOf(id).removeStream(id) {
		p.buf.release()
	}
	m.setNext(id, use{})
	m.room.Signal()
}

// WhenDenied has f called, in a goroutine of its own, if the peer denies a reset.
// CanReset is false then, and was true before.
func (m *Mux) WhenDenied(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.whenDenied = f
}

// onDenied takes note that the peer does not reset streams for us.
func (m *Mux) onDenied() {
	if m.noReset != nil {
		return
	}
	m.noReset = errDenied
	if m.whenDenied != nil {
		go m.whenDenied()
	}
	m.resets.stop()
	for id, n := range m.numbers {
		n.late = 0
		m.put(id, n)
		if s := n.stream; s != nil && s.closed {
			m.spend(s, m.noReset)
		}
	}
}
