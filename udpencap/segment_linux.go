package udpencap

import (
	"encoding/binary"
	"errors"
	"net"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A segmenter hands the system many packets at once, as one that it divides
// (UDP_SEGMENT, Linux 4.18), and asks for the same when receiving (UDP_GRO,
// Linux 5.0).
type segmenter struct{ able atomic.Bool }

// Of what the system takes at once: packets, and bytes.
const (
	maxSegments = 64
	maxBatch    = 65000
)

// loopbackMTU is the size of a packet over the loopback interface, whose MTU is
// 65536: 64 KiB of data are four packets.
const loopbackMTU = 16<<10 + headerSize + dataHeaderSize

func (g *segmenter) init(c *net.UDPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1)
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
	_, _, err := p.socket.conn.WriteMsgUDPAddrPort(b, oob, p.to)
	switch {
	case err == nil:
		return true
	case isErrno(err, unix.EIO):
		g.able.Store(false) // the device has no checksums to offload
	}
	return !isErrno(err, unix.EIO, unix.EINVAL, unix.EMSGSIZE)
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
