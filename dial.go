package sctpnet

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// Dial makes an association with the address on the named network. The
// connection is a [*Conn].
//
// Networks are "sctp", "sctp4" (IPv4 only) and "sctp6" (IPv6 only), served by
// the kernel. For the sake of code written for TCP, "tcp", "tcp4" and "tcp6"
// mean the same: see [Dialer.Network]. The networks "sctp+udp", "sctp4+udp" and
// "sctp6+udp", SCTP inside UDP, exist where package udpencap is imported.
//
// The address has the form "host:port", with hosts and ports as in
// [net.Dial]; an empty or unspecified host means this host. If a host name has
// several IP addresses they are tried one after the other, each with a short
// head start, and the first that answers is used (RFC 8305).
//
// A list of hosts, as in "10.0.0.1/[2001:db8::1]:3868", is something else: one
// endpoint that has all of these addresses. The association can use any of
// them, and goes on with another when one fails. A name in a list stands for
// one address. The list may have "," in place of "/": see [Addr.URLHost].
//
// A refused port fails with ECONNREFUSED at once. A peer that is silent fails
// with ETIMEDOUT after half a minute, if no timeout is shorter.
func Dial(network, address string) (net.Conn, error) {
	var d Dialer
	return d.Dial(network, address)
}

// DialTimeout acts like [Dial] but takes a timeout, which includes the
// resolution of a host name. Zero means none, as in [net.DialTimeout].
func DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	d := Dialer{Timeout: timeout}
	return d.Dial(network, address)
}

// A Dialer holds options for dialing. Its zero value is what [Dial] uses.
//
// It is safe to call Dialer's methods concurrently.
type Dialer struct {
	// Network is what the networks "tcp", "tcp4" and "tcp6" mean, which code
	// written for TCP dials: such as "sctp+udp". The 4 or 6 is kept unless Network
	// has its own. Empty means "sctp". A dial to another network is for that.
	Network string

	// Timeout is the most that a dial takes, the resolution of a name
	// included. Zero means no timeout beside that of the handshake (see
	// Config.InitAttempts); a negative one fails at once.
	Timeout time.Duration

	// Deadline is the time at which a dial fails. The earlier of it and
	// Timeout counts. Zero means none.
	Deadline time.Time

	// LocalAddr, if not nil, is an [*Addr] to dial from. Without addresses
	// in it, only the port is bound. If LocalAddr is nil, or has no
	// addresses, the peer is told all the host's addresses of the families
	// that are dialed and may use any of them.
	LocalAddr net.Addr

	// FallbackDelay is the head start that an address of a host name has
	// before the next one is tried at the same time. Zero means 300 ms. If
	// it is negative, addresses are tried one at a time.
	FallbackDelay time.Duration

	// Resolver resolves host names. Nil means [net.DefaultResolver].
	Resolver *net.Resolver

	// Control, if not nil, is called with the socket before it is bound and
	// connected. The network is "sctp4" or "sctp6", by the socket's address
	// family. The address is the endpoint that is dialed, in the form of
	// [Addr.String]; over UDP it is what the UDP socket is to be bound to.
	// Control is ignored if ControlContext is set.
	Control func(network, address string, c syscall.RawConn) error

	// ControlContext is Control with the context of the dial.
	ControlContext func(ctx context.Context, network, address string, c syscall.RawConn) error

	// Config applies to the association.
	Config Config
}

// Dial dials without a context; see func [Dial] for network and address.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext dials like func [Dial] until the context ends: it then leaves no
// association behind, and the error wraps the context's. Once DialContext has
// returned the association is independent of the context.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if ctx == nil {
		panic("nil context")
	}
	if deadline := d.deadline(); !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	name, e, err := lookupNetwork(network, cmp.Or(d.Network, "sctp"))
	if err != nil {
		return nil, dialError("dial", network, nil, nil, err)
	}
	local, err := d.local(name)
	if err != nil {
		return nil, dialError("dial", name, nil, nil, err)
	}
	s, asked, err := d.socket(name, local)
	if err != nil {
		return nil, dialError("dial", name, nil, nil, err)
	}
	addrs, err := d.resolve(ctx, name, address, local)
	if err != nil {
		return nil, dialError("dial", name, nil, nil, contextError(err))
	}
	c, err := d.race(ctx, addrs, func(ctx context.Context, addr *Addr) (*Conn, error) {
		c, err := dialOne(ctx, e, s, addr)
		if err != nil {
			return nil, dialError("dial", name, local, addr, contextError(err))
		}
		return newConn(c, name, false, asked), nil
	})
	if err != nil {
		return nil, err
	}
	c.startEvents()
	return c, nil
}

func dialOne(ctx context.Context, e engine.Engine, s *engine.Socket, addr *Addr) (engine.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if addr.Port == 0 {
		// The kernel would say EINVAL of nothing in particular.
		return nil, &net.AddrError{Err: "port 0 cannot be dialed", Addr: addr.String()}
	}
	for range dialsOfSelf {
		c, err := e.Dial(ctx, s, addr.engine())
		if err != nil || s.Local != nil && s.Local.Port != 0 || !isSelf(c) {
			return c, err
		}
		c.Abort()
	}
	return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
}

// dialsOfSelf is how often a dial may meet itself. The system may choose the very
// port that is dialed, and an endpoint that meets itself makes an association
// (RFC 9260 section 5.2.1), where TCP has the same. As in package net, the dial
// then begins anew.
const dialsOfSelf = 3

// isSelf reports whether both ends of an association are the same.
func isSelf(c engine.Conn) bool {
	if c.LocalAddr().Port != c.RemoteAddr().Port {
		return false
	}
	peer := c.PeerAddrs()
	return slices.ContainsFunc(c.LocalAddrs(), func(ip netip.Addr) bool { return slices.Contains(peer, ip) })
}

// deadline returns the earlier of Deadline and that of Timeout, or zero.
func (d *Dialer) deadline() time.Time {
	deadline := d.Deadline
	if d.Timeout != 0 {
		if t := time.Now().Add(d.Timeout); deadline.IsZero() || t.Before(deadline) {
			deadline = t
		}
	}
	return deadline
}

// socket returns the Dialer as the engine takes it, and its Config with the defaults.
func (d *Dialer) socket(network string, local *Addr) (*engine.Socket, *Config, error) {
	options, asked, err := d.Config.settle(network, false)
	if err != nil {
		return nil, nil, err
	}
	s := &engine.Socket{Network: family(network), Control: d.ControlContext, Options: options}
	if s.Control == nil && d.Control != nil {
		s.Control = func(_ context.Context, network, address string, c syscall.RawConn) error {
			return d.Control(network, address, c)
		}
	}
	if local != nil {
		s.Local = local.engine()
	}
	return s, asked, nil
}

// local returns a copy of LocalAddr, nil for none.
func (d *Dialer) local(network string) (*Addr, error) {
	if d.LocalAddr == nil {
		return nil, nil
	}
	local, ok := d.LocalAddr.(*Addr)
	if !ok {
		return nil, &net.AddrError{Err: fmt.Sprintf("mismatched local address type %T: want *sctpnet.Addr", d.LocalAddr), Addr: d.LocalAddr.String()}
	}
	if local == nil {
		return nil, nil
	}
	if local.Port < 0 || local.Port > most16 {
		return nil, &net.AddrError{Err: "no local port; allowed are 0 to 65535", Addr: local.String()}
	}
	local = clone(local)
	local.Net = anyFamily(network)
	if isWildcard(local) && family(network) == "sctp6" {
		local.IPAddrs = nil // 0.0.0.0 too, as package net
	}
	for _, ip := range local.IPAddrs {
		if err := checkFamily(network, ip); len(ip.IP) > 0 && err != nil {
			return nil, err
		}
	}
	return local, nil
}

// resolve returns the endpoints to dial from a local address, in order.
func (d *Dialer) resolve(ctx context.Context, network, address string, local *Addr) ([]*Addr, error) {
	if address == "" {
		return nil, errMissingAddress
	}
	addrs, err := resolve(ctx, d.Resolver, network, address)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 1 && isWildcard(addrs[0]) {
		if local != nil && family(network) == "sctp" && slices.ContainsFunc(local.IPAddrs, isIPv6) {
			network = "sctp6" // this host, from an IPv6 address
		}
		addrs = loopback(network, addrs[0])
	}
	if addrs, err = dialable(addrs); err != nil {
		return nil, err
	}
	if local == nil || isWildcard(local) {
		return addrs, nil
	}
	// Only a family that the local address has can be dialed from it.
	var usable []*Addr
	for _, a := range addrs {
		if sharesFamily(local, a) {
			usable = append(usable, a)
		}
	}
	if len(usable) == 0 {
		return nil, &net.AddrError{Err: "no suitable address found from local address " + local.String(), Addr: address}
	}
	return usable, nil
}

// dialable returns the endpoints that can be dialed, or if there are none, why the first
// one cannot.
func dialable(addrs []*Addr) (usable []*Addr, first error) {
	for _, a := range addrs {
		if err := checkDialed(a); err == nil {
			usable = append(usable, a)
		} else if first == nil {
			first = err
		}
	}
	if len(usable) > 0 {
		return usable, nil
	}
	return nil, first
}

const defaultFallbackDelay = 300 * time.Millisecond

// race dials the addresses as RFC 8305 says: families in turn, the next one
// when its predecessor has failed or had its head start. The first association
// is returned, otherwise the error of the first address. All attempts are over
// when race returns.
func (d *Dialer) race(ctx context.Context, addrs []*Addr, dial func(context.Context, *Addr) (*Conn, error)) (*Conn, error) {
	if len(addrs) == 1 {
		return dial(ctx, addrs[0])
	}
	addrs = interleave(addrs)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	type result struct {
		index int
		conn  *Conn
		err   error
	}
	results := make(chan result)
	started, running := 0, 0
	start := func() {
		i, ctx, cancel := started, ctx, func() {}
		if d.FallbackDelay < 0 {
			// One at a time: each has a fair part of the time that is left.
			ctx, cancel = partOfDeadline(ctx, len(addrs)-i)
		}
		go func() {
			defer cancel()
			c, err := dial(ctx, addrs[i])
			results <- result{i, c, err}
		}()
		started++
		running++
	}

	delay := d.FallbackDelay
	if delay == 0 {
		delay = defaultFallbackDelay
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	if delay < 0 {
		timer.Stop()
	}

	var winner *Conn
	var firstErr error
	start()
	for running > 0 {
		select {
		case <-timer.C:
		case r := <-results:
			running--
			switch {
			case r.err == nil && winner == nil:
				winner = r.conn
				cancel()
			case r.err == nil:
				r.conn.Abort() // too late
			case r.index == 0:
				firstErr = r.err
			}
		}
		if winner == nil && ctx.Err() == nil && started < len(addrs) {
			start()
			if delay > 0 {
				timer.Reset(delay)
			}
		}
	}
	if winner != nil {
		return winner, nil
	}
	return nil, firstErr
}

// interleave orders addresses by family in turn, the first one's first, and
// leaves the order within a family.
func interleave(addrs []*Addr) []*Addr {
	var families [2][]*Addr
	for _, a := range addrs {
		i := 0
		if isIPv4(a.IPAddrs[0]) != isIPv4(addrs[0].IPAddrs[0]) {
			i = 1
		}
		families[i] = append(families[i], a)
	}
	var out []*Addr
	for i := range addrs {
		for _, f := range families {
			if i < len(f) {
				out = append(out, f[i])
			}
		}
	}
	return out
}

// partOfDeadline limits ctx to the time until its deadline divided by n, but
// to no less than 2 s, as package net does.
func partOfDeadline(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	part := max(time.Until(deadline)/time.Duration(n), 2*time.Second)
	return context.WithTimeout(ctx, part)
}
