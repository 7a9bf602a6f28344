package udpencap

import (
	"slices"
	"sync"

	"github.com/sctpnet/sctpnet/internal/fifo"
)

// A later is what a socket has to send when the system has room for it again. Its
// goroutine runs only then. Each association comes in its turn.
type later struct {
	mu      sync.Mutex
	assocs  fifo.Queue[*assoc] // each has a batch that was not sent entirely
	packets []waitingPacket
	runs    bool
}

// A waitingPacket is a packet that belongs to no batch.
type waitingPacket struct {
	path path
	b    packet
}

// mostWaiting is how many such packets wait. More of them count as lost.
const mostWaiting = 256

// addPacket has a packet be sent later.
func (l *later) addPacket(p path, b packet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.packets) < mostWaiting {
		l.packets = append(l.packets, waitingPacket{p, slices.Clone(b)})
		l.run()
	}
}

// add has an association go on later.
func (l *later) add(a *assoc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.assocs.Push(a)
	l.run()
}

func (l *later) run() {
	if !l.runs {
		l.runs = true
		go l.send()
	}
}

// send is the goroutine.
func (l *later) send() {
	for {
		l.mu.Lock()
		packets := l.packets
		l.packets = nil
		var a *assoc
		if l.assocs.Len() > 0 {
			a = l.assocs.Pop()
		}
		if len(packets) == 0 && a == nil {
			l.runs = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		for _, w := range packets {
			w.path.waitSend(w.b, len(w.b))
		}
		if a != nil {
			a.sendHeld()
		}
	}
}
