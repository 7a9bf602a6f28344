package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// A row is one field of engine.Settings: the one place that knows how a socket
// has it.
type row struct {
	name    string   // of the field
	options []option // that hold it
	// set sets the field unless it is zero. It does the same on a socket
	// before its handshake as on that of an association.
	set func(t target, s *engine.Settings) error
	get func(t target, s *engine.Settings) error
	// note has the conn know what the kernel would not tell. It may be nil.
	note func(c *conn, s *engine.Settings)
}

// rows are all settings, in the order of the fields.
var rows = []row{
	{
		name:    "RTO",
		options: []option{optRTO},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.RTO, func() error { return setRTO(t, s.RTO) })
		},
		get: func(t target, s *engine.Settings) error {
			var v rtoInfo
			err := t.get(optRTO, &v)
			s.RTO = engine.RTO{Initial: fromMilliseconds(v.Initial), Min: fromMilliseconds(v.Min), Max: fromMilliseconds(v.Max)}
			return err
		},
	},
	{
		name:    "AssocParams",
		options: []option{optAssocInfo},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.AssocParams, func() error { return setAssocParams(t, s.AssocParams) })
		},
		get: func(t target, s *engine.Settings) error {
			var v assocParams
			err := t.get(optAssocInfo, &v)
			s.AssocParams = engine.AssocParams{MaxRetransmissions: int(v.MaxRxt), CookieLife: fromMilliseconds(v.CookieLife)}
			return err
		},
	},
	{
		name:    "PathParams",
		options: []option{optPathParams, optThresholds, optThresholdsV2},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.PathParams, func() error { return setPathParams(t, allPaths, s.PathParams) })
		},
		get: func(t target, s *engine.Settings) (err error) {
			s.PathParams, err = getPathParams(t, allPaths)
			return err
		},
	},
	{
		name:    "SACK",
		options: []option{optSACK},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.SACK, func() error {
				return t.set(optSACK, sackInfo{Delay: milliseconds(s.SACK.Delay), Frequency: uint32(s.SACK.Frequency)})
			})
		},
		get: func(t target, s *engine.Settings) error {
			var v sackInfo
			err := t.get(optSACK, &v)
			s.SACK = engine.SACK{Delay: fromMilliseconds(v.Delay), Frequency: int(v.Frequency)}
			return err
		},
	},
	{
		name:    "Nagle",
		options: []option{optNoDelay},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.Nagle || s.NoDelay, func() error { return optNoDelay.setInt(t.fd, boolInt(s.NoDelay)) })
		},
		get: func(t target, s *engine.Settings) error {
			v, err := optNoDelay.getInt(t.fd)
			s.NoDelay, s.Nagle = v != 0, v == 0
			return err
		},
	},
	bufferRow("ReadBuffer", optReadBuffer, func(s *engine.Settings) *int { return &s.ReadBuffer }),
	bufferRow("WriteBuffer", optWriteBuffer, func(s *engine.Settings) *int { return &s.WriteBuffer }),
	{
		name:    "MaxSegment",
		options: []option{optMaxSegment},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.MaxSegment, func() error { return t.setValue(optMaxSegment, uint32(max(0, s.MaxSegment))) })
		},
		get: func(t target, s *engine.Settings) error {
			v, err := t.getValue(optMaxSegment)
			s.MaxSegment = int(v)
			return err
		},
		// Where nothing was set, the kernel gives what the path allows.
		note: func(c *conn, s *engine.Settings) {
			if s.MaxSegment != 0 {
				c.segmented.Store(s.MaxSegment > 0)
			}
		},
	},
	{
		name:    "MaxBurst",
		options: []option{optMaxBurst},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.MaxBurst, func() error { return t.setValue(optMaxBurst, uint32(max(0, s.MaxBurst))) })
		},
		get: func(t target, s *engine.Settings) error {
			v, err := t.getValue(optMaxBurst)
			if s.MaxBurst = int(v); v == 0 {
				s.MaxBurst = -1
			}
			return err
		},
	},
	{
		name:    "PartialReliability",
		options: []option{optDefaultPRInfo},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.PartialReliability.Policy, func() error { return setReliability(t, s.PartialReliability) })
		},
		get: func(t target, s *engine.Settings) error {
			v, err := defaultReliability(t)
			s.PartialReliability = v.reliability()
			return err
		},
		note: func(c *conn, s *engine.Settings) {
			if s.PartialReliability.Policy != engine.ReliabilityFull {
				c.reliability.Store(prInfoOf(s.PartialReliability).pack())
			}
		},
	},
	{
		name:    "Scheduler",
		options: []option{optScheduler},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.Scheduler, func() error { return setScheduler(t, s.Scheduler) })
		},
		get: func(t target, s *engine.Settings) error {
			v, err := t.getValue(optScheduler)
			s.Scheduler = engine.Scheduler(v)
			return err
		},
		note: func(c *conn, s *engine.Settings) {
			if s.Scheduler != 0 {
				c.roundRobin.Store(false)
			}
		},
	},
	intRow("FragmentInterleave", optFragmentInterleave, func(s *engine.Settings) *int { return &s.FragmentInterleave }),
	{
		name:    "PartialDeliveryPoint",
		options: []option{optPartialDelivery},
		set: func(t target, s *engine.Settings) error {
			return unlessZero(s.PartialDeliveryPoint, func() error { return setPartialDelivery(t, max(0, s.PartialDeliveryPoint)) })
		},
		get: func(t target, s *engine.Settings) (err error) {
			s.PartialDeliveryPoint, err = optPartialDelivery.getInt(t.fd)
			return err
		},
	},
}

// intRow is the row of an option that is an int. A negative number stands for 0.
func intRow(name string, o option, field func(*engine.Settings) *int) row {
	return row{
		name:    name,
		options: []option{o},
		set: func(t target, s *engine.Settings) error {
			v := *field(s)
			return unlessZero(v, func() error { return o.setInt(t.fd, max(0, v)) })
		},
		get: func(t target, s *engine.Settings) (err error) {
			*field(s), err = o.getInt(t.fd)
			return err
		},
	}
}

// bufferRow is the row of a buffer's size, which Linux has made twice of what was
// asked for.
func bufferRow(name string, o option, field func(*engine.Settings) *int) row {
	r := intRow(name, o, field)
	whole := r.get
	r.get = func(t target, s *engine.Settings) error {
		err := whole(t, s)
		*field(s) /= 2
		return err
	}
	return r
}

func unlessZero[T comparable](v T, set func() error) error {
	var zero T
	if v == zero {
		return nil
	}
	return set()
}

// A fixedRow is one or more fields of engine.Options that only a socket without
// an association has set.
type fixedRow struct {
	name   string
	wanted func(o *engine.Options) bool
	set    func(fd int, o *engine.Options) error
}

var fixedRows = []fixedRow{
	{"OnEvent", func(o *engine.Options) bool { return o.Events }, func(fd int, _ *engine.Options) error { return subscribe(fd) }},
	{"SenderDry", func(o *engine.Options) bool { return o.SenderDry }, func(fd int, _ *engine.Options) error { return setEvent(fd, eventSenderDry) }},
	{
		name: "OutStreams",
		wanted: func(o *engine.Options) bool {
			return o.OutStreams != 0 || o.MaxInStreams != 0 || o.InitAttempts != 0 || o.InitTimeout != 0
		},
		set: func(fd int, o *engine.Options) error {
			return optInit.set(fd, sctp.InitMsg{
				NumOstreams:    o.OutStreams,
				MaxInstreams:   o.MaxInStreams,
				MaxAttempts:    o.InitAttempts,
				MaxInitTimeout: uint16(o.InitTimeout / time.Millisecond),
			})
		},
	},
	{
		name:   "Adaptation",
		wanted: func(o *engine.Options) bool { return o.Adaptation != 0 },
		set: func(fd int, o *engine.Options) error {
			// The event is the only thing that tells the peer's.
			if err := setEvent(fd, eventAdaptation); err != nil {
				return err
			}
			return optAdaptation.set(fd, o.Adaptation)
		},
	},
	{
		"NoPartialReliability",
		func(o *engine.Options) bool { return o.NoPartialReliability },
		func(fd int, _ *engine.Options) error { return optPRSupported.setValue(fd, 0) },
	},
	{
		"NoECN",
		func(o *engine.Options) bool { return o.NoECN },
		func(fd int, _ *engine.Options) error { return optECN.setValue(fd, 0) },
	},
	{
		"Interleaving",
		func(o *engine.Options) bool { return o.Interleaving },
		func(fd int, _ *engine.Options) error { return setInterleaving(fd) },
	},
	{
		"AddressReconfig",
		func(o *engine.Options) bool { return o.AddressReconfig },
		func(fd int, _ *engine.Options) error { return optASCONF.setValue(fd, 1) },
	},
	{
		"Auth",
		func(o *engine.Options) bool { return o.Auth != nil },
		func(fd int, o *engine.Options) error { return setAuth(fd, o.Auth) },
	},
}

// setOptions applies options to a socket before its handshake.
func setOptions(fd int, o *engine.Options) error {
	if err := apply(socketOf(fd), &o.Settings, func(*row) {}); err != nil {
		return err
	}
	for _, r := range fixedRows {
		if r.wanted(o) {
			if err := r.set(fd, o); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
	}
	return nil
}

// apply applies settings to a socket, and calls done after each.
func apply(t target, s *engine.Settings, done func(*row)) error {
	for i := range rows {
		r := &rows[i]
		if err := r.set(t, s); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		done(r)
	}
	return nil
}

func (c *conn) know(r *row, s *engine.Settings) {
	if r.note != nil {
		r.note(c, s)
	}
}

// Set applies settings to the association, or to one path of it.
func (c *conn) Set(path netip.Addr, s engine.Settings) error {
	if path.IsValid() {
		return c.path(path, func(fd int, addr [128]byte) error { return setPathParams(socketOf(fd), addr, s.PathParams) })
	}
	return c.control(func(fd int) error { return apply(socketOf(fd), &s, func(r *row) { c.know(r, &s) }) })
}

// Get returns the settings of the association, or of one path of it. What the
// kernel lacks is zero.
func (c *conn) Get(path netip.Addr) (s engine.Settings, err error) {
	if path.IsValid() {
		err = c.path(path, func(fd int, addr [128]byte) error {
			s.PathParams, err = getPathParams(socketOf(fd), addr)
			return err
		})
		return s, err
	}
	err = c.control(func(fd int) error {
		for _, r := range rows {
			if err := r.get(socketOf(fd), &s); err != nil && !errors.Is(err, errors.ErrUnsupported) {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
		return nil
	})
	if !c.segmented.Load() {
		s.MaxSegment = 0
	}
	return s, err
}

func setRTO(t target, r engine.RTO) error {
	err := t.set(optRTO, rtoInfo{
		Initial: milliseconds(r.Initial),
		Max:     milliseconds(r.Max),
		Min:     milliseconds(r.Min),
	})
	var v rtoInfo
	if errors.Is(err, unix.EINVAL) && t.get(optRTO, &v) == nil {
		// The kernel checks what is set together with what is in force.
		r.Min, r.Max = cmp.Or(r.Min, fromMilliseconds(v.Min)), cmp.Or(r.Max, fromMilliseconds(v.Max))
		return cmp.Or(r.Check(), err)
	}
	return err
}

func setAssocParams(t target, p engine.AssocParams) error {
	err := t.set(optAssocInfo, assocParams{
		MaxRxt:     uint16(p.MaxRetransmissions),
		CookieLife: milliseconds(p.CookieLife),
	})
	if errors.Is(err, unix.EINVAL) && p.MaxRetransmissions > 0 {
		// The one limit that depends on the association.
		return fmt.Errorf("%d retransmissions of an association with several paths; allowed are no more than all its paths have together: %w", p.MaxRetransmissions, err)
	}
	return err
}

func setScheduler(t target, s engine.Scheduler) error {
	s = max(s, engine.SchedulerFirstCome)
	err := t.setValue(optScheduler, uint32(s))
	if errors.Is(err, unix.EINVAL) && s > 0 {
		// The number is one that a later kernel has.
		err = fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("no scheduler %q: %w", s, err)
	}
	return err
}

func setPartialDelivery(t target, bytes int) error {
	err := optPartialDelivery.setInt(t.fd, bytes)
	if errors.Is(err, unix.EINVAL) {
		if room, rerr := optReadBuffer.getInt(t.fd); rerr == nil {
			return fmt.Errorf("partial delivery point of %d; allowed are 0 to %d, half the read buffer: %w", bytes, room/2, err)
		}
	}
	return err
}

func setInterleaving(fd int) error {
	if err := optFragmentInterleave.setInt(fd, 2); err != nil {
		return err
	}
	err := optInterleaving.setValue(fd, 1)
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: it needs sysctl net.sctp.intl_enable=1: %w", errors.ErrUnsupported, err)
	}
	return err
}

func (c *conn) SetStreamValue(stream, value uint16) error {
	return c.control(func(fd int) error { return optSchedulerValue.set(fd, streamValue{Stream: stream, Value: value}) })
}

func (c *conn) StreamValue(stream uint16) (uint16, error) {
	return read(c, func(fd int) (uint16, error) {
		v := streamValue{Stream: stream}
		err := optSchedulerValue.get(fd, &v)
		return v.Value, err
	})
}
