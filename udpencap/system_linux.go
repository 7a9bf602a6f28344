package udpencap

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// A segmenter hands the system many packets at once: as one that it divides
// (UDP_SEGMENT, Linux 4.18), and to peers that must not get that, by sendmmsg.
// It asks for the first when receiving (UDP_GRO, Linux 5.0).
type segmenter struct {
	able atomic.Bool
	conn interface {
		WriteBatch(ms []ipv4.Message, flags int) (int, error)
	}
}

// Of what the system takes at once: packets, and bytes.
const (
	maxSegments = 64
	maxBatch    = 65000
)

// loopbackMTU is the size of a packet over the loopback interface, whose MTU is
// 65536: 64 KiB of data are four packets.
const loopbackMTU = 16<<10 + headerSize + dataHeaderSize

// currentNetwork tells the network namespaces apart that threads of one process
// can be in.
func currentNetwork() uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/thread-self/ns/net", &st) != nil {
		return 0
	}
	return st.Ino
}

func (g *segmenter) init(c *net.UDPConn) {
	g.conn = ipv4.NewPacketConn(c)
	if c.LocalAddr().(*net.UDPAddr).IP.To4() == nil {
		g.conn = ipv6.NewPacketConn(c)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1)
		// It tells of closed ports then, too.
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1)
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
		_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		g.able.Store(err == nil)
	})
}

// send sends packets of size bytes, the last of which may be shorter. It
// reports false if the system does not take them so.
func (g *segmenter) send(p path, b []byte, size int) bool {
	if !g.able.Load() {
		return false
	}
	var space [64]byte
	oob := appendSegmentSize(append(space[:0], p.oob...), size)
	err := p.socket.write(b, oob, p.to)
	switch {
	case err == nil:
		return true
	case isErrno(err, unix.EIO):
		g.able.Store(false) // the device has no checksums to offload
	}
	return !isErrno(err, unix.EIO, unix.EINVAL, unix.EMSGSIZE)
}

// A list is the packets for one sendmmsg.
type list struct {
	addr net.UDPAddr
	msgs [maxSegments]ipv4.Message
}

var lists = sync.Pool{New: func() any {
	l := new(list)
	for i := range l.msgs {
		l.msgs[i].Buffers = make([][]byte, 1)
		l.msgs[i].Addr = &l.addr
	}
	return l
}}

// sendEach is send for peers that must get single packets.
func (g *segmenter) sendEach(p path, b []byte, size int) bool {
	l := lists.Get().(*list)
	defer lists.Put(l)
	l.addr = *net.UDPAddrFromAddrPort(p.to)
	n := 0
	for ; len(b) > 0 && n < maxSegments; n++ {
		k := min(size, len(b))
		l.msgs[n].Buffers[0], l.msgs[n].OOB = b[:k], p.oob
		b = b[k:]
	}
	tries := 0
	for ms := l.msgs[:n]; len(ms) > 0; {
		sent, err := g.conn.WriteBatch(ms, 0)
		if err != nil && tries < mostTries && p.socket.isOfEarlier(err) {
			tries++
			continue
		}
		if err != nil || sent <= 0 {
			sent = 1 // it counts as lost
		}
		ms = ms[sent:]
	}
	for i := range n {
		l.msgs[i].Buffers[0], l.msgs[i].OOB = nil, nil
	}
	return true
}

func isErrno(err error, errnos ...unix.Errno) bool {
	for _, e := range errnos {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func appendSegmentSize(oob []byte, size int) []byte {
	var h unix.Cmsghdr
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	start := len(oob)
	oob = append(oob, unsafe.Slice((*byte)(unsafe.Pointer(&h)), unix.SizeofCmsghdr)...)
	oob = binary.NativeEndian.AppendUint16(oob, uint16(size))
	for len(oob)-start < unix.CmsgSpace(2) {
		oob = append(oob, 0)
	}
	return oob
}

// segmentSize finds the size of the packets in what was received at once, n if
// it is one.
func segmentSize(oob []byte, n int) int {
	for len(oob) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
		l := int(h.Len)
		if l < unix.SizeofCmsghdr || l > len(oob) {
			break
		}
		if h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && l >= unix.CmsgLen(2) {
			if size := int(binary.NativeEndian.Uint16(oob[unix.CmsgLen(0):])); size > 0 {
				return size
			}
		}
		oob = oob[min(unix.CmsgSpace(l-unix.CmsgLen(0)), len(oob)):]
	}
	return n
}

// write sends a datagram.
func (s *socket) write(b, oob []byte, to netip.AddrPort) error {
	for try := 0; ; try++ {
		_, _, err := s.conn.WriteMsgUDPAddrPort(b, oob, to)
		if err == nil || try == mostTries || !s.isOfEarlier(err) {
			return err
		}
	}
}

const mostTries = 3 // beside the first

// isOfEarlier reports whether the error of a call is that of a packet before,
// which the system tells of instead of doing what it was asked for.
func (s *socket) isOfEarlier(err error) bool {
	if isErrno(err, unix.ENOBUFS) {
		return false // a queue was full, of which only this socket's setting makes it tell
	}
	return s.hadErrors() || isErrno(err, unix.ECONNREFUSED) // somebody else has read it
}

// hadErrors reports whether the system had something to tell of packets that did
// not arrive, and has it handled.
func (s *socket) hadErrors() bool {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return false
	}
	had := false
	for {
		var n, oobn int
		var to unix.Sockaddr
		buf, oob := make([]byte, 64), make([]byte, 512)
		cerr := raw.Control(func(fd uintptr) {
			n, oobn, _, to, err = unix.Recvmsg(int(fd), buf, oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		})
		if cerr != nil || err != nil {
			return had
		}
		had = true
		if isPortUnreachable(oob[:oobn]) {
			go s.onPortUnreachable(buf[:n], addrPort(to)) // the caller may hold locks
		}
	}
}

// isPortUnreachable reports whether control messages of the error queue say that
// a host has no such UDP port.
func isPortUnreachable(oob []byte) bool {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return false
	}
	for _, m := range msgs {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR:
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR:
		default:
			continue
		}
		if len(m.Data) < 5 {
			continue
		}
		// Of struct sock_extended_err: the errno, and who says so.
		errno, origin := unix.Errno(binary.NativeEndian.Uint32(m.Data)), m.Data[4]
		if errno == unix.ECONNREFUSED && (origin == unix.SO_EE_ORIGIN_ICMP || origin == unix.SO_EE_ORIGIN_ICMP6) {
			return true
		}
	}
	return false
}

// addrPort is a socket address as package net has it.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.ZoneId != 0 && ip.Is6() {
			ip = ip.WithZone(zoneName(strconv.Itoa(int(sa.ZoneId))))
		}
		return netip.AddrPortFrom(ip, uint16(sa.Port))
	}
	return netip.AddrPort{}
}
