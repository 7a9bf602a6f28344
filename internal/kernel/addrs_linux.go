package kernel

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// An addrCache keeps a list of addresses.
type addrCache = atomic.Pointer[engine.Addr]

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

// peersAddr returns the sockaddr of an address that must be the peer's.
func (t target) peersAddr(ip netip.Addr) (*engine.Addr, error) {
	list, err := peerAddrsOf(t)
	if err != nil {
		return nil, err
	}
	addr, ok := find(list, ip)
	if !ok {
		return nil, notThePeers(ip)
	}
	return addr, nil
}

// peerAddr is the peer's list of addresses, the primary first, or nil when the
// association is gone and the list with it.
func peerAddr(fd int, primary net.IPAddr) *engine.Addr { return socketOf(fd).peerAddr(primary) }

func (t target) peerAddr(primary net.IPAddr) *engine.Addr {
	a, err := addrsOf(t.fd, sctp.SCTP_GET_PEER_ADDRS, uint32(t.assoc))
	if err != nil || len(a.IPAddrs) == 0 {
		return nil
	}
	for i, ip := range a.IPAddrs {
		if ip.IP.Equal(primary.IP) {
			a.IPAddrs[0], a.IPAddrs[i] = a.IPAddrs[i], a.IPAddrs[0]
			break
		}
	}
	return a
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

// addrList asks for SCTP_GET_LOCAL_ADDRS of a socket or SCTP_GET_PEER_ADDRS.
func addrList(fd, opt int) (*engine.Addr, error) { return addrsOf(fd, opt, 0) }

// addrsOf asks for the same of an association, 0 for the socket.
func addrsOf(fd, opt int, assoc uint32) (*engine.Addr, error) {
	// struct sctp_getaddrs: the association, the count, then the addresses.
	buf := make([]byte, 8+64*unix.SizeofSockaddrInet6)
	for {
		binary.NativeEndian.PutUint32(buf, assoc)
		_, err := getsockopt(fd, opt, buf)
		if err == unix.ENOMEM && len(buf) < 1<<20 {
			buf = make([]byte, 4*len(buf)) // the list did not fit
			continue
		}
		if err != nil {
			return nil, err
		}
		a := &engine.Addr{}
		// The length that it returns is without the first 8 bytes for one
		// of the options and with them for the other, so go by the count.
		rest := buf[8:]
		for range binary.NativeEndian.Uint32(buf[4:]) {
			ip, port, n := parseSockaddr(rest)
			if n == 0 {
				break
			}
			a.IPAddrs, a.Port, rest = append(a.IPAddrs, ip), port, rest[n:]
		}
		return a, nil
	}
}
