package kernel

import (
	"net"
	"os"
	"slices"
	"syscall"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// localAddr is the socket's own address: what it was bound to, or where that
// is nothing in particular, one address of the host.
func localAddr(fd int, bound, remote *engine.Addr) (*engine.Addr, error) {
	a, err := anyLocalAddr(fd, bound, remote)
	if err != nil || !slices.ContainsFunc(a.IPAddrs, lacksZone) {
		return a, err
	}
	zoned := &engine.Addr{Port: a.Port}
	for _, ip := range a.IPAddrs {
		if lacksZone(ip) {
			ip.Zone = localZone(ip.IP, remote)
		}
		zoned.IPAddrs = append(zoned.IPAddrs, ip)
	}
	return zoned, nil
}

// anyLocalAddr is localAddr with zones missing that the kernel does not give.
func anyLocalAddr(fd int, bound, remote *engine.Addr) (*engine.Addr, error) {
	if bound != nil && bound.Port != 0 && !isWildcard(bound) {
		return bound, nil
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	name := fromSockaddr(sa)
	if !isWildcard(bound) {
		return &engine.Addr{IPAddrs: bound.IPAddrs, Port: name.Port}, nil
	}
	if remote == nil || !isWildcard(name) {
		return name, nil
	}
	if ip := remote.IPAddrs[0]; len(remote.IPAddrs) == 1 && (ip.IP.Equal(localhost4) || ip.IP.Equal(net.IPv6loopback)) {
		return &engine.Addr{IPAddrs: one(ip), Port: name.Port}, nil // it is reached from itself
	}
	all, err := addrList(fd, sctp.SCTP_GET_LOCAL_ADDRS)
	if err != nil || len(all.IPAddrs) == 0 {
		return name, nil
	}
	// The kernel does not say which of them it sends from: prefer one that
	// has the peer's family and is of the loopback only if the peer is.
	peer := remote.IPAddrs[0].IP
	best, score := all.IPAddrs[0], -1
	for _, ip := range all.IPAddrs {
		s := boolInt(ip.IP.IsLoopback() == peer.IsLoopback()) + 2*boolInt(is4(ip.IP) == is4(peer)) + 4*boolInt(ip.IP.Equal(peer))
		if s > score {
			best, score = ip, s
		}
	}
	return &engine.Addr{IPAddrs: []net.IPAddr{best}, Port: name.Port}, nil
}

var localhost4 = net.IPv4(127, 0, 0, 1)

func lacksZone(ip net.IPAddr) bool { return ip.Zone == "" && ip.IP.IsLinkLocalUnicast() && is6(ip.IP) }

// localZone returns the zone of a link-local address of this host: the peer's if
// that has one, as both are on one link, and otherwise that of the interface
// that has the address.
func localZone(ip net.IP, peer *engine.Addr) string {
	if peer != nil {
		for _, p := range peer.IPAddrs {
			if p.Zone != "" {
				return p.Zone
			}
		}
	}
	list, err := net.Interfaces()
	if err != nil {
		return ""
	}
	for _, ifi := range list {
		if addrs, err := ifi.Addrs(); err == nil && hasIP(addrs, ip) {
			return ifi.Name
		}
	}
	return ""
}
