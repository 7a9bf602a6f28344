package udpencap

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// wantRead checks the next that is read.
func wantRead(t *testing.T, c *sctpnet.Conn, want string) {
	t.Helper()
	b := make([]byte, 100)
	n, _, err := c.ReadStream(b)
	if string(b[:n]) != want || err != nil {
		t.Fatalf("read %q, %v; want %q", b[:n], err, want)
	}
}

// TestWrongTag sends what would end or change an association if its tag were
// right.
func TestWrongTag(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	good := r.tag
	forged := []struct {
		typ, flags byte
		tag        uint32
		value      []byte
	}{
		{ctAbort, 0, good + 1, nil},
		{ctAbort, flagReflected, good, nil}, // of our tag, but says that it is the peer's
		{ctAbort, 0, r.own.tag, nil},        // and the other way round
		{ctAbort, 0, 0, nil},
		{ctAbort, flagReflected, good + 1, nil},
		{ctShutdown, 0, good + 1, []byte{0, 0, 0, 0}},
		{ctShutdownAck, 0, good + 1, nil},
		{ctShutdownComplete, 0, good + 1, nil},
		{ctShutdownComplete, flagReflected, r.own.tag, nil}, // right, in the wrong state
		{ctData, flagBegin | flagEnd, good + 1, data(r.own.tsn, 0, 0, "forged")},
		{ctSACK, 0, good + 1, make([]byte, 12)},
		{ctReconfig, 0, good + 1, make([]byte, 16)},
		{ctCookieAck, 0, good + 1, nil},
		{ctHeartbeat, 0, good + 1, make([]byte, 12)},
	}
	for _, f := range forged {
		r.send(newPacket(header{r.src, r.dst, f.tag}).add(f.typ, f.flags, f.value))
	}
	// Nothing else than this is heard, in the end.
	r.write(0, "true")
	wantRead(t, c, "true")
	if n := countersOf(ln).wrongTag.Load(); n < 12 {
		t.Errorf("%d packets were counted as of the wrong tag", n)
	}
	if st, err := c.Status(); err != nil || st.State != sctpnet.StateEstablished {
		t.Errorf("state %v, %v", st.State, err)
	}
	for {
		_, chunks, ok := r.poll(50 * time.Millisecond)
		if !ok {
			break
		}
		for _, c := range chunks {
			if c.typ != ctSACK {
				t.Errorf("a forged packet was answered by a chunk of type %d", c.typ)
			}
		}
	}
	// With the right tags both kinds of ABORT count.
	r.sendChunk(ctAbort, 0, nil)
	if n, err := c.Read(make([]byte, 10)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Read returned %d, %v after ABORT", n, err)
	}
	r, c, _ = rawPair(t, sctpnet.Config{})
	r.tag = r.own.tag
	r.sendChunk(ctAbort, flagReflected, nil)
	if n, err := c.Read(make([]byte, 10)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Read returned %d, %v after a reflected ABORT", n, err)
	}
}

func TestBadChecksum(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	p := newPacket(r.header()).add(ctAbort, 0, nil).seal()
	p[9]++
	r.conn.Write(p)
	r.conn.Write([]byte{1, 2, 3})
	r.write(0, "x")
	wantRead(t, c, "x")
	if n := countersOf(ln).malformed.Load(); n != 2 {
		t.Errorf("%d packets were counted as malformed", n)
	}
}

// TestINITsLeaveNoState sends 10,000 INITs.
func TestINITsLeaveNoState(t *testing.T) {
	ln := listen(t, "sctp+udp", "127.0.0.1:0")
	r := newRawPeer(t, ln.Addr())
	r.init()
	goroutines := runtime.NumGoroutine()
	before := conformance.HeapBytes()
	for i := range 10_000 {
		r.src = uint16(10_000 + i)
		r.own.tag = uint32(i + 1)
		r.init()
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, before %d", n, goroutines)
	}
	conformance.WaitForHeap(t, before+1<<20)
}

// TestOutOfTheBlue sends what belongs to no association, at a port that is
// listened on and at one that is not.
func TestOutOfTheBlue(t *testing.T) {
	ln := listen(t, "sctp+udp", "127.0.0.1:0")
	r := newRawPeer(t, ln.Addr())
	listening := r.dst
	const none = 0xffff
	own := r.own.value()
	stale := appendCause(nil, causeStaleCookie, make([]byte, 4))
	for _, tt := range []struct {
		name       string
		port       uint16
		tag        uint32
		typ, flags byte
		value      []byte
		want       int // type of the answer
		wantFlags  byte
		wantTag    uint32
	}{
		{"INIT", none, 0, ctInit, 0, own, ctAbort, 0, r.own.tag},
		{"DATA", listening, 5, ctData, 3, data(1, 0, 0, "x"), ctAbort, flagReflected, 5},
		{"DATA to no port", none, 5, ctData, 3, data(1, 0, 0, "x"), ctAbort, flagReflected, 5},
		{"HEARTBEAT", listening, 5, ctHeartbeat, 0, make([]byte, 8), ctAbort, flagReflected, 5},
		{"SHUTDOWN ACK", listening, 6, ctShutdownAck, 0, nil, ctShutdownComplete, flagReflected, 6},
		{"unknown chunk", listening, 6, 0x3f, 0, nil, ctAbort, flagReflected, 6},
		{"invalid cookie", listening, 7, ctCookieEcho, 0, make([]byte, 200), -1, 0, 0},
		{"ABORT", listening, 5, ctAbort, 0, nil, -1, 0, 0},
		{"SHUTDOWN COMPLETE", listening, 5, ctShutdownComplete, 0, nil, -1, 0, 0},
		{"COOKIE ACK", listening, 5, ctCookieAck, 0, nil, -1, 0, 0},
		{"stale cookie", listening, 5, ctError, 0, stale, -1, 0, 0},
		{"INIT with a tag", listening, 5, ctInit, 0, own, -1, 0, 0},
		{"INIT without a tag of its own", listening, 0, ctInit, 0, make([]byte, 16), -1, 0, 0},
		{"short INIT", listening, 0, ctInit, 0, make([]byte, 15), -1, 0, 0},
	} {
		r.dst = tt.port
		r.send(newPacket(header{r.src, tt.port, tt.tag}).add(tt.typ, tt.flags, tt.value))
		if tt.want < 0 {
			// The next answer is that to the next question.
			r.dst = listening
			r.send(newPacket(header{r.src, r.dst, 99}).add(ctShutdownAck, 0, nil))
			if h, chunks := r.receive(); h.tag != 99 {
				t.Errorf("%s: was answered by a chunk of type %d", tt.name, chunks[0].typ)
			}
			continue
		}
		h, chunks := r.receive()
		if c := chunks[0]; int(c.typ) != tt.want || c.flags != tt.wantFlags || h.tag != tt.wantTag {
			t.Errorf("%s: was answered by a chunk of type %d, flags %d, tag %d", tt.name, c.typ, c.flags, h.tag)
		}
		if h.src != tt.port || h.dst != r.src {
			t.Errorf("%s: was answered from port %d to %d", tt.name, h.src, h.dst)
		}
	}
}

// TestUnknownParameters dials with parameters of INIT that nobody knows.
func TestUnknownParameters(t *testing.T) {
	ln := listen(t, "sctp+udp", "127.0.0.1:0")
	r := newRawPeer(t, ln.Addr())
	extra := appendParam(nil, 0x8123, []byte{1, 2, 3, 4, 5})    // pass over in silence
	extra = appendParam(extra, 0xc123, []byte{6})               // pass over and report
	extra = appendParam(extra, paramAddressTypes, []byte{0, 5}) // as Linux sends
	extra = appendParam(extra, paramIPv4, []byte{10, 0, 0, 1})  //
	extra = appendParam(extra, paramECN, nil)                   //
	extra = appendParam(extra, 0x4123, []byte{7, 8})            // stop and report
	extra = appendParam(extra, 0xc456, []byte{9})               // not seen any more
	r.send(newPacket(header{r.src, r.dst, 0}).add(ctInit, 0, append(pad(r.own.value()), extra...)))
	_, c := r.await(ctInitAck)
	var reported []uint16
	for b := c.value[initSize:]; ; {
		p, rest, ok := nextParam(b)
		if !ok {
			break
		}
		b = rest
		switch p.typ {
		case paramUnrecognized:
			reported = append(reported, binary.BigEndian.Uint16(p.value))
		case paramCookie:
			r.theirs.cookie = p.value
		}
	}
	if len(reported) != 2 || reported[0] != 0xc123 || reported[1] != 0x4123 {
		t.Errorf("reported as unrecognized: %x", reported)
	}
	r.tag = binary.BigEndian.Uint32(c.value)
	r.sendChunk(ctCookieEcho, 0, r.theirs.cookie)
	r.await(ctCookieAck)
	accept(t, ln)
}

// TestUnknownChunks sends chunks that nobody knows.
func TestUnknownChunks(t *testing.T) {
	r, c, _ := rawPair(t, sctpnet.Config{})
	for i, tt := range []struct {
		typ           byte
		goesOn, tells bool
	}{{0x3e, false, false}, {0x7e, false, true}, {0xbe, true, false}, {0xfe, true, true}} {
		p := newPacket(r.header()).add(tt.typ, 0, []byte("what"))
		p = p.add(ctHeartbeat, 0, appendParam(nil, 1, []byte{byte(i)}))
		r.send(p)
		r.sendChunk(ctHeartbeat, 0, appendParam(nil, 1, []byte{99}))
		told, went := false, false
		for done := false; !done; {
			_, chunks := r.receive()
			for _, k := range chunks {
				switch {
				case k.typ == ctError && binary.BigEndian.Uint16(k.value) == causeUnrecognizedChunk:
					told = true
				case k.typ == ctHeartbeatAck && k.value[4] == 99:
					done = true
				case k.typ == ctHeartbeatAck:
					went = true
				}
			}
		}
		if told != tt.tells || went != tt.goesOn {
			t.Errorf("chunk %#x: reported %t, went on %t", tt.typ, told, went)
		}
	}
	r.write(0, "x")
	wantRead(t, c, "x")
}

// TestNotAgreedOn sends chunks of extensions that only this side has offered.
func TestNotAgreedOn(t *testing.T) {
	ln := listen(t, "sctp+udp", "127.0.0.1:0")
	r := newRawPeer(t, ln.Addr())
	r.own.reconfig, r.own.partial = false, false
	r.handshake()
	r.send(newPacket(r.header()).add(ctReconfig, 0, appendParam(nil, paramResetOutgoing, make([]byte, 12))).
		add(ctForwardTSN, 0, binary.BigEndian.AppendUint32(nil, r.own.tsn+5)))
	c := r.next(ctError)
	if cause, _, _ := nextParam(c.value); cause.typ != causeUnrecognizedChunk || cause.value[0] != ctForwardTSN {
		t.Errorf("the cause is %d: %x, want the FORWARD TSN chunk to be unknown", cause.typ, cause.value)
	}
	r.write(0, "x") // it has passed over nothing
	wantRead(t, accept(t, ln), "x")
}

// TestManyAnswers sends packets of many chunks that want an answer each.
func TestManyAnswers(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	a := assocOf(t, ln, r.tag)
	reset := appendParam(nil, paramResetOutgoing, make([]byte, 12))
	for name, tt := range map[string]struct {
		typ   byte
		value []byte
	}{
		"HEARTBEAT":      {ctHeartbeat, nil},
		"reset":          {ctReconfig, reset},
		"unknown":        {0xfe, nil},
		"RE-CONFIG":      {ctReconfig, appendParam(nil, paramAddOutgoing, make([]byte, 8))},
		"invalid stream": {ctData, data(r.own.tsn+1000, 5000, 0, "x")},
	} {
		sent := func() uint64 {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.stats.PacketsSent
		}
		p := newPacket(r.header())
		for i := 0; len(p) < 1300; i++ {
			switch name {
			case "invalid stream":
				binary.BigEndian.PutUint32(tt.value, r.own.tsn+1000+uint32(i))
			case "reset":
				binary.BigEndian.PutUint32(reset[4:], r.own.tsn+uint32(i))
				binary.BigEndian.PutUint32(reset[12:], r.own.tsn-1)
			}
			p = p.add(tt.typ, flagBegin|flagEnd, tt.value)
		}
		before := sent()
		r.send(p)
		r.sendChunk(ctHeartbeat, 0, appendParam(nil, 1, []byte(name)))
		for {
			if _, k := r.await(ctHeartbeatAck); strings.Contains(string(k.value), name) {
				break
			}
		}
		if n := sent() - before; n > 10 {
			t.Errorf("one packet with many chunks %s has got %d answers", name, n)
		}
	}
	r.write(0, "x")
	wantRead(t, c, "x")
}

// TestDuplicates repeats each packet of the handshake, and DATA.
func TestDuplicates(t *testing.T) {
	ln := listen(t, "sctp+udp", "127.0.0.1:0")
	r := newRawPeer(t, ln.Addr())
	r.init()
	cookie := r.init() // another
	tag := r.tag
	for range 3 {
		r.sendChunk(ctCookieEcho, 0, cookie)
		r.await(ctCookieAck)
	}
	c := accept(t, ln)
	r.init() // an INIT of the same peer, after all: it changes nothing
	r.tag = tag
	for range 3 {
		r.write(0, "once")
		_, sack := r.await(ctSACK)
		if tsn := binary.BigEndian.Uint32(sack.value); tsn != r.own.tsn {
			t.Errorf("acknowledged up to %d", tsn)
		}
	}
	r.write(1, "more")
	wantRead(t, c, "once")
	wantRead(t, c, "more")
	ln.SetDeadline(time.Now().Add(20 * time.Millisecond))
	if c, err := ln.Accept(); err == nil {
		t.Errorf("a second association came of it: %v", c)
	}
}

// TestStaleCookie waits until a cookie is too old.
func TestStaleCookie(t *testing.T) {
	lc := sctpnet.ListenConfig{Config: sctpnet.Config{AssocParams: sctpnet.AssocParams{CookieLife: time.Millisecond}}}
	ln, err := lc.Listen(t.Context(), "sctp+udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r := newRawPeer(t, ln.Addr())
	raw := r.init()
	ck, ok := openCookie(raw, cookieFor{peerIP: netip.AddrFrom4([4]byte{127, 0, 0, 1}), src: r.src, dst: r.dst, localTag: r.tag})
	if !ok {
		t.Fatal("the cookie is not ours")
	}
	conformance.WaitFor(t, "the end of a cookie's life", func() bool { return ck.staleness(time.Now()) > 0 })
	r.sendChunk(ctCookieEcho, 0, raw)
	_, c := r.await(ctError)
	if cause := binary.BigEndian.Uint16(c.value); cause != causeStaleCookie {
		t.Errorf("the error is %d", cause)
	}
	// A changed one is nobody's, and is not answered.
	raw[0]++
	r.sendChunk(ctCookieEcho, 0, raw)
	r.send(newPacket(header{r.src, r.dst, 99}).add(ctShutdownAck, 0, nil))
	if h, chunks := r.receive(); h.tag != 99 {
		t.Errorf("it is answered by a chunk of type %d", chunks[0].typ)
	}
}

// TestRestart has the peer crash and come back.
func TestRestart(t *testing.T) {
	r, old, ln := rawPair(t, sctpnet.Config{})
	r.write(0, "before")
	wantRead(t, old, "before")
	r.own.tag, r.own.tsn = 0x55555555, 5000
	r.handshake()
	watchdog(t, func() {
		for range 3 {
			if n, err := old.Read(make([]byte, 10)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the old association: Read returned %d, %v", n, err)
			}
		}
		c := accept(t, ln)
		r.write(0, "after")
		wantRead(t, c, "after")
	})
}

// TestRestartFromElsewhere has somebody else at the peer's address, behind the
// same address translator perhaps, begin an association with the peer's SCTP
// port.
func TestRestartFromElsewhere(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	other := newRawPeer(t, ln.Addr())
	other.own.tag = 0x55555555
	udpPort := func(r *rawPeer) uint16 { return uint16(r.conn.LocalAddr().(*net.UDPAddr).Port) }
	wantRefused := func() {
		t.Helper()
		want := binary.BigEndian.AppendUint16([]byte{0, 14, 0, 8}, udpPort(r))
		want = binary.BigEndian.AppendUint16(want, udpPort(other))
		h, chunks := other.receive()
		if c := chunks[0]; c.typ != ctAbort || c.flags != 0 || !bytes.Equal(c.value, want) || h.tag != other.own.tag {
			t.Errorf("answered by a chunk of type %d, flags %d, tag %x: %x, want %x", c.typ, c.flags, h.tag, c.value, want)
		}
	}
	other.send(newPacket(header{other.src, other.dst, 0}).add(ctInit, 0, other.own.value()))
	wantRefused()
	// Nor is a cookie good there that was made for the peer's own UDP port.
	own, tag := r.own, r.tag
	r.own = other.own
	cookie := r.init()
	other.tag = r.tag
	other.sendChunk(ctCookieEcho, 0, cookie)
	wantRefused()
	d := sctpnet.Dialer{LocalAddr: &sctpnet.Addr{IPAddrs: loopbackAddr, Port: int(r.src)}}
	d.Config.LocalUDPPort = freeUDPPort(t)
	if _, err := d.Dial("sctp+udp", ln.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Dial: %v", err)
	}
	r.own, r.tag = own, tag
	r.write(0, "still here")
	wantRead(t, c, "still here")
	if _, err := c.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if _, d := r.await(ctData); !strings.HasSuffix(string(d.value), "answer") {
		t.Errorf("got %q", d.value)
	}
	// When the association is over he is welcome.
	r.sendChunk(ctAbort, 0, nil)
	if n, err := c.Read(make([]byte, 10)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Read returned %d, %v after ABORT", n, err)
	}
	other.handshake()
	c = accept(t, ln)
	other.write(0, "x")
	wantRead(t, c, "x")
}

// TestForgedRestart has somebody else pretend that the peer restarts, without
// the cookie.
func TestForgedRestart(t *testing.T) {
	r, c, _ := rawPair(t, sctpnet.Config{})
	own, tag := r.own, r.tag
	r.own.tag = 0x66666666
	r.init()
	r.own, r.tag = own, tag
	r.write(0, "x")
	wantRead(t, c, "x")
}

// TestInitWhileSet has INITs come while the settings change that are in the
// answer.
func TestInitWhileSet(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	a := assocOf(t, ln, r.tag)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := c.SetReadBuffer(i); err != nil {
				t.Error(err)
			}
			if err := c.Set(sctpnet.Config{AssocParams: sctpnet.AssocParams{CookieLife: time.Minute}}); err != nil {
				t.Error(err)
			}
		}
	}()
	for range 100 {
		r.init()
	}
	// What looks for a closed port sends one too, perhaps when the dial is over.
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		a.isClosed(over, a.path.to)
	}
	close(stop)
	<-done
}

// TestCookieTellsNoTag has somebody who looks like the peer send an INIT to an
// association, which he could end if he knew its tags.
func TestCookieTellsNoTag(t *testing.T) {
	r, c, _ := rawPair(t, sctpnet.Config{})
	own, tag := r.own, r.tag
	r.own.tag = 0x66666666
	cookie := r.init()
	for name, n := range map[string]uint32{"our": tag, "the peer's": own.tag} {
		if bytes.Contains(cookie, binary.BigEndian.AppendUint32(nil, n)) {
			t.Errorf("the cookie shows %s tag", name)
		}
	}
	r.own, r.tag = own, tag
	r.write(0, "x")
	wantRead(t, c, "x")
}

// TestSimultaneousDial has both sides dial.
func TestSimultaneousDial(t *testing.T) {
	dialFrom := func(from, to int) (*sctpnet.Conn, error) {
		local := &sctpnet.Addr{IPAddrs: loopbackAddr, Port: from}
		d := sctpnet.Dialer{LocalAddr: local, Config: sctpnet.Config{RTO: sctpnet.RTO{Initial: 20 * time.Millisecond, Min: 20 * time.Millisecond}}}
		d.Config.PathParams.UDPPort = to
		c, err := d.Dial("sctp+udp", (&sctpnet.Addr{IPAddrs: loopbackAddr, Port: to}).String())
		if err != nil {
			return nil, err
		}
		return c.(*sctpnet.Conn), nil
	}
	met := 0
	for round := 0; met < 3 && round < 100; round++ {
		p1, p2 := freeUDPPort(t), freeUDPPort(t)
		var c1, c2 *sctpnet.Conn
		var err1, err2 error
		done := make(chan bool)
		go func() {
			c1, err1 = dialFrom(p1, p2)
			close(done)
		}()
		c2, err2 = dialFrom(p2, p1)
		<-done
		if err1 == nil && err2 == nil {
			met++
			watchdog(t, func() { exchange(t, c1, c2) })
		}
		for _, c := range []*sctpnet.Conn{c1, c2} {
			if c != nil {
				c.Close()
			}
		}
	}
	if met < 3 {
		t.Errorf("of 100 pairs of dials %d met", met)
	}
}

// TestSilentPeerTimesOut has the peer fall silent.
func TestSilentPeerTimesOut(t *testing.T) {
	quick := sctpnet.Config{
		RTO:         sctpnet.RTO{Initial: 5 * time.Millisecond, Min: 5 * time.Millisecond, Max: 20 * time.Millisecond},
		AssocParams: sctpnet.AssocParams{MaxRetransmissions: 3},
		PathParams:  sctpnet.PathParams{HeartbeatInterval: 10 * time.Millisecond},
	}
	t.Run("Idle", func(t *testing.T) {
		_, c, _ := rawPair(t, quick)
		watchdog(t, func() { wantTimedOut(t, c) })
	})
	t.Run("Data", func(t *testing.T) {
		noHeartbeat := quick
		noHeartbeat.PathParams = sctpnet.PathParams{NoHeartbeat: true}
		_, c, _ := rawPair(t, noHeartbeat)
		if _, err := c.Write([]byte("anybody there?")); err != nil {
			t.Fatal(err)
		}
		watchdog(t, func() { wantTimedOut(t, c) })
	})
	t.Run("Window", func(t *testing.T) {
		// A writer that waits is told too.
		_, c, _ := rawPair(t, quick)
		watchdog(t, func() {
			if n, err := c.Write(make([]byte, 64<<20)); !errors.Is(err, syscall.ETIMEDOUT) {
				t.Errorf("Write returned %d, %v", n, err)
			}
			wantTimedOut(t, c)
		})
	})
	t.Run("Answering", func(t *testing.T) {
		r, c, _ := rawPair(t, quick)
		for range 30 {
			_, h := r.await(ctHeartbeat)
			r.sendChunk(ctHeartbeatAck, 0, h.value)
		}
		r.write(0, "still here")
		wantRead(t, c, "still here")
	})
	t.Run("Shutdown", func(t *testing.T) {
		_, c, _ := rawPair(t, quick)
		c.Shutdown()
		watchdog(t, func() {
			if _, err := c.Read(make([]byte, 10)); !errors.Is(err, syscall.ETIMEDOUT) && err != io.EOF {
				t.Errorf("Read: %v", err)
			}
		})
	})
	t.Run("Dial", func(t *testing.T) {
		mute := muteUDP(t)
		d := sctpnet.Dialer{Config: quick}
		d.Config.InitAttempts = 2
		start := time.Now()
		watchdog(t, func() {
			if _, err := d.Dial("sctp+udp", mute); !errors.Is(err, syscall.ETIMEDOUT) {
				t.Errorf("Dial: %v", err)
			}
		})
		if took := time.Since(start); took < 5*(1+2+4)*time.Millisecond {
			t.Errorf("Dial gave up after %v", took)
		}
	})
}

func wantTimedOut(t *testing.T, c *sctpnet.Conn) {
	t.Helper()
	for range 3 {
		if n, err := c.Read(make([]byte, 10)); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("Read returned %d, %v; want ETIMEDOUT", n, err)
		}
		if n, err := c.Write([]byte("x")); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("Write returned %d, %v; want ETIMEDOUT", n, err)
		}
	}
}

// TestReplayedCookie sends the cookie of an association that is over.
func TestReplayedCookie(t *testing.T) {
	ln := listen(t, "sctp+udp", "127.0.0.1:0")
	r := newRawPeer(t, ln.Addr())
	cookie := r.init()
	r.sendChunk(ctCookieEcho, 0, cookie)
	r.await(ctCookieAck)
	c := accept(t, ln)
	r.sendChunk(ctAbort, 0, nil)
	if n, err := c.Read(make([]byte, 10)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("Read returned %d, %v after ABORT", n, err)
	}
	for range 3 {
		r.sendChunk(ctCookieEcho, 0, cookie)
		h, chunks := r.receive()
		if c := chunks[0]; c.typ != ctAbort || c.flags != flagReflected || h.tag != r.tag {
			t.Errorf("the cookie was answered by a chunk of type %d, flags %d, tag %d", c.typ, c.flags, h.tag)
		}
	}
	ln.SetDeadline(time.Now().Add(20 * time.Millisecond))
	if c, err := ln.Accept(); err == nil {
		t.Errorf("a second association came of it: %v", c)
	}
	ln.SetDeadline(time.Time{})
	r.handshake() // a new cookie is as good as ever
	c = accept(t, ln)
	r.write(0, "x")
	wantRead(t, c, "x")
}

// TestSpentCookies checks that what is remembered of used cookies is bounded.
func TestSpentCookies(t *testing.T) {
	var s spentCookies
	var ck cookie
	now := time.Now()
	made := func(at time.Time) {
		ck.localTag++
		ck.expires = at.Add(time.Minute).UnixMilli()
	}
	for range 3 * mostSpent {
		made(now)
		if s.has(ck.tags()) {
			t.Fatal("a new cookie counts as used")
		}
		s.add(ck.tags(), ck.expires, now)
		if !s.has(ck.tags()) {
			t.Fatal("a used cookie counts as new")
		}
	}
	if n := len(s.newer) + len(s.older); n > 2*mostSpent {
		t.Errorf("%d are remembered", n)
	}
	old := ck
	for _, after := range []time.Duration{50 * time.Second, 70 * time.Second} {
		made(now.Add(after))
		s.add(ck.tags(), ck.expires, now.Add(after))
	}
	if !s.has(old.tags()) {
		t.Error("a used cookie was forgotten before its time")
	}
	made(now.Add(time.Hour))
	s.add(ck.tags(), ck.expires, now.Add(time.Hour))
	if n := len(s.newer) + len(s.older); n != 1 {
		t.Errorf("%d are remembered long after their lives", n)
	}
}

// TestLastChunkFirst sends the last chunk first, and then each before it. It
// must not take more memory than the window says, nor keep out what is missing.
func TestLastChunkFirst(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{ReadBuffer: 64 << 10})
	const n = 1000
	body := strings.Repeat("x", 1000)
	r.write(0, "unread")
	r.own.tsn++
	chunk := func(i uint32) {
		var flags byte
		switch i {
		case 0:
			flags = flagBegin
		case n - 1:
			flags = flagEnd
		}
		r.sendChunk(ctData, flags, data(r.own.tsn+i, 0, 1, body))
		r.await(ctSACK)
	}
	for i := uint32(n - 1); i > 0; i-- {
		chunk(i)
	}
	wantHeld(t, assocOf(t, ln, r.tag), 3)
	wantRead(t, c, "unread")
	for i := range uint32(n - 1) {
		chunk(i)
	}
	if b, _, err := c.ReadMessage(n * len(body)); len(b) != n*len(body) || err != nil {
		t.Errorf("read %d bytes, %v", len(b), err)
	}
}

// TestLongForwardTSN passes over as many messages as fit into packets.
func TestLongForwardTSN(t *testing.T) {
	r, c, _ := rawPair(t, sctpnet.Config{})
	const packets, entries = 20, 15_000
	var ssn uint16
	start := time.Now()
	for i := range uint32(packets) {
		v := binary.BigEndian.AppendUint32(nil, r.own.tsn+i)
		for range entries {
			ssn += 1<<15 - 1
			v = binary.BigEndian.AppendUint16(v, 0)
			v = binary.BigEndian.AppendUint16(v, ssn)
		}
		r.sendChunk(ctForwardTSN, 0, v)
		r.await(ctSACK)
	}
	r.sendChunk(ctData, flagBegin|flagEnd, data(r.own.tsn+packets, 0, ssn+1, "next"))
	wantRead(t, c, "next")
	if took := time.Since(start); took > 5*time.Second*conformance.Slowness {
		t.Errorf("that took %v", took)
	}
}

// TestClosedWindow checks that a peer that has no room to send more is not kept
// waiting for the acknowledgement of what it sends all the same.
func TestClosedWindow(t *testing.T) {
	const delay = 400 * time.Millisecond
	r, _, _ := rawPair(t, sctpnet.Config{ReadBuffer: 64 << 10, SACK: sctpnet.SACK{Delay: delay, Frequency: 1000}})
	body := strings.Repeat("x", 1000)
	tsn := r.own.tsn
	send := func(flags byte) (window uint32) {
		r.sendChunk(ctData, flags, data(tsn, 0, 0, body))
		_, sack := r.await(ctSACK)
		if got := binary.BigEndian.Uint32(sack.value); got != tsn {
			t.Fatalf("%d is acknowledged, not %d", got, tsn)
		}
		tsn++
		return binary.BigEndian.Uint32(sack.value[4:])
	}
	for window := send(flagBegin | flagImmediate); window >= 1472; {
		window = send(flagImmediate)
	}
	start := time.Now()
	send(0)
	if took := time.Since(start); took > delay/2 {
		t.Errorf("the acknowledgement took %v", took)
	}
}

// TestResetAskedTwice has the peer ask twice for a reset of our streams, as it
// does where our own request got lost.
func TestResetAskedTwice(t *testing.T) {
	r, _, _ := rawPair(t, sctpnet.Config{})
	v := binary.BigEndian.AppendUint32(nil, r.own.tsn)
	v = appendParam(nil, paramResetIncoming, append(v, 0, 0))
	r.sendChunk(ctReconfig, 0, v)
	if _, c := r.await(ctReconfig); binary.BigEndian.Uint16(c.value) != paramResetOutgoing {
		t.Fatalf("answered by %x", c.value)
	}
	r.sendChunk(ctReconfig, 0, v)
	r.sendChunk(ctHeartbeat, 0, appendParam(nil, paramHeartbeatInfo, []byte{1}))
	for {
		_, chunks := r.receive()
		for _, c := range chunks {
			switch {
			case c.typ == ctHeartbeatAck:
				return
			case c.typ == ctReconfig && binary.BigEndian.Uint16(c.value) == paramResetResponse:
				t.Errorf("answered by %x", c.value)
			}
		}
	}
}

// TestCloseWhileDataComes closes before the peer has stopped sending. What was
// written before arrives all the same, and the end is graceful.
func TestCloseWhileDataComes(t *testing.T) {
	r, c, _ := rawPair(t, sctpnet.Config{})
	if _, err := c.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, d := r.await(ctData)
	for i, s := range []string{"too", "late"} {
		r.write(uint16(i), s)
	}
	for sack := r.next(ctSACK); binary.BigEndian.Uint32(sack.value) != r.own.tsn+1; {
		sack = r.next(ctSACK)
	}
	tsn := binary.BigEndian.Uint32(d.value)
	v := binary.BigEndian.AppendUint32(nil, tsn)
	r.sendChunk(ctSACK, 0, append(v, 0, 1, 0, 0, 0, 0, 0, 0))
	if v := r.next(ctShutdown).value; binary.BigEndian.Uint32(v) != r.own.tsn+1 {
		t.Errorf("SHUTDOWN acknowledges %x", v)
	}
	r.write(2, "much too late")
	for v := r.next(ctShutdown).value; binary.BigEndian.Uint32(v) != r.own.tsn+2; {
		v = r.next(ctShutdown).value
	}
	r.sendChunk(ctShutdownAck, 0, nil)
	r.next(ctShutdownComplete)
}
