package mux

import (
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A Stream is one stream of an association in each direction, of the same
// number.
type Stream struct {
	sender
	m       *Mux
	id      uint16
	written atomic.Bool // something was, or is about to be

	reader reader

	// Under Mux.mu.
	queue    queue
	begun    bool // something has arrived, or the announcement
	in, out  direction
	deaf     bool      // what arrives is dropped,
	dropped  time.Time // since when,
	stopping bool      // and the peer is told
	isClosed bool
}

// A direction is the state of one direction of a stream.
type direction uint8

const (
	open   direction = iota
	wanted           // its reset is on the list
	asked            // we asked for its reset
	over             // it was reset
)

// ID returns the stream's number.
func (s *Stream) ID() uint16 { return s.id }

// Recv reads into p what arrives on the stream.
func (s *Stream) Recv(p []byte, how Mode) (n int, msg engine.Message, err error) {
	s.reader.mu.Lock()
	defer s.reader.mu.Unlock()
	if s.m.closed.Load() || s.isGone() && s.hasClosed() {
		return 0, msg, net.ErrClosed
	}
	return s.reader.receive(p, 0, msg, how, s)
}

func (s *Stream) hasClosed() bool {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return s.isClosed
}

// next takes the next piece out of the queue.
func (s *Stream) next() (piece, bool, error) {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case s.isClosed, m.closed.Load():
		return piece{}, false, net.ErrClosed
	case len(s.queue.rest()) > 0:
		m.room.Signal()
		return s.queue.remove(0), true, nil
	case s.in == over, s.deaf:
		return piece{}, false, io.EOF
	}
	return piece{}, false, m.err
}

func (s *Stream) isElsewhere(uint16) bool { return false }

func (s *Stream) begin(r *reader, rest int) { s.m.count(r, rest, func() bool { return s.deaf }) }

// Send sends p on the stream, as messages of some size or, if single is set, as
// one. Other streams have their turn after each message. It returns EPIPE when
// only the writing has ended.
func (s *Stream) Send(p []byte, single bool, msg engine.Message) (int, error) {
	if !s.written.Load() {
		s.written.Store(true)
	}
	n, err := s.m.send(&s.sender, p, single, msg, false)
	if err == net.ErrClosed && !s.hasClosed() && !s.m.closed.Load() {
		err = syscall.EPIPE
	}
	return n, err
}

// CloseWrite ends the writing direction. The stream is reset when all that was
// written has gone. If the peer has no stream reconfiguration, or has denied a
// reset, CloseWrite returns an error that wraps errors.ErrUnsupported and changes
// nothing.
func (s *Stream) CloseWrite() error {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case s.isClosed:
		return net.ErrClosed
	case m.noReset != nil:
		return m.noReset
	}
	s.endWrite()
	return nil
}

// endWrite ends the writing direction.
func (s *Stream) endWrite() {
	s.m.kick(&s.sender)
	if s.m.err == nil && s.out == open {
		s.m.ask(s)
		s.m.flushResets()
	}
}

// CloseRead ends the reading direction. What arrives is dropped.
func (s *Stream) CloseRead() error {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.isClosed {
		return net.ErrClosed
	}
	s.endRead()
	return nil
}

// endRead ends the reading direction.
func (s *Stream) endRead() {
	s.deaf = true
	s.queue.drop()
	s.m.memory.others -= s.reader.counted
	s.reader.counted = 0
	signal(s.reader.arrived)
	s.m.room.Signal()
}

// Close closes both directions.
func (s *Stream) Close() error {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.isClosed {
		return net.ErrClosed
	}
	s.close()
	return nil
}

// close is Close of a Stream that is open.
func (s *Stream) close() {
	m := s.m
	s.isClosed = true
	if _, in := m.hasStream(s.id); !in {
		s.in = over
	}
	s.endRead()
	s.endWrite()
	s.stopTimers()
	m.forget(s)
}

// stopTimers stops the timers of the deadlines, which would keep the Stream in
// memory.
func (s *Stream) stopTimers() {
	s.reader.by.stop()
	s.by.stop()
}

// SetReadDeadline sets the deadline of Recv, the zero time meaning never.
func (s *Stream) SetReadDeadline(t time.Time) error {
	if s.hasClosed() {
		return net.ErrClosed
	}
	s.reader.by.set(t)
	return nil
}

// SetWriteDeadline sets the deadline of Send, the zero time meaning never.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	if s.hasClosed() {
		return net.ErrClosed
	}
	s.m.setWriteDeadline(&s.sender, t)
	return nil
}
