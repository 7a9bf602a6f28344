package kernel

import (
	"context"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

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
	return sk.handOver(from, err)
}

// handOver makes the conn of an association, unless err says why there is none. What
// was just made, or is being made, is aborted where there is no conn.
func (sk *socket) handOver(from origin, err error) (engine.Conn, error) {
	if err == nil {
		var c *conn
		if c, err = newConn(sk, from); err == nil {
			return c, nil
		}
	}
	sk.abort()
	return nil, err
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

var aLongTimeAgo = time.Unix(1, 0)

// interrupt sets a deadline in the past when ctx ends, which ends a wait. The function
// that it returns is called after the wait, and reports whether the deadline was set.
func interrupt(ctx context.Context, setDeadline func(time.Time) error) (interrupted func() bool) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		setDeadline(aLongTimeAgo)
		close(done)
	})
	return func() bool {
		if stop() {
			return false
		}
		<-done
		return true
	}
}

// connect waits for the handshake with remote from a socket bound to local, or
// for the end of ctx. It returns the status of the association, nil if that has ended again. If the
// patience for a cookie is not zero and ends, the error is errCookieIgnored.
func (sk *socket) connect(ctx context.Context, local, remote *engine.Addr, patience time.Duration) (st *sctp.Status, err error) {
	list, err := appendSockaddrs(nil, remote)
	if err != nil {
		return nil, err
	}
	err = sk.control(func(fd int) error {
		err := setsockopt(fd, sctp.SOL_SCTP, sctp.SCTP_SOCKOPT_CONNECTX, list)
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

	interrupted := interrupt(ctx, sk.file.SetWriteDeadline)
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
	if interrupted() {
		return nil, ctx.Err()
	}
	if werr != nil {
		return nil, werr
	}
	return st, os.NewSyscallError("connect", err)
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
