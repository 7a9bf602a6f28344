package udpencap

import (
	"encoding/binary"
	"slices"
)

// Parameters of INIT and INIT ACK.
const (
	paramIPv4           = 5
	paramIPv6           = 6
	paramCookie         = 7
	paramUnrecognized   = 8
	paramCookiePreserve = 9
	paramHostName       = 11
	paramAddressTypes   = 12
	paramECN            = 0x8000
	paramRandom         = 0x8002
	paramChunkList      = 0x8003
	paramHMAC           = 0x8004
	paramExtensions     = 0x8008
	paramForwardTSN     = 0xc000
	paramAdaptation     = 0xc006

	// paramBatches is this package's own and not registered: see docs/wire.md.
	// Its two highest bits have others pass it over in silence. It says that
	// the peer's system may be handed packets for this side as a batch. One
	// batch within a host that gets to the kernel's own SCTP stops Linux 6.1
	// with a panic.
	paramBatches = 0xbe9b

	initSize            = 16
	maxReported         = 512 // bytes of unrecognized parameters
	maxAddresses        = 64
	leastWindow  uint32 = 1500
)

// An initiation is what INIT and INIT ACK say.
type initiation struct {
	tag        uint32
	window     uint32
	out, in    uint16
	tsn        uint32
	reconfig   bool // RFC 6525
	partial    bool // RFC 3758
	batches    bool
	adaptation uint32
	adapts     bool // there is an adaptation

	cookie       []byte // of INIT ACK
	unrecognized []byte // parameters to report, each with its header
	detail       []byte // of the cause for which there must be no association
}

// parse reads the value of an INIT or INIT ACK. It reports false where that is
// cut short, and the cause where there must be no association.
func (i *initiation) parse(b []byte) (cause uint16, ok bool) {
	if len(b) < initSize {
		return causeProtocolViolation, false
	}
	i.tag = binary.BigEndian.Uint32(b)
	i.window = binary.BigEndian.Uint32(b[4:])
	i.out = binary.BigEndian.Uint16(b[8:])
	i.in = binary.BigEndian.Uint16(b[10:])
	i.tsn = binary.BigEndian.Uint32(b[12:])
	if i.tag == 0 || i.out == 0 || i.in == 0 || i.window < leastWindow {
		return causeInvalidParameter, false
	}
	for b = b[initSize:]; len(b) > 0; {
		p, rest, ok := nextParam(b)
		if !ok {
			return causeProtocolViolation, len(b) < paramHeaderSize // padding, perhaps
		}
		b = rest
		switch p.typ {
		case paramIPv4, paramIPv6:
			// More addresses of the peer's, which are not used: the one that it
			// sends from is.
		case paramCookie:
			i.cookie = p.value
		case paramHostName:
			i.detail = p.raw
			return causeUnresolvableAddress, false
		case paramExtensions:
			i.reconfig = i.reconfig || slices.Contains(p.value, ctReconfig)
			i.partial = i.partial || slices.Contains(p.value, ctForwardTSN)
		case paramBatches:
			i.batches = true
		case paramForwardTSN:
			i.partial = true
		case paramAdaptation:
			if len(p.value) == 4 {
				i.adaptation, i.adapts = binary.BigEndian.Uint32(p.value), true
			}
		case paramUnrecognized, paramCookiePreserve, paramAddressTypes, paramECN, paramRandom, paramChunkList, paramHMAC:
			// Known, and of no use here.
		default:
			stop, report := unknownParam(p.typ)
			if report && len(i.unrecognized)+padded(len(p.raw)) <= maxReported {
				i.unrecognized = pad(append(i.unrecognized, p.raw...))
			}
			if stop {
				return 0, true
			}
		}
	}
	return 0, true
}

// value is parse's inverse, of what this side says of itself.
func (i *initiation) value() []byte {
	b := binary.BigEndian.AppendUint32(nil, i.tag)
	b = binary.BigEndian.AppendUint32(b, i.window)
	b = binary.BigEndian.AppendUint16(b, i.out)
	b = binary.BigEndian.AppendUint16(b, i.in)
	b = binary.BigEndian.AppendUint32(b, i.tsn)
	// Supported extensions in the form of RFC 5061, and partial reliability
	// in that of RFC 3758 also: some know one and some the other.
	var ext []byte
	if i.reconfig {
		ext = append(ext, ctReconfig)
	}
	if i.partial {
		ext = append(ext, ctForwardTSN)
		b = appendParam(b, paramForwardTSN, nil)
	}
	if len(ext) > 0 {
		b = appendParam(b, paramExtensions, ext)
	}
	if i.batches {
		b = appendParam(b, paramBatches, nil)
	}
	if i.adapts {
		b = appendParam(b, paramAdaptation, binary.BigEndian.AppendUint32(nil, i.adaptation))
	}
	if i.cookie != nil {
		b = appendParam(b, paramCookie, i.cookie)
	}
	for p := range params(i.unrecognized) {
		b = appendParam(b, paramUnrecognized, p.raw)
	}
	return b
}
