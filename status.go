package sctpnet

import (
	"net/netip"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A State is the state of an association (RFC 9260 section 4).
type State uint8

// The states of an association. A Conn is StateEstablished until one of the
// ends begins to end it.
const (
	StateClosed           State = iota + 1
	StateCookieWait             // INIT was sent
	StateCookieEchoed           // INIT was answered
	StateEstablished            // data flows
	StateShutdownPending        // this end has begun the end, and has data that was not acknowledged
	StateShutdownSent           // all is acknowledged, and SHUTDOWN was sent
	StateShutdownReceived       // the peer has sent SHUTDOWN; this end has data that was not acknowledged
	StateShutdownAckSent        // all is acknowledged, and SHUTDOWN ACK was sent
)

var stateNames = [...]string{
	StateClosed:           "CLOSED",
	StateCookieWait:       "COOKIE-WAIT",
	StateCookieEchoed:     "COOKIE-ECHOED",
	StateEstablished:      "ESTABLISHED",
	StateShutdownPending:  "SHUTDOWN-PENDING",
	StateShutdownSent:     "SHUTDOWN-SENT",
	StateShutdownReceived: "SHUTDOWN-RECEIVED",
	StateShutdownAckSent:  "SHUTDOWN-ACK-SENT",
}

// String returns the state's name as in RFC 9260, such as "ESTABLISHED".
func (s State) String() string {
	return constName("State", int(s), stateNames[:]...)
}

// Status is what [Conn.Status] returns: how an association is doing now
// (SCTP_STATUS, RFC 6458 section 8.2.1).
type Status struct {
	// State is the association's state.
	State State

	// OutStreams and InStreams are the numbers of streams, as NumStreams
	// has them.
	OutStreams, InStreams uint16

	// Unacked is how many DATA chunks were sent and not acknowledged yet.
	// A chunk is a message, or the part of one that goes into one packet.
	Unacked int

	// Pending is how many DATA chunks are missed: later ones of the peer's
	// have arrived, and these have not.
	Pending int

	// LocalWindow is how many bytes the peer may send now (the rwnd of this
	// end). Config.ReadBuffer sets its size.
	LocalWindow int

	// PeerWindow is how many bytes the peer still has room for, by what it
	// has last said and what was sent since (its rwnd). Where it is 0 the
	// peer does not read.
	PeerWindow int

	// FragmentationPoint is how many bytes of a message fit in one chunk. A
	// longer message travels in several.
	FragmentationPoint int

	// Primary is the primary path.
	Primary Path
}

// A PathState is the state of a [Path].
type PathState uint8

// The states of a path.
const (
	// PathStateUnknown is a state that this package does not know.
	PathStateUnknown PathState = iota
	// PathStateActive says that the address can be reached, as far as is known.
	PathStateActive
	// PathStateInactive says that the address does not answer. Nothing is sent
	// to it but heartbeats.
	PathStateInactive
	// PathStatePotentiallyFailed says that the address has not answered of late.
	// It is avoided if there is another (RFC 7829).
	PathStatePotentiallyFailed
	// PathStateUnconfirmed says that the address has never answered. It gets no
	// data before it has.
	PathStateUnconfirmed
)

var pathStateNames = [...]string{
	PathStateUnknown:           "unknown",
	PathStateActive:            "active",
	PathStateInactive:          "inactive",
	PathStatePotentiallyFailed: "potentially failed",
	PathStateUnconfirmed:       "unconfirmed",
}

// String returns the state in words: "active", "inactive", "potentially
// failed", "unconfirmed" or "unknown".
func (s PathState) String() string {
	return constName("PathState", int(s), pathStateNames[:]...)
}

// A Path is the way to one of the peer's addresses, and how it is doing now
// (SCTP_GET_PEER_ADDR_INFO, RFC 6458 section 8.2.2).
type Path struct {
	// Addr is the peer's address.
	Addr netip.Addr
	// State says whether it can be reached.
	State PathState
	// Primary says that it is the primary path: the one that is used unless
	// it fails.
	Primary bool
	// CWND is the congestion window: how many bytes may be under way on the
	// path at a time.
	CWND int
	// SRTT is the smoothed round-trip time, 0 while none was measured. On
	// Linux it is in ticks of 1 to 10 ms, so a short one shows as 0 or one
	// tick.
	SRTT time.Duration
	// RTO is the retransmission timeout: after how long what was not
	// acknowledged is taken for lost.
	RTO time.Duration
	// MTU is the path MTU, in bytes.
	MTU int
}

// Stats counts what an association has sent and received since it was made
// (Linux's SCTP_GET_ASSOC_STATS).
type Stats struct {
	// PacketsSent and PacketsReceived count SCTP packets. Each has one chunk or
	// several.
	PacketsSent, PacketsReceived uint64

	// SACKsSent and SACKsReceived count the acknowledgements.
	SACKsSent, SACKsReceived uint64
	// ControlSent and ControlReceived count all chunks but DATA: SACKs,
	// heartbeats and others.
	ControlSent, ControlReceived uint64
	// These four count DATA chunks, of ordered and of unordered messages. One
	// that is sent again counts once.
	OrderedSent, OrderedReceived     uint64
	UnorderedSent, UnorderedReceived uint64

	// Retransmitted is how many DATA chunks were sent again.
	Retransmitted uint64
	// Duplicates is how many DATA chunks were received that had been
	// received before.
	Duplicates uint64
	// OutOfOrder is how many DATA chunks were received before an earlier
	// one.
	OutOfOrder uint64
	// GapAcks is how many times a SACK of the peer's has said that
	// something was missing there.
	GapAcks uint64

	// MaxRTO is the greatest retransmission timeout since Stats was last
	// called, and MaxRTOAddr the peer's address that had it.
	//
	// They are no counters: the system begins a new period at each call,
	// by whichever process, with the least timeout that is allowed. While
	// nothing is above that, MaxRTOAddr is an address of an earlier period.
	// Where there was no measurement at all MaxRTO is 0 and MaxRTOAddr the
	// zero Addr.
	MaxRTO     time.Duration
	MaxRTOAddr netip.Addr
}

// Status returns how the association is doing. It does not wait, and asks the
// system each time.
//
// Once the association has ended there is nothing to tell: the error wraps
// ENOTCONN, and [net.ErrClosed] after Close. The same goes for Paths and Stats.
func (c *Conn) Status() (Status, error) {
	return get(c, "status", "Status", nil, func() (Status, error) {
		s, err := c.e.Status()
		return newStatus(s), err
	})
}

func newStatus(s engine.Status) Status {
	return Status{
		State:              State(s.State),
		OutStreams:         s.OutStreams,
		InStreams:          s.InStreams,
		Unacked:            s.Unacked,
		Pending:            s.Pending,
		LocalWindow:        s.LocalWindow,
		PeerWindow:         s.PeerWindow,
		FragmentationPoint: s.FragmentationPoint,
		Primary:            newPath(s.Primary),
	}
}

// Paths returns the paths to the peer, one for each of its addresses, the
// primary one first.
//
// Where the system is told to hide that a path has potentially failed
// (net.sctp.pf_expose=1), nothing of such a path is known but its address and
// state.
func (c *Conn) Paths() ([]Path, error) {
	return get(c, "status", "Paths", nil, func() ([]Path, error) {
		all, err := c.e.Paths()
		return newPaths(all), err
	})
}

// Heartbeat tests the path to one of the peer's addresses now, or with the zero
// Addr all paths (SPP_HB_DEMAND, RFC 6458 section 8.1.12). It does not wait for
// the answer, which updates [Conn.Paths].
func (c *Conn) Heartbeat(addr netip.Addr) error {
	return c.do("set", "Heartbeat", nil, func() error { return c.e.Address(engine.Heartbeat, addr) })
}

func newPaths(all []engine.Path) (paths []Path) {
	for _, p := range all {
		paths = append(paths, newPath(p))
	}
	return paths
}

func newPath(p engine.Path) Path {
	return Path{
		Addr:    p.Addr,
		State:   PathState(p.State),
		Primary: p.Primary,
		CWND:    p.CWND,
		SRTT:    p.SRTT,
		RTO:     p.RTO,
		MTU:     p.MTU,
	}
}

// Stats returns what the association has sent and received so far. It resets
// MaxRTO.
func (c *Conn) Stats() (Stats, error) {
	return get(c, "status", "Stats", nil, func() (Stats, error) {
		s, err := c.e.Stats()
		return Stats(s), err
	})
}

// Features are the extensions of SCTP that both ends have, as the handshake
// found.
type Features struct {
	PartialReliability bool // RFC 3758: messages can be given up
	StreamReconfig     bool // RFC 6525: streams can be reset and added
	AddressReconfig    bool // RFC 5061: addresses can be added and removed
	Auth               bool // RFC 4895: chunks can be authenticated
	Interleaving       bool // RFC 8260: messages of several streams interleave (I-DATA)
	ECN                bool // explicit congestion notification
}

// Features returns the extensions of SCTP that both ends have.
func (c *Conn) Features() (Features, error) {
	return get(c, "get", "Features", nil, func() (Features, error) {
		f, err := c.e.Features()
		return Features(f), err
	})
}
