package engine

import (
	"fmt"
	"strconv"
	"syscall"
	"time"
)

// Settings are what can change while an association lives. The fields, and
// those of their types, have the names of those of Config in package sctpnet,
// which documents and checks them. A field that is zero leaves its value as it
// is, or to the system. Where zero is a value of its own, a negative number
// stands for it.
type Settings struct {
	RTO                  RTO
	AssocParams          AssocParams
	PathParams           PathParams
	SACK                 SACK
	Nagle                bool // hold small messages back,
	NoDelay              bool // or do not; Get sets one of the two
	ReadBuffer           int  // bytes asked of the system for receiving
	WriteBuffer          int  // and for sending
	MaxSegment           int
	MaxBurst             int
	PartialReliability   PartialReliability
	Scheduler            Scheduler
	FragmentInterleave   int
	PartialDeliveryPoint int
}

// Check returns an error if the timeouts exclude each other. Zero is none.
func (r RTO) Check() error {
	if r.Max != 0 && r.Min > r.Max {
		return fmt.Errorf("RTO.Min is %v; allowed are up to RTO.Max, %v: %w", r.Min, r.Max, syscall.EINVAL)
	}
	return nil
}

// Options are the settings of an endpoint: those that can change later, and
// those that the handshake settles.
type Options struct {
	Settings

	OutStreams    uint16        // outgoing streams asked for
	MaxInStreams  uint16        // incoming streams granted at most
	InitAttempts  uint16        // times that INIT is sent again
	InitTimeout   time.Duration // most between two INITs
	SenderDry     bool          // tell the Owner of SenderDryEvents, if of Events
	KeepRestarted bool          // a Conn goes on where the peer restarts the association
	Adaptation    uint32
	LocalUDPPort  uint16 // to receive at, of SCTP over UDP

	// What is offered to the peer, or not.
	NoPartialReliability bool
	Interleaving         bool
	Auth                 *Auth // not changed
	AddressReconfig      bool
	NoECN                bool

	// What package sctpnet makes of a Config.
	PeerAdds         bool // the peer may add to the streams later
	Events           bool // tell the Owner of all events, not of stream resets only
	RoundRobin       bool // once there is an Owner, give each stream its turn, if possible
	SmallLoopbackMTU bool // limit the path MTU over the loopback interface
}

type (
	RTO struct{ Initial, Min, Max time.Duration }

	AssocParams struct {
		MaxRetransmissions int
		CookieLife         time.Duration
	}

	PathParams struct {
		HeartbeatInterval          time.Duration
		NoHeartbeat                bool
		MaxRetransmissions         int
		PotentiallyFailedThreshold int // negative for 0
		PrimarySwitchoverThreshold int
		MTU                        int
		DiscoverMTU                bool
		DSCP                       int // negative for 0
		FlowLabel                  int // negative for 0
		UDPPort                    int // negative for none
	}

	SACK struct {
		Delay     time.Duration
		Frequency int
	}

	PartialReliability struct {
		Policy          ReliabilityPolicy // negative for ReliabilityFull
		TTL             time.Duration
		Retransmissions uint32
		Priority        uint32
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

// A ReliabilityPolicy says when the sending of a message is given up.
type ReliabilityPolicy int

const (
	ReliabilityFull ReliabilityPolicy = iota
	ReliabilityTimed
	ReliabilityRetransmissions
	ReliabilityPriority
)

// A Scheduler decides which stream's message is sent next. The numbers are
// those of RFC 8260 section 4.3, and a negative one stands for
// SchedulerFirstCome.
type Scheduler int

const (
	SchedulerFirstCome Scheduler = iota
	SchedulerPriority
	SchedulerRoundRobin
	SchedulerFair
	SchedulerWeighted
)

var schedulerNames = [...]string{"first come", "priority", "round robin", "fair", "weighted"}

func (s Scheduler) String() string {
	if s >= 0 && int(s) < len(schedulerNames) {
		return schedulerNames[s]
	}
	return "Scheduler(" + strconv.Itoa(int(s)) + ")"
}

// A KeyOp is what Conn.Key does with a key.
type KeyOp uint8

const (
	SetKey        KeyOp = iota + 1 // add it, or replace that of its number
	ActivateKey                    // send with it
	DeactivateKey                  // do not send with it any more
	DeleteKey                      // remove it
)

// An AddrOp is what Conn.Address does with an address.
type AddrOp uint8

const (
	AddLocal       AddrOp = iota + 1 // to the association, and tell the peer (RFC 5061)
	RemoveLocal                      // from the association, and tell the peer
	SetPrimary                       // send to this address of the peer
	SetPeerPrimary                   // ask the peer to send to this one of ours
	Heartbeat                        // test the path to this address of the peer, or to all with the zero Addr
)
