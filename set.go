package sctpnet

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/mux"
)

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
	return c.do("set", "Set", config.check(), func() error {
		now, err := c.inForce()
		if err != nil {
			return err
		}
		err = firstError(
			checkSetting(c.network, "Config.", "", config),
			checkSettled(&config, &now),
			checkLater(c.network, "Config.", "", config, now),
			config.checkLimits(&now),
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
func (c *Conn) Config() (Config, error) { return get(c, "get", "Config", nil, c.inForce) }

// inForce returns the settings that are in force.
func (c *Conn) inForce() (Config, error) {
	s, err := c.e.Get(netip.Addr{})
	if err != nil {
		return Config{}, err
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
	return now, nil
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

// checkLimits returns an error for a limit that contradicts another one, perhaps one that
// is in force.
func (c *Config) checkLimits(now *Config) error {
	r := now.RTO
	r.Min, r.Max = cmp.Or(c.RTO.Min, r.Min), cmp.Or(c.RTO.Max, r.Max)
	p := PathParams{
		PotentiallyFailedThreshold: cmp.Or(c.PathParams.PotentiallyFailedThreshold, now.PathParams.PotentiallyFailedThreshold),
		PrimarySwitchoverThreshold: cmp.Or(c.PathParams.PrimarySwitchoverThreshold, now.PathParams.PrimarySwitchoverThreshold),
	}
	return firstError(r.check(), p.check("Config."))
}

// SetPathParams sets the parameters of the path to one of the peer's
// addresses, or with the zero Addr of all paths, as [Conn.Set] does. Fields
// that are zero stay as they are.
//
// They are three options of the system: the thresholds, then the UDP port,
// come after the rest. If one fails, those before it have been set.
func (c *Conn) SetPathParams(addr netip.Addr, p PathParams) error {
	return c.do("set", "SetPathParams", p.check(""), func() error {
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
	return get(c, "get", "PathParams", nil, func() (PathParams, error) { return c.pathParams(addr) })
}

func (c *Conn) pathParams(addr netip.Addr) (p PathParams, err error) {
	s, err := c.e.Get(addr)
	copyFields(&p, &s.PathParams)
	return p, err
}

// SetStreamValue sets a number of an outgoing stream that the scheduler uses
// (SCTP_STREAM_SCHEDULER_VALUE, RFC 8260 section 4.3.3): with
// SchedulerPriority its priority, where the lowest goes first, with
// SchedulerWeighted its weight, from 1. Other schedulers do not use it. The default
// is 0, and as a weight 1.
func (c *Conn) SetStreamValue(stream, value uint16) error {
	return c.do("set", "SetStreamValue", c.checkStream(stream), func() error { return c.e.SetStreamValue(stream, value) })
}

// StreamValue returns the number that the scheduler has of an outgoing stream,
// 0 if it uses none.
func (c *Conn) StreamValue(stream uint16) (uint16, error) {
	return get(c, "get", "StreamValue", c.checkStream(stream), func() (uint16, error) { return c.e.StreamValue(stream) })
}

// set changes the field of Config with a name. v is the new value, which s has for the
// engine.
func (c *Conn) set(name string, v any, check error, s engine.Settings) error {
	return c.do("set", "Set", check, func() error {
		if err := checkSetting(c.network, "Config.", name, v); err != nil {
			return err
		}
		return c.e.Set(netip.Addr{}, s)
	})
}

// setLimits changes limits of what streams may take, but for those that are zero.
func (c *Conn) setLimits(l mux.Limits) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limits = l.Or(c.limits)
	if m := c.mux.Load(); m != nil {
		m.SetLimits(c.limits)
	}
}

func (c *Conn) limitsInForce() mux.Limits {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limits
}
