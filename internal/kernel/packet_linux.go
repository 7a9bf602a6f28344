package kernel

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// What github.com/ishidawataru/sctp lacks or has otherwise, from linux/sctp.h.
const (
	optAssocIDList  = 29  // SCTP_GET_ASSOC_ID_LIST
	optConnectX3    = 111 // SCTP_SOCKOPT_CONNECTX3
	optPeelOffFlags = 122 // SCTP_SOCKOPT_PEELOFF_FLAGS

	abortFlag = 0x004 // SCTP_ABORT
	eofFlag   = 0x200 // SCTP_EOF
)

var optAutoClose = sctpOption(sctp.SCTP_AUTOCLOSE, "SCTP_AUTOCLOSE")

// A packet is a one-to-many socket.
type packet struct {
	*socket
	local       *engine.Addr
	from        origin // of what is peeled off
	alone       bool   // there is one processor
	reliability uint64 // the default of messages, as prInfo.pack has it

	// receiving is held while one thing is received and taken.
	receiving sync.Mutex
	in        receiver

	mu     sync.Mutex
	assocs map[engine.AssocID]*assoc
}

// An assoc is what a packet knows of an association.
type assoc struct {
	gives   time.Time // when a handshake that nobody answers is given up
	adapted uint32    // the peer's adaptation layer indication
	budget  budget    // under the poller's lock for writers
	// restarted says that the kernel has dropped what was queued. What it counted
	// as not acknowledged it still does.
	restarted atomic.Bool

	reliability atomic.Uint64 // the default of its messages
}

// A receiver is a Recv.
type receiver struct {
	header
	p        []byte
	wait     bool
	taker    engine.Taker
	delivery engine.Delivery
	err      error
	note     []byte // a notification so far
	events   parser
	recv     func(fd uintptr) bool
}

// ListenPacket makes a one-to-many socket.
func (kernelEngine) ListenPacket(ctx context.Context, s *engine.Socket, autoClose time.Duration) (engine.PacketConn, error) {
	sk, local, err := listen(ctx, s, unix.SOCK_SEQPACKET)
	if err != nil {
		return nil, err
	}
	p := &packet{
		socket:      sk,
		from:        origin{options: s.Options, bound: local, foreign: s.Control != nil},
		alone:       runtime.GOMAXPROCS(0) == 1,
		reliability: prInfoOf(s.Options.PartialReliability).pack(),
		assocs:      make(map[engine.AssocID]*assoc),
	}
	p.in.init()
	p.in.recv = p.doRecv
	err = p.control(func(fd int) error {
		if err := setInt(fd, sctp.SOL_SCTP, optRecvRcvInfo, 1); err != nil {
			return err
		}
		// A message that comes in pieces must not hold up those of other peers.
		if s.Options.FragmentInterleave <= 0 && !s.Options.Interleaving {
			if err := optFragmentInterleave.setInt(fd, 1); err != nil {
				return err
			}
		}
		if autoClose > 0 {
			if err := optAutoClose.setInt(fd, int((autoClose+time.Second-1)/time.Second)); err != nil {
				return err
			}
		}
		p.local, err = localAddr(fd, local, nil)
		return err
	})
	if err != nil {
		sk.close()
		return nil, err
	}
	if !isWildcard(local) {
		p.from.bound = p.local // with the port that the system chose
	}
	return p, nil
}

func (p *packet) LocalAddr() *engine.Addr { return p.local }

func (p *packet) MaxMessageSize() (int, error) { return read(p, optWriteBuffer.getInt) }

func (p *packet) Close() error { return p.close() }

// assoc returns what is known of an association.
func (p *packet) assoc(id engine.AssocID) *assoc {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.assocs[id]
	if a == nil {
		a = new(assoc)
		a.reliability.Store(p.reliability)
		p.assocs[id] = a
	}
	return a
}

func (p *packet) forget(id engine.AssocID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.assocs, id)
}

// Recv receives.
func (p *packet) Recv(b []byte, wait bool, t engine.Taker) error {
	r := &p.in
	r.p, r.wait, r.taker = b, wait, t
	var err error
	if wait {
		err = p.raw.Read(r.recv)
	} else {
		err = p.raw.Control(func(fd uintptr) { r.recv(fd) })
	}
	if err != nil {
		err = waitError(err)
	} else {
		err = r.err
	}
	r.p, r.taker, r.err, r.iov.Base, r.delivery = nil, nil, nil, nil, engine.Delivery{}
	return err
}

func (p *packet) doRecv(fd uintptr) bool {
	for {
		done, isEmpty := p.take(fd)
		if done {
			return true
		}
		if isEmpty {
			return !p.in.wait
		}
	}
}

// take receives one piece and has it taken.
func (p *packet) take(fd uintptr) (done, isEmpty bool) {
	p.receiving.Lock()
	defer p.receiving.Unlock()
	r := &p.in
again:
	r.point(r.p)
	r.control(unsafe.Pointer(&r.rctl), unsafe.Sizeof(r.rctl))
	r.hdr.Name, r.hdr.Namelen = &r.name[0], uint32(len(r.name))
	n, errno := move(p.alone, unix.SYS_RECVMSG, fd, unsafe.Pointer(&r.hdr), unix.MSG_DONTWAIT, 0)
	switch {
	case errno == unix.EINTR:
		goto again
	case errno == unix.EAGAIN:
		return false, true
	case errno != 0:
		r.err = os.NewSyscallError("recvmsg", errno)
		return true, false
	case n == 0:
		r.err = io.EOF // somebody has shut the socket down
		return true, false
	}
	d := &r.delivery
	*d = engine.Delivery{From: r.from()}
	if r.hdr.Flags&sctp.MSG_NOTIFICATION == 0 {
		d.Assoc, d.Data, d.Message = engine.AssocID(r.rctl.AssocID), r.p[:n], r.rctl.message(&r.hdr)
		return r.taker.Take(d), false
	}
	r.note = append(r.note, r.p[:n]...)
	if r.hdr.Flags&unix.MSG_EOR == 0 {
		goto again // PeelOff would take the rest away
	}
	d.Event = r.events.parse(r.note)
	d.Assoc = r.events.assoc
	r.note = r.note[:0]
	if d.Event = p.learn(int(fd), d.Assoc, d.Event); d.Event == nil {
		return false, false
	}
	return r.taker.Take(d), false
}

// from returns the address that the kernel has named.
func (h *header) from() netip.AddrPort {
	port := binary.BigEndian.Uint16(h.name[2:])
	switch {
	case h.hdr.Namelen < unix.SizeofSockaddrInet4:
		return netip.AddrPort{}
	case binary.NativeEndian.Uint16(h.name[:]) == unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(h.name[4:8])), port)
	}
	ip := netip.AddrFrom16([16]byte(h.name[8:24])).Unmap()
	if ip.IsLinkLocalUnicast() && ip.Is6() {
		ip = ip.WithZone(zoneName(ip.AsSlice(), binary.NativeEndian.Uint32(h.name[24:])))
	}
	return netip.AddrPortFrom(ip, port)
}

// learn keeps what an event says, and returns what the taker is to have.
func (p *packet) learn(fd int, id engine.AssocID, e engine.Event) engine.Event {
	switch e := e.(type) {
	case engine.AdaptationEvent:
		p.assoc(id).adapted = e.Indication
	case engine.AssocEvent:
		switch e.Change {
		case engine.AssocUp:
			t := target{fd, id}
			if st, err := t.assocStatus(); err == nil && p.from.options.SmallLoopbackMTU {
				t.shrinkLoopbackMTU(&st)
			}
		case engine.AssocNotMade:
			// The kernel says so of a peer that refuses, and of one that is
			// silent.
			e.Err = os.NewSyscallError("connect", unix.ECONNREFUSED)
			if gives := p.assoc(id).gives; !gives.IsZero() && time.Now().After(gives) {
				e.Err = os.NewSyscallError("connect", unix.ETIMEDOUT)
			}
			p.forget(id)
		case engine.AssocRestarted:
			p.assoc(id).restarted.Store(true)
		case engine.AssocLost, engine.AssocEnded:
			p.forget(id)
		}
		return e
	}
	if !p.from.options.Events {
		return nil
	}
	return e
}

// Connect begins an association.
func (p *packet) Connect(remote *engine.Addr, begun func(id engine.AssocID, isNew bool)) error {
	list, err := appendSockaddrs(nil, remote)
	if err != nil {
		return err
	}
	return p.control(func(fd int) error {
		for _, ip := range remote.IPAddrs {
			if err := checkFamily(fd, toNetip(ip)); err != nil {
				return err
			}
		}
		if err := routeError(fd, p.from.bound, remote); err != nil {
			return os.NewSyscallError("connect", err)
		}
		p.receiving.Lock()
		defer p.receiving.Unlock()
		for tries := 0; ; tries++ {
			id, err := connectX(fd, list)
			switch err {
			case nil, unix.EINPROGRESS:
				p.assoc(id).gives = time.Now().Add(silence(fd, len(remote.IPAddrs)))
				begun(id, true)
				return nil
			case unix.EALREADY, unix.EISCONN:
				for _, ip := range remote.IPAddrs {
					if id = findAssoc(fd, netip.AddrPortFrom(toNetip(ip), uint16(remote.Port))); id != 0 {
						begun(id, false)
						return nil
					}
				}
				if tries < 10 {
					continue // the one that there was has ended since
				}
			case unix.EAGAIN:
				err = unix.EADDRNOTAVAIL // as in connect
			}
			return os.NewSyscallError("connect", err)
		}
	})
}

// connectX begins an association with a list of addresses.
func connectX(fd int, list []byte) (engine.AssocID, error) {
	// struct sctp_getaddrs_old; the kernel also says which association it is.
	param := struct {
		assoc int32
		size  int32
		addrs *byte
	}{0, int32(len(list)), unsafe.SliceData(list)}
	n := uint32(unsafe.Sizeof(param))
	// The pointers are converted in the call itself, which keeps what they
	// point to in place until it returns.
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), sctp.SOL_SCTP, optConnectX3,
		uintptr(unsafe.Pointer(&param)), uintptr(unsafe.Pointer(&n)), 0)
	runtime.KeepAlive(list)
	if errno != 0 {
		return engine.AssocID(param.assoc), errno
	}
	return engine.AssocID(param.assoc), nil
}

// silence is after what time at the earliest a handshake with an endpoint of so
// many addresses is given up: each INIT has waited for its answer by then.
func silence(fd, addrs int) time.Duration {
	var rto rtoInfo
	var b [unsafe.Sizeof(sctp.InitMsg{})]byte
	var init sctp.InitMsg
	if optRTO.get(fd, &rto) != nil {
		return 0
	}
	if _, err := getsockopt(fd, sctp.SCTP_INITMSG, b[:]); err != nil {
		return 0
	}
	if _, err := binary.Decode(b[:], binary.NativeEndian, &init); err != nil {
		return 0
	}
	most := time.Duration(init.MaxInitTimeout) * time.Millisecond
	if most == 0 {
		most = fromMilliseconds(rto.Max)
	}
	wait, sum := fromMilliseconds(rto.Initial), time.Duration(0)
	for i := range int(init.MaxAttempts) + 1 {
		if i > 0 && i%max(1, addrs) == 0 {
			wait = min(2*wait, most)
		}
		sum += wait
	}
	return sum * 9 / 10 // timers are not exact
}

// Find returns the association with a peer.
func (p *packet) Find(peer netip.AddrPort) engine.AssocID {
	id, err := read(p, func(fd int) (engine.AssocID, error) { return findAssoc(fd, peer), nil })
	if err != nil {
		return 0
	}
	return id
}

func findAssoc(fd int, peer netip.AddrPort) engine.AssocID {
	sa, err := appendSockaddrs(make([]byte, 4, sizeofPathInfo), &engine.Addr{IPAddrs: one(fromNetip(peer.Addr())), Port: int(peer.Port())})
	if err != nil {
		return 0
	}
	buf := sa[:sizeofPathInfo]
	if _, err := getsockopt(fd, sctp.SCTP_GET_PEER_ADDR_INFO, buf); err != nil {
		return 0
	}
	return engine.AssocID(binary.NativeEndian.Uint32(buf))
}

// Assocs asks for all associations.
func (p *packet) Assocs() ([]engine.AssocID, error) {
	return read(p, func(fd int) (ids []engine.AssocID, err error) {
		// struct sctp_assoc_ids: the count, then the list.
		for size := 1 << 10; ; size *= 4 {
			buf := make([]byte, 4+4*size)
			_, err := getsockopt(fd, optAssocIDList, buf)
			if err == unix.EINVAL && size < 1<<24 {
				continue // the list did not fit
			}
			if err != nil {
				return nil, os.NewSyscallError("getsockopt", err)
			}
			for i := range binary.NativeEndian.Uint32(buf) {
				ids = append(ids, engine.AssocID(binary.NativeEndian.Uint32(buf[4+4*i:])))
			}
			return ids, nil
		}
	})
}

func (p *packet) PeerAddr(id engine.AssocID) (*engine.Addr, error) { return askOne(p, id, peerAddrsOf) }
func (p *packet) Status(id engine.AssocID) (engine.Status, error)  { return askOne(p, id, statusOf) }
func (p *packet) Paths(id engine.AssocID) ([]engine.Path, error)   { return askOne(p, id, pathsOf) }
func (p *packet) Stats(id engine.AssocID) (engine.Stats, error)    { return askOne(p, id, statsOf) }

// askOne is ask for an association that may end meanwhile, or may have ended.
func askOne[T any](p *packet, id engine.AssocID, get func(t target) (T, error)) (T, error) {
	return ask(p, id, func(t target) (T, error) {
		v, err := get(t)
		if err != nil {
			if _, gone := t.assocStatus(); gone != nil {
				err = engine.ErrEnded
			}
		}
		return v, err
	})
}

// Set applies settings to an association.
func (p *packet) Set(id engine.AssocID, s engine.Settings) error {
	return p.control(func(fd int) error {
		t := target{fd, id}
		if _, err := t.status(); err != nil {
			return err
		}
		err := apply(t, &s, func(*row) {})
		if err == nil && s.PartialReliability.Policy != engine.ReliabilityFull {
			p.assoc(id).reliability.Store(prInfoOf(s.PartialReliability).pack())
		}
		return err
	})
}

func (p *packet) Shutdown(id engine.AssocID) error { return p.finish(id, eofFlag) }
func (p *packet) Abort(id engine.AssocID) error    { return p.finish(id, abortFlag) }

func (p *packet) finish(id engine.AssocID, flag uint16) error {
	return p.control(func(fd int) error {
		t := target{fd, id}
		if flag == eofFlag {
			// Of an association that ends already there is nothing to do.
			if st, err := t.status(); err != nil || st.State > stateEstablished {
				return err
			}
		}
		return t.finish(flag)
	})
}

// finish ends an association in one of two ways.
func (t target) finish(flag uint16) error {
	h := new(header)
	h.init()
	h.point(nil)
	h.describe(&engine.Message{}, flag, t.assoc, 0)
	// The header is in the heap, where nothing moves, and used afterwards.
	_, _, errno := unix.Syscall6(unix.SYS_SENDMSG, uintptr(t.fd), uintptr(unsafe.Pointer(&h.hdr)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0, 0)
	runtime.KeepAlive(h)
	switch errno {
	case 0, unix.ESHUTDOWN:
		return nil
	case unix.EPIPE, unix.EINVAL:
		if _, err := t.assocStatus(); err != nil {
			return engine.ErrEnded
		}
		return nil // it ends
	}
	return os.NewSyscallError("sendmsg", errno)
}

// A sending is one Send.
type sending struct {
	header
	packet *packet
	assoc  *assoc
	id     engine.AssocID
	p      []byte
	msg    engine.Message
	full   bool // its part of the send buffer is used
	err    error
	send   func(fd uintptr) bool
}

var sendings = sync.Pool{New: func() any {
	s := new(sending)
	s.init()
	s.send = s.doSend
	return s
}}

// How long a writer waits before it looks again for room in a peer's budget: the kernel
// wakes it for the room of the whole socket only.
const (
	leastRoomWait = 500 * time.Microsecond
	mostRoomWait  = 10 * time.Millisecond
)

// Send sends p.
func (p *packet) Send(b []byte, m engine.Message, id engine.AssocID) error {
	s := sendings.Get().(*sending)
	defer s.done()
	s.packet, s.assoc, s.id, s.p, s.msg = p, p.assoc(id), id, b, m
	for wait := leastRoomWait; ; wait = min(2*wait, mostRoomWait) {
		s.full = false
		if err := p.raw.Write(s.send); err != nil {
			return waitError(err)
		}
		if !s.full {
			return s.err
		}
		// Without the poller's lock, so that others can send to other peers.
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-p.over:
			timer.Stop()
			return net.ErrClosed
		}
	}
}

// done returns the sending to the pool, which must not keep the caller's memory.
func (s *sending) done() {
	s.packet, s.assoc, s.p, s.msg, s.err, s.iov.Base = nil, nil, nil, engine.Message{}, nil, nil
	sendings.Put(s)
}

func (s *sending) doSend(fd uintptr) bool {
	t := target{int(fd), s.id}
	if s.assoc.restarted.Swap(false) {
		s.assoc.budget = budget{}
	}
	if !s.assoc.budget.allows(t, len(s.p)) {
		s.full = true
		return true
	}
	port := 0
	if s.msg.To.IsValid() {
		if s.err = s.checkTo(t, &port); s.err != nil {
			return true
		}
	}
	if s.err = s.sendTo(t.fd, s.msg.To, port); s.err != nil {
		return true
	}
	s.point(s.p)
	s.describe(&s.msg, 0, s.id, s.assoc.reliability.Load())
	for {
		_, errno := move(s.packet.alone, unix.SYS_SENDMSG, fd, unsafe.Pointer(&s.hdr), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0)
		switch errno {
		case 0:
			s.assoc.budget.sent(len(s.p))
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			if queued, _, err := sendQueue(t.fd); err == nil && queued == 0 {
				s.full = true // as in awaitMemory
				return true
			}
			return false
		default:
			s.err = os.NewSyscallError("sendmsg", errno)
			if _, err := t.assocStatus(); err != nil {
				s.packet.forget(s.id)
				s.err = engine.ErrEnded
			}
			return true
		}
	}
}

// checkTo makes sure that a message's destination is the peer's: else the kernel
// would begin another association. It also finds the port.
func (s *sending) checkTo(t target, port *int) error {
	list, err := peerAddrsOf(t)
	if err != nil {
		return err
	}
	if _, ok := find(list, s.msg.To); !ok {
		return notThePeers(s.msg.To)
	}
	*port = list.Port
	return nil
}

// A peeled is what a conn takes over from a one-to-many socket.
type peeled struct {
	held    []engine.Msg // what was received already
	adapted uint32       // the peer's adaptation layer indication
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
		fd, err = t.peelOff()
		return err
	})
	if err != nil {
		return nil, err
	}
	from.peeled = &peeled{held: held(), adapted: p.assoc(id).adapted}
	from.options.PartialReliability = p.assoc(id).prDefault()
	p.forget(id)
	sk, err := adopt(fd)
	if err != nil {
		return nil, err
	}
	err = sk.control(func(fd int) error {
		return optFragmentInterleave.setInt(fd, max(0, from.options.FragmentInterleave))
	})
	var c *conn
	if err == nil {
		c, err = newConn(sk, from)
	}
	if err != nil {
		sk.abort()
		return nil, err
	}
	return c, nil
}

// prDefault is the default of the association's messages.
func (a *assoc) prDefault() engine.PartialReliability {
	r := a.reliability.Load()
	return prInfo{Policy: uint16(r >> 32), Value: uint32(r)}.reliability()
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
	for _, m := range from.held {
		c.hold(m.Data, m.Message)
	}
	c.inMessage.Store(len(from.held) > 0 && from.held[len(from.held)-1].More)
}
