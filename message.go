package sctpnet

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/mux"
)

// MsgInfo describes a message.
type MsgInfo struct {
	// Stream is the number of the message's stream.
	Stream uint16
	// PPID is the payload protocol identifier, which SCTP carries for the
	// application (RFC 9260 section 3.3.1). It is in host order here and
	// travels in network order, as is the custom.
	PPID uint32
	// Unordered messages are delivered as they come, without regard to the
	// order of their stream. They have no number. So where the kernel hands over a
	// part of one that is then given up (see TTL), and nobody reads before the
	// stream's next unordered message has come too, the two are read as one. With
	// Config.Interleaving they have numbers, and that does not happen.
	Unordered bool

	// Set for WriteMsg:
	//
	// TTL is the message's lifetime (RFC 3758), rounded up to milliseconds, up
	// to 2^32-1 of them. Once it has passed the message is given up: it is not
	// sent any more, neither for the first time nor again. Zero means that it is
	// never given up, unless Config.PartialReliability says otherwise.
	TTL time.Duration
	// Context is a number that comes back with the report of a failure to
	// send.
	Context uint32
	// To is the peer's address to send the message to, one of
	// [Conn.PeerAddrs] (SCTP_ADDR_OVER, RFC 6458 section 5.3.4). The zero
	// Addr means the primary path. In both cases a path that works is used
	// instead of one that does not, and what has to be sent again may take
	// another one.
	To netip.Addr

	// Set by ReadMsg; WriteMsg ignores them:
	//
	// SSN and TSN are the message's stream sequence number and the
	// transmission sequence number of its first chunk.
	SSN uint16
	TSN uint32
	// More says that the message goes on: the next ReadMsg returns more of
	// it.
	More bool
}

// message checks a MsgInfo for sending.
func (i *MsgInfo) message() (engine.Message, error) {
	const most = math.MaxUint32 * time.Millisecond
	if i.TTL < 0 || i.TTL > most {
		return engine.Message{}, rangeError("the TTL of a message", i.TTL, fmt.Sprintf("0 (none) to %v", most))
	}
	if i.To != (netip.Addr{}) {
		if err := firstError(checkIP(i.To), checkZone(i.To)); err != nil {
			return engine.Message{}, err
		}
	}
	return engine.Message{
		Stream:    i.Stream,
		PPID:      i.PPID,
		Unordered: i.Unordered,
		TTL:       i.TTL,
		Context:   i.Context,
		To:        i.To.Unmap(),
	}, nil
}

func msgInfo(m engine.Message) MsgInfo {
	return MsgInfo{
		Stream:    m.Stream,
		PPID:      m.PPID,
		Unordered: m.Unordered,
		SSN:       m.SSN,
		TSN:       m.TSN,
		More:      m.More,
	}
}

var errEmptyMessage error = invalidError("SCTP cannot carry an empty message")

// MaxMessageSize returns how many bytes a message can have at most: the size that
// the send buffer has, which SetWriteBuffer changes. Over UDP it is 208 KiB to
// 1 MiB, by the peer's window, if the buffer allows that.
func (c *Conn) MaxMessageSize() int {
	if !c.ok() {
		return 0
	}
	n, err := c.e.MaxMessageSize()
	if err != nil {
		return 0
	}
	return n
}

// WriteStream sends p as one message on a stream. It is WriteMsg with nothing
// but the stream and Config.PPID set.
func (c *Conn) WriteStream(p []byte, stream uint16) (int, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	return c.WriteMsg(p, MsgInfo{Stream: stream, PPID: c.ppid.Load()})
}

// WriteMsg sends p as exactly one message, or returns an error and sends
// nothing. It waits as Write does. A message cannot be empty. One that is larger
// than MaxMessageSize gives an error that wraps EMSGSIZE. The stream must be one
// that the association has.
func (c *Conn) WriteMsg(p []byte, info MsgInfo) (int, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	n, err := c.writeMsg(p, info, func(msg engine.Message) (int, error) { return c.send(p, true, msg) })
	return n, c.opError("write", err)
}

// writeMsg checks a message and has it sent.
func (c *Conn) writeMsg(p []byte, info MsgInfo, send func(engine.Message) (int, error)) (int, error) {
	msg, err := c.message(p, &info)
	if err != nil {
		return 0, err
	}
	n, err := send(msg)
	return n, c.tooLarge(err, len(p))
}

// message checks a message for sending.
func (c *Conn) message(p []byte, info *MsgInfo) (engine.Message, error) {
	msg, err := info.message()
	if err == nil {
		err = c.checkStream(info.Stream)
	}
	if err == nil && len(p) == 0 {
		err = errEmptyMessage
	}
	return msg, err
}

// tooLarge says what is allowed if an error is that a message is too large.
func (c *Conn) tooLarge(err error, size int) error {
	if errors.Is(err, syscall.EMSGSIZE) {
		err = tooLargeError(size, c.MaxMessageSize(), err)
	}
	return err
}

func tooLargeError(size, most int, err error) error {
	return fmt.Errorf("message of %d bytes; the send buffer allows %d: %w", size, most, err)
}

// ReadStream reads as Read does and also returns the number of the stream that
// the bytes came on. They are of one message.
func (c *Conn) ReadStream(p []byte) (n int, stream uint16, err error) {
	if !c.ok() {
		return 0, 0, syscall.EINVAL
	}
	n, msg, err := c.recv(p, mux.Piece)
	return n, msg.Stream, c.opError("read", err)
}

// ReadMsg reads the next message into p and describes it. If p does not hold
// all of it, info.More is set and the next ReadMsg (or Read) goes on with it.
// The same may happen when the read deadline passes in the middle of a
// message; nothing is lost. [Conn.ReadMessage] has no such limit.
//
// More is also set where the rest of a message does not come: the peer has given it
// up ([MsgInfo.TTL]), or the rest goes to a [Stream] that was claimed or accepted
// meanwhile. The next ReadMsg then returns another message.
//
// Once streams are claimed, ReadMsg gets the messages of those that are not.
// Once they are accepted it gets those of stream 0: see [Conn.AcceptStream].
func (c *Conn) ReadMsg(p []byte) (n int, info MsgInfo, err error) {
	if !c.ok() {
		return 0, info, syscall.EINVAL
	}
	n, msg, err := c.recv(p, mux.Whole)
	return n, msgInfo(msg), c.opError("read", err)
}
