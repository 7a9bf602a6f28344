package sctpnet

import (
	"net/netip"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// LocalAddrs returns the addresses of this end that the association has now:
// those that were bound, with what AddLocalAddr and RemoveLocalAddr have changed
// since. Their last change may show only after the peer has confirmed it. Where
// nothing was bound the addresses are those that the host had when the
// association was made, if they were fit for the way to the peer: no loopback
// address for a peer elsewhere, nor a private one for a peer with a public
// address. The peer was told all of them that are of a family that it can use.
// The port is that of LocalAddr.
//
// Once the association has ended, or the Conn is closed, LocalAddrs returns
// what it last returned, or else the addresses of LocalAddr. The list is the
// caller's. LocalAddrs does not wait.
func (c *Conn) LocalAddrs() []netip.Addr {
	if !c.ok() {
		return nil
	}
	return c.e.LocalAddrs()
}

// PeerAddrs returns the addresses of the peer that the association has now,
// the one of the primary path first: what the peer has told in the handshake
// and, if it can (RFC 5061), since then. This is more than what was dialed if
// the peer has more addresses; an address that was dialed and that the peer
// does not have is none of them. The port is that of RemoteAddr.
//
// Once the association has ended, or the Conn is closed, PeerAddrs returns what
// it last returned, or else the addresses of RemoteAddr. The list is the
// caller's. PeerAddrs does not wait.
//
// [Conn.Paths] says how each of them is doing.
func (c *Conn) PeerAddrs() []netip.Addr {
	if !c.ok() {
		return nil
	}
	return c.e.PeerAddrs()
}

// AddLocalAddr adds an address of this host to the association and tells the peer
// (RFC 5061 section 4.2.1), which may then send to it. AddLocalAddr does not wait for
// the peer's consent.
//
// Both ends must have agreed on address reconfiguration in the handshake: both
// set Config.AddressReconfig, or had, when their sockets were made, sysctl
// net.sctp.addip_enable=1 and with it net.sctp.auth_enable=1, to have changes
// authenticated, or net.sctp.addip_noauth_enable=1. Otherwise the error wraps
// [errors.ErrUnsupported] and says so, and nothing has changed.
//
// It fails with EADDRINUSE if the association has the address already, or a
// socket that listens has it at the same port; with EADDRNOTAVAIL if the host
// does not have it; with EAFNOSUPPORT if the association was not made for its
// family; and with EINVAL if the association was bound to no address, as it
// then has all there were. An association is for both families if it was
// dialed or listened for with addresses of both, or listened for on any
// address. In all these cases the association goes on as it was.
func (c *Conn) AddLocalAddr(ip netip.Addr) error {
	return c.do("bind", "AddLocalAddr", firstError(checkIP(ip), checkZone(ip)), func() error {
		return c.e.Address(engine.AddLocal, ip.Unmap())
	})
}

// RemoveLocalAddr removes an address of this host from the association and tells
// the peer (RFC 5061 section 4.2.2), which then no longer sends to it. RemoveLocalAddr
// does not wait for the peer's consent. It needs what AddLocalAddr needs.
//
// It fails with EBUSY if the address is the last one, with EADDRNOTAVAIL if the
// association does not have it, and with EINVAL if it was bound to no address:
// Linux cannot remove one then. In all these cases the association goes on as it
// was.
func (c *Conn) RemoveLocalAddr(ip netip.Addr) error {
	return c.do("bind", "RemoveLocalAddr", checkIP(ip), func() error { return c.e.Address(engine.RemoveLocal, ip.Unmap()) })
}

// SetPrimary chooses the primary path: the address of the peer that messages
// are sent to as long as it can be reached (SCTP_PRIMARY_ADDR, RFC 6458 section
// 8.1.9). It must be one of PeerAddrs; otherwise the error is EADDRNOTAVAIL,
// and nothing has changed. To send one message elsewhere, see MsgInfo.To.
func (c *Conn) SetPrimary(peer netip.Addr) error {
	return c.do("set", "SetPrimary", checkIP(peer), func() error { return c.e.Address(engine.SetPrimary, peer.Unmap()) })
}

// SetPeerPrimary asks the peer to send to one of this end's addresses
// (SCTP_SET_PEER_PRIMARY_ADDR, RFC 6458 section 8.3.1; RFC 5061 section 4.2.4).
// It does not wait for the peer's consent. The address must be one of LocalAddrs;
// otherwise the error is EADDRNOTAVAIL. SetPeerPrimary needs what AddLocalAddr
// needs.
func (c *Conn) SetPeerPrimary(local netip.Addr) error {
	return c.do("set", "SetPeerPrimary", checkIP(local), func() error { return c.e.Address(engine.SetPeerPrimary, local.Unmap()) })
}
