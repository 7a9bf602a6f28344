package udpencap

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"golang.org/x/net/nettest"
)

// badNetwork loses a part of all packets until the test ends, and makes as many
// late, so that others come before them.
func badNetwork(t *testing.T, percent int) {
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(1, uint64(percent)))
	f := func(_ path, b []byte, send func([]byte)) {
		mu.Lock()
		lost, late := rnd.IntN(100) < percent, rnd.IntN(100) < percent
		delay := time.Duration(rnd.IntN(3000)) * time.Microsecond
		mu.Unlock()
		switch {
		case b[headerSize] == ctAbort && b[headerSize+1]&flagReflected != 0:
			// It may be for another process, which dials this one's UDP port 9899.
			send(b)
		case lost:
		case late:
			b = slices.Clone(b)
			time.AfterFunc(delay, func() { send(b) })
		default:
			send(b)
		}
	}
	transport.Store(&f)
	t.Cleanup(func() { transport.Store(nil) })
}

// TestLoss runs the suites on a network that loses and reorders packets.
func TestLoss(t *testing.T) {
	// There are hundreds of handshakes, each of four packets, some of which need
	// more than the usual attempts.
	config := sctpnet.Config{RTO: sctpnet.RTO{Initial: 20 * time.Millisecond, Min: 20 * time.Millisecond}, InitAttempts: 12}
	for _, percent := range []int{3, 10} {
		t.Run(strconv.Itoa(percent), func(t *testing.T) {
			badNetwork(t, percent)
			t.Run("Nettest", func(t *testing.T) { nettest.TestConn(t, connPipe("sctp4+udp", "127.0.0.1:0", config)) })
			t.Run("Conn", func(t *testing.T) { conformance.TestConn(t, connPipe("sctp4+udp", "127.0.0.1:0", config)) })
			t.Run("Stream", func(t *testing.T) { conformance.TestConn(t, streamPipe(t, config)) })
		})
	}
}
