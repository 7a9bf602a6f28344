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

// checkStream checks that there is an outgoing stream of a number.
func (c *Conn) checkStream(id uint16) error {
	if !c.ok() || c.closed.Load() {
		return nil // which has an error of its own
	}
	if out, in := c.e.Streams(false); id < out || max(out, in) == 0 {
		return nil
	}
	if out, _ := c.NumStreams(); id >= out {
		return errNoStream(id, out)
	}
	return nil
}

func errNoStream(id, n uint16) error {
	return fmt.Errorf("stream %d of %d: there are streams 0 to %d: %w", id, n, int(n)-1, syscall.EINVAL)
}

// Stream claims the stream with a number below NumStreams of either direction:
// from now on its messages go to the [Stream] and not to the Conn. Of those
// that have arrived it gets what the Conn has not read. A number without a stream
// gives an error that wraps EINVAL.
//
// A stream can be claimed once, and again after its Close, when both directions
// are reset; Stream waits up to 5 s for that. If they cannot be reset, the error
// wraps [ErrNoFreeStream] and says why. Close of the Conn ends the wait, and deadlines
// do not. Once the association has ended, a Stream still gives what has arrived; if it
// had ended when it was accepted, any number can be claimed.
//
// The peer is not told of it.
func (c *Conn) Stream(id uint16) (*Stream, error) {
	if !c.ok() {
		return nil, syscall.EINVAL
	}
	// None are known of an association that had ended when it was accepted.
	if out, in := c.NumStreams(); id >= max(out, in) && max(out, in) > 0 {
		return nil, c.opError("open", errNoStream(id, max(out, in)))
	}
	return c.claim("open", engine.ErrEnded, func(m *mux.Mux) (*mux.Stream, error) { return m.Claim(id) })
}

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

var errAssocEnded = fmt.Errorf("the association has ended: %w", io.EOF)

// AddStreams asks the peer for more streams (SCTP_ADD_STREAMS, RFC 6525
// section 6.3.4), outgoing and incoming ones, up to 65535 of each direction. It
// does not wait. NumStreams has the outgoing ones at once, unless the peer denies
// them; over UDP it has them once the peer has agreed. It has the incoming ones
// once the peer has made them. A [StreamsAddedEvent] tells of both. A message
// written to a new stream is kept back until the peer has agreed, and so is what is
// written after it; over UDP there is no such stream before. A peer that uses this
// package agrees if its Config.MaxInStreams is 65535. From AddStreams on Linux also
// lets the peer add streams.
//
// While an earlier request, or the reset of a stream, is under way the error
// wraps EINPROGRESS. If the peer has no stream reconfiguration it wraps
// [errors.ErrUnsupported].
func (c *Conn) AddStreams(out, in int) error {
	return c.do("set", "AddStreams", nil, func() error {
		haveOut, haveIn := c.NumStreams()
		if err := firstError(checkAdd("outgoing", out, int(haveOut)), checkAdd("incoming", in, int(haveIn))); err != nil {
			return err
		}
		if out == 0 && in == 0 {
			return nil
		}
		if out != 0 && in != 0 {
			if err := checkCall(c.network, "Conn.AddStreams of both directions at once"); err != nil {
				return err
			}
		}
		return c.e.AddStreams(uint16(out), uint16(in))
	})
}

func checkAdd(what string, n, have int) error {
	if n < 0 || n > most16-have {
		return rangeError("number of "+what+" streams to add", n, fmt.Sprintf("0 to %d, as there are %d", most16-have, have))
	}
	return nil
}

// ResetAssoc asks the peer to begin all numbering anew, of streams and of
// chunks (SCTP_RESET_ASSOC, RFC 6525 section 6.3.3). Nothing is lost. While
// something written waits for its acknowledgement the error wraps EAGAIN, and while
// an earlier request is under way EINPROGRESS. ResetAssoc does not wait; an
// [AssocResetEvent] tells how it went.
func (c *Conn) ResetAssoc() error {
	return c.do("set", "ResetAssoc", nil, func() error { return c.e.ResetAssoc() })
}

// streamMux is startMux for the use of streams.
func (c *Conn) streamMux() (*mux.Mux, error) {
	if c.closed.Load() {
		return nil, net.ErrClosed
	}
	if err := c.e.UseStreams(); err != nil {
		return nil, err
	}
	return c.startMux(), nil
}

// finishStreams closes a Conn that was shut down after all its streams were closed.
// It waits for the end first: if something were left unread, closing would abort,
// and what was written last would be lost. Nobody reads any more, so it drops what
// comes.
func (c *Conn) finishStreams() {
	if !c.ok() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	c.startMux().RefuseStreams(ctx)
	c.end(c.e.Close) // not Close, which aborts if a queue holds something
}

// lastWords is how long an association may take to end after all its streams are
// closed.
const lastWords = 5 * time.Second
