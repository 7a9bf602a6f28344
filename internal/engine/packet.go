package engine

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// A Packeter is an Engine that has one-to-many sockets. One that has none has
// "ListenPacket" in its Lacks.
type Packeter interface {
	// ListenPacket makes a one-to-many socket at s.Local. It does not change s.
	// An association that has carried no message for autoClose is shut down,
	// unless that is 0.
	ListenPacket(ctx context.Context, s *Socket, autoClose time.Duration) (PacketConn, error)
}

// ErrPeeledOff is the error of Connect to a peer whose association was peeled off.
var ErrPeeledOff = fmt.Errorf("the association with this peer was peeled off: %w", os.NewSyscallError("connect", syscall.EADDRNOTAVAIL))

// An AssocID names an association of a PacketConn, and is not 0.
type AssocID int32

// A Delivery is what has come for an association: a piece of a message, an event,
// or nothing but Cut. Or it is nothing but Sorted, for all associations.
type Delivery struct {
	Assoc AssocID
	From  netip.AddrPort // an address of the peer
	Data  []byte         // valid until Take returns
	Cut   bool           // the message that has begun was given up by its sender
	// Unsorted says that what comes from here on may come before what was sent
	// earlier on the same stream, until a Delivery that is Sorted and nothing else.
	Unsorted, Sorted bool
	Message
}

// A Taker takes what a PacketConn receives.
type Taker interface {
	// Take reports whether that is enough. No association is peeled off
	// meanwhile.
	Take(d *Delivery) (enough bool)
}

// A PacketConn is a one-to-many socket: any number of associations at one local
// port, made by either side (RFC 6458 section 3). Its methods may be called
// concurrently, except Recv. Its errors are those of Conn, and ErrEnded for an
// association that there is not.
type PacketConn interface {
	// Recv receives into p, and has t take what has come until that is enough. It
	// waits until the read deadline, or until Wake if it is patient: then it returns
	// nil. There is one Recv at a time. AssocEvents come always, and PathEvents of
	// addresses that come and go; others if Options.Events is set.
	Recv(p []byte, patient bool, t Taker) error
	// Wake has a patient Recv return: the one that waits, or else the next one.
	Wake()
	// Send sends p as one message. It waits for room until the write deadline,
	// and leaves others room to send to other peers.
	Send(p []byte, m Message, a AssocID) error

	// Connect begins an association with the endpoint remote, and does not wait
	// for it. It tells begun, before anything of it can be taken, which it is: a new
	// one, or the one that there is already. AssocUp says that it is up, and
	// AssocNotMade that it will not be.
	Connect(remote *Addr, begun func(a AssocID, isNew bool)) error
	// Find returns the association with a peer that has an address, or 0.
	Find(peer netip.AddrPort) AssocID
	// Assocs returns all associations, also those that are being made.
	Assocs() ([]AssocID, error)

	// What there is of one association is as that of a Conn.
	PeerAddr(a AssocID) (*Addr, error)
	Status(a AssocID) (Status, error)
	Paths(a AssocID) ([]Path, error)
	Stats(a AssocID) (Stats, error)
	Set(a AssocID, s Settings) error
	Shutdown(a AssocID) error
	Abort(a AssocID) error

	// PeelOff makes a Conn of an association. held returns what of its messages was
	// taken already, and is the Conn's to receive first. It is called when
	// nothing more can be taken.
	PeelOff(a AssocID, held func() []Msg) (Conn, error)

	// Close ends all associations, as the Close of a Conn does.
	Close() error
	LocalAddr() *Addr
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	MaxMessageSize() (int, error)
	SyscallConn() (syscall.RawConn, error)
	File() (*os.File, error)
}
