package kernel

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The receive buffer of one association, too, can be full of what cannot be delivered
// before something comes that was dropped, as a reserve says. Linux counts more than
// the data of a message, so small ones fill the buffer before the window is closed. It
// closes the window then. But if the one that filled it is large, and something small
// is read that came before, the window opens and there is still no room. The buffer is
// then made larger, if the system allows it.

// A fullWatch notices that, while a reader waits.
type fullWatch struct {
	isOn  atomic.Bool
	timer *time.Timer // is of the one who has set isOn

	mu     sync.Mutex
	size   int // of the buffer before it was made larger, or 0
	larger int // its size since
}

// fullAfter is when a reader that waits has the buffer looked at. Nothing changes
// after that.
const fullAfter = time.Second

// watchFull is called when a reader begins to wait.
func (c *conn) watchFull() {
	w := &c.full
	if w.isOn.Load() || !w.isOn.CompareAndSwap(false, true) {
		return
	}
	if w.timer == nil {
		w.timer = time.AfterFunc(fullAfter, c.lookFull)
	} else {
		w.timer.Reset(fullAfter)
	}
}

// lookFull looks whether the buffer is full and nothing can be received.
func (c *conn) lookFull() {
	w := &c.full
	w.isOn.Store(false) // a reader that begins to wait from now on has another look
	w.mu.Lock()
	defer w.mu.Unlock()
	c.socket.control(func(fd int) error {
		if n, err := unix.IoctlGetInt(fd, unix.SIOCINQ); err != nil || n > 0 {
			return err
		}
		m, err := memoryOf(fd)
		if err != nil {
			return err
		}
		held, size := int(m.received), int(m.readBuffer)
		if size != w.larger {
			w.size = 0 // somebody has set another size since
		}
		switch {
		case held >= size:
			larger, err := enlarge(fd, size, held+reserveSize)
			if larger > size {
				w.size, w.larger = cmp.Or(w.size, size), larger
			}
			return err
		case w.size > 0 && held < w.size:
			size, w.size = w.size, 0
			return shrink(fd, size)
		}
		return nil
	})
}

// enlarge makes a receive buffer larger, beyond what the system allows if the process
// may do that. It returns the size that the buffer has then.
func enlarge(fd, size, wanted int) (int, error) {
	if forceReadBuffer(fd, wanted) != nil {
		most, err := mostReadBuffer(wanted)
		if err != nil || most <= size {
			return size, err
		}
		if err := optReadBuffer.setInt(fd, most/2); err != nil {
			return size, err
		}
	}
	return optReadBuffer.getInt(fd)
}

// shrink gives a receive buffer the size that it had before.
func shrink(fd, size int) error {
	if forceReadBuffer(fd, size) == nil {
		return nil
	}
	return optReadBuffer.setInt(fd, size/2)
}

func forceReadBuffer(fd, size int) error {
	return setInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size/2)
}
