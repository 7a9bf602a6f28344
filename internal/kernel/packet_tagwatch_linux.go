package kernel

import (
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// What Linux holds back of an association in the middle of a message it holds back on
// a one-to-many socket, too. Other associations go on. So the tags of those in the
// middle of a message are looked at while a reader waits, as a tagWatch does. If one
// has changed, and no notification of that is to be received, the new life is aborted:
// the kernel then hands over what it has held back, the notification of the restart
// first and that of the end last.

// saw learns of a piece of a message.
func (p *packet) saw(t target, piece *engine.Message) {
	w := &p.watch
	a := w.begun[t.assoc]
	if a != nil {
		a.fence.saw(piece)
	}
	if !piece.More {
		delete(w.begun, t.assoc)
		return
	}
	if a == nil {
		if w.begun == nil {
			w.begun = make(map[engine.AssocID]*assoc)
		}
		a = p.assoc(t.assoc)
		w.begun[t.assoc] = a
	}
	if a.isUnordered = piece.Unordered; a.isUnordered {
		p.fence(t, a)
	}
}

// beginWatch sees to it that the tag of a new life is learned, as that of a conn is.
func (p *packet) beginWatch(t target) {
	a, w := p.assoc(t.assoc), &p.watch
	a.tag = lifeTag{}
	if p.from.options.PartialDeliveryPoint > 0 {
		a.tag = lifeTagOf(t)
		return
	}
	if w.fresh = append(w.fresh, t.assoc); len(w.fresh) == 1 {
		time.AfterFunc(learnTagAfter, p.learnFresh)
	}
}

// learnFresh learns the tags of those that are new.
func (p *packet) learnFresh() {
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
		a.tag = lifeTagOf(target{fd, id})
		return nil
	}) == nil
}

// learnTags is called when a reader begins to wait.
func (p *packet) learnTags(fd int) {
	for id, a := range p.watch.begun {
		if !a.tag.isKnown {
			a.tag = lifeTagOf(target{fd, id})
		}
	}
}

// lookAtTags looks whether lives are over.
func (p *packet) lookAtTags(fd int) {
	for _, a := range p.watch.begun {
		if a.tag.hasChanged(fd) {
			a.tag.over, p.watch.over = true, true
		}
	}
}

// endHeldBack aborts what nobody can receive. There is nothing to receive, so the
// notification of the restart is held back.
func (p *packet) endHeldBack(fd int) (ended bool) {
	w := &p.watch
	if !w.over {
		return false
	}
	w.over = false
	for id, a := range w.begun {
		if a.tag.over {
			delete(w.begun, id)
			target{fd, id}.finish(abortFlag)
			ended = true
		}
	}
	return ended
}

// lifeTagOf asks for the tag of an association.
func lifeTagOf(t target) lifeTag {
	local, remote, err := t.addrs()
	if err != nil {
		return lifeTag{isKnown: true}
	}
	return newLifeTag(t.fd, local, remote)
}

// addrs asks for the addresses of an association.
func (t target) addrs() (local, remote *engine.Addr, err error) {
	if remote, err = peerAddrsOf(t); err != nil {
		return nil, nil, err
	}
	local, err = addrsOf(t.fd, sctp.SCTP_GET_LOCAL_ADDRS, uint32(t.assoc))
	return local, remote, err
}
