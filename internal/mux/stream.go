package mux

import (
	"io"
	"net"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A Stream is one stream of an association in each direction, of the same
// number.
type Stream struct {
	sender
	m      *Mux
	id     uint16
	reader reader

	// Under Mux.mu.
	queue   queue
	begun   bool // something has arrived, or the announcement
	in      inState
	out     outState
	dropped time.Time // when something was dropped first
	closed  bool
}

// An inState is that of a stream's incoming direction. Each state includes
// those before it.
type inState uint8

const (
	inOpen  inState = iota
	inDeaf          // CloseRead or Close was called: what arrives is dropped
	inEnded         // the peer has reset it
)

// An outState is that of a stream's outgoing direction. From outReset on it
// is reset; what follows tells the peer to stop: see Mux.stop. Each state includes
// those before it.
type outState uint8

const (
	outOpen     outState = iota
	resetWanted          // it is on the resetter's list
	resetAsked           // the answer is to come
	outReset
	stopWanted // it is on the list again
	stopAsked
	outStopped
)

// isAsked reports whether the answer to a request is to come.
func (o outState) isAsked() bool { return o == resetAsked || o == stopAsked }

// isSettled reports whether the direction is reset, and nothing else is wanted.
func (o outState) isSettled() bool { return o == outReset || o == outStopped }

// ID returns the stream's number.
func (s *Stream) ID() uint16 { return s.id }

// Recv reads into p what arrives on the stream.
func (s *Stream) Recv(p []byte, how Mode) (n int, msg engine.Message, err error) {
	s.reader.mu.Lock()
	defer s.reader.mu.Unlock()
	return s.m.receive(&s.reader, p, 0, msg, how, true)
}

func (s *Stream) isClosed() bool { return s.closed || s.m.closed.Load() }

// next takes the next piece out of the queue.
func (s *Stream) next() (p piece, ok, more bool, err error) {
	switch {
	case len(s.queue.rest()) > 0:
		s.m.room.Signal()
		p := s.queue.remove(0)
		return p, true, len(s.queue.rest()) > 0, nil
	case s.in != inOpen:
		return piece{}, false, false, io.EOF
	}
	return piece{}, false, false, s.m.err
}

func (s *Stream) isElsewhere(uint16) bool { return false }

// Send sends p on the stream, as messages of some size or, if single is set, as
// one. Other streams have their turn after each message. It returns EPIPE when
// only the writing has ended.
func (s *Stream) Send(p []byte, single bool, msg engine.Message) (int, error) {
	s.sender.mu.Lock()
	defer s.sender.mu.Unlock()
	if err := s.announceFirst(p, msg); err != nil {
		return 0, err
	}
	return s.send(p, single, msg)
}

// send is Send with the lock.
func (s *Stream) send(p []byte, single bool, msg engine.Message) (int, error) {
	n, err := s.m.send(&s.sender, p, single, msg, false)
	if err == net.ErrClosed && !s.hasClosed() {
		err = syscall.EPIPE
	}
	return n, err
}

// hasClosed is isClosed for a caller that does not hold Mux.mu.
func (s *Stream) hasClosed() bool {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return s.isClosed()
}

// CloseWrite ends the writing direction. The stream is reset when all that was
// written has gone. If the peer has no stream reconfiguration, or has denied a
// reset, CloseWrite returns an error that wraps errors.ErrUnsupported and changes
// nothing.
func (s *Stream) CloseWrite() error {
	m := s.m
	s.learn()
	m.mu.Lock()
	defer m.unlock()
	switch {
	case s.isClosed():
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
	if s.m.err == nil && s.out == outOpen {
		s.m.ask(s, resetWanted)
	}
}

// CloseRead ends the reading direction. What arrives is dropped.
func (s *Stream) CloseRead() error {
	m := s.m
	s.learn()
	m.mu.Lock()
	defer m.unlock()
	if s.isClosed() {
		return net.ErrClosed
	}
	s.endRead()
	return nil
}

// endRead ends the reading direction.
func (s *Stream) endRead() {
	s.in = max(s.in, inDeaf)
	s.queue.drop()
	s.reader.isStale = true
	s.m.memory.others -= s.reader.counted
	s.reader.counted = 0
	signal(s.reader.arrived)
	s.m.room.Signal()
}

// Close closes both directions.
func (s *Stream) Close() error {
	m := s.m
	s.learn()
	m.mu.Lock()
	defer m.unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.close()
	return nil
}

// learn asks whether there is the stream in both directions, if there was only in one:
// the receiver may not have come to the event of those that were added. It does that
// without Mux.mu, before hasStream is called.
func (s *Stream) learn() {
	if out, in := s.m.conn.Streams(false); s.id >= min(out, in) {
		s.m.conn.Streams(true)
	}
}

// close is Close of a Stream that is open.
func (s *Stream) close() {
	m := s.m
	s.closed = true
	if _, in := m.hasStream(s.id); !in {
		s.in = inEnded
	}
	s.endRead()
	s.endWrite()
	s.stopTimers()
	m.forget(s)
}

// stopTimers stops the timers of the deadlines, which would keep the Stream in
// memory.
func (s *Stream) stopTimers() {
	s.reader.deadline.stop(s.m)
	s.deadline.stop(s.m)
}

// SetReadDeadline sets the deadline of Recv, the zero time meaning never.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.isClosed() {
		return net.ErrClosed
	}
	s.reader.deadline.set(s.m, t)
	return nil
}

// SetWriteDeadline sets the deadline of Send, the zero time meaning never.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.isClosed() {
		return net.ErrClosed
	}
	s.m.setWriteDeadline(&s.sender, t)
	return nil
}
