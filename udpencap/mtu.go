package udpencap

import (
	"math/rand/v2"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A search finds out how large packets may be, by sending some of a size that is not
// known to pass (RFC 8899). A probe is a HEARTBEAT with a PAD chunk after it (RFC 4820), so
// no data is lost with it. It begins when there is data to send.
type search struct {
	on     bool // for this path
	begun  bool
	timer  timer
	high   int // the smallest size that did not pass, or one more than the largest there is
	size   int // of the probe that is not answered, 0 for none
	nonce  uint64
	tries  int           // to send it
	pause  time.Duration // until the next search
	silent int           // T3-rtx has expired so often in a row
}

const (
	ctPad = 0x84

	// baseMTU passes nearly everywhere, with what is around it: IPv6 has no smaller
	// paths than of 1280 bytes.
	baseMTU = 1200
	// leastMTU4 is for paths of IPv4 that are smaller. Each passes 576 bytes.
	leastMTU4 = 512
	// mostProbes is how often a probe is sent before its size counts as too large.
	mostProbes = 3
	// searchStep is how exact the search is.
	searchStep = 16
	// Larger packets are tried again after searchAgain, as the probes may have been lost by
	// chance, and then each time after twice as long, up to searchLater.
	searchAgain = 5 * time.Second
	searchLater = 10 * time.Minute
	// mostSilence is how often in a row T3-rtx may expire before the path counts as one
	// on which large packets vanish.
	mostSilence = 2
)

// startMTU settles how large packets are at first.
func (a *assoc) startMTU() {
	a.mtu = a.pathMTU()
	if a.search.on = a.discovers(); a.search.on {
		a.search.high = a.mtu + 1
		a.mtu = min(baseMTU, a.mtu)
	}
}

// beginSearch begins the search, when there is data to send for the first time.
func (a *assoc) beginSearch() {
	if s := &a.search; s.on && !s.begun {
		s.begun = true
		a.probeMTU()
	}
}

// probeMTU sends the next probe, or ends the search. The largest size comes first, as it is
// the likeliest.
func (a *assoc) probeMTU() {
	s := &a.search
	switch a.state {
	case engine.StateShutdownSent, engine.StateShutdownAckSent:
		return // there is nothing left to send
	}
	if most := a.pathMTU(); s.high > most {
		s.size = most
	} else {
		s.size = (a.mtu + s.high) / 2 &^ 3
	}
	if s.size <= a.mtu || s.high-a.mtu < searchStep {
		s.size = 0
		if a.mtu < a.pathMTU() {
			s.pause = min(max(2*s.pause, searchAgain), searchLater)
			s.timer.start(s.pause)
		}
		return
	}
	s.tries = 0
	s.nonce = rand.Uint64()
	a.sendProbe()
}

func (a *assoc) sendProbe() {
	s := &a.search
	s.tries++
	p := appendHeader(make(packet, 0, s.size), a.header())
	p = p.add(ctHeartbeat, 0, heartbeatInfo(s.nonce))
	if rest := s.size - len(p) - chunkHeaderSize; rest >= 0 {
		p = p.add(ctPad, 0, make([]byte, rest))
	}
	a.stats.ControlSent++
	a.stats.PacketsSent++
	to := a.path
	to.whole = true
	to.sendPacket(p)
	s.timer.start(a.retry.RTO)
}

// onSearchTimer is when a probe was not answered, or is to be sent again.
func (a *assoc) onSearchTimer() {
	s := &a.search
	switch {
	case s.size == 0:
		s.high = a.pathMTU() + 1
		a.probeMTU()
	case s.tries < mostProbes:
		a.sendProbe()
	default:
		s.high = s.size
		a.probeMTU()
	}
}

// isProbeAnswer takes the answer to a probe.
func (a *assoc) isProbeAnswer(nonce uint64) bool {
	s := &a.search
	if s.size == 0 || nonce != s.nonce {
		return false
	}
	a.setMTU(s.size)
	s.timer.stop()
	a.probeMTU()
	return true
}

func (a *assoc) setMTU(n int) {
	a.mtu = n
	a.snd.SetRoom(n - headerSize)
}

// noteSilence is called when T3-rtx has expired. Where large packets vanish it begins
// anew with small ones.
func (a *assoc) noteSilence() {
	if a.search.silent++; a.search.silent >= mostSilence {
		a.shrinkMTU()
	}
}

// shrinkMTU begins anew with small packets, and if those vanish with smaller ones. What
// was sent in large chunks the system divides.
func (a *assoc) shrinkMTU() {
	s := &a.search
	least := baseMTU
	if a.mtu <= baseMTU {
		least = a.leastMTU()
	}
	if !s.on || a.mtu <= least {
		return
	}
	s.high = a.mtu
	s.silent = 0
	a.setMTU(least)
	s.timer.stop()
	a.probeMTU()
}

// limitMTU is called when a router has told how large packets may be.
func (a *assoc) limitMTU(n int) {
	s := &a.search
	n = max(n&^3, a.leastMTU())
	switch {
	case !s.on || n >= a.mtu && n >= s.size:
		return
	case n < a.mtu:
		a.setMTU(n)
	}
	s.high = n + 1
	s.timer.stop()
	a.probeMTU()
}

// leastMTU is what each path passes.
func (a *assoc) leastMTU() int {
	if a.peer.ip.Is4() {
		return leastMTU4
	}
	return baseMTU
}
