package sctpnet

import (
	"fmt"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// Config holds what is settled about an association before its handshake, for
// a [Dialer] or a [ListenConfig]. Its zero value is good and fast.
type Config struct {
	// OutStreams is how many outgoing streams to ask for, 1 to 65535. The
	// peer may grant fewer. Zero means 64 for a Dialer, and for a
	// ListenConfig as many as the peer will take, up to 1024.
	// Each stream costs kernel memory at both ends.
	OutStreams int

	// MaxInStreams is how many incoming streams to grant at most, 1 to
	// 65535. Zero means 64 for a Dialer, and for a ListenConfig whatever
	// the peer asks for.
	MaxInStreams int

	// InitAttempts is how often an INIT that is not answered is sent again
	// before the dial fails with ETIMEDOUT, 1 to 65535. Zero means 4, which
	// with the default timeouts is half a minute.
	InitAttempts int

	// InitTimeout is the most that the wait for an answer to INIT grows to:
	// it doubles each time. It is counted in milliseconds, from 1 ms to
	// 65.535 s. Zero means the system's default, 60 s on Linux.
	InitTimeout time.Duration

	// KernelDefaults leaves everything that is not set in this Config to the
	// system (sysctl net.sctp, net.core), where the package's own defaults
	// are chosen to be fast. It is for operators who have tuned the system.
	KernelDefaults bool
}

// The defaults. The reasons are measured ones: see BenchmarkThroughput.
const (
	dialStreams   = 64   // each way
	listenStreams = 1024 // outgoing; a peer that names no limit gets no more

	// initAttempts and rtoInitial send INIT after 0, 1, 3, 7 and 15 s and
	// give up after 31 s. RFC 9260 section 16 has the second; Linux keeps
	// the 3 s of RFC 4960.
	initAttempts = 4
	rtoInitial   = time.Second

	// sackDelay is short, because the last message before a Close holds its
	// end up until it is acknowledged, and so does the third packet of a new
	// association. Linux's own 200 ms made each 200 ms late.
	sackDelay = 10 * time.Millisecond

	// rtoMin is what a loss costs where the round trip is short; Linux's own
	// 1 s is five times TCP's. Less than 200 ms and a bit would retransmit
	// what a peer with Linux's delayed acknowledgement has not yet answered.
	rtoMin = 300 * time.Millisecond

	// bufferSize holds a window that fills a path of 2 MB, and no more: the
	// kernel drops what is more than 4096 chunks ahead. The system's limits
	// (net.core.rmem_max and wmem_max) cap it silently.
	bufferSize = 2 << 20

	// loopbackMTU is less than the 65536 of the interface lo, with which one
	// chunk nearly fills the window and transfers stall.
	loopbackMTU = 16384

	// messageSize is what a Write is split into.
	messageSize = 64 << 10
)

// options are what the engine is told: the Config, with the defaults for
// dialling or listening in its gaps.
func (c *Config) options(listen bool) (engine.Options, error) {
	if err := c.check(); err != nil {
		return engine.Options{}, err
	}
	o := engine.Options{
		OutStreams:   uint16(c.OutStreams),
		MaxInStreams: uint16(c.MaxInStreams),
		InitAttempts: uint16(c.InitAttempts),
		InitTimeout:  c.InitTimeout,
	}
	if c.KernelDefaults {
		return o, nil
	}
	if o.OutStreams == 0 {
		o.OutStreams = dialStreams
		if listen {
			o.OutStreams = listenStreams
		}
	}
	if o.MaxInStreams == 0 {
		o.MaxInStreams = dialStreams
		if listen {
			o.MaxInStreams = 65535
		}
	}
	if o.InitAttempts == 0 {
		o.InitAttempts = initAttempts
	}
	o.RTOInitial = rtoInitial
	o.RTOMin = rtoMin
	o.SACKDelay = sackDelay
	o.NoDelay = true
	o.ReadBuffer = bufferSize
	o.WriteBuffer = bufferSize
	o.LoopbackMTU = loopbackMTU
	return o, nil
}

func (c *Config) check() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"OutStreams", c.OutStreams},
		{"MaxInStreams", c.MaxInStreams},
		{"InitAttempts", c.InitAttempts},
	} {
		if f.value < 0 || f.value > 65535 {
			return fmt.Errorf("sctpnet: Config.%s is %d; allowed are 0 (default) to 65535", f.name, f.value)
		}
	}
	if t := c.InitTimeout; t != 0 && (t < time.Millisecond || t > 65535*time.Millisecond) {
		return fmt.Errorf("sctpnet: Config.InitTimeout is %v; allowed are 0 (default) and 1ms to 65.535s", t)
	}
	return nil
}
