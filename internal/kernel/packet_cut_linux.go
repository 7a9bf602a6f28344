package kernel

import "github.com/sctpnet/sctpnet/internal/engine"

// fence has a fence behind a message that has begun.
func (p *packet) fence(t target, a *assoc) {
	if p.from.options.Interleaving || p.from.foreign {
		if v, err := t.getValue(optInterleaving); err == nil && v != 0 {
			return
		}
	}
	a.fence.raise(t)
}

// passFence takes note of a notification. It reports whether a message was given up
// that has begun.
func (p *packet) passFence(t target, e engine.Event) (cut bool) {
	a := p.watch.begun[t.assoc]
	if a != nil && a.fence.cuts() {
		delete(p.watch.begun, t.assoc)
		cut = true
	}
	if _, ok := e.(engine.SenderDryEvent); ok {
		if a := p.find(t.assoc); a != nil {
			a.fence.lower(t, p.from.options.SenderDry)
		}
		if a := p.watch.begun[t.assoc]; a != nil && a.isUnordered {
			p.fence(t, a) // this one was of the message before
		}
	}
	return cut
}
