package kernel

import (
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// What Linux holds back of an association in the middle of a message it holds back on
// a one-to-many socket, too. Other associations go on. So the tags of those in the
// middle of a message are looked at while a reader waits, as a tagWatch does. If one
// has changed, and no notification of that is to be received, the new life is aborted:
// the kernel then hands over what it has held back, the notification of the restart
// first and that of the end last.

// A packetWatch notices restarts by the tags. It is under receiving.
type packetWatch struct {
	begun map[engine.AssocID]*assoc // those in the middle of a message
	timer *time.Timer               // nil while nothing is to be looked at
	over  bool                      // the tag of one of them has changed
	fresh []engine.AssocID          // those that are new: their tags are to be learned
}

// A lifeTag is what is known of the tag of an association's life.
type lifeTag struct {
	isKnown       bool
	value         uint32 // 0 if it cannot be learned
	local, remote *engine.Addr
	over          bool // it has changed
}

// saw learns of a piece of a message.
func (p *packet) saw(t target, piece *engine.Message) {
	w := &p.watch
	if !piece.More {
		delete(w.begun, t.assoc)
		return
	}
	a := w.begun[t.assoc]
	if a == nil {
		if w.begun == nil {
			w.begun = make(map[engine.AssocID]*assoc)
		}
		a = p.assoc(t.assoc)
		w.begun[t.assoc] = a
	}
	if piece.Unordered {
		p.fence(t, a)
	}
}

// beginWatch sees to it that the tag of a new life is learned, as that of a conn is.
func (p *packet) beginWatch(t target) {
	a, w := p.assoc(t.assoc), &p.watch
	a.tag = lifeTag{}
	if p.from.options.PartialDeliveryPoint > 0 {
		a.tag = learnTag(t)
		return
	}
	if w.fresh = append(w.fresh, t.assoc); len(w.fresh) == 1 {
		time.AfterFunc(learnTagAfter, p.learnTags)
	}
}

// learnTags learns the tags of those that are new.
func (p *packet) learnTags() {
	for p.learnOneTag() {
	}
}

func (p *packet) learnOneTag() (more bool) {
	p.receiving.Lock()
	defer p.receiving.Unlock()
	w := &p.watch
	if len(w.fresh) == 0 {
		return false
	}
	id := w.fresh[0]
	w.fresh = w.fresh[1:]
	a := p.find(id)
	if a == nil || a.tag.isKnown {
		return true
	}
	return p.control(func(fd int) error {
		a.tag = learnTag(target{fd, id})
		return nil
	}) == nil
}

// awaitRest is called when a reader begins to wait.
func (p *packet) awaitRest(fd int) {
	w := &p.watch
	if p.shared.Load() {
		return
	}
	for id, a := range w.begun {
		if !a.tag.isKnown {
			a.tag = learnTag(target{fd, id})
		}
	}
	p.waits.Store(true)
	if w.timer == nil {
		w.timer = time.AfterFunc(tagWatchEvery, p.lookAtTags)
	}
}

// lookAtTags looks whether lives are over, and sees to it that this happens again
// while a reader waits.
func (p *packet) lookAtTags() {
	p.receiving.Lock()
	defer p.receiving.Unlock()
	w := &p.watch
	err := p.control(func(fd int) error {
		for _, a := range w.begun {
			if a.tag.hasChanged(fd) {
				a.tag.over, w.over = true, true
			}
		}
		if n, err := unix.IoctlGetInt(fd, unix.SIOCINQ); err == nil && n == 0 {
			p.endHeldBack(fd)
		}
		return nil
	})
	if err != nil || len(w.begun) == 0 || !p.waits.Load() {
		w.timer = nil // until a reader waits
		return
	}
	w.timer.Reset(tagWatchEvery)
}

// endHeldBack aborts what nobody can receive. There is nothing to receive, so the
// notification of the restart is held back.
func (p *packet) endHeldBack(fd int) (any bool) {
	w := &p.watch
	if !w.over {
		return false
	}
	w.over = false
	for id, a := range w.begun {
		if a.tag.over {
			delete(w.begun, id)
			target{fd, id}.finish(abortFlag)
			any = true
		}
	}
	return any
}

// learnTag asks for the tag of an association.
func learnTag(t target) lifeTag {
	tag := lifeTag{isKnown: true}
	var err error
	if tag.remote, err = peerAddrsOf(t); err != nil {
		return tag
	}
	if tag.local, err = addrsOf(t.fd, sctp.SCTP_GET_LOCAL_ADDRS, uint32(t.assoc)); err != nil {
		return tag
	}
	tag.value = ownTag(t.fd, tag.local, tag.remote)
	return tag
}

// hasChanged asks for the tag once more.
func (t *lifeTag) hasChanged(fd int) bool {
	if t.value == 0 {
		return false
	}
	now := ownTag(fd, t.local, t.remote)
	return now != 0 && now != t.value
}
