package mux

import (
	"net"
	"os"
	"sync"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// Sending is fair. A sender that has sent little of late sends at once. The
// others take turns, of turnSize if there are several streams, and leave room in
// the engine's buffer for the first. The engine's scheduler decides which of the
// messages there goes out next. So their messages are of bulkSize, as long as there
// are short ones beside them.
const (
	bulkSize  = 16 << 10
	turnSize  = 64 << 10
	little    = 4 << 10 // bytes since the sender's last turn,
	longSince = 16      // or since that many messages of others
	besides   = 256     // messages of bulkSize after a short one
)

// A sender sends on one stream, or for the Conn, with a deadline of its own.
type sender struct {
	mu      sync.Mutex // held for the time of one Send
	written bool       // something was sent; under mu

	// Under Mux.mu.
	deadline    deadline
	gone        chan struct{} // closed when the sender may send no more
	isSending   bool
	sent, turns int // bytes sent since there were that many turns
}

// Send sends p for the Conn, as messages of some size or, if single is set, as
// one. Set resume for a Send that Start interrupted: it has the turn and the
// lock.
func (m *Mux) Send(p []byte, single bool, msg engine.Message, resume bool) (n int, err error) {
	if !resume {
		m.self.mu.Lock()
	}
	defer m.self.mu.Unlock()
	return m.send(&m.self, p, single, msg, resume)
}

// SetWriteDeadline sets the deadline of Send, the zero time meaning never.
func (m *Mux) SetWriteDeadline(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.setWriteDeadline(&m.self, t)
}

// send sends p, message by message. It holds from.mu. If mine is set, it has the
// turn.
func (m *Mux) send(from *sender, p []byte, single bool, msg engine.Message, mine bool) (n int, err error) {
	for {
		k := 0
		if !mine {
			k, err = m.sendLittle(from, p[n:], n > 0, single, msg)
			if err == engine.ErrFull {
				err = m.awaitTurn(from)
				mine = err == nil
			}
		}
		if mine {
			k, err = m.sendInTurn(from, p[n:], single, msg)
			mine = false
		}
		n += k
		if n > 0 {
			from.written = true
		}
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// isShared reports whether senders must leave room for others.
func (m *Mux) isShared() bool { return m.claimed > 1 }

// size returns how long the next message is, 0 meaning all there is.
func (m *Mux) size(single bool) int {
	switch {
	case single:
		return 0
	case !m.isShared():
		return m.config.MessageSize
	case m.turns-m.short < besides:
		return bulkSize
	default:
		return min(turnSize, m.config.MessageSize)
	}
}

// turnLength returns how much a turn sends, 0 meaning all there is.
func (m *Mux) turnLength(single bool) int {
	switch {
	case single:
		return 0
	case m.isShared():
		return turnSize
	default:
		return m.config.MessageSize
	}
}

// first returns the first size bytes of p, or all of p if size is 0.
func first(p []byte, size int) []byte {
	if size > 0 && len(p) > size {
		return p[:size]
	}
	return p
}

// sendLittle sends a message at once, if its sender has sent little and there is
// room. Otherwise it returns ErrFull. isRest says that p is the rest of more.
func (m *Mux) sendLittle(from *sender, p []byte, isRest, single bool, msg engine.Message) (int, error) {
	if len(p) > little {
		return 0, engine.ErrFull
	}
	m.mu.Lock()
	err := from.check()
	switch {
	case err != nil || len(p) == 0:
	case !m.countLittle(from, len(p)):
		err = engine.ErrFull
	default:
		from.isSending = true
		if !isRest {
			m.short = m.turns
		}
	}
	size := m.size(single)
	m.mu.Unlock()
	if err != nil || len(p) == 0 {
		return 0, err
	}
	n, err := m.e.TrySend(first(p, size), msg)
	m.mu.Lock()
	defer m.unlock()
	m.endSend(from)
	return n, err
}

// countLittle reports whether a sender has sent little, even with n bytes more, and
// then counts them.
func (m *Mux) countLittle(from *sender, n int) bool {
	if m.turns-from.turns >= longSince {
		from.turns, from.sent = m.turns, 0
	}
	if from.sent+n > little {
		return false
	}
	from.sent += n
	return true
}

// awaitTurn takes the turn.
func (m *Mux) awaitTurn(from *sender) error {
	select {
	case <-m.turn:
		return nil
	default:
	}
	m.mu.Lock()
	err, past := from.check(), from.deadline.wait()
	m.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-m.turn:
		return nil
	case <-past:
		return os.ErrDeadlineExceeded
	case <-from.gone:
		return net.ErrClosed
	}
}

// sendInTurn sends for one turn, waiting for room. It has the turn, and gives it up.
func (m *Mux) sendInTurn(from *sender, p []byte, single bool, msg engine.Message) (n int, err error) {
	m.mu.Lock()
	err = from.check()
	size, turn, spare := m.size(single), m.turnLength(single), m.isShared()
	if err == nil {
		from.isSending = true
		m.sending = from
		m.setSendBy(from.deadline.at)
	}
	m.mu.Unlock()

	if err == nil {
		n, err = m.e.Send(first(p, turn), size, msg, spare)
	}

	m.mu.Lock()
	m.sending = nil
	m.turns += max(1, n/bulkSize)
	from.turns, from.sent = m.turns, 0
	if err == os.ErrDeadlineExceeded && from.isGone() {
		err = net.ErrClosed // the deadline was that of kick
	}
	m.endSend(from)
	m.unlock()
	m.turn <- struct{}{}
	return n, err
}

// endSend notes that a sender does not send any more: its stream can be reset.
func (m *Mux) endSend(from *sender) {
	from.isSending = false
	m.resets.isDue = true
}

// check returns an error if a sender cannot send.
func (s *sender) check() error {
	switch {
	case s.isGone():
		return net.ErrClosed
	case s.deadline.isPast:
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (s *sender) isGone() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// setSendBy sets the engine's write deadline, if it is another.
func (m *Mux) setSendBy(t time.Time) {
	if !t.Equal(m.sendBy) || t.IsZero() != m.sendBy.IsZero() {
		m.conn.SetWriteDeadline(t)
		m.sendBy = t
	}
}

// setWriteDeadline moves the write deadline of a sender.
func (m *Mux) setWriteDeadline(of *sender, t time.Time) {
	of.deadline.set(m, t)
	if m.sending == of && !of.isGone() {
		m.setSendBy(t)
	}
}

// kick ends a sender's sending.
func (m *Mux) kick(of *sender) {
	if of.isGone() {
		return
	}
	close(of.gone)
	if m.sending == of {
		m.setSendBy(time.Unix(1, 0))
	}
}
