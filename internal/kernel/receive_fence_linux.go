package kernel

import "github.com/sctpnet/sctpnet/internal/engine"

// An unordered message has no number. So where its sender has given it up after a part
// was handed over, the next one of the stream looks like the rest. What tells is a
// notification: Linux hands over none in the middle of a message, but behind it, or
// where the rest was given up, before the next message. That is not so with
// interleaving (RFC 8260). SCTP_PARTIAL_DELIVERY_EVENT, which is meant for this, makes
// Linux leak sockets.

// A fence is such a notification that was asked for as a part of a message had come.
// SCTP_SENDER_DRY_EVENT comes at once where it is asked for, unless something was sent
// and not acknowledged; then it comes later.
//
// At the end of a message Linux may begin with the next one, if that has arrived up to
// the partial delivery point, before it hands over what it has held back. So the fence
// of a message that is over says nothing of one that has begun.
type fence struct {
	isUp   bool
	isOver bool // the message is over that it stands behind
}

// saw takes note of a piece.
func (f *fence) saw(m *engine.Message) {
	if f.isUp && !(m.More && m.Unordered) {
		f.isOver = true
	}
}

// cuts reports whether a notification says that the message was given up.
func (f *fence) cuts() bool { return f.isUp && !f.isOver }

// raise asks for the notification. If the kernel cannot, all others are a fence, too.
func (f *fence) raise(t target) {
	if !f.isUp {
		f.isUp = true
		t.set(optEvent, event{Type: eventSenderDry, On: 1})
	}
}

// lower has no more of them come, unless they are wanted.
func (f *fence) lower(t target, isWanted bool) {
	if f.isUp && !isWanted {
		t.set(optEvent, event{Type: eventSenderDry})
	}
	f.isUp, f.isOver = false, false
}
