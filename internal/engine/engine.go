// Package engine is the seam between package sctpnet and an implementation of
// SCTP.
//
// Above it is policy, written once: what an address means, how an error looks,
// how a Write becomes messages and messages become streams. Below it is the
// mechanism: associations, their messages and the waiting for them.
package engine

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// An Engine makes associations and listening endpoints.
type Engine interface {
	// Available returns nil, or an error that wraps errors.ErrUnsupported
	// and says what to do.
	Available() error
	// Lacks returns what the engine does not have. It is not changed.
	Lacks() Lacks
	// Dial makes an association with the endpoint remote, which has at
	// least one address. It returns ctx.Err() if ctx ends first, and then
	// leaves nothing behind. It changes neither remote nor s.
	Dial(ctx context.Context, s *Socket, remote *Addr) (Conn, error)
	// Listen makes a listening endpoint at s.Local. It does not change s.
	Listen(ctx context.Context, s *Socket) (Listener, error)
}

// A Socket is what is settled about an endpoint before its first handshake.
type Socket struct {
	Network string // "sctp", "sctp4" or "sctp6"
	Local   *Addr  // nil when the engine is to choose
	Control func(ctx context.Context, network, address string, c syscall.RawConn) error
	Options Options
}

// A Message describes one message, or the part of one that Recv returned.
type Message struct {
	Stream    uint16
	PPID      uint32 // in host order
	Unordered bool
	TTL       time.Duration // Send: drop the message if it is not sent by then; 0 for never
	Context   uint32        // Send: comes back with the event if sending fails
	To        netip.Addr    // Send: the peer's address to send it to; the zero Addr for any

	// Of Recv only.
	SSN  uint16 // the number in the stream, if ordered
	TSN  uint32 // of the message's first chunk
	More bool   // the message goes on with the next Recv
	// Begins says that the stream's message before this one was given up, although
	// it looks as if this were the rest of it.
	Begins bool
	Event  Event // not a message but an event, to an Owner only
}

// IsLate reports whether a message was sent earlier than another one that has come
// before it. tsn is that of the other one's last piece. Linux does not wait for what is
// missing before it delivers the first part of a message at the partial delivery point.
func (m *Message) IsLate(tsn uint32) bool {
	const most = 4096 // chunks that Linux takes beyond what is missing
	return tsn-m.TSN-1 < most
}

// Continues reports whether a piece is of the same message as the piece before it,
// which was not the message's last. Unordered messages have no number: Begins tells
// them apart.
func (m *Message) Continues(before *Message) bool {
	return before.More && !m.Begins && m.Stream == before.Stream && m.Unordered == before.Unordered && m.SSN == before.SSN
}

// A Msg is one message of a batch.
type Msg struct {
	Data []byte // the message, or where to receive it
	N    int    // Recv: how many bytes of Data are the message
	Message
}

// ErrNothing is what a call returns that does not wait, if nothing has arrived.
var ErrNothing = errors.New("nothing has arrived")

// RecvEach receives messages one by one, as RecvBatch of a Conn does. recv waits for
// one if wait is set, and otherwise may return ErrNothing.
func RecvEach(msgs []Msg, recv func(p []byte, wait bool) (int, Message, error)) (n int, err error) {
	for ; n < len(msgs); n++ {
		m := &msgs[n]
		if m.N, m.Message, err = recv(m.Data, n == 0); err != nil {
			break
		}
	}
	if n > 0 {
		err = nil // there is no more now, or the next call will meet it again
	}
	return n, err
}

// ErrTaken is returned by Send and Recv once a Conn has an Owner.
var ErrTaken = errors.New("the association has an owner")

// ErrBusy and ErrUnsent are returned by ResetStreams where the same call may
// succeed later: another request is under way, or a stream has data that was not
// sent.
var (
	ErrBusy   = errors.New("another reset of streams is under way")
	ErrUnsent = errors.New("the stream has unsent data")
)

// ErrFull is returned by TrySend when there is no room.
var ErrFull = errors.New("no room to send")

// An Owner has an association's sending and receiving to itself.
type Owner interface {
	// Send is as that of Conn. If spare is set it leaves SpareRoom for others to
	// send: it waits until less is queued than there is room for, and makes
	// messages of SpareSize at most.
	Send(p []byte, size int, m Message, spare bool) (int, error)
	// TrySend sends p as one message if there is room, also while a Send
	// waits, and otherwise returns ErrFull.
	TrySend(p []byte, m Message) (int, error)
	// Recv is as RecvBatch of Conn, into messages that it borrows, and returns
	// events too.
	Recv(from Lender) (int, error)
	// AwaitEnd waits until the association has ended or is closed, even if there
	// still is something to receive, and then returns true. It returns false when
	// ctx is done first. Recv is not called meanwhile.
	AwaitEnd(ctx context.Context) bool
	// ResetStreams asks for the reset of outgoing streams. It does not wait
	// for the answer, which is an event.
	ResetStreams(streams []uint16) error
}

// SpareRoom is what a Send with spare set leaves of a send buffer of size bytes: room
// for a few small messages of each of many streams.
func SpareRoom(size int) int { return min(size/4, 64<<10) }

// usual is how long a message can be that takes no more than SpareRoom, in all but very
// small buffers.
const usual = 16 << 10

// SpareSize is how long a message can be at most that a Send with spare set makes of n
// bytes, in a send buffer of size bytes.
func SpareSize(n, size int) int { return min(n, max(usual, size/6)) }

// Excess is for how many bytes of a message of n there must be room beside SpareRoom.
// They would fill that.
func Excess(n int) int { return max(0, n-usual) }

// A Lender has memory for Recv, which has none while it waits.
type Lender interface {
	// Lend returns messages to receive into. They are lent until Recv returns,
	// or until it calls Return because it has received nothing.
	Lend() []Msg
	Return()
}

// A Conn is one association, and one life of it: if the peer restarts that, its
// Recv gets what came before, and then the error ECONNRESET. Its methods may be
// called concurrently. The errors of its waiting methods are io.EOF,
// os.ErrDeadlineExceeded, net.ErrClosed, ErrTaken or an os.SyscallError.
type Conn interface {
	Inspector

	// Send sends p as messages of at most size bytes each, or if size is 0
	// as one; no message of another Send comes between them. It waits for
	// room until the write deadline, and returns the bytes that were sent.
	Send(p []byte, size int, m Message) (int, error)
	// Recv fills p from the next message. A later Recv gives what p did not
	// hold. A message may come in pieces; if whole is set, Recv
	// waits for all of them as far as p holds them, unless the messages of
	// streams interleave. Once the association has ended and its messages
	// are read, Recv returns the same error every time.
	Recv(p []byte, whole bool) (int, Message, error)
	// Read fills p with the bytes of as many messages as there are. Apart from
	// that it is Recv.
	Read(p []byte) (int, error)
	// SendBatch sends each of msgs as one message, and returns how many were
	// sent. Messages of another Send may come between them.
	SendBatch(msgs []Msg) (int, error)
	// RecvBatch receives messages, each as Recv does, and returns how many. It
	// waits for the first one. A message that its Data does not hold goes on
	// in the next one, or in the next call.
	RecvBatch(msgs []Msg, whole bool) (int, error)
	// Take gives sending and receiving to the Owner that it returns. Calls
	// of Send and Recv under way or made later return ErrTaken, with what
	// they had done by then. interrupted says that one of them is a Send
	// that was not done and not at its beginning: it must be allowed to
	// finish first. Take is called once at most, and clears the deadlines.
	Take() (o Owner, interrupted bool)

	// UseStreams says that streams will be used. It fails with an error that
	// wraps errors.ErrUnsupported if the association has them no more, because
	// the peer has restarted it.
	UseStreams() error

	// Shutdown ends the association when all that was sent has arrived.
	Shutdown() error
	// Abort ends it at once and tells the peer. It closes the Conn.
	Abort() error
	// Close ends the use of the Conn: waiting calls return net.ErrClosed,
	// what was sent is still delivered.
	Close() error

	// SetReadDeadline is for Recv, and SetWriteDeadline for Send, also of the
	// Owner and also those that wait.
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error

	// LocalAddr and RemoteAddr are settled when the Conn is made.
	LocalAddr() *Addr
	RemoteAddr() *Addr
	// Adaptation returns the adaptation layer indications of the handshake, 0
	// for none. Where the local one is 0 the peer's may not be known, and is 0
	// then too.
	Adaptation() (local, peer uint32)

	// Set applies settings in the order of their fields. If one fails, the
	// error names the field and those before it have been applied. Values
	// have been checked for their ranges. If path is an address of the peer,
	// PathParams alone are applied, and to that path alone; with the zero
	// Addr to all of them.
	Set(path netip.Addr, s Settings) error
	// Get returns the settings that are in force: if path is an address of the
	// peer its PathParams alone, and otherwise all, with the PathParams of new
	// paths.
	Get(path netip.Addr) (Settings, error)
	SetLinger(sec int) error
	// SetStreamValue and StreamValue are for the scheduler.
	SetStreamValue(stream, value uint16) error
	StreamValue(stream uint16) (uint16, error)
	// Key does something with a key. Only SetKey needs its secret.
	Key(op KeyOp, k AuthKey) error

	// AddStreams and ResetAssoc ask the peer, and do not wait for it.
	// Where the same call may succeed later, their errors wrap EINPROGRESS
	// or EAGAIN.
	AddStreams(out, in uint16) error
	ResetAssoc() error

	// MaxMessageSize is the most bytes that one message can have.
	MaxMessageSize() (int, error)
	SyscallConn() (syscall.RawConn, error)
	// File returns a duplicate of the descriptor.
	File() (*os.File, error)
}

// A Listener is a listening endpoint. Errors are as Conn's.
type Listener interface {
	// Accept waits for the next association until the deadline.
	Accept() (Conn, error)
	Close() error
	Addr() *Addr
	SetDeadline(t time.Time) error
	// Adaptation is Options.Adaptation, and SetAdaptation changes it for the
	// handshakes that begin from now on.
	Adaptation() uint32
	SetAdaptation(uint32) error
	SyscallConn() (syscall.RawConn, error)
	// File returns a duplicate of the descriptor.
	File() (*os.File, error)
}

// A Filer is an Engine whose endpoints can be made of files. Its Conn and
// Listener have File.
type Filer interface {
	// FileConn returns the association of a file's socket, which it
	// duplicates.
	FileConn(f *os.File) (Conn, error)
	// FileListener is the same for a listening endpoint. Of the Options only
	// those count that are not the socket's.
	FileListener(f *os.File, o Options) (Listener, error)
}

var registry struct {
	sync.RWMutex
	engines map[string]Engine
}

// Register makes e serve the networks "sctp"+suffix, "sctp4"+suffix and
// "sctp6"+suffix.
func Register(suffix string, e Engine) {
	registry.Lock()
	defer registry.Unlock()
	if registry.engines == nil {
		registry.engines = make(map[string]Engine)
	}
	registry.engines[suffix] = e
}

// Lookup returns the engine of a network, or nil where none is registered.
func Lookup(network string) Engine {
	suffix := ""
	if i := strings.IndexByte(network, '+'); i >= 0 {
		suffix = network[i:]
	}
	registry.RLock()
	defer registry.RUnlock()
	return registry.engines[suffix]
}
