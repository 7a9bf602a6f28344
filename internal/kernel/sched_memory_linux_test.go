package kernel

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestWakeWriterKeepsSize wakes the writer of a socket, whose send buffer is small or
// larger than a process without rights could have it.
func TestWakeWriterKeepsSize(t *testing.T) {
	fd := unreadSocket(t)
	get := func() int {
		size, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
		if err != nil {
			t.Fatal(err)
		}
		return size
	}
	sizes := []int{10_000, 1 << 30}
	for _, size := range sizes {
		err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, size)
		if err == unix.EPERM { // where nothing can be above wmem_max
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, size)
		}
		if err != nil {
			t.Fatal(err)
		}
		before := get()
		for range 2 {
			if err := wakeWriter(fd); err != nil {
				t.Fatal(err)
			}
		}
		if after := get(); after != before {
			t.Errorf("a send buffer of %d bytes has %d when the writer was woken", before, after)
		}
	}
}
