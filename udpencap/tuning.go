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
		next := a.retry
		next.set(v)
		if err := next.check(); err != nil {
			return err
		}
		a.retry = next
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
			a.retry.most = v.MaxRetransmissions
		}
		if v.CookieLife != 0 {
			a.options.Assoc.CookieLife = v.CookieLife
		}
		return nil
	})
}

func (a *assoc) AssocParams() (v engine.AssocParams, err error) {
	err = a.alive(func() error {
		v = a.options.Assoc
		v.MaxRetransmissions = a.retry.most
		if v.CookieLife == 0 {
			v.CookieLife = cookieLife
		}
		v.LocalWindow, v.PeerWindow = a.rx.room(), a.core.peerWindow()
		return nil
	})
	return v, err
}

func (a *assoc) SetPathParams(ip netip.Addr, v engine.PathParams) error {
	return a.alive(func() error {
		if err := a.checkPeer(ip); err != nil {
			return err
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
			a.retry.pathMost = v.MaxRetransmissions
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
			MaxRetransmissions: a.retry.pathMost,
			MTU:                a.mtu + a.overhead(),
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
		v = engine.SACK{Frequency: a.rx.ackFrequency()}
		if v.Frequency > 1 {
			v.Delay = a.ackDelay()
		}
		return nil
	})
	return v, err
}

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
