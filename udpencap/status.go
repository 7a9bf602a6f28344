package udpencap

import (
	"fmt"
	"net/netip"
	"syscall"

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
		s.State = a.state
		s.Primary = a.pathStatus()
		if !a.wasEstablished() {
			return nil // there is no more to tell
		}
		s.OutStreams, s.InStreams = uint16(a.out.Load()), uint16(a.in.Load())
		s.LocalWindow, s.PeerWindow = a.rx.room(), a.snd.Window()
		s.FragmentationPoint = a.mtu - headerSize - dataHeaderSize
		s.Unacked = a.snd.Unacked()
		if a.snd.AnyUnsent() { // by the windows, or for a moment
			s.Unacked++
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
		SRTT:    a.retry.SRTT,
		RTO:     a.retry.RTO,
	}
	if a.wasEstablished() {
		p.CWND, p.MTU = a.snd.CWND(), a.mtu+a.overhead()
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
		c := &a.snd.Counts
		s.OrderedSent, s.UnorderedSent, s.Retransmitted, s.GapAcks = c.Ordered, c.Unordered, c.Retransmitted, c.GapAcks
		s.ControlSent += c.Forwards
		s.MaxRTO, s.MaxRTOAddr = a.retry.PeakRTO, a.peer.ip
		a.retry.PeakRTO = a.retry.Min // of the next period
		return nil
	})
	return s, err
}

// checkPeer returns an error for an address that is not the peer's.
func (a *assoc) checkPeer(ip netip.Addr) error {
	if ip.IsValid() && ip.Unmap().WithZone("") != a.peer.ip.WithZone("") {
		return notThePeers(ip)
	}
	return nil
}

func notThePeers(ip netip.Addr) error {
	return fmt.Errorf("%s is not an address of the peer: %w", ip, syscall.EADDRNOTAVAIL)
}
