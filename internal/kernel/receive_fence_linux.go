package kernel

// An unordered message has no number. So where its sender has given it up after a part
// was handed over, the next one of the stream looks like the rest. What tells is a
// notification: Linux hands over none in the middle of a message, but behind it, or
// where the rest was given up, before the next message. That is not so with
// interleaving (RFC 8260). SCTP_PARTIAL_DELIVERY_EVENT, which is meant for this, makes
// Linux leak sockets.

// A fence is such a notification that was asked for as a part of a message had come.
// SCTP_SENDER_DRY_EVENT comes at once where it is asked for, unless something was sent
// and not acknowledged; then it comes later.
type fence struct {
	isUp bool
}

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
	f.isUp = false
}
