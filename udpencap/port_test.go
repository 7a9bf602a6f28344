package udpencap

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestPortIsNotNextOnes dials when the association before has just ended, while
// another one keeps the UDP socket: what knows associations by their ports must be
// able to tell them apart.
func TestPortIsNotNextOnes(t *testing.T) {
	ln, err := sctpnet.Listen("sctp4+udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	watchdog(t, func() {
		dial := func() (c *sctpnet.Conn, number int) {
			nc, err := sctpnet.Dial("sctp4+udp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { nc.Close() })
			return nc.(*sctpnet.Conn), nc.LocalAddr().(*sctpnet.Addr).Port
		}
		first, number := dial()
		dial() // keeps the socket
		first.Abort()
		conformance.WaitFor(t, "the port to be free", func() bool {
			registry.mu.Lock()
			defer registry.mu.Unlock()
			for _, s := range registry.dialing {
				if s.port(uint16(number)) != nil {
					return false
				}
			}
			return true
		})
		if _, next := dial(); next == number {
			t.Errorf("port %d is that of the association before", next)
		}
	})
}

// TestPortIsGone closes a port while an association on it is being made. The association
// does not use the port. Its UDP socket is there for another port.
func TestPortIsGone(t *testing.T) {
	udp := uint16(freeUDPPort(t))
	socketOn := func(port int) *engine.Socket {
		return &engine.Socket{
			Network: "sctp4",
			Local:   &engine.Addr{IPAddrs: loopbackAddr, Port: port},
			Options: engine.Options{LocalUDPPort: udp},
		}
	}
	other, err := udpEngine{}.Listen(t.Context(), socketOn(3868))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	shared := other.(*listener).port.sockets[0]
	wantUnused := func(p *port) {
		t.Helper()
		registry.mu.Lock()
		defer registry.mu.Unlock()
		if p.users != 0 || shared.refs != 1 {
			t.Errorf("the port has %d users, and the socket %d ports", p.users, shared.refs)
		}
	}
	watchdog(t, func() {
		ln, err := udpEngine{}.Listen(t.Context(), socketOn(3870))
		if err != nil {
			t.Fatal(err)
		}
		l := ln.(*listener)
		l.Close()
		l.closed = false // as when a COOKIE ECHO came
		ip := netip.MustParseAddr("127.0.0.1")
		key := peer{ip, 5000}
		ck := cookie{cookieFor: cookieFor{localTag: 77}, peerTag: 78, peerWindow: 5000, peerOut: 1, peerIn: 1}
		in := ck.initiation()
		if l.establish(shared.pathTo(netip.MustParseAddrPort(muteUDP(t)), ip), ip, key, &ck, &in) != nil {
			t.Error("there is an association")
		}
		wantUnused(l.port)

		c, err := udpEngine{}.ListenPacket(t.Context(), socketOn(3871), 0)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		err = c.Connect(&engine.Addr{IPAddrs: loopbackAddr, Port: 3999}, func(engine.AssocID, bool) { t.Error("an association has begun") })
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("Connect: %v", err)
		}
		wantUnused(c.(*packetConn).l.port)
	})
}

// TestNoPortIsFree dials from a UDP socket that has all SCTP ports.
func TestNoPortIsFree(t *testing.T) {
	ip := netip.MustParseAddr("127.0.0.1")
	udp := uint16(freeUDPPort(t))
	watchdog(t, func() {
		own, err := dialPort(t.Context(), ip, ip, 0, 0, udp, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer own.release()
		s := own.sockets[0]
		for num := firstEphemeral; num <= lastEphemeral; num++ {
			s.ports[uint16(num)] = own
		}
		if p, err := dialPort(t.Context(), ip, ip, 0, 0, udp, nil); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("all ports are taken: %v, %v; want EADDRNOTAVAIL", p, err)
		}
		delete(s.ports, lastEphemeral-1)
		p, err := dialPort(t.Context(), ip, ip, 0, 0, udp, nil)
		if err != nil || p.num != lastEphemeral-1 {
			t.Fatalf("one port is free: %+v, %v", p, err)
		}
		p.release()
	})
}
