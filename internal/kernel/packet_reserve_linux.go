package kernel

import (
	"cmp"
	"os"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The receive buffer is that of all associations of a one-to-many socket, but each of
// them has a window of half its size. So three peers can send more than it holds, and
// Linux drops the rest. If it is full of what cannot be delivered before something
// comes that was dropped, Linux drops that each time it is sent again: the peers'
// windows are open, so it does not give up any of what it has. Nothing is then
// delivered for ever. Therefore a part of the buffer is kept back and added while
// that is so. If that is no help, as the peers do not send what is missing, one of the
// associations is aborted.

// reserveSize is the size of that part, as the kernel counts. The largest packet has
// room in it.
const reserveSize = 80 << 10

// A reserve is a part of the receive buffer that is used only when the rest is full
// and nothing can be delivered. Sizes are as the kernel counts.
type reserve struct {
	size int       // of the buffer without it
	most int       // of the buffer with it
	last int       // the size that the buffer was given last
	full time.Time // when all of it was first seen to be full, or zero
}

// keep takes the reserve away from a buffer that is as large as the system allows.
func (r *reserve) keep(fd int) error {
	size, err := optReadBuffer.getInt(fd)
	if err != nil {
		return err
	}
	most, err := mostReadBuffer(size + reserveSize)
	if err != nil {
		return err
	}
	*r = reserve{size: size, most: max(most, size), last: size}
	if most < size {
		return nil // it was made so large by force, which is not taken back
	}
	r.size = min(size, most-min(reserveSize, most/4))
	return r.resize(fd, r.size)
}

// How long nothing may have come while the buffer is full, until the reserve is used,
// and until there is no hope left. By the latter a peer has sent several times what is
// missing.
const (
	reserveAfter = tagWatchEvery
	stuckAfter   = 10 * time.Second
)

// look is called while a reader waits, nothing can be received, and no message has
// come for some time. It reports whether the reserve is full, too, and is no help.
func (r *reserve) look(fd int, quiet time.Duration) (isStuck bool, err error) {
	m, err := memoryOf(fd)
	if err != nil {
		return false, nil // the kernel does not say (before 4.12): there is no more to do
	}
	held, size := int(m.received), int(m.readBuffer)
	more := min(held+reserveSize, r.most)
	switch {
	case held < size:
		r.full = time.Time{}
		if held < r.size && size > r.size && size == r.last { // nobody else has set it
			return false, r.resize(fd, r.size)
		}
	case quiet < reserveAfter:
	case more > size:
		return false, r.resize(fd, more)
	case !r.isFull():
		r.full = time.Now()
	case min(quiet, time.Since(r.full)) >= stuckAfter:
		r.full = time.Time{} // the others have as long again
		return true, nil
	}
	return false, nil
}

// isFull reports whether the last look has found that the reserve is full, too.
func (r *reserve) isFull() bool { return !r.full.IsZero() }

// abortFullest aborts the association that holds most of the receive buffer, with what
// cannot be delivered.
func (p *packet) abortFullest() {
	ids, err := p.Assocs()
	if err != nil {
		return
	}
	p.control(func(fd int) error {
		var shares []share
		for _, id := range ids {
			if s, err := shareOf(target{fd, id}); err == nil {
				shares = append(shares, s)
			}
		}
		if len(shares) == 0 {
			return nil // there is none any more
		}
		return slices.MaxFunc(shares, share.compare).finish(abortFlag)
	})
}

// A share is what an association has of the receive buffer.
type share struct {
	target
	held   uint32 // 0 where the kernel does not say
	window uint32 // that the peer was told
}

func shareOf(t target) (share, error) {
	var v assocParams
	if err := t.get(optAssocInfo, &v); err != nil {
		return share{}, err
	}
	local, remote, err := t.addrs()
	return share{t, askDiag(t.fd, local, remote).held, v.LocalRWND}, err
}

// compare compares shares by what is held, and otherwise by what is left of the window.
func (s share) compare(other share) int {
	return cmp.Or(cmp.Compare(s.held, other.held), cmp.Compare(other.window, s.window))
}

func (r *reserve) resize(fd, size int) error {
	err := optReadBuffer.setInt(fd, size/2) // the kernel doubles it
	if err == nil {
		r.last, err = optReadBuffer.getInt(fd) // as far as the system allows it now
	}
	return err
}

// mostReadBuffer returns how much of that size a receive buffer can have.
func mostReadBuffer(size int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == unix.EAFNOSUPPORT {
		fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := optReadBuffer.setInt(fd, size/2); err != nil {
		return 0, err
	}
	return optReadBuffer.getInt(fd)
}

// A memory is what a socket uses of its buffers, as the kernel counts (SO_MEMINFO,
// linux/sock_diag.h).
type memory struct {
	received, readBuffer uint32
	_, writeBuffer       uint32
	_, queued            uint32 // to be sent or acknowledged
	_                    [3]uint32
}

func memoryOf(fd int) (memory, error) {
	var m memory
	n := uint32(unsafe.Sizeof(m))
	// Both pointers are converted in the call itself, which keeps what they
	// point to in place until it returns; n bounds what the kernel writes.
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&m)), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return memory{}, errno
	}
	return m, nil
}
