package sctpnet

import (
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// An inbox is what has come to a PacketConn and was not read. It is under the
// PacketConn's mutex, but for what only the call that receives uses.
type inbox struct {
	most int // bytes that are kept of a peer's messages that are not whole

	letters []letter // whole messages, and events
	bytes   int      // that they take
	waits   *assoc   // the one that Connect waits for
	ended   *assoc   // the last one that has: there may be events of it yet

	// Of the call that receives:
	inPlace bool   // the next message can stay where it was received
	placed  letter // it has
	event   event  // for the handler
	pieces  bool   // a piece has come that was not the last one of its message
}

// A letter is a message, or what is left of it. Or it is an event that waits for the
// messages before it to be read, and from is nil.
type letter struct {
	from  *assoc
	data  []byte
	msg   engine.Message
	event event
}

// letterSize is about what a letter takes beside its data.
const letterSize = 200

// size is how many bytes a letter counts for, with what it takes beside its data.
func (l *letter) size() int { return len(l.data) + letterSize }

// An event is one that the handler has to be told.
type event struct {
	peer *Addr
	what engine.Event
}

// mostWaiting is how many bytes of letters Connect keeps for ReadFrom.
const mostWaiting = 1 << 20

// ReadFrom reads the next message, whole, into p, and returns the [*Addr] of its
// peer. What p does not hold is lost, as with UDP. It waits for one until the read
// deadline. The end of an association is no error: [ListenConfig.OnEvent] tells.
func (c *PacketConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, _, a, err := c.read(p, false)
	if a == nil {
		return n, nil, err
	}
	return n, a, err
}

// ReadMsg reads the next message as ReadFrom does, and describes it. If p does not
// hold all of it, info.More is set, and the next ReadMsg goes on with it.
//
// A message that comes in pieces is put together first. Config.StreamMemory limits
// what is kept of a peer's; the association with a peer that exceeds it is aborted.
func (c *PacketConn) ReadMsg(p []byte) (n int, info MsgInfo, peer *Addr, err error) {
	n, msg, peer, err := c.read(p, true)
	return n, msgInfo(msg), peer, err
}

// read reads a message, and keeps what p does not hold if that is wanted.
func (c *PacketConn) read(p []byte, keep bool) (int, engine.Message, *Addr, error) {
	if !c.ok() {
		return 0, engine.Message{}, nil, syscall.EINVAL
	}
	if err := c.beginRead(); err != nil {
		return 0, engine.Message{}, nil, c.opError("read", nil, err)
	}
	defer c.endRead()
	n, msg, a, err := c.receive(p, keep)
	return n, msg, a, c.opError("read", nil, err)
}

// beginRead waits until no other call receives, or calls the handler.
func (c *PacketConn) beginRead() error {
	for !c.tryRead() {
		c.mu.Lock()
		if c.moved == nil {
			c.moved = make(chan struct{})
		}
		by, moved, isClosed := c.readBy, c.moved, c.closed.Load()
		c.mu.Unlock()
		if isClosed {
			return net.ErrClosed
		}
		var passed <-chan time.Time
		if !by.IsZero() {
			passed = time.After(time.Until(by))
		}
		select {
		case c.reading <- struct{}{}:
			return nil
		case <-passed:
			return os.ErrDeadlineExceeded
		case <-moved:
		}
	}
	return nil
}

func (c *PacketConn) tryRead() bool {
	select {
	case c.reading <- struct{}{}:
		return true
	default:
		return false
	}
}

func (c *PacketConn) endRead() { <-c.reading }

// leastPlace is how much memory a caller must have given to receive into it.
const leastPlace = 2 << 10

// receive is read without what it holds.
func (c *PacketConn) receive(p []byte, keep bool) (int, engine.Message, *Addr, error) {
	place := p
	var borrowed *[64 << 10]byte
	defer func() {
		if borrowed != nil {
			pieces.Put(borrowed)
		}
	}()
	for {
		c.mu.Lock()
		e := c.nextEvent()
		var n int
		var msg engine.Message
		var a *Addr
		var err error
		if e.what == nil {
			n, msg, a, err = c.unread(p, keep)
		}
		c.mu.Unlock()
		switch {
		case e.what != nil:
			c.tell(e)
			continue
		case a != nil || err != nil:
			return n, msg, a, err
		}
		in := &c.inbox
		if borrowed == nil && (len(p) < leastPlace || in.pieces) {
			borrowed = pieces.Get().(*[64 << 10]byte)
			place = borrowed[:]
		}
		in.pieces = false
		if err := c.pull(place, true); err != nil {
			return 0, engine.Message{}, nil, err
		}
		if l := in.placed; l.from != nil {
			in.placed = letter{}
			n, msg := copy(p, l.data), l.msg
			if n < len(l.data) && keep {
				msg.More = true
				c.keep(letter{from: l.from, data: slices.Clone(l.data[n:]), msg: l.msg})
			}
			return n, msg, l.from.addr, nil
		}
	}
}

// nextEvent takes an event that is to be told before what there is to read. The
// caller holds the mutex.
func (c *PacketConn) nextEvent() event {
	in := &c.inbox
	e := in.event
	in.event = event{}
	if e.what == nil && len(in.letters) > 0 && in.letters[0].from == nil && !c.closed.Load() {
		e = in.letters[0].event
		in.drop()
	}
	return e
}

// tell has the handler know of an event.
func (c *PacketConn) tell(e event) {
	if what := newEvent(e.what); c.asked.wants(what) {
		c.onEvent(c, e.peer, what)
	}
}

// unread reads what was received before. The caller holds the mutex.
func (c *PacketConn) unread(p []byte, keep bool) (int, engine.Message, *Addr, error) {
	in := &c.inbox
	switch {
	case len(in.letters) == 0:
		return 0, engine.Message{}, nil, nil
	case c.closed.Load():
		return 0, engine.Message{}, nil, net.ErrClosed
	case !c.readBy.IsZero() && !time.Now().Before(c.readBy):
		return 0, engine.Message{}, nil, os.ErrDeadlineExceeded
	}
	l := &in.letters[0]
	n := copy(p, l.data)
	msg, a := l.msg, l.from.addr
	if n < len(l.data) && keep {
		msg.More = true
		l.data = l.data[n:]
		in.bytes -= n
		return n, msg, a, nil
	}
	in.drop()
	return n, msg, a, nil
}

// drop removes the first letter.
func (in *inbox) drop() {
	in.bytes -= in.letters[0].size()
	in.letters[0] = letter{}
	in.letters = in.letters[1:]
	if len(in.letters) == 0 {
		in.letters = nil
	}
}

// holds reports whether messages have been received that nobody has read, or parts of
// them.
func (c *PacketConn) holds() bool {
	for _, l := range c.inbox.letters {
		if l.from != nil {
			return true
		}
	}
	for _, p := range c.peers {
		if len(p.begun.begun) > 0 {
			return true
		}
	}
	return false
}

// keep puts what is left of a message before all others.
func (c *PacketConn) keep(l letter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inbox.letters = slices.Insert(c.inbox.letters, 0, l)
	c.inbox.bytes += l.size()
}

// pull receives into p, until there is something to read or to tell. A message may
// stay in p. If it does not wait it receives what there is.
func (c *PacketConn) pull(p []byte, wait bool) error {
	c.inbox.inPlace = wait
	return c.e.Recv(p, wait, (*taker)(c))
}

// look receives what there is for Connect, which waits for an association, unless
// somebody reads.
func (c *PacketConn) look(p *assoc) error {
	if !c.tryRead() {
		return nil
	}
	defer c.endRead()
	b := pieces.Get().(*[64 << 10]byte)
	defer pieces.Put(b)
	c.wait(p)
	defer c.wait(nil)
	for c.hasRoom() {
		if err := c.pull(b[:], false); err != nil {
			return err
		}
		c.mu.Lock()
		e := c.nextEvent()
		c.mu.Unlock()
		if e.what == nil {
			return nil
		}
		c.tell(e)
	}
	return nil
}

func (c *PacketConn) wait(p *assoc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inbox.waits = p
}

func (c *PacketConn) hasRoom() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inbox.bytes < mostWaiting
}

// A taker is a PacketConn to its engine.
type taker PacketConn

// Take takes what was received.
func (t *taker) Take(d *engine.Delivery) (enough bool) { return (*PacketConn)(t).take(d) }

func (c *PacketConn) take(d *engine.Delivery) (enough bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.meetTaken(d.Assoc, d.From)
	if d.Event != nil {
		return c.takeEvent(p, d.Event)
	}
	in := &c.inbox
	if p.aborted {
		return false
	}
	if !d.More && len(p.begun.begun) == 0 {
		if in.inPlace {
			in.placed = letter{from: p, data: d.Data, msg: d.Message}
			return true
		}
		return c.post(letter{from: p, data: slices.Clone(d.Data), msg: d.Message})
	}
	in.pieces = true
	m, exceeds := p.begun.add(d.Data, d.Message, false, in.most, c.interleaves)
	switch {
	case exceeds, p.begun.size() > in.most:
		p.begun, p.aborted = assembler{}, true
		c.e.Abort(p.id) // an event will tell
	case !d.More && !m.tooLarge:
		return c.post(letter{from: p, data: m.data, msg: m.first})
	}
	return in.inPlace // the next piece may find more memory
}

// post keeps a message for ReadFrom.
func (c *PacketConn) post(l letter) (enough bool) {
	in := &c.inbox
	in.letters = append(in.letters, l)
	in.bytes += l.size()
	return in.inPlace || in.bytes >= mostWaiting
}

func (c *PacketConn) interleaves() bool { return c.asked.Interleaving }

// refresh asks which addresses a peer has.
func (c *PacketConn) refresh(p *assoc) {
	if a, err := c.e.PeerAddr(p.id); err == nil {
		c.assign(p, addrPorts(a))
	}
}

// takeEvent keeps the table of peers.
func (c *PacketConn) takeEvent(p *assoc, e engine.Event) (enough bool) {
	switch e := e.(type) {
	case engine.AssocEvent:
		switch e.Change {
		case engine.AssocUp:
			c.refresh(p)
			p.up = true
			p.settle()
		case engine.AssocRestarted:
			c.refresh(p)
			p.begun, p.aborted = assembler{}, false
		case engine.AssocNotMade:
			c.remove(p, e.Err)
		case engine.AssocLost, engine.AssocEnded:
			c.remove(p, syscall.EPIPE)
		}
	case engine.PathEvent:
		switch {
		case p.ended != nil:
		case e.Change == engine.PathAdded, e.Change == engine.PathRemoved:
			c.refresh(p)
		}
	}
	in := &c.inbox
	switch what := (event{p.addr, e}); {
	case c.onEvent == nil:
	case len(in.letters) > 0:
		return c.post(letter{event: what}) || in.waits == p
	default:
		in.event = what
		return true
	}
	return in.waits == p
}
