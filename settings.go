package sctpnet

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// The settings of an association that can change while it lives: types of
// Config's fields, their checks, and Conn.Set and Conn.Config. Each setting is
// named here, in package engine and in the table of each engine.

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
	// NoHeartbeat turns heartbeats off. Then nobody notices that an idle
	// path, or peer, is gone.
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
	return name("ReliabilityPolicy", int(p), "reliable", "timed", "limited retransmissions", "priority")
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

// The algorithms of authentication (RFC 4895 section 8).
const (
	HMACSHA1   uint16 = 1
	HMACSHA256 uint16 = 3
)

// An AuthKey is a shared key of both ends, with the number that names it to
// the peer.
type AuthKey struct {
	ID     uint16
	Secret []byte // 1 to 65535 bytes
}

// Auth is the authentication of chunks (RFC 4895), for which both ends must
// offer it in the handshake (SCTP_AUTH_SUPPORTED; Linux 5.4, or before it sysctl
// net.sctp.auth_enable=1). It authenticates chunks; it does not encrypt them.
type Auth struct {
	// Chunks are the types of chunk that are accepted from the peer only if
	// they are authenticated (SCTP_AUTH_CHUNK, RFC 6458 section 8.3.2): 0
	// for DATA, 0xc1 and 0x80 for changes of addresses. INIT, INIT ACK,
	// SHUTDOWN COMPLETE and AUTH (1, 2, 14 and 15) cannot be. Up to 20.
	Chunks []uint8
	// HMACs are the algorithms accepted, the preferred one first
	// (SCTP_HMAC_IDENT, section 8.1.17). The RFC requires that HMACSHA1 be
	// among them. None means both.
	HMACs []uint16
	// Keys are the shared keys (SCTP_AUTH_KEY, section 8.3.3). Key 0, empty,
	// exists always.
	Keys []AuthKey
	// Active is the number of the key to send with (SCTP_AUTH_ACTIVE_KEY,
	// section 8.1.18).
	Active uint16
}

// AuthState is the state of authentication.
type AuthState struct {
	// Active is the number of the key to send with.
	Active uint16
	// LocalChunks and PeerChunks are the types of chunk that we, and the
	// peer, accept only if they are authenticated.
	LocalChunks, PeerChunks []uint8
	// HMACs are the algorithms that we accept. It is empty where the system
	// does not tell, as Linux does not of an accepted association unless
	// net.sctp.auth_enable is 1.
	HMACs []uint16
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

// The ranges that several checks share.
const (
	leastTime = time.Millisecond
	mostTime  = 24 * time.Hour

	most16 = math.MaxUint16
)

// A rangeError says what values an option can have.
func rangeError(name string, value any, allowed string) error {
	return fmt.Errorf("%s is %v; allowed are %s", name, value, allowed)
}

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

// firstError is errors.Join for one error.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
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

func (k *AuthKey) check(prefix string) error {
	if n := len(k.Secret); n == 0 || n > most16 {
		return rangeError(prefix+"AuthKey.Secret", strconv.Itoa(n)+" bytes", fmt.Sprintf("1 to %d", most16))
	}
	return nil
}

func (a *Auth) check() error {
	if a == nil {
		return nil
	}
	// The kernel's SCTP_NUM_CHUNK_TYPES.
	if n := len(a.Chunks); n > 20 {
		return rangeError("Config.Auth.Chunks", strconv.Itoa(n)+" types", "0 to 20")
	}
	for _, c := range a.Chunks {
		switch c {
		case 1, 2, 14, 15:
			return rangeError("Config.Auth.Chunks", c, "0 to 255 without 1 (INIT), 2 (INIT ACK), 14 (SHUTDOWN COMPLETE) and 15 (AUTH)")
		}
	}
	for _, h := range a.HMACs {
		if h != HMACSHA1 && h != HMACSHA256 {
			return rangeError("Config.Auth.HMACs", h, "1 (SHA-1) and 3 (SHA-256)")
		}
	}
	if len(a.HMACs) > 2 || len(a.HMACs) > 0 && !slices.Contains(a.HMACs, HMACSHA1) {
		return rangeError("Config.Auth.HMACs", a.HMACs, "1 (SHA-1), which must be there, and 3 (SHA-256)")
	}
	found := a.Active == 0
	for _, k := range a.Keys {
		if err := k.check("Config."); err != nil {
			return err
		}
		found = found || k.ID == a.Active
	}
	if !found {
		return rangeError("Config.Auth.Active", a.Active, "0 and the numbers of Keys")
	}
	return nil
}

// engine copies.
func (a *Auth) engine() *engine.Auth {
	e := &engine.Auth{Chunks: slices.Clone(a.Chunks), HMACs: slices.Clone(a.HMACs), Active: a.Active}
	for _, k := range a.Keys {
		e.Keys = append(e.Keys, engine.AuthKey{ID: k.ID, Secret: slices.Clone(k.Secret)})
	}
	return e
}

// Set changes settings of the association while it lives. Fields of config that
// are zero stay as they are, and so do those that have the value which is in
// force, so that what Config returned can be changed and set.
//
// Set checks everything first. If a value is out of range, or the engine lacks a
// setting, or the handshake has settled it, the error says so and nothing is
// changed: in the last two cases it wraps [errors.ErrUnsupported]. Then Set
// applies the fields in their order. If the system refuses one, the error names
// it, those before it stay changed, and those after it are as they were.
//
// PathParams apply to all paths, also to later ones: see [Conn.SetPathParams].
func (c *Conn) Set(config Config) error {
	return c.do("set", config.check(), func() error {
		now, err := c.inForce()
		if err != nil {
			return err
		}
		err = firstError(
			checkSetting(c.network, "Config.", "", config),
			checkSettled(&config, now),
			checkLater(c.network, "Config.", "", config, *now),
			config.checkLimits(now),
		)
		if err != nil {
			return err
		}
		c.setLimits(config.limits())
		if config.PPID != 0 {
			c.ppid.Store(config.PPID)
		}
		var s engine.Settings
		copyFields(&s, &config)
		return c.e.Set(netip.Addr{}, s)
	})
}

// Config returns the settings that are in force. Those that the handshake has
// settled are what this end has asked for and granted in it, defaults included:
// [Conn.NumStreams] and [Conn.Features] tell what came of that. OnEvent is nil, and
// Auth has no Keys and no Active: see [Conn.AuthState]. A Conn of [FileConn] has
// zero in what its socket does not tell.
//
// Where the system has changed a value, as it rounds times and limits buffers, it
// is what the system says. The buffers are what Linux was asked for, which are half
// of what it has. PathParams are those of a new path.
func (c *Conn) Config() (Config, error) {
	var config Config
	err := c.do("get", nil, func() error {
		now, err := c.inForce()
		if err == nil {
			config = *now
		}
		return err
	})
	return config, err
}

// inForce returns the settings that are in force.
func (c *Conn) inForce() (*Config, error) {
	s, err := c.e.Get(netip.Addr{})
	if err != nil {
		return nil, err
	}
	now := *c.asked
	now.OnEvent = nil
	if now.Auth != nil {
		now.Auth = &Auth{Chunks: slices.Clone(now.Auth.Chunks), HMACs: slices.Clone(now.Auth.HMACs)}
	}
	copyFields(&now, &s)
	now.Adaptation, _ = c.e.Adaptation()
	now.PPID = c.ppid.Load()
	limits := c.limitsInForce()
	now.AcceptStreams, now.StreamMemory = limits.AcceptStreams, limits.StreamMemory
	return &now, nil
}

// checkSettled returns an error if a Config has another value than that in force
// in a field which the handshake settles.
func checkSettled(config, now *Config) error {
	old := reflect.ValueOf(now).Elem()
	for f, v := range reflect.ValueOf(config).Elem().Fields() {
		if !v.IsZero() && isSettled(f.Name) && !reflect.DeepEqual(v.Interface(), old.FieldByName(f.Name).Interface()) {
			return fmt.Errorf("after the handshake Config.%s cannot change: %w: Dial and Listen alone set it", f.Name, errors.ErrUnsupported)
		}
	}
	return nil
}

// isSettled reports whether the handshake settles a field of Config: it is not
// one of the engine's that can change, nor one of this package.
func isSettled(field string) bool {
	switch field {
	case "AcceptStreams", "StreamMemory", "PPID":
		return false
	}
	_, changes := reflect.TypeFor[engine.Settings]().FieldByName(field)
	return !changes
}

// checkLimits returns an error for a limit that does not go with another one,
// which is in force.
func (c *Config) checkLimits(now *Config) error {
	r := now.RTO
	r.Min, r.Max = cmp.Or(c.RTO.Min, r.Min), cmp.Or(c.RTO.Max, r.Max)
	p := PathParams{
		PotentiallyFailedThreshold: cmp.Or(c.PathParams.PotentiallyFailedThreshold, now.PathParams.PotentiallyFailedThreshold),
		PrimarySwitchoverThreshold: cmp.Or(c.PathParams.PrimarySwitchoverThreshold, now.PathParams.PrimarySwitchoverThreshold),
	}
	return firstError(r.check(), p.check("Config."))
}

// set changes one setting of the engine, unless that lacks the field of Config.
func (c *Conn) set(name string, v any, check error, s engine.Settings) error {
	return c.do("set", check, func() error {
		if err := checkSetting(c.network, "Config.", name, v); err != nil {
			return err
		}
		return c.e.Set(netip.Addr{}, s)
	})
}

// call runs a call of the engine, if that has one of the name.
func (c *Conn) call(name string, check error, call func() error) error {
	return c.do("set", check, func() error {
		if err := checkCall(c.network, "Conn."+name); err != nil {
			return err
		}
		return call()
	})
}

// do runs f if the Conn is open and err, of a check, is nil.
func (c *Conn) do(op string, err error, f func() error) error {
	switch {
	case !c.ok():
		return syscall.EINVAL
	case c.closed.Load():
		err = net.ErrClosed
	case err == nil:
		err = f()
	}
	return c.opError(op, err)
}

// get runs a getter of the engine, if that has one of the name.
func get[T any](c *Conn, name string, check error, f func() (T, error)) (v T, err error) {
	err = c.do("get", check, func() error {
		if err := checkCall(c.network, "Conn."+name); err != nil {
			return err
		}
		v, err = f()
		return err
	})
	return v, err
}

// SetPathParams sets the parameters of the path to one of the peer's
// addresses, or with the zero Addr of all paths, as [Conn.Set] does. Fields
// that are zero stay as they are.
//
// They are three options of the system: the thresholds, then the UDP port,
// come after the rest. If one fails, those before it have been set.
func (c *Conn) SetPathParams(addr netip.Addr, p PathParams) error {
	return c.do("set", p.check(""), func() error {
		now, err := c.pathParams(addr)
		if err == nil {
			err = firstError(
				checkSetting(c.network, "", "PathParams", p),
				checkLater(c.network, "", "PathParams", p, now),
			)
		}
		if err != nil {
			return err
		}
		var s engine.Settings
		copyFields(&s.PathParams, &p)
		return c.e.Set(addr, s)
	})
}

// PathParams returns the parameters of the path to one of the peer's
// addresses, or with the zero Addr what the association has for new ones.
func (c *Conn) PathParams(addr netip.Addr) (p PathParams, err error) {
	err = c.do("get", nil, func() error {
		p, err = c.pathParams(addr)
		return err
	})
	return p, err
}

func (c *Conn) pathParams(addr netip.Addr) (p PathParams, err error) {
	s, err := c.e.Get(addr)
	copyFields(&p, &s.PathParams)
	return p, err
}

// Heartbeat tests the path to one of the peer's addresses now, or with the zero
// Addr all paths (SPP_HB_DEMAND, RFC 6458 section 8.1.12). It does not wait for
// the answer, which updates [Conn.Paths].
func (c *Conn) Heartbeat(addr netip.Addr) error {
	return c.call("Heartbeat", nil, func() error { return c.e.Address(engine.Heartbeat, addr) })
}

// SetStreamValue sets a number of an outgoing stream that the scheduler uses
// (SCTP_STREAM_SCHEDULER_VALUE, RFC 8260 section 4.3.3): with
// SchedulerPriority its priority, where the lowest goes first, with
// SchedulerWeighted its weight, from 1. Other schedulers do not use it. The default
// is 0, and as a weight 1.
func (c *Conn) SetStreamValue(stream, value uint16) error {
	return c.call("SetStreamValue", c.checkStream(stream), func() error { return c.e.SetStreamValue(stream, value) })
}

// StreamValue returns the number that the scheduler has of an outgoing stream,
// 0 if it uses none.
func (c *Conn) StreamValue(stream uint16) (uint16, error) {
	return get(c, "StreamValue", c.checkStream(stream), func() (uint16, error) { return c.e.StreamValue(stream) })
}

// checkStream checks that there is an outgoing stream of a number.
func (c *Conn) checkStream(id uint16) error {
	if !c.ok() || c.closed.Load() {
		return nil // which has an error of its own
	}
	if out, in := c.e.Streams(false); id < out || out+in == 0 {
		return nil
	}
	if out, _ := c.NumStreams(); id >= out {
		return errNoStream(id, out)
	}
	return nil
}

// Features returns the extensions of SCTP that both ends have.
func (c *Conn) Features() (Features, error) {
	return get(c, "Features", nil, func() (Features, error) {
		f, err := c.e.Features()
		return Features(f), err
	})
}

// AddStreams asks the peer for more streams (SCTP_ADD_STREAMS, RFC 6525
// section 6.3.4), outgoing and incoming ones, up to 65535 of each direction. It
// does not wait. NumStreams has the outgoing ones at once, unless the peer denies
// them; over UDP it has them once the peer has agreed. It has the incoming ones
// once the peer has made them. A [StreamsAddedEvent] tells of both. A message
// written to a new stream is kept back until the peer has agreed, and so is what is
// written after it; over UDP there is no such stream before. A peer that uses this
// package agrees if its Config.MaxInStreams is 65535. From AddStreams on Linux also
// lets the peer add streams.
//
// While an earlier request, or the reset of a stream, is under way the error
// wraps EINPROGRESS. If the peer has no stream reconfiguration it wraps
// [errors.ErrUnsupported].
func (c *Conn) AddStreams(out, in int) error {
	return c.call("AddStreams", nil, func() error {
		haveOut, haveIn := c.NumStreams()
		if err := firstError(checkAdd("outgoing", out, int(haveOut)), checkAdd("incoming", in, int(haveIn))); err != nil {
			return err
		}
		if out == 0 && in == 0 {
			return nil
		}
		if out != 0 && in != 0 {
			if err := checkCall(c.network, "Conn.AddStreams of both directions at once"); err != nil {
				return err
			}
		}
		return c.e.AddStreams(uint16(out), uint16(in))
	})
}

func checkAdd(what string, n, have int) error {
	if n < 0 || n > most16-have {
		return rangeError("number of "+what+" streams to add", n, fmt.Sprintf("0 to %d, as there are %d", most16-have, have))
	}
	return nil
}

// ResetAssoc asks the peer to begin all numbering anew, of streams and of
// chunks (SCTP_RESET_ASSOC, RFC 6525 section 6.3.3). Nothing is lost. While
// something written waits for its acknowledgement the error wraps EAGAIN, and while
// an earlier request is under way EINPROGRESS. ResetAssoc does not wait; an
// [AssocResetEvent] tells how it went.
func (c *Conn) ResetAssoc() error {
	return c.call("ResetAssoc", nil, func() error { return c.e.ResetAssoc() })
}

// SetAuthKey adds a shared key, or replaces the one of the same number
// (SCTP_AUTH_KEY, RFC 6458 section 8.3.3). It is not used for sending before
// ActivateAuthKey. This and the other methods for keys give an error that wraps
// [errors.ErrUnsupported] where the ends did not agree on authentication.
func (c *Conn) SetAuthKey(k AuthKey) error {
	return c.call("SetAuthKey", k.check(""), func() error { return c.e.Key(engine.SetKey, engine.AuthKey(k)) })
}

// ActivateAuthKey makes a key that was set the one to send with
// (SCTP_AUTH_ACTIVE_KEY, RFC 6458 section 8.1.18).
func (c *Conn) ActivateAuthKey(id uint16) error {
	return c.key("ActivateAuthKey", engine.ActivateKey, id)
}

// DeactivateAuthKey says that a key, which is not the active one, will not be
// sent with any more (SCTP_AUTH_DEACTIVATE_KEY, RFC 6458 section 8.3.4). It is
// still good for what the peer sends.
func (c *Conn) DeactivateAuthKey(id uint16) error {
	return c.key("DeactivateAuthKey", engine.DeactivateKey, id)
}

// DeleteAuthKey removes a key, which is not the active one
// (SCTP_AUTH_DELETE_KEY, RFC 6458 section 8.3.5).
func (c *Conn) DeleteAuthKey(id uint16) error {
	return c.key("DeleteAuthKey", engine.DeleteKey, id)
}

func (c *Conn) key(name string, op engine.KeyOp, id uint16) error {
	return c.call(name, nil, func() error { return c.e.Key(op, engine.AuthKey{ID: id}) })
}

// AuthState returns the state of authentication.
func (c *Conn) AuthState() (AuthState, error) {
	return get(c, "AuthState", nil, func() (AuthState, error) {
		s, err := c.e.AuthState()
		return AuthState(s), err
	})
}
