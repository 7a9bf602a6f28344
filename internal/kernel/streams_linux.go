package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// Streams asks how many streams there are, as they may have been added.
func (c *conn) Streams(ask bool) (out, in uint16) {
	if ask {
		c.control(func(fd int) error {
			if st, err := assocStatus(fd); err == nil {
				c.setStreams(st.Ostreams, st.Instreams)
			}
			return nil
		})
	}
	n := c.streams.Load()
	return uint16(n >> 16), uint16(n)
}

func (c *conn) setStreams(out, in uint16) {
	out, in = c.most.Load().limit(out, in)
	c.streams.Store(uint32(out)<<16 | uint32(in))
}

// A lifeStreams is how many streams there are in a life of the peer's that is not the
// first. Linux goes on with those of the first, and what it sends on more than these is
// lost. Nil means that there are as many.
type lifeStreams struct{ out, in uint16 }

// streamsOf returns what the event of a restart says.
func streamsOf(e engine.AssocEvent) *lifeStreams {
	if e.Out == 0 || e.In == 0 {
		return nil
	}
	return &lifeStreams{e.Out, e.In}
}

// limit returns how many of the first life's streams there are.
func (l *lifeStreams) limit(out, in uint16) (uint16, uint16) {
	if l == nil {
		return out, in
	}
	return min(out, l.out), min(in, l.in)
}

// status is a status with these streams.
func (l *lifeStreams) status(s engine.Status, err error) (engine.Status, error) {
	s.OutStreams, s.InStreams = l.limit(s.OutStreams, s.InStreams)
	return s, err
}

// errNoStream is what the kernel says of a stream that there is not.
var errNoStream = os.NewSyscallError("sendmsg", unix.EINVAL)

// check returns an error for a message of a stream that there is not.
func (l *lifeStreams) check(m *engine.Message) error {
	if l != nil && m.Stream >= l.out {
		return errNoStream
	}
	return nil
}

func (c *conn) AddStreams(out, in uint16) error {
	err := c.control(func(fd int) error {
		// Incoming ones are requests of the peer's again, which must be allowed.
		err := optEnableReset.setValue(fd, enableResets|enableAddStreams)
		if err = ifKnown(err); err == nil {
			err = optAddStreams.set(fd, addStreams{In: in, Out: out})
		}
		return reconfigError(fd, err)
	})
	c.Streams(true)
	return err
}

func (o owner) ResetStreams(streams []uint16) error {
	// struct sctp_reset_streams: the association, flags, count and list.
	b := binary.NativeEndian.AppendUint32(nil, 0)
	b = binary.NativeEndian.AppendUint16(b, resetOutgoing)
	b = binary.NativeEndian.AppendUint16(b, uint16(len(streams)))
	for _, id := range streams {
		b = binary.NativeEndian.AppendUint16(b, id)
	}
	err := o.c.control(func(fd int) error { return optResetStreams.setBytes(fd, b) })
	switch {
	case errors.Is(err, unix.EINPROGRESS):
		return engine.ErrBusy
	case errors.Is(err, unix.EAGAIN):
		return engine.ErrUnsent
	}
	return err
}

func (c *conn) ResetAssoc() error {
	return c.control(func(fd int) error { return reconfigError(fd, optResetAssoc.set(fd, int32(0))) })
}

// reconfigError says what the kernel means by the error of a request.
func reconfigError(fd int, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EINPROGRESS):
		return fmt.Errorf("an earlier request is under way: %w", err)
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("something that was sent is not acknowledged yet: %w", err)
	case errors.Is(err, unix.ENOPROTOOPT):
		if _, serr := optReconfig.getValue(fd); serr == nil {
			return fmt.Errorf("the peer has no stream reconfiguration (RFC 6525): %w", err)
		}
	case errors.Is(err, unix.EINVAL):
		if _, serr := assocStatus(fd); serr != nil {
			return engine.ErrEnded
		}
	}
	return err
}

func (c *conn) Features() (engine.Features, error) {
	return read(c, func(fd int) (f engine.Features, err error) {
		for _, q := range []struct {
			o  option
			on *bool
		}{
			{optPRSupported, &f.PartialReliability},
			{optReconfig, &f.StreamReconfig},
			{optASCONF, &f.AddressReconfig},
			{optAuth, &f.Auth},
			{optInterleaving, &f.Interleaving},
			{optECN, &f.ECN},
		} {
			v, err := q.o.getValue(fd)
			if err != nil && !errors.Is(err, errors.ErrUnsupported) {
				return f, err
			}
			*q.on = err == nil && v != 0
		}
		_, err = assocStatus(fd) // the options of one that has ended are the socket's
		return f, err
	})
}
