package kernel

import (
	"encoding/binary"
	"net"
	"slices"
	"strconv"
	"syscall"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

func is4(ip net.IP) bool { return ip.To4() != nil }
func is6(ip net.IP) bool { return ip.To4() == nil && ip.To16() != nil }

func isNotUnicast(ip net.IPAddr) bool { return ip.IP.IsMulticast() || ip.IP.Equal(net.IPv4bcast) }

func hasFamily(a *engine.Addr, is func(net.IP) bool) bool {
	if a != nil {
		for _, ip := range a.IPAddrs {
			if is(ip.IP) {
				return true
			}
		}
	}
	return false
}

// isWildcard reports whether a means any address.
func isWildcard(a *engine.Addr) bool {
	return a == nil || engine.IsWildcard(a.IPAddrs)
}

// appendSockaddrs appends the packed list of sockaddr_in and sockaddr_in6 that
// the kernel's calls for several addresses take.
func appendSockaddrs(b []byte, a *engine.Addr) ([]byte, error) {
	for _, ip := range a.IPAddrs {
		if ip4 := ip.IP.To4(); ip4 != nil {
			b = binary.NativeEndian.AppendUint16(b, unix.AF_INET)
			b = binary.BigEndian.AppendUint16(b, uint16(a.Port))
			b = append(b, ip4...)
			b = append(b, make([]byte, 8)...)
			continue
		}
		ip16 := ip.IP.To16()
		if ip16 == nil {
			return nil, &net.AddrError{Err: "invalid IP address", Addr: ip.String()}
		}
		zone, err := zoneIndex(ip.Zone)
		if err != nil {
			return nil, &net.AddrError{Err: "unknown zone", Addr: ip.String()}
		}
		b = binary.NativeEndian.AppendUint16(b, unix.AF_INET6)
		b = binary.BigEndian.AppendUint16(b, uint16(a.Port))
		b = append(b, 0, 0, 0, 0) // flow label
		b = append(b, ip16...)
		b = binary.NativeEndian.AppendUint32(b, zone)
	}
	return b, nil
}

func zoneIndex(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index), nil
	}
	n, err := strconv.ParseUint(zone, 10, 32)
	return uint32(n), err
}

// zoneName names the zone of an address that has one: the kernel gives an
// interface for others too, such as ::1.
func zoneName(ip net.IP, index uint32) string {
	if index == 0 || !ip.IsLinkLocalUnicast() && !ip.IsLinkLocalMulticast() {
		return ""
	}
	if ifi, err := net.InterfaceByIndex(int(index)); err == nil {
		return ifi.Name
	}
	return strconv.FormatUint(uint64(index), 10)
}

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
		addrs, err := ifi.Addrs()
		if err == nil && slices.ContainsFunc(addrs, func(a net.Addr) bool {
			n, ok := a.(*net.IPNet)
			return ok && n.IP.Equal(ip)
		}) {
			return ifi.Name
		}
	}
	return ""
}

// parseSockaddr reads one sockaddr_in or sockaddr_in6 and returns the bytes
// that it took, or 0 if b does not begin with one. An IPv4 address that came
// mapped into IPv6 is given as IPv4.
func parseSockaddr(b []byte) (ip net.IPAddr, port, n int) {
	if len(b) < unix.SizeofSockaddrInet4 {
		return ip, 0, 0
	}
	port = int(binary.BigEndian.Uint16(b[2:]))
	switch binary.NativeEndian.Uint16(b) {
	case unix.AF_INET:
		ip.IP = net.IPv4(b[4], b[5], b[6], b[7]).To4()
		return ip, port, unix.SizeofSockaddrInet4
	case unix.AF_INET6:
		if len(b) < unix.SizeofSockaddrInet6 {
			break
		}
		ip.IP = append(net.IP(nil), b[8:24]...)
		if ip4 := ip.IP.To4(); ip4 != nil {
			ip.IP = ip4
		}
		ip.Zone = zoneName(ip.IP, binary.NativeEndian.Uint32(b[24:]))
		return ip, port, unix.SizeofSockaddrInet6
	}
	return ip, 0, 0
}

// addrList asks for SCTP_GET_LOCAL_ADDRS of a socket or SCTP_GET_PEER_ADDRS.
func addrList(fd, opt int) (*engine.Addr, error) { return addrsOf(fd, opt, 0) }

// addrsOf asks for the same of an association, 0 for the socket.
func addrsOf(fd, opt int, assoc uint32) (*engine.Addr, error) {
	// struct sctp_getaddrs: the association, the count, then the addresses.
	buf := make([]byte, 8+64*unix.SizeofSockaddrInet6)
	for {
		binary.NativeEndian.PutUint32(buf, assoc)
		_, err := getsockopt(fd, opt, buf)
		if err == unix.ENOMEM && len(buf) < 1<<20 {
			buf = make([]byte, 4*len(buf)) // the list did not fit
			continue
		}
		if err != nil {
			return nil, err
		}
		a := &engine.Addr{}
		// The length that it returns is without the first 8 bytes for one
		// of the options and with them for the other, so go by the count.
		rest := buf[8:]
		for range binary.NativeEndian.Uint32(buf[4:]) {
			ip, port, n := parseSockaddr(rest)
			if n == 0 {
				break
			}
			a.IPAddrs, a.Port, rest = append(a.IPAddrs, ip), port, rest[n:]
		}
		return a, nil
	}
}

// fromSockaddr converts what getsockname, getpeername and accept4 give. They are
// package syscall's, because those of unix ask for the socket's protocol too.
func fromSockaddr(sa syscall.Sockaddr) *engine.Addr {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return &engine.Addr{IPAddrs: []net.IPAddr{{IP: net.IP(sa.Addr[:]).To4()}}, Port: sa.Port}
	case *syscall.SockaddrInet6:
		ip := net.IPAddr{IP: net.IP(sa.Addr[:]), Zone: zoneName(sa.Addr[:], sa.ZoneId)}
		if ip4 := ip.IP.To4(); ip4 != nil {
			ip.IP = ip4
		}
		return &engine.Addr{IPAddrs: []net.IPAddr{ip}, Port: sa.Port}
	}
	return &engine.Addr{}
}
