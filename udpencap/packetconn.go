package udpencap

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/fifo"
)

var (
	_ engine.Packeter   = udpEngine{}
	_ engine.PacketConn = (*packetConn)(nil)
)

// A packetConn is a one-to-many socket: a listener and associations, which tell it when
// there is something to receive.
type packetConn struct {
	l       *listener
	options engine.Options // of the associations
	events  bool           // all of them are wanted

	// receiving is held while one thing is received and taken, and entering while an
	// association is added.
	receiving, entering sync.Mutex

	delivery engine.Delivery // of what is being taken

	mu      sync.Mutex // held after that of an assoc, not before
	some    sync.Cond  // there is something to receive, or the one that waits is to look
	woken   bool       // the patient Recv that is under way, or else the next one
	readBy  waiting
	writeBy time.Time
	ready   fifo.Queue[*assoc] // that have something
	assocs  map[engine.AssocID]*assoc
	byPeer  map[peer]*assoc // the last one with each
	last    engine.AssocID
	closed  bool
}

// A member is what a packetConn knows of an association.
type member struct {
	of        *packetConn // nil if it is none's
	id        engine.AssocID
	restarted bool // by the peer: the next one goes on with its id

	// Under the packetConn's mutex.
	after   *assoc // with the same peer, which has something to receive before this one,
	goesOn  bool   // and whose id it has; until it is told to be up
	isReady bool   // it is in ready
	told    bool   // that it has ended
	left    bool   // nothing of it is to be received any more
}

// ListenPacket makes a one-to-many socket.
func (udpEngine) ListenPacket(ctx context.Context, s *engine.Socket, autoClose time.Duration) (engine.PacketConn, error) {
	if autoClose != 0 {
		return nil, unsupported(closesIdle)
	}
	socket := *s
	socket.Options.Events = true // to know of ends
	c := &packetConn{
		events: s.Options.Events,
		assocs: make(map[engine.AssocID]*assoc),
		byPeer: make(map[peer]*assoc),
	}
	c.some.L = &c.mu
	c.readBy.init(&c.mu, &c.some)
	if _, err := newListener(ctx, &socket, c); err != nil {
		return nil, err
	}
	return c, nil
}

// enter adds an association, also to the port, unless that has one with the peer
// already. The caller holds a.mu, and nothing has come for a yet.
func (c *packetConn) enter(a *assoc) bool {
	c.entering.Lock()
	defer c.entering.Unlock()
	if !c.l.port.use() {
		return false
	}
	if !c.l.port.add(a) {
		c.l.port.release()
		return false
	}
	if !c.join(a) {
		c.l.port.remove(a)
		return false
	}
	return true
}

// join has an association be a member, unless the socket is closed.
func (c *packetConn) join(a *assoc) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	m := &a.many
	m.of = c
	if before := c.byPeer[a.peer]; before != nil && !before.many.left {
		m.after = before
		if before.many.restarted {
			m.id, m.goesOn = before.many.id, true
		}
	}
	if m.id == 0 {
		c.last++
		m.id = c.last
	}
	c.assocs[m.id], c.byPeer[a.peer] = a, a
	a.writeBy.set(c.writeBy)
	return true
}

// leave removes an association.
func (c *packetConn) leave(a *assoc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.many.left = true
	if c.assocs[a.many.id] == a {
		delete(c.assocs, a.many.id)
	}
	if c.byPeer[a.peer] == a {
		delete(c.byPeer, a.peer)
	}
}

// tellMany tells the one-to-many socket, if the association is of one, that there is
// something to receive.
func (a *assoc) tellMany() {
	if c := a.many.of; c != nil {
		c.mark(a)
	}
}

func (c *packetConn) mark(a *assoc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !a.many.isReady && !a.many.left {
		a.many.isReady = true
		c.ready.Push(a)
		c.some.Signal()
	}
}

// next waits for an association that may have something to receive. It returns nil if
// it is patient and is woken.
func (c *packetConn) next(patient bool) (*assoc, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return nil, net.ErrClosed
		case patient && c.woken:
			c.woken = false
			return nil, nil
		case !patient && c.readBy.isPast():
			return nil, os.ErrDeadlineExceeded
		case c.ready.Len() > 0:
			a := c.ready.Pop()
			a.many.isReady = false
			if a.many.left {
				continue
			}
			return a, nil
		}
		c.some.Wait()
	}
}

// Recv receives.
func (c *packetConn) Recv(p []byte, patient bool, t engine.Taker) error {
	for {
		a, err := c.next(patient)
		if a == nil || err != nil {
			return err
		}
		if c.take(a, p, t) {
			return nil
		}
	}
}

// Wake has a patient Recv return.
func (c *packetConn) Wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.woken = true
	c.some.Broadcast()
}

// take receives one thing and has it taken.
func (c *packetConn) take(a *assoc, p []byte, t engine.Taker) (enough bool) {
	c.receiving.Lock()
	defer c.receiving.Unlock()
	c.mu.Lock()
	m := &a.many
	left, before := m.left, m.after
	waits := before != nil && !before.many.left
	c.mu.Unlock()
	switch {
	case left:
		return false
	case waits:
		c.mark(before)
		c.mark(a)
		return false
	}
	n, msg, err := a.recvOwned(p)
	if err == engine.ErrNothing {
		return false
	}
	d := &c.delivery
	*d = engine.Delivery{Assoc: m.id, From: netip.AddrPortFrom(a.peer.ip, a.peer.port), Data: p[:n], Message: msg}
	defer func() { *d = engine.Delivery{} }()
	if err != nil {
		c.leave(a)
		if m.told || m.restarted {
			return false
		}
		d.Event = endOf(a, err)
		return t.Take(d)
	}
	c.mark(a) // there may be more
	if e, ok := d.Event.(engine.AssocEvent); ok {
		switch {
		case e.Change == engine.AssocRestarted:
			return false // the next one tells
		case e.Change == engine.AssocUp:
			if m.goesOn {
				e.Change = engine.AssocRestarted
				d.Event = e
			}
			c.begin(m)
		default:
			m.told = true
			c.leave(a)
		}
	} else if d.Event != nil && !c.events {
		return false
	}
	return t.Take(d)
}

// begin takes note that an association is up, and what comes before it was received.
func (c *packetConn) begin(m *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.after, m.goesOn = nil, false
}

// endOf is the event of an end that has none.
func endOf(a *assoc, err error) engine.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.wasEstablished() {
		return engine.AssocEvent{Change: engine.AssocNotMade, Err: err}
	}
	return engine.AssocEvent{Change: engine.AssocLost}
}

// get returns an association.
func (c *packetConn) get(id engine.AssocID) (*assoc, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, net.ErrClosed
	}
	if a := c.assocs[id]; a != nil {
		return a, nil
	}
	return nil, engine.ErrEnded
}

// Send sends p. It waits for the handshake.
func (c *packetConn) Send(p []byte, m engine.Message, id engine.AssocID) error {
	a, err := c.get(id)
	if err != nil {
		return err
	}
	a.mu.Lock()
	for a.state < engine.StateEstablished && a.state != engine.StateClosed && err == nil {
		if a.closed {
			err = net.ErrClosed
		} else if a.writeBy.isPast() {
			err = os.ErrDeadlineExceeded
		} else {
			a.writable.Wait()
		}
	}
	a.mu.Unlock()
	if err == nil {
		_, err = a.send(p, 0, m, true, false)
	}
	if err != nil && a.isEnded() {
		err = engine.ErrEnded
	}
	return c.errorOf(err)
}

// errorOf is the error of a call for an association. That is closed with c, or by the
// one that peeled it off meanwhile.
func (c *packetConn) errorOf(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil && c.closed:
		return net.ErrClosed
	case err == net.ErrClosed:
		return engine.ErrEnded
	}
	return err
}

// Connect begins an association.
func (c *packetConn) Connect(remote *engine.Addr, begun func(id engine.AssocID, isNew bool)) error {
	if len(remote.IPAddrs) != 1 {
		return unsupported(severalAddresses)
	}
	key := peer{toIP(remote.IPAddrs[0]), uint16(remote.Port)}
	c.receiving.Lock()
	defer c.receiving.Unlock()
	if id := c.Find(netip.AddrPortFrom(key.ip, key.port)); id != 0 {
		begun(id, false)
		return nil
	}
	from := anyOf(key.ip)
	if c.l.bound {
		from = toIP(c.l.addr.IPAddrs[0])
	}
	localIP, err := localTo(from, netip.AddrPortFrom(key.ip, key.port))
	if err != nil {
		return err
	}
	a := newAssoc(c.l.port, key, c.options)
	a.setAddrs(localIP)
	var again time.Duration
	a.mu.Lock()
	isNew := c.enter(a)
	if isNew {
		again = a.beginDialing(portsOf(&c.options, remote))
	}
	a.mu.Unlock()
	if !isNew {
		if id := c.Find(netip.AddrPortFrom(key.ip, key.port)); id != 0 {
			begun(id, false) // the peer was faster
			return nil
		}
		if c.l.port.findPeer(key) == nil { // it has just ended
			return c.errorOf(os.NewSyscallError("connect", syscall.EADDRINUSE))
		}
		return c.errorOf(engine.ErrPeeledOff)
	}
	begun(a.many.id, true)
	// How it ends is received, as all that comes for the association.
	go a.awaitHandshake(context.Background(), again)
	return nil
}

// Find returns the association with a peer.
func (c *packetConn) Find(at netip.AddrPort) engine.AssocID {
	key := peer{at.Addr(), at.Port()}
	c.entering.Lock()
	defer c.entering.Unlock()
	c.mu.Lock()
	a := c.byPeer[key]
	c.mu.Unlock()
	if a == nil || c.l.port.findPeer(key) != a {
		return 0 // or it has ended, which has not been received yet
	}
	return a.many.id
}

// Assocs returns all associations.
func (c *packetConn) Assocs() ([]engine.AssocID, error) {
	all, err := c.all()
	var ids []engine.AssocID
	for _, a := range all {
		if !a.isEnded() {
			ids = append(ids, a.many.id)
		}
	}
	return ids, err
}

// all returns all associations, also those that have ended and have something to
// receive.
func (c *packetConn) all() (all []*assoc, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, net.ErrClosed
	}
	return slices.Collect(maps.Values(c.assocs)), nil
}

// of asks for something of an association.
func of[T any](c *packetConn, id engine.AssocID, get func(a *assoc) (T, error)) (v T, err error) {
	a, err := c.get(id)
	if err == nil {
		v, err = get(a)
	}
	return v, c.errorOf(err)
}

func (c *packetConn) PeerAddr(id engine.AssocID) (*engine.Addr, error) {
	return of(c, id, func(a *assoc) (*engine.Addr, error) { return a.remote, nil })
}

func (c *packetConn) Status(id engine.AssocID) (engine.Status, error) {
	return of(c, id, (*assoc).Status)
}

func (c *packetConn) Paths(id engine.AssocID) ([]engine.Path, error) {
	return of(c, id, (*assoc).Paths)
}
func (c *packetConn) Stats(id engine.AssocID) (engine.Stats, error) { return of(c, id, (*assoc).Stats) }

func (c *packetConn) Set(id engine.AssocID, s engine.Settings) error {
	return c.with(id, func(a *assoc) error { return a.Set(netip.Addr{}, s) })
}

func (c *packetConn) with(id engine.AssocID, f func(a *assoc) error) error {
	_, err := of(c, id, func(a *assoc) (struct{}, error) { return struct{}{}, f(a) })
	return err
}

func (c *packetConn) Shutdown(id engine.AssocID) error { return c.with(id, (*assoc).Shutdown) }

// Abort ends an association. What has arrived of it is still received.
func (c *packetConn) Abort(id engine.AssocID) error {
	return c.with(id, func(a *assoc) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.awaitPump()
		a.abort()
		return nil
	})
}

// goesOn reports whether an association goes on with the id of its peer's former life, and
// nobody was told of that yet.
func (c *packetConn) goesOn(a *assoc) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return a.many.goesOn
}

// PeelOff gives an association away.
func (c *packetConn) PeelOff(id engine.AssocID, held func() []engine.Msg) (engine.Conn, error) {
	c.receiving.Lock()
	defer c.receiving.Unlock()
	a, err := c.get(id)
	if err != nil {
		return nil, err
	}
	for c.goesOn(a) {
		// The taker does not know of this life yet, and has messages of the one before.
		c.leave(a)
		a.Abort()
		a = a.many.after
	}
	c.leave(a)
	msgs := held()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.many.of = nil
	a.options.Events = c.events
	a.rx.giveBack(msgs)
	a.writeBy.set(time.Time{})
	return a, nil
}

// Close ends all associations.
func (c *packetConn) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	all := slices.Collect(maps.Values(c.assocs))
	c.readBy.timer.end()
	c.some.Broadcast()
	c.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	err := c.l.Close()
	for _, a := range all {
		if !a.giveUp() {
			a.Close()
		}
	}
	return err
}

// giveUp ends a handshake that is under way. It reports whether there was one.
func (a *assoc) giveUp() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state >= engine.StateEstablished || a.state == engine.StateClosed {
		return false
	}
	a.abandon(net.ErrClosed)
	return true
}

func (c *packetConn) LocalAddr() *engine.Addr { return c.l.addr }

func (c *packetConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.readBy.set(t)
	return nil
}

func (c *packetConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.writeBy = t
	c.mu.Unlock()
	all, err := c.all()
	for _, a := range all {
		a.SetWriteDeadline(t)
	}
	return err
}

func (c *packetConn) MaxMessageSize() (int, error) {
	return min(bufferSize(c.options.WriteBuffer), kernelMessageSize), nil // which every peer takes
}

func (c *packetConn) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }
func (c *packetConn) File() (*os.File, error)               { return nil, errors.ErrUnsupported }
