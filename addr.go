package sctpnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// Addr is the address of an SCTP endpoint: one port and one or more IP
// addresses. Each address reaches the same endpoint.
type Addr struct {
	// IPAddrs are the IP addresses. If there are none, or only an unspecified
	// one, the Addr means any address of this host.
	IPAddrs []net.IPAddr
	// Port is the SCTP port.
	Port int
	// Net is the network, without the choice of an address family: "sctp" or
	// "sctp+udp". Empty means "sctp". It is what Network returns; a call that is given
	// an Addr has a network already, and does not look at Net.
	Net string

	assoc *assoc // that it stands for, if a PacketConn has returned it
}

var _ net.Addr = (*Addr)(nil)

// Network returns the address's network, "sctp" or "sctp+udp". Dial and Listen
// take it together with the String of the Addr.
func (a *Addr) Network() string {
	if a == nil || a.Net == "" {
		return "sctp"
	}
	return a.Net
}

// String returns the address in the form that Dial and Listen take, such as
// "10.0.0.1/[2001:db8::1]:3868".
func (a *Addr) String() string {
	if a == nil {
		return "<nil>"
	}
	return a.engine().String()
}

// URLHost returns the address as the host of a URL's text, as in
// "http://" + a.URLHost(). A URL has no place for "/" in a host, nor for a list
// with IPv6 addresses in it: URLHost returns the IPv4 addresses with commas
// between them, as in "10.0.0.1,10.1.0.1:80". If there are none it returns the
// first address, in brackets. Dial takes this form too, except that the zone of
// an IPv6 address is escaped, as a URL requires it.
func (a *Addr) URLHost() string {
	if a == nil {
		return "<nil>"
	}
	var hosts []string
	for _, ip := range a.IPAddrs {
		if isIPv4(ip) {
			hosts = append(hosts, ip.IP.String())
		}
	}
	if len(hosts) == 0 && len(a.IPAddrs) > 0 && len(a.IPAddrs[0].IP) > 0 {
		host := strings.Replace(a.IPAddrs[0].String(), "%", "%25", 1)
		hosts = []string{"[" + host + "]"}
	}
	return strings.Join(hosts, ",") + ":" + strconv.Itoa(a.Port)
}

// newAddr is the Addr of an engine's address on a network.
func newAddr(a *engine.Addr, network string) *Addr {
	return &Addr{IPAddrs: a.IPAddrs, Port: a.Port, Net: anyFamily(network)}
}

func (a *Addr) engine() *engine.Addr {
	return &engine.Addr{IPAddrs: a.IPAddrs, Port: a.Port}
}

// clone returns a copy that shares nothing with a.
func clone(a *Addr) *Addr {
	c := &Addr{Port: a.Port, Net: a.Net}
	for _, ip := range a.IPAddrs {
		c.IPAddrs = append(c.IPAddrs, net.IPAddr{IP: slices.Clone(ip.IP), Zone: ip.Zone})
	}
	return c
}

// isWildcard reports whether a means any address.
func isWildcard(a *Addr) bool { return engine.IsWildcard(a.IPAddrs) }

func isIPv4(ip net.IPAddr) bool { return ip.IP.To4() != nil }
func isIPv6(ip net.IPAddr) bool { return ip.IP.To4() == nil && len(ip.IP) == net.IPv6len }

func sharesFamily(a, b *Addr) bool {
	for _, x := range a.IPAddrs {
		for _, y := range b.IPAddrs {
			if isIPv4(x) == isIPv4(y) {
				return true
			}
		}
	}
	return false
}

// netipOf returns an address of an endpoint in the form in which addresses are compared.
func netipOf(ip net.IPAddr) netip.Addr {
	a, _ := netip.AddrFromSlice(ip.IP)
	if a = a.Unmap(); ip.Zone != "" {
		a = a.WithZone(engine.ZoneName(ip.Zone))
	}
	return a
}

func addrPort(ip net.IPAddr, port int) netip.AddrPort {
	return netip.AddrPortFrom(netipOf(ip), uint16(port))
}

// addrPorts returns the addresses of an endpoint.
func addrPorts(addr *engine.Addr) []netip.AddrPort {
	ports := make([]netip.AddrPort, 0, len(addr.IPAddrs))
	for _, ip := range addr.IPAddrs {
		ports = append(ports, addrPort(ip, addr.Port))
	}
	return ports
}

// What follows checks addresses of callers. That of a local end is checked by
// Dialer.local and by what resolves the address of a Listen.

// addrOf returns the Addr of a peer.
func addrOf(peer net.Addr) (*Addr, error) {
	switch a, ok := peer.(*Addr); {
	case peer == nil, ok && a == nil:
		return nil, errMissingAddress
	case !ok:
		return nil, &net.AddrError{Err: fmt.Sprintf("mismatched address type %T: want *sctpnet.Addr", peer), Addr: peer.String()}
	default:
		return a, nil
	}
}

var errMissingAddress = errors.New("missing address")

// checkDialed checks the addresses of an endpoint that a Dialer dials.
func checkDialed(a *Addr) error {
	for _, ip := range a.IPAddrs {
		at := netipOf(ip)
		if checkIP(at) != nil {
			return fmt.Errorf("%s is not the address of one host: %w", at, syscall.ENETUNREACH) // as over TCP
		}
		if err := checkZone(at); err != nil {
			return err
		}
	}
	return nil
}

// checkPeer checks an endpoint that a PacketConn on the network makes an association
// with.
func checkPeer(network string, a *Addr) error {
	if err := checkPort(a); err != nil {
		return err
	}
	if len(a.IPAddrs) == 0 {
		return &net.AddrError{Err: "no address of a peer", Addr: a.String()}
	}
	for _, ip := range a.IPAddrs {
		at := netipOf(ip)
		if err := firstError(checkIP(at), checkZone(at), checkInterface(at), checkFamily(network, ip)); err != nil {
			return err
		}
	}
	return nil
}

// checkPort returns an error if no peer can have the port.
func checkPort(a *Addr) error {
	if a.Port <= 0 || a.Port > most16 {
		return &net.AddrError{Err: "no port of a peer; allowed are 1 to 65535", Addr: a.String()}
	}
	return nil
}

// checkFamily returns an error if an address is not of the network's family.
func checkFamily(network string, ip net.IPAddr) error {
	switch f := family(network); {
	case f == "sctp4" && !isIPv4(ip):
		return &net.AddrError{Err: "IPv6 address on network " + network, Addr: ip.String()}
	case f == "sctp6" && isIPv4(ip):
		return &net.AddrError{Err: "IPv4 address on network " + network, Addr: ip.String()}
	}
	return nil
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// checkIP returns an error if ip cannot be the address of an endpoint.
func checkIP(ip netip.Addr) error {
	switch {
	case !ip.IsValid():
		return fmt.Errorf("no address: the netip.Addr is zero: %w", syscall.EINVAL)
	case ip.Unmap().IsUnspecified():
		return fmt.Errorf("%s is not one address but means any: %w", ip, syscall.EINVAL)
	case ip.Unmap().IsMulticast(), ip.Unmap() == broadcast:
		return fmt.Errorf("%s is not the address of one host: %w", ip, syscall.EINVAL)
	}
	return nil
}

// checkZone returns an error if ip is link-local and has no zone.
func checkZone(ip netip.Addr) error {
	if ip.Is6() && !ip.Is4In6() && ip.IsLinkLocalUnicast() && ip.Zone() == "" {
		return fmt.Errorf("%s is link-local and needs a zone, as in fe80::1%%eth0: %w", ip, syscall.EINVAL)
	}
	return nil
}

// checkInterface returns an error if the zone of an address is no interface.
func checkInterface(ip netip.Addr) error {
	if ip.Zone() == "" {
		return nil
	}
	if _, err := net.InterfaceByName(ip.Zone()); err != nil {
		return fmt.Errorf("%s: zone %q is no interface of this host: %w", ip, ip.Zone(), syscall.EINVAL)
	}
	return nil
}
