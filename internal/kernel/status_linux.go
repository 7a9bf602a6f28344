package kernel

import (
	"encoding/binary"
	"os"
	"sync"
	"time"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// status asks for SCTP_STATUS. It returns engine.ErrEnded if there is none any more.
func (t target) status() (sctp.Status, error) {
	st, err := t.assocStatus()
	if err == unix.EINVAL {
		err = engine.ErrEnded
	}
	return st, err
}

// assocStatus asks for SCTP_STATUS. It fails with EINVAL once the association
// is gone, and with nothing else that a socket of ours can meet.
func assocStatus(fd int) (sctp.Status, error) { return socketOf(fd).assocStatus() }

func (t target) assocStatus() (sctp.Status, error) {
	var st sctp.Status
	// It is laid out as the kernel's struct sctp_status, and has no padding.
	b := (*[unsafe.Sizeof(st)]byte)(unsafe.Pointer(&st))[:]
	t.name(b)
	_, err := getsockopt(t.fd, sctp.SCTP_STATUS, b)
	return st, err
}

const optGetAssocStats = 112 // SCTP_GET_ASSOC_STATS

// sizeofPathInfo is the size of a struct sctp_paddrinfo, which has no padding.
const sizeofPathInfo = 4 + 128 + 5*4

// sizeofAssocStats is the size of a struct sctp_assoc_stats where 64-bit
// integers are aligned, which are most architectures.
const sizeofAssocStats = 256

func (c *conn) Status() (engine.Status, error) { return c.most.Load().status(ask(c, 0, statusOf)) }
func (c *conn) Paths() ([]engine.Path, error)  { return ask(c, 0, pathsOf) }
func (c *conn) Stats() (engine.Stats, error)   { return ask(c, 0, statsOf) }

func statusOf(t target) (engine.Status, error) {
	st, err := t.status()
	if err != nil {
		return engine.Status{}, err
	}
	s := newStatus(&st)
	var v assocParams
	err = t.get(optAssocInfo, &v)
	s.LocalWindow = int(v.LocalRWND)
	return s, err
}

func newStatus(st *sctp.Status) engine.Status {
	s := engine.Status{
		State:              engine.State(st.State),
		OutStreams:         st.Ostreams,
		InStreams:          st.Instreams,
		Unacked:            int(st.Unackdata),
		Pending:            int(st.Penddata),
		PeerWindow:         int(st.RWND),
		FragmentationPoint: int(st.FragmentationPoint),
		Primary:            newPath(&st.PrimaryPeerAddr),
	}
	s.Primary.Primary = true
	return s
}

func pathsOf(t target) (paths []engine.Path, err error) {
	st, err := t.status()
	if err != nil {
		return nil, err
	}
	primary, _, _ := parseSockaddr(st.PrimaryPeerAddr.Address[:])
	peer := t.peerAddr(primary)
	if peer == nil {
		return nil, engine.ErrEnded
	}
	for _, ip := range peer.IPAddrs {
		p, err := t.pathInfo(&engine.Addr{IPAddrs: one(ip), Port: peer.Port})
		if err == unix.EINVAL {
			continue // the address has gone meanwhile
		} else if err != nil {
			return nil, os.NewSyscallError("getsockopt", err)
		}
		p.Addr = toNetip(ip)
		p.Primary = ip.IP.Equal(primary.IP) && ip.Zone == primary.Zone
		paths = append(paths, p)
	}
	if len(paths) == 0 {
		return nil, engine.ErrEnded
	}
	return paths, nil
}

// pathInfo asks for SCTP_GET_PEER_ADDR_INFO of one address.
func (t target) pathInfo(addr *engine.Addr) (engine.Path, error) {
	sa, err := appendSockaddrs(make([]byte, 4, sizeofPathInfo), addr)
	if err != nil {
		return engine.Path{}, err
	}
	buf := sa[:sizeofPathInfo]
	t.name(buf)
	switch _, err := getsockopt(t.fd, sctp.SCTP_GET_PEER_ADDR_INFO, buf); err {
	case nil:
	case unix.EACCES:
		// With net.sctp.pf_expose=1 this is what the kernel has to say of a
		// path that has potentially failed, and of no other.
		return engine.Path{State: engine.PathStatePotentiallyFailed}, nil
	default:
		return engine.Path{}, err
	}
	var info sctp.PeerAddrinfo
	if _, err := binary.Decode(buf, binary.NativeEndian, &info); err != nil {
		return engine.Path{}, err
	}
	return newPath(&info), nil
}

func newPath(info *sctp.PeerAddrinfo) engine.Path {
	p := engine.Path{
		State: engine.PathStateUnknown,
		CWND:  int(info.CWND),
		SRTT:  jiffies(uint64(info.SRTT)),
		RTO:   time.Duration(info.RTO) * time.Millisecond,
		MTU:   int(info.MTU),
	}
	if ip, _, n := parseSockaddr(info.Address[:]); n > 0 {
		p.Addr = toNetip(ip)
	}
	switch info.State { // enum sctp_spinfo_state
	case 0:
		p.State = engine.PathStateInactive
	case 1:
		p.State = engine.PathStatePotentiallyFailed
	case 2:
		p.State = engine.PathStateActive
	case 3:
		p.State = engine.PathStateUnconfirmed
	}
	return p
}

// tick is the kernel's jiffy. The kernel gives spinfo_srtt and sas_maxrto in
// them, where all else is in milliseconds.
var tick = sync.OnceValue(func() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &ts); err != nil || ts.Nano() <= 0 {
		return 4 * time.Millisecond
	}
	// Of HZ=300 it is not a whole number of nanoseconds.
	return time.Second / time.Duration((int64(time.Second)+ts.Nano()/2)/ts.Nano())
})

func jiffies(n uint64) time.Duration { return time.Duration(n) * tick() }

func statsOf(t target) (engine.Stats, error) {
	buf := make([]byte, sizeofAssocStats)
	t.name(buf)
	n, err := getsockopt(t.fd, optGetAssocStats, buf)
	if err == unix.EINVAL {
		return engine.Stats{}, engine.ErrEnded
	} else if err != nil {
		return engine.Stats{}, os.NewSyscallError("getsockopt", err)
	}
	s, ok := parseStats(buf[:n])
	if !ok {
		return engine.Stats{}, os.NewSyscallError("getsockopt", unix.EMSGSIZE)
	}
	return s, nil
}

// parseStats reads a struct sctp_assoc_stats: the association, an address, and
// 15 counters of 64 bits at the end. How the address and the counters are
// aligned is a matter of the kernel's architecture.
func parseStats(b []byte) (s engine.Stats, ok bool) {
	const counters = 15
	if len(b) < 4+128+counters*8 {
		return s, false
	}
	addr := b[4:]
	if binary.NativeEndian.Uint16(addr) == 0 {
		addr = b[8:]
	}
	var v [counters]uint64
	for i, rest := 0, b[len(b)-counters*8:]; i < counters; i++ {
		v[i] = binary.NativeEndian.Uint64(rest[i*8:])
	}
	s = engine.Stats{
		MaxRTO:            jiffies(v[0]),
		SACKsReceived:     v[1],
		SACKsSent:         v[2],
		PacketsSent:       v[3],
		PacketsReceived:   v[4],
		Retransmitted:     v[5],
		OutOfOrder:        v[6],
		Duplicates:        v[7],
		GapAcks:           v[8],
		UnorderedSent:     v[9],
		UnorderedReceived: v[10],
		OrderedSent:       v[11],
		OrderedReceived:   v[12],
		ControlSent:       v[13],
		ControlReceived:   v[14],
	}
	if ip, _, n := parseSockaddr(addr); n > 0 && s.MaxRTO > 0 {
		s.MaxRTOAddr = toNetip(ip)
	}
	return s, true
}
