package udpencap

import (
	"fmt"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestEndedAssociationIsGarbage ends associations whose deadlines are far away, or were.
// Their timers must not keep them in memory.
func TestEndedAssociationIsGarbage(t *testing.T) {
	far := time.Now().Add(time.Hour)
	for name, set := range map[string]func(a *assoc){
		"far":   func(a *assoc) { a.SetDeadline(far) },
		"moved": func(a *assoc) { a.SetDeadline(far); a.SetDeadline(time.Time{}) },
	} {
		a := dialingAssoc(t)
		set(a)
		a.Abort()
		p := weak.Make(a)
		a = nil
		for deadline := time.Now().Add(tooLong + 10*time.Second); p.Value() != nil; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("%s: the association is still in memory", name)
				break
			}
			runtime.GC()
		}
	}
}

// TestFormerLifeIsGarbage has a peer of a one-to-many socket begin anew again and again.
// The last of its lives is all that is left in memory.
func TestFormerLifeIsGarbage(t *testing.T) {
	local := &engine.Addr{IPAddrs: loopbackAddr}
	pc, err := udpEngine{}.ListenPacket(t.Context(), &engine.Socket{Network: "sctp4", Local: local}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	c := pc.(*packetConn)
	r := newRawPeer(t, &sctpnet.Addr{IPAddrs: loopbackAddr, Port: c.LocalAddr().Port})
	watchdog(t, func() {
		var former []weak.Pointer[assoc]
		for range 5 {
			r.own.tag++
			r.handshake()
			r.write(0, "a life")
			for last := (lastTaken{}); last.Event != nil || last.Data == nil; {
				if err := pc.Recv(make([]byte, 10), false, &last); err != nil {
					t.Fatal(err)
				}
			}
			c.mu.Lock()
			for _, a := range c.byPeer {
				former = append(former, weak.Make(a))
			}
			c.mu.Unlock()
		}
		for i, p := range former[:len(former)-1] {
			conformance.WaitFor(t, fmt.Sprintf("life %d is forgotten", i), func() bool {
				runtime.GC()
				return p.Value() == nil
			})
		}
	})
}

// lastTaken is the last thing that a one-to-many socket has received.
type lastTaken struct{ engine.Delivery }

func (l *lastTaken) Take(d *engine.Delivery) bool {
	l.Delivery = *d
	return true
}
