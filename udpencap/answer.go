package udpencap

// mostAnswers is how many packets the peer gets for one of its own.
const mostAnswers = 4

// answer answers a chunk of the peer's by one without flags. What answers a packet goes
// together, and with the acknowledgement, when all of the packet has been handled, and
// before anything else. A packet of the peer may have hundreds of such chunks.
func (a *assoc) answer(typ byte, value []byte) {
	if a.reply != nil && len(a.reply)+chunkHeaderSize+padded(len(value)) > a.mtu {
		a.sendReply()
	}
	if a.reply == nil {
		if a.answers++; a.answers > mostAnswers {
			return
		}
		a.reply = newPacket(a.header())
	}
	a.reply = a.reply.add(typ, 0, value)
	a.stats.ControlSent++
}

// answerAt sends a packet that the peer has caused by a chunk to where that has come from.
func (a *assoc) answerAt(to path, p packet) {
	if a.answers++; a.answers <= mostAnswers {
		a.stats.ControlSent++
		a.stats.PacketsSent++
		to.sendPacket(p)
	}
}

// takeReply returns the packet with the answers so far, or one without chunks, for a chunk
// of some size.
func (a *assoc) takeReply(size int) packet {
	if a.reply != nil && len(a.reply)+size > a.mtu {
		a.sendReply()
	}
	p := a.reply
	if a.reply = nil; p == nil {
		p = newPacket(a.header())
	}
	return p
}

// sendReply sends the answers that wait.
func (a *assoc) sendReply() {
	if p := a.reply; p != nil {
		a.reply = nil
		a.sendPacket(p)
	}
}
