package sctpnet

import (
	"context"
	"net"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// Listen announces on the local address. Networks and addresses are those of
// [Dial]; the listener is a [*Listener].
//
// If the host is empty or an unspecified address, as in ":3868" or
// "[::]:3868", Listen listens on all the host's addresses, of IPv4 too unless
// the network is "sctp6". If it is a list, as in "10.0.0.1/10.1.0.1:3868",
// the peer is told these addresses and may use any of them. Port 0 has the
// system choose a port, which [Listener.Addr] tells.
//
// As many associations can wait for Accept as the system allows when Listen is called:
// sysctl net.core.somaxconn on Linux, and elsewhere 4096. The dial of one more fails
// with ECONNREFUSED.
//
// Errors unwrap to the cause: EADDRINUSE, EACCES, a [*net.AddrError].
func Listen(network, address string) (net.Listener, error) {
	var lc ListenConfig
	return lc.Listen(context.Background(), network, address)
}

// ListenConfig holds options for listening. Its zero value is what [Listen]
// uses.
type ListenConfig struct {
	// Control, if not nil, is called with the socket before it is bound; over
	// UDP there may be several sockets. The network is "sctp4" or "sctp6", by the
	// socket's address family. The address is what it is to be bound to.
	Control func(network, address string, c syscall.RawConn) error

	// Config applies to the associations that are accepted, and of a [PacketConn]
	// to those that it makes too.
	Config Config

	// OnEvent, if not nil, receives what happens to the associations of a
	// [PacketConn] beside their messages, with the address of the peer, as ReadFrom
	// returns it: see [Event]. It is called in order with the messages, by
	// [PacketConn.ReadFrom], ReadMsg or Connect, and so only while one of
	// them runs. It must not call any of these itself. A Listener does not use it:
	// see Config.OnEvent, which is for a Conn, also for one of
	// [PacketConn.PeelOff]. After Close there are no more calls, but for one that is
	// under way.
	OnEvent func(c *PacketConn, peer *Addr, e Event)

	// AutoClose, if not zero, has a [PacketConn] shut down an association on which no
	// message has traveled for that time, 1 s to 24 h, rounded up to seconds
	// (SCTP_AUTOCLOSE, RFC 6458 section 8.1.8). It does not apply to an association
	// that was peeled off. A Listener does not use it.
	AutoClose time.Duration
}

// Listen announces on the local address as [Listen] does. The context is for
// the resolution of a host name, not for the listener.
func (lc *ListenConfig) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	name, e, err := lookupNetwork(network, "sctp")
	if err != nil {
		return nil, dialError("listen", network, nil, nil, err)
	}
	l, addr, err := lc.listen(ctx, e, name, address)
	if err != nil {
		return nil, dialError("listen", name, nil, addr, err)
	}
	return l, nil
}

func (lc *ListenConfig) listen(ctx context.Context, e engine.Engine, network, address string) (*Listener, *Addr, error) {
	s, asked, local, err := lc.socket(ctx, network, address)
	if err != nil {
		return nil, nil, err
	}
	l, err := e.Listen(ctx, s)
	if err != nil {
		return nil, local, err
	}
	return newListener(l, network, asked), local, nil
}

// socket returns the ListenConfig as the engine takes it, its Config with the defaults,
// and the address to listen at.
func (lc *ListenConfig) socket(ctx context.Context, network, address string) (*engine.Socket, *Config, *Addr, error) {
	options, asked, err := lc.Config.settle(network, true)
	if err != nil {
		return nil, nil, nil, err
	}
	local, err := resolveOne(ctx, network, address)
	if err != nil {
		return nil, nil, nil, contextError(err)
	}
	s := &engine.Socket{Network: family(network), Local: local.engine(), Options: options}
	if lc.Control != nil {
		s.Control = func(_ context.Context, network, address string, c syscall.RawConn) error {
			return lc.Control(network, address, c)
		}
	}
	return s, asked, local, nil
}

// Listener is a listening SCTP endpoint, a [net.Listener]. Multiple goroutines
// may invoke its methods simultaneously.
type Listener struct {
	e       engine.Listener
	network string
	addr    *Addr
	asked   *Config // as of a Conn
}

var _ net.Listener = (*Listener)(nil)

func newListener(e engine.Listener, network string, asked *Config) *Listener {
	return &Listener{e: e, network: network, addr: newAddr(e.Addr(), network), asked: asked}
}

func (l *Listener) ok() bool { return l != nil && l.e != nil }

func (l *Listener) opError(op string, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: l.network, Addr: l.addr, Err: err}
}

// Accept waits for the next association and returns it, a [*Conn]. It fails
// with [net.ErrClosed] once the listener is closed and with
// [os.ErrDeadlineExceeded] when the deadline passes. Running out of
// descriptors is a temporary error, after which Accept can be called again.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptConn is Accept for callers that want a *Conn.
func (l *Listener) AcceptConn() (*Conn, error) {
	if !l.ok() {
		return nil, syscall.EINVAL
	}
	c, err := l.e.Accept()
	if err != nil {
		return nil, l.opError("accept", err)
	}
	conn := newConn(c, l.network, true, l.asked)
	conn.startEvents()
	return conn, nil
}

// Close stops listening: a waiting Accept returns [net.ErrClosed], as does a
// second Close. Associations that were accepted live on; those that wait for
// Accept end.
func (l *Listener) Close() error {
	if !l.ok() {
		return syscall.EINVAL
	}
	return l.opError("close", l.e.Close())
}

// Addr returns the listener's address, an [*Addr] with the port that was
// bound. A Listener on any address has "[::]:port" or "0.0.0.0:port", which can
// be dialed on this host, and not the list of the host's addresses. The address
// stays the same after Close. The Addr is shared by all callers: do not modify it.
func (l *Listener) Addr() net.Addr {
	if !l.ok() {
		return nil
	}
	return l.addr
}

// SetDeadline sets the time after which Accept, also one that is waiting,
// fails with [os.ErrDeadlineExceeded]. The zero time means never.
func (l *Listener) SetDeadline(t time.Time) error {
	if !l.ok() {
		return syscall.EINVAL
	}
	return l.opError("set", l.e.SetDeadline(t))
}

// SyscallConn returns the socket below, for options that this package does not
// have. It has Control only: Read and Write return an error.
func (l *Listener) SyscallConn() (syscall.RawConn, error) {
	if !l.ok() {
		return nil, syscall.EINVAL
	}
	if err := checkCall(l.network, "Listener.SyscallConn"); err != nil {
		return nil, l.opError("syscall", err)
	}
	raw, err := l.e.SyscallConn()
	if err != nil {
		return nil, l.opError("syscall", err)
	}
	return &rawListener{rawConn{raw, l.opError}}, nil
}

// rawListener is a rawConn without Read and Write, as package net's.
type rawListener struct{ rawConn }

func (*rawListener) Read(func(fd uintptr) bool) error  { return syscall.EINVAL }
func (*rawListener) Write(func(fd uintptr) bool) error { return syscall.EINVAL }
