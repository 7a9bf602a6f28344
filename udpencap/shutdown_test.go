package udpencap

import (
	"encoding/binary"
	"errors"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// impatient gives a silent peer up after a quarter of a second.
var impatient = sctpnet.Config{
	RTO:         sctpnet.RTO{Initial: 20 * time.Millisecond, Min: 20 * time.Millisecond, Max: 100 * time.Millisecond},
	AssocParams: sctpnet.AssocParams{MaxRetransmissions: 3},
}

// waitForState waits until an association is in a state, or has ended.
func waitForState(t *testing.T, a *assoc, want sctpnet.State) {
	t.Helper()
	var is sctpnet.State
	conformance.WaitFor(t, want.String(), func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		is = sctpnet.State(a.state)
		return is == want || is == sctpnet.StateClosed
	})
	if is != want {
		t.Fatalf("it has ended before it was %v", want)
	}
}

// TestSilenceInShutdown has the peer fall silent in each state between an
// established association and none.
func TestSilenceInShutdown(t *testing.T) {
	write := func(t *testing.T, r *rawPeer, c *sctpnet.Conn) {
		if _, err := c.Write([]byte("anybody there?")); err != nil {
			t.Fatal(err)
		}
		r.await(ctData)
	}
	shutdown := func(r *rawPeer) { // which acknowledges nothing
		r.sendChunk(ctShutdown, 0, binary.BigEndian.AppendUint32(nil, r.theirs.tsn-1))
	}
	for _, tt := range []struct {
		state sctpnet.State
		enter func(t *testing.T, r *rawPeer, c *sctpnet.Conn)
		want  error
	}{
		{sctpnet.StateShutdownPending, func(t *testing.T, r *rawPeer, c *sctpnet.Conn) {
			write(t, r, c)
			c.Shutdown()
		}, syscall.ETIMEDOUT},
		{sctpnet.StateShutdownSent, func(t *testing.T, r *rawPeer, c *sctpnet.Conn) {
			c.Shutdown()
		}, syscall.ETIMEDOUT},
		{sctpnet.StateShutdownReceived, func(t *testing.T, r *rawPeer, c *sctpnet.Conn) {
			write(t, r, c)
			shutdown(r)
		}, syscall.ETIMEDOUT},
		{sctpnet.StateShutdownAckSent, func(t *testing.T, r *rawPeer, c *sctpnet.Conn) {
			shutdown(r)
		}, io.EOF}, // all has arrived
	} {
		for _, how := range []struct {
			name string
			path sctpnet.PathParams
		}{
			{"", sctpnet.PathParams{NoHeartbeat: true}},
			{"Heartbeats", sctpnet.PathParams{HeartbeatInterval: 10 * time.Millisecond}},
		} {
			t.Run(tt.state.String()+how.name, func(t *testing.T) {
				config := impatient
				config.PathParams = how.path
				r, c, ln := rawPair(t, config)
				a := assocOf(t, ln, r.tag)
				tt.enter(t, r, c)
				waitForState(t, a, tt.state)
				waitForState(t, a, sctpnet.StateClosed)
				for range 3 {
					if n, err := c.Read(make([]byte, 10)); !errors.Is(err, tt.want) {
						t.Errorf("Read returned %d, %v; want %v", n, err, tt.want)
					}
				}
			})
		}
	}
}
