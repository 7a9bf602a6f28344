package kernel

import (
	"os"
	"syscall"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// A listener is a listening socket.
type listener struct {
	*socket
	addr *engine.Addr
	from origin // of what it accepts
}

func newListener(sk *socket, from origin) (*listener, error) {
	l := &listener{socket: sk, from: from}
	err := l.control(func(fd int) (err error) {
		l.addr, err = localAddr(fd, from.bound, nil)
		return err
	})
	if err == nil && !isWildcard(from.bound) {
		l.from.bound = l.addr // with the port that the system chose
	}
	return l, err
}

func (l *listener) Addr() *engine.Addr { return l.addr }
func (l *listener) Close() error       { return l.close() }

func (l *listener) Accept() (engine.Conn, error) {
	for {
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
		c, err := newConn(sk, l.from)
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
