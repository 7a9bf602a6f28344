package engine

import (
	"net/netip"
	"time"
)

// The types of this file are those of the same names in package sctpnet, which
// documents their fields. A field that is zero leaves its value as it is.
type (
	RTO struct{ Initial, Min, Max time.Duration }

	AssocParams struct {
		MaxRetransmissions int
		CookieLife         time.Duration

		// Only of the getter.
		LocalWindow, PeerWindow int
	}

	PathParams struct {
		HeartbeatInterval  time.Duration
		NoHeartbeat        bool
		MaxRetransmissions int
		PotentiallyFailed  int // negative for 0
		PrimarySwitchover  int
		MTU                int
		DiscoverMTU        bool
		DSCP               int // negative for 0
		FlowLabel          int // negative for 0
		UDPPort            int // negative for none
	}

	SACK struct {
		Delay     time.Duration
		Frequency int
	}

	// PartialReliability has the kernel's numbers: a policy and its value.
	PartialReliability struct {
		Policy uint16
		Value  uint32
	}

	AuthKey struct {
		ID     uint16
		Secret []byte
	}

	Auth struct {
		Chunks []uint8
		HMACs  []uint16
		Keys   []AuthKey
		Active uint16
	}

	AuthState struct {
		Active      uint16
		LocalChunks []uint8
		PeerChunks  []uint8
		HMACs       []uint16
	}

	Features struct {
		PartialReliability bool
		StreamReconfig     bool
		AddressReconfig    bool
		Auth               bool
		Interleaving       bool
		ECN                bool
	}
)

// A Tuner has the settings of an association that can be changed, or asked
// for, while it lives. Values have been checked for their ranges above. The
// errors name the option; they wrap net.ErrClosed after Close and
// errors.ErrUnsupported where the system lacks the option.
type Tuner interface {
	SetRTO(RTO) error
	RTO() (RTO, error)
	SetAssocParams(AssocParams) error
	AssocParams() (AssocParams, error)
	// SetPathParams and the others are for one of the peer's addresses, or
	// with the zero Addr for all.
	SetPathParams(netip.Addr, PathParams) error
	PathParams(netip.Addr) (PathParams, error)
	Heartbeat(netip.Addr) error
	SetSACK(SACK) error
	SACK() (SACK, error)
	NoDelay() (bool, error)
	ReadBuffer() (int, error)
	WriteBuffer() (int, error)
	SetMaxSegment(int) error
	MaxSegment() (int, error)
	SetMaxBurst(int) error // negative for no limit
	MaxBurst() (int, error)
	SetPartialReliability(PartialReliability) error
	PartialReliability() (PartialReliability, error)
	SetScheduler(uint32) error
	Scheduler() (uint32, error)
	SetStreamValue(stream, value uint16) error
	StreamValue(stream uint16) (uint16, error)
	SetFragmentInterleave(level int) error
	FragmentInterleave() (int, error)
	SetPartialDeliveryPoint(int) error
	PartialDeliveryPoint() (int, error)
	Adaptation() (uint32, error)
	Features() (Features, error)
	// Interleaved reports whether pieces of one stream's message can come
	// between those of another's. If so, Recv must not be asked for a whole
	// one. It costs nothing.
	Interleaved() bool

	// NumStreams asks how many streams there are by now. Streams, which
	// costs nothing, returns the same from then on.
	NumStreams() (out, in uint16)
	// AddStreams and ResetAssociation ask the peer, and do not wait for it.
	// Where the same call may succeed later, their errors wrap EINPROGRESS
	// or EAGAIN.
	AddStreams(out, in uint16) error
	ResetAssociation() error

	SetAuthKey(AuthKey) error
	ActivateAuthKey(id uint16) error
	DeactivateAuthKey(id uint16) error
	DeleteAuthKey(id uint16) error
	AuthState() (AuthState, error)
}
