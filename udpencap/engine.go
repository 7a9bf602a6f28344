package udpencap

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/sctpnet/sctpnet/internal/engine"
)

func init() { engine.Register("+udp", udpEngine{}) }

// udpEngine is SCTP over UDP.
type udpEngine struct{}

// Available says that UDP is everywhere.
func (udpEngine) Available() error { return nil }

// checkOptions returns an error for limits that exclude each other.
func checkOptions(o *engine.Options) error {
	var r retry
	r.init(*o)
	return r.check()
}

// Dial makes an association with remote.
func (udpEngine) Dial(ctx context.Context, s *engine.Socket, remote *engine.Addr) (engine.Conn, error) {
	return dialAt(ctx, s, remote, portsOf(&s.Options, remote))
}

// portsOf returns the UDP ports at which a peer may be.
func portsOf(o *engine.Options, remote *engine.Addr) []uint16 {
	if udp := uint16(o.PathParams.UDPPort); udp != 0 {
		return []uint16{udp}
	}
	// The UDP port of the SCTP port's number, as the caller has named it, and
	// that of RFC 6951, which may be somebody else's.
	return slices.Compact([]uint16{uint16(remote.Port), UDPPort})
}

// dialAt is Dial of a peer that is at one of several UDP ports, to be asked in this
// order.
func dialAt(ctx context.Context, s *engine.Socket, remote *engine.Addr, ports []uint16) (engine.Conn, error) {
	if err := checkOptions(&s.Options); err != nil {
		return nil, err
	}
	if len(remote.IPAddrs) != 1 || s.Local != nil && len(s.Local.IPAddrs) > 1 {
		return nil, unsupported(severalAddresses)
	}
	ip := toIP(remote.IPAddrs[0])
	from, num := anyOf(ip), uint16(0)
	if s.Local != nil {
		num = uint16(s.Local.Port)
		if !engine.IsWildcard(s.Local.IPAddrs) {
			from = toIP(s.Local.IPAddrs[0])
		}
	}
	p, err := dialPort(ctx, from, ip, num, uint16(remote.Port), s.Options.LocalUDPPort, controlOf(ctx, s))
	if err != nil {
		return nil, err
	}
	key := peer{ip, uint16(remote.Port)}
	a := newAssoc(p, key, s.Options)
	if from.IsUnspecified() || s.Control == nil { // which may see to the route
		if from, err = localTo(from, netip.AddrPortFrom(ip, key.port)); err != nil {
			p.release()
			return nil, err
		}
	}
	a.setAddrs(from)
	if err := a.connect(ctx, ports); err != nil {
		return nil, err
	}
	return a, nil
}

// localTo returns the address that packets to an address are sent from, by a socket
// that is bound to an address or to any, and an error if none can be sent.
func localTo(from netip.Addr, to netip.AddrPort) (netip.Addr, error) {
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.UDPAddrFromAddrPort(to))
	if err != nil {
		return netip.Addr{}, err.(*net.OpError).Err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

func controlOf(ctx context.Context, s *engine.Socket) control {
	if s.Control == nil {
		return nil
	}
	return func(network, address string, c syscall.RawConn) error {
		name := "sctp4"
		if network == "udp6" {
			name = "sctp6"
		}
		return s.Control(ctx, name, address, c)
	}
}

func toIP(a net.IPAddr) netip.Addr {
	ip, _ := netip.AddrFromSlice(a.IP)
	ip = ip.Unmap()
	if hasZone(ip) {
		ip = ip.WithZone(engine.ZoneName(a.Zone))
	}
	return ip
}

// hasZone reports whether an address means something only together with a zone. Any
// other has none, whatever its user has written, and none comes with a packet.
func hasZone(ip netip.Addr) bool {
	return ip.Is6() && (ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast())
}

func ipAddr(ip netip.Addr) net.IPAddr {
	return net.IPAddr{IP: ip.WithZone("").AsSlice(), Zone: ip.Zone()}
}

// Listen makes a listening endpoint.
func (udpEngine) Listen(ctx context.Context, s *engine.Socket) (engine.Listener, error) {
	l, err := newListener(ctx, s, nil)
	if err != nil {
		return nil, err
	}
	return l, nil
}
