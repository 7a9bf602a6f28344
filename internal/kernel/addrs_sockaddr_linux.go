package kernel

import (
	"encoding/binary"
	"net"
	"net/netip"
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

func one(ip net.IPAddr) []net.IPAddr { return []net.IPAddr{ip} }

// toNetip converts an address that came from the kernel.
func toNetip(ip net.IPAddr) netip.Addr {
	a, _ := netip.AddrFromSlice(ip.IP)
	return a.Unmap().WithZone(ip.Zone)
}

// fromNetip converts it back.
func fromNetip(ip netip.Addr) net.IPAddr {
	ip = ip.Unmap()
	return net.IPAddr{IP: ip.AsSlice(), Zone: ip.Zone()}
}

func toNetips(a *engine.Addr) []netip.Addr {
	list := make([]netip.Addr, 0, len(a.IPAddrs))
	for _, ip := range a.IPAddrs {
		list = append(list, toNetip(ip))
	}
	return list
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

// sockaddr converts an address for package unix.
func sockaddr(ip net.IPAddr, port int) (unix.Sockaddr, error) {
	if ip4 := ip.IP.To4(); ip4 != nil {
		return &unix.SockaddrInet4{Addr: [4]byte(ip4), Port: port}, nil
	}
	zone, err := zoneIndex(ip.Zone)
	if err != nil || ip.IP.To16() == nil {
		return nil, unix.EINVAL
	}
	return &unix.SockaddrInet6{Addr: [16]byte(ip.IP.To16()), Port: port, ZoneId: zone}, nil
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
