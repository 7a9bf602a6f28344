package udpencap

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

var _ engine.Conn = (*assoc)(nil)

// errno is an error of a call.
func errno(call string, e syscall.Errno) error { return os.NewSyscallError(call, e) }

// Send sends p.
func (a *assoc) Send(p []byte, size int, m engine.Message) (int, error) {
	return a.send(p, size, m, false, false)
}

// send sends p. With spare set it leaves room for TrySend.
func (a *assoc) send(p []byte, size int, m engine.Message, owner, spare bool) (n int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		if err := a.canSend(owner); err != nil {
			return 0, err
		}
		if !a.sending {
			break
		}
		a.writable.Wait()
	}
	// From here on Take finds out what has become of this call. One that it turned
	// away above must not make it forget that another was cut short.
	a.sending = true
	defer func() {
		a.partialSend = err == engine.ErrTaken && n > 0
		a.sending = false
		a.writable.Broadcast()
	}()
	if len(p) == 0 {
		return 0, nil
	}
	if err := a.canCarry(&m); err != nil {
		return 0, err
	}
	most := a.maxMessageSize()
	switch {
	case size == 0:
		size = len(p)
		if size > most {
			return 0, errno("write", syscall.EMSGSIZE)
		}
	case spare:
		size = engine.SpareSize(size, bufferSize(a.options.WriteBuffer))
	}
	size = min(size, most)
	for n < len(p) {
		part := p[n:min(n+size, len(p))]
		for {
			if err := a.canSend(owner); err != nil {
				return n, err
			}
			a.makeRoom(&m, spare)
			if a.hasRoom(len(part), spare) && !a.isResetting(m.Stream) {
				break
			}
			a.writable.Wait()
		}
		a.write(part, m)
		n += len(part)
	}
	return n, nil
}

// write queues a message, and sends what the windows allow. It leaves the lock
// meanwhile.
func (a *assoc) write(p []byte, m engine.Message) {
	a.snd.Queue(p, a.outgoing(&m))
	a.pump()
}

// trySend sends p as one message if there is room, even if others wait for it.
func (a *assoc) trySend(p []byte, m engine.Message) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.canSend(true); err != nil && err != os.ErrDeadlineExceeded { // that is a Send's
		return 0, err
	}
	if err := a.canCarry(&m); err != nil {
		return 0, err
	}
	a.makeRoom(&m, false)
	if len(p) > a.maxMessageSize() || !a.hasRoom(len(p), false) || a.isResetting(m.Stream) {
		return 0, engine.ErrFull
	}
	a.write(p, m)
	return len(p), nil
}

// SendBatch sends messages one after the other.
func (a *assoc) SendBatch(msgs []engine.Msg) (int, error) {
	for n := range msgs {
		if _, err := a.Send(msgs[n].Data, 0, msgs[n].Message); err != nil {
			return n, err
		}
	}
	return len(msgs), nil
}

// canSend returns why nothing can be sent, if it cannot.
func (a *assoc) canSend(owner bool) error {
	switch {
	case a.closed:
		return net.ErrClosed
	case a.taken && !owner:
		return engine.ErrTaken
	case a.state == engine.StateClosed && a.err != io.EOF:
		return a.sendError()
	case a.shutdown:
		return errno("write", syscall.ESHUTDOWN)
	case a.state > engine.StateEstablished, a.state == engine.StateClosed:
		return errno("write", syscall.EPIPE)
	case a.writeBy.isPast():
		return os.ErrDeadlineExceeded
	}
	return nil
}

// sendError is the reason for a failed association's end, as Send returns it.
func (a *assoc) sendError() error {
	var e syscall.Errno
	if errors.As(a.err, &e) {
		return errno("write", e)
	}
	return a.err
}

// canCarry returns an error for a message that cannot be sent as it is meant.
func (a *assoc) canCarry(m *engine.Message) error {
	switch {
	case uint32(m.Stream) >= a.out.Load():
		return errno("write", syscall.EINVAL)
	case m.To.IsValid() && m.To != a.peer.ip.WithZone(""):
		return notThePeers(m.To)
	}
	return nil
}

// hasRoom reports whether a message of n bytes may be sent now. What waits to be
// acknowledged is bounded, but for the message that exceeds the bound. With spare
// set a part of the room is left, which a long message must not fill.
func (a *assoc) hasRoom(n int, spare bool) bool {
	room := bufferSize(a.options.WriteBuffer)
	messages, bytes := a.snd.Held()
	if spare {
		room -= engine.SpareRoom(room)
		if messages > 0 {
			room -= engine.Excess(n)
		}
	}
	return bytes+messages*messageOverhead < room
}

// messageOverhead is what a message counts beside its bytes, in the send buffer:
// about what it takes.
const messageOverhead = 256

// maxMessageSize is less than what the peer can take in before it has read the
// beginning, as not everybody hands over a message in pieces. The kernel does,
// and its window is smaller than what its own send buffer lets pass.
func (a *assoc) maxMessageSize() int {
	return min(bufferSize(a.options.WriteBuffer), max(kernelMessageSize, int(a.peerInit.window/2)), maxMessageSize)
}

const (
	maxMessageSize    = 1 << 20
	kernelMessageSize = 212992 // on Linux, unless it is told otherwise
)

func (a *assoc) MaxMessageSize() (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.maxMessageSize(), nil
}

// A mode is how much to receive.
type mode uint8

const (
	onePiece     mode = iota // of a message
	wholeMessage             // all that was begun of one
	manyMessages             // as many as there are
)

func modeOf(whole bool) mode {
	if whole {
		return wholeMessage
	}
	return onePiece
}

// Recv receives into p.
func (a *assoc) Recv(p []byte, whole bool) (int, engine.Message, error) {
	return a.recv(p, modeOf(whole), true)
}

// Read fills p with what there is.
func (a *assoc) Read(p []byte) (int, error) {
	n, _, err := a.recv(p, manyMessages, true)
	return n, err
}

// RecvBatch receives the messages that there are, and waits for one.
func (a *assoc) RecvBatch(msgs []engine.Msg, whole bool) (int, error) {
	return engine.RecvEach(msgs, func(p []byte, wait bool) (int, engine.Message, error) {
		return a.recv(p, modeOf(whole), wait)
	})
}

func (a *assoc) recv(p []byte, how mode, wait bool) (int, engine.Message, error) {
	return a.receive(p, how, wait, false)
}

// recvOwned receives one piece, or an event, for the owner. It does not wait.
func (a *assoc) recvOwned(p []byte) (int, engine.Message, error) {
	return a.receive(p, onePiece, false, true)
}

// receive receives for the owner, or for others. It waits for the first piece if wait is
// set.
func (a *assoc) receive(p []byte, how mode, wait, owner bool) (n int, msg engine.Message, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(p) == 0 { // which is never late, as in package net
		return 0, msg, a.mayReceive(owner)
	}
	for a.receiving {
		if err := a.canReceive(owner); err != nil {
			return 0, msg, err
		}
		a.readable.Wait()
	}
	a.receiving = true
	defer func() {
		a.receiving = false
		a.readable.Broadcast()
	}()
	r := &a.rx
	for {
		if err := a.canReceive(owner); err != nil {
			if n > 0 {
				return n, msg, nil
			}
			return 0, msg, err
		}
		if r.isEmpty() {
			if err := a.receiveError(); err != nil {
				if n > 0 {
					return n, msg, nil
				}
				return 0, msg, err
			}
			if n > 0 && how != wholeMessage {
				return n, msg, nil
			}
			if n == 0 && !wait {
				return 0, msg, engine.ErrNothing
			}
			a.readable.Wait()
			continue
		}
		q := &r.queue.All()[0]
		if q.event != nil {
			if n > 0 && owner {
				return n, msg, nil
			}
			e := q.message()
			r.pop()
			a.performResets() // there may be room for another event now
			if owner {
				return 0, e, nil
			}
			continue // nobody has asked for events
		}
		if n == 0 {
			msg = q.message()
		}
		k := copy(p[n:], q.data)
		n += k
		q.data = q.data[k:]
		more, rest := q.more, len(q.data) > 0
		msg.More = more || rest
		if !rest {
			cost := q.of.cost()
			r.pop()
			r.freed(cost)
		}
		if n == len(p) || how != manyMessages && !msg.More {
			return n, msg, nil
		}
	}
}

// awaitArrival waits while there is nothing for the owner's Recv to return.
func (a *assoc) awaitArrival() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.rx.isEmpty() && a.canReceive(true) == nil && a.receiveError() == nil {
		a.readable.Wait()
	}
}

// canReceive returns why a Recv must not go on, if it must not.
func (a *assoc) canReceive(owner bool) error {
	err := a.mayReceive(owner)
	if err == nil && a.readBy.isPast() {
		err = os.ErrDeadlineExceeded
	}
	return err
}

// mayReceive is canReceive without regard to the deadline.
func (a *assoc) mayReceive(owner bool) error {
	switch {
	case a.closed:
		return net.ErrClosed
	case a.taken && !owner:
		return engine.ErrTaken
	}
	return nil
}

// receiveError is what Recv returns when everything is read, nil as long as
// there may come more.
func (a *assoc) receiveError() error {
	switch a.state {
	case engine.StateClosed:
		return a.err
	case engine.StateShutdownReceived, engine.StateShutdownAckSent:
		if !a.options.Events { // else the last event is still to come
			return io.EOF
		}
	}
	return nil
}

// Take gives sending and receiving to one owner.
func (a *assoc) Take() (engine.Owner, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken = true
	a.wakeCalls()
	for a.sending {
		a.writable.Wait()
	}
	for a.receiving {
		a.readable.Wait()
	}
	a.readBy.set(time.Time{})
	a.writeBy.set(time.Time{})
	if a.options.RoundRobin {
		a.snd.SetTurns()
	}
	return owner{a}, a.partialSend
}

// wakeCalls has all calls that wait look again.
func (a *assoc) wakeCalls() {
	a.readable.Broadcast()
	a.writable.Broadcast()
}

// isEnded reports whether the association has ended.
func (a *assoc) isEnded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state == engine.StateClosed
}

// owner is an assoc whose sending and receiving belong to one caller.
type owner struct{ a *assoc }

func (o owner) Send(p []byte, size int, m engine.Message, spare bool) (int, error) {
	return o.a.send(p, size, m, true, spare)
}

func (o owner) TrySend(p []byte, m engine.Message) (int, error) { return o.a.trySend(p, m) }

func (o owner) Recv(from engine.Lender) (int, error) {
	for {
		n, err := engine.RecvEach(from.Lend(), func(p []byte, _ bool) (int, engine.Message, error) { return o.a.recvOwned(p) })
		if err != engine.ErrNothing {
			return n, err
		}
		from.Return()
		o.a.awaitArrival()
	}
}

func (o owner) AwaitEnd(ctx context.Context) bool {
	a := o.a
	stop := context.AfterFunc(ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.readable.Broadcast()
	})
	defer stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.state != engine.StateClosed && !a.closed {
		if ctx.Err() != nil {
			return false
		}
		a.readable.Wait()
	}
	return true
}

func (o owner) ResetStreams(streams []uint16) error {
	o.a.mu.Lock()
	defer o.a.mu.Unlock()
	return o.a.resetStreams(streams, o.a.rst.expects-1)
}

// Shutdown begins the graceful end.
func (a *assoc) Shutdown() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return net.ErrClosed
	}
	a.beginShutdown()
	return nil
}

// Abort ends the association at once.
func (a *assoc) Abort() error { return a.close(true) }

// Close ends the use of the association.
func (a *assoc) Close() error { return a.close(false) }

func (a *assoc) close(abort bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return net.ErrClosed
	}
	a.closed, a.closedAt = true, time.Now()
	if abort || a.rx.unread() || a.linger == 0 {
		a.awaitPump()
		a.abort()
	} else {
		a.flushTimer.start(flushLimit)
		a.beginShutdown()
		a.awaitEnd()
	}
	a.dropUnread()
	a.wakeCalls()
	if a.linger > 0 {
		by := waiting{}
		by.init(&a.mu, &a.writable)
		by.set(time.Now().Add(time.Duration(a.linger) * time.Second))
		for a.state != engine.StateClosed && !by.isPast() {
			a.writable.Wait()
		}
		by.timer.end()
	}
	return nil
}

// dropUnread drops what was not read of an association that is over and closed.
func (a *assoc) dropUnread() {
	if a.state == engine.StateClosed {
		a.rx.dropAll()
	}
}

func (a *assoc) SetDeadline(t time.Time) error {
	return a.setDeadline(t, &a.readBy, &a.writeBy)
}

func (a *assoc) SetReadDeadline(t time.Time) error { return a.setDeadline(t, &a.readBy) }

func (a *assoc) SetWriteDeadline(t time.Time) error { return a.setDeadline(t, &a.writeBy) }

func (a *assoc) setDeadline(t time.Time, ws ...*waiting) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return net.ErrClosed
	}
	for _, w := range ws {
		w.set(t)
	}
	return nil
}

func (a *assoc) LocalAddr() *engine.Addr  { return a.local }
func (a *assoc) RemoteAddr() *engine.Addr { return a.remote }

// UseStreams need not do anything: each life of a peer is an association of its
// own.
func (a *assoc) UseStreams() error { return nil }

// set changes a setting, unless the association is closed.
func (a *assoc) set(f func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return net.ErrClosed
	}
	return f()
}

func (a *assoc) SetLinger(sec int) error {
	return a.set(func() error {
		a.linger = sec
		return nil
	})
}
