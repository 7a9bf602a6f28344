package kernel

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// fail takes note of an errno that a call returned, if the association is gone
// with it, and wakes the reader, which the kernel will not tell.
func (c *conn) fail(fd int, errno unix.Errno) {
	if _, err := assocStatus(fd); err == nil {
		return
	}
	switch errno {
	case unix.EPIPE, unix.ESHUTDOWN, unix.ENOTCONN:
		if c.ended.Load() || c.peeled || isShut(fd) {
			break // or what has happened will be received as an event
		}
		// It was no end that the peer had announced, and so a failure, whose
		// errno sendmmsg has swallowed.
		errno = unix.ECONNRESET
		fallthrough
	default:
		c.cause.CompareAndSwap(0, uint32(errno))
	}
	c.ended.Store(true)
	unix.Shutdown(fd, unix.SHUT_RD)
}

// wasShutDown reports whether sending was shut down, of an association that has
// ended. The kernel says so only when receiving is shut down too.
func wasShutDown(fd int) bool {
	unix.Shutdown(fd, unix.SHUT_RD)
	return polls(fd, unix.POLLHUP)
}

// isShut reports whether there is nothing more to receive because the peer has
// said so, or we have.
func isShut(fd int) bool { return polls(fd, unix.POLLRDHUP) }

// polls reports whether a socket has an event of poll(2) now.
func polls(fd int, event int16) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: event}}
	_, err := unix.Poll(p, 0)
	return err == nil && p[0].Revents&event != 0
}

// settle decides why an association is gone where no error and no event has told.
func (c *conn) settle(fd int) {
	if c.ended.Load() {
		return
	}
	// Only a failure leaves a socket like this. Another call was told of it and has
	// not called fail yet. Or else another process that has the socket has shut it
	// down.
	if !c.shared.Load() || !wasShutDown(fd) {
		c.cause.CompareAndSwap(0, uint32(unix.ECONNRESET))
	}
	c.ended.Store(true)
}

// end is what Recv returns when the association has ended.
func (c *conn) end() error {
	if errno := unix.Errno(c.cause.Load()); errno != 0 {
		return os.NewSyscallError("recvmsg", errno)
	}
	if c.lost.Load() { // before accept, so that the socket was told no errno
		return os.NewSyscallError("recvmsg", unix.ECONNRESET)
	}
	return io.EOF
}
