package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// anAssoc is an association's identifier where 0 would mean the endpoint's; a
// one-to-one socket has one association, whatever its number.
const anAssoc = 1

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
		if err := enableASCONF(fd); err != nil {
			return err
		}
		err = bindx(fd, optBindAdd, &engine.Addr{IPAddrs: one(fromNetip(ip)), Port: local.Port})
		switch {
		case errors.Is(err, unix.EADDRNOTAVAIL):
			return fmt.Errorf("%s is not an address of this host: %w", ip, err)
		case errors.Is(err, unix.EADDRINUSE):
			return fmt.Errorf("another socket has %s at port %d, or listens there: %w", ip, local.Port, err)
		case errors.Is(err, unix.EINVAL):
			// The socket is bound to it, and the association is not.
			return fmt.Errorf("%s cannot be added: the association is bound to no address in particular, and so to all that the host had then: %w", ip, err)
		}
		return err
	})
}

func (c *conn) removeLocal(ip netip.Addr) error {
	return c.control(func(fd int) error {
		addr, local, err := boundAddr(fd, ip)
		if err != nil {
			return err
		}
		if len(local.IPAddrs) == 1 {
			return fmt.Errorf("%s is the only address of the association: %w", ip, unix.EBUSY)
		}
		if err := enableASCONF(fd); err != nil {
			return err
		}
		err = bindx(fd, optBindRemove, addr)
		if errors.Is(err, unix.EBUSY) {
			// The one address of the socket is that which means any.
			return fmt.Errorf("%s cannot be removed: the association is bound to no address in particular, and so to all: %w", ip, unix.EINVAL)
		}
		return err
	})
}

func bindx(fd int, o option, addr *engine.Addr) error {
	list, err := appendSockaddrs(nil, addr)
	if err != nil {
		return err
	}
	return o.setBytes(fd, list)
}

func (c *conn) setPrimary(peer netip.Addr) error {
	return c.control(func(fd int) error {
		addr, err := socketOf(fd).peersAddr(peer)
		if err != nil {
			return err
		}
		return setAddr(fd, optPrimary, addr)
	})
}

func (c *conn) setPeerPrimary(local netip.Addr) error {
	return c.control(func(fd int) error {
		addr, _, err := boundAddr(fd, local)
		if err != nil {
			return err
		}
		if err := enableASCONF(fd); err != nil {
			return err
		}
		err = setAddr(fd, optPeerPrimary, addr)
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
func setAddr(fd int, o option, addr *engine.Addr) error {
	b, err := assocAddr(addr)
	if err != nil {
		return err
	}
	return o.setBytes(fd, b)
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

// boundAddr returns the sockaddr of an address that must be one of the association's
// local ones, and all of these.
func boundAddr(fd int, ip netip.Addr) (addr, all *engine.Addr, err error) {
	if all, err = localAddrs(fd); err != nil {
		return nil, nil, err
	}
	addr, ok := find(all, ip)
	if !ok {
		return nil, nil, fmt.Errorf("%s is not a local address of the association: %w", ip, unix.EADDRNOTAVAIL)
	}
	return addr, all, nil
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

// enableASCONF has the peer be told of changes of addresses. It returns an error if that
// is not possible. The kernel would make the change all the same, to the socket, where it
// is of no use.
func enableASCONF(fd int) error {
	v := assocValue{AssocID: anAssoc}
	err := optASCONF.get(fd, &v)
	switch {
	case err == nil && v.Value != 0:
		// A socket that was accepted has not inherited it from the listener,
		// other than by sysctl, and would not tell the peer.
		return optASCONF.set(fd, assocValue{AssocID: anAssoc, Value: 1})
	case errors.Is(err, unix.ENOPROTOOPT): // before Linux 5.4
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
