package mux

import (
	"net"
	"os"
	"sync"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// Sending is fair. A sender that has sent little of late sends at once. The
// others take turns, in messages of bulkSize if there are several streams, and
// leave room in the engine's buffer for the first. The engine's scheduler
// decides which of the messages there goes out next.
const (
	bulkSize  = 16 << 10
	little    = 4 << 10 // bytes since the sender's last turn,
	longSince = 16      // or since that many turns of others
)

// A sender sends on one stream, or for the Conn, with a deadline of its own.
type sender struct {
	mu   sync.Mutex // held for the time of one Send
	by   deadline
	gone chan struct{} // closed when the sender may send no more

	// Under Mux.mu.
	isSending   bool
	sent, turns int // bytes sent since there were that many turns
}

// Send sends p for the Conn, as messages of some size or, if single is set, as
// one. Set resume for a Send that Start interrupted: it has the turn and the
// lock.
func (m *Mux) Send(p []byte, single bool, msg engine.Message, resume bool) (n int, err error) {
	return m.send(&m.self, p, single, msg, resume)
}

// SetWriteDeadline sets the deadline of Send, the zero time meaning never.
func (m *Mux) SetWriteDeadline(t time.Time) { m.setWriteDeadline(&m.self, t) }

// send is Send for any sender.
func (m *Mux) send(by *sender, p []byte, single bool, msg engine.Message, resume bool) (n int, err error) {
	if !resume {
		by.mu.Lock()
	}
	defer by.mu.Unlock()
	for {
		part := p[n:]
		size := 0
		if !single {
			size = m.messageSize()
			part = part[:min(len(part), size)]
		}
		k, err := m.sendPart(by, part, size, msg, resume)
		resume = false
		n += k
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

func (m *Mux) messageSize() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.streams) > 1 {
		return bulkSize
	}
	return m.config.MessageSize
}

// sendPart sends a part of a sender's data, at once or in its turn. If mine is
// set, it has the turn already.
func (m *Mux) sendPart(by *sender, p []byte, size int, msg engine.Message, mine bool) (n int, err error) {
	if !mine {
		if err := by.check(); err != nil || len(p) == 0 {
			return 0, err
		}
		if m.isLittle(by, len(p)) {
			if n, err := m.trySend(by, p, msg); err != engine.ErrFull {
				return n, err
			}
		}
		select {
		case <-m.turn:
		case <-by.by.wait():
			return 0, os.ErrDeadlineExceeded
		case <-by.gone:
			return 0, net.ErrClosed
		}
	}
	m.mu.Lock()
	err = m.beginSend(by)
	spare := len(m.streams) > 1
	if err == nil {
		m.sending = by
		m.setSendBy(by.by.time())
	}
	m.mu.Unlock()

	if err == nil {
		n, err = m.e.Send(p, size, msg, spare)
	}

	m.mu.Lock()
	m.sending = nil
	m.turns++
	by.turns, by.sent = m.turns, 0
	m.endSend(by)
	m.mu.Unlock()
	m.turn <- struct{}{}
	if err == os.ErrDeadlineExceeded && by.isGone() {
		err = net.ErrClosed // the deadline was that of kick
	}
	return n, err
}

// isLittle reports whether a sender has sent little, even with n bytes more, and
// then counts them.
func (m *Mux) isLittle(by *sender, n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.turns-by.turns >= longSince {
		by.turns, by.sent = m.turns, 0
	}
	if by.sent+n > little {
		return false
	}
	by.sent += n
	return true
}

// trySend sends a message for a sender if there is room.
func (m *Mux) trySend(by *sender, p []byte, msg engine.Message) (n int, err error) {
	m.mu.Lock()
	err = m.beginSend(by)
	m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err = m.e.TrySend(p, msg)
	m.mu.Lock()
	m.endSend(by)
	m.mu.Unlock()
	return n, err
}

// beginSend is called before each message, and endSend after it.
func (m *Mux) beginSend(by *sender) error {
	if err := by.check(); err != nil {
		return err
	}
	by.isSending = true
	return nil
}

func (m *Mux) endSend(by *sender) {
	by.isSending = false
	if m.err == nil {
		m.flushResets()
	}
}

// check returns an error if a sender cannot send.
func (by *sender) check() error {
	switch {
	case by.isGone():
		return net.ErrClosed
	case by.by.isPast():
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (by *sender) isGone() bool {
	select {
	case <-by.gone:
		return true
	default:
		return false
	}
}

// setSendBy sets the engine's write deadline, if it is another.
func (m *Mux) setSendBy(t time.Time) {
	if !t.Equal(m.sendBy) || t.IsZero() != m.sendBy.IsZero() {
		m.e.SetWriteDeadline(t)
		m.sendBy = t
	}
}

// setWriteDeadline moves the write deadline of a sender.
func (m *Mux) setWriteDeadline(of *sender, t time.Time) {
	of.by.set(t)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sending == of && !of.isGone() {
		m.setSendBy(of.by.time()) // not t: another call may have been faster
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
