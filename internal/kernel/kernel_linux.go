// Package kernel is the engine over the Linux kernel's SCTP sockets, one-to-one
// and one-to-many, which wait on the Go runtime's network poller.
package kernel

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

func init() { engine.Register("", kernelEngine{}) }

// kernelEngine is the kernel's SCTP.
type kernelEngine struct{}

var (
	_ engine.Filer    = kernelEngine{}
	_ engine.Packeter = kernelEngine{}
)

// Available reports whether this kernel makes SCTP sockets.
func (kernelEngine) Available() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err == nil {
		return unix.Close(fd)
	}
	return socketError(err)
}

// socketError turns the failure of socket(2) into one that says what to do
// where the kernel has no SCTP.
func socketError(err error) error {
	serr := os.NewSyscallError("socket", err)
	switch err {
	case unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT, unix.EAFNOSUPPORT:
		return &noSCTPError{serr}
	}
	return serr
}

// noSCTPError says that a kernel has no SCTP.
type noSCTPError struct{ err error }

func (e *noSCTPError) Error() string {
	return "this kernel has no SCTP (" + e.err.Error() + "): load it with `modprobe sctp`, or use the network sctp+udp"
}

func (e *noSCTPError) Unwrap() []error { return []error{errors.ErrUnsupported, e.err} }

// Dial makes an association with remote.
//
// A handshake can fail for good: while the other end of an association that was
// over before it was accepted has not been closed, Linux answers an INIT from the
// same port with a cookie that the listener does not know as its own. It drops
// the COOKIE ECHO then, again and again. So Dial begins anew.
func (e kernelEngine) Dial(ctx context.Context, s *engine.Socket, remote *engine.Addr) (engine.Conn, error) {
	for _, patience := range cookiePatience {
		c, err := e.dial(ctx, s, remote, patience)
		if err != errCookieIgnored {
			return c, err
		}
	}
	return e.dial(ctx, s, remote, 0)
}

// cookiePatience is after which times an attempt to dial is given up that waits
// for an answer to a cookie. The first is 1.5 s after a COOKIE ECHO is sent again, by
// default, which is for the way there and back. Linux 7.2 never answers a COOKIE ECHO
// again once the association has been accepted: each lost COOKIE ACK costs such an
// attempt, and the peer sees an association that is aborted.
var cookiePatience = [...]time.Duration{2500 * time.Millisecond, 5 * time.Second, 8 * time.Second, 8 * time.Second, 8 * time.Second}

var errCookieIgnored = errors.New("the peer does not answer COOKIE ECHO")

func (kernelEngine) dial(ctx context.Context, s *engine.Socket, remote *engine.Addr, patience time.Duration) (engine.Conn, error) {
	family, v6only := dialFamily(s.Network, s.Local, remote)
	from := origin{options: s.Options, bound: s.Local, remote: remote, foreign: s.Control != nil}
	sk, err := newSocket(ctx, s, unix.SOCK_STREAM, family, v6only, remote)
	if err != nil {
		return nil, err
	}
	err = sk.bind(s.Local, family)
	if err == nil {
		from.status, err = sk.connect(ctx, s.Local, remote, patience)
	}
	var c *conn
	if err == nil {
		c, err = newConn(sk, from)
	}
	if err != nil {
		// An association that was just made, or is being made, goes too.
		sk.abort()
		return nil, err
	}
	return c, nil
}

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
			return os.NewSyscallError("listen", unix.Listen(fd, maxBacklog()))
		})
	}
	if err != nil {
		sk.close()
		return nil, err
	}
	return sk, nil
}

// dialFamily chooses the socket's address family. An IPv6 socket without IPv4
// addresses is for IPv6 only: it then advertises the family that was dialed,
// as an IPv4 socket does.
func dialFamily(network string, local, remote *engine.Addr) (family int, v6only bool) {
	has4 := hasFamily(remote, is4) || hasFamily(local, is4)
	has6 := hasFamily(remote, is6) || hasFamily(local, is6)
	if network == "sctp4" || network == "sctp" && !has6 {
		return unix.AF_INET, false
	}
	return unix.AF_INET6, !has4
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
	if err := setStruct(fd, optReconfigSupported, assocValue{Value: 1}); err != nil {
		return ifKnown(err)
	}
	enabled := uint32(enableResets)
	if peerAdds {
		enabled |= enableAddStreams
	}
	if err := setStruct(fd, optEnableStreamReset, assocValue{Value: enabled}); err != nil {
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
		return os.NewSyscallError("bind", unix.SetsockoptString(fd, sctp.SOL_SCTP, sctp.SCTP_SOCKOPT_BINDX_ADD, string(list)))
	})
}

var aLongTimeAgo = time.Unix(1, 0)

// connect waits for the handshake with remote from a socket bound to local, or
// for the end of ctx. It returns the status of the association, nil if that has ended again. If the
// patience for a cookie is not zero and ends, the error is errCookieIgnored.
func (sk *socket) connect(ctx context.Context, local, remote *engine.Addr, patience time.Duration) (st *sctp.Status, err error) {
	list, err := appendSockaddrs(nil, remote)
	if err != nil {
		return nil, err
	}
	err = sk.control(func(fd int) error {
		err := unix.SetsockoptString(fd, sctp.SOL_SCTP, sctp.SCTP_SOCKOPT_CONNECTX, string(list))
		if err == nil || err == unix.EINPROGRESS {
			// Within a host the handshake may be over by now: no wait, no timers.
			if s, serr := assocStatus(fd); serr == nil && s.State >= stateEstablished {
				st = &s
			}
		}
		return err
	})
	switch {
	case st != nil && ctx.Err() == nil:
		return st, nil
	case err == unix.EAGAIN:
		err = unix.EADDRNOTAVAIL // there is no local port left
	case err == unix.EINVAL && slices.ContainsFunc(remote.IPAddrs, isNotUnicast):
		err = unix.ENETUNREACH // as TCP says
	}
	if err != nil && err != unix.EINPROGRESS {
		return nil, os.NewSyscallError("connect", err)
	}

	// The end of ctx is a write deadline in the past, which ends the wait.
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		sk.file.SetWriteDeadline(aLongTimeAgo)
		close(interrupted)
	})
	hasRoute := false
	wait := func() error {
		return sk.raw.Write(func(fd uintptr) bool {
			var done bool
			if done, st, err = connected(int(fd)); !done && !hasRoute {
				err = routeError(int(fd), local, remote)
				hasRoute = err == nil
				done = !hasRoute
			}
			return done
		})
	}
	var werr error
	if patience == 0 {
		werr = wait()
	} else {
		werr = sk.waitPatiently(ctx, wait, patience)
	}
	if !stop() {
		<-interrupted
		return nil, ctx.Err()
	}
	if werr != nil {
		return nil, werr
	}
	return st, os.NewSyscallError("connect", err)
}

// waitPatiently interrupts wait now and then, to see whether the handshake has
// got stuck with a cookie.
func (sk *socket) waitPatiently(ctx context.Context, wait func() error, patience time.Duration) error {
	for {
		over := make(chan struct{})
		timer := time.AfterFunc(patience, func() {
			sk.file.SetWriteDeadline(aLongTimeAgo)
			close(over)
		})
		err := wait()
		if timer.Stop() {
			return err
		}
		<-over
		switch {
		case ctx.Err() != nil:
			return err
		case err == nil:
			sk.file.SetWriteDeadline(time.Time{})
			return nil
		case sk.isCookieEchoed():
			return errCookieIgnored
		}
		sk.file.SetWriteDeadline(time.Time{})
		if ctx.Err() != nil { // which may have set it just before
			return err
		}
	}
}

// isCookieEchoed reports whether a handshake waits for the answer to a cookie. No
// socket option tells of an association before it is established, but the list of
// all does, which many dials to silent peers may want at the same time.
func (sk *socket) isCookieEchoed() bool {
	var st unix.Stat_t
	if sk.control(func(fd int) error { return unix.Fstat(fd, &st) }) != nil {
		return false
	}
	e := &cookieEchoed
	e.Lock()
	defer e.Unlock()
	if now := time.Now(); now.Sub(e.at) > cookieListLife {
		e.at, e.inodes = now, listCookieEchoed()
	}
	return e.inodes[strconv.FormatUint(st.Ino, 10)]
}

// cookieEchoed is what listCookieEchoed returned last, and when that was.
var cookieEchoed struct {
	sync.Mutex
	at     time.Time
	inodes map[string]bool
}

const cookieListLife = 50 * time.Millisecond

// listCookieEchoed returns the inodes of the sockets that wait for the answer to
// a cookie.
func listCookieEchoed() map[string]bool {
	list, err := os.ReadFile("/proc/thread-self/net/sctp/assocs")
	if err != nil {
		return nil
	}
	inodes := make(map[string]bool)
	for line := range bytes.Lines(list) {
		const stateColumn, inodeColumn, echoed = 4, 10, "2"
		if f := bytes.Fields(line); len(f) > inodeColumn && string(f[stateColumn]) == echoed {
			inodes[string(f[inodeColumn])] = true
		}
	}
	return inodes
}

// stateEstablished is SCTP_ESTABLISHED of enum sctp_sstat_state.
const stateEstablished = 4

// connected reports whether a handshake is over, and how it ended: with the
// status of the association, if there still is one.
func connected(fd int) (bool, *sctp.Status, error) {
	if st, err := assocStatus(fd); err == nil {
		return st.State >= stateEstablished, &st, nil
	}
	done, err := failed(fd)
	return done, nil, err
}

// failed reports whether there was a handshake, and why it failed, if it did.
func failed(fd int) (bool, error) {
	soerr, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return true, err
	}
	if soerr != 0 {
		return true, unix.Errno(soerr)
	}
	if _, err := syscall.Getpeername(fd); err == unix.ENOTCONN {
		return false, nil
	} else if err != nil {
		return true, err
	}
	return true, nil
}
