package engine

import (
	"net/netip"
	"syscall"
	"time"
)

// An Inspector is the part of a Conn that tells of an association's addresses,
// paths and state. Once the association has ended its methods return ErrEnded,
// if they return an error.
type Inspector interface {
	// LocalAddrs and PeerAddrs are the association's addresses as they are
	// now, the peer's primary one first; after its end those that were last
	// known.
	LocalAddrs() []netip.Addr
	PeerAddrs() []netip.Addr
	// Address does something with an address, or with the path to it.
	Address(op AddrOp, ip netip.Addr) error

	Status() (Status, error)
	Paths() ([]Path, error)
	Stats() (Stats, error)
	Features() (Features, error)
	AuthState() (AuthState, error)
	// Streams are the stream counts: as they are now, or where that need not
	// be asked as they were last found, which costs nothing.
	Streams(ask bool) (out, in uint16)
}

// ErrEnded says that an association has ended, and that what was asked of it
// went with it. It is ENOTCONN.
var ErrEnded error = endedError{}

type endedError struct{}

func (endedError) Error() string { return "the association has ended" }
func (endedError) Unwrap() error { return syscall.ENOTCONN }

// A State is that of an association, numbered as in Linux's interface.
type State int32

const (
	StateClosed State = iota + 1
	StateCookieWait
	StateCookieEchoed
	StateEstablished
	StateShutdownPending
	StateShutdownSent
	StateShutdownReceived
	StateShutdownAckSent
)

// Status is the state of an association.
type Status struct {
	State              State
	OutStreams         uint16
	InStreams          uint16
	Unacked            int // DATA chunks
	Pending            int // DATA chunks
	LocalWindow        int // bytes
	PeerWindow         int // bytes
	FragmentationPoint int // bytes
	Primary            Path
}

// A Path is the way to one of the peer's addresses.
type Path struct {
	Addr    netip.Addr
	State   PathState
	Primary bool
	CWND    int // bytes
	SRTT    time.Duration
	RTO     time.Duration
	MTU     int // bytes
}

// A PathState is that of a path.
type PathState uint8

const (
	PathStateUnknown PathState = iota
	PathStateActive
	PathStateInactive
	PathStatePotentiallyFailed
	PathStateUnconfirmed
)

// Stats counts what an association has sent and received.
type Stats struct {
	PacketsSent, PacketsReceived     uint64
	SACKsSent, SACKsReceived         uint64
	ControlSent, ControlReceived     uint64
	OrderedSent, OrderedReceived     uint64
	UnorderedSent, UnorderedReceived uint64
	Retransmitted                    uint64
	Duplicates                       uint64
	OutOfOrder                       uint64
	GapAcks                          uint64
	MaxRTO                           time.Duration
	MaxRTOAddr                       netip.Addr
}
