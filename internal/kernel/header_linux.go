package kernel

import (
	"encoding/binary"
	"net"
	"net/netip"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// A header is what sendmsg and recvmsg are told and tell of one message.
type header struct {
	hdr  unix.Msghdr
	name [unix.SizeofSockaddrInet6]byte
	iov  unix.Iovec
	sctl struct { // of a send; the second part only with a TTL
		info struct {
			hdr unix.Cmsghdr
			sctp.SndInfo
		}
		pr struct {
			hdr unix.Cmsghdr
			prInfo
		}
	}
	rctl rcvControl // of a receive
}

// A rcvControl is where the kernel writes the info of a message.
type rcvControl struct {
	hdr unix.Cmsghdr
	rcvInfo
}

// init points the header to its parts, once for all.
func (h *header) init() {
	h.hdr.Iov = &h.iov
	h.hdr.SetIovlen(1)
	info, pr := &h.sctl.info, &h.sctl.pr
	info.hdr.Level, info.hdr.Type = sctp.SOL_SCTP, sctp.SCTP_CMSG_SNDINFO
	info.hdr.SetLen(int(unsafe.Sizeof(*info)))
	pr.hdr.Level, pr.hdr.Type = sctp.SOL_SCTP, cmsgPRInfo
	pr.hdr.SetLen(int(unsafe.Sizeof(*pr)))
}

// point sets the buffer of the next system call. The header is in the heap and
// holds p as long as the call lasts, so the pointers that the kernel sees stay
// valid.
func (h *header) point(p []byte) {
	h.iov.Base = unsafe.SliceData(p)
	h.iov.SetLen(len(p))
}

// control sets the control buffer of the next system call, n bytes at p, which
// is a part of the header.
func (h *header) control(p unsafe.Pointer, n uintptr) {
	h.hdr.Control = (*byte)(p)
	h.hdr.SetControllen(int(n))
}

func (h *header) sendTo(fd int, ip netip.Addr, port int) error {
	h.hdr.Name, h.hdr.Namelen = nil, 0
	if !ip.IsValid() {
		return nil
	}
	h.hdr.Name = &h.name[0]
	binary.BigEndian.PutUint16(h.name[2:], uint16(port))
	if ip.Is4() {
		binary.NativeEndian.PutUint16(h.name[:], unix.AF_INET)
		b := ip.As4()
		copy(h.name[4:8], b[:])
		clear(h.name[8:unix.SizeofSockaddrInet4])
		h.hdr.Namelen = unix.SizeofSockaddrInet4
		return nil
	}
	zone, ok := zoneOf(fd, ip.Zone())
	if !ok {
		return &net.AddrError{Err: "unknown zone", Addr: ip.String()}
	}
	binary.NativeEndian.PutUint16(h.name[:], unix.AF_INET6)
	clear(h.name[4:8])
	b := ip.As16()
	copy(h.name[8:24], b[:])
	binary.NativeEndian.PutUint32(h.name[24:], zone)
	h.hdr.Namelen = unix.SizeofSockaddrInet6
	return nil
}

// zoneOf is zoneIndex without allocations, by means of a socket.
func zoneOf(fd int, zone string) (uint32, bool) {
	if zone == "" {
		return 0, true
	}
	if ifr, err := unix.NewIfreq(zone); err == nil && unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr) == nil {
		return ifr.Uint32(), true
	}
	index, err := zoneIndex(zone)
	return index, err == nil
}

// describe attaches the info of a message and its association, which is 0 where there
// is only one. reliability is the default, as prInfo.pack has it.
func (h *header) describe(m *engine.Message, flags uint16, assoc engine.AssocID, reliability uint64) {
	info := &h.sctl.info
	info.SndInfo = sctp.SndInfo{SID: m.Stream, Flags: flags, PPID: swapPPID(m.PPID), Context: m.Context, AssocID: int32(assoc)}
	if m.Unordered {
		info.Flags |= sctp.SCTP_UNORDERED
	}
	if m.To.IsValid() {
		info.Flags |= sctp.SCTP_ADDR_OVER
	}
	n := unsafe.Sizeof(*info)
	if m.TTL > 0 {
		// Rounded up: a lifetime of 0 would be for ever.
		h.sctl.pr.prInfo = prInfo{Policy: prTimed, Value: milliseconds(m.TTL)}
		n = unsafe.Sizeof(h.sctl)
	} else if reliability != 0 {
		// With any information the kernel takes the policy from there too.
		h.sctl.pr.prInfo = unpack(reliability)
		n = unsafe.Sizeof(h.sctl)
	}
	h.control(unsafe.Pointer(&h.sctl), n)
}

// swapPPID converts between host order and the order in which it travels.
func swapPPID(ppid uint32) uint32 {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], ppid)
	return binary.NativeEndian.Uint32(b[:])
}

func (r *rcvControl) message(hdr *unix.Msghdr) engine.Message {
	m := engine.Message{More: hdr.Flags&unix.MSG_EOR == 0}
	if uintptr(hdr.Controllen) < unsafe.Offsetof(r.rcvInfo)+unsafe.Sizeof(r.rcvInfo) || r.hdr.Level != sctp.SOL_SCTP || r.hdr.Type != sctp.SCTP_CMSG_RCVINFO {
		return m
	}
	m.Stream = r.Stream
	m.PPID = swapPPID(r.PPID)
	m.Unordered = r.Flags&sctp.SCTP_UNORDERED != 0
	m.SSN = r.SSN
	m.TSN = r.TSN
	return m
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

type mmsghdr struct { // struct mmsghdr
	unix.Msghdr
	n uint32
}
