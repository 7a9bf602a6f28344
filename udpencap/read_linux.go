package udpencap

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Limits of what is taken from a socket before it is acknowledged.
const (
	mostReceived = 4        // buffers filled by one system call; with UDP_GRO each may have several packets
	enough       = 64 << 10 // bytes
	leastCounted = 512      // bytes that each packet counts as at least
)

// A reading is the room for what a call takes from a socket. Only a socket that has just
// got something needs one.
type reading struct {
	msgs  [mostReceived]mmsghdr
	iovs  [mostReceived]unix.Iovec
	names [mostReceived]unix.RawSockaddrInet6
	oobs  [mostReceived][128]byte
	bufs  [mostReceived][1 << 16]byte
}

var readings = sync.Pool{New: func() any {
	r := new(reading) // its pointers are to itself: the pool keeps it in the heap, where it does not move
	for i := range r.msgs {
		h := &r.msgs[i].hdr
		r.iovs[i].Base = &r.bufs[i][0]
		r.iovs[i].SetLen(len(r.bufs[i]))
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Control = &r.oobs[i][0]
	}
	return r
}}

// receiveAll returns a function that waits for something to have come, and takes all that has
// come by then, within limits. Where that is late, all that a peer has acknowledged is known
// before anything is sent again, and all that it has sent is acknowledged at once.
func (s *socket) receiveAll(take func(b, oob []byte, from netip.AddrPort)) func() (empty bool, err error) {
	if s.sys.raw == nil {
		return s.receiveEach(take)
	}
	var (
		r     *reading
		got   int
		errno unix.Errno
		wait  bool
	)
	names := make(zones)
	// It takes nothing itself: what it took might close the socket, and wait for it.
	read := func(fd uintptr) (done bool) {
		if r == nil {
			r = readings.Get().(*reading)
		}
		s.turns.begin() // before what has come is no longer in the socket
		got, errno = r.receive(fd)
		if errno != 0 {
			readings.Put(r)
			r = nil
		}
		if errno == unix.EAGAIN && wait {
			s.turns.end()
			return false
		}
		return true
	}
	return func() (empty bool, err error) {
		wait = true
		for bytes := 0; bytes < enough && !empty; wait = false {
			if err := s.sys.raw.Read(read); err != nil {
				return false, err
			}
			switch {
			case errno == unix.EAGAIN:
				return true, nil
			case errno != 0:
				return false, errno
			}
			for k := range got {
				m := &r.msgs[k]
				bytes += max(leastCounted, int(m.len))
				take(r.bufs[k][:m.len], r.oobs[k][:m.hdr.Controllen], names.addrPort(&r.names[k]))
			}
			empty = got < mostReceived
		}
		readings.Put(r)
		r = nil
		return empty, nil
	}
}

// receive receives what has come, as far as there is room for it.
func (r *reading) receive(fd uintptr) (n int, errno unix.Errno) {
	for k := range r.msgs {
		h := &r.msgs[k].hdr
		h.Namelen = uint32(unsafe.Sizeof(r.names[k]))
		h.SetControllen(len(r.oobs[k]))
	}
	for {
		// All that the kernel writes to is r's, which the call keeps alive.
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.msgs[0])), mostReceived, unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// isUnread reports whether something has come that was not taken.
func (s *socket) isUnread() (unread bool) {
	if s.sys.raw == nil {
		return false
	}
	s.sys.raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		unread = err == nil && n > 0 && p[0].Revents&unix.POLLIN != 0
	})
	return unread
}

// addrPort is the address of a message.
func (z zones) addrPort(sa *unix.RawSockaddrInet6) netip.AddrPort {
	port := (*[2]byte)(unsafe.Pointer(&sa.Port)) // a uint16, in network order
	num := binary.BigEndian.Uint16(port[:])
	switch sa.Family {
	case unix.AF_INET:
		// It is the shorter one, and each has its family first.
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), num)
	case unix.AF_INET6:
		ip := netip.AddrFrom16(sa.Addr)
		if id := sa.Scope_id; id != 0 {
			ip = ip.WithZone(z.name(int(id)))
		}
		return netip.AddrPortFrom(ip, num)
	}
	return netip.AddrPort{}
}
