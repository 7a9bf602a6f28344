package sctpnet

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// An Event is what happens to an association beside its messages (RFC 6458
// section 6.1). [Config.OnEvent] receives them. An Event is a value of one of
// these types; a later version of the package may have more:
//
//   - [AssocEvent]: it is up, lost, restarted or ended;
//   - [PathEvent]: an address of the peer is reachable, unreachable, added...;
//   - [SendFailedEvent]: a message was not delivered;
//   - [RemoteErrorEvent]: the peer reports an error;
//   - [ShutdownEvent]: the peer wants to end the association;
//   - [PartialDeliveryEvent]: the rest of a message will not come;
//   - [AdaptationEvent]: the peer's adaptation layer indication;
//   - [AuthEvent]: a key is new or free, or the peer has no authentication;
//   - [SenderDryEvent]: everything sent has been acknowledged (only with
//     [Config.SenderDry]);
//   - [StreamResetEvent]: streams were reset;
//   - [StreamsAddedEvent]: there are more streams;
//   - [AssocResetEvent]: all numbering begins anew.
//
// The String of an Event is a line for a log. As a [slog.LogValuer] it is a
// group of attributes, which always has the attribute "type".
type Event interface {
	fmt.Stringer
	slog.LogValuer
	event()
}

// An AssocEvent says that the state of the association has changed
// (SCTP_ASSOC_CHANGE).
type AssocEvent struct {
	// Change says how the state has changed.
	Change AssocChange

	// Cause is why the association was lost: the first error cause in the peer's
	// ABORT, if there is one. A peer that cannot be reached any more gives none.
	Cause Cause

	// Causes are all the error causes in the peer's ABORT, as they traveled
	// (RFC 9260 section 3.3.10).
	Causes []byte

	// OutStreams and InStreams are the numbers of streams of an association
	// that is up or was restarted.
	OutStreams, InStreams uint16

	// Err is why an association could not be made (AssocNotMade): it wraps
	// ECONNREFUSED or ETIMEDOUT.
	Err error
}

// An AssocChange says how the state of an association has changed.
type AssocChange uint16

const (
	// AssocUp is the first event of every association.
	AssocUp AssocChange = iota
	// AssocLost says that the peer has aborted the association, or was
	// found unreachable. Read then gives the error.
	AssocLost
	// AssocRestarted says that the peer has lost the association, as
	// when its host has crashed, and made it anew from the same addresses
	// (RFC 9260 section 5.2). What was under way is lost. It is the last event
	// of the Conn, whose Read then gives ECONNRESET, unless
	// [Config.KeepRestarted] is set; then messages are numbered from the
	// beginning.
	AssocRestarted
	// AssocEnded says that the association has ended as one side
	// wished. Read then gives [io.EOF].
	AssocEnded
	// AssocNotMade says that an association that a [PacketConn] was to make with a
	// peer could not be made.
	AssocNotMade
)

// These do not compile where the numbers are not those of package engine.
var (
	_ = [1]int{}[AssocNotMade-AssocChange(engine.AssocNotMade)]
	_ = [1]int{}[PathPotentiallyFailed-PathChange(engine.PathPotentiallyFailed)]
	_ = [1]int{}[AuthNone-AuthChange(engine.AuthNone)]
)

func (c AssocChange) String() string {
	return constName("AssocChange", int(c), "up", "lost", "restarted", "ended", "not made")
}

// constName returns the name of a value of a type, or as "Cause(9)" one that has none.
func constName(typ string, i int, names ...string) string {
	if i < 0 || i >= len(names) || names[i] == "" {
		return typ + "(" + strconv.Itoa(i) + ")"
	}
	return names[i]
}

func (e AssocEvent) String() string {
	s := "association " + e.Change.String()
	if e.Change == AssocUp || e.Change == AssocRestarted {
		s += fmt.Sprintf(", %d streams out, %d in", e.OutStreams, e.InStreams)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s + because(e.Cause, e.Causes)
}

// because is what a cause adds to an event's String: with the reason that a
// user may have given for an abort.
func because(c Cause, causes []byte) string {
	if c == 0 {
		return ""
	}
	s := ": " + c.String()
	if len(causes) < 4 {
		return s
	}
	n := int(binary.BigEndian.Uint16(causes[2:]))
	if (c == CauseUserAbort || c == CauseProtocolViolation) && n > 4 && n <= len(causes) {
		s += " " + strconv.QuoteToASCII(string(causes[4:n]))
	}
	return s
}

// LogValue returns the event as a group.
func (e AssocEvent) LogValue() slog.Value {
	g := group("association", slog.String("change", e.Change.String()))
	if e.Change == AssocUp || e.Change == AssocRestarted {
		g = append(g, slog.Int("out", int(e.OutStreams)), slog.Int("in", int(e.InStreams)))
	}
	if e.Err != nil {
		g = append(g, slog.Any("err", e.Err))
	}
	return slog.GroupValue(addCause(g, e.Cause)...)
}

func group(typ string, attrs ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{slog.String("type", typ)}, attrs...)
}

func addCause(g []slog.Attr, c Cause) []slog.Attr {
	if c != 0 {
		g = append(g, slog.String("cause", c.String()))
	}
	return g
}

// A PathEvent says that the state of a path has changed, which is one address
// of the peer (SCTP_PEER_ADDR_CHANGE).
type PathEvent struct {
	// Addr is the peer's address, with its SCTP port.
	Addr   netip.AddrPort
	Change PathChange // says how
}

// A PathChange says how the state of a path has changed.
type PathChange uint32

const (
	// PathReachable says that the peer answers again on this path.
	PathReachable PathChange = iota
	// PathUnreachable says that the peer has left more unanswered on this
	// path than its limit of retransmissions. It is not used until it
	// answers a heartbeat.
	PathUnreachable
	// PathRemoved says that the peer has given up the address (RFC 5061).
	PathRemoved
	// PathAdded says that the peer has a new address (RFC 5061).
	PathAdded
	// PathMadePrimary says that the path is now the one that is used as long
	// as it can be.
	PathMadePrimary
	// PathConfirmed says that the peer has answered for the first time on
	// this path, which it had only named.
	PathConfirmed
	// PathPotentiallyFailed says that something was not answered in time on
	// this path, and that another is used for now (RFC 7829). It is the first
	// news of a path that fails. Linux tells it from 5.5 on.
	PathPotentiallyFailed
)

func (c PathChange) String() string {
	return constName("PathChange", int(c), "reachable", "unreachable", "removed", "added", "made primary", "confirmed", "potentially failed")
}

func (e PathEvent) String() string { return "path " + e.Addr.String() + " " + e.Change.String() }

// LogValue returns the event as a group.
func (e PathEvent) LogValue() slog.Value {
	return slog.GroupValue(group("path", slog.String("addr", e.Addr.String()), slog.String("change", e.Change.String()))...)
}

// A SendFailedEvent says that a message which Write or WriteMsg had accepted
// was not acknowledged by the peer (SCTP_SEND_FAILED_EVENT): because its
// lifetime has passed, or the association has failed.
type SendFailedEvent struct {
	// Info has the message's Stream, PPID, Unordered and Context.
	Info MsgInfo
	// Data is the message.
	Data []byte
	// Sent says that it was sent all the same, at least in part, and may
	// have arrived.
	Sent bool
	// Cause is why the association failed, if a cause was given; zero of a
	// message whose lifetime has passed.
	Cause Cause
}

func (e SendFailedEvent) String() string {
	s := fmt.Sprintf("sending failed of %d bytes on stream %d", len(e.Data), e.Info.Stream)
	if e.Info.PPID != 0 {
		s += fmt.Sprintf(", PPID %d", e.Info.PPID)
	}
	if e.Info.Context != 0 {
		s += fmt.Sprintf(", context %d", e.Info.Context)
	}
	if e.Sent {
		s += ", which may have arrived"
	}
	return s + because(e.Cause, nil)
}

// LogValue returns the event as a group. The message is not in it.
func (e SendFailedEvent) LogValue() slog.Value {
	return slog.GroupValue(addCause(group("send failed",
		slog.Int("bytes", len(e.Data)),
		slog.Int("stream", int(e.Info.Stream)),
		slog.Uint64("ppid", uint64(e.Info.PPID)),
		slog.Uint64("context", uint64(e.Info.Context)),
		slog.Bool("sent", e.Sent),
	), e.Cause)...)
}

// A RemoteErrorEvent is an error that the peer reports and that does not end
// the association (SCTP_REMOTE_ERROR).
type RemoteErrorEvent struct {
	Cause Cause  // the first error cause that the peer reports
	Data  []byte // the value of that cause, as it traveled
}

func (e RemoteErrorEvent) String() string {
	s := "the peer reports: " + e.Cause.String()
	if len(e.Data) > 0 {
		s += fmt.Sprintf(" (%x)", e.Data)
	}
	return s
}

// LogValue returns the event as a group.
func (e RemoteErrorEvent) LogValue() slog.Value {
	return slog.GroupValue(addCause(group("remote error", slog.String("data", fmt.Sprintf("%x", e.Data))), e.Cause)...)
}

// A ShutdownEvent says that the peer has begun the graceful end of the
// association and takes no more data (SCTP_SHUTDOWN_EVENT).
type ShutdownEvent struct{}

func (e ShutdownEvent) String() string { return "the peer shuts down" }

// LogValue returns the event as a group.
func (e ShutdownEvent) LogValue() slog.Value { return slog.GroupValue(group("shutdown")...) }

// A PartialDeliveryEvent says that the rest of a message, whose beginning was
// received, will not come (SCTP_PARTIAL_DELIVERY_EVENT with the indication
// SCTP_PARTIAL_DELIVERY_ABORTED, the only one there is). Linux leaks a socket
// that is subscribed to its event, so on Linux this one comes when the next
// message or the end of the association shows that the rest is missing.
type PartialDeliveryEvent struct {
	// Stream and Seq are the message's stream and number.
	Stream uint16
	Seq    uint32
}

func (e PartialDeliveryEvent) String() string {
	return fmt.Sprintf("partial delivery aborted of message %d on stream %d", e.Seq, e.Stream)
}

// LogValue returns the event as a group.
func (e PartialDeliveryEvent) LogValue() slog.Value {
	return slog.GroupValue(group("partial delivery aborted", slog.Int("stream", int(e.Stream)), slog.Uint64("seq", uint64(e.Seq)))...)
}

// An AdaptationEvent brings the peer's adaptation layer indication (RFC 5061
// section 4.2.6), if the peer has sent one in the handshake
// (SCTP_ADAPTATION_INDICATION).
type AdaptationEvent struct {
	Indication uint32 // in host order
}

func (e AdaptationEvent) String() string { return fmt.Sprintf("adaptation layer %#x", e.Indication) }

// LogValue returns the event as a group.
func (e AdaptationEvent) LogValue() slog.Value {
	return slog.GroupValue(group("adaptation", slog.Uint64("indication", uint64(e.Indication)))...)
}

// An AuthEvent is about authentication (RFC 4895) and its keys
// (SCTP_AUTHENTICATION_EVENT).
type AuthEvent struct {
	Change AuthChange // says what
	Key    uint16     // the number of the key, if it is about one
}

// An AuthChange says what an [AuthEvent] is about.
type AuthChange uint32

const (
	// AuthNewKey says that the peer has begun to use the key.
	AuthNewKey AuthChange = iota
	// AuthFreeKey says that the key, which was deactivated, is not
	// in use any more and can be deleted.
	AuthFreeKey
	// AuthNone says that the peer has no authentication. It comes only with
	// [Config.Auth] or [Config.AddressReconfig].
	AuthNone
)

func (c AuthChange) String() string {
	return constName("AuthChange", int(c), "new key", "free key", "none")
}

func (e AuthEvent) String() string {
	if e.Change == AuthNone {
		return "authentication: the peer has none"
	}
	return fmt.Sprintf("authentication: %v %d", e.Change, e.Key)
}

// LogValue returns the event as a group.
func (e AuthEvent) LogValue() slog.Value {
	return slog.GroupValue(group("authentication", slog.String("change", e.Change.String()), slog.Int("key", int(e.Key)))...)
}

// A SenderDryEvent says that everything which was sent has been acknowledged,
// and nothing waits to be sent (SCTP_SENDER_DRY_EVENT). It comes only with
// [Config.SenderDry].
type SenderDryEvent struct{}

func (e SenderDryEvent) String() string { return "sender dry" }

// LogValue returns the event as a group.
func (e SenderDryEvent) LogValue() slog.Value { return slog.GroupValue(group("sender dry")...) }

// A StreamResetEvent says that streams were reset (RFC 6525;
// SCTP_STREAM_RESET_EVENT): the numbering of their messages begins anew. The
// package asks for it when a [Stream] is closed.
type StreamResetEvent struct {
	// Incoming says that the peer's outgoing streams were reset. Otherwise ours
	// were, by our own request or the peer's.
	Incoming bool
	// Streams are their numbers; none means all. A number listed twice asks us
	// to stop writing: the peer has closed its [Stream].
	Streams []uint16
	// Denied says that the peer has denied our request, and Failed that the
	// request has failed and may be repeated. In both cases nothing has changed.
	Denied, Failed bool
}

func (e StreamResetEvent) String() string {
	s := "outgoing"
	if e.Incoming {
		s = "incoming"
	}
	if len(e.Streams) == 0 {
		s = "all " + s + " streams"
	} else {
		s += " streams " + strings.Trim(fmt.Sprint(e.Streams), "[]")
	}
	return s + " reset" + refused(e.Denied, e.Failed)
}

// refused is what a request that was not granted adds to a String.
func refused(denied, failed bool) string {
	switch {
	case denied:
		return ": denied"
	case failed:
		return ": failed"
	}
	return ""
}

// LogValue returns the event as a group.
func (e StreamResetEvent) LogValue() slog.Value {
	return slog.GroupValue(group("stream reset",
		slog.Bool("incoming", e.Incoming), slog.Any("streams", e.Streams),
		slog.Bool("denied", e.Denied), slog.Bool("failed", e.Failed))...)
}

// A StreamsAddedEvent says that there are more streams (RFC 6525;
// SCTP_STREAM_CHANGE_EVENT).
type StreamsAddedEvent struct {
	// Out and In are how many were added.
	Out, In uint16
	// Denied says that the peer has denied our request, and Failed that the
	// request has failed and may be repeated. In both cases nothing has changed.
	Denied, Failed bool
}

func (e StreamsAddedEvent) String() string {
	return fmt.Sprintf("streams added: %d out, %d in", e.Out, e.In) + refused(e.Denied, e.Failed)
}

// LogValue returns the event as a group.
func (e StreamsAddedEvent) LogValue() slog.Value {
	return slog.GroupValue(group("streams added",
		slog.Int("out", int(e.Out)), slog.Int("in", int(e.In)),
		slog.Bool("denied", e.Denied), slog.Bool("failed", e.Failed))...)
}

// An AssocResetEvent says that the numbering of everything begins anew,
// by either side's request (RFC 6525; SCTP_ASSOC_RESET_EVENT).
type AssocResetEvent struct {
	// LocalTSN and RemoteTSN are the next transmission sequence numbers of
	// each side.
	LocalTSN, RemoteTSN uint32
	// Denied says that the peer has denied our request, and Failed that the
	// request has failed and may be repeated. In both cases nothing has changed.
	Denied, Failed bool
}

func (e AssocResetEvent) String() string {
	return fmt.Sprintf("association reset: next TSN %d, the peer's %d", e.LocalTSN, e.RemoteTSN) + refused(e.Denied, e.Failed)
}

// LogValue returns the event as a group.
func (e AssocResetEvent) LogValue() slog.Value {
	return slog.GroupValue(group("association reset",
		slog.Uint64("local", uint64(e.LocalTSN)), slog.Uint64("remote", uint64(e.RemoteTSN)),
		slog.Bool("denied", e.Denied), slog.Bool("failed", e.Failed))...)
}

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

// A Cause is the code of an SCTP error cause, as the registry has them (RFC
// 9260 section 3.3.10 and others). Zero means that there was none.
type Cause uint16

// The causes.
const (
	CauseInvalidStream          Cause = 1
	CauseMissingParameter       Cause = 2
	CauseStaleCookie            Cause = 3
	CauseOutOfResource          Cause = 4
	CauseUnresolvableAddress    Cause = 5
	CauseUnrecognizedChunk      Cause = 6
	CauseInvalidParameter       Cause = 7
	CauseUnrecognizedParameters Cause = 8
	CauseNoUserData             Cause = 9
	CauseCookieWhileShutdown    Cause = 10
	CauseRestartWithNewAddress  Cause = 11
	CauseUserAbort              Cause = 12
	CauseProtocolViolation      Cause = 13
	CauseDeleteLastAddress      Cause = 160 // RFC 5061
	CauseResourceShortage       Cause = 161
	CauseDeleteSourceAddress    Cause = 162
	CauseIllegalASCONFACK       Cause = 163
	CauseNoAuthorization        Cause = 164
	CauseUnsupportedHMAC        Cause = 261 // RFC 4895
)

func (c Cause) String() string {
	switch c {
	case 0:
		return "no cause"
	case CauseDeleteLastAddress:
		return "request to delete the last address"
	case CauseResourceShortage:
		return "operation refused for shortage of resources"
	case CauseDeleteSourceAddress:
		return "request to delete the source address"
	case CauseIllegalASCONFACK:
		return "illegal ASCONF-ACK"
	case CauseNoAuthorization:
		return "request refused without authorization"
	case CauseUnsupportedHMAC:
		return "unsupported HMAC"
	}
	return constName("Cause", int(c), "", "invalid stream", "missing mandatory parameter", "stale cookie", "out of resource",
		"unresolvable address", "unrecognized chunk", "invalid mandatory parameter", "unrecognized parameters",
		"no user data", "cookie received while shutting down", "restart with new addresses", "abort by the user",
		"protocol violation")
}

// wants reports whether OnEvent is called with an event. Linux tells of every peer
// without authentication, also where nothing asks for it.
func (c *Config) wants(e Event) bool {
	auth, ok := e.(AuthEvent)
	return !ok || auth.Change != AuthNone || c.Auth != nil || c.AddressReconfig
}

// newEvent makes an Event of what an engine tells.
func newEvent(e engine.Event) Event {
	switch e := e.(type) {
	case engine.AssocEvent:
		return AssocEvent{AssocChange(e.Change), Cause(e.Cause), e.Causes, e.Out, e.In, e.Err}
	case engine.PathEvent:
		return PathEvent{e.Addr, PathChange(e.Change)}
	case engine.SendFailedEvent:
		return SendFailedEvent{sentInfo(e.Message), e.Data, e.Sent, Cause(e.Cause)}
	case engine.RemoteErrorEvent:
		return RemoteErrorEvent{Cause(e.Cause), e.Data}
	case engine.ShutdownEvent:
		return ShutdownEvent(e)
	case engine.PartialDeliveryEvent:
		return PartialDeliveryEvent(e)
	case engine.AdaptationEvent:
		return AdaptationEvent(e)
	case engine.AuthEvent:
		return AuthEvent{AuthChange(e.Change), e.Key}
	case engine.SenderDryEvent:
		return SenderDryEvent(e)
	case engine.StreamResetEvent:
		return StreamResetEvent(e)
	case engine.StreamsAddedEvent:
		return StreamsAddedEvent(e)
	case engine.AssocResetEvent:
		return AssocResetEvent(e)
	}
	panic(fmt.Sprintf("sctpnet: an engine's event is a %T", e))
}

// sentInfo is the MsgInfo of a message that was to be sent.
func sentInfo(m engine.Message) MsgInfo {
	info := msgInfo(m)
	info.Context = m.Context
	return info
}
