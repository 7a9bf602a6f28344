package udpencap

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestKernelLinkLocal has both ends at an address that means something only together
// with its zone.
func TestKernelLinkLocal(t *testing.T) {
	ns := newNetns(t)
	ns.ip(t, "addr add fe80::1/64 dev lo nodad")
	ns.do(t, func() error {
		testLinkLocal(t, "fe80::1", "lo")
		return nil
	})
}

func testLinkLocal(t *testing.T, ip, zone string) {
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		t.Error(err)
		return
	}
	address := func(zone string, port int) string {
		return net.JoinHostPort(ip+"%"+zone, fmt.Sprint(port))
	}
	for _, tt := range []struct{ listen, dial, from string }{
		{address(zone, 0), zone, ""},
		{address(fmt.Sprint(ifi.Index), 0), fmt.Sprint(ifi.Index), ""},
		{"[::]:0", zone, zone},
		{":0", fmt.Sprint(ifi.Index), fmt.Sprint(ifi.Index)},
	} {
		ln, err := sctpnet.Listen("sctp6+udp", tt.listen)
		if err != nil {
			t.Errorf("Listen %s: %v", tt.listen, err)
			continue
		}
		defer ln.Close()
		port := ln.Addr().(*sctpnet.Addr).Port
		if got := ln.Addr().String(); !strings.HasPrefix(got, "[::]") && got != address(zone, port) {
			t.Errorf("Addr is %s, want %s", got, address(zone, port))
		}
		d := &sctpnet.Dialer{}
		if tt.from != "" {
			d.LocalAddr = &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.ParseIP(ip), Zone: tt.from}}}
		}
		c, err := d.Dial("sctp6+udp", address(tt.dial, port))
		if err != nil {
			t.Errorf("Dial %s: %v", address(tt.dial, port), err)
			continue
		}
		defer c.Close()
		s, err := ln.Accept()
		if err != nil {
			t.Error(err)
			continue
		}
		defer s.Close()
		if got := c.RemoteAddr().String(); got != address(zone, port) || s.LocalAddr().String() != got {
			t.Errorf("dialed is %s, and accepted at %s; want %s", got, s.LocalAddr(), address(zone, port))
		}
		if got := c.LocalAddr().String(); !strings.HasPrefix(got, "["+ip+"%"+zone+"]:") || s.RemoteAddr().String() != got {
			t.Errorf("dialed from %s, accepted from %s", got, s.RemoteAddr())
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Error(err)
		}
		b := make([]byte, 10)
		if n, err := s.Read(b); string(b[:n]) != "hello" || err != nil {
			t.Errorf("read %q, %v", b[:n], err)
		}
	}
	// Without a zone, or with one that there is not, nobody can be reached.
	bound := &sctpnet.Dialer{LocalAddr: &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IPv6loopback}}}}
	for _, d := range []*sctpnet.Dialer{{}, bound} {
		for _, host := range []string{ip, ip + "%nosuch"} {
			if c, err := d.Dial("sctp6+udp", net.JoinHostPort(host, "9")); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("Dial %s from %v: %v, %v; want EINVAL", host, d.LocalAddr, c, err)
			}
		}
	}
}

// TestZoneOfNothing gives a zone to addresses that have none: it counts for nothing, as
// in package net.
func TestZoneOfNothing(t *testing.T) {
	ln, err := sctpnet.Listen("sctp6+udp", "[::1%lo]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := ln.Addr().(*sctpnet.Addr).Port
	if got, want := ln.Addr().String(), fmt.Sprintf("[::1]:%d", port); got != want {
		t.Errorf("Addr is %s, want %s", got, want)
	}
	for _, zone := range []string{"", "%lo", "%1", "%nosuch"} {
		c := dial(t, nil, fmt.Sprintf("[::1%s]:%d", zone, port))
		s := accept(t, ln)
		exchange(t, c, s)
		if got := c.RemoteAddr().String(); got != ln.Addr().String() {
			t.Errorf("RemoteAddr is %s, want %s", got, ln.Addr())
		}
	}
}

// TestWildcards listens at either family's unspecified address, and dials from it.
// The network decides the endpoint's family, as where there is no address at all.
func TestWildcards(t *testing.T) {
	for _, network := range []string{"sctp", "sctp4", "sctp6"} {
		for _, any := range []net.IP{nil, net.IPv4zero, net.IPv6unspecified} {
			wild := &engine.Addr{IPAddrs: []net.IPAddr{{IP: any}}}
			s := &engine.Socket{Network: network, Local: wild}
			l, err := udpEngine{}.Listen(t.Context(), s)
			if err != nil {
				t.Errorf("Listen %s %v: %v", network, any, err)
				continue
			}
			defer l.Close()
			tl, err := net.Listen(strings.Replace(network, "sctp", "tcp", 1), ":0")
			if err != nil {
				t.Fatal(err)
			}
			defer tl.Close()
			if got, want := l.Addr().IPAddrs[0].IP, tl.Addr().(*net.TCPAddr).IP; !got.Equal(want) {
				t.Errorf("Listen %s %v: Addr is %v, TCP's is %v", network, any, got, want)
			}
			for _, to := range []string{"127.0.0.1", "::1"} {
				ip := netip.MustParseAddr(to)
				if network == "sctp4" && ip.Is6() || network == "sctp6" && ip.Is4() {
					continue
				}
				c, err := udpEngine{}.Dial(t.Context(), s, &engine.Addr{IPAddrs: []net.IPAddr{ipAddr(ip)}, Port: l.Addr().Port})
				if err != nil {
					t.Errorf("Dial %s %s from %v: %v", network, to, any, err)
					continue
				}
				if got := c.LocalAddr().IPAddrs[0].String(); got != to {
					t.Errorf("Dial %s %s from %v: LocalAddr is %s", network, to, any, got)
				}
				c.Abort()
			}
		}
	}
}
