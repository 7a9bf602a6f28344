package sctpnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// FuzzResolve resolves an address, without asking anybody for the addresses of
// names. An address of one host means what it means to package net, and what comes
// of any address is written in a way that means the same.
func FuzzResolve(f *testing.F) {
	for _, address := range []string{
		"10.0.0.1/10.0.0.2:3868", "[2001:db8::1]/10.0.0.1/[fe80::1%eth0]:http", ":0", "[::]:1", "10.0.0.1//:1",
		"[::ffff:10.0.0.1]/10.0.0.1:1", "[::10],0.0.0.1:", "[::%0]:", "[]/[]:", "::1/[::1]:65536", "10.0.0.1/name:+5", "[10.0.0.1]/[10.0.0.2]:-1",
	} {
		for _, network := range []string{"sctp", "sctp4", "sctp6"} {
			f.Add(network, address)
		}
	}
	nobody := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("there is no name server")
	}}
	f.Fuzz(func(t *testing.T, network, address string) {
		network, _, err := lookupNetwork(network, "sctp")
		if err != nil {
			return
		}
		addrs, err := resolve(t.Context(), nobody, network, address)
		if err != nil {
			var aerr *net.AddrError
			var derr *net.DNSError
			if len(addrs) > 0 || !errors.As(err, &aerr) && !errors.As(err, &derr) {
				t.Errorf("%v, %T %v", addrs, err, err)
			}
		} else if len(addrs) == 0 {
			t.Error("neither an address nor an error")
		}
		for _, a := range addrs {
			if a.Port < 0 || a.Port > 65535 {
				t.Errorf("port %d", a.Port)
			}
			for i, ip := range a.IPAddrs {
				if err := fits(network, ip); err != nil {
					t.Error(err)
				}
				for _, other := range a.IPAddrs[:i] {
					if other.IP.Equal(ip.IP) && other.Zone == ip.Zone {
						t.Errorf("%v has %v twice", a, ip)
					}
				}
			}
			again, err := resolve(t.Context(), nobody, network, a.String())
			if err != nil || len(again) != 1 || again[0].String() != a.String() {
				t.Errorf("%v means %v, %v", a, again, err)
			}
		}
		if host, _, err := net.SplitHostPort(address); err == nil {
			if _, err := netip.ParseAddr(host); err != nil && host != "" || strings.ContainsAny(host, "/,") {
				return // package net would ask the system for the name
			}
		}
		want, wantErr := net.ResolveTCPAddr("tcp"+strings.TrimPrefix(family(network), "sctp"), address)
		switch {
		case address == "", strings.ContainsAny(address, "/,"): // "" means any to package net, which has no lists
		case (err == nil) != (wantErr == nil):
			t.Errorf("%v, %v; package net has %v, %v", addrs, err, want, wantErr)
		case err == nil && addrs[0].String() != want.String():
			t.Errorf("%v; package net has %v", addrs[0], want)
		}
	})
}
