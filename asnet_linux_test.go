package sctpnet_test

import (
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// TestListenAsNet listens as package net does on TCP.
func TestListenAsNet(t *testing.T) {
	needSCTP(t)
	for _, suffix := range []string{"", "4", "6"} {
		for _, host := range []string{"", "[::]", "0.0.0.0", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]"} {
			t.Run(suffix+" "+host, func(t *testing.T) {
				want, terr := listenHost(net.Listen("tcp"+suffix, host+":0"))
				got, err := listenHost(sctpnet.Listen("sctp"+suffix, host+":0"))
				if got != want || (err == nil) != (terr == nil) {
					t.Errorf("SCTP listens at %q, %v; TCP at %q, %v", got, err, want, terr)
				}
			})
		}
	}
}

// listenHost returns the host that a listener has, and closes it.
func listenHost(ln net.Listener, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer ln.Close()
	host, _, err := net.SplitHostPort(ln.Addr().String())
	return host, err
}

// TestDialAsNet dials as package net does on TCP, from local addresses of all
// kinds.
func TestDialAsNet(t *testing.T) {
	tln, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tln.Close()
	ln := listen(t, "sctp", "[::]:0")
	for _, suffix := range []string{"", "4", "6"} {
		for _, local := range []string{"none", "", "::", "0.0.0.0", "127.0.0.1", "::1"} {
			for _, host := range []string{"", "[::]", "0.0.0.0", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"} {
				t.Run(fmt.Sprintf("%s from %s to %s", suffix, local, host), func(t *testing.T) {
					td := net.Dialer{FallbackDelay: -1} // a lost packet would decide a race
					d := sctpnet.Dialer{FallbackDelay: -1}
					if local != "none" {
						ip := net.ParseIP(local)
						td.LocalAddr = &net.TCPAddr{IP: ip}
						a := &sctpnet.Addr{}
						if ip != nil {
							a.IPAddrs = []net.IPAddr{{IP: ip}}
						}
						d.LocalAddr = a
					}
					want, terr := hosts(td.Dial("tcp"+suffix, host+":"+strconv.Itoa(tln.Addr().(*net.TCPAddr).Port)))
					got, err := hosts(d.Dial("sctp"+suffix, host+":"+strconv.Itoa(port(ln.Addr()))))
					if got != want || (err == nil) != (terr == nil) {
						t.Errorf("SCTP connects %q, %v; TCP %q, %v", got, err, want, terr)
					}
				})
			}
		}
	}
}

// hosts returns the hosts of a Conn's ends, and closes it.
func hosts(c net.Conn, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer c.Close()
	local, _, err1 := net.SplitHostPort(c.LocalAddr().String())
	remote, _, err2 := net.SplitHostPort(c.RemoteAddr().String())
	if err1 != nil {
		return "", err1
	}
	return local + " -> " + remote, err2
}

// TestLinkLocalAddrs looks at the addresses of associations between link-local
// addresses. Each has its zone, as of TCP.
func TestLinkLocalAddrs(t *testing.T) {
	a, b := newLinks(t)
	a.ip(t, "address add fe80::a/64 dev link1 nodad")
	b.ip(t, "address add fe80::b/64 dev link1 nodad")
	for _, host := range []string{"[fe80::b%link1]", "[::]"} {
		for _, local := range []string{"", "fe80::a"} {
			t.Run(fmt.Sprintf("listening at %s, from %s", host, local), func(t *testing.T) {
				ln := b.listen(t, sctpnet.ListenConfig{}, host+":0")
				d := sctpnet.Dialer{Timeout: 10 * time.Second}
				if local != "" {
					d.LocalAddr = &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.ParseIP(local), Zone: "link1"}}}
				}
				c := a.dial(t, d, fmt.Sprintf("[fe80::b%%link1]:%d", port(ln.Addr())))
				// Reading the name of a zone takes the network of the socket.
				var s net.Conn
				b.do(t, func() (err error) {
					s, err = ln.Accept()
					return err
				})
				defer s.Close()
				// Of a peer's other addresses the system knows no zone.
				for what, addr := range map[string]net.Addr{
					"LocalAddr of the dialled one":   c.LocalAddr(),
					"RemoteAddr of the dialled one":  c.RemoteAddr(),
					"LocalAddr of the accepted one":  s.LocalAddr(),
					"RemoteAddr of the accepted one": s.RemoteAddr(),
				} {
					if ip := addr.(*sctpnet.Addr).IPAddrs[0]; !ip.IP.IsLinkLocalUnicast() || ip.Zone != "link1" {
						t.Errorf("%s is %v, want a link-local address with the zone link1", what, addr)
					}
				}
			})
		}
	}
}
