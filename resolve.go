package sctpnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

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
	return resolveOne(context.Background(), name, address)
}

// resolveOne is resolve for one endpoint. An empty address means any.
func resolveOne(ctx context.Context, network, address string) (*Addr, error) {
	if address == "" {
		return &Addr{Net: anyFamily(network)}, nil
	}
	addrs, err := resolve(ctx, nil, network, address)
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
		return ips, checkFamily(network, ips[0])
	}
	if strings.ContainsAny(host, " ;") {
		return nil, &net.AddrError{Err: `"/" or "," separates a list of addresses`, Addr: host}
	}
	all, err := r.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, ip := range all {
		if checkFamily(network, ip) == nil {
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

// loopback returns what a wildcard means to dial: this host.
func loopback(network string, a *Addr) []*Addr {
	v4 := &Addr{IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}}, Port: a.Port, Net: a.Net}
	v6 := &Addr{IPAddrs: []net.IPAddr{{IP: net.IPv6loopback}}, Port: a.Port, Net: a.Net}
	switch f := family(network); {
	case f == "sctp4", f == "sctp" && len(a.IPAddrs) > 0 && isIPv4(a.IPAddrs[0]):
		return []*Addr{v4}
	case f == "sctp6":
		return []*Addr{v6}
	case len(a.IPAddrs) > 0:
		return []*Addr{v6, v4}
	}
	return []*Addr{v4, v6}
}
