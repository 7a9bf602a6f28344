package udpencap

import (
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestReadsAllThatHasCome keeps a socket from being read until many packets have come. They
// are handled together, and acknowledged together.
func TestReadsAllThatHasCome(t *testing.T) {
	const packets = 100
	r, _, ln := rawPair(t, sctpnet.Config{})
	a := assocOf(t, ln, r.tag)
	r.write(0, "first")
	r.awaitAck(r.own.tsn)
	a.mu.Lock()
	before := a.stats.SACKsSent
	for n := range uint16(packets) {
		r.write(1+n, "x")
	}
	a.mu.Unlock()
	r.awaitAck(r.own.tsn + packets)
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := a.stats.SACKsSent - before; n > 3 {
		t.Errorf("%d packets have had %d acknowledgements", packets, n)
	}
}

// TestTimerWaitsForSocket keeps a socket from being read while an acknowledgement comes and
// T3-rtx expires. Nothing is sent again before the socket was read, if that does not take
// too long.
func TestTimerWaitsForSocket(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	other := newRawPeer(t, ln.Addr())
	other.src++
	other.handshake()
	a, b := assocOf(t, ln, r.tag), assocOf(t, ln, other.tag)
	expire := func(want uint64) {
		t.Helper()
		a.makeLate()
		a.onSendTimer()
		if n := a.snd.Counts.Retransmitted; n != want {
			t.Errorf("%d chunks are sent again, want %d", n, want)
		}
	}
	for i, tooLong := range []bool{false, true} {
		a.mu.Lock()
		sent := a.snd.Counts.Retransmitted
		a.sendTimer.end() // a.onSendTimer is called instead
		a.mu.Unlock()
		b.mu.Lock() // which the reader waits for
		other.write(uint16(i), "x")
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		a.mu.Lock()
		r.sendChunk(ctSACK, 0, sack(r.theirs.tsn+uint32(i)))
		expire(sent)
		if tooLong {
			a.readWait.since -= mostUnread
			expire(sent + 1)
		}
		a.mu.Unlock()
		b.mu.Unlock()
		r.ping()
		a.mu.Lock()
		if n := a.snd.Unacked(); n > 0 || a.snd.Counts.Retransmitted != sent && !tooLong {
			t.Errorf("%d chunks are not acknowledged, %d were sent again", n, a.snd.Counts.Retransmitted)
		}
		a.mu.Unlock()
	}
}

// makeLate has the time of T3-rtx, or of what else sends again, be past.
func (a *assoc) makeLate() { a.epoch = a.epoch.Add(min(0, a.now()-a.snd.ResendAt())) }

// TestTimerWaitsForAllInSocket has an acknowledgement lie in a socket behind more packets
// than are read in one go. T3-rtx waits for it.
func TestTimerWaitsForAllInSocket(t *testing.T) {
	const packets = 2*enough/leastCounted + 20 // which the socket has room for
	r, c, ln := rawPair(t, sctpnet.Config{})
	other := newRawPeer(t, ln.Addr())
	other.src++
	other.handshake()
	a, b := assocOf(t, ln, r.tag), assocOf(t, ln, other.tag)
	a.mu.Lock()
	a.sendTimer.end() // a.onSendTimer is called instead
	a.mu.Unlock()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock() // which the reader waits for
	a.mu.Lock()
	all := b.stats.PacketsReceived + packets
	for n := range uint16(packets) {
		other.write(n, "x")
	}
	r.sendChunk(ctSACK, 0, sack(r.theirs.tsn))
	a.makeLate()
	a.onSendTimer()
	a.readWait.since += time.Hour // for a busy machine
	for tries := 0; b.stats.PacketsReceived < all && tries < 10_000; tries++ {
		b.mu.Unlock()
		time.Sleep(time.Millisecond)
		b.mu.Lock()
	}
	if n := b.stats.PacketsReceived; n < all {
		t.Errorf("%d packets are read, want %d", n, all)
	}
	b.mu.Unlock()
	a.onSendTimer() // the reader comes to a now, but a.mu is held
	if n := a.snd.Counts.Retransmitted; n > 0 {
		t.Errorf("%d chunks are sent again", n)
	}
	a.mu.Unlock()
	r.ping()
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := a.snd.Unacked(); n > 0 || a.snd.Counts.Retransmitted > 0 {
		t.Errorf("%d chunks are not acknowledged, %d were sent again", n, a.snd.Counts.Retransmitted)
	}
}

// TestTurnBegins reads a socket again and again. What is no longer in it is being handled,
// or was.
func TestTurnBegins(t *testing.T) {
	r, _, ln := rawPair(t, sctpnet.Config{})
	s := socketOf(ln)
	for n := s.counters.received.Load() + 1; n < 300; n++ {
		r.write(0, "x")
		if !s.isBehind() && s.counters.received.Load() < n {
			t.Fatalf("packet %d is neither in the socket nor being handled", n)
		}
		for s.counters.received.Load() < n {
			runtime.Gosched()
		}
	}
}

// TestZones asks for the names of two interfaces in turn, which are remembered, and of one
// that the system does not know now, which is not.
func TestZones(t *testing.T) {
	const unknown = 1 << 30
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	z := zones{7: "other0"}
	for range 2 {
		for index, want := range map[int]string{lo.Index: "lo", 7: "other0", unknown: strconv.Itoa(unknown)} {
			if got := z.name(index); got != want {
				t.Errorf("interface %d is %q, want %q", index, got, want)
			}
		}
	}
	if len(z) != 2 {
		t.Errorf("%v are remembered", z)
	}
}

// TestProbeIsNotDivided has a probe of the MTU be sent while the socket divides what another
// association sends. The probe waits, and other packets do not.
func TestProbeIsNotDivided(t *testing.T) {
	ln := listen(t, "sctp4+udp", "127.0.0.1:0")
	s := socketOf(ln)
	p := s.pathTo(netip.MustParseAddrPort(muteUDP(t)), netip.MustParseAddr("127.0.0.1"))
	send := func(whole bool) *conformance.Call {
		to := p
		to.whole = whole
		return conformance.Start(t, func() (int, error) {
			to.sendPacket(newPacket(header{}).add(ctHeartbeat, 0, nil))
			return 0, nil
		})
	}
	watchdog(t, func() {
		s.sys.mu.Lock() // as one that divides does
		probe := send(true)
		send(false).Result()
		probe.Waits()
		s.sys.mu.Unlock()
		probe.Result()
	})
}
