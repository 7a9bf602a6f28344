package sctpnet_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// TestDialSelf dials a port where nobody listens, but which the system may choose
// for the dialler. The dial fails, as TCP's.
func TestDialSelf(t *testing.T) {
	a := newNetns(t)
	a.ip(t, "address add 127.0.0.2/8 dev lo")
	a.ip(t, "address add 10.1.1.1/32 dev lo")
	a.portRange(t, 40000, 40003)
	for _, hosts := range []string{"127.0.0.1", "[::1]", "127.0.0.1/10.1.1.1", "10.1.1.1/127.0.0.1"} {
		t.Run(hosts, func(t *testing.T) {
			for range 50 {
				a.do(t, func() error {
					d := sctpnet.Dialer{Timeout: 10 * time.Second}
					c, err := d.Dial("sctp", hosts+":40002")
					if err == nil {
						c.Close()
						return fmt.Errorf("nobody listens, and yet %v is connected to %v", c.LocalAddr(), c.RemoteAddr())
					}
					if !errors.Is(err, syscall.ECONNREFUSED) {
						return fmt.Errorf("the dial failed with %v, want ECONNREFUSED", err)
					}
					return nil
				})
			}
		})
	}
}

// TestDialSelfOnPurpose dials from the port that it dials.
func TestDialSelfOnPurpose(t *testing.T) {
	a := newNetns(t)
	local := &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}}, Port: 40000}
	c := a.dial(t, sctpnet.Dialer{LocalAddr: local}, "127.0.0.1:40000")
	exchange(t, c, c)
}

// portRange sets the ports that the system chooses from.
func (ns *netns) portRange(t testing.TB, first, last int) {
	t.Helper()
	ns.do(t, func() error {
		return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", fmt.Appendf(nil, "%d %d", first, last), 0)
	})
}

// TestDialNoPort dials when all local ports are in use.
func TestDialNoPort(t *testing.T) {
	a := newNetns(t)
	a.portRange(t, 40000, 40003)
	ln := a.listen(t, sctpnet.ListenConfig{}, "127.0.0.1:30000")
	for range 4 {
		a.dial(t, sctpnet.Dialer{}, ln.Addr().String())
	}
	for _, local := range []*sctpnet.Addr{nil, {IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}}}} {
		t.Run(fmt.Sprint("from ", local), func(t *testing.T) {
			a.do(t, func() error {
				want := syscall.EADDRNOTAVAIL
				if local != nil {
					want = syscall.EADDRINUSE // as of TCP, whose bind it is
				}
				d := sctpnet.Dialer{Timeout: 10 * time.Second}
				if local != nil {
					d.LocalAddr = local
				}
				c, err := d.Dial("sctp", ln.Addr().String())
				if err == nil {
					c.Close()
					return errors.New("there is a port left")
				}
				var e net.Error
				if !errors.Is(err, want) || errors.As(err, &e) && e.Timeout() {
					return fmt.Errorf("the dial failed with %v, want %v and no timeout", err, want)
				}
				return nil
			})
		})
	}
	a.do(t, func() error {
		ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
		if err == nil {
			ln.Close()
			return errors.New("there is a port left to listen at")
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("Listen failed with %v, want EADDRINUSE", err)
		}
		return nil
	})
}
