package kernel

import (
	"net"
	"slices"

	"github.com/ishidawataru/sctp"
)

// shrinkLoopbackMTU sets the path MTU of an association over the loopback
// interface, if it is one. All addresses of a peer on this host are reached so. The
// MTU is asked first because it costs nothing. What is set here fails only if the
// association has ended by now. The next Read or Write will tell.
func (t target) shrinkLoopbackMTU(st *sctp.Status) bool {
	primary, _, _ := parseSockaddr(st.PrimaryPeerAddr.Address[:])
	if st.PrimaryPeerAddr.MTU < loopbackMTU || !isLocal(primary.IP) {
		return false
	}
	t.set(optPathParams, pathParams{
		PathMTU: uint32(windowMTU(smallLoopbackMTU, int(st.RWND))),
		Flags:   sppPMTUDDisable,
	})
	return true
}

// loopbackMTU is the path MTU over Linux's interface lo. The interface has 65536, an
// IPv4 packet can have 65535, and SCTP takes the multiple of four below.
const loopbackMTU = 65532

// smallLoopbackMTU is so much less that three chunks of a third of a message of a
// Write, which are 64 KiB, fit with the headers of IPv6. With one chunk that nearly
// fills the window transfers stall. The kernel takes a power of two of memory for a
// packet: with halves that are 64 KiB each. The backlog of the receiver's socket counts
// them so, and drops packets before the window is full. The MTU is halved for small
// windows.
const smallLoopbackMTU = (64<<10/3+3)&^3 + 40 + 12 + 16

// windowMTU is mtu, or so much less that a window holds several packets: else
// one could be more than the receiver ever has room for.
func windowMTU(mtu, window int) int {
	const least = 1500
	for window > 0 && mtu > max(window/6, least) {
		mtu = max(mtu/2, least)
	}
	return mtu
}

// isLocal reports whether an address is this host's.
func isLocal(ip net.IP) bool {
	if ip.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	return err == nil && hasIP(addrs, ip)
}

// hasIP reports whether an address is one of an interface's.
func hasIP(addrs []net.Addr, ip net.IP) bool {
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	})
}
