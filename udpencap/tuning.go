package udpencap

import (
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

func (a *assoc) SetRTO(v engine.RTO) error {
	return a.alive(func() error {
		a.retry.set(v)
		return nil
	})
}

func (a *assoc) RTO() (v engine.RTO, err error) {
	err = a.alive(func() error {
		v = engine.RTO{Initial: a.retry.initial, Min: a.retry.shortest, Max: a.retry.longest}
		return nil
	})
	return v, err
}

func (a *assoc) SetAssocParams(v engine.AssocParams) error {
	return a.alive(func() error {
		if v.MaxRetransmissions != 0 {
			a.options.Assoc.MaxRetransmissions = v.MaxRetransmissions
			a.updateLimit()
		}
		if v.CookieLife != 0 {
			a.options.Assoc.CookieLife = v.CookieLife
		}
		return nil
	})
}

// updateLimit sets how many attempts may go unanswered.
func (a *assoc) updateLimit() {
	r := retry{}
	r.init(a.options)
	a.retry.most = r.most
}

func (a *assoc) AssocParams() (v engine.AssocParams, err error) {
	err = a.alive(func() error {
		v = a.options.Assoc
		if v.MaxRetransmissions == 0 {
			v.MaxRetransmissions = maxRetrans
		}
		if v.CookieLife == 0 {
			v.CookieLife = cookieLife
		}
		v.LocalWindow, v.PeerWindow = a.rx.room(), int(a.core.pion.RWND())
		return nil
	})
	return v, err
}

func (a *assoc) SetPathParams(ip netip.Addr, v engine.PathParams) error {
	return a.alive(func() error {
		if err := a.checkPeer(ip); err != nil {
			return err
		}
		switch {
		case v.PotentiallyFailed > 0, v.PrimarySwitchover != 0:
			return unsupported("PathParams.PotentiallyFailed and PrimarySwitchover" + noMultihoming)
		case v.MTU != 0, v.DiscoverMTU:
			return unsupported("PathParams.MTU once there is an association: set it in Config")
		case v.DSCP > 0:
			return unsupported("PathParams.DSCP")
		case v.FlowLabel > 0:
			return unsupported("PathParams.FlowLabel")
		case v.UDPPort != 0:
			return unsupported("PathParams.UDPPort once there is an association: it is learnt from the peer")
		}
		p := &a.options.Path
		if v.HeartbeatInterval != 0 {
			p.HeartbeatInterval, p.NoHeartbeat = v.HeartbeatInterval, false
		}
		if v.NoHeartbeat {
			p.NoHeartbeat = true
		}
		if v.HeartbeatInterval != 0 || v.NoHeartbeat {
			a.hb.sent = time.Time{}
			a.scheduleHeartbeat()
		}
		if v.MaxRetransmissions != 0 {
			p.MaxRetransmissions = v.MaxRetransmissions
			a.updateLimit()
		}
		return nil
	})
}

func (a *assoc) PathParams(ip netip.Addr) (v engine.PathParams, err error) {
	err = a.alive(func() error {
		if err := a.checkPeer(ip); err != nil {
			return err
		}
		p := a.options.Path
		v = engine.PathParams{
			HeartbeatInterval:  a.heartbeatPeriod(),
			NoHeartbeat:        p.NoHeartbeat,
			MaxRetransmissions: a.retry.most,
			MTU:                a.mtu,
			UDPPort:            int(a.path.to.Port()),
		}
		return nil
	})
	return v, err
}

func (a *assoc) Heartbeat(ip netip.Addr) error {
	return a.alive(func() error {
		if err := a.checkPeer(ip); err != nil {
			return err
		}
		if a.hb.sent.IsZero() {
			a.sendHeartbeat()
		}
		return nil
	})
}

func (a *assoc) SetSACK(v engine.SACK) error {
	return a.alive(func() error {
		if v.Delay != 0 {
			a.options.SACK.Delay = v.Delay
		}
		if v.Frequency != 0 {
			a.options.SACK.Frequency = v.Frequency
		}
		return nil
	})
}

func (a *assoc) SACK() (v engine.SACK, err error) {
	err = a.alive(func() error {
		v = engine.SACK{Delay: a.ackDelay(), Frequency: max(a.options.SACK.Frequency, 2)}
		if a.options.SACK.Frequency == 1 {
			v.Frequency = 1
		}
		return nil
	})
	return v, err
}

func (a *assoc) NoDelay() (bool, error) { return true, a.alive(ok) }

func ok() error { return nil }

func (a *assoc) ReadBuffer() (n int, err error) {
	err = a.alive(func() error {
		n = bufferSize(a.options.ReadBuffer)
		return nil
	})
	return n, err
}

func (a *assoc) WriteBuffer() (n int, err error) {
	err = a.alive(func() error {
		n = bufferSize(a.options.WriteBuffer)
		return nil
	})
	return n, err
}

// What follows cannot be changed while there is an association, or not at all.

func (a *assoc) SetMaxSegment(int) error {
	return unsupported("SetMaxSegment once there is an association")
}

func (a *assoc) MaxSegment() (n int, err error) {
	err = a.alive(func() error {
		n = a.mtu - headerSize - dataHeaderSize
		return nil
	})
	return n, err
}

func (a *assoc) SetMaxBurst(int) error  { return unsupported("SetMaxBurst") }
func (a *assoc) MaxBurst() (int, error) { return 0, unsupported("MaxBurst") }

func (a *assoc) SetPartialReliability(v engine.PartialReliability) error {
	if v.Policy != 0 {
		return unsupported("SetPartialReliability")
	}
	return a.alive(ok)
}

func (a *assoc) PartialReliability() (engine.PartialReliability, error) {
	return engine.PartialReliability{}, a.alive(ok)
}

func (a *assoc) SetScheduler(v uint32) error {
	if v != 0 {
		return unsupported("SetScheduler other than SchedulerFirstCome")
	}
	return a.alive(ok)
}

func (a *assoc) Scheduler() (uint32, error) { return 0, a.alive(ok) }

func (a *assoc) SetStreamValue(_, _ uint16) error   { return unsupported("SetStreamValue") }
func (a *assoc) StreamValue(uint16) (uint16, error) { return 0, unsupported("StreamValue") }
func (a *assoc) SetFragmentInterleave(level int) error {
	if level != 0 {
		return unsupported("SetFragmentInterleave other than 0")
	}
	return a.alive(ok)
}
func (a *assoc) FragmentInterleave() (int, error)   { return 0, a.alive(ok) }
func (a *assoc) SetPartialDeliveryPoint(int) error  { return unsupported("SetPartialDeliveryPoint") }
func (a *assoc) PartialDeliveryPoint() (int, error) { return 0, unsupported("PartialDeliveryPoint") }

func (a *assoc) Adaptation() (n uint32, err error) {
	err = a.alive(func() error {
		n = a.options.Adaptation
		return nil
	})
	return n, err
}

func (a *assoc) Features() (f engine.Features, err error) {
	err = a.alive(func() error {
		f = engine.Features{PartialReliability: a.partial, StreamReconfig: a.reconfig}
		return nil
	})
	return f, err
}

func (a *assoc) Interleaved() bool { return false }

func (a *assoc) NumStreams() (out, in uint16) { return a.Streams() }

// AddStreams asks the peer for more streams. RFC 6525 has a request for each
// direction, and one request at a time.
func (a *assoc) AddStreams(out, in uint16) error {
	return a.alive(func() error {
		switch {
		case out != 0 && in != 0:
			return unsupported("AddStreams of both directions at once")
		case uint32(out)+a.out.Load() > 1<<16-1 || uint32(in)+a.in.Load() > 1<<16-1:
			return errno("addstreams", syscall.EINVAL)
		}
		kind, n := uint16(paramAddOutgoing), out
		if in != 0 {
			kind, n = paramAddIncoming, in
		}
		err := a.addStreams(kind, n)
		if err == engine.ErrBusy {
			err = fmt.Errorf("%w: %w", err, errno("addstreams", syscall.EINPROGRESS))
		}
		return err
	})
}

func (a *assoc) ResetAssociation() error { return unsupported("ResetAssociation") }

func (a *assoc) SetAuthKey(engine.AuthKey) error { return unsupported("SetAuthKey") }
func (a *assoc) ActivateAuthKey(uint16) error    { return unsupported("ActivateAuthKey") }
func (a *assoc) DeactivateAuthKey(uint16) error  { return unsupported("DeactivateAuthKey") }
func (a *assoc) DeleteAuthKey(uint16) error      { return unsupported("DeleteAuthKey") }
func (a *assoc) AuthState() (engine.AuthState, error) {
	return engine.AuthState{}, unsupported("AuthState")
}
