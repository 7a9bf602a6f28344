package kernel

import (
	"context"
	"encoding/binary"
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

	// receiving is held while things are received and taken.
	receiving sync.Mutex
	in        receiver
	wait      packetWait
	watch     packetWatch
	reserve   reserve
	waits     atomic.Bool // a reader may be waiting
	shared    atomic.Bool // another descriptor may receive what this one does not

	mu     sync.Mutex
	assocs map[engine.AssocID]*assoc
}

// An assoc is what a packet knows of an association.
type assoc struct {
	attempt attempt // of the handshake that this end has begun
	adapted uint32  // the peer's adaptation layer indication
	budget  budget  // under the poller's lock for writers
	// restarted says that the kernel has dropped what was queued. What it counted
	// as not acknowledged it still does.
	restarted atomic.Bool

	reliability atomic.Uint64 // the default of its messages
	most        atomic.Pointer[lifeStreams]

	// Under receiving.
	reborn      bool // the peer has restarted it
	tag         lifeTag
	fence       fence
	isUnordered bool // the message that has begun
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
		if err := optRecvRcvInfo.setInt(fd, 1); err != nil {
			return err
		}
		// It must be known which addresses a peer has no more.
		if err := setEvent(fd, eventPeerAddrChange); err != nil {
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
		if err := p.reserve.keep(fd); err != nil {
			return err
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

// find is assoc, but returns nil if nothing is known.
func (p *packet) find(id engine.AssocID) *assoc {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.assocs[id]
}

func (p *packet) forget(id engine.AssocID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.assocs[id]; a != nil {
		a.attempt.end()
	}
	delete(p.assocs, id)
}

// File returns a duplicate of the descriptor.
func (p *packet) File() (*os.File, error) {
	p.shared.Store(true)
	return p.socket.File()
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
		for size := 32; ; size *= 4 {
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
func (p *packet) Paths(id engine.AssocID) ([]engine.Path, error)   { return askOne(p, id, pathsOf) }
func (p *packet) Stats(id engine.AssocID) (engine.Stats, error)    { return askOne(p, id, statsOf) }

func (p *packet) Status(id engine.AssocID) (engine.Status, error) {
	var most *lifeStreams
	if a := p.find(id); a != nil {
		most = a.most.Load()
	}
	return most.status(askOne(p, id, statusOf))
}

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
