package kernel

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// File returns a duplicate of the descriptor.
func (sk *socket) File() (*os.File, error) {
	var f *os.File
	err := sk.control(func(fd int) error {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("fcntl", err)
		}
		f = os.NewFile(uintptr(dup), "sctp")
		return nil
	})
	return f, err
}

// File returns a duplicate of the descriptor, by which somebody else may shut
// the association down.
func (c *conn) File() (*os.File, error) {
	c.shared.Store(true)
	c.shareReading()
	f, err := c.socket.File()
	return f, c.overError(err)
}

// FileConn returns the association of a file's socket, which it duplicates.
func (kernelEngine) FileConn(f *os.File) (engine.Conn, error) {
	sk, err := fileSocket(f, false)
	if err != nil {
		return nil, err
	}
	var bound, name *engine.Addr
	err = sk.control(func(fd int) error {
		sa, err := syscall.Getpeername(fd)
		if err != nil {
			return os.NewSyscallError("getpeername", err)
		}
		name = fromSockaddr(sa)
		// Whether it was bound cannot be told; of one that has ended neither
		// can this.
		bound, _ = localAddrs(fd)
		return setAlways(fd, false) // the socket may be another program's
	})
	var c *conn
	if err == nil {
		c, err = newConn(sk, origin{bound: bound, foreign: true})
	}
	if err != nil {
		sk.close()
		return nil, err
	}
	c.shared.Store(true)
	if c.remote == nil {
		c.remote = name // it has ended, and there may be something to read
	}
	return c, nil
}

// FileListener returns the listening endpoint of a file's socket, which it
// duplicates. Of the options only those count that are not the socket's.
func (kernelEngine) FileListener(f *os.File, o engine.Options) (engine.Listener, error) {
	sk, err := fileSocket(f, true)
	if err != nil {
		return nil, err
	}
	var bound *engine.Addr
	err = sk.control(func(fd int) (err error) {
		if bound, err = endpointAddrs(fd); err != nil {
			return err
		}
		if err := optAdaptation.get(fd, &o.Adaptation); err != nil {
			return err
		}
		return setAlways(fd, false)
	})
	var l *listener
	if err == nil {
		l, err = newListener(sk, origin{options: o, bound: bound, foreign: true})
	}
	if err != nil {
		sk.close()
		return nil, err
	}
	if isWildcard(bound) {
		l.addr = bound // the name of the socket can be another one by now
	}
	return l, nil
}

// endpointAddrs returns what a listening socket is bound to.
func endpointAddrs(fd int) (*engine.Addr, error) {
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	name := fromSockaddr(sa)
	if isWildcard(name) {
		return name, nil
	}
	// A socket bound to any address still has the name of an association
	// that was made last, and the list of the host's addresses. Only this
	// table tells.
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	table, err := os.ReadFile("/proc/thread-self/net/sctp/eps")
	if err != nil {
		return name, nil // no /proc, and one address is as good as any
	}
	const inode, addrs = 7, 8
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) <= addrs || f[inode] != strconv.FormatUint(st.Ino, 10) {
			continue
		}
		for _, a := range f[addrs:] {
			if ip, err := netip.ParseAddr(a); err == nil && ip.IsUnspecified() {
				return &engine.Addr{IPAddrs: one(net.IPAddr{IP: ip.AsSlice()}), Port: name.Port}, nil
			}
		}
	}
	all, err := addrList(fd, sctp.SCTP_GET_LOCAL_ADDRS)
	return all, os.NewSyscallError("getsockopt", err)
}

// fileSocket duplicates a file's socket, if it is one-to-one and listens or else
// has an association.
func fileSocket(f *os.File, listening bool) (*socket, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	cerr := raw.Control(func(ffd uintptr) {
		if err = checkSocket(int(ffd), listening); err == nil {
			fd, err = unix.FcntlInt(ffd, unix.F_DUPFD_CLOEXEC, 0)
			err = os.NewSyscallError("fcntl", err)
		}
	})
	if cerr != nil {
		err = os.NewSyscallError("fcntl", unix.EBADF) // the file is closed
	}
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return adopt(fd)
}

// checkSocket returns an error unless a descriptor is a one-to-one SCTP socket
// that listens or else has an association.
func checkSocket(fd int, listening bool) error {
	var v [4]int
	for i, opt := range []int{unix.SO_DOMAIN, unix.SO_TYPE, unix.SO_PROTOCOL, unix.SO_ACCEPTCONN} {
		var err error
		if v[i], err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, opt); err == unix.ENOTSOCK {
			return fmt.Errorf("not a socket: %w", err)
		} else if err != nil {
			return os.NewSyscallError("getsockopt", err)
		}
	}
	domain, typ, protocol, accepts := v[0], v[1], v[2], v[3] != 0
	var what string
	switch {
	case domain != unix.AF_INET && domain != unix.AF_INET6 || protocol != unix.IPPROTO_SCTP:
		what = "not an SCTP socket"
	case typ != unix.SOCK_STREAM:
		what = "a one-to-many SCTP socket, not a one-to-one socket"
	case accepts && !listening:
		what = "a listening socket, not an association"
	case !accepts && listening:
		what = "not a listening socket"
	case listening:
		return nil
	default:
		// Of an association that has ended there is a name, too.
		if _, err := syscall.Getpeername(fd); err != nil {
			return fmt.Errorf("the socket has no association: %w", os.NewSyscallError("getpeername", err))
		}
		return nil
	}
	return fmt.Errorf("%s: %w", what, unix.EPROTOTYPE)
}
