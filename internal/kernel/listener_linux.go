package kernel

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// A listener is a listening socket.
type listener struct {
	*socket
	addr *engine.Addr
	from origin // of what it accepts

	adaptation atomic.Uint32 // in place of the origin's
	informs    bool          // messages come with their info

	mu       sync.Mutex
	by       time.Time // the deadline for reading
	newborn  []*conn   // new lives of accepted associations, for Accept
	isClosed bool
}

func newListener(sk *socket, from origin) (*listener, error) {
	l := &listener{socket: sk, from: from}
	l.adaptation.Store(from.options.Adaptation)
	err := l.control(func(fd int) (err error) {
		// What is received behind a restart must be known with its info.
		l.informs = setInt(fd, sctp.SOL_SCTP, optRecvRcvInfo, 1) == nil
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
