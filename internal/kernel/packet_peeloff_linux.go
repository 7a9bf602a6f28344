package kernel

import (
	"encoding/binary"
	"os"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// A peeled is what a conn takes over from a one-to-many socket.
type peeled struct {
	held    []engine.Msg // what was received already
	adapted uint32       // the peer's adaptation layer indication
	tag     lifeTag      // if it is known
}

// PeelOff makes a conn of an association. The kernel moves what of its messages is
// still to be received.
func (p *packet) PeelOff(id engine.AssocID, held func() []engine.Msg) (engine.Conn, error) {
	p.receiving.Lock()
	defer p.receiving.Unlock()
	from := p.from
	var fd int
	err := p.control(func(pfd int) (err error) {
		t := target{pfd, id}
		if from.remote, err = peerAddrsOf(t); err != nil {
			return err
		}
		p.assoc(id).fence.lower(t, p.from.options.SenderDry)
		fd, err = t.peelOff()
		return err
	})
	if err != nil {
		return nil, err
	}
	from.peeled = &peeled{held: held(), adapted: p.assoc(id).adapted, tag: p.assoc(id).tag}
	from.options.PartialReliability = p.assoc(id).prDefault()
	from.reborn, from.most = p.assoc(id).reborn, p.assoc(id).most.Load()
	delete(p.watch.begun, id)
	p.forget(id)
	sk, err := adopt(fd)
	if err != nil {
		return nil, err
	}
	if !from.options.Interleaving { // newConn looks whether the peer has that, too
		err = sk.control(func(fd int) error {
			return optFragmentInterleave.setInt(fd, max(0, from.options.FragmentInterleave))
		})
	}
	return sk.handOver(from, err)
}

// prDefault is the default of the association's messages.
func (a *assoc) prDefault() engine.PartialReliability {
	return unpack(a.reliability.Load()).reliability()
}

// peelOff gives an association a socket of its own, and returns that. If there is no
// descriptor for it the kernel has peeled it off all the same, and ends it. So make
// sure first.
func (t target) peelOff() (int, error) {
	spare, err := unix.FcntlInt(uintptr(t.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("fcntl", err)
	}
	unix.Close(spare)
	// sctp_peeloff_flags_arg_t: the association, the descriptor, the flags.
	b := binary.NativeEndian.AppendUint32(nil, uint32(t.assoc))
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint32(b, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	switch _, err := getsockopt(t.fd, optPeelOffFlags, b); err {
	case nil:
	case unix.EINVAL:
		return -1, engine.ErrEnded
	default:
		return -1, os.NewSyscallError("getsockopt", err)
	}
	return int(binary.NativeEndian.Uint32(b[4:])), nil
}

// peel takes over what was received before the association had a socket of its
// own.
func (c *conn) peel(from *peeled) {
	c.peeled = true
	c.peerAdaptation.Store(from.adapted)
	c.tag = from.tag
	for _, m := range from.held {
		c.hold(m.Data, m.Message)
	}
	c.inMessage.Store(len(from.held) > 0 && from.held[len(from.held)-1].More)
}
