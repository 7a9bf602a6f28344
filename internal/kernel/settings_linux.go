package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// A row is one field of engine.Settings: the one place that knows how a socket
// has it.
type row struct {
	name    string   // of the field
	options []option // that hold it
	// set sets the field unless it is zero. It does the same on a socket
	// before its handshake as on that of an association.
	set func(t target, s *engine.Settings) error
	get func(t target, s *engine.Settings) error
	// note has the conn know what the kernel would not tell. It may be nil.
	note func(c *conn, s *engine.Settings)
}

// rows are all settings, in the order of the fields.
var rows = []row{
	{
		name:    "RTO",
		options: []option{optRTO},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.RTO, func() error { return setRTO(t, s.RTO) })
		},
		get: func(t target, s *engine.Settings) error {
			var v rtoInfo
			err := t.get(optRTO, &v)
			s.RTO = engine.RTO{Initial: fromMilliseconds(v.Initial), Min: fromMilliseconds(v.Min), Max: fromMilliseconds(v.Max)}
			return err
		},
	},
	{
		name:    "AssocParams",
		options: []option{optAssocInfo},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.AssocParams, func() error { return setAssocParams(t, s.AssocParams) })
		},
		get: func(t target, s *engine.Settings) error {
			var v assocParams
			err := t.get(optAssocInfo, &v)
			s.AssocParams = engine.AssocParams{MaxRetransmissions: int(v.MaxRxt), CookieLife: fromMilliseconds(v.CookieLife)}
			return err
		},
	},
	{
		name:    "PathParams",
		options: []option{optPathParams, optThresholds, optThresholdsV2},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.PathParams, func() error { return setPathParams(t, allPaths, s.PathParams) })
		},
		get: func(t target, s *engine.Settings) (err error) {
			s.PathParams, err = getPathParams(t, allPaths)
			return err
		},
	},
	{
		name:    "SACK",
		options: []option{optSACK},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.SACK, func() error {
				return t.set(optSACK, sackInfo{Delay: milliseconds(s.SACK.Delay), Frequency: uint32(s.SACK.Frequency)})
			})
		},
		get: func(t target, s *engine.Settings) error {
			var v sackInfo
			err := t.get(optSACK, &v)
			s.SACK = engine.SACK{Delay: fromMilliseconds(v.Delay), Frequency: int(v.Frequency)}
			return err
		},
	},
	{
		name:    "Nagle",
		options: []option{optNoDelay},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.Nagle || s.NoDelay, func() error { return optNoDelay.setInt(t.fd, boolInt(s.NoDelay)) })
		},
		get: func(t target, s *engine.Settings) error {
			v, err := optNoDelay.getInt(t.fd)
			s.NoDelay, s.Nagle = v != 0, v == 0
			return err
		},
	},
	bufferRow("ReadBuffer", optReadBuffer, func(s *engine.Settings) *int { return &s.ReadBuffer }),
	bufferRow("WriteBuffer", optWriteBuffer, func(s *engine.Settings) *int { return &s.WriteBuffer }),
	{
		name:    "MaxSegment",
		options: []option{optMaxSegment},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.MaxSegment, func() error { return t.setValue(optMaxSegment, uint32(max(0, s.MaxSegment))) })
		},
		get: func(t target, s *engine.Settings) error {
			v, err := t.getValue(optMaxSegment)
			s.MaxSegment = int(v)
			return err
		},
		// Where nothing was set, the kernel gives what the path allows.
		note: func(c *conn, s *engine.Settings) {
			if s.MaxSegment != 0 {
				c.segmented.Store(s.MaxSegment > 0)
			}
		},
	},
	{
		name:    "MaxBurst",
		options: []option{optMaxBurst},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.MaxBurst, func() error { return t.setValue(optMaxBurst, uint32(max(0, s.MaxBurst))) })
		},
		get: func(t target, s *engine.Settings) error {
			v, err := t.getValue(optMaxBurst)
			if s.MaxBurst = int(v); v == 0 {
				s.MaxBurst = -1
			}
			return err
		},
	},
	{
		name:    "PartialReliability",
		options: []option{optDefaultPRInfo},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.PartialReliability.Policy, func() error { return setReliability(t, s.PartialReliability) })
		},
		get: func(t target, s *engine.Settings) error {
			v, err := defaultReliability(t)
			s.PartialReliability = v.reliability()
			return err
		},
		note: func(c *conn, s *engine.Settings) {
			if s.PartialReliability.Policy != engine.ReliabilityFull {
				c.reliability.Store(prInfoOf(s.PartialReliability).pack())
			}
		},
	},
	{
		name:    "Scheduler",
		options: []option{optScheduler},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.Scheduler, func() error { return setScheduler(t, s.Scheduler) })
		},
		get: func(t target, s *engine.Settings) error {
			v, err := t.getValue(optScheduler)
			s.Scheduler = engine.Scheduler(v)
			return err
		},
		note: func(c *conn, s *engine.Settings) {
			if s.Scheduler != 0 {
				c.roundRobin.Store(false)
			}
		},
	},
	intRow("FragmentInterleave", optFragmentInterleave, func(s *engine.Settings) *int { return &s.FragmentInterleave }),
	{
		name:    "PartialDeliveryPoint",
		options: []option{optPartialDelivery},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.PartialDeliveryPoint, func() error { return setPartialDelivery(t, max(0, s.PartialDeliveryPoint)) })
		},
		get: func(t target, s *engine.Settings) (err error) {
			s.PartialDeliveryPoint, err = optPartialDelivery.getInt(t.fd)
			return err
		},
	},
}

// intRow is the row of an option that is an int. A negative number stands for 0.
func intRow(name string, o option, field func(*engine.Settings) *int) row {
	return row{
		name:    name,
		options: []option{o},
		set: func(t target, s *engine.Settings) error {
			v := *field(s)
			return unlessZero(v, func() error { return o.setInt(t.fd, max(0, v)) })
		},
		get: func(t target, s *engine.Settings) (err error) {
			*field(s), err = o.getInt(t.fd)
			return err
		},
	}
}

// bufferRow is the row of a buffer's size, which Linux has made twice of what was
// asked for.
func bufferRow(name string, o option, field func(*engine.Settings) *int) row {
	r := intRow(name, o, field)
	whole := r.get
	r.get = func(t target, s *engine.Settings) error {
		err := whole(t, s)
		*field(s) /= 2
		return err
	}
	return r
}

func unlessZero[T comparable](v T, set func() error) error {
	var zero T
	if v == zero {
		return nil
	}
	return set()
}

// A fixedRow is one or more fields of engine.Options that only a socket without
// an association has set.
type fixedRow struct {
	name   string
	wanted func(o *engine.Options) bool
	set    func(fd int, o *engine.Options) error
}

var fixedRows = []fixedRow{
	{"OnEvent", func(o *engine.Options) bool { return o.Events }, func(fd int, _ *engine.Options) error { return subscribe(fd) }},
	{"SenderDry", func(o *engine.Options) bool { return o.SenderDry }, func(fd int, _ *engine.Options) error { return setEvent(fd, eventSenderDry) }},
	{
		name: "OutStreams",
		wanted: func(o *engine.Options) bool {
			return o.OutStreams != 0 || o.MaxInStreams != 0 || o.InitAttempts != 0 || o.InitTimeout != 0
		},
		set: func(fd int, o *engine.Options) error {
			return setStruct(fd, sctp.SCTP_INITMSG, sctp.InitMsg{
				NumOstreams:    o.OutStreams,
				MaxInstreams:   o.MaxInStreams,
				MaxAttempts:    o.InitAttempts,
				MaxInitTimeout: uint16(o.InitTimeout / time.Millisecond),
			})
		},
	},
	{
		name:   "Adaptation",
		wanted: func(o *engine.Options) bool { return o.Adaptation != 0 },
		set: func(fd int, o *engine.Options) error {
			// The event is the only thing that tells the peer's.
			if err := setEvent(fd, eventAdaptation); err != nil {
				return err
			}
			return optAdaptation.set(fd, o.Adaptation)
		},
	},
	{
		"NoPartialReliability",
		func(o *engine.Options) bool { return o.NoPartialReliability },
		func(fd int, _ *engine.Options) error { return optPRSupported.setValue(fd, 0) },
	},
	{
		"NoECN",
		func(o *engine.Options) bool { return o.NoECN },
		func(fd int, _ *engine.Options) error { return optECN.setValue(fd, 0) },
	},
	{
		"Interleaving",
		func(o *engine.Options) bool { return o.Interleaving },
		func(fd int, _ *engine.Options) error { return setInterleaving(fd) },
	},
	{
		"AddressReconfig",
		func(o *engine.Options) bool { return o.AddressReconfig },
		func(fd int, _ *engine.Options) error { return optASCONF.setValue(fd, 1) },
	},
	{
		"Auth",
		func(o *engine.Options) bool { return o.Auth != nil },
		func(fd int, o *engine.Options) error { return setAuth(fd, o.Auth) },
	},
}

// setOptions applies options to a socket before its handshake.
func setOptions(fd int, o *engine.Options) error {
	if err := apply(socketOf(fd), &o.Settings, func(*row) {}); err != nil {
		return err
	}
	for _, r := range fixedRows {
		if r.wanted(o) {
			if err := r.set(fd, o); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
	}
	return nil
}

// apply applies settings to a socket, and calls done after each.
func apply(t target, s *engine.Settings, done func(*row)) error {
	for i := range rows {
		r := &rows[i]
		if err := r.set(t, s); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		done(r)
	}
	return nil
}

func (c *conn) know(r *row, s *engine.Settings) {
	if r.note != nil {
		r.note(c, s)
	}
}

// Set applies settings to the association, or to one path of it.
func (c *conn) Set(path netip.Addr, s engine.Settings) error {
	if path.IsValid() {
		return c.path(path, func(fd int, addr [128]byte) error { return setPathParams(socketOf(fd), addr, s.PathParams) })
	}
	return c.control(func(fd int) error { return apply(socketOf(fd), &s, func(r *row) { c.know(r, &s) }) })
}

// Get returns the settings of the association, or of one path of it. What the
// kernel lacks is zero.
func (c *conn) Get(path netip.Addr) (s engine.Settings, err error) {
	if path.IsValid() {
		err = c.path(path, func(fd int, addr [128]byte) error {
			s.PathParams, err = getPathParams(socketOf(fd), addr)
			return err
		})
		return s, err
	}
	err = c.control(func(fd int) error {
		for _, r := range rows {
			if err := r.get(socketOf(fd), &s); err != nil && !errors.Is(err, errors.ErrUnsupported) {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
		return nil
	})
	if !c.segmented.Load() {
		s.MaxSegment = 0
	}
	return s, err
}

func setRTO(t target, r engine.RTO) error {
	err := t.set(optRTO, rtoInfo{
		Initial: milliseconds(r.Initial),
		Max:     milliseconds(r.Max),
		Min:     milliseconds(r.Min),
	})
	if errors.Is(err, unix.EINVAL) && (r.Min == 0) != (r.Max == 0) {
		// The kernel would only say EINVAL of the two together.
		var v rtoInfo
		if err := t.get(optRTO, &v); err != nil {
			return err
		}
		least, most := r.Min, r.Max
		if least == 0 {
			least = fromMilliseconds(v.Min)
		} else {
			most = fromMilliseconds(v.Max)
		}
		if least > most {
			return fmt.Errorf("%s: RTO.Min of %v would be more than RTO.Max, %v", optRTO.name, least, most)
		}
	}
	return err
}

func setAssocParams(t target, p engine.AssocParams) error {
	err := t.set(optAssocInfo, assocParams{
		MaxRxt:     uint16(p.MaxRetransmissions),
		CookieLife: milliseconds(p.CookieLife),
	})
	if errors.Is(err, unix.EINVAL) && p.MaxRetransmissions > 0 {
		// The one limit that depends on the association.
		return fmt.Errorf("%d retransmissions of an association with several paths; allowed are no more than all its paths have together: %w", p.MaxRetransmissions, err)
	}
	return err
}

// The kernel's numbers of the policies of partial reliability: enum
// sctp_pr_policy.
const (
	prTimed    = 0x0010
	prLimited  = 0x0020
	prPriority = 0x0030
)

// prInfoOf returns the policy of a default, or of none that is reliable.
func prInfoOf(p engine.PartialReliability) prInfo {
	switch p.Policy {
	case engine.ReliabilityTimed:
		return prInfo{Policy: prTimed, Value: milliseconds(p.TTL)}
	case engine.ReliabilityRetransmissions:
		return prInfo{Policy: prLimited, Value: p.Retransmissions}
	case engine.ReliabilityPriority:
		return prInfo{Policy: prPriority, Value: p.Priority}
	}
	return prInfo{}
}

func (p prInfo) reliability() engine.PartialReliability {
	switch p.Policy {
	case prTimed:
		return engine.PartialReliability{Policy: engine.ReliabilityTimed, TTL: fromMilliseconds(p.Value)}
	case prLimited:
		return engine.PartialReliability{Policy: engine.ReliabilityRetransmissions, Retransmissions: p.Value}
	case prPriority:
		return engine.PartialReliability{Policy: engine.ReliabilityPriority, Priority: p.Value}
	}
	return engine.PartialReliability{}
}

// pack is the default for a conn, which the kernel forgets of a message that has
// information: see putInfo.
func (p prInfo) pack() uint64 { return uint64(p.Policy)<<32 | uint64(p.Value) }

func setReliability(t target, p engine.PartialReliability) error {
	info := prInfoOf(p)
	return t.set(optDefaultPRInfo, defaultPRInfo{Policy: info.Policy, Value: info.Value})
}

func defaultReliability(t target) (prInfo, error) {
	var v defaultPRInfo
	err := t.get(optDefaultPRInfo, &v)
	return prInfo{Policy: v.Policy, Value: v.Value}, err
}

func setScheduler(t target, s engine.Scheduler) error {
	s = max(s, engine.SchedulerFirstCome)
	err := t.setValue(optScheduler, uint32(s))
	if errors.Is(err, unix.EINVAL) && s > 0 {
		// The number is one that a later kernel has.
		err = fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("no scheduler %q: %w", s, err)
	}
	return err
}

func setPartialDelivery(t target, bytes int) error {
	err := optPartialDelivery.setInt(t.fd, bytes)
	if errors.Is(err, unix.EINVAL) {
		if room, rerr := optReadBuffer.getInt(t.fd); rerr == nil {
			return fmt.Errorf("partial delivery point of %d; allowed are 0 to %d, half the read buffer: %w", bytes, room/2, err)
		}
	}
	return err
}

func setInterleaving(fd int) error {
	if err := optFragmentInterleave.setInt(fd, 2); err != nil {
		return err
	}
	err := optInterleaving.setValue(fd, 1)
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: it needs sysctl net.sctp.intl_enable=1: %w", errors.ErrUnsupported, err)
	}
	return err
}

// allPaths stands for an address of the peer.
var allPaths [128]byte

// setPathParams is for one path, or with no address for all of them.
func setPathParams(t target, addr [128]byte, p engine.PathParams) error {
	v := pathParams{
		Address:    addr,
		HBInterval: milliseconds(p.HeartbeatInterval),
		PathMaxRxt: uint16(p.MaxRetransmissions),
	}
	switch {
	case p.NoHeartbeat:
		v.Flags |= sppHBDisable
	case p.HeartbeatInterval > 0:
		v.Flags |= sppHBEnable
	}
	switch {
	case p.DiscoverMTU:
		v.Flags |= sppPMTUDEnable
	case p.MTU > 0:
		v.Flags |= sppPMTUDDisable
		v.PathMTU = uint32(p.MTU)
	}
	if p.DSCP != 0 {
		v.Flags |= sppDSCP
		v.DSCP = uint8(max(0, p.DSCP)) << 2
	}
	if p.FlowLabel != 0 {
		v.Flags |= sppIPv6FlowLabel
		v.IPv6FlowLabel = uint32(max(0, p.FlowLabel))
	}
	if v != (pathParams{Address: addr}) {
		if err := t.set(optPathParams, v); err != nil {
			return err
		}
	}
	if p.PotentiallyFailedThreshold != 0 || p.PrimarySwitchoverThreshold != 0 {
		if err := setThresholds(t, addr, p.PotentiallyFailedThreshold, p.PrimarySwitchoverThreshold); err != nil {
			return err
		}
	}
	if p.UDPPort != 0 {
		// struct sctp_udpencaps; the port is in network order.
		b, at := pathValues(addr, 0)
		binary.BigEndian.PutUint16(b[at:], uint16(max(0, p.UDPPort)))
		return t.setBytes(optUDPPort, b)
	}
	return nil
}

// setThresholds sets both thresholds, as there is no way to set one of them.
func setThresholds(t target, addr [128]byte, failed, switchover int) error {
	b, at := pathValues(addr, 0, 0, 0)
	_, err := t.getBytes(optThresholdsV2, b)
	switch {
	case errors.Is(err, errors.ErrUnsupported) && switchover == 0:
		// Before 5.15 there is only one.
		b, _ = pathValues(addr, 0, uint16(max(0, failed)))
		return t.setBytes(optThresholds, b)
	case err != nil:
		return err
	}
	binary.NativeEndian.PutUint16(b[at:], 0) // that of retransmissions stays
	if failed != 0 {
		binary.NativeEndian.PutUint16(b[at+2:], uint16(max(0, failed)))
	}
	if switchover != 0 {
		binary.NativeEndian.PutUint16(b[at+4:], uint16(switchover))
	}
	pf, ps := binary.NativeEndian.Uint16(b[at+2:]), binary.NativeEndian.Uint16(b[at+4:])
	if pf > ps {
		return fmt.Errorf("PotentiallyFailedThreshold of %d is more than PrimarySwitchoverThreshold, %d", pf, ps)
	}
	return t.setBytes(optThresholdsV2, b)
}

func getPathParams(t target, addr [128]byte) (p engine.PathParams, err error) {
	v := pathParams{Address: addr}
	if err := t.get(optPathParams, &v); err != nil {
		return p, err
	}
	p = engine.PathParams{
		HeartbeatInterval:  fromMilliseconds(v.HBInterval),
		NoHeartbeat:        v.Flags&sppHBDisable != 0,
		MaxRetransmissions: int(v.PathMaxRxt),
		MTU:                int(v.PathMTU),
		DiscoverMTU:        v.Flags&sppPMTUDEnable != 0,
	}
	if v.Flags&sppDSCP != 0 {
		p.DSCP = int(v.DSCP >> 2)
	}
	if v.Flags&sppIPv6FlowLabel != 0 {
		p.FlowLabel = int(v.IPv6FlowLabel)
	}
	b, at := pathValues(addr, 0, 0, 0)
	_, err = t.getBytes(optThresholdsV2, b)
	if err == nil {
		p.PrimarySwitchoverThreshold = int(binary.NativeEndian.Uint16(b[at+4:]))
	} else if errors.Is(err, errors.ErrUnsupported) {
		b, at = pathValues(addr, 0, 0)
		_, err = t.getBytes(optThresholds, b)
	}
	if err != nil {
		return p, err
	}
	p.PotentiallyFailedThreshold = int(binary.NativeEndian.Uint16(b[at+2:]))
	b, at = pathValues(addr, 0)
	_, err = t.getBytes(optUDPPort, b)
	if errors.Is(err, errors.ErrUnsupported) {
		return p, nil // there is none
	}
	p.UDPPort = int(binary.BigEndian.Uint16(b[at:]))
	return p, err
}

// path runs f with the kernel's form of an address, which must be one of the peer's,
// or with zeros for the zero Addr.
func (c *conn) path(ip netip.Addr, f func(fd int, addr [128]byte) error) error {
	return c.control(func(fd int) error {
		var addr [128]byte
		if ip.IsValid() {
			peer, err := peerAddrs(fd)
			if err != nil {
				return err
			}
			one, ok := find(peer, ip)
			if !ok {
				return notThePeers(ip)
			}
			sa, err := appendSockaddrs(nil, one)
			if err != nil {
				return err
			}
			copy(addr[:], sa)
		}
		return f(fd, addr)
	})
}

func (c *conn) SetStreamValue(stream, value uint16) error {
	return c.control(func(fd int) error { return optSchedulerValue.set(fd, streamValue{Stream: stream, Value: value}) })
}

func (c *conn) StreamValue(stream uint16) (uint16, error) {
	return read(c, func(fd int) (uint16, error) {
		v := streamValue{Stream: stream}
		err := optSchedulerValue.get(fd, &v)
		return v.Value, err
	})
}

// read is control for a getter.
func read[T any](c controller, get func(fd int) (T, error)) (v T, err error) {
	err = c.control(func(fd int) error {
		v, err = get(fd)
		return err
	})
	return v, err
}

// ask is read for what a one-to-many socket has of each association.
func ask[T any](c controller, assoc engine.AssocID, get func(t target) (T, error)) (T, error) {
	return read(c, func(fd int) (T, error) { return get(target{fd, assoc}) })
}

// A controller has a socket.
type controller interface {
	control(f func(fd int) error) error
}
