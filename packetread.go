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
	most int // bytes that are kept of an association's messages that are not whole

	letters []letter // whole messages, and events
	bytes   int      // that they take
	full    bool     // so that Connect waits
	readers int      // calls that wait to read
	awaited *assoc   // the one that Connect receives for
	ended   *assoc   // the last one that has ended: events of it may still come

	isUnsorted   bool // letters may be at the wrong place
	mostUnsorted int  // bytes of them that are kept until they are sorted all the same

	// Of the call that receives:
	inPlace bool   // the next message can stay where it was received
	placed  letter // the message that has stayed there
	event   event  // for the handler
	pieces  bool   // a piece has come that was not the last one of its message
}

// A letter is a message, or what is left of it. Or it is an event that waits for the
// messages before it to be read, and from is nil.
type letter struct {
	from  *assoc
	life  int // of from
	data  []byte
	msg   engine.Message
	event event
}

// letterSize is about what a letter takes beside its data.
const letterSize = 200

// size is how many bytes a letter counts for.
func (l *letter) size() int { return len(l.data) + letterSize }

// An event is for the handler.
type event struct {
	peer *Addr
	what engine.Event
}

// mostWaiting is how many bytes of letters Connect keeps for ReadFrom.
const mostWaiting = 1 << 20

// ReadFrom reads the next message, whole, into p, and returns the [*Addr] of its
// peer. What p does not hold is lost, as with UDP. ReadFrom waits for a message until
// the read deadline or Close. The end of an association is no error:
// [ListenConfig.OnEvent] tells.
func (c *PacketConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, _, peer, err := c.read(p, false)
	if peer == nil {
		return n, nil, err
	}
	return n, peer, err
}

// ReadMsg reads the next message as ReadFrom does, and describes it. If p does not
// hold all of it, info.More is set, and the next ReadMsg goes on with it.
//
// A message that comes in pieces is put together first. One that the peer gave up in
// the middle ([MsgInfo.TTL]) is dropped. Config.StreamMemory limits what is kept of an
// association's; one that exceeds it is aborted.
func (c *PacketConn) ReadMsg(p []byte) (n int, info MsgInfo, peer *Addr, err error) {
	n, msg, peer, err := c.read(p, true)
	return n, msgInfo(msg), peer, err
}

// read reads a message. If keepRest is set, the next call goes on with what p does not
// hold.
func (c *PacketConn) read(p []byte, keepRest bool) (int, engine.Message, *Addr, error) {
	if !c.ok() {
		return 0, engine.Message{}, nil, syscall.EINVAL
	}
	if err := c.beginRead(); err != nil {
		return 0, engine.Message{}, nil, c.opError("read", nil, err)
	}
	defer c.endRead()
	n, msg, peer, err := c.receive(p, keepRest)
	return n, msg, peer, c.opError("read", nil, err)
}

// beginRead waits until no other call receives, or calls the handler.
func (c *PacketConn) beginRead() error {
	if c.tryRead() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inbox.readers++
	defer c.endWait()
	for {
		by, moved, isClosed := c.readBy, c.whenMoved(), c.closed.Load()
		if isClosed {
			return net.ErrClosed
		}
		if c.inbox.awaited != nil {
			c.e.Wake() // Connect receives only while nobody reads
		}
		c.mu.Unlock()
		began, isLate := c.awaitTurn(by, moved)
		c.mu.Lock()
		switch {
		case began:
			return nil
		case isLate:
			return os.ErrDeadlineExceeded
		}
	}
}

// awaitTurn waits for the turn to receive, until the deadline or until that may have moved.
func (c *PacketConn) awaitTurn(by time.Time, moved <-chan struct{}) (began, isLate bool) {
	var passed <-chan time.Time
	if !by.IsZero() {
		passed = time.After(time.Until(by))
	}
	select {
	case c.reading <- struct{}{}:
		return true, false
	case <-passed:
		return false, true
	case <-moved:
		return false, false
	}
}

// endWait lets Connect receive again if no call waits to read any more. The caller holds
// the mutex.
func (c *PacketConn) endWait() {
	in := &c.inbox
	if in.readers--; in.readers == 0 {
		c.wakeWaiting()
	}
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

// receive is read for the one call at a time that receives.
func (c *PacketConn) receive(p []byte, keepRest bool) (int, engine.Message, *Addr, error) {
	place := p
	var borrowed *buffer
	defer func() {
		if borrowed != nil {
			buffers.Put(borrowed)
		}
	}()
	for {
		c.mu.Lock()
		e := c.nextEvent()
		var n int
		var msg engine.Message
		var peer *Addr
		var err error
		if e.what == nil && !c.inbox.isUnsorted {
			n, msg, peer, err = c.unread(p, keepRest)
		}
		c.mu.Unlock()
		switch {
		case e.what != nil:
			c.tell(e)
			continue
		case peer != nil || err != nil:
			return n, msg, peer, err
		}
		in := &c.inbox
		if borrowed == nil && (len(p) < leastPlace || in.pieces) {
			borrowed = buffers.Get().(*buffer)
			place = borrowed[:]
		}
		in.pieces = false
		in.inPlace = true
		if err := c.e.Recv(place, false, (*taker)(c)); err != nil {
			return 0, engine.Message{}, nil, err
		}
		if l := in.placed; l.from != nil {
			in.placed = letter{}
			n, msg := copy(p, l.data), l.msg
			if n < len(l.data) && keepRest {
				msg.More = true
				c.putBack(letter{from: l.from, life: l.life, data: slices.Clone(l.data[n:]), msg: l.msg})
			}
			return n, msg, l.from.addr, nil
		}
	}
}

// nextEvent takes an event that is to be told before what there is to read. The
// caller holds the mutex.
func (c *PacketConn) nextEvent() event {
	if c.closed.Load() {
		return event{}
	}
	in := &c.inbox
	e := in.event
	in.event = event{}
	if e.what == nil && len(in.letters) > 0 && in.letters[0].from == nil && !in.isUnsorted {
		e = in.letters[0].event
		c.drop()
	}
	return e
}

// tell calls the handler.
func (c *PacketConn) tell(e event) {
	if what := newEvent(e.what); c.asked.wants(what) {
		c.onEvent(c, e.peer, what)
	}
}

// unread reads what was received before. The caller holds the mutex.
func (c *PacketConn) unread(p []byte, keepRest bool) (int, engine.Message, *Addr, error) {
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
	msg, peer := l.msg, l.from.addr
	if n < len(l.data) && keepRest {
		msg.More = true
		l.data = l.data[n:]
		in.bytes -= n
		return n, msg, peer, nil
	}
	c.drop()
	return n, msg, peer, nil
}

// drop removes the first letter. The caller holds the mutex.
func (c *PacketConn) drop() {
	in := &c.inbox
	in.bytes -= in.letters[0].size()
	in.letters[0] = letter{}
	in.letters = in.letters[1:]
	if len(in.letters) == 0 {
		in.letters = nil
	}
	c.checkFull()
}

// checkFull lets Connect receive again if letters that were removed have made room.
func (c *PacketConn) checkFull() {
	if in := &c.inbox; in.full && in.bytes < mostWaiting {
		in.full = false
		c.wakeWaiting()
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
	for _, a := range c.assocs {
		if len(a.messages.begun) > 0 {
			return true
		}
	}
	return false
}

// putBack puts what is left of a message before all others.
func (c *PacketConn) putBack(l letter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inbox.letters = slices.Insert(c.inbox.letters, 0, l)
	c.inbox.bytes += l.size()
}

// A taker is a PacketConn to its engine.
type taker PacketConn

// Take takes what was received.
func (t *taker) Take(d *engine.Delivery) (enough bool) { return (*PacketConn)(t).take(d) }

func (c *PacketConn) take(d *engine.Delivery) (enough bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := &c.inbox
	if d.Sorted {
		in.sort()
		in.isUnsorted = false
		return in.hasEnough() || in.awaited != nil && in.awaited.isDecided()
	}
	a := c.meetTaken(d.Assoc, d.From)
	if d.Cut {
		a.messages = assembler{}
	}
	in.isUnsorted = in.isUnsorted || d.Unsorted
	switch {
	case d.Event != nil:
		return c.takeEvent(a, d.Event)
	case len(d.Data) == 0 || a.aborted:
		return false
	}
	if !d.More && len(a.messages.begun) == 0 {
		if in.inPlace && !in.isUnsorted {
			in.placed = letter{from: a, life: a.life, data: d.Data, msg: d.Message}
			return true
		}
		return c.post(letter{from: a, life: a.life, data: slices.Clone(d.Data), msg: d.Message})
	}
	in.pieces = true
	m, exceeds := a.messages.add(d.Data, d.Message, false, in.most, c.interleaves)
	switch {
	case exceeds, a.messages.size() > in.most:
		a.messages, a.aborted = assembler{}, true
		c.e.Abort(a.id) // an event will tell
	case !d.More && !m.tooLarge:
		return c.post(letter{from: a, life: a.life, data: m.data, msg: m.first})
	}
	return in.inPlace // the next piece may find more memory
}

// post keeps a message for ReadFrom.
func (c *PacketConn) post(l letter) (enough bool) {
	in := &c.inbox
	in.letters = append(in.letters, l)
	in.bytes += l.size()
	return in.hasEnough()
}

// hasEnough reports whether enough was received for the call that receives.
func (in *inbox) hasEnough() bool {
	if in.isUnsorted {
		if in.bytes < in.mostUnsorted {
			return false
		}
		in.sort()
		in.isUnsorted = false
	}
	return in.inPlace && len(in.letters) > 0 || in.bytes >= mostWaiting
}

func (c *PacketConn) interleaves() bool { return c.asked.Interleaving }

// refresh asks which addresses the peer of an association has.
func (c *PacketConn) refresh(a *assoc) {
	if addr, err := c.e.PeerAddr(a.id); err == nil {
		c.assign(a, addrPorts(addr))
	}
}

// takeEvent keeps the table of associations.
func (c *PacketConn) takeEvent(a *assoc, e engine.Event) (enough bool) {
	in := &c.inbox
	switch e := e.(type) {
	case engine.AssocEvent:
		switch e.Change {
		case engine.AssocUp:
			c.refresh(a)
			a.up = true
			a.decide()
		case engine.AssocRestarted:
			c.refresh(a)
			a.messages, a.aborted = assembler{}, false
			a.life++
			a.dialed = false
		case engine.AssocNotMade:
			c.remove(a, e.Err)
		case engine.AssocLost, engine.AssocEnded:
			c.remove(a, syscall.EPIPE)
		}
	case engine.PathEvent:
		switch {
		case a.ended != nil:
		case e.Change == engine.PathAdded, e.Change == engine.PathRemoved:
			c.refresh(a)
		}
	}
	switch what := (event{a.addr, e}); {
	case c.onEvent == nil:
	case len(in.letters) > 0:
		if c.post(letter{event: what}) {
			return true
		}
	default:
		in.event = what
		return true
	}
	return in.awaited == a && !in.isUnsorted
}
