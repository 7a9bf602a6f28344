package conformance

import (
	"context"
	"testing"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestAwaitEnd has an Owner wait for the end of its association while there is
// something to receive. pair makes an association that nobody has taken.
func TestAwaitEnd(t *testing.T, pair func(t *testing.T) (a, b engine.Conn)) {
	const data = "unread"
	for _, tt := range []struct {
		name string
		end  func(peer, own engine.Conn)
	}{
		{"PeerAbort", func(peer, _ engine.Conn) { peer.Abort() }},
		{"PeerClose", func(peer, _ engine.Conn) { peer.Close() }},
		{"Shutdown", func(_, own engine.Conn) { own.Shutdown() }},
		{"Abort", func(_, own engine.Conn) { own.Abort() }},
		{"Close", func(_, own engine.Conn) { own.Close() }},
		{"Cancel", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			Watchdog(t, func() {
				peer, own := pair(t)
				o, _ := own.Take()
				if _, err := peer.Send([]byte(data), 0, engine.Message{}); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ended := make(chan bool)
				call := Start(t, func() (int, error) {
					ended <- o.AwaitEnd(ctx)
					return 0, nil
				})
				call.Waits()
				if tt.end != nil {
					tt.end(peer, own)
				} else {
					cancel()
				}
				if got := <-ended; got != (tt.end != nil) {
					t.Errorf("AwaitEnd: %t", got)
				}
				if o.AwaitEnd(ctx) != (tt.end != nil) {
					t.Error("a second AwaitEnd does not say the same")
				}
				switch tt.name {
				case "Cancel", "PeerClose", "Shutdown":
					wantOwned(t, o, data)
				}
				if tt.name == "Cancel" {
					peer.Close()
					if !o.AwaitEnd(t.Context()) {
						t.Error("AwaitEnd after one that was canceled: false")
					}
				}
			})
		})
	}
}

// wantOwned receives a message, behind any events.
func wantOwned(t *testing.T, o engine.Owner, want string) {
	t.Helper()
	for {
		msgs := lent{{Data: make([]byte, 100)}}
		n, err := o.Recv(msgs)
		switch {
		case err != nil:
			t.Errorf("Recv: %v; want %q", err, want)
			return
		case n == 1 && msgs[0].Event == nil:
			if got := string(msgs[0].Data[:msgs[0].N]); got != want {
				t.Errorf("received %q, want %q", got, want)
			}
			return
		}
	}
}

// lent is messages that Recv borrows.
type lent []engine.Msg

func (l lent) Lend() []engine.Msg { return l }
func (l lent) Return()            {}
