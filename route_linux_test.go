package sctpnet_test

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"golang.org/x/sys/unix"
)

// TestDialNoRoute dials where there is no route. SCTP fails as fast as TCP, with
// TCP's errno.
func TestDialNoRoute(t *testing.T) {
	a, _ := newLinks(t)
	for _, route := range []string{
		"unreachable 10.99.1.0/24",
		"prohibit 10.99.2.0/24",
		"blackhole 10.99.3.0/24",
		"unreachable 2001:db8:1::/48",
		"prohibit 2001:db8:2::/48",
		"blackhole 2001:db8:3::/48",
	} {
		a.ip(t, "route add "+route)
	}
	for _, tt := range []struct{ local, address string }{
		{"", "192.0.2.1:5000"},
		{"", "10.99.1.1:5000"},
		{"", "10.99.2.1:5000"},
		{"", "10.99.3.1:5000"},
		{"", "10.77.1.255:5000"},
		{"", "255.255.255.255:5000"},
		{"", "224.0.0.1:5000"},
		{"", "[ff02::1%link1]:5000"},
		{"", "[2001:db8::1]:5000"},
		{"", "[2001:db8:1::1]:5000"},
		{"", "[2001:db8:2::1]:5000"},
		{"", "[2001:db8:3::1]:5000"},
		{"", "[fe80::1]:5000"},
		{"10.77.1.1", "192.0.2.1:5000"},
		{"10.77.1.1", "10.99.1.1:5000"},
		{"127.0.0.1", "192.0.2.1:5000"},
	} {
		t.Run(tt.local+"-"+tt.address, func(t *testing.T) {
			want, _ := a.dialErrno(t, "tcp", tt.local, tt.address)
			got, took := a.dialErrno(t, "sctp", tt.local, tt.address)
			if got != want || took > time.Second*conformance.Slowness {
				t.Errorf("SCTP fails with %v after %v, TCP with %v", got, took, want)
			}
		})
	}
	t.Run("list", func(t *testing.T) {
		got, took := a.dialErrno(t, "sctp", "", "10.99.2.1/10.99.1.1:5000")
		if got != unix.EACCES || took > time.Second*conformance.Slowness {
			t.Errorf("failed with %v after %v, want the first address's %v", got, took, unix.EACCES)
		}
	})
}

// dialErrno dials in the network, which must fail.
func (ns *netns) dialErrno(t *testing.T, network, local, address string) (errno syscall.Errno, took time.Duration) {
	t.Helper()
	ns.do(t, func() error {
		start := time.Now()
		var c net.Conn
		var err error
		ip := net.ParseIP(local)
		if network == "tcp" {
			d := net.Dialer{Timeout: 20 * time.Second}
			if ip != nil {
				d.LocalAddr = &net.TCPAddr{IP: ip}
			}
			c, err = d.Dial(network, address)
		} else {
			d := sctpnet.Dialer{Timeout: 20 * time.Second}
			if ip != nil {
				d.LocalAddr = &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: ip}}}
			}
			c, err = d.Dial(network, address)
		}
		took = time.Since(start)
		if err == nil {
			c.Close()
			return fmt.Errorf("%s connects to %s", network, address)
		}
		if !errors.As(err, &errno) {
			return fmt.Errorf("%s: no errno: %v", network, err)
		}
		var e *net.OpError
		if !errors.As(err, &e) || e.Op != "dial" {
			t.Errorf("%s: %v is not an OpError of dial", network, err)
		}
		return nil
	})
	return errno, took
}

// TestDialSomeRoute dials where there is a route by something that must be looked
// at: it must not be taken for none.
func TestDialSomeRoute(t *testing.T) {
	for _, tt := range []struct {
		name      string
		configure func(t *testing.T, a *netns)
		dialer    sctpnet.Dialer
		hosts     string
	}{
		{
			name:  "second address",
			hosts: "192.0.2.1/10.77.1.2",
		},
		{
			name:  "second local address",
			hosts: "10.77.1.2",
			dialer: sctpnet.Dialer{LocalAddr: &sctpnet.Addr{
				IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}, {IP: net.IP{10, 77, 1, 1}}},
			}},
		},
		{
			name: "device",
			configure: func(t *testing.T, a *netns) {
				a.ip(t, "route del 10.77.1.0/24 dev link1")
				a.ip(t, "route add unreachable 10.77.1.0/24 metric 1")
				a.ip(t, "route add 10.77.1.0/24 dev link1 metric 2")
			},
			dialer: sctpnet.Dialer{Control: setsockopt(func(fd int) error {
				return unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, "link1")
			})},
			hosts: "10.77.1.2",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newLinks(t)
			// The answer takes a while, so that the route is asked for.
			b.tc(t, "add dev link1 root netem delay 50ms")
			ln := b.listen(t, sctpnet.ListenConfig{}, "10.77.1.2:0")
			if tt.configure != nil {
				tt.configure(t, a)
			}
			tt.dialer.Timeout = 20 * time.Second
			a.dial(t, tt.dialer, fmt.Sprintf("%s:%d", tt.hosts, port(ln.Addr())))
		})
	}
}

// setsockopt makes a Dialer's Control.
func setsockopt(set func(fd int) error) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = set(int(fd)) }); cerr != nil {
			return cerr
		}
		return err
	}
}
