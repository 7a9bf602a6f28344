package udpencap

import (
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestKernelGivesUp has the kernel be sent messages, and send them, some of which are given
// up on a lossy path.
func TestKernelGivesUp(t *testing.T) {
	a, b := newNetworks(t)
	for _, dials := range []bool{true, false} {
		for _, fromKernel := range []bool{true, false} {
			var f failures
			config := sctpnet.Config{RTO: quick, OnEvent: f.onEvent, OutStreams: 4, WriteBuffer: 100_000, ReadBuffer: 1 << 20}
			us, kernel := connect(t, a, b, dials, config)
			a.netem(t, "loss 5%")
			b.netem(t, "loss 5%")
			watchdog(t, func() {
				if fromKernel {
					giveUpSome(t, kernel, us, nil) // Linux does not report each
				} else {
					giveUpSome(t, us, kernel, &f)
				}
			})
			a.heal(t)
			b.heal(t)
			watchdog(t, func() { exchange(t, us, kernel) })
			us.Abort()
			kernel.Abort()
		}
	}
}
