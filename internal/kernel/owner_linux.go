package kernel

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// owner is a conn whose sending and receiving belong to one caller.
type owner struct {
	c    *conn
	loan *loan // of its Recv
}

// Take makes all calls leave. A call that comes from now on sees that the conn is
// taken, and one that waits is woken by a deadline. After each of the poller's locks
// was held once, no call is left inside.
func (c *conn) Take() (engine.Owner, bool) {
	c.taking.Lock()
	defer c.taking.Unlock()
	c.taken.Store(true)
	c.SetDeadline(aLongTimeAgo)
	c.raw.Read(func(uintptr) bool { return true })
	c.raw.Write(func(uintptr) bool { return true })
	c.SetDeadline(time.Time{})
	if c.roundRobin.Load() {
		// Where it is not possible, streams have their messages' turns.
		c.control(func(fd int) error { return setScheduler(socketOf(fd), engine.SchedulerRoundRobin) })
	}
	o := c.partial.Swap(nil)
	if o != nil {
		o.resumes = true
	}
	return owner{c, newLoan()}, o != nil
}

// awaitTake waits until Take, if it has begun, is done.
func (c *conn) awaitTake() {
	c.taking.Lock()
	defer c.taking.Unlock()
}

func (o owner) Send(p []byte, size int, m engine.Message, spare bool) (int, error) {
	op := newOp(o.c, true, p)
	defer op.done()
	op.size, op.msg, op.spare = size, m, spare
	return o.c.sendOp(op)
}

func (o owner) TrySend(p []byte, m engine.Message) (int, error) {
	op := newOp(o.c, true, p)
	defer op.done()
	op.msg = m
	// Control does not take the poller's write lock, which a blocked Send holds.
	if err := o.c.raw.Control(op.try); err != nil {
		if o.c.isOver() {
			return 0, errSentRestarted
		}
		return 0, op.waitError(err)
	}
	return op.n, op.err
}

// Recv looks for more than one message only where the first was waiting, not
// waited for: else there is rarely another, and looking costs a system call.
func (o owner) Recv(from engine.Lender) (int, error) {
	c := o.c
	if len(c.early) > 0 {
		msgs := from.Lend()
		msgs[0].N, msgs[0].Message = 0, engine.Message{Event: c.early[0]}
		c.early = c.early[1:]
		return 1, nil
	}
	if err := c.inform(); err != nil {
		return 0, err
	}
	l := o.loan
	l.from = from
	l.op.conn, l.op.owner = c, true
	defer l.end()
	if _, _, err := c.receive(&l.op, l.recv); err != nil {
		return 0, err
	}
	n := l.batch.n
	if c.watches {
		n = c.watch(l.batch.msgs, n)
	}
	return n, nil
}

// A loan is the memory of an owner's Recv, which gives it back while it waits: of
// many associations most wait.
type loan struct {
	op    op // receives the first message
	from  engine.Lender
	batch *batch // nil while nothing is lent
	recv  func(fd uintptr) bool
}

func newLoan() *loan {
	l := new(loan)
	l.op.init()
	l.recv = l.doRecv
	return l
}

func (l *loan) doRecv(fd uintptr) bool {
	if l.batch == nil {
		msgs := l.from.Lend()
		l.batch = newBatch(l.op.conn, true, msgs)
		l.batch.eager, l.batch.first = false, &l.op
		l.op.p = msgs[0].Data
	}
	if l.batch.doRecv(fd) {
		return true
	}
	l.release()
	l.from.Return()
	return false
}

func (l *loan) release() {
	l.op.p, l.op.iov.Base = nil, nil
	if l.batch != nil {
		l.batch.done()
		l.batch = nil
	}
}

// end ends a Recv. What was lent is the lender's.
func (l *loan) end() {
	l.release()
	l.from = nil
	l.op.clear()
}

// AwaitEnd waits in the poller. The end makes the socket readable, or an error of
// it, whatever else there is to receive: it is an event, as setAlways has it. So does
// what arrives meanwhile, up to the receive window. A restart is an end, unless the conn
// goes on.
func (o owner) AwaitEnd(ctx context.Context) bool {
	c := o.c
	interrupted := interrupt(ctx, c.SetReadDeadline)
	goesOn := c.goesOn()
	err := c.raw.Read(func(fd uintptr) bool { return isGone(fd) || !goesOn && c.isReborn(int(fd)) })
	if interrupted() {
		c.SetReadDeadline(time.Time{})
	}
	return !errors.Is(err, os.ErrDeadlineExceeded) // else it has ended, or there is no descriptor
}

// isGone reports whether a socket has no association any more.
func isGone(fd uintptr) bool {
	_, err := assocStatus(int(fd))
	return err != nil
}
