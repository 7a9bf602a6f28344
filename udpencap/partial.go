package udpencap

import (
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/udpencap/internal/sender"
)

// outgoing is a message as the sender has it: with what says when to give it up (RFC 3758,
// RFC 7496), if the peer knows of that.
func (a *assoc) outgoing(m *engine.Message) sender.Message {
	s := sender.Message{Stream: m.Stream, PPID: m.PPID, Unordered: m.Unordered, Context: m.Context}
	if !a.partial {
		return s
	}
	p := a.options.PartialReliability
	if m.TTL > 0 {
		p = engine.PartialReliability{Policy: engine.ReliabilityTimed, TTL: roundUp(m.TTL)}
	}
	switch p.Policy {
	case engine.ReliabilityTimed:
		s.Policy, s.Expires = sender.Timed, a.now()+p.TTL
	case engine.ReliabilityRetransmissions:
		s.Policy, s.Number = sender.Limited, p.Retransmissions
	case engine.ReliabilityPriority:
		s.Policy, s.Number = sender.Priority, p.Priority
	}
	return s
}

// roundUp rounds a time up to milliseconds.
func roundUp(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}

// setReliability sets what holds for messages that say nothing themselves.
func (a *assoc) setReliability(p engine.PartialReliability) {
	if p.Policy <= engine.ReliabilityFull {
		p = engine.PartialReliability{}
	}
	p.TTL = roundUp(p.TTL)
	a.options.PartialReliability = p
}

// makeRoom has messages of less priority than m be given up, for which there is no room
// beside it.
func (a *assoc) makeRoom(m *engine.Message, spare bool) {
	if !a.partial || a.hasRoom(0, spare) {
		return
	}
	a.snd.MakeRoom(a.outgoing(m).Number, func() bool { return a.hasRoom(0, spare) })
}

// failed is called with what the sender has given up, or nobody has acknowledged.
func (a *assoc) failed(m sender.Message, data []byte, sent bool, cause uint16) {
	a.rx.pushEvent(engine.SendFailedEvent{
		Message: engine.Message{Stream: m.Stream, PPID: m.PPID, Unordered: m.Unordered, Context: m.Context},
		Data:    data,
		Sent:    sent,
		Cause:   cause,
	})
}

// givenUp goes on with what waits for messages to be over, if some were given up.
func (a *assoc) givenUp() {
	if n := a.snd.Counts.GivenUp; n != a.knownGivenUp {
		a.knownGivenUp = n
		a.messagesOver()
	}
}
