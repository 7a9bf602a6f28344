package sctpnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
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

// procAddrs returns both lists of addresses that /proc/thread-self/net/sctp/assocs has of
// the end with a local port.
func procAddrs(t testing.TB, port int) (local, peer []netip.Addr) {
	t.Helper()
	list := &local
	for _, f := range assocLine(t, port)[assocAddrs:] {
		if f == "<->" {
			list = &peer
			continue
		}
		ip, err := netip.ParseAddr(strings.TrimPrefix(f, "*"))
		if err != nil {
			break
		}
		*list = append(*list, ip.Unmap())
	}
	return local, peer
}

// wantSame checks that all that tell the addresses of an end agree.
func wantSame(t testing.TB, c *sctpnet.Conn) {
	t.Helper()
	local, peer := procAddrs(t, port(c.LocalAddr()))
	wantAddrs(t, "LocalAddrs against /proc/thread-self/net/sctp/assocs", c.LocalAddrs(), local...)
	wantAddrs(t, "PeerAddrs against /proc/thread-self/net/sctp/assocs", c.PeerAddrs(), peer...)
	var primary *sctp.SCTPAddr
	control(t, c, func(fd int) (err error) {
		primary, err = sctp.NewSCTPConn(fd, nil).SCTPGetPrimaryPeerAddr()
		return err
	})
	ip, _ := netip.AddrFromSlice(primary.IPAddrs[0].IP)
	if got := c.PeerAddrs()[0]; got.WithZone("") != ip.Unmap() {
		t.Errorf("PeerAddrs begins with %v, the primary address is %v", got, ip)
	}
}

func TestAddrs(t *testing.T) {
	for _, tt := range []struct {
		listen, dialFrom, dial string // with a port of 0 in dial
		local, peer            []netip.Addr
	}{
		{"127.0.0.1:0", "127.0.0.1", "127.0.0.1", []netip.Addr{lo1}, []netip.Addr{lo1}},
		{"127.0.0.1/127.0.0.2:0", "127.0.0.3", "127.0.0.1", []netip.Addr{lo3}, []netip.Addr{lo1, lo2}},
		{"127.0.0.1/127.0.0.2:0", "127.0.0.3/127.0.0.1", "127.0.0.2", []netip.Addr{lo1, lo3}, []netip.Addr{lo2, lo1}},
		{"127.0.0.1:0", "127.0.0.1", "127.0.0.1/127.0.0.2", []netip.Addr{lo1}, []netip.Addr{lo1}},
		{"127.0.0.1/[::1]:0", "127.0.0.2/[::1]", "127.0.0.1/[::1]", []netip.Addr{lo2, lo6}, []netip.Addr{lo1, lo6}},
		{"[::1]:0", "[::1]", "[::1]", []netip.Addr{lo6}, []netip.Addr{lo6}},
	} {
		t.Run(tt.listen+" from "+tt.dialFrom+" to "+tt.dial, func(t *testing.T) {
			ln := listen(t, "sctp", tt.listen)
			from := &sctpnet.Addr{}
			for host := range strings.SplitSeq(tt.dialFrom, "/") {
				from.IPAddrs = append(from.IPAddrs, net.IPAddr{IP: net.ParseIP(strings.Trim(host, "[]"))})
			}
			c := dial(t, &sctpnet.Dialer{LocalAddr: from}, "sctp", fmt.Sprintf("%s:%d", tt.dial, port(ln.Addr())))
			s := accept(t, ln)
			wantAddrs(t, "LocalAddrs", c.LocalAddrs(), tt.local...)
			wantAddrs(t, "PeerAddrs", c.PeerAddrs(), tt.peer...)
			if got := c.PeerAddrs()[0]; got != tt.peer[0] {
				t.Errorf("PeerAddrs begins with %v, want the primary one of %v", got, tt.peer[0])
			}
			wantAddrs(t, "LocalAddrs of the peer", s.LocalAddrs(), tt.peer...)
			wantAddrs(t, "PeerAddrs of the peer", s.PeerAddrs(), tt.local...)
			wantSame(t, c)
			wantSame(t, s)

			local, peer := c.LocalAddrs(), c.PeerAddrs()
			c.LocalAddrs()[0] = netip.Addr{} // a copy
			c.Close()
			if got := c.LocalAddrs(); !slices.Equal(got, local) {
				t.Errorf("LocalAddrs after Close: %v, want %v", got, local)
			}
			if got := c.PeerAddrs(); !slices.Equal(got, peer) {
				t.Errorf("PeerAddrs after Close: %v, want %v", got, peer)
			}
		})
	}
}

// What is bound to nothing has all addresses that are fit.
func TestAddrsOfUnbound(t *testing.T) {
	silentNet(t)
	ln := listen(t, "sctp", "0.0.0.0:0")
	c := dial(t, nil, "sctp", fmt.Sprintf("%s:%d", own4, port(ln.Addr())))
	s := accept(t, ln)
	wantSame(t, c)
	wantSame(t, s)
	own := netip.MustParseAddr(own4)
	for _, list := range [][]netip.Addr{c.LocalAddrs(), c.PeerAddrs(), s.LocalAddrs(), s.PeerAddrs()} {
		if !slices.Contains(list, own) || slices.Contains(list, lo1) {
			t.Errorf("got %v, want %v and no loopback address", list, own)
		}
	}
}

func TestAddrsAfterClose(t *testing.T) {
	c, s := pipe(t, "sctp", "127.0.0.1/127.0.0.2:0")
	c.Close()
	wantAddrs(t, "PeerAddrs asked for after Close", c.PeerAddrs(), lo1, lo2)
	if len(c.LocalAddrs()) == 0 {
		t.Error("no LocalAddrs after Close")
	}
	watchdog(t, func() { io.ReadAll(s) })
	wantEnded(t, "sctp", s)
}

func TestAddrsHaveZones(t *testing.T) {
	silentNet(t)
	if err := ip("address add fe80::5c79/64 dev", silentLink, "nodad"); err != nil {
		t.Fatal(err)
	}
	local := netip.MustParseAddr("fe80::5c79%" + silentLink)
	c, s := pipe(t, "sctp", "["+local.String()+"]:0")
	wantAddrs(t, "PeerAddrs", c.PeerAddrs(), local)
	wantAddrs(t, "LocalAddrs of the peer", s.LocalAddrs(), local)
	ifi, err := net.InterfaceByName(silentLink)
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []netip.Addr{local, local.WithZone(fmt.Sprint(ifi.Index))} {
		send(t, c, s, sctpnet.MsgInfo{To: to}, 10)
		if err := c.SetPrimary(to); err != nil {
			t.Error(err)
		}
	}
	for _, to := range []netip.Addr{local.WithZone("nonesuch"), local.WithZone("")} {
		if _, err := c.WriteMsg([]byte("x"), sctpnet.MsgInfo{To: to}); err == nil || !strings.Contains(err.Error(), "zone") {
			t.Errorf("WriteMsg to %v: %v", to, err)
		}
	}
	send(t, c, s, sctpnet.MsgInfo{}, 10)
	if paths, err := c.Paths(); err != nil || len(paths) != 1 || paths[0].Addr != local || !paths[0].Primary {
		t.Errorf("Paths: %+v, %v", paths, err)
	}
}

// reconfigurable makes an association whose addresses can be changed.
func reconfigurable(t *testing.T, from, to string) (c, s *sctpnet.Conn, ln *sctpnet.Listener) {
	t.Helper()
	needSCTP(t)
	sysctl(t, "addip_noauth_enable", "1") // first: the other alone refuses INIT
	sysctl(t, "addip_enable", "1")
	ln = listen(t, "sctp", to)
	local := &sctpnet.Addr{}
	for host := range strings.SplitSeq(from, "/") {
		local.IPAddrs = append(local.IPAddrs, net.IPAddr{IP: net.ParseIP(host)})
	}
	c = dial(t, &sctpnet.Dialer{LocalAddr: local}, "sctp", ln.Addr().String())
	return c, accept(t, ln), ln
}

func TestBindAddRemove(t *testing.T) {
	c, s, ln := reconfigurable(t, "127.0.0.1", "127.0.0.1/[::1]:0")
	for _, tt := range []struct {
		what        string
		do          func(netip.Addr) error
		ip          netip.Addr
		end, other  *sctpnet.Conn
		local, peer []netip.Addr // of end, then
	}{
		{"add by the accepting end", s.AddLocalAddr, lo2, s, c, []netip.Addr{lo1, lo2, lo6}, []netip.Addr{lo1}},
		{"add by the dialing end", c.AddLocalAddr, lo3, c, s, []netip.Addr{lo1, lo3}, []netip.Addr{lo1, lo2, lo6}},
		{"remove", s.RemoveLocalAddr, lo1, s, c, []netip.Addr{lo2, lo6}, []netip.Addr{lo1, lo3}},
		{"remove IPv6", s.RemoveLocalAddr, lo6, s, c, []netip.Addr{lo2}, []netip.Addr{lo1, lo3}},
		{"remove, mapped", c.RemoveLocalAddr, netip.AddrFrom16(lo1.As16()), c, s, []netip.Addr{lo3}, []netip.Addr{lo2}},
		{"add again", s.AddLocalAddr, lo1, s, c, []netip.Addr{lo1, lo2}, []netip.Addr{lo3}},
	} {
		if tt.what == "add again" {
			// A listener keeps its address.
			if err := tt.do(tt.ip); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "listens") {
				t.Errorf("an address of the listener: %v", err)
			}
			ln.Close()
		}
		if err := tt.do(tt.ip); err != nil {
			t.Fatalf("%s: %v", tt.what, err)
		}
		eventually(t, tt.what, func() bool {
			return slices.Equal(sorted(tt.end.LocalAddrs()), sorted(tt.local)) &&
				slices.Equal(sorted(tt.other.PeerAddrs()), sorted(tt.local))
		})
		wantAddrs(t, tt.what+": PeerAddrs", tt.end.PeerAddrs(), tt.peer...)
		for _, to := range tt.other.PeerAddrs() {
			send(t, tt.other, tt.end, sctpnet.MsgInfo{To: to}, 100)
		}
		send(t, tt.end, tt.other, sctpnet.MsgInfo{}, 100)
		wantSame(t, c)
		wantSame(t, s)
	}
}

func TestSetPeerPrimary(t *testing.T) {
	c, s, _ := reconfigurable(t, "127.0.0.1", "127.0.0.1/127.0.0.2:0")
	for _, ip := range []netip.Addr{lo2, lo1, lo2} {
		if err := s.SetPeerPrimary(ip); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the primary path of the peer", func() bool {
			st, err := c.Status()
			if err != nil {
				t.Fatal(err)
			}
			return st.Primary.Addr == ip
		})
		wantSame(t, c)
		send(t, c, s, sctpnet.MsgInfo{}, 100)
	}
}

func TestWriteMsgToAllocations(t *testing.T) {
	if conformance.Slowness > 1 {
		t.Skip("the race detector allocates")
	}
	c, s := pipe(t, "sctp", "127.0.0.1/[::1]:0")
	buf := make([]byte, 100)
	for _, to := range []netip.Addr{lo1, lo6} {
		if n := testing.AllocsPerRun(100, func() {
			c.WriteMsg(buf, sctpnet.MsgInfo{To: to, PPID: 1})
			s.ReadMsg(buf)
		}); n > 0 {
			t.Errorf("%v allocations for a message to %v", n, to)
		}
	}
}

// After a refusal everything is as it was.
func TestAddrsRefused(t *testing.T) {
	notOurs := netip.MustParseAddr("203.0.113.77")
	type call struct {
		name string
		do   func(*sctpnet.Conn, netip.Addr) error
		ip   netip.Addr
		want error
		says string
	}
	add, remove := (*sctpnet.Conn).AddLocalAddr, (*sctpnet.Conn).RemoveLocalAddr
	primary, peerPrimary := (*sctpnet.Conn).SetPrimary, (*sctpnet.Conn).SetPeerPrimary
	write := func(c *sctpnet.Conn, to netip.Addr) error {
		_, err := c.WriteMsg([]byte("x"), sctpnet.MsgInfo{To: to})
		return err
	}
	try := func(t *testing.T, c, other *sctpnet.Conn, calls []call) {
		for _, tt := range calls {
			local, peer := c.LocalAddrs(), c.PeerAddrs()
			err := tt.do(c, tt.ip)
			var operr *net.OpError
			if !errors.As(err, &operr) || !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s %v: got %v, want %v that says %q", tt.name, tt.ip, err, tt.want, tt.says)
			}
			time.Sleep(10 * time.Millisecond)
			wantAddrs(t, tt.name+": LocalAddrs", c.LocalAddrs(), local...)
			wantAddrs(t, tt.name+": PeerAddrs", c.PeerAddrs(), peer...)
			wantAddrs(t, tt.name+": PeerAddrs of the other", other.PeerAddrs(), local...)
			send(t, c, other, sctpnet.MsgInfo{}, 100)
			send(t, other, c, sctpnet.MsgInfo{}, 100)
		}
	}
	linkLocal := netip.MustParseAddr("fe80::1")
	never := []netip.Addr{
		{}, netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.MustParseAddr("::ffff:0.0.0.0"),
		netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("ff02::1"), netip.MustParseAddr("255.255.255.255"),
	}
	t.Run("by nature", func(t *testing.T) {
		c, s, _ := reconfigurable(t, "127.0.0.1", "127.0.0.1/127.0.0.2:0")
		for _, ip := range never {
			calls := []call{
				{"AddLocalAddr", add, ip, syscall.EINVAL, ""},
				{"RemoveLocalAddr", remove, ip, syscall.EINVAL, ""},
				{"SetPrimary", primary, ip, syscall.EINVAL, ""},
				{"SetPeerPrimary", peerPrimary, ip, syscall.EINVAL, ""},
			}
			if ip.IsValid() {
				calls = append(calls, call{"WriteMsg", write, ip, syscall.EINVAL, ""})
			}
			try(t, c, s, calls)
		}
	})
	t.Run("IPv4", func(t *testing.T) {
		c, s, _ := reconfigurable(t, "127.0.0.1", "127.0.0.1/127.0.0.2:0")
		try(t, s, c, []call{
			{"AddLocalAddr", add, lo2, syscall.EADDRINUSE, "already"},
			{"AddLocalAddr", add, notOurs, syscall.EADDRNOTAVAIL, "not an address of this host"},
			{"AddLocalAddr", add, lo6, syscall.EAFNOSUPPORT, "IPv6"},
			{"AddLocalAddr", add, linkLocal, syscall.EINVAL, "zone"},
			{"RemoveLocalAddr", remove, lo3, syscall.EADDRNOTAVAIL, "not a local address"},
			{"RemoveLocalAddr", remove, lo6, syscall.EADDRNOTAVAIL, "not a local address"},
			{"SetPrimary", primary, lo2, syscall.EADDRNOTAVAIL, "not an address of the peer"},
			{"SetPrimary", primary, lo6, syscall.EADDRNOTAVAIL, "not an address of the peer"},
			{"SetPeerPrimary", peerPrimary, lo3, syscall.EADDRNOTAVAIL, "not a local address"},
			{"WriteMsg", write, lo2, syscall.EADDRNOTAVAIL, "not an address of the peer"},
			{"WriteMsg", write, lo6, syscall.EADDRNOTAVAIL, "not an address of the peer"},
			{"WriteMsg", write, notOurs, syscall.EADDRNOTAVAIL, "not an address of the peer"},
		})
		try(t, c, s, []call{{"RemoveLocalAddr", remove, lo1, syscall.EBUSY, "only address"}})
	})
	t.Run("IPv6", func(t *testing.T) {
		c, s, _ := reconfigurable(t, "::1", "[::1]:0")
		try(t, c, s, []call{
			{"AddLocalAddr", add, lo1, syscall.EAFNOSUPPORT, "IPv4"},
			{"RemoveLocalAddr", remove, lo6, syscall.EBUSY, "only address"},
			{"WriteMsg", write, lo1, syscall.EADDRNOTAVAIL, "not an address of the peer"},
		})
	})
	t.Run("unbound", func(t *testing.T) {
		silentNet(t)
		sysctl(t, "addip_noauth_enable", "1")
		sysctl(t, "addip_enable", "1")
		if err := ip("address add 198.51.100.7/24 dev", silentLink); err != nil {
			t.Fatal(err)
		}
		ln := listen(t, "sctp4", ":0")
		c := dial(t, nil, "sctp", fmt.Sprintf("%s:%d", own4, port(ln.Addr())))
		s := accept(t, ln)
		if err := ip("address add 198.51.100.8/24 dev", silentLink); err != nil {
			t.Fatal(err)
		}
		for _, end := range []*sctpnet.Conn{c, s} {
			other := map[*sctpnet.Conn]*sctpnet.Conn{c: s, s: c}[end]
			try(t, end, other, []call{
				{"AddLocalAddr", add, netip.MustParseAddr("198.51.100.8"), syscall.EINVAL, "bound to no address"},
				{"RemoveLocalAddr", remove, netip.MustParseAddr("198.51.100.7"), syscall.EINVAL, "bound to no address"},
			})
		}
	})
	t.Run("not agreed on", func(t *testing.T) {
		c, s := pipe(t, "sctp", "127.0.0.1/127.0.0.2:0")
		for _, says := range []string{"net.sctp.addip_enable=1", "net.sctp.addip_noauth_enable=1", "net.sctp.auth_enable=1"} {
			try(t, s, c, []call{
				{"AddLocalAddr", add, lo3, errors.ErrUnsupported, says},
				{"RemoveLocalAddr", remove, lo2, errors.ErrUnsupported, says},
				{"SetPeerPrimary", peerPrimary, lo2, errors.ErrUnsupported, says},
			})
		}
		// Nor can a listener where the peer cannot.
		ln := listen(t, "sctp", "127.0.0.1/127.0.0.2:0")
		sysctl(t, "addip_noauth_enable", "1")
		sysctl(t, "addip_enable", "1")
		c = dial(t, nil, "sctp", ln.Addr().String())
		s = accept(t, ln)
		try(t, c, s, []call{{"AddLocalAddr", add, lo3, errors.ErrUnsupported, "both"}})
	})
}

// Addresses can change while others use the association.
func TestAddrsConcurrently(t *testing.T) {
	c, s, _ := reconfigurable(t, "127.0.0.1", "127.0.0.1/127.0.0.2:0")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	done := make(chan struct{}, 4)
	loop := func(f func()) {
		go func() {
			for ctx.Err() == nil {
				f()
			}
			done <- struct{}{}
		}()
	}
	loop(func() {
		s.AddLocalAddr(lo3)
		s.RemoveLocalAddr(lo3)
	})
	loop(func() {
		c.SetPrimary(lo2)
		c.SetPrimary(lo1)
	})
	loop(func() {
		for _, to := range c.PeerAddrs() {
			c.WriteMsg([]byte("x"), sctpnet.MsgInfo{To: to})
		}
		c.Status()
		c.Paths()
		c.Stats()
	})
	loop(func() {
		s.SetReadDeadline(time.Now().Add(100 * ms))
		if _, err := s.Read(make([]byte, 10)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
	watchdog(t, func() {
		for range cap(done) {
			<-done
		}
	})
	s.SetReadDeadline(time.Time{})
	if _, err := c.Status(); err != nil {
		t.Error(err)
	}
}

// Config has it without sysctl, and with authentication.
func TestBindAddByConfig(t *testing.T) {
	config := sctpnet.Config{AddressReconfig: true}
	c, s := configured(t, "sctp", "127.0.0.1:0", config, config)
	if err := s.AddLocalAddr(lo2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the address of the accepting end", func() bool { return slices.Contains(c.PeerAddrs(), lo2) })
	if err := c.AddLocalAddr(lo3); err == nil {
		t.Error("an address was added to an association that is bound to none")
	}
	send(t, c, s, sctpnet.MsgInfo{To: lo2}, 100)
	if err := s.SetPeerPrimary(lo2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the primary path", func() bool { return c.PeerAddrs()[0] == lo2 })
	if err := s.RemoveLocalAddr(lo1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the removal", func() bool { return !slices.Contains(c.PeerAddrs(), lo1) })
	wantSame(t, c)
	wantSame(t, s)

	// The other way round.
	ln := listenWith(t, "sctp", "127.0.0.1:0", sctpnet.ListenConfig{Config: config})
	local := &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: lo1.AsSlice()}}}
	c = dial(t, &sctpnet.Dialer{Config: config, LocalAddr: local}, "sctp", ln.Addr().String())
	s = accept(t, ln)
	if err := c.AddLocalAddr(lo3); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the address of the dialing end", func() bool { return slices.Contains(s.PeerAddrs(), lo3) })
	send(t, s, c, sctpnet.MsgInfo{To: lo3}, 100)
}

// TestWriteMsgToEnded names an address of a peer whose association has ended. That does
// not hide how it ended.
func TestWriteMsgToEnded(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, abort := range []bool{false, true} {
			c, s := pipe(t, network, "127.0.0.1:0")
			if abort {
				s.Abort()
			} else {
				s.Close()
			}
			eventually(t, "the end", func() bool {
				_, err := c.Status()
				return err != nil
			})
			wantRead := error(io.EOF)
			if abort {
				wantRead = syscall.ECONNRESET
			}
			for range 2 {
				_, err := c.WriteMsg([]byte("x"), sctpnet.MsgInfo{To: lo1})
				if !errors.Is(err, syscall.EPIPE) && !(abort && errors.Is(err, syscall.ECONNRESET)) {
					t.Errorf("abort %v: WriteMsg: %v", abort, err)
				}
			}
			watchdog(t, func() {
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, wantRead) {
					t.Errorf("abort %v: Read: %v, want %v", abort, err, wantRead)
				}
			})
			c.Close()
			if _, err := c.WriteMsg([]byte("x"), sctpnet.MsgInfo{To: lo1}); !errors.Is(err, net.ErrClosed) {
				t.Errorf("WriteMsg after Close: %v", err)
			}
		}
	})
}

// TestWriteMsgToOthers writes to addresses that are not the peer's.
func TestWriteMsgToOthers(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		c, s := pipe(t, network, "127.0.0.1:0")
		for _, to := range []netip.Addr{lo2, lo6} {
			var op *net.OpError
			if _, err := c.WriteMsg([]byte("x"), sctpnet.MsgInfo{To: to}); !errors.Is(err, syscall.EADDRNOTAVAIL) || !errors.As(err, &op) {
				t.Errorf("to %v: %v, want EADDRNOTAVAIL in a *net.OpError", to, err)
			}
		}
		send(t, c, s, sctpnet.MsgInfo{To: lo1}, 100)
	})
}
