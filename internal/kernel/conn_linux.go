package kernel

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"

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

	streams     atomic.Uint32               // how many: outgoing ones << 16, and incoming
	most        atomic.Pointer[lifeStreams] // how many this life has, nil if all of them
	reliability atomic.Uint64               // the default of messages, as prInfo.pack has it
	segmented   atomic.Bool                 // SCTP_MAXSEG was set, or may have been by somebody else
	interleaved bool                        // pieces of messages can alternate

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

	full fullWatch // for readers

	lacksMemory atomic.Bool // a writer is to try again, for this reason

	roundRobin atomic.Bool // is wanted of the scheduler by default

	adaptation     uint32         // the indication that the peer was sent
	peerAdaptation atomic.Uint32  // the peer's, 0 while it is not known
	early          []engine.Event // what came before all else, for the owner's Recv
	up             upNote

	informs atomic.Bool        // messages come with their info
	taken   atomic.Bool        // there is an owner, to whom Send and Recv are left
	partial atomic.Pointer[op] // a Send that waits, or leaves, with some of its messages sent
	taking  sync.Mutex         // held by Take
	watches bool               // the owner is told of messages that were cut off
	holds   atomic.Bool        // there is data held

	// Under the poller's lock for readers.
	note   []byte // a notification so far
	events parser
	forecast
	held []held
	cuts cutWatch

	unordered unordered // under the same
}

// An origin is how an association came about.
type origin struct {
	options engine.Options
	bound   *engine.Addr // what its socket was bound to, nil for nothing
	remote  *engine.Addr // what was dialed, if it was
	foreign bool         // somebody else may have set options too
	status  *sctp.Status // if it is known
	parent  *listener    // that has accepted it
	reborn  bool         // the peer has restarted the association,
	most    *lifeStreams // and this is how many streams it has
	peeled  *peeled      // from a one-to-many socket, or nil
}

// newConn takes over a socket whose handshake is done.
func newConn(sk *socket, from origin) (*conn, error) {
	c := &conn{socket: sk, remote: from.remote, alone: runtime.GOMAXPROCS(0) == 1}
	o := from.options
	c.parent, c.keeps = from.parent, o.KeepRestarted
	c.reborn = from.reborn
	c.most.Store(from.most)
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
		c.watches, c.unordered.wantsDry = o.Events, o.SenderDry
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
		if o.Interleaving && !c.interleaved && o.FragmentInterleave <= 0 {
			// Where nothing interleaves, the option has Linux deliver what has waited for
			// the end of a message in pieces in the wrong order.
			if err := optFragmentInterleave.setInt(fd, 0); err != nil {
				return err
			}
		}
		switch {
		case from.reborn || c.peeled:
		case o.Adaptation != 0 || from.foreign && !o.Events:
			c.readEarly(fd, o.Events, o.Adaptation != 0)
		case !o.Events:
			c.up.isQueued.Store(true)
		}
		if c.remote == nil {
			primary, _, _ := parseSockaddr(st.PrimaryPeerAddr.Address[:])
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
	if err == nil && c.remote != nil { // else the association is over
		c.beginWatch(o.PartialDeliveryPoint > 0 || c.peeled)
	}
	return c, err
}

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
		if !c.keeps && c.hasUnreadRestart(fd) {
			return nil // what is to end is over, and the next life would take it for its end
		}
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

func (c *conn) SetLinger(sec int) error {
	return c.control(func(fd int) error { return setLinger(fd, sec) })
}

func (c *conn) MaxMessageSize() (int, error) { return read(c, optWriteBuffer.getInt) }
