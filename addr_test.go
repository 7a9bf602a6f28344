package sctpnet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestDialAndListenRefuseBadInput gives Dial and Listen what they cannot take. None of it gets so
// far that a kernel must have SCTP.
func TestDialAndListenRefuseBadInput(t *testing.T) {
	addrError := func(err error) bool {
		var e *net.AddrError
		return errors.As(err, &e)
	}
	dnsError := func(err error) bool {
		var e *net.DNSError
		return errors.As(err, &e)
	}
	unknownNetwork := func(err error) bool {
		var e net.UnknownNetworkError
		return errors.As(err, &e)
	}
	for _, tt := range []struct {
		network, address string
		want             func(error) bool
		names            string // what the message must name
	}{
		{"udp", "127.0.0.1:9", unknownNetwork, "udp"},
		{"", "127.0.0.1:9", unknownNetwork, ""},
		{"SCTP", "127.0.0.1:9", unknownNetwork, "SCTP"},
		{"sctp5", "127.0.0.1:9", unknownNetwork, "sctp5"},
		{"sctp+", "127.0.0.1:9", unknownNetwork, "sctp+"},
		{"sctp+tcp", "127.0.0.1:9", unknownNetwork, "sctp+tcp"},
		{"tcp+udp", "127.0.0.1:9", unknownNetwork, "tcp+udp"},
		{"unix", "/tmp/socket", unknownNetwork, "unix"},

		{"sctp", "127.0.0.1", addrError, "127.0.0.1"},
		{"sctp", "127.0.0.1/127.0.0.2", addrError, "127.0.0.1/127.0.0.2"},
		{"sctp", "::1", addrError, "::1"},
		{"sctp", "[::1]", addrError, "[::1]"},
		{"sctp", "[::1", addrError, "[::1"},
		{"sctp", "[::1:9", addrError, "[::1:9"},
		{"sctp", "::1:9", addrError, "::1:9"},
		{"sctp", "127.0.0.1:9:9", addrError, "127.0.0.1:9:9"},
		{"sctp", "127.0.0.1:70000", addrError, "70000"},
		{"sctp", "127.0.0.1:65536", addrError, "65536"},
		{"sctp", "127.0.0.1:-1", addrError, "-1"},
		{"sctp", "127.0.0.1:99999999999999999999", addrError, "99999999999999999999"},
		{"sctp", "127.0.0.1:no-such-service", dnsError, "no-such-service"},

		{"sctp", "127.0.0.1/127.0.0.2/:1", addrError, "127.0.0.1/127.0.0.2/:1"},
		{"sctp", "/127.0.0.1:9", addrError, "/127.0.0.1:9"},
		{"sctp", "127.0.0.1//127.0.0.2:9", addrError, "127.0.0.1//127.0.0.2:9"},
		{"sctp", "/:9", addrError, "/:9"},
		{"sctp", "127.0.0.1:9/127.0.0.2:9", addrError, "127.0.0.1:9"},
		{"sctp", "::1/127.0.0.1:9", addrError, "::1"},
		{"sctp", "127.0.0.1/127.0.0.1:9", addrError, "127.0.0.1"},
		{"sctp", "0.0.0.0/127.0.0.1:9", addrError, "0.0.0.0"},
		{"sctp", "[::]/127.0.0.1:9", addrError, "::"},

		{"sctp", "host.invalid:9", dnsError, "host.invalid"},
		{"sctp", "127.0.0.1/host.invalid:9", dnsError, "host.invalid"},
		{"sctp", "300.0.0.1:9", dnsError, "300.0.0.1"},

		{"sctp4", "[::1]:9", addrError, "::1"},
		{"sctp6", "127.0.0.1:9", addrError, "127.0.0.1"},
		{"sctp4", "127.0.0.1/[::1]:9", addrError, "::1"},
		{"sctp6", "[::1]/127.0.0.1:9", addrError, "127.0.0.1"},
		{"tcp4", "[::1]:9", addrError, "::1"},
	} {
		t.Run(tt.network+" "+tt.address, func(t *testing.T) {
			for op, f := range map[string]func() (any, error){
				"dial":   func() (any, error) { return sctpnet.Dial(tt.network, tt.address) },
				"listen": func() (any, error) { return sctpnet.Listen(tt.network, tt.address) },
			} {
				got, err := f()
				if got != nil {
					t.Errorf("%s returned %#v with an error", op, got)
				}
				e, ok := err.(*net.OpError)
				if !ok {
					t.Errorf("%s: error is %T (%v), want a *net.OpError", op, err, err)
					continue
				}
				if e.Op != op {
					t.Errorf("%s: Op is %q", op, e.Op)
				}
				if want := strings.Replace(tt.network, "tcp", "sctp", 1); e.Net != tt.network && e.Net != want {
					t.Errorf("%s: Net is %q, want %q", op, e.Net, tt.network)
				}
				if !tt.want(err) {
					t.Errorf("%s: wrong type of error: %T (%v)", op, e.Err, err)
				}
				if !strings.Contains(e.Err.Error(), tt.names) {
					t.Errorf("%s: %v does not name %s", op, err, tt.names)
				}
			}
		})
	}
}

// TestDialRefusesListenAddress has what Listen takes but Dial does not.
func TestDialRefusesListenAddress(t *testing.T) {
	for _, address := range []string{"", "127.0.0.1:0", ":0", "127.0.0.1:", "127.0.0.1/127.0.0.2:0"} {
		_, err := dialFails(t, func() (net.Conn, error) { return sctpnet.Dial("sctp", address) })
		var aerr *net.AddrError
		if address != "" && !errors.As(err, &aerr) {
			t.Errorf("Dial of %q: %v, want an AddrError", address, err)
		}
	}
}

// TestDialAndListenChangeNothing dials and listens from several goroutines with what they
// share, and looks at it after.
func TestDialAndListenChangeNothing(t *testing.T) {
	ln := listen(t, "sctp", "127.0.0.1/127.0.0.2:0")
	// Something appended would show in the spare part.
	ips := addr(0, "127.0.0.1", "127.0.0.2", "127.0.0.3").IPAddrs
	local := &sctpnet.Addr{IPAddrs: ips[:2:3]}
	d := &sctpnet.Dialer{LocalAddr: local, Config: sctpnet.Config{OutStreams: 3}}
	before := fmt.Sprintf("%#v %#v %#v", *d, *local, ips)

	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c, err := d.DialContext(context.Background(), "sctp", ln.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		})
	}
	wg.Wait()
	if after := fmt.Sprintf("%#v %#v %#v", *d, *local, ips); after != before {
		t.Errorf("changed by dialing:\n%s\n%s", before, after)
	}
}

// TestAddressesAreCopies checks that the caller's later use of its address does
// not change a Conn's.
func TestAddressesAreCopies(t *testing.T) {
	ln := listen(t, "sctp", "127.0.0.1:0")
	local := addr(0, "127.0.0.1", "127.0.0.2")
	c := dial(t, &sctpnet.Dialer{LocalAddr: local}, "sctp", ln.Addr().String())
	want := c.LocalAddr().String()
	copy(local.IPAddrs[0].IP, net.IPv4bcast.To16())
	local.IPAddrs[1] = net.IPAddr{}
	if got := c.LocalAddr().String(); got != want {
		t.Errorf("LocalAddr has become %s, was %s", got, want)
	}
}

// TestAddr fixes what an address looks like, and that it can be dialed.
func TestAddr(t *testing.T) {
	for _, tt := range []struct {
		a    *sctpnet.Addr
		want string
	}{
		{addr(3868, "10.0.0.1"), "10.0.0.1:3868"},
		{addr(3868, "10.0.0.1", "2001:db8::1"), "10.0.0.1/[2001:db8::1]:3868"},
		{addr(3868, "2001:db8::1"), "[2001:db8::1]:3868"},
		{addr(1), ":1"},
	} {
		if got := tt.a.String(); got != tt.want {
			t.Errorf("String is %s, want %s", got, tt.want)
		}
		if got := tt.a.Network(); got != "sctp" {
			t.Errorf("Network is %s", got)
		}
	}
}

// TestURLHost fixes how an address is written in a URL.
func TestURLHost(t *testing.T) {
	scoped := addr(80, "fe80::1")
	scoped.IPAddrs[0].Zone = "eth0"
	for _, tt := range []struct {
		a    *sctpnet.Addr
		want string
	}{
		{addr(80, "10.0.0.1"), "10.0.0.1:80"},
		{addr(80, "10.0.0.1", "10.1.0.1"), "10.0.0.1,10.1.0.1:80"},
		{addr(80, "10.0.0.1", "2001:db8::1", "10.1.0.1"), "10.0.0.1,10.1.0.1:80"},
		{addr(80, "2001:db8::1", "2001:db8::2"), "[2001:db8::1]:80"},
		{addr(80, "2001:db8::1", "10.1.0.1"), "10.1.0.1:80"},
		{scoped, "[fe80::1%25eth0]:80"},
		{addr(80, "::"), "[::]:80"},
		{addr(80), ":80"},
		{nil, "<nil>"},
	} {
		got := tt.a.URLHost()
		if got != tt.want {
			t.Errorf("URLHost of %v is %s, want %s", tt.a, got, tt.want)
		}
		if u, err := url.Parse("http://" + got + "/x"); tt.a != nil && (err != nil || u.Path != "/x" || u.Port() != strconv.Itoa(tt.a.Port)) {
			t.Errorf("%s in a URL is %+v, %v", got, u, err)
		}
	}
}

// TestAddrFitsDial dials, listens and resolves by what an Addr says of itself.
func TestAddrFitsDial(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		want := ofEngine(network, "sctp")
		ln := listen(t, network, "127.0.0.1:0")
		c := dial(t, nil, ln.Addr().Network(), ln.Addr().String())
		s := accept(t, ln)
		exchange(t, c, s)
		for name, a := range map[string]net.Addr{"Addr": ln.Addr(), "LocalAddr": c.LocalAddr(), "RemoteAddr": c.RemoteAddr(), "accepted LocalAddr": s.LocalAddr(), "accepted RemoteAddr": s.RemoteAddr()} {
			if a.Network() != want {
				t.Errorf("%s is of network %s, want %s", name, a.Network(), want)
			}
			if r, err := sctpnet.ResolveAddr(a.Network(), a.String()); err != nil || !reflect.DeepEqual(r.String(), a.String()) || r.Network() != want {
				t.Errorf("%s, %v, resolved is %v, %v", name, a, r, err)
			}
		}
	})
}

// TestResolveAddr resolves lists, names and what is wrong.
func TestResolveAddr(t *testing.T) {
	for _, tt := range []struct{ network, address, want string }{
		{"sctp", "10.0.0.1:80", "10.0.0.1:80"},
		{"tcp", "10.0.0.1,10.1.0.1:80", "10.0.0.1/10.1.0.1:80"},
		{"sctp", "10.0.0.1,[2001:db8::1]/10.1.0.1:80", "10.0.0.1/[2001:db8::1]/10.1.0.1:80"},
		{"sctp", ":http", ":80"},
		{"sctp", "", ":0"},
	} {
		if a, err := sctpnet.ResolveAddr(tt.network, tt.address); err != nil || a.String() != tt.want {
			t.Errorf("%s, %q: %v, %v; want %s", tt.network, tt.address, a, err, tt.want)
		}
	}
	for _, tt := range []struct{ network, address, want string }{
		{"udp", "10.0.0.1:80", "unknown network udp"},
		{"sctp4", "[::1]:80", "IPv6 address"},
		{"sctp", "10.0.0.1", "missing port"},
		{"sctp", "10.0.0.1,:80", "empty"},
	} {
		if a, err := sctpnet.ResolveAddr(tt.network, tt.address); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %q: %v, %v; want an error with %q", tt.network, tt.address, a, err, tt.want)
		}
	}
}

// TestDialerNetwork has code written for TCP dial.
func TestDialerNetwork(t *testing.T) {
	for _, tt := range []struct{ dialer, network, want string }{
		{"", "tcp", "sctp"},
		{"", "tcp4", "sctp4"},
		{"sctp+udp", "tcp", "sctp+udp"},
		{"sctp+udp", "tcp6", "sctp6+udp"},
		{"sctp4+udp", "tcp", "sctp4+udp"},
		{"sctp4+udp", "tcp6", "sctp4+udp"},
		{"sctp6", "tcp", "sctp6"},
		{"sctp+udp", "sctp4", "sctp4"},
		{"udp", "tcp", "tcp"},
		{"sctp", "tcp5", "tcp5"},
	} {
		for _, dial := range []func(network, address string) (net.Conn, error){
			(&sctpnet.Dialer{Network: tt.dialer, Timeout: -1}).Dial,
			(&sctpnet.StreamDialer{Network: tt.dialer, Dialer: sctpnet.Dialer{Timeout: -1}}).Dial,
			(&sctpnet.StreamDialer{Dialer: sctpnet.Dialer{Network: tt.dialer, Timeout: -1}}).Dial,
		} {
			_, err := dial(tt.network, "127.0.0.1:1")
			var e *net.OpError
			if !errors.As(err, &e) || e.Net != tt.want {
				t.Errorf("%q as %s is %v, want network %s", tt.network, tt.dialer, err, tt.want)
			}
		}
	}
}

// TestSCTPAddr converts to and from addresses of package
// github.com/ishidawataru/sctp.
func TestSCTPAddr(t *testing.T) {
	a := addr(3868, "10.0.0.1", "2001:db8::1")
	s := a.SCTPAddr()
	if got := sctpnet.FromSCTPAddr(s); got.String() != a.String() || s.String() != a.String() || got.Network() != "sctp" {
		t.Errorf("%v is %v, and that %v of %s", a, s, got, got.Network())
	}
	s.IPAddrs[0].IP[0]++
	if a.String() != addr(3868, "10.0.0.1", "2001:db8::1").String() {
		t.Errorf("the conversion shares memory with %v", a)
	}
	if (*sctpnet.Addr)(nil).SCTPAddr() != nil || sctpnet.FromSCTPAddr(nil) != nil {
		t.Error("nil becomes an address")
	}
}

// addr makes an address.
func addr(port int, ips ...string) *sctpnet.Addr {
	a := &sctpnet.Addr{Port: port}
	for _, ip := range ips {
		a.IPAddrs = append(a.IPAddrs, net.IPAddr{IP: net.ParseIP(ip)})
	}
	return a
}

func TestAvailable(t *testing.T) {
	for _, network := range []string{"", "udp", "sctp5", "unix"} {
		var unknown net.UnknownNetworkError
		if err := sctpnet.Available(network); !errors.As(err, &unknown) {
			t.Errorf("Available(%q): %v, want an UnknownNetworkError", network, err)
		}
	}
	want := sctpnet.Available("sctp") == nil
	for _, network := range []string{"sctp4", "sctp6", "tcp", "tcp4", "tcp6"} {
		if err := sctpnet.Available(network); (err == nil) != want {
			t.Errorf("Available(%q): %v, of sctp it is %t", network, err, want)
		}
	}
}

// TestUnsupported is for a kernel without SCTP.
func TestUnsupported(t *testing.T) {
	err := sctpnet.Available("sctp")
	if err == nil {
		t.Skip("this kernel has SCTP")
	}
	_, derr := sctpnet.Dial("sctp", "127.0.0.1:9")
	_, lerr := sctpnet.Listen("sctp", "127.0.0.1:9")
	for op, err := range map[string]error{"Available": err, "Dial": derr, "Listen": lerr} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v does not wrap ErrUnsupported", op, err)
			continue
		}
		for _, remedy := range []string{"modprobe sctp", "sctp+udp"} {
			if !strings.Contains(err.Error(), remedy) {
				t.Errorf("%s: %v does not say %s", op, err, remedy)
			}
		}
	}
}

// TestAddressListMistakes gives what people write for a list of addresses, and looks for
// what is wrong in the error.
func TestAddressListMistakes(t *testing.T) {
	for _, c := range []struct{ address, want string }{
		{"127.0.0.1/8:80", "in a list of addresses"},
		{"127.0.0.1;127.0.0.2:80", `"/" or "," separates a list of addresses`},
		{"127.0.0.1 127.0.0.2:80", `"/" or "," separates a list of addresses`},
	} {
		_, err := sctpnet.ResolveAddr("sctp", c.address)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %s", c.address, err, c.want)
		}
	}
	_, err := sctpnet.ResolveAddr("sctp", "127.0.0.1/8:80")
	if _, ok := errors.AsType[*net.DNSError](err); !ok {
		t.Errorf("%v is no error of a resolver", err)
	}
}

// TestLocalAddrOfAnotherType dials from an address of TCP.
func TestLocalAddrOfAnotherType(t *testing.T) {
	d := sctpnet.Dialer{LocalAddr: &net.TCPAddr{}}
	_, err := d.Dial("sctp+udp", "127.0.0.1:1")
	if err == nil || !strings.Contains(err.Error(), "*net.TCPAddr: want *sctpnet.Addr") {
		t.Error(err)
	}
}

var (
	lo1 = netip.MustParseAddr("127.0.0.1")
	lo2 = netip.MustParseAddr("127.0.0.2")
	lo3 = netip.MustParseAddr("127.0.0.3")
	lo6 = netip.MustParseAddr("::1")
)

// sorted returns a sorted copy.
func sorted(ips []netip.Addr) []netip.Addr {
	return slices.SortedFunc(slices.Values(ips), netip.Addr.Compare)
}

// wantAddrs checks a list, in any order.
func wantAddrs(t testing.TB, what string, got []netip.Addr, want ...netip.Addr) {
	t.Helper()
	if !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestAddrsOfOne checks the addresses of ends that have one each.
func TestAddrsOfOne(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		local := &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IPv4(127, 0, 0, 1)}}}
		c := dial(t, &sctpnet.Dialer{LocalAddr: local}, network, ln.Addr().String())
		s := accept(t, ln)
		for _, conn := range []*sctpnet.Conn{c, s} {
			wantAddrs(t, "LocalAddrs", conn.LocalAddrs(), lo1)
			wantAddrs(t, "PeerAddrs", conn.PeerAddrs(), lo1)
			conn.LocalAddrs()[0], conn.PeerAddrs()[0] = lo2, lo2 // they are copies
			wantAddrs(t, "LocalAddrs again", conn.LocalAddrs(), lo1)
			wantAddrs(t, "PeerAddrs again", conn.PeerAddrs(), lo1)
		}
		c.Close()
		wantAddrs(t, "LocalAddrs after Close", c.LocalAddrs(), lo1)
		wantAddrs(t, "PeerAddrs after Close", c.PeerAddrs(), lo1)
	})
}

func TestNilConnAddrs(t *testing.T) {
	for _, c := range []*sctpnet.Conn{nil, {}} {
		if c.LocalAddrs() != nil || c.PeerAddrs() != nil {
			t.Error("addresses of no Conn")
		}
		for name, f := range inspections(c) {
			if err := f(); err != syscall.EINVAL {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := c.File(); err != syscall.EINVAL {
			t.Errorf("File: %v", err)
		}
	}
	if _, err := (*sctpnet.Listener)(nil).File(); err != syscall.EINVAL {
		t.Errorf("File of no Listener: %v", err)
	}
}
