package kernel

import (
	"encoding/binary"
	"math/bits"
)

// What github.com/ishidawataru/sctp lacks, from linux/sctp.h.
const (
	cmsgPRInfo = 5 // SCTP_PRINFO

	// SCTP_ENABLE_RESET_STREAM_REQ, _RESET_ASSOC_REQ and _CHANGE_ASSOC_REQ, which
	// is needed to ask for more streams and lets the peer add any number.
	enableResets     = 0x03
	enableAddStreams = 0x04
)

// Structures that it lacks. Their fields are as in linux/sctp.h; they travel
// through encoding/binary, which adds no padding.
type (
	rcvInfo struct { // struct sctp_rcvinfo
		Stream, SSN, Flags uint16
		_                  uint16
		PPID               uint32 // as it traveled
		TSN, CumTSN        uint32
		Context            uint32
		AssocID            int32
	}
	prInfo struct { // struct sctp_prinfo
		Policy uint16
		_      uint16
		Value  uint32
	}
	rtoInfo struct { // struct sctp_rtoinfo
		AssocID           int32
		Initial, Max, Min uint32
	}
	assocValue struct { // struct sctp_assoc_value
		AssocID int32
		Value   uint32
	}
	event struct { // struct sctp_event
		AssocID int32
		Type    uint16
		On      uint8
		_       uint8
	}
	pathParams struct { // struct sctp_paddrparams, packed
		AssocID       int32
		Address       [128]byte
		HBInterval    uint32
		PathMaxRxt    uint16
		PathMTU       uint32
		SACKDelay     uint32
		Flags         uint32
		IPv6FlowLabel uint32
		DSCP          uint8
		_             uint8
	}
)

// The same, of the options.
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

// Flags of struct sctp_paddrparams.
const (
	sppHBEnable      = 1 << 0
	sppHBDisable     = 1 << 1
	sppHBDemand      = 1 << 2
	sppPMTUDEnable   = 1 << 3
	sppPMTUDDisable  = 1 << 4
	sppIPv6FlowLabel = 1 << 8
	sppDSCP          = 1 << 9
)

// storageAlign is the alignment of a struct sockaddr_storage. Some structures have
// padding for it.
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
