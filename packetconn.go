package sctpnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/mux"
)

// ListenPacket announces on the local address for any number of associations, which
// either side makes. Networks and addresses are those of [Listen]; the connection is
// a [*PacketConn].
func ListenPacket(network, address string) (net.PacketConn, error) {
	var lc ListenConfig
	return lc.ListenPacket(context.Background(), network, address)
}

// ListenPacket announces on the local address as func [ListenPacket] does. The
// context is for the resolution of a host name.
func (lc *ListenConfig) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	name, e, err := lookupNetwork(network, "sctp")
	if err != nil {
		return nil, dialError("listen", network, nil, nil, err)
	}
	c, local, err := lc.listenPacket(ctx, e, name, address)
	if err != nil {
		return nil, dialError("listen", name, nil, local, err)
	}
	return c, nil
}

func (lc *ListenConfig) listenPacket(ctx context.Context, e engine.Engine, network, address string) (*PacketConn, *Addr, error) {
	err := checkCall(network, "ListenPacket")
	if err == nil && lc.AutoClose != 0 {
		err = checkCall(network, "ListenConfig.AutoClose")
	}
	if err != nil {
		return nil, nil, err
	}
	pe, ok := e.(engine.Packeter)
	if !ok {
		return nil, nil, fmt.Errorf("ListenPacket: %w", errors.ErrUnsupported)
	}
	if lc.AutoClose != 0 && lc.AutoClose < time.Second || lc.AutoClose > mostTime {
		return nil, nil, rangeError("ListenConfig.AutoClose", lc.AutoClose, fmt.Sprintf("0, and 1s to %v", mostTime))
	}
	s, asked, local, err := lc.socket(ctx, network, address)
	if err != nil {
		return nil, nil, err
	}
	s.Options.Events = s.Options.Events || lc.OnEvent != nil
	pc, err := pe.ListenPacket(ctx, s, lc.AutoClose)
	if err != nil {
		return nil, local, err
	}
	return newPacketConn(pc, network, asked, lc.OnEvent), local, nil
}

// PacketConn is a one-to-many SCTP socket (RFC 6458 section 3): one local port, and
// associations with any number of peers. It implements [net.PacketConn]. An address
// is a peer's, an [*Addr], and a packet is one whole message.
//
// Peers make associations with it, as with a [Listener], and it makes associations
// itself, from the same port: [PacketConn.Connect] and [PacketConn.WriteTo] do. No
// association costs a goroutine, nor a descriptor. [PacketConn.PeelOff] turns one
// into a [Conn].
//
// Each association has one Addr, which ReadFrom returns with every message of it: do
// not modify it. It stands for that association: once that has ended, WriteTo and the
// other methods fail with this Addr. Any other Addr stands for the association with
// the peer that has one of its addresses and its port.
//
// A peer that restarts its association (RFC 9260 section 5.2) keeps its Addr, and
// reading goes on with the messages of its new life. [ListenConfig.OnEvent] tells,
// in order with the messages. If the peer crashed in the middle of a long message,
// the half message is dropped, and over the kernel's SCTP the association may be
// aborted.
//
// Over the kernel's SCTP all associations share the receive buffer. One that fills it,
// so that nothing is delivered any more, may be aborted for the others. See
// docs/telecom.md.
//
// Multiple goroutines may invoke methods on a PacketConn simultaneously.
type PacketConn struct {
	e       engine.PacketConn
	network string
	local   *Addr
	asked   *Config // as of a Conn
	onEvent func(*PacketConn, *Addr, Event)
	closed  atomic.Bool

	reading chan struct{} // has an element while a call receives

	mu     sync.Mutex
	readBy time.Time     // the deadline
	moved  chan struct{} // see whenMoved; nil until a call waits
	assocs map[engine.AssocID]*assoc
	byAddr map[netip.AddrPort]*assoc
	inbox  inbox
}

var _ net.PacketConn = (*PacketConn)(nil)

func newPacketConn(e engine.PacketConn, network string, asked *Config, onEvent func(*PacketConn, *Addr, Event)) *PacketConn {
	c := &PacketConn{
		e:       e,
		network: network,
		local:   newAddr(e.LocalAddr(), network),
		asked:   asked,
		onEvent: onEvent,
		reading: make(chan struct{}, 1),
		assocs:  make(map[engine.AssocID]*assoc),
		byAddr:  make(map[netip.AddrPort]*assoc),
	}
	c.inbox.most = asked.limits().Or(mux.DefaultLimits()).StreamMemory
	// As many as can be in the system's queue, beside those that Connect has kept.
	c.inbox.mostUnsorted = mostWaiting + 2*max(asked.ReadBuffer, bufferSize)
	return c
}

func (c *PacketConn) ok() bool { return c != nil && c.e != nil }

// opError wraps an error as package net does. The address, if there is one, is the
// peer's.
func (c *PacketConn) opError(op string, addr net.Addr, err error) error {
	if err == nil {
		return nil
	}
	e := &net.OpError{Op: op, Net: c.network, Source: c.local, Addr: addr, Err: err}
	if op == "set" || op == "raw-control" || op == "close" || op == "file" {
		e.Source, e.Addr = nil, c.local
	}
	return e
}

// Close ends all associations, each as [Conn.Close] does, without waiting: what was
// written is still delivered. If there is a message that was received and not read,
// all associations are aborted. Conns that were peeled off live on. Waiting calls
// return [net.ErrClosed], as does a second Close.
func (c *PacketConn) Close() error {
	if !c.ok() {
		return syscall.EINVAL
	}
	c.mu.Lock()
	c.closed.Store(true)
	c.wakeWaiting()
	abort := c.holds()
	c.mu.Unlock()
	if ids, err := c.e.Assocs(); err == nil && abort {
		for _, id := range ids {
			c.e.Abort(id)
		}
	}
	return c.opError("close", nil, c.e.Close())
}

// whenMoved returns a channel that wakeWaiting closes. A call that waits for its turn to
// receive then looks again whether the deadline has changed, Connect may receive, or the
// PacketConn is closed. The caller holds the mutex.
func (c *PacketConn) whenMoved() <-chan struct{} {
	if c.moved == nil {
		c.moved = make(chan struct{})
	}
	return c.moved
}

// wakeWaiting wakes the calls that wait for their turn. The caller holds the mutex.
func (c *PacketConn) wakeWaiting() {
	if c.moved != nil {
		close(c.moved)
		c.moved = nil
	}
}

// LocalAddr returns the local address, an [*Addr], as [Listener.Addr] does.
func (c *PacketConn) LocalAddr() net.Addr {
	if !c.ok() {
		return nil
	}
	return c.local
}

// SetDeadline sets the read and the write deadline, as [net.PacketConn] says.
func (c *PacketConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the time after which ReadFrom, also one that is waiting,
// fails with [os.ErrDeadlineExceeded]. The zero time means never. Nothing is lost:
// with a later deadline reading goes on.
func (c *PacketConn) SetReadDeadline(t time.Time) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readBy = t
	c.wakeWaiting()
	return c.opError("set", nil, c.e.SetReadDeadline(t))
}

// SetWriteDeadline sets the time after which WriteTo, also one that is waiting,
// fails with [os.ErrDeadlineExceeded]. The zero time means never.
func (c *PacketConn) SetWriteDeadline(t time.Time) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	return c.opError("set", nil, c.e.SetWriteDeadline(t))
}

// MaxMessageSize returns how many bytes a message can have at most, as
// [Conn.MaxMessageSize] does.
func (c *PacketConn) MaxMessageSize() int {
	if !c.ok() {
		return 0
	}
	n, err := c.e.MaxMessageSize()
	if err != nil {
		return 0
	}
	return n
}

// SyscallConn returns the socket below, for options that this package does not have.
// The PacketConn does not get what its Read receives, notifications included.
func (c *PacketConn) SyscallConn() (syscall.RawConn, error) {
	if !c.ok() {
		return nil, syscall.EINVAL
	}
	err := checkCall(c.network, "PacketConn.SyscallConn")
	var raw syscall.RawConn
	if err == nil {
		raw, err = c.e.SyscallConn()
	}
	if err != nil {
		return nil, c.opError("syscall", nil, err)
	}
	return &rawConn{raw, func(op string, err error) error { return c.opError(op, nil, err) }}, nil
}

// File returns a copy of the underlying socket, as [Listener.File] does. Each message
// is read once, by one of the two.
func (c *PacketConn) File() (*os.File, error) {
	if !c.ok() {
		return nil, syscall.EINVAL
	}
	if err := checkCall(c.network, "PacketConn.File"); err != nil {
		return nil, c.opError("file", nil, err)
	}
	f, err := c.e.File()
	return f, c.opError("file", nil, err)
}
