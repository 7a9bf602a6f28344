package udpencap

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// What came is acknowledged once for all packets that were read at once, and with DATA
// where there is some to send.

// endPacket does what is to be done for each packet.
func (r *receiver) endPacket() {
	if r.counts {
		r.counts = false
		r.ackIn--
	}
}

// endIntake does what is to be done once for all packets that came at once.
func (a *assoc) endIntake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acknowledge()
	a.sendReply()
	if a.wantsPump {
		a.wantsPump = false
		a.pump()
		if a.rx.ackNow { // there was no room for it
			a.sendAck()
		}
	}
}

// acknowledge acknowledges what came at once, now or soon.
func (a *assoc) acknowledge() {
	r := &a.rx
	if a.state < engine.StateEstablished || !r.fresh && !r.ackNow {
		return
	}
	switch {
	case a.state == engine.StateShutdownSent:
		a.sendShutdownAndAck()
	case r.ackNow || r.ackIn <= 0:
		if r.ackNow = a.isAckCarried(); !r.ackNow {
			a.sendAck()
		}
	case !a.ackTimer.isRunning():
		a.ackTimer.start(a.ackDelay())
	}
}

// isAckCarried reports whether DATA goes next, and has room for the acknowledgement.
func (a *assoc) isAckCarried() bool {
	r := &a.rx
	if !a.wantsPump || a.pumping || a.reply != nil || len(r.later) > 0 || len(r.dups) > 0 {
		return false
	}
	need := a.snd.Next(a.now())
	return need > 0 && need+ackSize <= a.mtu-headerSize
}

func (a *assoc) ackDelay() time.Duration {
	if d := a.options.SACK.Delay; d != 0 {
		return d
	}
	return 200 * time.Millisecond
}

// sendAck sends a SACK, with no DATA.
func (a *assoc) sendAck() {
	if a.state < engine.StateEstablished {
		return
	}
	if a.reply != nil {
		a.sendPacket(a.rx.appendAck(a.takeReply(ackSize), a.mtu))
		return
	}
	p := acks.Get().(*packet)
	defer acks.Put(p)
	*p = a.rx.appendAck(appendHeader((*p)[:0], a.header()), a.mtu)
	a.sendPacket(*p)
}

// acks are packets for acknowledgements.
var acks = sync.Pool{New: func() any { return new(packet) }}

// appendAck appends a SACK chunk to a packet that has room for one.
func (r *receiver) appendAck(p packet, mtu int) packet {
	r.told, r.small = r.room(), 0
	r.owed = max(r.owed, r.told)
	gaps := min(len(r.later), max(0, mtu-len(p)-16)/4)
	dups := min(len(r.dups), max(0, mtu-len(p)-16-4*gaps)/4)
	p = append(p, ctSACK, 0)
	p = binary.BigEndian.AppendUint16(p, uint16(16+4*gaps+4*dups))
	p = binary.BigEndian.AppendUint32(p, r.cum)
	p = binary.BigEndian.AppendUint32(p, uint32(r.told))
	p = binary.BigEndian.AppendUint16(p, uint16(gaps))
	p = binary.BigEndian.AppendUint16(p, uint16(dups))
	for _, s := range r.later[:gaps] {
		p = binary.BigEndian.AppendUint16(p, uint16(s.first-r.cum))
		p = binary.BigEndian.AppendUint16(p, uint16(s.last-r.cum))
	}
	for _, tsn := range r.dups[:dups] {
		p = binary.BigEndian.AppendUint32(p, tsn)
	}
	r.dups = r.dups[:0]
	r.ackSent()
	r.a.stats.SACKsSent++
	r.a.stats.ControlSent++
	return p
}

// ackSent takes note that an acknowledgement has gone.
func (r *receiver) ackSent() {
	r.ackNow, r.fresh = false, false
	r.ackIn = r.ackFrequency()
	r.a.ackTimer.stop()
}

// ackFrequency is how many packets are acknowledged together.
func (r *receiver) ackFrequency() int {
	if f := r.a.options.SACK.Frequency; f != 0 {
		return f
	}
	return 2
}

// ackSize is the size of a SACK chunk without blocks.
const ackSize = 16
