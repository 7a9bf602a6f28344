package kernel

import (
	"errors"
	"net"
	"testing"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// TestRoom asks for room for messages. The kernel is asked only when they may have
// used up what it said last.
func TestRoom(t *testing.T) {
	fd := unreadSocket(t)
	_, size, err := sendQueue(fd)
	if err != nil {
		t.Fatal(err)
	}
	var r room
	const n = 1000
	if !r.isFor(fd, n) {
		t.Fatal("there is no room in an empty buffer")
	}
	if want := size - engine.SpareRoom(size); r.limit != want {
		t.Errorf("the limit is %d, want %d of %d", r.limit, want, size)
	}
	for r.queued+queueCost(n) <= r.limit {
		if !r.isFor(-1, n) { // asking would fail, and say that there is room
			t.Fatal("the kernel was asked")
		}
	}
	// Nothing was sent, so there is as much room as before.
	if !r.isFor(fd, n) || r.queued != queueCost(n) {
		t.Errorf("%d bytes are taken for queued, want %d", r.queued, queueCost(n))
	}
	for err == nil { // until the buffer is full
		_, err = unix.Write(fd, make([]byte, 4<<10))
	}
	r.queued = r.limit
	if r.isFor(fd, n) {
		t.Errorf("there is room in a full buffer of %d, with a limit of %d", size, r.limit)
	}
}

// unreadSocket returns a socket, of TCP, whose peer does not read.
func unreadSocket(t *testing.T) (fd int) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 200_000),
		unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: ln.Addr().(*net.TCPAddr).Port}),
		unix.SetNonblock(fd, true),
	)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}
