package sctpnet

import (
	"net"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/mux"
)

// A Stream is one stream in each direction of an association, of the same
// number, as a [net.Conn] of its own. Deadlines, Close and errors are its own
// too; the addresses are the association's.
//
// What arrives on a stream goes to its Stream, if it has one. Otherwise the Conn
// reads it, as long as AcceptStream was not called. After that the Conn reads
// stream 0, and the others wait for AcceptStream.
//
// What arrives for a Stream waits for its Read, up to 256 KiB and the message
// that exceeds it. While a Stream is full and not read, nothing is received
// for any other stream of the association, and the peer is held back:
// nothing is dropped. The same goes for a Conn with Streams, while it holds that
// much for its Read, and for all of them together, while they hold
// Config.StreamMemory. Read all streams, or close those that are not wanted.
//
// Streams that wait to be accepted do not hold up others, until
// Config.StreamMemory is taken. After a second of that, if those that wait hold
// most of it, the one of them that holds most is closed, as by Close, and what has
// come on it is dropped. So is one that exceeds Config.AcceptStreams.
//
// Multiple goroutines may invoke methods on a Stream simultaneously.
type Stream struct {
	c       *Conn
	s       *mux.Stream
	onClose func() // called by Close, or nil; set before the Stream is handed out
	watch   *streamWatch

	messages assembler // of ReadMessage
}

var _ net.Conn = (*Stream)(nil)

func (s *Stream) ok() bool { return s != nil && s.s != nil }

// ID returns the stream's number.
func (s *Stream) ID() uint16 {
	if !s.ok() {
		return 0
	}
	return s.s.ID()
}

// Read reads bytes that the peer wrote on the stream, as [Conn.Read] does.
// When the peer has closed the stream or its writing, Read returns what there
// is and then [io.EOF], as it does when the association ends; when the
// association fails, an error that wraps the reason.
func (s *Stream) Read(p []byte) (int, error) {
	if !s.ok() {
		return 0, syscall.EINVAL
	}
	n, _, err := s.recv(p, mux.Filled)
	return n, s.c.opError("read", err)
}

// ReadMsg reads the next message of the stream, as [Conn.ReadMsg] does.
func (s *Stream) ReadMsg(p []byte) (int, MsgInfo, error) {
	if !s.ok() {
		return 0, MsgInfo{}, syscall.EINVAL
	}
	n, msg, err := s.recv(p, mux.Whole)
	return n, msgInfo(msg), s.c.opError("read", err)
}

func (s *Stream) recv(p []byte, how mux.Mode) (int, engine.Message, error) {
	call := s.watch.beginRead()
	n, msg, err := s.s.Recv(p, how)
	s.watch.endRead(call, err)
	return n, msg, err
}

// Write writes p on the stream, as [Conn.Write] does. Other streams have their
// turn after each message. Once the peer has reset this direction, or
// CloseWrite was called, Write fails with EPIPE.
func (s *Stream) Write(p []byte) (int, error) {
	if !s.ok() {
		return 0, syscall.EINVAL
	}
	n, err := s.send(p, false, engine.Message{Stream: s.s.ID(), PPID: s.c.ppid.Load()})
	return n, s.c.opError("write", err)
}

// WriteMsg sends p as exactly one message on the stream, as [Conn.WriteMsg]
// does. info.Stream is ignored.
func (s *Stream) WriteMsg(p []byte, info MsgInfo) (int, error) {
	if !s.ok() {
		return 0, syscall.EINVAL
	}
	info.Stream = s.s.ID()
	n, err := s.c.writeMsg(p, info, func(msg engine.Message) (int, error) { return s.send(p, true, msg) })
	return n, s.c.opError("write", err)
}

func (s *Stream) send(p []byte, single bool, msg engine.Message) (int, error) {
	call := s.watch.beginWrite()
	n, err := s.s.Send(p, single, msg)
	s.watch.endWrite(call, err)
	return n, err
}

// Announce tells the peer of a Stream of OpenStream before something is written:
// AcceptStream, or the Accept of a [NewStreamListener], returns it there. Without
// it a protocol in which the accepting side speaks first waits for ever. The
// announcement is a message that the peer's Read does not return.
//
// A [StreamDialer] announces its streams itself. Otherwise both ends must have
// Config.Adaptation set to [AdaptationStreams], or the accepting one must serve a
// NewStreamListener. If not, the error wraps [errors.ErrUnsupported], as the peer
// would take the announcement for data. It is also an error if something was
// written already, and if the number is for the peer to open. Announce waits as
// Write does.
func (s *Stream) Announce() error {
	if !s.ok() {
		return syscall.EINVAL
	}
	return s.c.opError("announce", s.s.Announce())
}

// CloseWrite ends the writing direction: when all that was written has gone,
// the outgoing stream is reset (RFC 6525), and the peer's Read gives io.EOF
// after the last byte. Reading goes on. CloseWrite does not wait.
//
// If the peer has no stream reconfiguration, or has denied a reset before, the
// error wraps [errors.ErrUnsupported], and nothing has changed.
func (s *Stream) CloseWrite() error {
	if !s.ok() {
		return syscall.EINVAL
	}
	return s.c.opError("close", s.s.CloseWrite())
}

// CloseRead ends the reading direction: Read gives io.EOF, and what arrives is
// dropped. The peer is not told, until Close.
func (s *Stream) CloseRead() error {
	if !s.ok() {
		return syscall.EINVAL
	}
	return s.c.opError("close", s.s.CloseRead())
}

// Close closes the stream, both directions of it, and not the association.
// Waiting calls return [net.ErrClosed]. What was written is still delivered;
// the peer then reads io.EOF. What the peer goes on writing is dropped, and soon
// its Write fails with EPIPE, if it is a Stream of this package.
//
// When the peer has closed the stream too, its number can be used again. With a
// peer that has no stream reconfiguration, or denies resets, Close does nothing
// that the peer would notice. What still comes is dropped, and the number is never
// used again, as that would be taken for the next use's.
func (s *Stream) Close() error {
	if !s.ok() {
		return syscall.EINVAL
	}
	s.watch.close()
	err := s.s.Close()
	if err == nil && s.onClose != nil {
		s.onClose()
	}
	return s.c.opError("close", err)
}

// LocalAddr returns the association's local address.
func (s *Stream) LocalAddr() net.Addr {
	if !s.ok() {
		return nil
	}
	return s.c.LocalAddr()
}

// RemoteAddr returns the association's remote address.
func (s *Stream) RemoteAddr() net.Addr {
	if !s.ok() {
		return nil
	}
	return s.c.RemoteAddr()
}

// SetDeadline sets the stream's read and write deadline, as [net.Conn] says.
func (s *Stream) SetDeadline(t time.Time) error { return s.setDeadlines(true, true, t) }

// SetReadDeadline sets the stream's read deadline, as [Conn.SetReadDeadline].
func (s *Stream) SetReadDeadline(t time.Time) error { return s.setDeadlines(true, false, t) }

// SetWriteDeadline sets the stream's write deadline, as
// [Conn.SetWriteDeadline].
func (s *Stream) SetWriteDeadline(t time.Time) error { return s.setDeadlines(false, true, t) }

func (s *Stream) setDeadlines(read, write bool, t time.Time) error {
	if !s.ok() {
		return syscall.EINVAL
	}
	s.watch.setDeadlines(read, write, t)
	var err error
	if read {
		err = s.s.SetReadDeadline(t)
	}
	if write && err == nil {
		err = s.s.SetWriteDeadline(t)
	}
	return s.c.opError("set", err)
}
