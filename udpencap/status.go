package udpencap

import (
	"net"
	"net/netip"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// stats counts as an engine.Stats does.
type stats = engine.Stats

func (a *assoc) LocalAddrs() []netip.Addr { return []netip.Addr{a.localIP} }
func (a *assoc) PeerAddrs() []netip.Addr  { return []netip.Addr{a.peer.ip} }

// alive is set for what needs a living association.
func (a *assoc) alive(f func() error) error {
	return a.set(func() error {
		if a.state == engine.StateClosed {
			return engine.ErrEnded
		}
		return f()
	})
}

func (a *assoc) Status() (s engine.Status, err error) {
	err = a.alive(func() error {
		s = engine.Status{
			State:              a.state,
			OutStreams:         uint16(a.out.Load()),
			InStreams:          uint16(a.in.Load()),
			LocalWindow:        a.rx.room(),
			PeerWindow:         a.core.peerWindow(),
			FragmentationPoint: a.mtu - headerSize - dataHeaderSize,
			Primary:            a.pathStatus(),
		}
		for i := range a.core.flight.len() {
			if !a.core.flight.at(i).acked {
				s.Unacked++
			}
		}
		for _, n := range a.core.unsent { // messages that pion sends in a moment
			s.Unacked += n
		}
		s.Pending = a.rx.missing()
		return nil
	})
	return s, err
}

func (a *assoc) pathStatus() engine.Path {
	p := engine.Path{
		Addr:    a.peer.ip,
		State:   engine.PathStateActive,
		Primary: true,
		CWND:    a.core.cwnd(a.mtu),
		SRTT:    a.retry.srtt,
		RTO:     a.retry.rto,
		MTU:     a.mtu + a.overhead(),
	}
	if a.retry.isInactive() {
		p.State = engine.PathStateInactive
	}
	return p
}

func (a *assoc) Paths() (paths []engine.Path, err error) {
	err = a.alive(func() error {
		paths = []engine.Path{a.pathStatus()}
		return nil
	})
	return paths, err
}

func (a *assoc) Stats() (s engine.Stats, err error) {
	err = a.alive(func() error {
		s = a.stats
		s.MaxRTO, s.MaxRTOAddr = a.retry.maxRTO, a.peer.ip
		a.retry.maxRTO = a.retry.shortest // of the next period
		return nil
	})
	return s, err
}

// checkPeer returns an error for an address that is not the peer's.
func (a *assoc) checkPeer(ip netip.Addr) error {
	if ip.IsValid() && ip.Unmap().WithZone("") != a.peer.ip.WithZone("") {
		return &net.AddrError{Err: "not an address of the peer", Addr: ip.String()}
	}
	return nil
}
