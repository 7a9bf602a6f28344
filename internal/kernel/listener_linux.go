package kernel

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/fifo"
	"golang.org/x/sys/unix"
)

// Listen makes a listening endpoint.
func (kernelEngine) Listen(ctx context.Context, s *engine.Socket) (engine.Listener, error) {
	sk, local, err := listen(ctx, s, unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	l, err := newListener(sk, origin{options: s.Options, bound: local, foreign: s.Control != nil})
	if err != nil {
		sk.close()
		return nil, err
	}
	return l, nil
}

// listen makes a socket of a type that listens, and returns what it is bound to.
func listen(ctx context.Context, s *engine.Socket, typ int) (*socket, *engine.Addr, error) {
	local := s.Local
	if local == nil {
		local = &engine.Addr{}
	}
	family, v6only, fallback := listenFamily(s.Network, s.Local)
	sk, err := listenOn(ctx, s, typ, local, family, v6only)
	if err != nil && fallback && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)) {
		// "Any address" on a system without IPv6 is any IPv4 address.
		sk, err = listenOn(ctx, s, typ, local, unix.AF_INET, false)
	}
	return sk, local, err
}

func listenOn(ctx context.Context, s *engine.Socket, typ int, local *engine.Addr, family int, v6only bool) (*socket, error) {
	sk, err := newSocket(ctx, s, typ, family, v6only, s.Local)
	if err != nil {
		return nil, err
	}
	err = sk.control(func(fd int) error {
		// As package net: a port can be listened on again while associations
		// of an earlier listener live. Two listeners still exclude each other.
		return setInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	})
	if err == nil {
		err = sk.bind(local, family)
	}
	if err == nil {
		err = sk.control(func(fd int) error {
			return os.NewSyscallError("listen", unix.Listen(fd, engine.Backlog()))
		})
	}
	if err != nil {
		sk.close()
		return nil, err
	}
	return sk, nil
}

// listenFamily is the same for listening, where no address or a wildcard on
// the network "sctp" means both families, as it does for TCP in package net.
// fallback says that IPv4 alone will do.
func listenFamily(network string, local *engine.Addr) (family int, v6only, fallback bool) {
	switch {
	case network == "sctp4":
		return unix.AF_INET, false, false
	case network == "sctp6":
		return unix.AF_INET6, true, false
	case isWildcard(local):
		return unix.AF_INET6, false, true
	case !hasFamily(local, is6):
		return unix.AF_INET, false, false
	}
	return unix.AF_INET6, !hasFamily(local, is4), false
}

// A listener is a listening socket.
type listener struct {
	*socket
	addr *engine.Addr
	from origin // of what it accepts

	adaptation atomic.Uint32 // in place of the origin's
	informs    bool          // messages come with their info

	mu       sync.Mutex
	by       time.Time         // the deadline for reading
	newborn  fifo.Queue[*conn] // new lives of accepted associations, for Accept
	isClosed bool
}

func newListener(sk *socket, from origin) (*listener, error) {
	l := &listener{socket: sk, from: from}
	l.adaptation.Store(from.options.Adaptation)
	err := l.control(func(fd int) (err error) {
		// What is received behind a restart must be known with its info.
		l.informs = optRecvRcvInfo.setInt(fd, 1) == nil
		l.addr, err = localAddr(fd, from.bound, nil)
		return err
	})
	if err == nil && !isWildcard(from.bound) {
		l.from.bound = l.addr // with the port that the system chose
	}
	return l, err
}

func (l *listener) Addr() *engine.Addr { return l.addr }

func (l *listener) Adaptation() uint32 { return l.adaptation.Load() }

// SetAdaptation sets what INIT ACKs say from now on. The event comes first, so
// that no peer is told and then not listened to.
func (l *listener) SetAdaptation(v uint32) error {
	err := l.control(func(fd int) error {
		if err := setEvent(fd, eventAdaptation); err != nil {
			return err
		}
		return optAdaptation.set(fd, v)
	})
	if err == nil {
		l.adaptation.Store(v)
	}
	return err
}

func (l *listener) Accept() (engine.Conn, error) {
	for {
		if c := l.nextBorn(); c != nil {
			return c, nil
		}
		var (
			fd  int
			sa  syscall.Sockaddr
			err error
		)
		werr := l.raw.Read(func(lfd uintptr) bool {
			fd, sa, err = syscall.Accept4(int(lfd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			return err != unix.EAGAIN
		})
		switch {
		case l.isWoken(werr):
			continue
		case werr != nil:
			return nil, waitError(werr)
		case err == unix.EINTR, err == unix.ECONNABORTED:
			continue // that one is gone; there may be another
		case err != nil:
			return nil, os.NewSyscallError("accept4", err)
		}
		sk, err := adopt(fd)
		if err != nil {
			return nil, err
		}
		from := l.from
		from.parent = l
		from.options.Adaptation = l.adaptation.Load()
		c, err := newConn(sk, from)
		if err != nil {
			sk.abort()
			return nil, err
		}
		if c.remote == nil {
			c.remote = fromSockaddr(sa) // the kernel has forgotten its list
		}
		return c, nil
	}
}
