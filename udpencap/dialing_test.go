package udpencap

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// A dialedPort is a UDP port where a peer may be. The test makes all of its
// packets.
type dialedPort struct {
	t    *testing.T
	conn *net.UDPConn
	port uint16
	own  initiation
}

func newDialedPort(t *testing.T, tag uint32) *dialedPort {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopbackAddr[0].IP})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &dialedPort{t, c, uint16(c.LocalAddr().(*net.UDPAddr).Port),
		initiation{tag: tag, window: 1 << 20, out: 10, in: 10, tsn: 1, cookie: []byte("biscuit")}}
}

// next returns the next packet's first chunk, from where it comes and to answer whom.
// It reports false if none comes in time.
func (p *dialedPort) next(wait time.Duration) (h header, c chunk, from netip.AddrPort, ok bool) {
	p.t.Helper()
	buf := make([]byte, 1500)
	p.conn.SetReadDeadline(time.Now().Add(wait))
	n, from, err := p.conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		return h, c, from, false
	}
	h, b, ok := parseHeader(buf[:n])
	if !ok {
		p.t.Fatalf("received a malformed packet: %x", buf[:n])
	}
	c, _, _ = nextChunk(b)
	return h, c, from, true
}

// A question is an INIT that has come.
type question struct {
	tag  uint32
	src  uint16
	from netip.AddrPort
}

// init returns the INIT that the dial sends here, which no probe for a closed port is:
// that comes from another UDP port.
func (p *dialedPort) init(from uint16) question {
	p.t.Helper()
	for {
		h, c, at, ok := p.next(10 * time.Second)
		switch {
		case !ok:
			p.t.Fatal("no INIT has come")
		case c.typ == ctInit && at.Port() == from:
			return question{binary.BigEndian.Uint32(c.value), h.src, at}
		}
	}
}

// answer sends a chunk with the tag of an INIT.
func (p *dialedPort) answer(dst uint16, q question, typ, flags byte, value []byte) {
	p.t.Helper()
	b := newPacket(header{dst, q.src, q.tag}).add(typ, flags, value).seal()
	if _, err := p.conn.WriteToUDPAddrPort(b, q.from); err != nil {
		p.t.Fatal(err)
	}
}

// accept answers an INIT, and what follows until there is an association.
func (p *dialedPort) accept(dst uint16, q question) {
	p.t.Helper()
	p.answer(dst, q, ctInitAck, 0, p.own.value())
	for {
		_, c, _, ok := p.next(10 * time.Second)
		if !ok {
			p.t.Fatal("no COOKIE ECHO has come")
		}
		if c.typ == ctCookieEcho {
			break
		}
	}
	p.answer(dst, q, ctCookieAck, 0, nil)
}

const dialedSCTP = 3868

// startDial dials a peer that is at one of several UDP ports, from a UDP port that it
// returns.
func startDial(t *testing.T, o engine.Options, ports ...uint16) (from uint16, result <-chan dialResult) {
	t.Helper()
	from = uint16(freeUDPPort(t))
	o.LocalUDPPort = from
	s := &engine.Socket{Network: "sctp4", Options: o}
	done := make(chan dialResult, 1)
	start := time.Now()
	go func() {
		c, err := dialAt(t.Context(), s, &engine.Addr{IPAddrs: loopbackAddr, Port: dialedSCTP}, ports)
		if err == nil {
			t.Cleanup(func() { c.Abort() })
		}
		done <- dialResult{c, err, time.Since(start)}
	}()
	return from, done
}

type dialResult struct {
	conn engine.Conn
	err  error
	took time.Duration
}

func wantDialed(t *testing.T, result <-chan dialResult, want error) dialResult {
	t.Helper()
	select {
	case r := <-result:
		if !errors.Is(r.err, want) {
			t.Fatalf("Dial: %v, want %v", r.err, want)
		}
		return r
	case <-time.After(30 * time.Second * conformance.Slowness):
		t.Fatal("Dial does not return")
		return dialResult{}
	}
}

// TestNamedPortFirst dials a UDP port where a peer is, with somebody at the other one
// who would answer sooner. That is not asked.
func TestNamedPortFirst(t *testing.T) {
	named, other := newDialedPort(t, 7), newDialedPort(t, 9)
	for range 20 {
		from, result := startDial(t, engine.Options{}, named.port, other.port)
		q := named.init(from)
		if _, _, _, ok := other.next(2 * time.Millisecond); ok {
			t.Fatal("the other port was asked too")
		}
		named.accept(dialedSCTP, q)
		r := wantDialed(t, result, nil)
		r.conn.Abort()
		if _, _, _, ok := other.next(time.Millisecond); ok {
			t.Fatal("the other port was asked too, in the end")
		}
	}
}

// TestOtherPortAfterRefusal dials where nobody is but at the other UDP port.
func TestOtherPortAfterRefusal(t *testing.T) {
	t.Run("Aborted", func(t *testing.T) {
		named, other := newDialedPort(t, 7), newDialedPort(t, 9)
		from, result := startDial(t, engine.Options{}, named.port, other.port)
		first := named.init(from)
		named.answer(dialedSCTP, first, ctAbort, 0, nil)
		q := other.init(from)
		if q.tag == first.tag {
			t.Error("both are asked with the same tag")
		}
		named.answer(dialedSCTP, first, ctAbort, 0, nil) // which is a late copy
		other.accept(dialedSCTP, q)
		if r := wantDialed(t, result, nil); r.took > rtoInitial {
			t.Errorf("that took %v", r.took)
		}
	})
	t.Run("Closed", func(t *testing.T) {
		other := newDialedPort(t, 9)
		from, result := startDial(t, engine.Options{}, uint16(freeUDPPort(t)), other.port)
		other.accept(dialedSCTP, other.init(from))
		if r := wantDialed(t, result, nil); r.took > rtoInitial {
			t.Errorf("that took %v", r.took)
		}
	})
	t.Run("Both", func(t *testing.T) {
		_, result := startDial(t, engine.Options{}, uint16(freeUDPPort(t)), uint16(freeUDPPort(t)))
		wantDialed(t, result, syscall.ECONNREFUSED)
	})
	t.Run("BothAborted", func(t *testing.T) {
		named, other := newDialedPort(t, 7), newDialedPort(t, 9)
		from, result := startDial(t, engine.Options{}, named.port, other.port)
		named.answer(dialedSCTP, named.init(from), ctAbort, 0, nil)
		other.answer(dialedSCTP, other.init(from), ctAbort, 0, nil)
		wantDialed(t, result, syscall.ECONNREFUSED)
	})
}

// TestOtherPortAfterSilence dials a UDP port that is silent for long. The other one is
// asked then, and whichever answers is the peer; the one that is not has no say.
func TestOtherPortAfterSilence(t *testing.T) {
	const rto = 20 * time.Millisecond
	o := engine.Options{Settings: engine.Settings{RTO: engine.RTO{Initial: rto, Min: rto}}, InitAttempts: 20, InitTimeout: 100 * time.Millisecond}
	for _, namedAnswers := range []bool{true, false} {
		t.Run(strconv.FormatBool(namedAnswers), func(t *testing.T) {
			peer, stranger := newDialedPort(t, 7), newDialedPort(t, 9)
			named, other := peer, stranger
			if !namedAnswers {
				named, other = stranger, peer
			}
			from, result := startDial(t, o, named.port, other.port)
			first := named.init(from)
			if again := named.init(from); again != first {
				t.Errorf("INIT comes again as %+v, was %+v", again, first)
			}
			second := other.init(from)
			if second.tag == first.tag {
				t.Error("both are asked with the same tag")
			}
			q, strange := first, second
			if !namedAnswers {
				q, strange = second, first
			}
			peer.accept(dialedSCTP, q)
			c := wantDialed(t, result, nil).conn
			for {
				if _, c, _, ok := stranger.next(time.Millisecond); !ok {
					break
				} else if c.typ != ctInit {
					t.Errorf("the stranger gets a chunk of type %d", c.typ)
				}
			}
			for _, k := range []chunk{
				{typ: ctInitAck, value: stranger.own.value()},
				{typ: ctAbort},
				{typ: ctData, flags: flagBegin | flagEnd, value: data(1, 0, 0, "forged")},
				{typ: ctHeartbeat, value: heartbeatInfo(1)},
			} {
				stranger.answer(dialedSCTP, strange, k.typ, k.flags, k.value)
			}
			peer.answer(dialedSCTP, q, ctData, flagBegin|flagEnd, data(1, 0, 0, "true"))
			b := make([]byte, 10)
			if n, _, err := c.Recv(b, false); string(b[:n]) != "true" || err != nil {
				t.Errorf("read %q, %v", b[:n], err)
			}
			if _, c, _, ok := stranger.next(10 * time.Millisecond); ok {
				t.Errorf("the stranger is answered by a chunk of type %d", c.typ)
			}
			// Of the tags only the association's is left.
			c.Abort()
			registry.mu.Lock()
			defer registry.mu.Unlock()
			for _, s := range registry.sockets {
				if s.local.Port() == from && len(s.ports) > 0 {
					t.Errorf("the socket still has %d ports", len(s.ports))
				}
			}
		})
	}
}

// dialingAssoc returns an association that is dialing: nobody answers.
func dialingAssoc(t *testing.T) *assoc {
	t.Helper()
	mute := netip.MustParseAddrPort(muteUDP(t))
	second := netip.MustParseAddrPort(muteUDP(t))
	p, err := dialPort(t.Context(), mute.Addr(), mute.Addr(), uint16(freeUDPPort(t)), dialedSCTP, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := newAssoc(p, peer{mute.Addr(), dialedSCTP}, engine.Options{})
	p.add(a)
	a.state = engine.StateCookieWait
	over, cancel := context.WithCancel(t.Context())
	cancel() // nobody looks for closed ports
	a.dial.most, a.dial.longest = 8, time.Minute
	a.dial.ctx, a.dial.socket, a.dial.rest = over, p.sockets[0], []uint16{mute.Port(), second.Port()}
	return a
}

// TestQuotedINIT tells a dial that INIT has come to a closed port, and of what was not
// its INIT.
func TestQuotedINIT(t *testing.T) {
	a := dialingAssoc(t)
	defer a.Abort()
	a.mu.Lock()
	a.ask()
	c, h := a.dial.candidates[0], header{a.port.num, a.peer.port, 0}
	a.mu.Unlock()
	asked := func() int {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.dial.asked
	}
	quote := func(h header, typ byte, tag uint32) packet {
		return newPacket(h).add(typ, 0, (&initiation{tag: tag}).value()).seal()
	}
	s := a.dial.socket
	s.onPortUnreachable(quote(h, ctInit, c.tag+1), c.to)
	s.onPortUnreachable(quote(h, ctInitAck, c.tag), c.to)
	s.onPortUnreachable(quote(h, ctInit, c.tag)[:headerSize+chunkHeaderSize+3], c.to)
	s.onPortUnreachable(quote(h, ctInit, c.tag), netip.AddrPortFrom(c.to.Addr(), c.to.Port()+1))
	if n := asked(); n != 1 {
		t.Errorf("%d ports are asked because of what is not its own", n)
	}
	s.onPortUnreachable(quote(h, ctInit, c.tag)[:64], c.to)
	if n := asked(); n != 2 {
		t.Errorf("%d ports are asked after a refusal", n)
	}
}

// TestTagsOfDial checks that all tags of a dial are forgotten, however it ends.
func TestTagsOfDial(t *testing.T) {
	for _, asked := range []int{1, 2} {
		for _, end := range []string{"timeout", "chosen", "refused", "chosen after a refusal"} {
			a := dialingAssoc(t)
			p := a.port
			a.mu.Lock()
			for range asked {
				a.ask()
			}
			tags := len(p.byTag)
			switch end {
			case "chosen after a refusal":
				a.onRefused(a.localTag)
				if len(a.dial.candidates) != 1 {
					t.Fatalf("%d candidates are left of %d", len(a.dial.candidates), asked)
				}
				a.choose(0)
				if p.byTag[a.localTag] != a || len(p.byTag) != 1 {
					t.Errorf("after a refusal %d tags are left", len(p.byTag))
				}
			case "chosen":
				a.choose(asked - 1)
				if p.byTag[a.localTag] != a || len(p.byTag) != 1 {
					t.Errorf("of %d tags %d are left", tags, len(p.byTag))
				}
			case "refused":
				for a.state == engine.StateCookieWait {
					a.onRefused(a.dial.candidates[0].tag)
				}
			}
			a.finish(errTimeout)
			a.mu.Unlock()
			if tags != asked || len(p.byTag) != 0 {
				t.Errorf("%s: of %d tags for %d ports %d are left", end, tags, asked, len(p.byTag))
			}
		}
	}
}

// TestDialOwnPort dials the UDP port of the socket that dials, where nobody listens. The
// association must not be with itself.
func TestDialOwnPort(t *testing.T) {
	ln := listen(t, "sctp4+udp", "127.0.0.1:0")
	c := dial(t, nil, ln.Addr().String())
	accept(t, ln)
	shared := c.LocalAddr().(*sctpnet.Addr).Port
	for _, d := range []*sctpnet.Dialer{
		{},
		{Config: sctpnet.Config{LocalUDPPort: freeUDPPort(t)}},
		{LocalAddr: &sctpnet.Addr{IPAddrs: loopbackAddr}, Config: sctpnet.Config{LocalUDPPort: freeUDPPort(t)}},
	} {
		to := d.Config.LocalUDPPort
		if to == 0 {
			to = shared
		}
		d.Config.PathParams.UDPPort = to
		for range 3 {
			watchdog(t, func() {
				address := net.JoinHostPort("127.0.0.1", strconv.Itoa(to))
				if c, err := d.Dial("sctp+udp", address); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("Dial %s: %v, %v; want ECONNREFUSED", address, c, err)
				}
			})
		}
	}
	// Where there is a listener it is reached, at the same socket.
	lc := sctpnet.ListenConfig{Config: sctpnet.Config{LocalUDPPort: freeUDPPort(t)}}
	own, err := lc.Listen(t.Context(), "sctp4+udp", "127.0.0.1:3868")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	d := &sctpnet.Dialer{LocalAddr: &sctpnet.Addr{IPAddrs: loopbackAddr}, Config: lc.Config}
	d.Config.PathParams.UDPPort = lc.Config.LocalUDPPort
	watchdog(t, func() {
		c := dial(t, d, own.Addr().String())
		exchange(t, c, accept(t, own))
	})
}

// TestSettingsWhileDialing changes settings of an association that is being made. They are in
// force when there is one, and nothing is sent because of them before.
func TestSettingsWhileDialing(t *testing.T) {
	pc, err := udpEngine{}.ListenPacket(t.Context(), &engine.Socket{Network: "sctp4", Local: &engine.Addr{IPAddrs: loopbackAddr}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	c := pc.(*packetConn)
	named := newDialedPort(t, 7)
	watchdog(t, func() {
		var id engine.AssocID
		remote := &engine.Addr{IPAddrs: loopbackAddr, Port: int(named.port)}
		if err := c.Connect(remote, func(begun engine.AssocID, _ bool) { id = begun }); err != nil {
			t.Fatal(err)
		}
		q := named.init(uint16(c.LocalAddr().Port))
		settings := engine.Settings{PathParams: engine.PathParams{HeartbeatInterval: time.Hour, DiscoverMTU: true}}
		if err := c.Set(id, settings); err != nil {
			t.Fatal(err)
		}
		st, err := c.Status(id)
		if err != nil || st.State != engine.StateCookieWait || st.Primary.MTU != 0 {
			t.Errorf("status %+v, %v", st, err)
		}
		a, err := c.get(id)
		if err != nil {
			t.Fatal(err)
		}
		beats := func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.hb.timer.isRunning()
		}
		if beats() {
			t.Error("a HEARTBEAT is due before there is an association")
		}
		named.accept(named.port, q)
		for last := (lastTaken{}); last.Event == nil; {
			if err := pc.Recv(make([]byte, 10), false, &last); err != nil {
				t.Fatal(err)
			}
		}
		got, err := a.Get(netip.Addr{})
		if p := got.PathParams; err != nil || p.HeartbeatInterval != time.Hour || !p.DiscoverMTU || !beats() {
			t.Errorf("the association has %+v, %v, and HEARTBEATs: %t", p, err, beats())
		}
	})
}

// TestRoundTripOfDial measures the handshake of a dial, unless INIT was sent twice: the answer
// may be that of either. COOKIE ECHO has as many attempts as INIT in any case.
func TestRoundTripOfDial(t *testing.T) {
	for _, tt := range []struct {
		attempts, stale int
		measured        bool
	}{{0, 0, true}, {1, 0, false}, {0, 1, false}} {
		a := dialingAssoc(t)
		a.mu.Lock()
		a.ask()
		a.dial.attempts, a.dial.stale = tt.attempts, tt.stale
		h := header{a.peer.port, a.port.num, a.localTag}
		i := initiation{tag: 9, window: 1 << 20, out: 1, in: 1, tsn: 1, cookie: []byte("biscuit")}
		at := &arrival{header: h, socket: a.dial.socket, from: a.dial.candidates[0].to, to: a.localIP}
		a.onInitAck(at, chunk{typ: ctInitAck, value: i.value()})
		if a.state != engine.StateCookieEchoed || a.dial.attempts != 0 || (a.retry.SRTT != 0) != tt.measured {
			t.Errorf("%+v: %v, %d attempts, the round trip takes %v", tt, a.state, a.dial.attempts, a.retry.SRTT)
		}
		a.mu.Unlock()
		a.Abort()
	}
}
