package kernel

import "github.com/sctpnet/sctpnet/internal/engine"

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

func unpack(v uint64) prInfo { return prInfo{Policy: uint16(v >> 32), Value: uint32(v)} }

func setReliability(t target, p engine.PartialReliability) error {
	info := prInfoOf(p)
	return t.set(optDefaultPRInfo, defaultPRInfo{Policy: info.Policy, Value: info.Value})
}

func defaultReliability(t target) (prInfo, error) {
	var v defaultPRInfo
	err := t.get(optDefaultPRInfo, &v)
	return prInfo{Policy: v.Policy, Value: v.Value}, err
}
