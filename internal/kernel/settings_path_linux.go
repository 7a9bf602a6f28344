package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/sctpnet/sctpnet/internal/engine"
)

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
			one, err := socketOf(fd).peersAddr(ip)
			if err != nil {
				return err
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
