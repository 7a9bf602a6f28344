package kernel

import (
	"time"

	"golang.org/x/sys/unix"
)

// Linux refuses to queue a message also when all SCTP sockets together have as much
// memory as sctp_mem allows. When there is memory again it wakes a writer only by
// the acknowledgement of something that its own socket has sent. A writer whose
// socket has sent nothing tries again now and then.

// memoryWait is how long a writer waits for memory before it tries again.
const memoryWait = 50 * time.Millisecond

// awaitMemory is called when a message was refused and its writer begins to wait.
func (c *conn) awaitMemory(fd int) {
	if queued, _, err := sendQueue(fd); err != nil || queued > 0 || !c.lacksMemory.CompareAndSwap(false, true) {
		return
	}
	time.AfterFunc(memoryWait, func() {
		c.lacksMemory.Store(false)
		c.control(wakeWriter)
	})
}

// wakeWriter sets the size of the send buffer to what it is, after which the kernel
// wakes the writer. Setting doubles the size. A size above net.core.wmem_max, which a
// socket may have by default or from another process, stays only where we have the
// right to set it. Elsewhere it becomes what wmem_max allows: the writer must be woken.
func wakeWriter(fd int) error {
	size, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil {
		return err
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, size/2)
	if err == unix.EPERM {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, size/2)
	}
	return err
}
