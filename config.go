package sctpnet

import (
	"math"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/mux"
)

// Config holds the settings of an association: those of its handshake, for a
// [Dialer] or a [ListenConfig], and those that [Conn.Set] changes while it lives.
// [Conn.Config] returns what is in force. The zero value is good and fast.
//
// A field that is zero has its default in a handshake, and stays as it is in
// Conn.Set. Where zero is a value of its own, a negative number stands for it.
// Conn.Set changes AcceptStreams, StreamMemory, PPID, and all fields from RTO to
// PartialDeliveryPoint that do not say otherwise. The handshake settles the
// others. A value out of range gives an error that wraps EINVAL.
//
// Package udpencap lists the fields that the networks sctp+udp do not have, and
// the documentation of this package those that sctp does not have.
type Config struct {
	// OutStreams is how many outgoing streams to ask for, 1 to 65535. The
	// peer may grant fewer. Zero means 64 for a Dialer and 256 for a
	// [StreamDialer]. For a ListenConfig it means 256, or MaxInStreams if that
	// is more. Each stream costs kernel memory at both ends.
	OutStreams int

	// MaxInStreams is how many incoming streams to grant at most, 1 to
	// 65535. Zero means 64 for a Dialer and 256 for a [StreamDialer]. For a
	// ListenConfig it means as many as OutStreams, and never more, so that each
	// message can be answered on the stream that it came on. The peer cannot add
	// to them later, nor to the outgoing ones ([Conn.AddStreams]), unless it is
	// 65535, as Linux lets a peer add any number or none.
	MaxInStreams int

	// AcceptStreams is how many streams of an association can wait for
	// [Conn.AcceptStream], or for the Accept of a [NewStreamListener], 1 to 65535:
	// streams that the peer has begun and that nobody has accepted or claimed. The
	// next one is closed, as by [Stream.Close]. Zero means 128. It does not matter
	// before the first AcceptStream. Conn.Set changes it for streams that begin
	// from then on.
	AcceptStreams int

	// StreamMemory is how many bytes of memory the streams of an association may
	// take with what has arrived and was not read, 64 KiB or more: the messages,
	// with a little for each that Go needs, and what was received together with
	// them and cannot be freed yet. When they do, nothing more is received, and
	// the peer is held back. One message can exceed it. Zero means 4 MiB. What
	// waits in the system's ReadBuffer comes on top of it. It does not matter to
	// a Conn without streams, which keeps nothing. A [PacketConn] keeps
	// as many bytes of a peer's messages whose rest has not arrived. It aborts the
	// association with a peer that exceeds this.
	StreamMemory int

	// PPID is the payload protocol identifier (RFC 9260 section 3.3.1) of what
	// Write, ReadFrom and WriteBuffers of a Conn or a [Stream], and WriteStream,
	// send, and so of what [io.Copy], package bufio and the like write. It is in
	// host order here and travels in network order. The default is 0, for no
	// protocol in particular. Once it is set, Conn.Set can give it another value,
	// but not 0. MsgInfo.PPID has no default: WriteMsg sends what it says, 0
	// included.
	PPID uint32

	// InitAttempts is how often an INIT that is not answered is sent again
	// before the dial fails with ETIMEDOUT, 1 to 65535. Zero means 4, which
	// with the default timeouts is half a minute.
	InitAttempts int

	// InitTimeout is the most that the wait for an answer to INIT grows to:
	// it doubles each time. It is counted in milliseconds, from 1 ms to
	// 65.535 s. Zero means the system's default, 60 s on Linux.
	InitTimeout time.Duration

	// OnEvent, if not nil, receives what happens to the association beside
	// its messages: see [Event]. One goroutine of the association's calls
	// it, with one event after the other, in order with the data: what had
	// arrived before is there to be read. The first call may come before
	// Dial or Accept has returned, the last one comes before Read returns the
	// end of the association, unless a call has not returned by then. After
	// Close there are no more calls, but for one that is under way.
	//
	// While OnEvent runs nothing is received, not even data; it must not
	// wait for anything to be read. No event is lost if it is slow: the
	// system keeps them. The same goes for a Conn or a [Stream] that is not
	// read: when it is full, as it is by 256 KiB, events wait for the data
	// before them to be read. Apart from that events come whether somebody
	// reads or not.
	//
	// A handler costs an association a goroutine and a copy of all data that
	// it receives, as the use of streams does.
	OnEvent func(c *Conn, e Event)
	// SenderDry delivers [SenderDryEvent] to OnEvent. A sender that sends one
	// message at a time gets one event per message. It costs a fifth of the
	// throughput or more.
	SenderDry bool

	// KeepRestarted keeps a Conn where the peer has lost the association, as
	// by a crash, and makes it anew from the same addresses (RFC 9260 section
	// 5.2). Without it the Conn ends with ECONNRESET. With it reading goes on
	// with the messages of the peer's new life. Only OnEvent tells, by an
	// [AssocEvent] in order with the messages: [AssocRestarted]. A message of
	// the old life that was read in part never ends. Over the kernel's SCTP the
	// Conn may end there all the same. See docs/telecom.md.
	//
	// It is for protocols of messages, such as SIGTRAN's, which begin anew by
	// messages of their own. A [PacketConn] goes on in any case. An association
	// with a [Stream] in use ends all the same. After a restart there can be no
	// Stream: [Conn.Stream], OpenStream and AcceptStream return an error that wraps
	// [errors.ErrUnsupported].
	KeepRestarted bool

	// RTO are the retransmission timeouts.
	RTO RTO
	// AssocParams are the parameters of the association as a whole.
	AssocParams AssocParams
	// PathParams are the parameters of all paths. If they say nothing of the
	// MTU, that of a path over the loopback interface is 21916, or less if the
	// buffers are small: with the system's 65536 one packet nearly fills a window,
	// and transfers stall.
	PathParams PathParams
	// SACK is how acknowledgements are delayed.
	SACK SACK

	// Nagle holds small messages back while others are not acknowledged
	// (SCTP_NODELAY off, RFC 6458 section 8.1.5). The default is false, as
	// for TCP in package net, and with KernelDefaults the system's, which is
	// the same as true. Conn.Set turns it on; [Conn.SetNoDelay] turns it on and
	// off.
	Nagle bool

	// ReadBuffer and WriteBuffer are the sizes in bytes of the system's
	// buffers (SO_RCVBUF, SO_SNDBUF), which Linux doubles for its own needs
	// and caps at net.core.rmem_max and wmem_max. ReadBuffer is also the window
	// that the peer is told in the handshake, which Conn.Set does not change;
	// over UDP the window is half of it, and Conn.Set can make that larger. Zero
	// means 2 MiB. No message can be larger than the write buffer; Write splits
	// its data small enough.
	ReadBuffer, WriteBuffer int

	// MaxSegment is how many bytes of data a packet has at most, 464 to 65516,
	// and over IPv6 from 444 (SCTP_MAXSEG, RFC 6458 section 8.1.16). Larger
	// messages are sent in fragments. Zero means as many as the path MTU
	// allows, which is a limit in any case. A negative number sets that again.
	MaxSegment int
	// MaxBurst is how many packets may be sent in one burst, 1 to 65535, or
	// negative for no limit (SCTP_MAX_BURST, RFC 6458 section 8.1.24). Zero means
	// the kernel's default, 4 (net.sctp.max_burst).
	MaxBurst int

	// Adaptation is a number that the peer is sent in the handshake, as the
	// adaptation layer indication (SCTP_ADAPTATION_LAYER, RFC 6458 section
	// 8.1.10, RFC 5061 section 4.2.6). The peer gets an [AdaptationEvent] with
	// it. Zero means none, but [AdaptationStreams] for a [StreamDialer] and a
	// [NewStreamListener]. The handshake settles it.
	Adaptation uint32

	// PartialReliability is the default policy for abandoning messages;
	// MsgInfo.TTL overrides it. Conn.Set changes it for messages that are written
	// from then on. Zero means that no message is abandoned.
	PartialReliability PartialReliability
	// NoPartialReliability keeps partial reliability (RFC 3758) from being
	// offered to the peer (SCTP_PR_SUPPORTED, RFC 7496 section 4.5): no
	// message is ever given up. The handshake settles it.
	NoPartialReliability bool

	// Scheduler decides which stream's message is sent next. Zero means
	// SchedulerFirstCome for a plain Conn and, from the first [Stream] on,
	// SchedulerRoundRobin. A negative number means SchedulerFirstCome in both
	// cases. Conn.Set also changes it for messages that wait already; the values
	// of streams ([Conn.SetStreamValue]) then begin anew. If the kernel lacks a
	// scheduler the error wraps [errors.ErrUnsupported].
	Scheduler Scheduler

	// Interleaving offers the peer to interleave the messages of different
	// streams (SCTP_INTERLEAVING_SUPPORTED, RFC 8260): a large message then
	// does not hold up those of other streams. It needs sysctl
	// net.sctp.intl_enable=1 and, where the peer has it too, implies a
	// FragmentInterleave of 2. Pieces of several streams' messages, as ReadStream
	// and ReadMsg give them when a message is larger than its buffer or the window,
	// may then alternate. The handshake settles it.
	Interleaving bool
	// FragmentInterleave is whether pieces of a message may come between those
	// of another (SCTP_FRAGMENT_INTERLEAVE, RFC 6458 section 8.1.20): level 1 or
	// 2, or negative for 0, the default. A one-to-one socket has one association,
	// whose messages do not come between each other unless both ends have
	// Interleaving. A [PacketConn] has at least level 1, so that a message which
	// comes in pieces does not hold up other peers. A Conn whose ends do not both
	// have Interleaving should have 0: otherwise Linux may deliver messages of a
	// stream in the wrong order after one that came in pieces. Linux makes no
	// difference between 1 and 2, and says 1 for 2.
	FragmentInterleave int
	// PartialDeliveryPoint is how many bytes of an incomplete message may have
	// arrived before its first part is delivered, up to half the read buffer of
	// the system (SCTP_PARTIAL_DELIVERY_POINT, RFC 6458 section 8.1.21). Zero, the
	// default, leaves it to the system, which also delivers a part when the window
	// is full. A negative number sets that again.
	//
	// Take another value only where no packet is lost. At this point Linux does
	// not wait for earlier messages that are missing. So a message may begin
	// before one that was written earlier, on the same stream, too. If that one is
	// itself in fragments, Linux may deliver nothing more of the association.
	PartialDeliveryPoint int

	// Auth, if not nil, offers the peer authentication (RFC 4895).
	Auth *Auth
	// AddressReconfig offers the peer that addresses be added and removed
	// (SCTP_ASCONF_SUPPORTED, RFC 5061; Linux 5.4), without sysctl
	// net.sctp.addip_enable=1, which is the default. It implies Auth, which
	// such changes need.
	AddressReconfig bool
	// NoECN keeps explicit congestion notification from being offered
	// (SCTP_ECN_SUPPORTED; Linux 5.4).
	NoECN bool

	// LocalUDPPort is the UDP port to receive at, 1 to 65535, on the networks
	// sctp+udp; package udpencap says what zero means there. On others the
	// error wraps [errors.ErrUnsupported]: the kernel's is sysctl
	// net.sctp.udp_port. The peer's is in PathParams.
	LocalUDPPort int

	// KernelDefaults leaves everything that is not set in this Config to the
	// system (sysctl net.sctp, net.core), where the package's own defaults
	// are chosen to be fast. It is for systems that were tuned.
	KernelDefaults bool
}

// AdaptationStreams is the adaptation layer indication (RFC 5061 section 4.2.6)
// by which a [StreamDialer] and a [NewStreamListener] tell each other that each
// stream is a connection. In ASCII it is "STRM".
const AdaptationStreams = 0x5354524d

// The defaults. The reasons are measured ones: see BenchmarkThroughput.
const (
	// An association has memory for all the outgoing streams that its end
	// would like, however few are granted: 10,000 idle ones between a dialer
	// with 64 and a listener with 128, in one kernel, cost 370 MB, and 650 MB
	// with 1024 for the listener.
	dialStreams   = 64 // each way
	listenStreams = 256

	// initAttempts and rtoInitial send INIT after 0, 1, 3, 7 and 15 s and
	// give up after 31 s. RFC 9260 section 16 has the second; Linux keeps
	// the 3 s of RFC 4960.
	initAttempts = 4
	rtoInitial   = time.Second

	// sackDelay is short, because the last message before a Close holds its
	// end up until it is acknowledged, and so does the third packet of a new
	// association. Linux's own 200 ms made each 200 ms late.
	sackDelay = 10 * time.Millisecond

	// rtoMin is what a loss costs where the round trip is short; Linux's own
	// 1 s is five times TCP's. Less than 200 ms and a bit would retransmit
	// what a peer with Linux's delayed acknowledgement has not yet answered.
	// Nor is it less where nothing is lost, on the loopback interface: the ten
	// retransmissions after which an association is given up count also while
	// the peer's window is full, and must outlast a reader that pauses.
	rtoMin = 250 * time.Millisecond

	// bufferSize holds a window that fills a path of 2 MB, and no more: the
	// kernel drops what is more than 4096 chunks ahead. The system's limits
	// (net.core.rmem_max and wmem_max) cap it silently.
	bufferSize = 2 << 20

	// messageSize is what a Write is split into.
	messageSize = 64 << 10
)

// settle fills the gaps of a Config with the defaults for dialing or listening. It
// returns the result for the engine of a network, and as a Config for Conn.Config. They
// share nothing with c.
func (c *Config) settle(network string, listen bool) (engine.Options, *Config, error) {
	if err := firstError(c.check(), checkSetting(network, "Config.", "", *c)); err != nil {
		return engine.Options{}, nil, err
	}
	full := *c
	if !c.KernelDefaults {
		full.fill(listen)
	}
	o := engine.Options{Events: c.OnEvent != nil}
	copyFields(&o, &full)
	copyFields(&o.Settings, &full)
	o.SenderDry = o.SenderDry && o.Events
	o.PeerAdds = c.MaxInStreams == math.MaxUint16
	switch {
	case c.Auth != nil:
		o.Auth = c.Auth.engine()
	case c.AddressReconfig:
		o.Auth = &engine.Auth{}
	}
	if o.Auth != nil {
		full.Auth = &Auth{Chunks: o.Auth.Chunks, HMACs: o.Auth.HMACs}
	}
	if !c.KernelDefaults {
		o.NoDelay = !c.Nagle
		o.RoundRobin = c.Scheduler == SchedulerFirstCome
		o.SmallLoopbackMTU = c.PathParams.MTU == 0 && !c.PathParams.DiscoverMTU
	}
	return o, &full, nil
}

// fill puts defaults into gaps.
func (c *Config) fill(listen bool) {
	switch {
	case listen:
		// The peer never has more streams to ask on than this end has to
		// answer on.
		if c.OutStreams == 0 {
			c.OutStreams = max(listenStreams, c.MaxInStreams)
		}
		if c.MaxInStreams == 0 {
			c.MaxInStreams = c.OutStreams
		}
		c.MaxInStreams = min(c.MaxInStreams, c.OutStreams)
	default:
		if c.OutStreams == 0 {
			c.OutStreams = dialStreams
		}
		if c.MaxInStreams == 0 {
			c.MaxInStreams = dialStreams
		}
	}
	if c.InitAttempts == 0 {
		c.InitAttempts = initAttempts
	}
	// A default gives way to a limit that was set.
	if c.RTO.Min == 0 {
		c.RTO.Min = rtoMin
		if c.RTO.Max != 0 {
			c.RTO.Min = min(rtoMin, c.RTO.Max)
		}
	}
	if c.RTO.Initial == 0 {
		c.RTO.Initial = max(rtoInitial, c.RTO.Min)
		if c.RTO.Max != 0 {
			c.RTO.Initial = min(c.RTO.Initial, c.RTO.Max)
		}
	}
	if c.SACK.Delay == 0 {
		c.SACK.Delay = sackDelay
	}
	if c.ReadBuffer == 0 {
		c.ReadBuffer = bufferSize
	}
	if c.WriteBuffer == 0 {
		c.WriteBuffer = bufferSize
	}
}

// limits returns what streams may take.
func (c *Config) limits() mux.Limits {
	return mux.Limits{AcceptStreams: c.AcceptStreams, StreamMemory: c.StreamMemory}
}

func (c *Config) check() error {
	const p = "Config."
	return firstError(
		checkCount("OutStreams", c.OutStreams),
		checkCount("MaxInStreams", c.MaxInStreams),
		checkCount("AcceptStreams", c.AcceptStreams),
		checkStreamMemory(c.StreamMemory),
		checkCount("InitAttempts", c.InitAttempts),
		checkInitTimeout(c.InitTimeout),
		c.RTO.check(),
		c.AssocParams.check(),
		c.PathParams.check(p),
		c.SACK.check(),
		checkInt(p+"ReadBuffer", c.ReadBuffer, 1, math.MaxInt32),
		checkInt(p+"WriteBuffer", c.WriteBuffer, 1, math.MaxInt32),
		checkMaxSegment(c.MaxSegment),
		// A larger burst than this overflows the kernel's count of its bytes.
		checkSigned(p+"MaxBurst", c.MaxBurst, most16),
		c.PartialReliability.check(),
		checkSigned(p+"Scheduler", int(c.Scheduler), int(SchedulerWeighted)),
		checkSigned(p+"FragmentInterleave", c.FragmentInterleave, 2),
		checkSigned(p+"PartialDeliveryPoint", c.PartialDeliveryPoint, math.MaxInt32),
		c.Auth.check(),
		checkCount("LocalUDPPort", c.LocalUDPPort),
	)
}

// checkInitTimeout knows what the kernel's count of milliseconds holds.
func checkInitTimeout(t time.Duration) error {
	if t != 0 && (t < leastTime || t > most16*time.Millisecond) {
		return rangeError("Config.InitTimeout", t, "0 (default) and 1ms to 65.535s")
	}
	return nil
}

// leastStreamMemory is what a message is received into.
const leastStreamMemory = 64 << 10

func checkStreamMemory(n int) error {
	if n != 0 && n < leastStreamMemory {
		return rangeError("Config.StreamMemory", n, "0 (default) and 65536 or more")
	}
	return nil
}

// checkCount checks a field whose zero means the default.
func checkCount(name string, v int) error {
	if v < 0 || v > most16 {
		return rangeError("Config."+name, v, "1 to 65535, and 0 for the default")
	}
	return nil
}
