package engine

import "net/netip"

// An Event is what an association has to tell beside its messages: one of the
// types in this file. Package sctpnet has types of the same names for its
// callers, and says there what each means. Numbers are as RFC 6458 has them,
// those of streams, keys and causes in host order.
type Event interface{ event() }

type (
	// AssocEvent is SCTP_ASSOC_CHANGE.
	AssocEvent struct {
		Change  AssocChange
		Cause   uint16
		Causes  []byte // of the peer's ABORT, all of them as they traveled
		Out, In uint16
		Err     error // of AssocNotMade: why
	}

	// PathEvent is SCTP_PEER_ADDR_CHANGE.
	PathEvent struct {
		Addr   netip.AddrPort
		Change PathChange
	}

	// SendFailedEvent is SCTP_SEND_FAILED_EVENT, of a whole message.
	SendFailedEvent struct {
		Message Message
		Data    []byte
		Sent    bool
		Cause   uint16
	}

	// RemoteErrorEvent is SCTP_REMOTE_ERROR.
	RemoteErrorEvent struct {
		Cause uint16
		Data  []byte
	}

	// ShutdownEvent is SCTP_SHUTDOWN_EVENT.
	ShutdownEvent struct{}

	// PartialDeliveryEvent is SCTP_PARTIAL_DELIVERY_EVENT. Its only kind is
	// that the delivery was aborted.
	PartialDeliveryEvent struct {
		Stream uint16
		Seq    uint32
	}

	// AdaptationEvent is SCTP_ADAPTATION_INDICATION.
	AdaptationEvent struct{ Indication uint32 }

	// AuthEvent is SCTP_AUTHENTICATION_EVENT.
	AuthEvent struct {
		Change AuthChange
		Key    uint16
	}

	// SenderDryEvent is SCTP_SENDER_DRY_EVENT.
	SenderDryEvent struct{}

	// StreamResetEvent is SCTP_STREAM_RESET_EVENT. Streams were reset (RFC
	// 6525): their numbering begins anew, which marks the end of what they
	// carried.
	StreamResetEvent struct {
		Incoming bool     // by the peer; otherwise the answer to our request or to the peer's
		Streams  []uint16 // none means all
		Denied   bool     // it was a request, which the peer will not grant,
		Failed   bool     // or which can be repeated
	}

	// StreamsAddedEvent is SCTP_STREAM_CHANGE_EVENT.
	StreamsAddedEvent struct {
		Out, In        uint16
		Denied, Failed bool
	}

	// AssocResetEvent is SCTP_ASSOC_RESET_EVENT.
	AssocResetEvent struct {
		LocalTSN, RemoteTSN uint32
		Denied, Failed      bool
	}
)

func (AssocEvent) event()           {}
func (PathEvent) event()            {}
func (SendFailedEvent) event()      {}
func (RemoteErrorEvent) event()     {}
func (ShutdownEvent) event()        {}
func (PartialDeliveryEvent) event() {}
func (AdaptationEvent) event()      {}
func (AuthEvent) event()            {}
func (SenderDryEvent) event()       {}
func (StreamResetEvent) event()     {}
func (StreamsAddedEvent) event()    {}
func (AssocResetEvent) event()      {}

// An AssocChange is a sac_state of RFC 6458 section 6.1.1, by the numbers
// of Linux.
type AssocChange uint16

const (
	AssocUp AssocChange = iota
	AssocLost
	AssocRestarted
	AssocEnded
	AssocNotMade // to a PacketConn only
)

// A PathChange is an spc_state of RFC 6458 section 6.1.2, by the numbers of
// Linux.
type PathChange uint32

const (
	PathReachable PathChange = iota
	PathUnreachable
	PathRemoved
	PathAdded
	PathMadePrimary
	PathConfirmed
	PathPotentiallyFailed
)

// An AuthChange is an auth_indication of RFC 6458 section 6.1.8, by
// the numbers of Linux.
type AuthChange uint32

const (
	AuthNewKey AuthChange = iota
	AuthFreeKey
	AuthNone
)
