package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"os"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// An option is a socket option with the name that errors give it.
type option struct {
	level, num int
	name       string
}

func sctpOption(num int, name string) option { return option{sctp.SOL_SCTP, num, name} }

// The numbers that github.com/ishidawataru/sctp lacks are from linux/sctp.h.
var (
	optRTO                = sctpOption(sctp.SCTP_RTOINFO, "SCTP_RTOINFO")
	optAssocInfo          = sctpOption(sctp.SCTP_ASSOCINFO, "SCTP_ASSOCINFO")
	optNoDelay            = sctpOption(sctp.SCTP_NODELAY, "SCTP_NODELAY")
	optAdaptation         = sctpOption(sctp.SCTP_ADAPTATION_LAYER, "SCTP_ADAPTATION_LAYER")
	optPathParams         = sctpOption(sctp.SCTP_PEER_ADDR_PARAMS, "SCTP_PEER_ADDR_PARAMS")
	optMaxSegment         = sctpOption(13, "SCTP_MAXSEG")
	optSACK               = sctpOption(sctp.SCTP_DELAYED_SACK, "SCTP_DELAYED_SACK")
	optFragmentInterleave = sctpOption(18, "SCTP_FRAGMENT_INTERLEAVE")
	optPartialDelivery    = sctpOption(19, "SCTP_PARTIAL_DELIVERY_POINT")
	optMaxBurst           = sctpOption(20, "SCTP_MAX_BURST")
	optAuthChunk          = sctpOption(21, "SCTP_AUTH_CHUNK")
	optHMAC               = sctpOption(22, "SCTP_HMAC_IDENT")
	optAuthKey            = sctpOption(23, "SCTP_AUTH_KEY")
	optAuthActive         = sctpOption(24, "SCTP_AUTH_ACTIVE_KEY")
	optAuthDelete         = sctpOption(25, "SCTP_AUTH_DELETE_KEY")
	optPeerAuthChunks     = sctpOption(26, "SCTP_PEER_AUTH_CHUNKS")
	optLocalAuthChunks    = sctpOption(27, "SCTP_LOCAL_AUTH_CHUNKS")
	optThresholds         = sctpOption(31, "SCTP_PEER_ADDR_THLDS")
	optAuthDeactivate     = sctpOption(35, "SCTP_AUTH_DEACTIVATE_KEY")
	optThresholdsV2       = sctpOption(37, "SCTP_PEER_ADDR_THLDS_V2")
	optPRSupported        = sctpOption(113, "SCTP_PR_SUPPORTED")
	optDefaultPRInfo      = sctpOption(114, "SCTP_DEFAULT_PRINFO")
	optReconfig           = sctpOption(optReconfigSupported, "SCTP_RECONFIG_SUPPORTED")
	optResetAssoc         = sctpOption(120, "SCTP_RESET_ASSOC")
	optAddStreams         = sctpOption(121, "SCTP_ADD_STREAMS")
	optScheduler          = sctpOption(123, "SCTP_STREAM_SCHEDULER")
	optSchedulerValue     = sctpOption(124, "SCTP_STREAM_SCHEDULER_VALUE")
	optInterleaving       = sctpOption(125, "SCTP_INTERLEAVING_SUPPORTED")
	optASCONF             = sctpOption(128, "SCTP_ASCONF_SUPPORTED")
	optAuth               = sctpOption(129, "SCTP_AUTH_SUPPORTED")
	optECN                = sctpOption(130, "SCTP_ECN_SUPPORTED")
	optUDPPort            = sctpOption(132, "SCTP_REMOTE_UDP_ENCAPS_PORT")

	optReadBuffer  = option{unix.SOL_SOCKET, unix.SO_RCVBUF, "SO_RCVBUF"}
	optWriteBuffer = option{unix.SOL_SOCKET, unix.SO_SNDBUF, "SO_SNDBUF"}
)

// Flags of struct sctp_paddrparams.
const (
	sppHBEnable      = 1 << 0
	sppHBDisable     = 1 << 1
	sppHBDemand      = 1 << 2
	sppPMTUDEnable   = 1 << 3
	sppIPv6FlowLabel = 1 << 8
	sppDSCP          = 1 << 9
)

// Structures of linux/sctp.h, as in sockopt_linux.go.
type (
	assocParams struct { // struct sctp_assocparams
		AssocID    int32
		MaxRxt     uint16
		Peers      uint16
		PeerRWND   uint32
		LocalRWND  uint32
		CookieLife uint32
	}
	sackInfo struct { // struct sctp_sack_info
		AssocID          int32
		Delay, Frequency uint32
	}
	defaultPRInfo struct { // struct sctp_default_prinfo
		AssocID int32
		Value   uint32
		Policy  uint16
		_       uint16
	}
	streamValue struct { // struct sctp_stream_value
		AssocID       int32
		Stream, Value uint16
	}
	addStreams struct { // struct sctp_add_streams
		AssocID int32
		In, Out uint16
	}
	authKeyID struct { // struct sctp_authkeyid
		AssocID int32
		Key     uint16
		_       uint16
	}
)

// storageAlign is the alignment of a struct sockaddr_storage, of which some
// structures have padding.
const storageAlign = bits.UintSize / 8

// pathValues makes one of the structures that are an address and 16-bit
// numbers, not packed: sctp_paddrthlds, _v2 and sctp_udpencaps. It also says
// where the numbers are.
func pathValues(addr [128]byte, values ...uint16) (b []byte, offset int) {
	b = append(make([]byte, storageAlign, 2*storageAlign+len(addr)+8), addr[:]...)
	offset = len(b)
	for _, v := range values {
		b = binary.NativeEndian.AppendUint16(b, v)
	}
	for len(b)%storageAlign != 0 {
		b = append(b, 0)
	}
	return b, offset
}

// wrap names the option in an error, and says where the kernel has none.
func (o option) wrap(call string, err error) error {
	if err == nil {
		return nil
	}
	err = os.NewSyscallError(call, err)
	if errors.Is(err, unix.ENOPROTOOPT) {
		return fmt.Errorf("%s: %w: %w", o.name, errors.ErrUnsupported, err)
	}
	return fmt.Errorf("%s: %w", o.name, err)
}

func (o option) setBytes(fd int, b []byte) error {
	return o.wrap("setsockopt", unix.SetsockoptString(fd, o.level, o.num, string(b)))
}

func (o option) set(fd int, v any) error {
	b, err := binary.Append(nil, binary.NativeEndian, v)
	if err != nil {
		return err
	}
	return o.setBytes(fd, b)
}

func (o option) setInt(fd, v int) error {
	return o.wrap("setsockopt", unix.SetsockoptInt(fd, o.level, o.num, v))
}

// setValue sets an option that is a struct sctp_assoc_value.
func (o option) setValue(fd int, v uint32) error { return o.set(fd, assocValue{Value: v}) }

func (o option) getBytes(fd int, b []byte) (int, error) {
	n, err := getsockopt(fd, o.num, b)
	return n, o.wrap("getsockopt", err)
}

// get fills *v, which may hold arguments.
func (o option) get(fd int, v any) error {
	b, err := binary.Append(nil, binary.NativeEndian, v)
	if err != nil {
		return err
	}
	if _, err := o.getBytes(fd, b); err != nil {
		return err
	}
	_, err = binary.Decode(b, binary.NativeEndian, v)
	return err
}

func (o option) getInt(fd int) (int, error) {
	v, err := unix.GetsockoptInt(fd, o.level, o.num)
	return v, o.wrap("getsockopt", err)
}

func (o option) getValue(fd int) (uint32, error) {
	var v assocValue
	err := o.get(fd, &v)
	return v.Value, err
}

// milliseconds rounds up, as what is rounded to zero would mean another thing.
func milliseconds(d time.Duration) uint32 {
	return uint32((d + time.Millisecond - 1) / time.Millisecond)
}

func fromMilliseconds(ms uint32) time.Duration { return time.Duration(ms) * time.Millisecond }

// tune applies to a socket before its handshake what a conn's setters apply to
// an association after it.
func tune(fd int, o engine.Options) error {
	var err error // the first one
	do := func(wanted bool, set func() error) {
		if wanted && err == nil {
			err = set()
		}
	}
	do(o.RTO != engine.RTO{}, func() error { return setRTO(fd, o.RTO) })
	do(o.Assoc != engine.AssocParams{}, func() error { return setAssocParams(fd, o.Assoc) })
	do(o.Path != engine.PathParams{}, func() error { return setPathParams(fd, [128]byte{}, o.Path) })
	do(o.SACK != engine.SACK{}, func() error { return setSACK(fd, o.SACK) })
	do(o.NoDelay, func() error { return optNoDelay.setInt(fd, 1) })
	do(o.ReadBuffer != 0, func() error { return optReadBuffer.setInt(fd, o.ReadBuffer) })
	do(o.WriteBuffer != 0, func() error { return optWriteBuffer.setInt(fd, o.WriteBuffer) })
	do(o.MaxSegment != 0, func() error { return optMaxSegment.setValue(fd, uint32(o.MaxSegment)) })
	do(o.MaxBurst != 0, func() error { return optMaxBurst.setValue(fd, uint32(max(0, o.MaxBurst))) })
	do(o.Adaptation != 0, func() error { return optAdaptation.set(fd, o.Adaptation) })
	do(o.PartialReliability != engine.PartialReliability{}, func() error { return setPartialReliability(fd, o.PartialReliability) })
	do(o.Scheduler != 0, func() error { return setScheduler(fd, o.Scheduler) })
	do(o.FragmentInterleave != 0, func() error { return optFragmentInterleave.setInt(fd, o.FragmentInterleave) })
	do(o.PartialDeliveryPoint != 0, func() error { return optPartialDelivery.setInt(fd, o.PartialDeliveryPoint) })
	do(o.NoPartialReliability, func() error { return optPRSupported.setValue(fd, 0) })
	do(o.NoECN, func() error { return optECN.setValue(fd, 0) })
	do(o.Interleaving, func() error { return setInterleaving(fd) })
	do(o.AddressReconfig, func() error { return optASCONF.setValue(fd, 1) })
	do(o.Auth != nil, func() error { return setAuth(fd, o.Auth) })
	return err
}

func setRTO(fd int, r engine.RTO) error {
	err := optRTO.set(fd, rtoInfo{
		Initial: milliseconds(r.Initial),
		Max:     milliseconds(r.Max),
		Min:     milliseconds(r.Min),
	})
	if errors.Is(err, unix.EINVAL) && (r.Min == 0) != (r.Max == 0) {
		// The kernel would only say EINVAL of the two together.
		var v rtoInfo
		if err := optRTO.get(fd, &v); err != nil {
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

func setAssocParams(fd int, p engine.AssocParams) error {
	err := optAssocInfo.set(fd, assocParams{
		MaxRxt:     uint16(p.MaxRetransmissions),
		CookieLife: milliseconds(p.CookieLife),
	})
	if errors.Is(err, unix.EINVAL) && p.MaxRetransmissions > 0 {
		// The one limit that depends on the association.
		return fmt.Errorf("%d retransmissions of an association with several paths; allowed are no more than all its paths have together: %w", p.MaxRetransmissions, err)
	}
	return err
}

func setSACK(fd int, s engine.SACK) error {
	return optSACK.set(fd, sackInfo{Delay: milliseconds(s.Delay), Frequency: uint32(s.Frequency)})
}

func setPartialReliability(fd int, p engine.PartialReliability) error {
	return optDefaultPRInfo.set(fd, defaultPRInfo{Policy: p.Policy, Value: p.Value})
}

func setScheduler(fd int, s uint32) error {
	err := optScheduler.setValue(fd, s)
	if errors.Is(err, unix.EINVAL) && s > 0 {
		// The number is one that a later kernel has.
		return fmt.Errorf("%w: scheduler %d: %w", errors.ErrUnsupported, s, err)
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

func setAuth(fd int, a *engine.Auth) error {
	if err := optAuth.setValue(fd, 1); err != nil {
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		// An older kernel has it by the sysctl, or says EACCES of the rest.
		if len(a.Chunks)+len(a.HMACs)+len(a.Keys) == 0 {
			return fmt.Errorf("%w; see sysctl net.sctp.auth_enable", err)
		}
	}
	for _, c := range a.Chunks {
		if err := optAuthChunk.setBytes(fd, []byte{c}); err != nil {
			return err
		}
	}
	if len(a.HMACs) > 0 {
		// struct sctp_hmacalgo
		b := binary.NativeEndian.AppendUint32(nil, uint32(len(a.HMACs)))
		for _, h := range a.HMACs {
			b = binary.NativeEndian.AppendUint16(b, h)
		}
		if err := optHMAC.setBytes(fd, b); err != nil {
			return err
		}
	}
	for _, k := range a.Keys {
		if err := setAuthKey(fd, k); err != nil {
			return err
		}
	}
	if a.Active != 0 {
		return setKeyID(fd, optAuthActive, a.Active)
	}
	return nil
}

func setAuthKey(fd int, k engine.AuthKey) error {
	// struct sctp_authkey
	b := binary.NativeEndian.AppendUint32(nil, 0)
	b = binary.NativeEndian.AppendUint16(b, k.ID)
	b = binary.NativeEndian.AppendUint16(b, uint16(len(k.Secret)))
	b = append(b, k.Secret...)
	return authError(optAuthKey.setBytes(fd, b))
}

func setKeyID(fd int, o option, id uint16) error {
	err := authError(o.set(fd, authKeyID{Key: id}))
	if errors.Is(err, unix.EINVAL) {
		if o == optAuthActive {
			return fmt.Errorf("key %d is not set, or was deactivated: %w", id, err)
		}
		return fmt.Errorf("key %d is not set, or is the active one: %w", id, err)
	}
	return err
}

// authError explains what the kernel says where there is no authentication.
func authError(err error) error {
	if errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w: authentication (RFC 4895) is not in use, for which both sides must offer it before the handshake: %w", errors.ErrUnsupported, err)
	}
	return err
}

// setPathParams is for one path, or with no address for all of them.
func setPathParams(fd int, addr [128]byte, p engine.PathParams) error {
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
		if err := optPathParams.set(fd, v); err != nil {
			return err
		}
	}
	if p.PotentiallyFailed != 0 || p.PrimarySwitchover != 0 {
		if err := setThresholds(fd, addr, p.PotentiallyFailed, p.PrimarySwitchover); err != nil {
			return err
		}
	}
	if p.UDPPort != 0 {
		// struct sctp_udpencaps; the port is in network order.
		b, at := pathValues(addr, 0)
		binary.BigEndian.PutUint16(b[at:], uint16(max(0, p.UDPPort)))
		return optUDPPort.setBytes(fd, b)
	}
	return nil
}

// setThresholds sets both thresholds, as there is no way to set one of them.
func setThresholds(fd int, addr [128]byte, failed, switchover int) error {
	b, at := pathValues(addr, 0, 0, 0)
	_, err := optThresholdsV2.getBytes(fd, b)
	switch {
	case errors.Is(err, errors.ErrUnsupported) && switchover == 0:
		// Before 5.15 there is only one.
		b, _ = pathValues(addr, 0, uint16(max(0, failed)))
		return optThresholds.setBytes(fd, b)
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
		return fmt.Errorf("PotentiallyFailed of %d is more than PrimarySwitchover, %d", pf, ps)
	}
	return optThresholdsV2.setBytes(fd, b)
}

func getPathParams(fd int, addr [128]byte) (p engine.PathParams, err error) {
	v := pathParams{Address: addr}
	if err := optPathParams.get(fd, &v); err != nil {
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
	_, err = optThresholdsV2.getBytes(fd, b)
	if err == nil {
		p.PrimarySwitchover = int(binary.NativeEndian.Uint16(b[at+4:]))
	} else if errors.Is(err, errors.ErrUnsupported) {
		b, at = pathValues(addr, 0, 0)
		_, err = optThresholds.getBytes(fd, b)
	}
	if err != nil {
		return p, err
	}
	p.PotentiallyFailed = int(binary.NativeEndian.Uint16(b[at+2:]))
	b, at = pathValues(addr, 0)
	_, err = optUDPPort.getBytes(fd, b)
	if errors.Is(err, errors.ErrUnsupported) {
		return p, nil // there is none
	}
	p.UDPPort = int(binary.BigEndian.Uint16(b[at:]))
	return p, err
}

// path runs f with the kernel's form of one of the peer's addresses, of which
// it makes sure, or with zeros for the zero Addr.
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

// read is control for a getter.
func read[T any](c *conn, get func(fd int) (T, error)) (v T, err error) {
	err = c.control(func(fd int) error {
		v, err = get(fd)
		return err
	})
	return v, err
}

func (c *conn) SetRTO(r engine.RTO) error {
	return c.control(func(fd int) error { return setRTO(fd, r) })
}

func (c *conn) RTO() (engine.RTO, error) {
	return read(c, func(fd int) (engine.RTO, error) {
		var v rtoInfo
		err := optRTO.get(fd, &v)
		return engine.RTO{
			Initial: fromMilliseconds(v.Initial),
			Min:     fromMilliseconds(v.Min),
			Max:     fromMilliseconds(v.Max),
		}, err
	})
}

func (c *conn) SetAssocParams(p engine.AssocParams) error {
	return c.control(func(fd int) error { return setAssocParams(fd, p) })
}

func (c *conn) AssocParams() (engine.AssocParams, error) {
	return read(c, func(fd int) (engine.AssocParams, error) {
		var v assocParams
		err := optAssocInfo.get(fd, &v)
		return engine.AssocParams{
			MaxRetransmissions: int(v.MaxRxt),
			CookieLife:         fromMilliseconds(v.CookieLife),
			LocalWindow:        int(v.LocalRWND),
			PeerWindow:         int(v.PeerRWND),
		}, err
	})
}

func (c *conn) SetPathParams(ip netip.Addr, p engine.PathParams) error {
	return c.path(ip, func(fd int, addr [128]byte) error { return setPathParams(fd, addr, p) })
}

func (c *conn) PathParams(ip netip.Addr) (p engine.PathParams, err error) {
	err = c.path(ip, func(fd int, addr [128]byte) error {
		p, err = getPathParams(fd, addr)
		return err
	})
	return p, err
}

func (c *conn) Heartbeat(ip netip.Addr) error {
	return c.path(ip, func(fd int, addr [128]byte) error {
		err := optPathParams.set(fd, pathParams{Address: addr, Flags: sppHBDemand})
		if errors.Is(err, unix.EINVAL) {
			return engine.ErrEnded
		}
		return err
	})
}

func (c *conn) SetSACK(s engine.SACK) error {
	return c.control(func(fd int) error { return setSACK(fd, s) })
}

func (c *conn) SACK() (engine.SACK, error) {
	return read(c, func(fd int) (engine.SACK, error) {
		var v sackInfo
		err := optSACK.get(fd, &v)
		return engine.SACK{Delay: fromMilliseconds(v.Delay), Frequency: int(v.Frequency)}, err
	})
}

func (c *conn) NoDelay() (bool, error) {
	v, err := read(c, optNoDelay.getInt)
	return v != 0, err
}

func (c *conn) ReadBuffer() (int, error)  { return read(c, optReadBuffer.getInt) }
func (c *conn) WriteBuffer() (int, error) { return read(c, optWriteBuffer.getInt) }

func (c *conn) SetMaxSegment(bytes int) error {
	return c.control(func(fd int) error {
		err := optMaxSegment.setValue(fd, uint32(bytes))
		if err == nil {
			c.segmented.Store(bytes != 0)
		}
		return err
	})
}

// MaxSegment returns what was set. Where nothing was, the kernel gives what the
// path allows.
func (c *conn) MaxSegment() (int, error) {
	v, err := read(c, optMaxSegment.getValue)
	if !c.segmented.Load() {
		v = 0
	}
	return int(v), err
}

func (c *conn) SetMaxBurst(packets int) error {
	return c.control(func(fd int) error { return optMaxBurst.setValue(fd, uint32(max(0, packets))) })
}

func (c *conn) MaxBurst() (int, error) {
	v, err := read(c, optMaxBurst.getValue)
	return int(v), err
}

func (c *conn) SetPartialReliability(p engine.PartialReliability) error {
	return c.control(func(fd int) error {
		err := setPartialReliability(fd, p)
		if err == nil {
			c.reliability.Store(packReliability(p))
		}
		return err
	})
}

func (c *conn) PartialReliability() (engine.PartialReliability, error) {
	return read(c, defaultReliability)
}

func defaultReliability(fd int) (engine.PartialReliability, error) {
	var v defaultPRInfo
	err := optDefaultPRInfo.get(fd, &v)
	return engine.PartialReliability{Policy: v.Policy, Value: v.Value}, err
}

// packReliability is the default for a conn, which the kernel forgets of a
// message that has information: see putInfo.
func packReliability(p engine.PartialReliability) uint64 {
	return uint64(p.Policy)<<32 | uint64(p.Value)
}

// schedulerRoundRobin is SCTP_SS_RR of enum sctp_sched_type.
const schedulerRoundRobin = 2

func (c *conn) SetScheduler(s uint32) error {
	c.roundRobin.Store(false)
	return c.control(func(fd int) error { return setScheduler(fd, s) })
}

func (c *conn) Scheduler() (uint32, error) { return read(c, optScheduler.getValue) }

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

func (c *conn) SetFragmentInterleave(level int) error {
	return c.control(func(fd int) error { return optFragmentInterleave.setInt(fd, level) })
}

func (c *conn) FragmentInterleave() (int, error) { return read(c, optFragmentInterleave.getInt) }

func (c *conn) SetPartialDeliveryPoint(bytes int) error {
	return c.control(func(fd int) error {
		err := optPartialDelivery.setInt(fd, bytes)
		if errors.Is(err, unix.EINVAL) {
			if room, rerr := optReadBuffer.getInt(fd); rerr == nil {
				return fmt.Errorf("partial delivery point of %d; allowed are 0 to %d, half the read buffer: %w", bytes, room/2, err)
			}
		}
		return err
	})
}

func (c *conn) PartialDeliveryPoint() (int, error) { return read(c, optPartialDelivery.getInt) }

func (c *conn) Adaptation() (uint32, error) {
	return read(c, func(fd int) (v uint32, err error) {
		err = optAdaptation.get(fd, &v)
		return v, err
	})
}

func (c *conn) Features() (engine.Features, error) {
	return read(c, func(fd int) (f engine.Features, err error) {
		for _, q := range []struct {
			o  option
			on *bool
		}{
			{optPRSupported, &f.PartialReliability},
			{optReconfig, &f.StreamReconfig},
			{optASCONF, &f.AddressReconfig},
			{optAuth, &f.Auth},
			{optInterleaving, &f.Interleaving},
			{optECN, &f.ECN},
		} {
			v, err := q.o.getValue(fd)
			if err != nil && !errors.Is(err, errors.ErrUnsupported) {
				return f, err
			}
			*q.on = err == nil && v != 0
		}
		return f, nil
	})
}

func (c *conn) Interleaved() bool { return c.interleaved }

func (c *conn) NumStreams() (out, in uint16) {
	c.control(func(fd int) error {
		if st, err := assocStatus(fd); err == nil {
			c.setStreams(st.Ostreams, st.Instreams)
		}
		return nil
	})
	return c.Streams()
}

func (c *conn) AddStreams(out, in uint16) error {
	err := c.control(func(fd int) error {
		// Incoming ones are requests of the peer's again, which must be allowed.
		err := setStruct(fd, optEnableStreamReset, assocValue{Value: enableResets | enableAddStreams})
		if err = ifKnown(err); err == nil {
			err = optAddStreams.set(fd, addStreams{In: in, Out: out})
		}
		return reconfigError(fd, err)
	})
	c.NumStreams()
	return err
}

func (c *conn) ResetAssociation() error {
	return c.control(func(fd int) error { return reconfigError(fd, optResetAssoc.set(fd, int32(0))) })
}

// reconfigError says what the kernel means by the error of a request.
func reconfigError(fd int, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EINPROGRESS):
		return fmt.Errorf("an earlier request is under way: %w", err)
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("something that was sent is not acknowledged yet: %w", err)
	case errors.Is(err, unix.ENOPROTOOPT):
		if _, serr := optReconfig.getValue(fd); serr == nil {
			return fmt.Errorf("the peer has no stream reconfiguration (RFC 6525): %w", err)
		}
	case errors.Is(err, unix.EINVAL):
		if _, serr := assocStatus(fd); serr != nil {
			return engine.ErrEnded
		}
	}
	return err
}

func (c *conn) SetAuthKey(k engine.AuthKey) error {
	return c.control(func(fd int) error { return setAuthKey(fd, k) })
}

func (c *conn) ActivateAuthKey(id uint16) error   { return c.setKeyID(optAuthActive, id) }
func (c *conn) DeactivateAuthKey(id uint16) error { return c.setKeyID(optAuthDeactivate, id) }
func (c *conn) DeleteAuthKey(id uint16) error     { return c.setKeyID(optAuthDelete, id) }

func (c *conn) setKeyID(o option, id uint16) error {
	return c.control(func(fd int) error { return setKeyID(fd, o, id) })
}

func (c *conn) AuthState() (engine.AuthState, error) {
	return read(c, func(fd int) (s engine.AuthState, err error) {
		var active authKeyID
		if err := authError(optAuthActive.get(fd, &active)); err != nil {
			return s, err
		}
		s.Active = active.Key
		if s.LocalChunks, err = authChunks(fd, optLocalAuthChunks); err != nil {
			return s, err
		}
		if s.PeerChunks, err = authChunks(fd, optPeerAuthChunks); err != nil {
			return s, err
		}
		// struct sctp_hmacalgo
		b := make([]byte, 4+2*16)
		n, err := optHMAC.getBytes(fd, b)
		if errors.Is(err, unix.EACCES) {
			return s, nil // an accepted socket does not know, unless by the sysctl
		} else if err != nil {
			return s, err
		}
		for i := range min(int(binary.NativeEndian.Uint32(b)), (n-4)/2) {
			s.HMACs = append(s.HMACs, binary.NativeEndian.Uint16(b[4+2*i:]))
		}
		return s, nil
	})
}

// authChunks is a struct sctp_authchunks.
func authChunks(fd int, o option) ([]uint8, error) {
	b := make([]byte, 8+256)
	n, err := o.getBytes(fd, b)
	if err != nil {
		return nil, authError(err)
	}
	return b[8:max(8, min(n, 8+int(binary.NativeEndian.Uint32(b[4:]))))], nil
}
