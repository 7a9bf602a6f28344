package kernel

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Linux hands over a long message in pieces while it arrives, and keeps what else
// there is to receive until the last piece: notifications, too. If the peer crashes
// in the middle of the message, the last piece never comes, and so neither does the
// notification of a restart. So while a reader waits for the rest of a message, the
// association's tag is looked at now and then. The reader may come after the restart,
// so the tag is learned when the association is new.

// A tagWatch notices a restart by the tag.
type tagWatch struct {
	inMessage atomic.Bool   // the last piece that was received was not the last of its message
	looks     atomic.Uint32 // how often a reader has looked for something to receive

	learns *time.Timer // that the tag is learned, or nil

	mu    sync.Mutex
	tag   lifeTag
	timer *time.Timer
	seen  uint32 // looks, when the timer ran last
}

const (
	// tagWatchEvery is how often the tag is looked at.
	tagWatchEvery = 200 * time.Millisecond
	// learnTagAfter is how old an association is when its tag is learned. To ask takes
	// some system calls, and many associations are over by then. One that is to hand
	// over messages in pieces, or has just been peeled off, does not wait.
	learnTagAfter = 100 * time.Millisecond
)

// beginWatch sees to it that the tag is learned.
func (c *conn) beginWatch(atOnce bool) {
	if atOnce {
		c.learnTag()
		return
	}
	c.learns = time.AfterFunc(learnTagAfter, c.learnTag)
}

// learnTag learns the tag, unless it is known.
func (c *conn) learnTag() {
	w := &c.tagWatch
	w.mu.Lock()
	defer w.mu.Unlock()
	c.socket.control(func(fd int) error {
		c.findTag(fd)
		return nil
	})
}

// findTag reports whether the tag is known. The caller holds mu.
func (c *conn) findTag(fd int) bool {
	w := &c.tagWatch
	if !w.tag.isKnown {
		w.tag = newLifeTag(fd, c.local, c.remote)
	}
	return w.tag.value != 0
}

// renewTag is called when the next life has begun in this conn. It does for that what
// beginWatch did for this one.
func (c *conn) renewTag(fd int) {
	w := &c.tagWatch
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tag = lifeTag{}
	if w.learns != nil {
		w.learns.Reset(learnTagAfter)
	} else {
		c.findTag(fd)
	}
}

// endWatch spares the question if the tag was not asked for yet. It reports whether it
// was: the association is not new then.
func (w *tagWatch) endWatch() (wasAsked bool) {
	return w.learns == nil || !w.learns.Stop()
}

// awaitRest is called when a reader begins to wait.
func (c *conn) awaitRest(fd int) {
	w := &c.tagWatch
	if !w.inMessage.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !c.findTag(fd) || w.timer != nil {
		return
	}
	w.seen = w.looks.Load()
	w.timer = time.AfterFunc(tagWatchEvery, c.watchTag)
}

// watchTag ends this life if the next one has begun.
func (c *conn) watchTag() {
	if c.isWatchOver() {
		c.passOn() // nothing, unless the life has ended here
	}
}

// isWatchOver looks at the tag, and sees to it that this happens again.
func (c *conn) isWatchOver() bool {
	w := &c.tagWatch
	w.mu.Lock()
	defer w.mu.Unlock()
	over := false
	if looks := w.looks.Load(); looks != w.seen {
		w.seen = looks
		over = !w.inMessage.Load() // and the next reader that waits begins anew
	} else {
		err := c.socket.control(func(fd int) error {
			if over = c.isHeldBack(fd) && w.looks.Load() == looks; over {
				c.lose(fd)
			}
			return nil
		})
		over = over || err != nil
	}
	if over {
		w.timer = nil
	} else {
		w.timer.Reset(tagWatchEvery)
	}
	return over
}

// isHeldBack reports whether there was a restart that no reader can learn of.
func (c *conn) isHeldBack(fd int) bool {
	if !c.tagWatch.tag.hasChanged(fd) {
		return false
	}
	n, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	return err == nil && n == 0
}

// isReborn reports whether the next life has begun, as far as the tag tells.
func (c *conn) isReborn(fd int) bool {
	c.tagWatch.mu.Lock()
	defer c.tagWatch.mu.Unlock()
	return c.tagWatch.tag.hasChanged(fd)
}

// lose ends this life. The next one is aborted, as its messages are held back too.
func (c *conn) lose(fd int) {
	c.lives.mu.Lock()
	defer c.lives.mu.Unlock()
	if c.isLeaving || c.restarted.Load() {
		return
	}
	c.begin(&newLife{fd: -1}, fd)
}
