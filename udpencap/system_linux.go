package udpencap

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// A sysSocket is what the system has of a socket. It is handed many packets at once: as
// one that it divides (UDP_SEGMENT, Linux 4.18), and for peers that must not get that, by
// sendmmsg. It hands over many, too (UDP_GRO, Linux 5.0).
type sysSocket struct {
	raw     syscall.RawConn
	divides atomic.Bool // batches

	mu sync.Mutex // held while packets are divided
}

// Of what the system takes at once: packets, and bytes.
const (
	maxSegments = 64
	maxBatch    = 65000
)

// loopbackMTU is the size of a packet over the loopback interface, whose MTU is
// 65536: 64 KiB of data are four packets.
const loopbackMTU = 16<<10 + headerSize + dataHeaderSize

// tellsOfClosedPorts says that the system tells a socket of packets that have come to a
// closed port.
const tellsOfClosedPorts = true

// currentNetwork tells the network namespaces apart that threads of one process
// can be in.
func currentNetwork() uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/thread-self/ns/net", &st) != nil {
		return 0
	}
	return st.Ino
}

func (y *sysSocket) init(c *net.UDPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	y.raw = raw
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1)
		// It tells of closed ports then, too.
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1)
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
		// With the privilege for that it may be larger than others'.
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sockBuffer)
		y.discover(fd, true)
		_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		y.divides.Store(err == nil)
	})
}

// setReadBuffer is for what package net cannot do. It returns how much was granted.
func (y *sysSocket) setReadBuffer(size, granted int) int {
	if y.raw == nil {
		return granted
	}
	y.raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size)
		if n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF); err == nil {
			granted = n // twice as much, for what the system needs itself
		}
	})
	return granted
}

// discover has packets be sent whole, whatever the system believes of the path's MTU, or
// be divided on the way.
func (y *sysSocket) discover(fd uintptr, on bool) {
	mode4, mode6, size := unix.IP_PMTUDISC_DONT, unix.IPV6_PMTUDISC_DONT, baseMTU+ipv6Overhead
	if on {
		mode4, mode6, size = unix.IP_PMTUDISC_PROBE, unix.IPV6_PMTUDISC_PROBE, 0
	}
	// One of them is for the other family.
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, mode4)
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, mode6)
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU, size)
}

// trySend sends packets of size bytes, as far as the system takes them now. The last
// packet may be shorter. It returns how many bytes are done with, and whether there was
// no room for the rest. What cannot be sent otherwise is done with.
func (p path) trySend(b []byte, size int) (n int, full bool) {
	s := p.socket
	if ip := p.to.Addr(); ip.Zone() != "" || ip.Is4() != s.is4() || s.sys.raw == nil {
		return p.sendWaiting(b, size), false
	}
	c := newSend(p, b, size)
	defer c.free()
	if s.sys.raw.Control(c.control) != nil {
		return len(b), false
	}
	return c.done, c.full
}

// waitSend is trySend for a socket that had no room. It waits until there is some.
func (p path) waitSend(b []byte, size int) (n int) {
	c := newSend(p, b, size)
	defer c.free()
	if p.socket.sys.raw.Write(func(fd uintptr) bool {
		c.control(fd)
		return c.done > 0
	}) != nil {
		return len(b)
	}
	return c.done
}

// A send is one call of trySend.
type send struct {
	p       path
	b       []byte
	size    int
	done    int
	full    bool
	control func(fd uintptr) // which is run

	name    [unix.SizeofSockaddrInet6]byte // the address
	nameLen int
	oob     []byte
	msgs    [maxSegments]mmsghdr
	iovs    [maxSegments]unix.Iovec
}

// An mmsghdr is one of the messages of sendmmsg.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

var sends sync.Pool

func newSend(p path, b []byte, size int) *send {
	c, _ := sends.Get().(*send)
	if c == nil {
		c = &send{oob: make([]byte, 0, 64)}
		c.control = c.run
	}
	c.p, c.b, c.size, c.done, c.full = p, b, size, 0, false
	ip := p.to.Addr()
	if p.socket.is4() {
		binary.NativeEndian.PutUint16(c.name[:], unix.AF_INET)
		a := ip.As4()
		copy(c.name[4:], a[:])
		c.nameLen = unix.SizeofSockaddrInet4
	} else {
		binary.NativeEndian.PutUint16(c.name[:], unix.AF_INET6)
		a := ip.As16()
		copy(c.name[8:], a[:])
		c.nameLen = unix.SizeofSockaddrInet6
	}
	binary.BigEndian.PutUint16(c.name[2:], p.to.Port())
	return c
}

func (c *send) free() {
	c.p, c.b = path{}, nil
	clear(c.name[:])
	for i := range c.msgs {
		if c.msgs[i].hdr.Iov == nil {
			break
		}
		c.msgs[i], c.iovs[i] = mmsghdr{}, unix.Iovec{}
	}
	sends.Put(c)
}

// run sends what was not sent yet.
func (c *send) run(fd uintptr) {
	c.full = false
	if c.p.divide || c.p.whole {
		// Others may send meanwhile: that packets of theirs may be divided does no harm, but
		// a probe of the MTU must not be.
		y := &c.p.socket.sys
		y.mu.Lock()
		defer y.mu.Unlock()
		if c.p.divide {
			y.discover(fd, false)
			defer y.discover(fd, true)
		}
	}
	for tries := 0; c.done < len(c.b) && !c.full; {
		n := c.prepare()
		sent, _, e := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&c.msgs[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case e == 0 && sent > 0:
			for i := range int(sent) {
				c.done += int(c.iovs[i].Len)
			}
		case e == unix.EAGAIN:
			c.full = true
		case e == unix.EINTR:
		case tries < mostTries && c.p.socket.isOfEarlier(e):
			tries++
		case len(c.oob) > len(c.p.oob) && (e == unix.EIO || e == unix.EINVAL || e == unix.EMSGSIZE):
			// It does not divide them: with EIO the device has no checksums to offload.
			c.p.single = true
			if e == unix.EIO {
				c.p.socket.sys.divides.Store(false)
			}
		case e == unix.EMSGSIZE && !c.p.whole && !c.p.divide:
			c.p.divide = true
			c.run(fd)
			return
		default:
			c.done += int(c.iovs[0].Len) // it counts as lost
		}
	}
}

// prepare makes the messages of the next system call.
func (c *send) prepare() (n int) {
	c.oob = append(c.oob[:0], c.p.oob...)
	rest, each := c.b[c.done:], c.size
	if len(rest) > c.size && !c.p.single && c.p.socket.sys.divides.Load() {
		c.oob = appendSegmentSize(c.oob, c.size)
		each = len(rest)
	}
	for ; len(rest) > 0 && n < maxSegments; n++ {
		k := min(each, len(rest))
		c.iovs[n].Base = &rest[0]
		c.iovs[n].SetLen(k)
		rest = rest[k:]
		h := &c.msgs[n].hdr
		h.Name, h.Namelen = &c.name[0], uint32(c.nameLen)
		h.Iov = &c.iovs[n]
		h.SetIovlen(1)
		if len(c.oob) > 0 {
			h.Control = &c.oob[0]
		} else {
			h.Control = nil
		}
		h.SetControllen(len(c.oob))
	}
	return n
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

// isOfEarlier reports whether the error of a call is that of a packet before,
// which the system tells of instead of doing what it was asked for.
func (s *socket) isOfEarlier(err error) bool {
	if isErrno(err, unix.ENOBUFS) {
		return false // a queue was full; it tells by a setting of this socket
	}
	return s.hadErrors() || isErrno(err, unix.ECONNREFUSED) // somebody else has read it
}

// hadErrors drains the socket's error queue and reports whether it held anything.
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
		// The caller may hold locks.
		switch errno, mtu := icmpError(oob[:oobn]); errno {
		case unix.ECONNREFUSED:
			go s.onPortUnreachable(buf[:n], addrPort(to))
		case unix.EMSGSIZE:
			go s.onTooBig(buf[:n], addrPort(to), mtu)
		}
	}
}

// icmpError returns what control messages of the error queue say that a host or a router
// has answered: ECONNREFUSED if there is no such UDP port, and EMSGSIZE with the MTU of a
// router's next link if the packet was larger.
func icmpError(oob []byte) (errno unix.Errno, mtu int) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, 0
	}
	for _, m := range msgs {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR:
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR:
		default:
			continue
		}
		if len(m.Data) < 12 {
			continue
		}
		// Of struct sock_extended_err: the errno, the origin, and the info.
		if origin := m.Data[4]; origin == unix.SO_EE_ORIGIN_ICMP || origin == unix.SO_EE_ORIGIN_ICMP6 {
			return unix.Errno(binary.NativeEndian.Uint32(m.Data)), int(binary.NativeEndian.Uint32(m.Data[8:]))
		}
	}
	return 0, 0
}

// addrPort is a socket address as package net has it.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.ZoneId != 0 && ip.Is6() {
			ip = ip.WithZone(engine.ZoneName(strconv.Itoa(int(sa.ZoneId))))
		}
		return netip.AddrPortFrom(ip, uint16(sa.Port))
	}
	return netip.AddrPort{}
}
