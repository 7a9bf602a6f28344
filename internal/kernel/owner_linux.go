package kernel

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// owner is a conn whose sending and receiving belong to one caller.
type owner struct{ c *conn }

// Take makes everybody leave: who comes from now on sees that the conn is
// taken, who waits is woken by a deadline, and holding each of the poller's
// locks once means that nobody is left inside.
func (c *conn) Take() (engine.Owner, bool) {
	c.cut.Lock()
	defer c.cut.Unlock()
	c.taken.Store(true)
	c.SetDeadline(aLongTimeAgo)
	c.raw.Read(func(uintptr) bool { return true })
	c.raw.Write(func(uintptr) bool { return true })
	c.SetDeadline(time.Time{})
	if c.roundRobin.Load() {
		// Where it is not possible, streams have their messages' turns.
		c.control(func(fd int) error { return setScheduler(fd, schedulerRoundRobin) })
	}
	o := c.partial.Swap(nil)
	if o != nil {
		o.resumes = true
	}
	return owner{c}, o != nil
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
	// Past the poller's lock for writers, which somebody who waits holds.
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
func (o owner) Recv(msgs []engine.Msg) (int, error) {
	if c := o.c; len(c.early) > 0 {
		msgs[0].N, msgs[0].Message = 0, engine.Message{Event: c.early[0]}
		c.early = c.early[1:]
		return 1, nil
	}
	n, err := o.c.recvBatch(msgs, false, false, true)
	if o.c.watches {
		n = o.c.watch(msgs, n)
	}
	return n, err
}

func (o owner) SetWriteDeadline(t time.Time) error { return o.c.SetWriteDeadline(t) }

func (o owner) Ended() bool {
	return o.c.control(func(fd int) error {
		_, err := assocStatus(fd)
		return err
	}) != nil
}

func (o owner) CanReset() bool {
	able := false
	o.c.control(func(fd int) error {
		// struct sctp_assoc_value; of an association it is whether the peer
		// offered it in the handshake.
		var buf [8]byte
		_, err := getsockopt(fd, optReconfigSupported, buf[:])
		able = err == nil && binary.NativeEndian.Uint32(buf[4:]) != 0
		if _, err := assocStatus(fd); err != nil {
			// It has ended: the option is the socket's, and nothing is reset.
			able = true
		}
		return nil
	})
	return able
}

func (o owner) ResetStreams(streams []uint16) error {
	// struct sctp_reset_streams: the association, flags, count and list.
	b := binary.NativeEndian.AppendUint32(nil, 0)
	b = binary.NativeEndian.AppendUint16(b, resetOutgoing)
	b = binary.NativeEndian.AppendUint16(b, uint16(len(streams)))
	for _, id := range streams {
		b = binary.NativeEndian.AppendUint16(b, id)
	}
	err := o.c.control(func(fd int) error { return setBytes(fd, optResetStreams, b) })
	switch {
	case errors.Is(err, unix.EINPROGRESS):
		return engine.ErrBusy
	case errors.Is(err, unix.EAGAIN):
		return engine.ErrUnsent
	}
	return err
}
