package sctpnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sctpnet/sctpnet/internal/engine"
	_ "github.com/sctpnet/sctpnet/internal/kernel" // the networks "sctp"
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

// ResolveAddr returns the address of an endpoint, as [net.ResolveTCPAddr] does
// for TCP. Networks and addresses are those of [Dial]. A host name stands for
// one address, IPv4 if it has one, also inside a list.
//
// [Dial] tries all addresses of a name, and resolves it within its timeout.
func ResolveAddr(network, address string) (*Addr, error) {
	name, _, err := lookupNetwork(network, "sctp")
	if err != nil {
		return nil, err
	}
	return resolveOne(context.Background(), nil, name, address)
}

// resolveOne is resolve for one endpoint. An empty address means any.
func resolveOne(ctx context.Context, r *net.Resolver, network, address string) (*Addr, error) {
	if address == "" {
		return &Addr{Net: anyFamily(network)}, nil
	}
	addrs, err := resolve(ctx, r, network, address)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if len(a.IPAddrs) > 0 && isIPv4(a.IPAddrs[0]) {
			return a, nil
		}
	}
	return addrs[0], nil
}

// Available returns nil if the named network can be used on this system, and
// otherwise an error that says why not and what to do about it. Where SCTP is
// missing the error wraps [errors.ErrUnsupported]; where there is no such
// network it is a [net.UnknownNetworkError].
//
// Available does not create any association; it may load the kernel's module.
func Available(network string) error {
	_, e, err := lookupNetwork(network, "sctp")
	if err != nil {
		return err
	}
	return e.Available()
}

// lookupNetwork returns the network's name as SCTP's and the engine behind it. Code
// that was written for TCP says "tcp", and means the network tcp.
func lookupNetwork(network, tcp string) (string, engine.Engine, error) {
	name := network
	switch network {
	case "tcp", "tcp4", "tcp6":
		name = tcp
		if suffix, ok := strings.CutPrefix(tcp, "sctp"); ok && (suffix == "" || suffix[0] == '+') {
			name = "sctp" + network[len("tcp"):] + suffix
		}
	}
	switch family(name) {
	case "sctp", "sctp4", "sctp6":
		if e := engine.Lookup(name); e != nil {
			return name, e, nil
		}
		if strings.HasSuffix(name, "+udp") {
			return "", nil, &missingImportError{name}
		}
	}
	return "", nil, net.UnknownNetworkError(name)
}

// A missingImportError says which package to import for a network.
type missingImportError struct{ network string }

func (e *missingImportError) Error() string {
	return "network " + e.network + ` needs import _ "github.com/sctpnet/sctpnet/udpencap"`
}

func (e *missingImportError) Unwrap() error { return errors.ErrUnsupported }

// family is the part of a network's name that chooses the address families.
func family(network string) string {
	f, _, _ := strings.Cut(network, "+")
	return f
}

// anyFamily is a network's name without the choice of an address family.
func anyFamily(network string) string { return "sctp" + strings.TrimPrefix(network, family(network)) }

// resolve turns an address into the endpoints that it may mean, in order of
// preference: one for each IP address of a single host name, and a single one
// with all the addresses of a list. An Addr without addresses means any.
func resolve(ctx context.Context, r *net.Resolver, network, address string) (_ []*Addr, err error) {
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = ctx.Err() // whatever else there was
		}
	}()
	if r == nil {
		r = net.DefaultResolver
	}
	hosts, port, err := splitAddress(address)
	if err != nil {
		return nil, err
	}
	portnum, err := strconv.Atoi(port)
	if err != nil || portnum < 0 || portnum > 65535 {
		// A service name, an empty port or an error in net's own words.
		// The services of TCP are those of SCTP where SCTP has them.
		if portnum, err = r.LookupPort(ctx, "tcp", port); err != nil {
			return nil, err
		}
	}
	if len(hosts) > 1 {
		list, err := resolveList(ctx, r, network, hosts)
		if err != nil {
			return nil, err
		}
		return []*Addr{{IPAddrs: list, Port: portnum, Net: anyFamily(network)}}, nil
	}
	if hosts[0] == "" {
		return []*Addr{{Port: portnum, Net: anyFamily(network)}}, nil
	}
	ips, err := lookup(ctx, r, network, hosts[0])
	if err != nil {
		return nil, err
	}
	var addrs []*Addr
	for _, ip := range ips {
		addrs = append(addrs, &Addr{IPAddrs: []net.IPAddr{ip}, Port: portnum, Net: anyFamily(network)})
	}
	return addrs, nil
}

// resolveList returns the addresses of a list of hosts, one of each.
func resolveList(ctx context.Context, r *net.Resolver, network string, hosts []string) (list []net.IPAddr, err error) {
	for _, host := range hosts {
		ips, err := lookup(ctx, r, network, host)
		if err != nil {
			return nil, inList(err)
		}
		// A name in a list stands for one address, IPv4 if it has one, as
		// net.ResolveTCPAddr chooses.
		ip := ips[0]
		if i := slices.IndexFunc(ips, isIPv4); i >= 0 {
			ip = ips[i]
		}
		if ip.IP.IsUnspecified() {
			return nil, &net.AddrError{Err: "unspecified address in a list of addresses", Addr: host}
		}
		if slices.ContainsFunc(list, func(other net.IPAddr) bool {
			return other.IP.Equal(ip.IP) && other.Zone == ip.Zone
		}) {
			return nil, &net.AddrError{Err: "address twice in a list of addresses", Addr: host}
		}
		list = append(list, ip)
	}
	return list, nil
}

// inList marks a DNS error as one of a host in a list of addresses.
func inList(err error) error {
	derr, ok := err.(*net.DNSError)
	if !ok {
		return err
	}
	listed := *derr // of net's own type, as callers expect
	listed.Err += ", in a list of addresses"
	return &listed
}

// splitAddress takes "a/b:port" or "a,b:port" apart.
func splitAddress(address string) (hosts []string, port string, err error) {
	elems := strings.Split(strings.ReplaceAll(address, ",", "/"), "/")
	last, port, err := net.SplitHostPort(elems[len(elems)-1])
	if err != nil {
		var aerr *net.AddrError
		if errors.As(err, &aerr) {
			aerr.Addr = address
		}
		return nil, "", err
	}
	for _, e := range elems[:len(elems)-1] {
		host := e
		if strings.HasPrefix(e, "[") && strings.HasSuffix(e, "]") {
			host = e[1 : len(e)-1]
		} else if strings.Contains(e, ":") {
			return nil, "", &net.AddrError{Err: "port or IPv6 address without brackets inside a list of addresses", Addr: e}
		}
		hosts = append(hosts, host)
	}
	hosts = append(hosts, last)
	if len(hosts) > 1 && slices.Contains(hosts, "") {
		return nil, "", &net.AddrError{Err: "empty element in a list of addresses", Addr: address}
	}
	return hosts, port, nil
}

// lookup returns the IP addresses of a host that the network admits, at least
// one.
func lookup(ctx context.Context, r *net.Resolver, network, host string) ([]net.IPAddr, error) {
	var ips []net.IPAddr
	if lit, err := netip.ParseAddr(host); err == nil {
		if lit.WithZone("") == netip.IPv6Unspecified() && family(network) == "sctp4" {
			lit = netip.IPv4Unspecified() // as package net
		}
		ips = []net.IPAddr{{IP: lit.Unmap().AsSlice(), Zone: lit.Zone()}}
		return ips, fits(network, ips[0])
	}
	if strings.ContainsAny(host, " ;") {
		return nil, &net.AddrError{Err: `"/" or "," separates a list of addresses`, Addr: host}
	}
	all, err := r.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, ip := range all {
		if fits(network, ip) == nil {
			if ip4 := ip.IP.To4(); ip4 != nil {
				ip.IP = ip4
			}
			ips = append(ips, ip)
		}
	}
	if len(ips) == 0 {
		return nil, &net.AddrError{Err: "no address fit for network " + network, Addr: host}
	}
	return ips, nil
}

func isIPv4(ip net.IPAddr) bool { return ip.IP.To4() != nil }
func isIPv6(ip net.IPAddr) bool { return ip.IP.To4() == nil && len(ip.IP) == net.IPv6len }

// fits returns an error if an address is not of the network's family.
func fits(network string, ip net.IPAddr) error {
	switch f := family(network); {
	case f == "sctp4" && !isIPv4(ip):
		return &net.AddrError{Err: "IPv6 address on network " + network, Addr: ip.String()}
	case f == "sctp6" && isIPv4(ip):
		return &net.AddrError{Err: "IPv4 address on network " + network, Addr: ip.String()}
	}
	return nil
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
