package kernel

import (
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// There are states in which the kernel delivers nothing more and wakes no reader. So
// while a reader waits they are looked for now and then.

// A packetWatch looks for them. It is under receiving.
type packetWatch struct {
	begun map[engine.AssocID]*assoc // those in the middle of a message
	over  bool                      // the tag of one of them has changed
	fresh []engine.AssocID          // those that are new: their tags are to be learned

	timer   *time.Timer // nil while nothing is to be looked at
	every   time.Duration
	isLast  bool      // no reader waited at the last look
	hasData bool      // a message was received since the last look, or a part of one
	last    time.Time // when that was so
}

// watchRarely is how often there is a look when nothing comes for long.
const watchRarely = 32 * tagWatchEvery

// await is called when a reader begins to wait.
func (p *packet) await(fd int) {
	w := &p.watch
	if !p.shared.Load() {
		p.learnTags(fd)
	}
	p.waits.Store(true)
	switch {
	case w.timer == nil:
		w.every, w.hasData = tagWatchEvery, true
		w.timer = time.AfterFunc(w.every, p.look)
	case w.hasData && w.every > tagWatchEvery:
		w.every = tagWatchEvery
		w.timer.Reset(w.every)
	}
}

// look looks for those states, and sees to it that this happens again while a reader
// waits.
func (p *packet) look() {
	p.receiving.Lock()
	defer p.receiving.Unlock()
	w := &p.watch
	if w.hasData {
		w.last = time.Now()
	}
	isStuck := false
	err := p.control(func(fd int) error {
		if !p.shared.Load() {
			p.lookAtTags(fd)
		}
		n, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
		if err != nil || n > 0 {
			return err
		}
		p.endHeldBack(fd)
		isStuck, err = p.reserve.look(fd, time.Since(w.last))
		return err
	})
	if isStuck {
		p.abortFullest()
	}
	wasLast := w.isLast
	w.isLast = !p.waits.Load()
	if err != nil || w.isLast && wasLast {
		w.timer = nil // until a reader waits
		return
	}
	if w.every *= 2; w.hasData || isStuck || p.reserve.isFull() || len(w.begun) > 0 {
		w.every = tagWatchEvery
	}
	w.every, w.hasData = min(w.every, watchRarely), false
	w.timer.Reset(w.every)
}
