package kernel

import (
	"net"
	"os"
	"sync"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A packetWait is how long a Recv waits: until the read deadline, or until Wake if it
// is patient. The poller has one deadline for all who wait, which Wake uses, too.
type packetWait struct {
	mu      sync.Mutex
	readBy  time.Time
	patient bool // the Recv that is under way
	woken   bool // the patient Recv that is under way, or else the next one
}

// recvPatiently is Recv until Wake.
func (p *packet) recvPatiently(b []byte, t engine.Taker) error {
	w := &p.wait
	w.mu.Lock()
	if w.woken {
		w.woken = false
		w.mu.Unlock()
		return nil
	}
	w.patient = true
	if !w.readBy.IsZero() {
		p.socket.SetReadDeadline(time.Time{})
	}
	w.mu.Unlock()
	err := p.recv(b, t)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.woken || !w.readBy.IsZero() {
		p.socket.SetReadDeadline(w.readBy)
	}
	if w.woken && err == os.ErrDeadlineExceeded {
		err = nil
	}
	w.patient, w.woken = false, false
	return err
}

// Wake has a patient Recv return.
func (p *packet) Wake() {
	w := &p.wait
	w.mu.Lock()
	defer w.mu.Unlock()
	w.woken = true
	if w.patient {
		p.socket.SetReadDeadline(aLongTimeAgo)
	}
}

// SetReadDeadline sets the deadline of a Recv that is not patient.
func (p *packet) SetReadDeadline(t time.Time) error {
	w := &p.wait
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readBy = t
	if w.patient {
		if p.closed.Load() {
			return net.ErrClosed
		}
		return nil
	}
	return p.socket.SetReadDeadline(t)
}
