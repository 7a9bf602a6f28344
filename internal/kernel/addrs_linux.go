package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

const (
	optAsconfSupported = 128 // SCTP_ASCONF_SUPPORTED

	// anAssoc is an association's identifier where 0 would mean the
	// endpoint's; a one-to-one socket has one association, whatever its
	// number.
	anAssoc = 1
)

// An addrCache keeps a list of addresses.
type addrCache = atomic.Pointer[engine.Addr]

// toNetip converts an address that came from the kernel.
func toNetip(ip net.IPAddr) netip.Addr {
	a, _ := netip.AddrFromSlice(ip.IP)
	return a.Unmap().WithZone(ip.Zone)
}

// fromNetip converts it back.
func fromNetip(ip netip.Addr) net.IPAddr {
	ip = ip.Unmap()
	return net.IPAddr{IP: ip.AsSlice(), Zone: ip.Zone()}
}

func toNetips(a *engine.Addr) []netip.Addr {
	list := make([]netip.Addr, 0, len(a.IPAddrs))
	for _, ip := range a.IPAddrs {
		list = append(list, toNetip(ip))
	}
	return list
}

// LocalAddrs asks for the addresses of the association, which can be less than
// those of its socket: they are what the peer was told.
func (c *conn) LocalAddrs() []netip.Addr { return c.addrs(&c.knownLocal, localAddrs, c.local) }

func (c *conn) PeerAddrs() []netip.Addr { return c.addrs(&c.knownPeer, peerAddrs, c.remote) }

// addrs asks for a list, or returns the one known last: the kernel forgets it
// with the association.
func (c *conn) addrs(known *addrCache, ask func(fd int) (*engine.Addr, error), first *engine.Addr) []netip.Addr {
	err := c.control(func(fd int) error {
		a, err := ask(fd)
		if err == nil {
			known.Store(a)
		}
		return err
	})
	a := known.Load()
	if err != nil && a == nil {
		a = first
	}
	return toNetips(a)
}

func localAddrs(fd int) (*engine.Addr, error) {
	a, err := addrsOf(fd, sctp.SCTP_GET_LOCAL_ADDRS, anAssoc)
	if err == unix.EINVAL || err == nil && len(a.IPAddrs) == 0 {
		err = engine.ErrEnded
	}
	return a, err
}

func peerAddrs(fd int) (*engine.Addr, error) { return peerAddrsOf(socketOf(fd)) }

func peerAddrsOf(t target) (*engine.Addr, error) {
	st, err := t.status()
	if err != nil {
		return nil, err
	}
	primary, _, _ := parseSockaddr(st.PrimaryPeerAddr.Address[:])
	if a := t.peerAddr(primary); a != nil {
		return a, nil
	}
	return nil, engine.ErrEnded
}

// find returns the sockaddr of an address in a list, and whether it is there.
// A link-local address may lack its zone, as some of
// the peer's do that the kernel gives.
func find(list *engine.Addr, ip netip.Addr) (*engine.Addr, bool) {
	want := fromNetip(ip)
	zone, err := zoneIndex(want.Zone)
	if err != nil {
		return nil, false
	}
	want.Zone = zoneName(want.IP, zone)
	i := slices.IndexFunc(list.IPAddrs, func(a net.IPAddr) bool {
		return a.IP.Equal(want.IP) && (want.Zone == "" || a.Zone == "" || a.Zone == want.Zone)
	})
	if i < 0 {
		return nil, false
	}
	return &engine.Addr{IPAddrs: list.IPAddrs[i : i+1], Port: list.Port}, true
}

// Address does something with an address.
func (c *conn) Address(op engine.AddrOp, ip netip.Addr) error {
	switch op {
	case engine.AddLocal:
		return c.addLocal(ip)
	case engine.RemoveLocal:
		return c.removeLocal(ip)
	case engine.SetPrimary:
		return c.setPrimary(ip)
	case engine.SetPeerPrimary:
		return c.setPeerPrimary(ip)
	default:
		return c.heartbeat(ip)
	}
}

func (c *conn) addLocal(ip netip.Addr) error {
	return c.control(func(fd int) error {
		local, err := localAddrs(fd)
		if err != nil {
			return err
		}
		if _, ok := find(local, ip); ok {
			return fmt.Errorf("%s is an address of the association already: %w", ip, unix.EADDRINUSE)
		}
		if err := checkFamily(fd, ip); err != nil {
			return err
		}
		if err := canReconfigure(fd); err != nil {
			return err
		}
		err = bindx(fd, sctp.SCTP_SOCKOPT_BINDX_ADD, &engine.Addr{IPAddrs: one(fromNetip(ip)), Port: local.Port})
		switch {
		case errors.Is(err, unix.EADDRNOTAVAIL):
			return fmt.Errorf("%s is not an address of this host: %w", ip, err)
		case errors.Is(err, unix.EADDRINUSE):
			return fmt.Errorf("another socket has %s at port %d, or listens there: %w", ip, local.Port, err)
		case errors.Is(err, unix.EINVAL):
			// The socket is bound to it, and the association is not.
			return fmt.Errorf("%s cannot be added: the association is bound to no address, which means to all that the host had at its beginning: %w", ip, err)
		}
		return err
	})
}

func (c *conn) removeLocal(ip netip.Addr) error {
	return c.control(func(fd int) error {
		local, err := localAddrs(fd)
		if err != nil {
			return err
		}
		addr, ok := find(local, ip)
		if !ok {
			return notBound(ip)
		}
		if len(local.IPAddrs) == 1 {
			return fmt.Errorf("%s is the only address of the association: %w", ip, unix.EBUSY)
		}
		if err := canReconfigure(fd); err != nil {
			return err
		}
		err = bindx(fd, sctp.SCTP_SOCKOPT_BINDX_REM, addr)
		if errors.Is(err, unix.EBUSY) {
			// The one address of the socket is that which means any.
			return fmt.Errorf("%s cannot be removed: the association is bound to no address, which means to all: %w", ip, unix.EINVAL)
		}
		return err
	})
}

func bindx(fd, opt int, addr *engine.Addr) error {
	list, err := appendSockaddrs(nil, addr)
	if err != nil {
		return err
	}
	return setBytes(fd, opt, list)
}

func (c *conn) setPrimary(peer netip.Addr) error {
	return c.control(func(fd int) error {
		list, err := peerAddrs(fd)
		if err != nil {
			return err
		}
		addr, ok := find(list, peer)
		if !ok {
			return notThePeers(peer)
		}
		return setAddr(fd, sctp.SCTP_PRIMARY_ADDR, addr)
	})
}

func (c *conn) setPeerPrimary(local netip.Addr) error {
	return c.control(func(fd int) error {
		list, err := localAddrs(fd)
		if err != nil {
			return err
		}
		addr, ok := find(list, local)
		if !ok {
			return notBound(local)
		}
		if err := canReconfigure(fd); err != nil {
			return err
		}
		err = setAddr(fd, sctp.SCTP_SET_PEER_PRIMARY_ADDR, addr)
		if errors.Is(err, unix.EPERM) {
			return fmt.Errorf("the peer does not let its primary path be chosen: %w", err)
		}
		return err
	})
}

func (c *conn) heartbeat(ip netip.Addr) error {
	return c.path(ip, func(fd int, addr [128]byte) error {
		err := optPathParams.set(fd, pathParams{Address: addr, Flags: sppHBDemand})
		if errors.Is(err, unix.EINVAL) {
			return engine.ErrEnded
		}
		return err
	})
}

// setAddr sets an option whose value is an association's address.
func setAddr(fd, opt int, addr *engine.Addr) error {
	b, err := assocAddr(addr)
	if err != nil {
		return err
	}
	return setBytes(fd, opt, b)
}

// assocAddr returns a struct sctp_prim or sctp_setpeerprim, which are the same:
// the association and one address, packed.
func assocAddr(addr *engine.Addr) ([]byte, error) {
	b, err := appendSockaddrs(make([]byte, 4, 4+128), addr)
	if err != nil {
		return nil, err
	}
	return b[:cap(b)], nil
}

func notBound(ip netip.Addr) error {
	return fmt.Errorf("%s is not a local address of the association: %w", ip, unix.EADDRNOTAVAIL)
}

func notThePeers(ip netip.Addr) error {
	return fmt.Errorf("%s is not an address of the peer: %w", ip, unix.EADDRNOTAVAIL)
}

// checkFamily returns an error if a socket cannot have an address.
func checkFamily(fd int, ip netip.Addr) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	v6only := 0
	if domain == unix.AF_INET6 {
		if v6only, err = unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY); err != nil {
			return os.NewSyscallError("getsockopt", err)
		}
	}
	switch is4 := ip.Unmap().Is4(); {
	case domain == unix.AF_INET && !is4:
		return fmt.Errorf("%s is an IPv6 address, and the association's socket is one for IPv4: %w", ip, unix.EAFNOSUPPORT)
	case v6only != 0 && is4:
		return fmt.Errorf("%s is an IPv4 address, and the association's socket is one for IPv6 only: %w", ip, unix.EAFNOSUPPORT)
	}
	return nil
}

// canReconfigure returns an error if the peer would not be told of a change of
// addresses. The kernel makes the change all the same, to the socket, where it
// is of no use.
func canReconfigure(fd int) error {
	var buf [8]byte // struct sctp_assoc_value
	binary.NativeEndian.PutUint32(buf[:], anAssoc)
	_, err := getsockopt(fd, optAsconfSupported, buf[:])
	switch {
	case err == nil && binary.NativeEndian.Uint32(buf[4:]) != 0:
		// A socket that was accepted has not inherited it from the listener,
		// other than by sysctl, and would not tell the peer.
		return setStruct(fd, optAsconfSupported, assocValue{AssocID: anAssoc, Value: 1})
	case err == unix.ENOPROTOOPT: // before Linux 5.4
		b, err := os.ReadFile("/proc/sys/net/sctp/addip_enable")
		if err == nil && bytes.HasPrefix(b, []byte("1")) {
			return nil
		}
	}
	return errNoReconfig
}

var errNoReconfig error = noReconfigError{}

// noReconfigError says what addresses need to be changed.
type noReconfigError struct{}

func (noReconfigError) Error() string {
	return "the ends did not agree on address reconfiguration (RFC 5061) in the handshake: both need " +
		"Config.AddressReconfig, or sysctl net.sctp.addip_enable=1 with net.sctp.auth_enable=1 or net.sctp.addip_noauth_enable=1"
}

func (noReconfigError) Unwrap() error { return errors.ErrUnsupported }

// putTo has the next system call send to the message's destination, if it has
// one.
func (o *op) putTo(fd int) error {
	if o.conn.peeled && o.msg.To.IsValid() {
		lack, _ := lacks.Find(engine.LacksCall, peeledTo)
		return lack.Error("")
	}
	return o.sendTo(fd, o.msg.To, o.conn.remote.Port)
}

func (h *header) sendTo(fd int, ip netip.Addr, port int) error {
	h.hdr.Name, h.hdr.Namelen = nil, 0
	if !ip.IsValid() {
		return nil
	}
	h.hdr.Name = &h.name[0]
	binary.BigEndian.PutUint16(h.name[2:], uint16(port))
	if ip.Is4() {
		binary.NativeEndian.PutUint16(h.name[:], unix.AF_INET)
		b := ip.As4()
		copy(h.name[4:8], b[:])
		clear(h.name[8:unix.SizeofSockaddrInet4])
		h.hdr.Namelen = unix.SizeofSockaddrInet4
		return nil
	}
	zone, ok := zoneOf(fd, ip.Zone())
	if !ok {
		return &net.AddrError{Err: "unknown zone", Addr: ip.String()}
	}
	binary.NativeEndian.PutUint16(h.name[:], unix.AF_INET6)
	clear(h.name[4:8])
	b := ip.As16()
	copy(h.name[8:24], b[:])
	binary.NativeEndian.PutUint32(h.name[24:], zone)
	h.hdr.Namelen = unix.SizeofSockaddrInet6
	return nil
}

// zoneOf is zoneIndex without allocations, by means of a socket.
func zoneOf(fd int, zone string) (uint32, bool) {
	if zone == "" {
		return 0, true
	}
	if ifr, err := unix.NewIfreq(zone); err == nil && unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr) == nil {
		return ifr.Uint32(), true
	}
	index, err := zoneIndex(zone)
	return index, err == nil
}
