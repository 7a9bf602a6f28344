package udpencap

import (
	"runtime"
	"testing"
	"time"
	"weak"
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
