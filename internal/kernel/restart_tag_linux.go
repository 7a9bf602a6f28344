package kernel

import (
	"encoding/binary"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// A restart changes the verification tag of an association. No socket option
// tells the tag, nor how much of the receive buffer is an association's. But
// NETLINK_SOCK_DIAG does, where the kernel has it.

const (
	diagInfo   = 2  // INET_DIAG_INFO
	diagHeader = 72 // sizeof(struct inet_diag_msg)
	diagHeld   = 56 // idiag_rqueue in it
	allStates  = 1<<32 - 1
)

// A diag is what the kernel says of an association, or zero.
type diag struct {
	tag  uint32 // the verification tag of the socket's end
	held uint32 // what it holds of the receive buffer, as the kernel counts
}

// A diagRequest is a netlink message with a struct inet_diag_req_v2.
type diagRequest struct {
	unix.NlMsghdr
	Family, Protocol, Ext, Pad uint8
	States                     uint32
	Ports                      [4]byte // in network order
	Source, Dest               [16]byte
	Interface                  uint32
	Cookie                     uint64
}

// A lifeTag is what is known of the tag of an association's life.
type lifeTag struct {
	isKnown       bool
	value         uint32 // 0 if it cannot be learned
	local, remote *engine.Addr
	over          bool // it was seen to have changed
}

// newLifeTag asks for the tag. The addresses are of the association.
func newLifeTag(fd int, local, remote *engine.Addr) lifeTag {
	return lifeTag{isKnown: true, value: askDiag(fd, local, remote).tag, local: local, remote: remote}
}

// hasChanged asks for the tag once more.
func (t *lifeTag) hasChanged(fd int) bool {
	if t.value == 0 {
		return false
	}
	now := askDiag(fd, t.local, t.remote).tag
	return now != 0 && now != t.value
}

// askDiag asks for the diag of the association that has these addresses.
func askDiag(fd int, local, remote *engine.Addr) (d diag) {
	if local == nil || remote == nil || len(local.IPAddrs) == 0 || len(remote.IPAddrs) == 0 || !hasDiag() {
		return diag{}
	}
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		return diag{}
	}
	to := remote.IPAddrs[0].IP
	i := slices.IndexFunc(local.IPAddrs, func(from net.IPAddr) bool { return is4(from.IP) == is4(to) })
	if i < 0 {
		return diag{}
	}
	q := newDiagRequest(cookie, local.IPAddrs[i].IP, to, local.Port, remote.Port)
	if d = parseDiag(q.ask(0)); d.tag == 0 {
		inNetworkOf(fd, func() { d = parseDiag(q.ask(0)) })
	}
	return d
}

// inNetworkOf runs f in the network namespace of a socket, if that is allowed. The
// calling thread may be in another.
func inNetworkOf(fd int, f func()) {
	ns, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCGSKNS, 0)
	if errno != 0 {
		return
	}
	defer unix.Close(int(ns))
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends too
		if unix.Setns(int(ns), unix.CLONE_NEWNET) == nil {
			f()
		}
	}()
	<-done
}

func newDiagRequest(cookie uint64, from, to net.IP, fromPort, toPort int) diagRequest {
	q := diagRequest{
		Family: unix.AF_INET6,
		Ext:    1 << (diagInfo - 1),
		States: allStates,
		Cookie: cookie, // so the answer is of this socket or none
	}
	binary.BigEndian.PutUint16(q.Ports[:], uint16(fromPort))
	binary.BigEndian.PutUint16(q.Ports[2:], uint16(toPort))
	if is4(from) {
		q.Family = unix.AF_INET
		from, to = from.To4(), to.To4()
	}
	copy(q.Source[:], from)
	copy(q.Dest[:], to)
	return q
}

// tellsTags says whether the kernel does, once that is known.
var tellsTags atomic.Pointer[bool]

// hasDiag reports whether the kernel tells tags. Where it does not, it would look for
// the module each time.
func hasDiag() bool {
	if tells := tellsTags.Load(); tells != nil {
		return *tells
	}
	q := diagRequest{Family: unix.AF_INET}
	b := q.ask(unix.NLM_F_DUMP) // of no state, so of no socket
	if b == nil {
		return false // this time
	}
	// The end of the list has the errno.
	tells := len(b) >= unix.SizeofNlMsghdr+4 && binary.NativeEndian.Uint16(b[4:]) == unix.NLMSG_DONE &&
		binary.NativeEndian.Uint32(b[unix.SizeofNlMsghdr:]) == 0
	tellsTags.Store(&tells)
	return tells
}

// ask returns the answer, or nil.
func (q *diagRequest) ask(flags uint16) []byte {
	nl, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil
	}
	defer unix.Close(nl)
	q.NlMsghdr = unix.NlMsghdr{Len: uint32(unsafe.Sizeof(*q)), Type: unix.SOCK_DIAG_BY_FAMILY, Flags: unix.NLM_F_REQUEST | flags}
	q.Protocol = unix.IPPROTO_SCTP
	// The kernel reads it in the call. It has no padding.
	b := unsafe.Slice((*byte)(unsafe.Pointer(q)), unsafe.Sizeof(*q))
	if err := unix.Sendto(nl, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(nl, answer, unix.MSG_DONTWAIT) // it was answered in Sendto
	if err != nil {
		return nil
	}
	return answer[:n]
}

// parseDiag reads an answer. The tag is sctpi_tag of a struct sctp_info.
func parseDiag(b []byte) diag {
	if len(b) < unix.SizeofNlMsghdr+diagHeader || binary.NativeEndian.Uint16(b[4:]) != unix.SOCK_DIAG_BY_FAMILY {
		return diag{}
	}
	b = b[unix.SizeofNlMsghdr:]
	d := diag{held: binary.NativeEndian.Uint32(b[diagHeld:])}
	b = b[diagHeader:]
	for len(b) >= unix.SizeofNlAttr {
		n, typ := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if n < unix.SizeofNlAttr || n > len(b) {
			return diag{}
		}
		if value := b[unix.SizeofNlAttr:n]; typ == diagInfo && len(value) >= 4 {
			d.tag = binary.NativeEndian.Uint32(value)
			return d
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return diag{}
}
