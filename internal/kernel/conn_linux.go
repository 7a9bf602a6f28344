package kernel

import (
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// A conn is one association on a socket of its own.
//
// The kernel reports a failed association once, to whichever call asks first,
// and does not wake the others. So the first call that meets the failure keeps
// its cause here and wakes the reader, and a reader that was woken for nothing
// asks whether the association still exists.
type conn struct {
	*socket
	lives
	tagWatch
	local, remote *engine.Addr

	knownLocal, knownPeer addrCache // what LocalAddrs and PeerAddrs found last

	peeled bool // off a one-to-many socket

	streams     atomic.Uint32 // how many: outgoing ones << 16, and incoming
	reliability atomic.Uint64 // the default of messages, as prInfo.pack has it
	segmented   atomic.Bool   // SCTP_MAXSEG was set, or may have been by somebody else
	interleaved bool          // pieces of messages can alternate

	// ended says that the association ends, or has ended, without the socket
	// becoming readable. shared says that this may be so, because somebody
	// else has the socket too.
	ended, shared atomic.Bool
	cause         atomic.Uint32 // the errno that ended the association, or 0
	lost          atomic.Bool   // the kernel has said that it was aborted or failed

	failed sync.Mutex // held while reading without the poller

	turns turns // of the writer, under the poller's lock for writers
	alone bool  // there is one processor
	room  room  // for writers, under the same

	lacksMemory atomic.Bool // a writer is to try again, for this reason

	roundRobin atomic.Bool // is wanted of the scheduler by default

	adaptation     uint32         // the indication that the peer was sent
	peerAdaptation atomic.Uint32  // the peer's, 0 while it is not known
	early          []engine.Event // what came before all else, for the owner's Recv

	informs atomic.Bool        // messages come with their info
	taken   atomic.Bool        // there is an owner, to whom Send and Recv are left
	partial atomic.Pointer[op] // a Send that has sent something and not all
	cut     sync.Mutex         // held to decide whether it is to go on with an owner
	watches bool               // the owner is told of messages that were cut off
	holds   atomic.Bool        // there is data held

	// Under the poller's lock for readers.
	note   []byte // a notification so far
	events parser
	forecast
	held []held
	cuts cutWatch
}

// An origin is how an association came about.
type origin struct {
	options engine.Options
	bound   *engine.Addr // what its socket was bound to, nil for nothing
	remote  *engine.Addr // what was dialed, if it was
	foreign bool         // somebody else may have set options too
	status  *sctp.Status // if it is known
	parent  *listener    // that has accepted it
	reborn  bool         // the peer has restarted the association
	peeled  *peeled      // from a one-to-many socket, or nil
}

// newConn takes over a socket whose handshake is done.
func newConn(sk *socket, from origin) (*conn, error) {
	c := &conn{socket: sk, remote: from.remote, alone: runtime.GOMAXPROCS(0) == 1}
	o := from.options
	c.parent, c.keeps = from.parent, o.KeepRestarted
	c.reborn = from.reborn
	c.informs.Store(from.parent != nil && from.parent.informs)
	if from.peeled != nil {
		c.peel(from.peeled)
	}
	err := c.control(func(fd int) (err error) {
		st := from.status
		if st == nil {
			s, err := assocStatus(fd)
			if err != nil {
				c.ended.Store(true) // the peer is gone already
			}
			st = &s
		}
		if st.State > stateEstablished {
			// The peer has begun to shut down before the socket was there, and
			// will not be known to have done so.
			c.ended.Store(true)
			if err := ifKnown(setEvent(fd, eventAssocChange)); err != nil {
				return err
			}
		}
		c.setStreams(st.Ostreams, st.Instreams)
		c.roundRobin.Store(o.RoundRobin)
		c.watches = o.Events
		for i := range rows {
			c.know(&rows[i], &o.Settings)
		}
		if from.foreign {
			if v, err := defaultReliability(socketOf(fd)); err == nil {
				c.reliability.Store(v.pack())
			}
			c.segmented.Store(true)
		}
		if o.Adaptation != 0 || from.foreign || from.reborn {
			if err := optAdaptation.get(fd, &c.adaptation); err != nil {
				return err
			}
		}
		if o.Interleaving || from.foreign {
			v, err := optInterleaving.getValue(fd)
			c.interleaved = err == nil && v != 0
		}
		if !from.reborn && !c.peeled && (o.Adaptation != 0 || !o.Events) {
			c.readEarly(fd, o.Events, o.Adaptation != 0)
		}
		primary, _, _ := parseSockaddr(st.PrimaryPeerAddr.Address[:])
		if c.remote == nil {
			c.remote = peerAddr(fd, primary)
		}
		if c.local, err = localAddr(fd, from.bound, c.remote); err != nil {
			return err
		}
		window := int(st.RWND)
		if !o.SmallLoopbackMTU || !socketOf(fd).shrinkLoopbackMTU(st) {
			c.setTurns(window / 4)
			return nil
		}
		c.setTurns(window * 2 / 3)
		return nil
	})
	return c, err
}

// shrinkLoopbackMTU sets the path MTU of an association over the loopback
// interface, if it is one. All addresses of a peer on this host are reached so. The
// MTU is asked first because it costs nothing. What is set here fails only if the
// association has ended by now. The next Read or Write will tell.
func (t target) shrinkLoopbackMTU(st *sctp.Status) bool {
	primary, _, _ := parseSockaddr(st.PrimaryPeerAddr.Address[:])
	if st.PrimaryPeerAddr.MTU < loopbackMTU || !isLocal(primary.IP) {
		return false
	}
	t.set(optPathParams, pathParams{
		PathMTU: uint32(windowMTU(smallLoopbackMTU, int(st.RWND))),
		Flags:   sppPMTUDDisable,
	})
	return true
}

// loopbackMTU is the path MTU over Linux's interface lo. The interface has 65536, an
// IPv4 packet can have 65535, and SCTP takes the multiple of four below.
const loopbackMTU = 65532

// smallLoopbackMTU is so much less that two chunks of half a message of a Write,
// which are 64 KiB, fit with the headers of IPv6: with one chunk that nearly
// fills the window transfers stall. It is halved for small windows.
const smallLoopbackMTU = 32<<10 + 40 + 12 + 16

// windowMTU is mtu, or so much less that a window holds several packets: else
// one could be more than the receiver ever has room for.
func windowMTU(mtu, window int) int {
	const least = 1500
	for window > 0 && mtu > max(window/6, least) {
		mtu = max(mtu/2, least)
	}
	return mtu
}

// isLocal reports whether an address is this host's.
func isLocal(ip net.IP) bool {
	if ip.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(addrs, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	})
}

// peerAddr is the peer's list of addresses, the primary first, or nil when the
// association is gone and the list with it.
func peerAddr(fd int, primary net.IPAddr) *engine.Addr { return socketOf(fd).peerAddr(primary) }

func (t target) peerAddr(primary net.IPAddr) *engine.Addr {
	a, err := addrsOf(t.fd, sctp.SCTP_GET_PEER_ADDRS, uint32(t.assoc))
	if err != nil || len(a.IPAddrs) == 0 {
		return nil
	}
	for i, ip := range a.IPAddrs {
		if ip.IP.Equal(primary.IP) {
			a.IPAddrs[0], a.IPAddrs[i] = a.IPAddrs[i], a.IPAddrs[0]
			break
		}
	}
	return a
}

// localAddr is the socket's own address: what it was bound to, or where that
// is nothing in particular, one address of the host.
func localAddr(fd int, bound, remote *engine.Addr) (*engine.Addr, error) {
	a, err := anyLocalAddr(fd, bound, remote)
	if err != nil || !slices.ContainsFunc(a.IPAddrs, lacksZone) {
		return a, err
	}
	zoned := &engine.Addr{Port: a.Port}
	for _, ip := range a.IPAddrs {
		if lacksZone(ip) {
			ip.Zone = localZone(ip.IP, remote)
		}
		zoned.IPAddrs = append(zoned.IPAddrs, ip)
	}
	return zoned, nil
}

// anyLocalAddr is localAddr with zones missing that the kernel does not give.
func anyLocalAddr(fd int, bound, remote *engine.Addr) (*engine.Addr, error) {
	if bound != nil && bound.Port != 0 && !isWildcard(bound) {
		return bound, nil
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	name := fromSockaddr(sa)
	if !isWildcard(bound) {
		return &engine.Addr{IPAddrs: bound.IPAddrs, Port: name.Port}, nil
	}
	if remote == nil || !isWildcard(name) {
		return name, nil
	}
	if ip := remote.IPAddrs[0]; len(remote.IPAddrs) == 1 && (ip.IP.Equal(localhost4) || ip.IP.Equal(net.IPv6loopback)) {
		return &engine.Addr{IPAddrs: one(ip), Port: name.Port}, nil // it is reached from itself
	}
	all, err := addrList(fd, sctp.SCTP_GET_LOCAL_ADDRS)
	if err != nil || len(all.IPAddrs) == 0 {
		return name, nil
	}
	// The kernel does not say which of them it sends from: prefer one that
	// has the peer's family and is of the loopback only if the peer is.
	peer := remote.IPAddrs[0].IP
	best, score := all.IPAddrs[0], -1
	for _, ip := range all.IPAddrs {
		s := boolInt(ip.IP.IsLoopback() == peer.IsLoopback()) + 2*boolInt(is4(ip.IP) == is4(peer)) + 4*boolInt(ip.IP.Equal(peer))
		if s > score {
			best, score = ip, s
		}
	}
	return &engine.Addr{IPAddrs: []net.IPAddr{best}, Port: name.Port}, nil
}

var localhost4 = net.IPv4(127, 0, 0, 1)

func (c *conn) LocalAddr() *engine.Addr  { return c.local }
func (c *conn) RemoteAddr() *engine.Addr { return c.remote }

func (c *conn) Adaptation() (local, peer uint32) { return c.adaptation, c.peerAdaptation.Load() }

func (c *conn) Close() error {
	return c.finish(c.holds.Load()) // as the system does with what was not read
}

func (c *conn) Abort() error { return c.finish(true) }

func (c *conn) Shutdown() error {
	// Set first: the reader must know once the kernel wakes it.
	c.ended.Store(true)
	return c.control(func(fd int) error {
		// The end that we asked for makes no socket readable by itself. As
		// an event it does.
		if err := ifKnown(setEvent(fd, eventAssocChange)); err != nil {
			return err
		}
		if c.peeled { // where shutdown(2) does nothing
			if err := socketOf(fd).finish(eofFlag); err != engine.ErrEnded {
				return err
			}
			return nil
		}
		if err := unix.Shutdown(fd, unix.SHUT_WR); err != nil && err != unix.ENOTCONN {
			return os.NewSyscallError("shutdown", err)
		}
		return nil // not connected: the association is gone, which will do
	})
}

// fail takes note of an errno that a call returned, if the association is gone
// with it, and wakes the reader, which the kernel will not tell.
func (c *conn) fail(fd int, errno unix.Errno) {
	if _, err := assocStatus(fd); err == nil {
		return
	}
	switch errno {
	case unix.EPIPE, unix.ESHUTDOWN, unix.ENOTCONN:
		if c.ended.Load() || c.peeled || isShut(fd) {
			break // or what has happened will be received as an event
		}
		// It was no end that the peer had announced, and so a failure, whose
		// errno sendmmsg has swallowed.
		errno = unix.ECONNRESET
		fallthrough
	default:
		c.cause.CompareAndSwap(0, uint32(errno))
	}
	c.ended.Store(true)
	unix.Shutdown(fd, unix.SHUT_RD)
}

// wasShutDown reports whether sending was shut down, of an association that has
// ended. The kernel says so only when receiving is shut down too.
func wasShutDown(fd int) bool {
	unix.Shutdown(fd, unix.SHUT_RD)
	p := []unix.PollFd{{Fd: int32(fd)}}
	_, err := unix.Poll(p, 0)
	return err == nil && p[0].Revents&unix.POLLHUP != 0
}

// isShut reports whether there is nothing more to receive because the peer has
// said so, or we have.
func isShut(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	_, err := unix.Poll(p, 0)
	return err == nil && p[0].Revents&unix.POLLRDHUP != 0
}

// end is what Recv returns when the association has ended.
func (c *conn) end() error {
	if errno := unix.Errno(c.cause.Load()); errno != 0 {
		return os.NewSyscallError("recvmsg", errno)
	}
	if c.lost.Load() { // before accept, so that the socket was told no errno
		return os.NewSyscallError("recvmsg", unix.ECONNRESET)
	}
	return io.EOF
}

func (c *conn) SetLinger(sec int) error {
	return c.control(func(fd int) error { return setLinger(fd, sec) })
}

func (c *conn) MaxMessageSize() (int, error) { return read(c, optWriteBuffer.getInt) }

func (sk *socket) SetDeadline(t time.Time) error     { return setDeadline(sk.file.SetDeadline, t) }
func (sk *socket) SetReadDeadline(t time.Time) error { return setDeadline(sk.file.SetReadDeadline, t) }
func (sk *socket) SetWriteDeadline(t time.Time) error {
	return setDeadline(sk.file.SetWriteDeadline, t)
}

func setDeadline(set func(time.Time) error, t time.Time) error {
	if set(t) != nil {
		return net.ErrClosed // there is no other reason
	}
	return nil
}

func (sk *socket) SyscallConn() (syscall.RawConn, error) { return rawConn{sk.raw}, nil }

// A rawConn is the os.File's, with package net's errors.
type rawConn struct{ raw syscall.RawConn }

func (r rawConn) Control(f func(fd uintptr)) error {
	if r.raw.Control(f) != nil {
		return net.ErrClosed
	}
	return nil
}

func (r rawConn) Read(f func(fd uintptr) bool) error {
	if err := r.raw.Read(f); err != nil {
		return waitError(err)
	}
	return nil
}

func (r rawConn) Write(f func(fd uintptr) bool) error {
	if err := r.raw.Write(f); err != nil {
		return waitError(err)
	}
	return nil
}

// SyscallConn returns the socket. What Take interrupts goes on.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	return rawAssoc{rawConn{c.raw}, c}, nil
}

// A rawAssoc is the rawConn of an association, which an owner may take.
type rawAssoc struct {
	rawConn
	c *conn
}

// Read waits until Close once there is an owner: all that arrives is the owner's.
func (r rawAssoc) Read(f func(fd uintptr) bool) error {
	if !r.c.taken.Load() {
		err := r.c.overError(r.rawConn.Read(f))
		if err != os.ErrDeadlineExceeded || !r.c.taken.Load() {
			return err
		}
	}
	<-r.c.over
	return net.ErrClosed
}

func (r rawAssoc) Write(f func(fd uintptr) bool) error {
	taken := r.c.taken.Load()
	err := r.rawConn.Write(f)
	if err == os.ErrDeadlineExceeded && !taken && r.c.taken.Load() {
		// Take has used the deadline.
		r.c.awaitTake()
		err = r.rawConn.Write(f)
	}
	return r.c.overError(err)
}

func (r rawAssoc) Control(f func(fd uintptr)) error { return r.c.overError(r.rawConn.Control(f)) }

// awaitTake waits until Take, which has begun, is done.
func (c *conn) awaitTake() {
	c.cut.Lock()
	defer c.cut.Unlock()
}
