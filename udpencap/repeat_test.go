package udpencap

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// repeating is a configuration that sends again after these times.
var repeating = sctpnet.Config{
	RTO:         sctpnet.RTO{Initial: 50 * patience, Min: 50 * patience, Max: 10_000 * patience},
	AssocParams: sctpnet.AssocParams{MaxRetransmissions: 20},
	PathParams:  sctpnet.PathParams{HeartbeatInterval: 10 * time.Millisecond}, // which are not answered
}

// wantDoubling has chunks of a type come again and again, and checks that each pause is
// twice as long as the one before. Others must not come if they are of one of some types.
func (r *rawPeer) wantDoubling(typ byte, not ...byte) {
	r.t.Helper()
	var last time.Time
	want := 50 * patience
	for n := 0; n < 5; {
		_, chunks := r.receive()
		for _, c := range chunks {
			if bytes.IndexByte(not, c.typ) >= 0 {
				r.t.Errorf("a chunk of type %d comes between", c.typ)
			}
			if c.typ != typ {
				continue
			}
			now := time.Now()
			if n > 0 {
				if got := now.Sub(last); got < want*9/10 || got > want*3/2+20*patience {
					r.t.Errorf("pause %d is %v, want %v", n, got, want)
				}
				want *= 2
			}
			last = now
			n++
		}
	}
}

// TestRepeatedData has a peer that never acknowledges a chunk.
func TestRepeatedData(t *testing.T) {
	t.Parallel()
	r, c, _ := rawPair(t, repeating)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	r.wantDoubling(ctData)
}

// TestRepeatedShutdown has a peer that answers nothing after SHUTDOWN. It gets no
// HEARTBEATs any more.
func TestRepeatedShutdown(t *testing.T) {
	t.Parallel()
	r, c, _ := rawPair(t, repeating)
	r.await(ctHeartbeat)
	c.Shutdown()
	r.wantDoubling(ctShutdown, ctHeartbeat)
}

// TestRepeatedShutdownAck has a peer that answers nothing after SHUTDOWN ACK.
func TestRepeatedShutdownAck(t *testing.T) {
	t.Parallel()
	r, _, _ := rawPair(t, repeating)
	r.await(ctHeartbeat)
	r.sendChunk(ctShutdown, 0, binary.BigEndian.AppendUint32(nil, r.theirs.tsn-1))
	r.wantDoubling(ctShutdownAck, ctHeartbeat)
}

// TestUnansweredHeartbeats has a peer that answers no HEARTBEAT. The next one does not
// come sooner for that.
func TestUnansweredHeartbeats(t *testing.T) {
	const interval = 100 * time.Millisecond
	config := repeating
	config.RTO = sctpnet.RTO{Initial: time.Millisecond, Min: time.Millisecond, Max: time.Millisecond}
	config.PathParams.HeartbeatInterval = interval
	start := time.Now()
	r, _, _ := rawPair(t, config)
	for n := range 5 {
		r.await(ctHeartbeat)
		if took := time.Since(start); took < time.Duration(n+1)*interval {
			t.Fatalf("HEARTBEAT %d comes after %v", n+1, took)
		}
	}
}

// TestLateHeartbeatAnswers has a peer answer each HEARTBEAT only when its time is over. That
// peer is there, though it is slow.
func TestLateHeartbeatAnswers(t *testing.T) {
	r, _, ln := rawPair(t, sctpnet.Config{})
	a := assocOf(t, ln, r.tag)
	a.mu.Lock()
	defer a.mu.Unlock()
	for range 2 {
		a.sendHeartbeat()
		a.onHeartbeatTimer()
		a.mu.Unlock()
		_, c := r.await(ctHeartbeat)
		r.sendChunk(ctHeartbeatAck, 0, c.value)
		r.ping()
		a.mu.Lock()
		if a.retry.errors > 0 || a.retry.SRTT == 0 {
			t.Errorf("%d HEARTBEATs count as unanswered, and the round trip as %v", a.retry.errors, a.retry.SRTT)
		}
	}
}

// rawDial dials a raw peer, and returns that with the INIT that has come.
func rawDial(t *testing.T, config sctpnet.Config) *rawPeer {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopbackAddr[0].IP})
	if err != nil {
		t.Fatal(err)
	}
	from := freeUDPPort(t)
	config.LocalUDPPort = from
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-done
		conn.Close()
	})
	address := conn.LocalAddr().String()
	go func() {
		defer close(done)
		d := &sctpnet.Dialer{Config: config}
		if c, err := d.DialContext(ctx, "sctp4+udp", address); err == nil {
			c.(*sctpnet.Conn).Abort()
		}
	}()
	// The first packet says where the other one is.
	buf := make([]byte, 1<<12)
	n, addr, err := conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	if int(addr.Port()) != from {
		t.Errorf("INIT comes from UDP port %d, want %d", addr.Port(), from)
	}
	h, rest, ok := parseHeader(buf[:n])
	k, _, _ := nextChunk(rest)
	if !ok || k.typ != ctInit {
		t.Fatalf("the first packet is %x", buf[:n])
	}
	conn.Close()
	to := netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	connected, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)), net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connected.Close() })
	r := &rawPeer{t: t, conn: connected, src: h.dst, dst: h.src, own: initiation{
		tag: 0x01020304, window: 1 << 20, out: 10, in: 10, tsn: 1000, cookie: []byte("biscuit"),
	}}
	r.theirs.parse(k.value)
	r.tag = r.theirs.tag
	return r
}

// TestShutdownAckWhileDialing answers INIT by what ends an association before.
func TestShutdownAckWhileDialing(t *testing.T) {
	r := rawDial(t, sctpnet.Config{})
	r.sendChunk(ctShutdownAck, 0, nil)
	if h, c := r.await(ctShutdownComplete); c.flags != flagReflected || h.tag != r.tag {
		t.Errorf("SHUTDOWN COMPLETE has the flags %d and the tag %x, want the tag of SHUTDOWN ACK, and the flag that says so", c.flags, h.tag)
	}
	// The dial goes on.
	r.sendChunk(ctInitAck, 0, r.own.value())
	r.await(ctCookieEcho)
}

// TestINITAckWithoutCookie is refused, and told what is missing.
func TestINITAckWithoutCookie(t *testing.T) {
	r := rawDial(t, sctpnet.Config{})
	r.own.cookie = nil
	r.sendChunk(ctInitAck, 0, r.own.value())
	_, c := r.await(ctAbort)
	cause, _, _ := nextParam(c.value)
	if want := []byte{0, 0, 0, 1, 0, paramCookie}; cause.typ != causeMissingParameter || !bytes.Equal(cause.value, want) {
		t.Errorf("the cause is %d: %x, want %d: %x", cause.typ, cause.value, causeMissingParameter, want)
	}
}

// TestMalformedINITAck has an INIT ACK name no tag, or end before it says all. The dial is
// refused. The peer is told by the tag of INIT, as there is no other.
func TestMalformedINITAck(t *testing.T) {
	p := newDialedPort(t, 0)
	for name, tt := range map[string]struct {
		value []byte
		cause uint16
	}{
		"no tag":    {p.own.value(), causeInvalidParameter},
		"cut short": {p.own.value()[:initSize-1], causeProtocolViolation},
	} {
		t.Run(name, func(t *testing.T) {
			from, result := startDial(t, engine.Options{}, p.port)
			q := p.init(from)
			p.answer(dialedSCTP, q, ctInitAck, 0, tt.value)
			h, c, _, ok := p.next(10 * time.Second)
			if !ok || c.typ != ctAbort || c.flags != flagReflected || h.tag != q.tag {
				t.Errorf("it is answered by a chunk of type %d, flags %d and the tag %x, want %d, %d and %x",
					c.typ, c.flags, h.tag, ctAbort, flagReflected, q.tag)
			}
			if cause, _, _ := nextParam(c.value); cause.typ != tt.cause || len(cause.value) > 0 {
				t.Errorf("the cause is %d: %x, want %d alone", cause.typ, cause.value, tt.cause)
			}
			wantDialed(t, result, syscall.ECONNREFUSED)
		})
	}
}

// TestHeartbeatWhileDialing sends HEARTBEAT before COOKIE ACK. To the peer the association is
// established, though its COOKIE ACK may be lost.
func TestHeartbeatWhileDialing(t *testing.T) {
	r := rawDial(t, sctpnet.Config{})
	r.sendChunk(ctInitAck, 0, r.own.value())
	r.await(ctCookieEcho)
	info := appendParam(nil, paramHeartbeatInfo, []byte("early"))
	r.sendChunk(ctHeartbeat, 0, info)
	if h, c := r.await(ctHeartbeatAck); h.tag != r.own.tag || !bytes.Equal(c.value, info) {
		t.Errorf("HEARTBEAT ACK has the tag %x and %x, want %x and %x", h.tag, c.value, r.own.tag, info)
	}
	r.sendChunk(ctCookieAck, 0, nil) // the dial goes on
}

// TestABORTWhileDialing refuses a dial by ABORT, at once and when the cookie has come. It
// is not answered.
func TestABORTWhileDialing(t *testing.T) {
	for _, late := range []bool{false, true} {
		p := newDialedPort(t, 7)
		from, result := startDial(t, engine.Options{}, p.port)
		q := p.init(from)
		if late {
			p.answer(dialedSCTP, q, ctInitAck, 0, p.own.value())
			if _, c, _, ok := p.next(10 * time.Second); !ok || c.typ != ctCookieEcho {
				t.Fatalf("a chunk of type %d has come, want COOKIE ECHO", c.typ)
			}
		}
		p.answer(dialedSCTP, q, ctAbort, 0, nil)
		wantDialed(t, result, syscall.ECONNREFUSED)
		// What had been sent by then is there.
		if _, c, _, ok := p.next(time.Millisecond); ok {
			t.Errorf("cookie: %t: it is answered by a chunk of type %d", late, c.typ)
		}
	}
}

// TestINITAckAlone has an INIT ACK come with DATA, which it must not.
func TestINITAckAlone(t *testing.T) {
	r := rawDial(t, sctpnet.Config{})
	r.send(newPacket(r.header()).add(ctInitAck, 0, r.own.value()).add(ctData, flagBegin|flagEnd, data(1000, 0, 0, "x")))
	r.sendChunk(ctShutdownAck, 0, nil)
	for {
		_, chunks := r.receive()
		switch chunks[0].typ {
		case ctCookieEcho:
			t.Fatal("the INIT ACK is taken")
		case ctShutdownComplete:
			return
		}
	}
}

// TestOneINIT dials a peer that does not answer. All packets come from the port that was
// set, and are the same INIT.
func TestOneINIT(t *testing.T) {
	r := rawDial(t, sctpnet.Config{RTO: sctpnet.RTO{Initial: 50 * time.Millisecond}})
	for range 3 {
		_, c := r.await(ctInit)
		var i initiation
		if i.parse(c.value); i.tag != r.tag {
			t.Errorf("there is an INIT with the tag %x, and one with %x", r.tag, i.tag)
		}
	}
}
