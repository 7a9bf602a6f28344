package kernel

import (
	"net"
	"slices"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// SCTP's connect does not report that there is no route: INIT goes nowhere until
// the last attempt has failed. A UDP socket's connect looks for the same route,
// sends nothing and reports at once, with the errors of TCP.

// routeError returns why no address of remote can be reached from a socket, or
// nil if one of them can or that cannot be told.
func routeError(fd int, local, remote *engine.Addr) error {
	var first error
	for _, ip := range remote.IPAddrs {
		err := noRoute(fd, local, ip, remote.Port)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// noRoute is routeError of one address. The kernel takes the source that the
// route has if it is one of the socket's, and otherwise tries each of those.
func noRoute(fd int, local *engine.Addr, ip net.IPAddr, port int) error {
	source, err := tryRoute(fd, nil, ip, port)
	if isWildcard(local) {
		return err
	}
	if err == nil && slices.ContainsFunc(local.IPAddrs, func(l net.IPAddr) bool { return l.IP.Equal(source) }) {
		return nil
	}
	for i, l := range local.IPAddrs {
		if is4(l.IP) != is4(ip.IP) {
			continue
		}
		if _, err = tryRoute(fd, &local.IPAddrs[i], ip, port); err == nil {
			return nil
		}
	}
	return err
}

// tryRoute connects a UDP socket that resembles the socket of fd, and returns the
// source address. It returns an error only if that is the route's.
func tryRoute(fd int, from *net.IPAddr, to net.IPAddr, port int) (net.IP, error) {
	family := unix.AF_INET
	if is6(to.IP) {
		family = unix.AF_INET6
	}
	udp, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil
	}
	defer unix.Close(udp)
	if !resemble(udp, fd, family) {
		return nil, nil
	}
	if from != nil {
		if sa, err := sockaddr(*from, 0); err != nil || unix.Bind(udp, sa) != nil {
			return nil, nil
		}
	}
	sa, err := sockaddr(to, port)
	if err != nil {
		return nil, nil
	}
	err = unix.Connect(udp, sa)
	if err == unix.EACCES && unix.SetsockoptInt(udp, unix.SOL_SOCKET, unix.SO_BROADCAST, 1) == nil && unix.Connect(udp, sa) == nil {
		return nil, unix.ENETUNREACH // as TCP says of a broadcast address
	}
	switch err {
	case nil:
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EADDRNOTAVAIL, unix.EACCES, unix.EINVAL:
		return nil, err
	default:
		return nil, nil
	}
	switch sa, _ := unix.Getsockname(udp); sa := sa.(type) {
	case *unix.SockaddrInet4:
		return sa.Addr[:], nil
	case *unix.SockaddrInet6:
		return sa.Addr[:], nil
	}
	return nil, nil
}

// resemble binds a UDP socket to the device of a socket. It reports whether the
// routes of both are then the same, as far as that can be told.
func resemble(udp, fd, family int) bool {
	device, err := unix.GetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE)
	if err == nil && device != "" && unix.SetsockoptString(udp, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, device) != nil {
		return false
	}
	level, tos := unix.IPPROTO_IP, unix.IP_TOS
	if family == unix.AF_INET6 {
		level, tos = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	// Where rules look at these, the routes of UDP and SCTP can differ.
	const ecn = 3 // bits of the TOS, which the kernel itself sets
	for _, o := range []struct{ level, name, ignore int }{
		{unix.SOL_SOCKET, unix.SO_MARK, 0},
		{unix.SOL_SOCKET, unix.SO_DONTROUTE, 0},
		{level, tos, ecn},
	} {
		if v, err := unix.GetsockoptInt(fd, o.level, o.name); err == nil && v&^o.ignore != 0 {
			return false
		}
	}
	return true
}
