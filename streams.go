package sctpnet

import (
	"context"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/mux"
)

// StreamConn is what an SCTP association has beyond a [net.Conn]: messages,
// and streams of them. [*Conn] implements it, so that code which has a
// net.Conn can ask for it with conn.(sctpnet.StreamConn).
//
// Messages arrive whole and in the order of their stream. Between streams
// there is no order: a message that was lost holds up its own stream only.
type StreamConn interface {
	net.Conn

	// WriteStream sends p as one message on a stream.
	WriteStream(p []byte, stream uint16) (n int, err error)
	// ReadStream is Read, and tells the stream that the bytes came on.
	ReadStream(p []byte) (n int, stream uint16, err error)
	// WriteMsg sends p as exactly one message.
	WriteMsg(p []byte, info MsgInfo) (n int, err error)
	// ReadMsg reads one message, or what of it p holds.
	ReadMsg(p []byte) (n int, info MsgInfo, err error)

	// Stream claims the stream with a number.
	Stream(id uint16) (*Stream, error)
	// OpenStream claims a stream that is not in use.
	OpenStream() (*Stream, error)
	// AcceptStream waits for a stream, other than 0, that the peer begins to
	// use.
	AcceptStream(ctx context.Context) (*Stream, error)
	// NumStreams returns how many streams there are in each direction.
	NumStreams() (out, in uint16)
}

// NumStreams returns how many streams there are in each direction, numbered
// from 0: those negotiated in the handshake, the lesser of what one side asked
// for and the other granted (see [Config]), and those that either side has
// added since by [Conn.AddStreams]. An association that had ended when it was
// accepted has none.
func (c *Conn) NumStreams() (out, in uint16) {
	if !c.ok() {
		return 0, 0
	}
	return c.e.Streams(true)
}

func errNoStream(id, n uint16) error {
	return fmt.Errorf("stream %d of %d: there are streams 0 to %d: %w", id, n, int(n)-1, syscall.EINVAL)
}

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

// Stream claims the stream with a number below NumStreams of either direction:
// from now on its messages go to the [Stream] and not to the Conn. Of those
// that have arrived it gets what the Conn has not read. A number without a stream
// gives an error that wraps EINVAL.
//
// A stream can be claimed once, and again after its Close, when both directions
// are reset; Stream waits up to 5 s for that. If they cannot be reset, the error
// wraps [ErrNoFreeStream] and says why. Close of the Conn ends the wait, and deadlines
// do not. Once the association has ended, a Stream still gives what has arrived.
//
// The peer is not told of it.
func (c *Conn) Stream(id uint16) (*Stream, error) {
	if !c.ok() {
		return nil, syscall.EINVAL
	}
	if out, in := c.NumStreams(); id >= max(out, in) {
		return nil, c.opError("open", errNoStream(id, max(out, in)))
	}
	return c.claim("open", engine.ErrEnded, func(m *mux.Mux) (*mux.Stream, error) { return m.Claim(id) })
}

// claim returns the stream that f claims. ended is the error once the association has
// ended, where io.EOF would say that something was read to its end.
func (c *Conn) claim(op string, ended error, f func(*mux.Mux) (*mux.Stream, error)) (*Stream, error) {
	m, err := c.streamMux()
	if err != nil {
		return nil, c.opError(op, err)
	}
	s, err := f(m)
	if err == io.EOF {
		err = ended
	}
	if err != nil {
		return nil, c.opError(op, err)
	}
	return &Stream{c: c, s: s}, nil
}

// ErrNoFreeStream is returned by OpenStream when all streams are in use, or were
// used and cannot be used again.
var ErrNoFreeStream = mux.ErrNoFreeStream

// OpenStream claims a stream that is not in use: an even number, but not 0, on
// the side that dialed, an odd one on the side that accepted (RFC 8832
// section 6), so that two sides that open streams never choose the same. If
// there is none left, the error wraps [ErrNoFreeStream]; OpenStream waits up to
// 5 s for one that is being closed.
//
// Two ends that dial each other at the same time make one association, and each takes
// itself for the side that dialed. Let one of them open streams then, or claim numbers
// that both know by Stream.
//
// With a peer that cannot reset streams (RFC 6525), or denies it, each number is
// used once, and when there are no more the error says so: see [Stream.Close].
//
// The peer is not told of it before something is written. Close of the Conn ends the
// wait, and deadlines do not. Once the association has ended, the error wraps ENOTCONN,
// or the reason if it has failed.
func (c *Conn) OpenStream() (*Stream, error) {
	if !c.ok() {
		return nil, syscall.EINVAL
	}
	return c.claim("open", engine.ErrEnded, func(m *mux.Mux) (*mux.Stream, error) { return m.Open(context.Background()) })
}

// AcceptStream waits for a stream that the peer begins to use, or has used
// before, and claims it. When ctx ends first, the error wraps ctx's. When the
// association ends, it wraps [io.EOF] or the reason, and after Close
// [net.ErrClosed]. Deadlines do not end the wait.
//
// Stream 0 belongs to the Conn, and AcceptStream never returns it. From the
// first AcceptStream on, all other streams are claimed or accepted, and the Conn
// reads stream 0 alone. That goes for what has arrived before, too, unless the
// Conn has read it. Read the Conn, or claim stream 0, if the peer may send on it:
// see [Stream].
func (c *Conn) AcceptStream(ctx context.Context) (*Stream, error) {
	if !c.ok() {
		return nil, syscall.EINVAL
	}
	if ctx == nil {
		panic("nil context")
	}
	return c.claim("accept", errAssocEnded, func(m *mux.Mux) (*mux.Stream, error) { return m.Accept(ctx) })
}

var errAssocEnded = fmt.Errorf("the association has ended: %w", io.EOF)

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
