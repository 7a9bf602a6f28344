package kernel

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// fullConn makes a conn with a receive buffer that had a size, as the kernel counts, until
// it was made larger. Both sizes are as far as the system allows.
func fullConn(t *testing.T, size int) (c *conn, fd, before int) {
	ec, _ := conns(t, engine.Options{})
	c = ec.(*conn)
	c.control(func(f int) error {
		fd = f      // which stays open until the test ends
		c.passUp(f) // as a reader does before it waits
		return nil
	})
	if err := shrink(fd, size); err != nil {
		t.Fatal(err)
	}
	before = readBuffer(t, fd)
	larger, err := enlarge(fd, before, before+reserveSize)
	if err != nil {
		t.Fatal(err)
	}
	c.full.mu.Lock()
	defer c.full.mu.Unlock()
	if larger > before {
		c.full.size, c.full.larger = before, larger
	}
	return c, fd, before
}

func readBuffer(t *testing.T, fd int) int {
	size, err := optReadBuffer.getInt(fd)
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// TestReadBufferIsGivenBack has a receive buffer that was full be empty again. It has the
// size that it had before, even if that is more than the system allows.
func TestReadBufferIsGivenBack(t *testing.T) {
	for _, size := range []int{100_000, 64 << 20} {
		c, fd, before := fullConn(t, size)
		c.lookFull()
		if got := readBuffer(t, fd); got != before {
			t.Errorf("the receive buffer has %d bytes, want %d as before", got, before)
		}
	}
}

// TestReadBufferThatIsSetStays has the user set the size of a receive buffer that was made
// larger.
func TestReadBufferThatIsSetStays(t *testing.T) {
	for _, want := range []int{50_000, 150_000} {
		c, fd, _ := fullConn(t, 100_000)
		if err := c.Set(netip.Addr{}, engine.Settings{ReadBuffer: want / 2}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			c.lookFull()
		}
		if got := readBuffer(t, fd); got != want {
			t.Errorf("the receive buffer has %d bytes, want %d as it was set", got, want)
		}
	}
}

// TestReserveKeepsAnothersSize has a user of the descriptor set the size of a receive
// buffer while the reserve is in use.
func TestReserveKeepsAnothersSize(t *testing.T) {
	fd := unreadSocket(t)
	r := reserve{size: 100_000, most: 100_000 + reserveSize}
	if err := r.resize(fd, r.most); err != nil {
		t.Fatal(err)
	}
	if err := optReadBuffer.setInt(fd, 60_000); err != nil {
		t.Fatal(err)
	}
	if _, err := r.look(fd, 0); err != nil {
		t.Fatal(err)
	}
	if got := readBuffer(t, fd); got != 120_000 {
		t.Errorf("the receive buffer has %d bytes, want 120000 as it was set", got)
	}
	if err := r.resize(fd, r.most); err != nil {
		t.Fatal(err)
	}
	if _, err := r.look(fd, 0); err != nil {
		t.Fatal(err)
	}
	if got := readBuffer(t, fd); got != r.size {
		t.Errorf("the receive buffer has %d bytes, want %d without the reserve", got, r.size)
	}
}

// TestReserveWithoutMemoryInfo has a kernel that does not tell how full a buffer is. That
// is no reason to look no more.
func TestReserveWithoutMemoryInfo(t *testing.T) {
	f, _, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r reserve
	if isStuck, err := r.look(int(f.Fd()), 2*stuckAfter); isStuck || err != nil {
		t.Errorf("stuck: %v, %v; want neither", isStuck, err)
	}
}

// TestReserveIsFullForLong has a receive buffer fill up after a long time without messages.
// It is full beyond hope only when it has been full for long.
func TestReserveIsFullForLong(t *testing.T) {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 20 {
		if _, err := c.WriteTo(make([]byte, 1000), c.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(u uintptr) {
		fd := int(u)
		if err := optReadBuffer.setInt(fd, 1); err != nil {
			t.Fatal(err)
		}
		size := readBuffer(t, fd)
		r := reserve{size: size, most: size, last: size}
		look := func(quiet time.Duration, want bool) {
			t.Helper()
			if isStuck, err := r.look(fd, quiet); isStuck != want || err != nil {
				t.Errorf("stuck: %v, %v; want %v", isStuck, err, want)
			}
		}
		look(time.Hour, false)
		r.full = r.full.Add(-stuckAfter)
		look(time.Second, false) // since a message came
		look(time.Hour, true)
		look(time.Hour, false) // one of them was aborted: the others have as long again
	})
}
