package kernel

import (
	"encoding/binary"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// An attempt is a handshake of a one-to-many socket. When one fails, the kernel says
// the same of a peer that refuses and of one that is silent. That it was over by a
// certain time tells them apart, and not when somebody reads of it. So that is looked
// at a little before the kernel gives up. An attempt is under receiving.
type attempt struct {
	gives time.Time
	timer *time.Timer
	was   atomic.Int32
}

// What is known of a handshake when it is nearly given up.
const (
	notLooked = iota
	lastingOn // so the peer is silent
	overBefore
)

// begin begins the watch of a handshake that is given up after that time.
func (a *attempt) begin(p *packet, id engine.AssocID, after time.Duration) {
	if after == 0 {
		return
	}
	p.mu.Lock() // for end, which forget calls
	defer p.mu.Unlock()
	a.gives = time.Now().Add(after)
	a.timer = time.AfterFunc(after*9/10, func() {
		p.control(func(fd int) error {
			_, err := target{fd, id}.assocStatus()
			switch {
			case err == nil:
				a.was.Store(lastingOn)
			case time.Now().Before(a.gives):
				a.was.Store(overBefore)
			}
			return nil
		})
	})
}

// end ends the watch.
func (a *attempt) end() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

// cause says why the handshake has failed, which an event has told.
func (a *attempt) cause(e *engine.AssocEvent) unix.Errno {
	switch {
	case e.Cause != 0: // the peer's ABORT has one
		return unix.ECONNREFUSED
	case a.was.Load() == lastingOn:
		return unix.ETIMEDOUT
	case a.was.Load() == notLooked && !a.gives.IsZero() && time.Now().After(a.gives):
		return unix.ETIMEDOUT
	}
	return unix.ECONNREFUSED
}

// silence is after what time a handshake with an endpoint of so many addresses is
// given up: each INIT has waited for its answer then.
func silence(fd, addrs int) time.Duration {
	var rto rtoInfo
	var b [unsafe.Sizeof(sctp.InitMsg{})]byte
	var init sctp.InitMsg
	if optRTO.get(fd, &rto) != nil {
		return 0
	}
	if _, err := getsockopt(fd, sctp.SCTP_INITMSG, b[:]); err != nil {
		return 0
	}
	if _, err := binary.Decode(b[:], binary.NativeEndian, &init); err != nil {
		return 0
	}
	most := time.Duration(init.MaxInitTimeout) * time.Millisecond
	wait, sum := fromMilliseconds(rto.Initial), time.Duration(0)
	for i := range int(init.MaxAttempts) + 1 {
		if i > 0 && i%max(1, addrs) == 0 {
			wait = min(2*wait, most)
		}
		sum += wait
	}
	return sum
}
