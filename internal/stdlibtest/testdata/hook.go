// Package hook has package net's TCP or UDP be sctpnet, in the way that the
// environment variable SCTPNET_STDLIB says. It stands below GOROOT, where net
// has the hooks that it sets; see the command in internal/stdlibtest.
package hook

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet"
	_ "github.com/sctpnet/sctpnet/udpencap"
)

func init() {
	options := strings.Fields(os.Getenv("SCTPNET_STDLIB"))
	if len(options) == 0 {
		return
	}
	kind, network, _ := strings.Cut(options[0], "/")
	_, engine, _ := strings.Cut(network, "+")
	m := mode{
		streams: kind == "stream",
		engine:  engine,
		addrs:   slices.Contains(options, "addrs"),
	}
	net.SCTPDial = m.dial
	if kind == "packet" {
		net.SCTPFor, net.SCTPListenPacket = "udp", m.listenPacket
		return
	}
	net.SCTPFor, net.SCTPListen = "tcp", m.listen
}

// A mode is a way of using sctpnet.
type mode struct {
	streams bool
	engine  string // the suffix of networks' names
	addrs   bool   // of the network that sctpnet stands for
}

// network returns SCTP's name for a network.
func (m mode) network(network string) string {
	network, _, _ = strings.Cut(network, "+")
	name := "sctp" + strings.TrimPrefix(strings.TrimPrefix(network, net.SCTPFor), "sctp")
	if m.engine != "" {
		name += "+" + m.engine
	}
	return name
}

// shared dials streams for Dialers that ask for nothing in particular, as a
// program has one StreamDialer for all.
var shared sctpnet.StreamDialer

func (m mode) dial(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
	if ctx == nil {
		panic("nil context")
	}
	if d.Cancel != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-d.Cancel:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	s := sctpnet.Dialer{
		Timeout:        d.Timeout,
		Deadline:       d.Deadline,
		LocalAddr:      d.LocalAddr,
		FallbackDelay:  d.FallbackDelay,
		Resolver:       d.Resolver,
		Control:        d.Control,
		ControlContext: d.ControlContext,
	}
	if a, ok := d.LocalAddr.(*net.TCPAddr); ok && a != nil {
		s.LocalAddr = &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: a.IP, Zone: a.Zone}}, Port: a.Port}
	}
	if a, ok := d.LocalAddr.(*net.UDPAddr); ok && a != nil && net.SCTPFor == "udp" {
		s.LocalAddr = &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: a.IP, Zone: a.Zone}}, Port: a.Port}
	}
	network = m.network(network)
	if !m.streams {
		c, err := s.DialContext(ctx, network, address)
		return m.conn(c, err)
	}
	dialer := &shared
	if s.Timeout != 0 || !s.Deadline.IsZero() || s.LocalAddr != nil || s.Resolver != nil || s.Control != nil || s.ControlContext != nil {
		dialer = &sctpnet.StreamDialer{Dialer: s, IdleTimeout: -1}
	}
	c, err := dialer.DialContext(ctx, network, address)
	return m.conn(c, err)
}

func (m mode) listen(ctx context.Context, lc *net.ListenConfig, network, address string) (net.Listener, error) {
	s := sctpnet.ListenConfig{Control: lc.Control}
	l, err := s.Listen(ctx, m.network(network), address)
	if err != nil {
		return nil, err
	}
	if m.streams {
		l = sctpnet.NewStreamListener(l)
	}
	if m.addrs {
		l = listenerWithAddr{l, m}
	}
	return l, nil
}

// conn returns what a caller gets for a connection.
func (m mode) conn(c net.Conn, err error) (net.Conn, error) {
	switch c := c.(type) {
	case *sctpnet.Conn:
		if m.addrs {
			return connWithAddrs{c}, err
		}
	case *sctpnet.Stream:
		if m.addrs {
			return streamWithAddrs{c}, err
		}
	}
	return c, err
}

type connWithAddrs struct{ *sctpnet.Conn }

func (c connWithAddrs) LocalAddr() net.Addr  { return netAddr(c.Conn.LocalAddr()) }
func (c connWithAddrs) RemoteAddr() net.Addr { return netAddr(c.Conn.RemoteAddr()) }

type streamWithAddrs struct{ *sctpnet.Stream }

func (c streamWithAddrs) LocalAddr() net.Addr  { return netAddr(c.Stream.LocalAddr()) }
func (c streamWithAddrs) RemoteAddr() net.Addr { return netAddr(c.Stream.RemoteAddr()) }

type listenerWithAddr struct {
	net.Listener
	m mode
}

func (l listenerWithAddr) Addr() net.Addr { return netAddr(l.Listener.Addr()) }

func (l listenerWithAddr) Accept() (net.Conn, error) { return l.m.conn(l.Listener.Accept()) }

// SetDeadline is a Listener's, where there is one.
func (l listenerWithAddr) SetDeadline(t time.Time) error {
	return net.SCTPListenerOf(l.Listener).SetDeadline(t)
}

func (l listenerWithAddr) SyscallConn() (syscall.RawConn, error) {
	return net.SCTPListenerOf(l.Listener).SyscallConn()
}

func (l listenerWithAddr) File() (*os.File, error) { return net.SCTPListenerOf(l.Listener).File() }

// netAddr returns an address as one of the network that sctpnet stands for.
func netAddr(a net.Addr) net.Addr {
	s := a.(*sctpnet.Addr)
	var ip net.IPAddr
	if len(s.IPAddrs) > 0 {
		ip = s.IPAddrs[0]
	}
	if net.SCTPFor == "udp" {
		return &net.UDPAddr{IP: ip.IP, Port: s.Port, Zone: ip.Zone}
	}
	return &net.TCPAddr{IP: ip.IP, Port: s.Port, Zone: ip.Zone}
}

func (m mode) listenPacket(ctx context.Context, lc *net.ListenConfig, network, address string) (net.PacketConn, error) {
	s := sctpnet.ListenConfig{Control: lc.Control}
	c, err := s.ListenPacket(ctx, m.network(network), address)
	if err != nil {
		return nil, err
	}
	return &packetConn{PacketConn: c.(*sctpnet.PacketConn), peers: make(map[netip.AddrPort]*sctpnet.Addr)}, nil
}

// A packetConn is a PacketConn with addresses of UDP.
type packetConn struct {
	*sctpnet.PacketConn
	mu    sync.Mutex
	peers map[netip.AddrPort]*sctpnet.Addr
}

func (c *packetConn) LocalAddr() net.Addr { return netAddr(c.PacketConn.LocalAddr()) }

func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.PacketConn.ReadFrom(b)
	if from == nil {
		return n, nil, err
	}
	return n, netAddr(from), err
}

// Read makes it a net.Conn, for tests that ask whether ReadFrom and Read are alike.
func (c *packetConn) Read(b []byte) (int, error) {
	n, _, err := c.PacketConn.ReadFrom(b)
	return n, err
}

func (c *packetConn) Write(b []byte) (int, error) { return c.PacketConn.WriteTo(b, nil) }
func (c *packetConn) RemoteAddr() net.Addr        { return nil }

func (c *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if !ok || a == nil {
		return c.PacketConn.WriteTo(b, nil)
	}
	return c.WriteToUDPAddrPort(b, a.AddrPort())
}

func (c *packetConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := c.PacketConn.ReadFrom(b)
	if from == nil {
		return n, netip.AddrPort{}, err
	}
	a := from.(*sctpnet.Addr)
	ip, _ := netip.AddrFromSlice(a.IPAddrs[0].IP)
	return n, netip.AddrPortFrom(ip.WithZone(a.IPAddrs[0].Zone), uint16(a.Port)), err
}

func (c *packetConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	c.mu.Lock()
	a := c.peers[to]
	if a == nil {
		ip := net.IPAddr{IP: to.Addr().AsSlice(), Zone: to.Addr().Zone()}
		a = &sctpnet.Addr{IPAddrs: []net.IPAddr{ip}, Port: int(to.Port())}
		c.peers[to] = a
	}
	c.mu.Unlock()
	return c.PacketConn.WriteTo(b, a)
}
