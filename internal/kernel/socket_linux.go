package kernel

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// A socket is a descriptor on the runtime's poller. The os.File owns it; all
// use goes through the RawConn, which waits, and keeps it open meanwhile.
type socket struct {
	file   *os.File
	raw    syscall.RawConn
	closed atomic.Bool
	over   chan struct{} // closed by close
}

func newSocket(ctx context.Context, s *engine.Socket, typ, family int, v6only bool, addr *engine.Addr) (*socket, error) {
	fd, err := unix.Socket(family, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return nil, socketError(err)
	}
	sk, err := adopt(fd)
	if err != nil {
		return nil, err
	}
	err = sk.control(func(fd int) error {
		if family == unix.AF_INET6 {
			if err := setInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, boolInt(v6only)); err != nil {
				return err
			}
		}
		if err := setAlways(fd, s.Options.PeerAdds); err != nil {
			return err
		}
		return setOptions(fd, &s.Options)
	})
	if err == nil && s.Control != nil {
		network := "sctp4"
		if family == unix.AF_INET6 {
			network = "sctp6"
		}
		if addr == nil {
			addr = &engine.Addr{}
		}
		err = s.Control(ctx, network, addr.String(), sk.raw)
	}
	if err != nil {
		sk.close()
		return nil, err
	}
	return sk, nil
}

// adopt gives a non-blocking descriptor to the poller.
func adopt(fd int) (*socket, error) {
	file := os.NewFile(uintptr(fd), "sctp")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	// Without the poller nothing could wait; os.NewFile does not say.
	if err := file.SetDeadline(time.Time{}); err != nil {
		file.Close()
		return nil, err
	}
	return &socket{file: file, raw: raw, over: make(chan struct{})}, nil
}

// setAlways sets what an accepted socket inherits and any needs: the event of a
// restart, and what streams need, which both sides must offer in the handshake.
func setAlways(fd int, peerAdds bool) error {
	if err := ifKnown(setEvent(fd, eventAssocChange)); err != nil { // it tells of a restart
		return err
	}
	// Kernels before 5.0 lack one or the other of these, and do without.
	if err := optReconfig.setValue(fd, 1); err != nil {
		return ifKnown(err)
	}
	enabled := uint32(enableResets)
	if peerAdds {
		enabled |= enableAddStreams
	}
	if err := optEnableReset.setValue(fd, enabled); err != nil {
		return ifKnown(err)
	}
	return ifKnown(setEvent(fd, eventStreamReset))
}

// ifKnown returns err, unless that says that the kernel lacks the option.
func ifKnown(err error) error {
	if errors.Is(err, unix.ENOPROTOOPT) {
		return nil
	}
	return err
}

// control runs f on the descriptor. The error is f's, or net.ErrClosed.
func (sk *socket) control(f func(fd int) error) error {
	var err error
	if cerr := sk.raw.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return net.ErrClosed
	}
	return err
}

func (sk *socket) close() error {
	first := sk.closed.CompareAndSwap(false, true)
	if first {
		close(sk.over)
	}
	sk.file.Close()
	if !first {
		return net.ErrClosed
	}
	return nil
}

// abort closes the socket with the rest dropped and the peer told.
func (sk *socket) abort() error {
	sk.control(func(fd int) error { return setLinger(fd, 0) })
	return sk.close()
}

// bind binds all addresses of local at one port; of an Addr without addresses,
// the family's wildcard.
func (sk *socket) bind(local *engine.Addr, family int) error {
	if local == nil {
		return nil
	}
	if isWildcard(local) {
		ip := net.IPv4zero
		if family == unix.AF_INET6 {
			ip = net.IPv6unspecified
		}
		local = &engine.Addr{IPAddrs: []net.IPAddr{{IP: ip}}, Port: local.Port}
	}
	list, err := appendSockaddrs(nil, local)
	if err != nil {
		return err
	}
	return sk.control(func(fd int) error {
		return os.NewSyscallError("bind", setsockopt(fd, sctp.SOL_SCTP, sctp.SCTP_SOCKOPT_BINDX_ADD, list))
	})
}

func (sk *socket) SetDeadline(t time.Time) error     { return setDeadline(sk.file.SetDeadline, t) }
func (sk *socket) SetReadDeadline(t time.Time) error { return setDeadline(sk.file.SetReadDeadline, t) }
func (sk *socket) SetWriteDeadline(t time.Time) error {
	return setDeadline(sk.file.SetWriteDeadline, t)
}

func setDeadline(set func(time.Time) error, t time.Time) error {
	if set(t) != nil {
		return net.ErrClosed // there is no other reason
	}
	return nil
}

func waitError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return net.ErrClosed
}
