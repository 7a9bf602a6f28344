package udpencap

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// Set applies settings. There is one path. Buffers outlive the association, as
// far as setting them goes.
func (a *assoc) Set(path netip.Addr, s engine.Settings) error {
	return a.set(func() error {
		if rest := s; a.state == engine.StateClosed {
			rest.Nagle, rest.NoDelay, rest.ReadBuffer, rest.WriteBuffer = false, false, 0, 0
			if rest != (engine.Settings{}) {
				return engine.ErrEnded
			}
		}
		if err := a.checkPeer(path); err != nil {
			return err
		}
		if path.IsValid() {
			s = engine.Settings{PathParams: s.PathParams}
		}
		now := a.retry
		now.set(s.RTO)
		if err := now.check(); err != nil {
			return err
		}
		if s.RTO != (engine.RTO{}) {
			a.retry = now
		}
		if n := s.AssocParams.MaxRetransmissions; n != 0 {
			a.retry.most = n
		}
		if d := s.AssocParams.CookieLife; d != 0 {
			a.options.AssocParams.CookieLife = d
		}
		a.setPathParams(s.PathParams)
		if d := s.SACK.Delay; d != 0 {
			a.options.SACK.Delay = d
		}
		if n := s.SACK.Frequency; n != 0 {
			a.options.SACK.Frequency = n
		}
		if s.PartialReliability.Policy != 0 {
			a.setReliability(s.PartialReliability)
		}
		if n := s.ReadBuffer; n != 0 {
			a.options.ReadBuffer = n
			a.rx.window = max(a.rx.window, a.readWindow())
		}
		if n := s.WriteBuffer; n != 0 {
			a.options.WriteBuffer = n
			a.writable.Broadcast()
		}
		return nil
	})
}

func (a *assoc) setPathParams(v engine.PathParams) {
	p := &a.options.PathParams
	if v.HeartbeatInterval != 0 {
		p.HeartbeatInterval, p.NoHeartbeat = v.HeartbeatInterval, false
	}
	if v.NoHeartbeat {
		p.NoHeartbeat = true
	}
	if v.HeartbeatInterval != 0 || v.NoHeartbeat {
		a.hb.sent = time.Time{}
		a.scheduleHeartbeat(0)
	}
	if v.DiscoverMTU && !a.search.on {
		p.MTU, a.options.SmallLoopbackMTU = 0, false
		if a.wasEstablished() { // else establish does it
			a.startMTU()
			a.setMTU(a.mtu)
		}
	}
	if v.MaxRetransmissions != 0 {
		a.retry.pathMost = v.MaxRetransmissions
	}
}

// Get returns the settings that are in force. Those that this package lacks are
// zero.
func (a *assoc) Get(path netip.Addr) (s engine.Settings, err error) {
	err = a.alive(func() error {
		if err := a.checkPeer(path); err != nil {
			return err
		}
		o := &a.options
		s.PathParams = engine.PathParams{
			HeartbeatInterval:  a.heartbeatPeriod(),
			NoHeartbeat:        o.PathParams.NoHeartbeat,
			MaxRetransmissions: a.retry.pathMost,
			MTU:                a.mtu + a.overhead(),
			DiscoverMTU:        a.search.on,
			UDPPort:            int(a.path.to.Port()),
		}
		if path.IsValid() {
			return nil
		}
		s.RTO = engine.RTO{Initial: a.retry.Initial, Min: a.retry.Min, Max: a.retry.Max}
		s.AssocParams = engine.AssocParams{MaxRetransmissions: a.retry.most, CookieLife: o.AssocParams.CookieLife}
		if s.AssocParams.CookieLife == 0 {
			s.AssocParams.CookieLife = cookieLife
		}
		s.SACK.Frequency = a.rx.ackFrequency()
		if s.SACK.Frequency > 1 {
			s.SACK.Delay = a.ackDelay()
		}
		s.PartialReliability = o.PartialReliability
		s.NoDelay = true
		s.ReadBuffer = bufferSize(o.ReadBuffer)
		s.WriteBuffer = bufferSize(o.WriteBuffer)
		return nil
	})
	return s, err
}

// Address tests the path. Nothing else is possible: see lacks.
func (a *assoc) Address(op engine.AddrOp, ip netip.Addr) error {
	if op != engine.Heartbeat {
		return errors.ErrUnsupported
	}
	return a.alive(func() error {
		if err := a.checkPeer(ip); err != nil {
			return err
		}
		if !a.hb.isAwaited() {
			a.sendHeartbeat()
		}
		return nil
	})
}

// Adaptation is settled before the Conn is there.
func (a *assoc) Adaptation() (local, peer uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.options.Adaptation, a.peerInit.adaptation
}

// Features are settled before the Conn is there.
func (a *assoc) Features() (engine.Features, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return engine.Features{PartialReliability: a.partial, StreamReconfig: a.reconfig}, nil
}

func (a *assoc) Streams(bool) (out, in uint16) { return uint16(a.out.Load()), uint16(a.in.Load()) }

// AddStreams asks the peer for more streams. RFC 6525 has a request for each
// direction, and one request at a time.
func (a *assoc) AddStreams(out, in uint16) error {
	return a.alive(func() error {
		if uint32(out)+a.out.Load() > 1<<16-1 || uint32(in)+a.in.Load() > 1<<16-1 {
			return errno("addstreams", syscall.EINVAL)
		}
		kind, n := uint16(paramAddOutgoing), out
		if in != 0 {
			kind, n = paramAddIncoming, in
		}
		err := a.addStreams(kind, n)
		if err == engine.ErrBusy {
			err = fmt.Errorf("an earlier request is under way: %w", errno("addstreams", syscall.EINPROGRESS))
		}
		return err
	})
}
