package sctpnet

import (
	"fmt"
	"math"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// The settings of an association that can change while it lives: types of Config's
// fields, and their checks. Each setting is named here, in package engine and in the
// table of each engine. Conn.Set and Conn.Config go through them.

// RTO are the retransmission timeouts of all paths (SCTP_RTOINFO, RFC 6458
// section 8.1.1). They are counted in milliseconds, to which they are rounded
// up, from 1 ms to 24 h.
//
// They decide how long a lost packet stalls its stream where nothing follows
// it, and how long a path that died goes unnoticed. Values below the peer's
// delay of acknowledgements (200 ms with Linux's default, 10 ms with that of
// this package) and the round trip together retransmit what was not lost.
type RTO struct {
	// Initial is the timeout before the first measurement of a path's round
	// trip, and so the wait for an answer to the first INIT. The default is
	// 1 s; the kernel's is 3 s (net.sctp.rto_initial).
	Initial time.Duration
	// Min is the least timeout, 250 ms by default; the kernel's is 1 s
	// (net.sctp.rto_min).
	Min time.Duration
	// Max is what the timeout grows to at most, as it doubles with each
	// retransmission. The default is the kernel's, 60 s (net.sctp.rto_max).
	// It is not less than Min.
	Max time.Duration
}

// AssocParams are the parameters of an association as a whole (SCTP_ASSOCINFO,
// RFC 6458 section 8.1.2).
type AssocParams struct {
	// MaxRetransmissions is how many retransmissions in a row, on whatever
	// path, may go unanswered before the association is given up and calls
	// fail with ETIMEDOUT, 1 to 65535. The default is the kernel's, 10
	// (net.sctp.association_max_retrans). Of an association with several
	// paths it is no more than the sum of theirs
	// (PathParams.MaxRetransmissions).
	MaxRetransmissions int
	// CookieLife is how long the cookie of a handshake is valid, 1 ms to
	// 24 h. The default is the kernel's, 60 s (net.sctp.valid_cookie_life).
	// It matters to a listener, before the handshake.
	CookieLife time.Duration
}

// PathParams are the parameters of a path, that is of one address of the peer,
// or of all of them (SCTP_PEER_ADDR_PARAMS, SCTP_PEER_ADDR_THLDS and
// SCTP_REMOTE_UDP_ENCAPS_PORT; RFC 6458 section 8.1.12, RFC 7829, RFC 6951).
type PathParams struct {
	// HeartbeatInterval is how often an idle path is tested, beside its
	// retransmission timeout, 1 ms to 24 h. The default is the kernel's,
	// 30 s (net.sctp.hb_interval). To set it turns heartbeats on.
	HeartbeatInterval time.Duration
	// NoHeartbeat turns heartbeats off, whatever HeartbeatInterval is. Then nobody
	// notices that an idle path, or peer, is gone.
	NoHeartbeat bool
	// MaxRetransmissions is how many retransmissions and heartbeats in a row
	// may go unanswered before the path is taken for dead, 1 to 65535. The
	// default is the kernel's, 5 (net.sctp.path_max_retrans).
	MaxRetransmissions int
	// PotentiallyFailedThreshold is how many may go unanswered before another path is
	// preferred (RFC 7829), 1 to 65535, or negative for 0. The default is
	// the kernel's, 0 (net.sctp.pf_retrans): at the first timeout. A value
	// above MaxRetransmissions turns the potentially failed state off.
	PotentiallyFailedThreshold int
	// PrimarySwitchoverThreshold is how many may go unanswered before the path that
	// traffic went over to becomes the primary one (RFC 7829), 1 to 65535
	// and not less than PotentiallyFailedThreshold. The default is the kernel's,
	// 65535 (net.sctp.ps_retrans), which means never.
	PrimarySwitchoverThreshold int
	// MTU fixes the path MTU, 512 to 65535 bytes, and turns its discovery
	// off. By default it is discovered, except over the loopback interface,
	// where this package sets 21916: see [Config].
	MTU int
	// DiscoverMTU turns discovery on. [Conn.Set] and [Conn.SetPathParams]
	// then do not look at MTU. [Conn.Config] and [Conn.PathParams] return in MTU what
	// was found.
	DiscoverMTU bool
	// DSCP is the differentiated services code point of packets (RFC 2474),
	// 1 to 63, or negative for 0, the default.
	DSCP int
	// FlowLabel is that of IPv6 packets, 1 to 0xfffff, or negative for 0,
	// the default. It needs Linux 4.18, as DSCP does.
	FlowLabel int
	// UDPPort is the port to which packets are sent encapsulated in UDP (RFC
	// 6951), 1 to 65535, or negative for none, the default. It needs Linux
	// 5.11, and to receive, net.sctp.udp_port=9899 in sysctl.
	UDPPort int
}

// SACK is how the acknowledgement of data waits for more of it
// (SCTP_DELAYED_SACK, RFC 6458 section 8.1.19).
type SACK struct {
	// Delay is how long it waits at most, 1 ms to 500 ms. The default is
	// 10 ms; the kernel's is 200 ms (net.sctp.sack_timeout).
	Delay time.Duration
	// Frequency is after how many packets an acknowledgement is sent without
	// waiting for Delay, 1 to 65535. The default is 2. 1 acknowledges each
	// packet at once. Delay then means nothing, in [Conn.Config] too.
	Frequency int
}

// A ReliabilityPolicy says when the sending of a message is given up.
type ReliabilityPolicy int

const (
	// ReliabilityFull messages, the default, are never given up.
	ReliabilityFull ReliabilityPolicy = iota
	// ReliabilityTimed gives a message up at the end of its lifetime: it is not
	// sent any more, neither for the first time nor again (RFC 3758 section 4).
	ReliabilityTimed
	// ReliabilityRetransmissions gives a message up when it has been
	// retransmitted as often as allowed (RFC 7496 section 3.1).
	ReliabilityRetransmissions
	// ReliabilityPriority gives messages up in favor of those of higher
	// priority when the send buffer is full (RFC 7496 section 3.2).
	ReliabilityPriority
)

// String returns a name such as "timed".
func (p ReliabilityPolicy) String() string {
	return constName("ReliabilityPolicy", int(p), "reliable", "timed", "limited retransmissions", "priority")
}

// PartialReliability is the default policy for abandoning messages
// (SCTP_DEFAULT_PRINFO, RFC 6458 section 8.1.32), those of Write included, whose
// bytes then have gaps. MsgInfo.TTL overrides it. It has an effect only if the
// peer has partial reliability (see [Features]).
type PartialReliability struct {
	// Policy says which of the other fields counts. ReliabilityFull, which is zero,
	// leaves the policy of an association as it is in Conn.Set; a negative number
	// sets ReliabilityFull again.
	Policy ReliabilityPolicy
	// TTL is for ReliabilityTimed, 1 ms to 2^32-1 ms, rounded up to
	// milliseconds.
	TTL time.Duration
	// Retransmissions is for ReliabilityRetransmissions: from 0, which means
	// that a message is sent once only, to 2^32-1.
	Retransmissions uint32
	// Priority is for ReliabilityPriority. A lower number is a higher priority.
	Priority uint32
}

// A Scheduler decides which stream's message is sent next
// (SCTP_STREAM_SCHEDULER, RFC 8260 section 4.3.2). The zero value is the
// kernel's default, SchedulerFirstCome. A message that was begun is finished
// first, however large, unless both ends have interleaving (Config).
type Scheduler int

const (
	// SchedulerFirstCome sends messages in the order in which they were
	// written.
	SchedulerFirstCome Scheduler = iota
	// SchedulerPriority sends what the stream of the lowest value has.
	SchedulerPriority
	// SchedulerRoundRobin gives each stream a turn.
	SchedulerRoundRobin
	// SchedulerFair gives each stream the same share in bytes. It needs
	// Linux 6.6.
	SchedulerFair
	// SchedulerWeighted gives each stream a share in proportion to its
	// value. It needs Linux 6.6.
	SchedulerWeighted
)

// String returns a name such as "round robin".
func (s Scheduler) String() string { return engine.Scheduler(s).String() }

// The ranges that several checks share.
const (
	leastTime = time.Millisecond
	mostTime  = 24 * time.Hour

	most16 = math.MaxUint16
)

// checkInt is for a value that zero leaves as it is.
func checkInt(name string, v, least, most int) error {
	if v != 0 && (v < least || v > most) {
		return rangeError(name, v, fmt.Sprintf("0, and %d to %d", least, most))
	}
	return nil
}

// checkSigned is checkInt where any negative number means zero, or none.
func checkSigned(name string, v, most int) error {
	if v > most {
		return rangeError(name, v, fmt.Sprintf("negative numbers and 0 to %d", most))
	}
	return nil
}

func checkTime(name string, d, most time.Duration) error {
	if d != 0 && (d < leastTime || d > most) {
		return rangeError(name, d, fmt.Sprintf("0, and %v to %v", leastTime, most))
	}
	return nil
}

func (r *RTO) check() error {
	return firstError(
		checkTime("Config.RTO.Initial", r.Initial, mostTime),
		checkTime("Config.RTO.Min", r.Min, mostTime),
		checkTime("Config.RTO.Max", r.Max, mostTime),
		engine.RTO(*r).Check(),
	)
}

func (p *AssocParams) check() error {
	return firstError(
		checkInt("Config.AssocParams.MaxRetransmissions", p.MaxRetransmissions, 1, most16),
		checkTime("Config.AssocParams.CookieLife", p.CookieLife, mostTime),
	)
}

// check checks for a setter, or with the prefix "Config." for a Config.
func (p *PathParams) check(prefix string) error {
	if *p == (PathParams{}) {
		return nil // as in most dials, without the names of all fields
	}
	prefix += "PathParams."
	err := firstError(
		checkTime(prefix+"HeartbeatInterval", p.HeartbeatInterval, mostTime),
		checkInt(prefix+"MaxRetransmissions", p.MaxRetransmissions, 1, most16),
		checkSigned(prefix+"PotentiallyFailedThreshold", p.PotentiallyFailedThreshold, most16),
		checkInt(prefix+"PrimarySwitchoverThreshold", p.PrimarySwitchoverThreshold, 1, most16),
		checkInt(prefix+"MTU", p.MTU, 512, most16),
		checkSigned(prefix+"DSCP", p.DSCP, 63),
		checkSigned(prefix+"FlowLabel", p.FlowLabel, 0xfffff),
		checkSigned(prefix+"UDPPort", p.UDPPort, most16),
	)
	if err == nil && p.PrimarySwitchoverThreshold != 0 && p.PotentiallyFailedThreshold > p.PrimarySwitchoverThreshold {
		err = rangeError(prefix+"PotentiallyFailedThreshold", p.PotentiallyFailedThreshold, fmt.Sprintf("up to PrimarySwitchoverThreshold, %d", p.PrimarySwitchoverThreshold))
	}
	return err
}

func (s *SACK) check() error {
	return firstError(
		checkTime("Config.SACK.Delay", s.Delay, 500*time.Millisecond),
		checkInt("Config.SACK.Frequency", s.Frequency, 1, most16),
	)
}

func (p *PartialReliability) check() error {
	const most = math.MaxUint32 * time.Millisecond
	if p.Policy == ReliabilityTimed && (p.TTL < leastTime || p.TTL > most) {
		return rangeError("Config.PartialReliability.TTL", p.TTL, fmt.Sprintf("%v to %v", leastTime, most))
	}
	return checkSigned("Config.PartialReliability.Policy", int(p.Policy), int(ReliabilityPriority))
}

// checkMaxSegment knows the limits of SCTP_MAXSEG. An IPv4 association needs 464
// bytes at least. The most of one that interleaves is four bytes less.
func checkMaxSegment(bytes int) error {
	if bytes > 0 && (bytes < 440 || bytes > 65516) {
		return rangeError("Config.MaxSegment", bytes, "negative numbers, 0, and 440 to 65516")
	}
	return nil
}
