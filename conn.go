package sctpnet

import (
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/mux"
)

// Conn is an SCTP association. It implements [net.Conn] as TCP's does: a
// reliable, ordered stream of bytes. What is written travels on the
// association's stream 0.
//
// Multiple goroutines may invoke methods on a Conn simultaneously.
type Conn struct {
	e             engine.Conn
	network       string
	local, remote *Addr
	accepted      bool // by a Listener

	closed atomic.Bool
	// knows says that both ends sent the same indication, and by it that they
	// serve streams: see AdaptationStreams.
	knows atomic.Bool
	mux   atomic.Pointer[mux.Mux] // nil until a stream is claimed, or OnEvent is set

	messages assembler // of ReadMessage

	asked *Config // of the handshake, with its defaults; shared, and not changed
	ppid  atomic.Uint32

	mu              sync.Mutex
	limits          mux.Limits
	readBy, writeBy time.Time // the deadlines while there is no Mux
}

var (
	_ net.Conn   = (*Conn)(nil)
	_ StreamConn = (*Conn)(nil)
)

// newConn makes a Conn of an association. Its Config, if it is known, is one that
// settle has returned.
func newConn(e engine.Conn, network string, accepted bool, asked *Config) *Conn {
	c := &Conn{
		e:        e,
		network:  network,
		local:    newAddr(e.LocalAddr(), network),
		remote:   newAddr(e.RemoteAddr(), network),
		accepted: accepted,
		asked:    asked,
		limits:   asked.limits().Or(mux.DefaultLimits()),
	}
	c.ppid.Store(asked.PPID)
	local, peer := e.Adaptation()
	c.knows.Store(local == AdaptationStreams && peer == local)
	return c
}

// learnIndication finds out whether the peer has sent this end's indication, whatever
// number that is.
func (c *Conn) learnIndication() {
	local, peer := c.e.Adaptation()
	c.knows.Store(local != 0 && peer == local)
}

func (c *Conn) ok() bool { return c != nil && c.e != nil }

// opError wraps an error as package net does: io.EOF from Read not at all.
func (c *Conn) opError(op string, err error) error {
	if err == nil || err == io.EOF && op == "read" {
		return err
	}
	e := &net.OpError{Op: op, Net: c.network, Source: c.local, Addr: c.remote, Err: err}
	if op == "set" || op == "raw-control" {
		e.Source, e.Addr = nil, e.Source
	}
	return e
}

// do runs f for the method of a name, unless the Conn is closed, check is an error of the
// arguments, or the engine lacks the method. What sends and receives looks at ok alone:
// there the engine tells of the end, and nothing is allocated.
func (c *Conn) do(op, name string, check error, f func() error) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	if c.closed.Load() {
		return c.opError(op, net.ErrClosed)
	}
	err := firstError(check, checkCall(c.network, "Conn."+name))
	if err == nil {
		err = f()
	}
	return c.opError(op, err)
}

// get is do for a method that returns something.
func get[T any](c *Conn, op, name string, check error, f func() (T, error)) (v T, err error) {
	err = c.do(op, name, check, func() error {
		v, err = f()
		return err
	})
	return v, err
}

// Read reads bytes that the peer wrote into p, waiting until there are some.
// It returns what there is, of whatever messages and streams; what p does not
// hold is kept for the next Read. A [Stream] is read by itself. From the first
// [Conn.AcceptStream] on, Read returns what comes on stream 0 alone.
//
// After the peer's Close or either side's [Conn.Shutdown], Read returns what
// there still is and then [io.EOF]. Once the peer has aborted or restarted the
// association it returns an error that wraps ECONNRESET, and ETIMEDOUT once the
// peer was found unreachable. It returns the same every time it is called
// again. It fails with [os.ErrDeadlineExceeded] when the read deadline passes, and with
// [net.ErrClosed] after Close.
func (c *Conn) Read(p []byte) (int, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	n, _, err := c.recv(p, mux.Filled)
	return n, c.opError("read", err)
}

// startMux returns the association's Mux. It makes one if there is none.
func (c *Conn) startMux() *mux.Mux {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.mux.Load(); m != nil {
		return m
	}
	config := mux.Config{
		Accepted:      c.accepted,
		MessageSize:   messageSize,
		Limits:        c.limits,
		Announces:     c.knows.Load,
		ReadDeadline:  c.readBy,
		WriteDeadline: c.writeBy,
	}
	if onEvent := c.asked.OnEvent; onEvent != nil {
		config.OnEvent = func(e engine.Event) {
			if e := newEvent(e); c.asked.wants(e) {
				onEvent(c, e)
			}
		}
	}
	m := mux.Start(c.e, config, c.mux.Store)
	if c.closed.Load() { // before the Mux could be seen
		m.Close(func() error { return nil })
	}
	return m
}

// startEvents begins to call OnEvent, if that is set.
func (c *Conn) startEvents() {
	if c.asked.OnEvent != nil {
		c.startMux()
	}
}

// recv receives from the engine or, once streams are in use, from the Mux.
func (c *Conn) recv(p []byte, how mux.Mode) (n int, msg engine.Message, err error) {
	if len(p) == 0 && !c.closed.Load() {
		return 0, msg, nil // as in package net, also after the deadline
	}
	if c.mux.Load() == nil {
		if how == mux.Filled {
			n, err = c.e.Read(p)
		} else {
			n, msg, err = c.e.Recv(p, how == mux.Whole)
		}
		if err == nil && how == mux.Whole && msg.More && n < len(p) {
			if m := c.mux.Load(); m != nil {
				return m.Resume(p, n, msg) // streams have come into use in mid-message
			}
		}
		if err != engine.ErrTaken {
			return n, msg, err
		}
	}
	return c.mux.Load().Recv(p, how)
}

// send sends by the engine or, once streams are in use, by the Mux. If single is set, p is
// one message.
func (c *Conn) send(p []byte, single bool, msg engine.Message) (n int, err error) {
	if c.mux.Load() == nil {
		size := messageSize
		if single {
			size = 0
		}
		if n, err = c.e.Send(p, size, msg); err != engine.ErrTaken {
			return n, err
		}
	}
	k, err := c.mux.Load().Send(p[n:], single, msg, n > 0)
	return n + k, err
}

// Write writes p, of any length, waiting for room in the send buffer. It
// splits p into messages of 64 KiB; messages of Writes made at the same time
// do not come between them. An empty p sends nothing.
//
// If Write returns an error, n bytes were accepted before it: they may or may
// not arrive. The error wraps ECONNRESET, EPIPE, ESHUTDOWN or ETIMEDOUT once
// the association has ended, [os.ErrDeadlineExceeded] when the write deadline
// passes, and [net.ErrClosed] after Close. If the peer has restarted the
// association, over the kernel's SCTP, what is written before Read has returned
// ECONNRESET reaches the peer's new life: see docs/telecom.md.
func (c *Conn) Write(p []byte) (n int, err error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	n, err = c.send(p, false, engine.Message{PPID: c.ppid.Load()})
	return n, c.opError("write", err)
}

// Close closes the association, without waiting unless [Conn.SetLinger] says
// otherwise. What was written is still delivered in the background and the peer
// then reads io.EOF, unless there was something left to Read: closing on unread
// data aborts the association, as TCP resets. Waiting calls return
// [net.ErrClosed], as does a second Close.
func (c *Conn) Close() error {
	if !c.ok() {
		return syscall.EINVAL
	}
	end := c.e.Close
	if m := c.mux.Load(); c.messages.holds.Load() || m != nil && m.Unread() {
		end = c.e.Abort // as the system does with what it has not handed over
	}
	return c.opError("close", c.end(end))
}

// end closes the Conn, one way or the other. The first call decides which. A goroutine
// that the end has woken, and that closes the Conn too, comes too late.
func (c *Conn) end(end func() error) error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	if m := c.mux.Load(); m != nil {
		return m.Close(end)
	}
	return end()
}

// Abort closes the association by SCTP's ABORT (RFC 9260 section 9.1):
// everything not yet delivered is dropped, in both directions, and the peer's
// calls fail with ECONNRESET. The Conn is closed.
func (c *Conn) Abort() error {
	if !c.ok() {
		return syscall.EINVAL
	}
	return c.opError("abort", c.end(c.e.Abort))
}

// Shutdown begins SCTP's graceful end (RFC 9260 section 9.2) and does not
// wait for it: what was written is delivered, then the association ends for
// both sides. It is no half-close as TCP has it: neither side can write any
// more. Reads give what the peer had written, then [io.EOF]. The Conn must
// still be closed.
func (c *Conn) Shutdown() error {
	return c.do("shutdown", "Shutdown", nil, func() error { return c.e.Shutdown() })
}

// LocalAddr returns the local address, an [*Addr]. It holds the addresses that
// the association was bound to. Where it was bound to none in particular, as by
// a Dialer without LocalAddr, it holds one of the host's, from which the peer is
// reached; [Conn.LocalAddrs] has all that the peer was told. LocalAddr stays the
// same for the life of the Conn and after Close. The Addr is shared by all
// callers: do not modify it.
func (c *Conn) LocalAddr() net.Addr {
	if !c.ok() {
		return nil
	}
	return c.local
}

// RemoteAddr returns the peer's address, an [*Addr]: what was dialed or, of
// an accepted association, all the addresses that the peer has named, the
// primary one first. It stays the same for the life of the Conn and after
// Close. The Addr is shared by all callers: do not modify it.
func (c *Conn) RemoteAddr() net.Addr {
	if !c.ok() {
		return nil
	}
	return c.remote
}

// SetDeadline sets the read and the write deadline, as [net.Conn] says.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(true, true, t) }

// SetReadDeadline sets the time after which Read, also one that is waiting,
// fails with [os.ErrDeadlineExceeded]. The zero time means never. A Read that
// failed so has lost nothing: with a later deadline reading goes on.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(true, false, t) }

// SetWriteDeadline sets the time after which Write, also one that is waiting,
// fails with [os.ErrDeadlineExceeded]. The zero time means never. A Write that
// failed so returns how much of its data was accepted.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(false, true, t) }

func (c *Conn) setDeadlines(read, write bool, t time.Time) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return c.opError("set", net.ErrClosed)
	}
	var err error
	m := c.mux.Load()
	if read {
		if c.readBy = t; m != nil {
			m.SetReadDeadline(t)
		} else {
			err = c.e.SetReadDeadline(t)
		}
	}
	if write && err == nil {
		if c.writeBy = t; m != nil {
			m.SetWriteDeadline(t)
		} else {
			err = c.e.SetWriteDeadline(t)
		}
	}
	return c.opError("set", err)
}

// SetLinger sets what Close does with data that was not yet delivered: sec < 0
// (the default) delivers it in the background, sec == 0 drops it and aborts
// the association, sec > 0 has Close wait up to that many seconds for its
// delivery (SO_LINGER, RFC 6458 section 8.1.4), 2147483647 at most. As with TCP, a
// signal that the Go runtime sends itself may end that wait.
func (c *Conn) SetLinger(sec int) error {
	var check error
	if sec > math.MaxInt32 {
		check = rangeError("SetLinger's number of seconds", sec, "negative numbers and 0 to 2147483647")
	}
	return c.do("set", "SetLinger", check, func() error { return c.e.SetLinger(sec) })
}

// SetNoDelay sets whether small messages are sent at once (SCTP_NODELAY, RFC
// 6458 section 8.1.5) or held back while others are not acknowledged. The
// default is true, as for TCP in package net.
func (c *Conn) SetNoDelay(noDelay bool) error {
	return c.set("Nagle", !noDelay, nil, engine.Settings{Nagle: !noDelay, NoDelay: noDelay})
}

// SetReadBuffer sets the size in bytes of the system's receive buffer
// (SO_RCVBUF), which Linux doubles for its own needs and caps at
// net.core.rmem_max. The window that the peer was told in the handshake does
// not change with it, except that it can grow over UDP.
func (c *Conn) SetReadBuffer(bytes int) error {
	return c.set("ReadBuffer", bytes, checkBuffer(bytes), engine.Settings{ReadBuffer: max(bytes, 1)})
}

// SetWriteBuffer sets the size in bytes of the system's send buffer
// (SO_SNDBUF), which Linux doubles for its own needs and caps at
// net.core.wmem_max. No message can be larger than the buffer; Write splits
// its data small enough.
func (c *Conn) SetWriteBuffer(bytes int) error {
	return c.set("WriteBuffer", bytes, checkBuffer(bytes), engine.Settings{WriteBuffer: max(bytes, 1)})
}

func checkBuffer(bytes int) error {
	if bytes < 0 || bytes > math.MaxInt32 {
		return rangeError("the size of the buffer", bytes, "0 to 2147483647")
	}
	return nil
}

// SyscallConn returns the socket below, for options that this package does not
// have. Its Read and Write wait as the Conn's own do. Once streams or events are
// in use nothing is left for Read, which then waits until Close. The socket is
// subscribed to SCTP_ASSOC_CHANGE, so a function that receives must know
// notifications. After the peer has restarted the association the methods fail
// with ECONNRESET.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if !c.ok() {
		return nil, syscall.EINVAL
	}
	if err := checkCall(c.network, "Conn.SyscallConn"); err != nil {
		return nil, c.opError("syscall", err)
	}
	raw, err := c.e.SyscallConn()
	if err != nil {
		return nil, c.opError("syscall", err)
	}
	return &rawConn{raw, c.opError}, nil
}

// rawConn gives a RawConn's errors the shape of package net's.
type rawConn struct {
	raw     syscall.RawConn
	opError func(op string, err error) error
}

func (r *rawConn) Control(f func(fd uintptr)) error {
	return r.opError("raw-control", r.raw.Control(f))
}

func (r *rawConn) Read(f func(fd uintptr) bool) error {
	return r.opError("raw-read", r.raw.Read(f))
}

func (r *rawConn) Write(f func(fd uintptr) bool) error {
	return r.opError("raw-write", r.raw.Write(f))
}
