package udpencap

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestDialsCrossAtSecondPort has two peers dial each other. The UDP port that each
// asks first refuses, so their INITs at the second one cross.
func TestDialsCrossAtSecondPort(t *testing.T) {
	udp := uint16(freeUDPPort(t))
	slow := func(_ path, b []byte, send func([]byte)) {
		b = slices.Clone(b)
		time.AfterFunc(20*time.Millisecond, func() { send(b) })
	}
	transport.Store(&slow)
	defer transport.Store(nil)
	const num = 36422
	ips := []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}, {IP: net.IP{127, 0, 0, 2}}}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i := range ips {
		wg.Go(func() {
			s := &engine.Socket{Network: "sctp4", Local: &engine.Addr{IPAddrs: ips[i : i+1], Port: num}, Options: engine.Options{LocalUDPPort: udp}}
			c, err := dialAt(ctx, s, &engine.Addr{IPAddrs: ips[1-i : 2-i], Port: num}, []uint16{num, udp})
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { c.Abort() })
		})
	}
	wg.Wait()
}

// TestPortKnowsNoneBeforeItsDial begins to dial while the association cannot be changed.
// Until it can, its port does not know of it: an INIT of the peer's would find an
// association that is not being dialed.
func TestPortKnowsNoneBeforeItsDial(t *testing.T) {
	tg := newTarget(t)
	tg.port.use()
	a := newAssoc(tg.port, peer{fuzzPeer.Addr(), 7778}, engine.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	a.mu.Lock()
	go func() { result <- a.connect(ctx, []uint16{9}) }()
	isKnown := func() bool { return tg.port.findPeer(a.peer) != nil }
	for begin := time.Now(); time.Since(begin) < 50*time.Millisecond && !t.Failed(); {
		if isKnown() {
			t.Error("the port knows of the association before it is being dialed")
		}
	}
	a.mu.Unlock()
	conformance.Watchdog(t, func() {
		for !isKnown() {
			runtime.Gosched()
		}
		a.mu.Lock()
		if a.state != engine.StateCookieWait {
			t.Errorf("the association that the port knows of is in state %v", a.state)
		}
		a.mu.Unlock()
		cancel()
		if err := <-result; err != context.Canceled {
			t.Errorf("connect: %v, want the context's error", err)
		}
	})
}

// TestHeartbeatIsAnsweredWhereItComesFrom has the peer send a HEARTBEAT from a UDP
// port that is not verified yet (RFC 9260 section 8.3).
func TestHeartbeatIsAnsweredWhereItComesFrom(t *testing.T) {
	r, _, _ := rawPair(t, sctpnet.Config{})
	other := r.elsewhere(loopbackAddr[0].IP)
	other.sendChunk(ctHeartbeat, 0, heartbeatInfo(7))
	for {
		_, chunks, ok := other.poll(5 * time.Second)
		if !ok {
			t.Fatal("there is no HEARTBEAT ACK where the HEARTBEAT came from")
		}
		if chunks[0].typ == ctHeartbeatAck {
			return
		}
	}
}

// TestImpatientDialAsksSecondPort dials with one attempt. It asks at the second UDP
// port before it gives up.
func TestImpatientDialAsksSecondPort(t *testing.T) {
	silent, peer := newDialedPort(t, 1), newDialedPort(t, 2)
	from, result := startDial(t, engine.Options{InitAttempts: 1, InitTimeout: 200 * time.Millisecond}, silent.port, peer.port)
	for {
		h, c, at, ok := peer.next(5 * time.Second)
		if !ok {
			t.Fatal("the second port was never asked")
		}
		if c.typ == ctInit && at.Port() == from {
			peer.accept(dialedSCTP, question{binary.BigEndian.Uint32(c.value), h.src, at})
			break
		}
	}
	if r := <-result; r.err != nil {
		t.Error(r.err)
	}
}

// TestCookieOfGivenUpDial has two ends dial each other. When one has given up, and the
// peer was told, the cookie that it has made for the peer's dial is of no use any more.
func TestCookieOfGivenUpDial(t *testing.T) {
	own, theirs := freeUDPPort(t), freeUDPPort(t)
	var lc sctpnet.ListenConfig
	lc.Config.PathParams.UDPPort = own
	local := &sctpnet.Addr{IPAddrs: loopbackAddr, Port: theirs}
	pc, err := lc.ListenPacket(t.Context(), "sctp4+udp", local.String())
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	c := pc.(*sctpnet.PacketConn)
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: loopbackAddr[0].IP, Port: own}, &net.UDPAddr{IP: loopbackAddr[0].IP, Port: theirs})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := newRawPeer(t, local)
	r.conn = conn
	watchdog(t, func() {
		ctx, cancel := context.WithCancel(t.Context())
		dial := conformance.Start(t, func() (int, error) {
			_, err := c.Connect(ctx, (&sctpnet.Addr{IPAddrs: loopbackAddr, Port: int(r.src)}).String())
			return 0, err
		})
		r.await(ctInit)
		cookie := r.init()
		answer := r.own
		answer.cookie = []byte("biscuit")
		r.sendChunk(ctInitAck, 0, answer.value())
		r.await(ctCookieEcho)
		cancel()
		if _, err := dial.Result(); !errors.Is(err, context.Canceled) {
			t.Errorf("Connect: %v", err)
		}
		r.await(ctAbort)
		r.sendChunk(ctCookieEcho, 0, cookie)
		for {
			switch _, chunks := r.receive(); chunks[0].typ {
			case ctCookieAck:
				t.Error("there is another association with the tags of the one that was given up")
				return
			case ctAbort:
				if chunks[0].flags&flagReflected != 0 {
					return
				}
			}
		}
	})
}
