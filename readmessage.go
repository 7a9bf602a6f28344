package sctpnet

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/mux"
)

// ReadMessage reads the next message and returns all of it, in memory of its own,
// in however many pieces it comes. limit is how many bytes it may have, 1 or more. Of
// a longer one ReadMessage returns an error that wraps EMSGSIZE, and drops the rest;
// the next call reads the next message.
//
// If the read deadline passes in the middle of a message, ReadMessage keeps what it
// has, and the next call goes on with it. So do not mix it with Read, ReadMsg and
// the like while messages are longer than 64 KiB, or longer than limit: they would
// read the rest of such a message. A message that the peer gave up in the middle
// ([MsgInfo.TTL]) is dropped. With Config.Interleaving up to limit bytes are kept of a
// message of each stream.
//
// Multiple goroutines may call ReadMessage: each gets messages that are whole.
func (c *Conn) ReadMessage(limit int) ([]byte, MsgInfo, error) {
	if !c.ok() {
		return nil, MsgInfo{}, syscall.EINVAL
	}
	b, msg, err := c.messages.read(limit, c.interleaves, func(p []byte) (int, engine.Message, error) {
		return c.recv(p, mux.Whole)
	})
	return b, msgInfo(msg), c.opError("read", err)
}

// ReadMessage reads the next message of the stream, as [Conn.ReadMessage] does.
func (s *Stream) ReadMessage(limit int) ([]byte, MsgInfo, error) {
	if !s.ok() {
		return nil, MsgInfo{}, syscall.EINVAL
	}
	b, msg, err := s.messages.read(limit, s.c.interleaves, func(p []byte) (int, engine.Message, error) {
		return s.recv(p, mux.Whole)
	})
	return b, msgInfo(msg), s.c.opError("read", err)
}

// interleaves reports whether another message may come before the rest of one.
func (c *Conn) interleaves() bool {
	f, err := c.e.Features()
	return err == nil && f.Interleaving
}

// An assembler makes messages of their pieces.
type assembler struct {
	mu    sync.Mutex // held for the time of one ReadMessage
	begun map[sequence]*begunMessage
	holds atomic.Bool // some were begun; for callers that do not hold mu
}

// A sequence is messages whose pieces do not interleave. But one that is late may come
// between those of another.
type sequence struct {
	stream    uint16
	unordered bool
	ssn       uint16 // of an ordered message
	late      bool   // an unordered one that comes between the pieces of another
}

// A begunMessage is one that waits for its next piece.
type begunMessage struct {
	first    engine.Message
	late     bool // as in sequence
	data     []byte
	tooLarge bool // ReadMessage has said so: the rest is dropped
	// cut says that the last piece did not fill its memory, although the deadline
	// has not passed since: the rest was given up, unless messages interleave.
	cut bool
	// The number of the first chunk of the last piece, and how many chunks that has at
	// most: the next piece follows these. Otherwise it is of a next life.
	tsn    uint32
	chunks int
}

// follows reports whether a piece can be the next one.
func (m *begunMessage) follows(piece engine.Message) bool {
	return piece.TSN-m.tsn <= uint32(m.chunks)
}

func (a *assembler) read(limit int, interleaves func() bool, recv func([]byte) (int, engine.Message, error)) ([]byte, engine.Message, error) {
	if limit < 1 {
		return nil, engine.Message{}, fmt.Errorf("a message of up to %d bytes; allowed are 1 and more: %w", limit, syscall.EINVAL)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p := buffers.Get().(*buffer)
	defer buffers.Put(p)
	for {
		n, msg, err := recv(p[:])
		if n == 0 && err != nil {
			for _, m := range a.begun {
				m.cut = false // it was the deadline
			}
			return nil, msg, err
		}
		m, exceeds := a.add(p[:n], msg, n < len(p), limit, interleaves)
		a.holds.Store(len(a.begun) > 0)
		switch {
		case exceeds:
			return nil, m.first, fmt.Errorf("a message of more than %d bytes on stream %d: %w", limit, m.first.Stream, syscall.EMSGSIZE)
		case !msg.More && !m.tooLarge:
			return m.data, m.first, nil
		}
	}
}

// add adds a piece to its message, which it returns. cut is as in begunMessage.
// exceeds says that with this piece the message has become larger than limit.
func (a *assembler) add(piece []byte, msg engine.Message, cut bool, limit int, interleaves func() bool) (m *begunMessage, exceeds bool) {
	m = a.messageOf(msg, interleaves)
	exceeds = !m.tooLarge && len(m.data)+len(piece) > limit
	switch {
	case m.tooLarge:
	case exceeds:
		m.tooLarge, m.data = true, nil
	default:
		m.data = append(m.data, piece...)
	}
	if msg.More {
		m.cut, m.tsn, m.chunks = cut, msg.TSN, len(piece) // each has a byte
		a.begun[m.sequence()] = m
	}
	return m, exceeds
}

// messageOf returns the message that a piece belongs to, and removes it from those that
// were begun.
func (a *assembler) messageOf(piece engine.Message, interleaves func() bool) *begunMessage {
	m := &begunMessage{first: piece}
	m.first.More = false
	if len(a.begun) == 0 {
		if a.begun == nil {
			a.begun = make(map[sequence]*begunMessage)
		}
		return m
	}
	apart := interleaves()
	at := m.sequence()
	if b := a.begun[at]; b != nil && piece.Unordered && !apart {
		m.late = piece.IsLate(b.tsn)
		at = m.sequence()
	}
	for k, b := range a.begun {
		switch {
		case !apart && piece.IsLate(b.tsn):
			b.cut = false // by this one
		case k != at && (!apart || k.stream == at.stream && k.unordered == at.unordered):
			delete(a.begun, k) // it was given up
		}
	}
	old := a.begun[at]
	if old == nil {
		return m
	}
	delete(a.begun, at)
	switch {
	case piece.Begins, piece.Unordered && old.cut && !apart, !apart && !old.follows(piece),
		apart && old.first.SSN != piece.SSN: // an interleaved one always has a number
		return m // the rest of the old one was given up
	}
	return old
}

// size is how many bytes there are of messages that were begun.
func (a *assembler) size() (n int) {
	for _, m := range a.begun {
		n += len(m.data)
	}
	return n
}

func (m *begunMessage) sequence() sequence {
	s := sequence{stream: m.first.Stream, unordered: m.first.Unordered, late: m.late}
	if !s.unordered {
		s.ssn = m.first.SSN
	}
	return s
}
