package sctpnet

import (
	"fmt"
	"math"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// Config holds what is settled about an association before its handshake, for
// a [Dialer] or a [ListenConfig]. Its zero value is good and fast.
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
	// before the first AcceptStream.
	AcceptStreams int

	// StreamMemory is how many bytes of memory the streams of an association may
	// take with what has arrived and was not read, 64 KiB or more: the messages,
	// with a little for each that Go needs, and what was received together with
	// them and cannot be freed yet. When they do, nothing more is received, and
	// the peer is held back. One message can exceed it. Zero means 4 MiB. What
	// waits in the system's ReadBuffer comes on top of it. It does not matter to
	// a Conn without streams, which keeps nothing.
	StreamMemory int

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
	// SenderDry has OnEvent receive each [SenderDryEvent] too. They come
	// after every message, where one is sent at a time, and slow both that
	// and sending in bulk down by a fifth or more.
	SenderDry bool

	// KeepRestarted keeps a Conn where the peer has lost the association, as
	// by a crash, and makes it anew from the same addresses (RFC 9260 section
	// 5.2). Without it the Conn ends with ECONNRESET: see the package's
	// documentation. With it reading goes on with the messages of the peer's
	// new life. Only OnEvent tells, by an [AssociationEvent] in order with the
	// messages: [AssociationRestarted]. A message of the old life that was
	// read in part never ends. Over the kernel's SCTP the Conn may end there
	// all the same: see the package's documentation.
	//
	// It is for protocols of messages, such as SIGTRAN's, which begin anew by
	// messages of their own. An association with a [Stream] in use ends all
	// the same. After a restart there can be no Stream: [Conn.Stream], OpenStream and AcceptStream return an error that
	// wraps [errors.ErrUnsupported].
	KeepRestarted bool

	// RTO are the retransmission timeouts.
	RTO RTO
	// AssocParams are the parameters of the association as a whole.
	AssocParams AssocParams
	// PathParams are the parameters of all paths. If they say nothing of the
	// MTU, that of a path over the loopback interface is 32836, or less if the
	// buffers are small, because with
	// the system's 65536 one packet nearly fills a window and transfers
	// stall.
	PathParams PathParams
	// SACK is how acknowledgements are delayed.
	SACK SACK

	// Nagle holds small messages back while others are not acknowledged
	// (SCTP_NODELAY off, RFC 6458 section 8.1.5). The default is false, as
	// for TCP in package net, and with KernelDefaults the system's, which is
	// the same as true: see [Conn.SetNoDelay].
	Nagle bool

	// ReadBuffer and WriteBuffer are the sizes in bytes of the system's
	// buffers (SO_RCVBUF, SO_SNDBUF), which Linux doubles for its own needs
	// and caps at net.core.rmem_max and wmem_max. Half of the read buffer is
	// the window that the peer is told. Zero means 2 MiB.
	ReadBuffer, WriteBuffer int

	// MaxSegment is how many bytes of data a packet has at most: see
	// [Conn.SetMaxSegment]. Zero means as many as the path allows.
	MaxSegment int
	// MaxBurst is how many packets are sent in one burst, negative for no
	// limit: see [Conn.SetMaxBurst]. Zero means the kernel's default, 4.
	MaxBurst int

	// Adaptation is a number that the peer is sent in the handshake, as the
	// adaptation layer indication (SCTP_ADAPTATION_LAYER, RFC 6458 section
	// 8.1.10, RFC 5061 section 4.2.6). The peer gets an [AdaptationEvent] with
	// it. Zero means none, but [AdaptationStreams] for a [StreamDialer] and a
	// [NewStreamListener].
	Adaptation uint32

	// PartialReliability is what messages are given up by that do not say so
	// themselves. Zero means that none is.
	PartialReliability PartialReliability
	// NoPartialReliability keeps partial reliability (RFC 3758) from being
	// offered to the peer (SCTP_PR_SUPPORTED, RFC 7496 section 4.5): no
	// message is ever given up.
	NoPartialReliability bool

	// Scheduler decides which stream's message is sent next. Zero means
	// SchedulerFirstCome for a plain Conn and, from the first [Stream] on,
	// SchedulerRoundRobin. If the kernel
	// lacks it the error wraps [errors.ErrUnsupported].
	Scheduler Scheduler

	// Interleaving offers the peer to interleave the messages of different
	// streams (SCTP_INTERLEAVING_SUPPORTED, RFC 8260): a large message then
	// does not hold up those of other streams. It needs sysctl
	// net.sctp.intl_enable=1 and implies a FragmentInterleave of 2. Pieces of
	// several streams' messages, as ReadStream and ReadMsg give them when a
	// message is larger than its buffer or the window, may then alternate.
	Interleaving bool
	// FragmentInterleave is the level of what may come between the pieces of
	// a message, 0 to 2: see [Conn.SetFragmentInterleave].
	FragmentInterleave int
	// PartialDeliveryPoint is from how many bytes on a message may be handed
	// over in pieces: see [Conn.SetPartialDeliveryPoint].
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

	// UDPPort is the UDP port to receive at, 1 to 65535, on the networks
	// sctp+udp; package udpencap says what zero means there. On others the
	// error wraps [errors.ErrUnsupported]: the kernel's is sysctl
	// net.sctp.udp_port. The peer's is in PathParams.
	UDPPort int

	// KernelDefaults leaves everything that is not set in this Config to the
	// system (sysctl net.sctp, net.core), where the package's own defaults
	// are chosen to be fast. It is for operators who have tuned the system.
	KernelDefaults bool
}

// AdaptationStreams is the adaptation layer indication (RFC 5061 section 4.2.6)
// by which a [StreamDialer] and a [NewStreamListener] tell each other that they
// speak of streams: each stream is a connection. In ASCII it is "STRM".
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
	// the peer's window is full, and must outlast a reader who pauses.
	rtoMin = 250 * time.Millisecond

	// bufferSize holds a window that fills a path of 2 MB, and no more: the
	// kernel drops what is more than 4096 chunks ahead. The system's limits
	// (net.core.rmem_max and wmem_max) cap it silently.
	bufferSize = 2 << 20

	// loopbackMTU is less than the 65536 of the interface lo, with which one
	// chunk nearly fills the window and transfers stall. Two chunks of half a
	// message fit, with the headers of IPv6. It is halved for small windows.
	loopbackMTU = messageSize/2 + 40 + 12 + 16

	// messageSize is what a Write is split into.
	messageSize = 64 << 10
)

// options are what the engine of a network is told: the Config, with the
// defaults for dialling or listening in its gaps.
func (c *Config) options(network string, listen bool) (engine.Options, error) {
	if err := c.check(); err != nil {
		return engine.Options{}, err
	}
	o := engine.Options{
		OutStreams:           uint16(c.OutStreams),
		MaxInStreams:         uint16(c.MaxInStreams),
		InitAttempts:         uint16(c.InitAttempts),
		InitTimeout:          c.InitTimeout,
		ReadBuffer:           c.ReadBuffer,
		WriteBuffer:          c.WriteBuffer,
		RTO:                  engine.RTO(c.RTO),
		Assoc:                engine.AssocParams(c.AssocParams),
		Path:                 engine.PathParams(c.PathParams),
		SACK:                 engine.SACK(c.SACK),
		MaxSegment:           c.MaxSegment,
		MaxBurst:             c.MaxBurst,
		Adaptation:           c.Adaptation,
		Scheduler:            uint32(c.Scheduler),
		FragmentInterleave:   c.FragmentInterleave,
		PartialDeliveryPoint: c.PartialDeliveryPoint,
		NoPartialReliability: c.NoPartialReliability,
		NoECN:                c.NoECN,
		Interleaving:         c.Interleaving,
		AddressReconfig:      c.AddressReconfig,
		UDPPort:              uint16(c.UDPPort),
		Events:               c.OnEvent != nil,
		SenderDry:            c.OnEvent != nil && c.SenderDry,
		KeepRestarted:        c.KeepRestarted,
	}
	var err error
	if o.PartialReliability, err = c.PartialReliability.engine("Config."); err != nil {
		return engine.Options{}, err
	}
	switch {
	case c.Auth != nil:
		if o.Auth, err = c.Auth.engine("Config."); err != nil {
			return engine.Options{}, err
		}
	case c.AddressReconfig:
		o.Auth = &engine.Auth{}
	}
	if err := checkSetting(network, "Config.", "", *c); err != nil {
		return engine.Options{}, err
	}
	o.PeerAdds = o.MaxInStreams == math.MaxUint16
	if c.KernelDefaults {
		return o, nil
	}
	switch {
	case listen:
		// The peer never has more streams to ask on than this end has to
		// answer on.
		if o.OutStreams == 0 {
			o.OutStreams = max(listenStreams, o.MaxInStreams)
		}
		if o.MaxInStreams == 0 {
			o.MaxInStreams = o.OutStreams
		}
		o.MaxInStreams = min(o.MaxInStreams, o.OutStreams)
	default:
		if o.OutStreams == 0 {
			o.OutStreams = dialStreams
		}
		if o.MaxInStreams == 0 {
			o.MaxInStreams = dialStreams
		}
	}
	if o.InitAttempts == 0 {
		o.InitAttempts = initAttempts
	}
	// A default gives way to a limit that was set.
	if o.RTO.Min == 0 {
		o.RTO.Min = rtoMin
		if o.RTO.Max != 0 {
			o.RTO.Min = min(rtoMin, o.RTO.Max)
		}
	}
	if o.RTO.Initial == 0 {
		o.RTO.Initial = max(rtoInitial, o.RTO.Min)
		if o.RTO.Max != 0 {
			o.RTO.Initial = min(o.RTO.Initial, o.RTO.Max)
		}
	}
	o.RoundRobin = c.Scheduler == SchedulerFirstCome
	if o.SACK.Delay == 0 {
		o.SACK.Delay = sackDelay
	}
	o.NoDelay = !c.Nagle
	if o.ReadBuffer == 0 {
		o.ReadBuffer = bufferSize
	}
	if o.WriteBuffer == 0 {
		o.WriteBuffer = bufferSize
	}
	if o.Path.MTU == 0 && !o.Path.DiscoverMTU {
		o.LoopbackMTU = loopbackMTU
	}
	return o, nil
}

// leastStreamMemory is what a message is received into.
const leastStreamMemory = 64 << 10

// limits is what a Config says of what streams may take.
type limits struct{ acceptStreams, streamMemory int }

func (c *Config) limits() limits { return limits{c.AcceptStreams, c.StreamMemory} }

func (c *Config) check() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"OutStreams", c.OutStreams},
		{"MaxInStreams", c.MaxInStreams},
		{"AcceptStreams", c.AcceptStreams},
		{"InitAttempts", c.InitAttempts},
		{"UDPPort", c.UDPPort},
	} {
		if f.value < 0 || f.value > 65535 {
			return fmt.Errorf("sctpnet: Config.%s is %d; allowed are 0 (default) to 65535", f.name, f.value)
		}
	}
	if t := c.InitTimeout; t != 0 && (t < time.Millisecond || t > 65535*time.Millisecond) {
		return fmt.Errorf("sctpnet: Config.InitTimeout is %v; allowed are 0 (default) and 1ms to 65.535s", t)
	}
	if m := c.StreamMemory; m != 0 && m < leastStreamMemory {
		return fmt.Errorf("sctpnet: Config.StreamMemory is %d; allowed are 0 (default) and %d or more", m, leastStreamMemory)
	}
	const p = "Config."
	return firstError(
		c.RTO.check(p),
		c.AssocParams.check(p),
		c.PathParams.check(p),
		c.SACK.check(p),
		checkBuffer(p+"ReadBuffer", c.ReadBuffer),
		checkBuffer(p+"WriteBuffer", c.WriteBuffer),
		checkMaxSegment(p, c.MaxSegment),
		checkMaxBurst(p, c.MaxBurst),
		c.Scheduler.check(p),
		checkFragmentInterleave(p, c.FragmentInterleave),
		checkBuffer(p+"PartialDeliveryPoint", c.PartialDeliveryPoint),
	)
}
