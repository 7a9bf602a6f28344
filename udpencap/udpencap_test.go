package udpencap

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// TestUDPPortTaken listens where somebody is.
func TestUDPPortTaken(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopbackAddr[0].IP})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	udp := c.LocalAddr().(*net.UDPAddr).Port
	lc := sctpnet.ListenConfig{Config: sctpnet.Config{LocalUDPPort: udp}}
	_, err = lc.Listen(t.Context(), "sctp+udp", "127.0.0.1:4000")
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), fmt.Sprintf("UDP port %d", udp)) {
		t.Errorf("Listen: %v", err)
	}
	d := sctpnet.Dialer{Config: sctpnet.Config{LocalUDPPort: udp}, LocalAddr: &sctpnet.Addr{IPAddrs: loopbackAddr}}
	if _, err := d.Dial("sctp+udp", "127.0.0.1:4000"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("Dial: %v", err)
	}
	if s := taken(syscall.EADDRINUSE, UDPPort).Error(); !strings.Contains(s, "net.sctp.udp_port") {
		t.Errorf("of the kernel's port: %s", s)
	}
	ln := listen(t, "sctp+udp", "127.0.0.1:0")
	if _, err := sctpnet.Listen("sctp+udp", ln.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("listening twice: %v", err)
	}
}

// TestListenAgain listens at the port of a listener that was closed, while an
// association of it lives.
func TestListenAgain(t *testing.T) {
	ln := listen(t, "sctp+udp", "127.0.0.1:0")
	c1 := dial(t, nil, ln.Addr().String())
	s1 := accept(t, ln)
	ln.Close()
	again := listen(t, "sctp+udp", ln.Addr().String())
	c2 := dial(t, nil, again.Addr().String())
	s2 := accept(t, again)
	exchange(t, c1, s1)
	exchange(t, c2, s2)
}

// TestSharedUDPPort has several listeners share one UDP port, as RFC 6951 has it.
func TestSharedUDPPort(t *testing.T) {
	config := sctpnet.Config{LocalUDPPort: freeUDPPort(t)}
	lc := sctpnet.ListenConfig{Config: config}
	for _, port := range []int{3868, 3869, 80} {
		ln, err := lc.Listen(t.Context(), "sctp+udp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		d := sctpnet.Dialer{Config: sctpnet.Config{PathParams: sctpnet.PathParams{UDPPort: config.LocalUDPPort}}}
		c := dial(t, &d, ln.Addr().String())
		exchange(t, c, accept(t, ln))
		if p, err := c.PathParams(netip.Addr{}); err != nil || p.UDPPort != config.LocalUDPPort {
			t.Errorf("the peer's UDP port is %d, %v", p.UDPPort, err)
		}
	}
}

// TestAnyAddress dials an address of this host that a packet is not answered
// from by itself.
func TestAnyAddress(t *testing.T) {
	ln := listen(t, "sctp+udp", ":0")
	port := ln.Addr().(*sctpnet.Addr).Port
	if s := ln.Addr().String(); !strings.HasPrefix(s, "[::]:") && !strings.HasPrefix(s, "0.0.0.0:") {
		t.Errorf("Addr is %s", s)
	}
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "[::1]"} {
		c, err := sctpnet.Dial("sctp+udp", fmt.Sprintf("%s:%d", host, port))
		if err != nil {
			if host != "127.0.0.1" {
				t.Logf("%s: %v", host, err) // not every system has all of them
				continue
			}
			t.Fatal(err)
		}
		s := accept(t, ln)
		if got, want := s.LocalAddr().String(), c.RemoteAddr().String(); got != want {
			t.Errorf("LocalAddr is %s, dialed was %s", got, want)
		}
		if got, want := s.RemoteAddr().String(), c.LocalAddr().String(); got != want {
			t.Errorf("RemoteAddr is %s, the dialler is %s", got, want)
		}
		exchange(t, c, s)
		c.Close()
	}
}

// TestListenWithoutDestinationAddress listens at any address where the system does not tell which of
// them a packet has come to, as Windows does not.
func TestListenWithoutDestinationAddress(t *testing.T) {
	port := freeUDPPort(t)
	lc := sctpnet.ListenConfig{Config: sctpnet.Config{LocalUDPPort: port}}
	d := sctpnet.Dialer{Config: sctpnet.Config{PathParams: sctpnet.PathParams{UDPPort: port}}}
	for network, host := range map[string]string{"sctp4+udp": "127.0.0.1", "sctp6+udp": "::1"} {
		ln, err := lc.Listen(t.Context(), network, fmt.Sprintf(":%d", port))
		if err != nil {
			t.Logf("%s: %v", network, err) // not every system has both
			continue
		}
		defer ln.Close()
		if s := socketOf(ln); s.is4() {
			ipv4.NewPacketConn(s.conn).SetControlMessage(ipv4.FlagDst, false)
		} else {
			ipv6.NewPacketConn(s.conn).SetControlMessage(ipv6.FlagDst, false)
		}
		address := net.JoinHostPort(host, fmt.Sprint(port))
		c := dial(t, &d, address)
		s := accept(t, ln)
		if got := s.LocalAddr().String(); got != address {
			t.Errorf("LocalAddr is %s, dialed was %s", got, address)
		}
		exchange(t, c, s)
	}
}

func TestDialRefused(t *testing.T) {
	listen(t, "sctp+udp", "127.0.0.1:0") // has 9899, if nobody else
	for _, address := range []string{fmt.Sprintf("127.0.0.1:%d", freeUDPPort(t)), fmt.Sprintf("[::1]:%d", freeUDPPort(t))} {
		start := time.Now()
		if _, err := sctpnet.Dial("sctp+udp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial: %v", err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("that took %v", took)
		}
	}
}

// TestDialCanceled ends a dial by its context.
func TestDialCanceled(t *testing.T) {
	d := sctpnet.Dialer{}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := d.DialContext(ctx, "sctp+udp", muteUDP(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dial: %v", err)
	}
}

// TestINITRetransmission looks when INITs come, if none is answered.
func TestINITRetransmission(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopbackAddr[0].IP})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const rto = 50 * time.Millisecond
	udp := c.LocalAddr().(*net.UDPAddr).Port
	d := sctpnet.Dialer{Config: sctpnet.Config{
		RTO:          sctpnet.RTO{Initial: rto, Min: rto},
		InitAttempts: 3,
		InitTimeout:  2 * rto,
		PathParams:   sctpnet.PathParams{UDPPort: udp},
	}}
	done := make(chan error)
	go func() {
		_, err := d.Dial("sctp+udp", "127.0.0.1:3868")
		done <- err
	}()
	var first uint32
	var times []time.Time
	buf := make([]byte, 2000)
	for len(times) < 4 {
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		_, chunks, ok := parseHeader(buf[:n])
		k, _, _ := nextChunk(chunks)
		if !ok || k.typ != ctInit {
			t.Fatalf("got a chunk of type %d", k.typ)
		}
		tag := binary.BigEndian.Uint32(k.value)
		if first == 0 {
			first = tag
		}
		if tag == first { // and no probe
			times = append(times, time.Now())
		}
	}
	if err := <-done; !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("Dial: %v", err)
	}
	for i, want := range []time.Duration{rto, 2 * rto, 2 * rto} {
		if got := times[i+1].Sub(times[i]); got < want*8/10 {
			t.Errorf("INIT %d came %v after the one before, want %v", i+1, got, want)
		}
	}
}

// TestUselessCookie dials a peer whose cookies are good for nothing.
func TestUselessCookie(t *testing.T) {
	const rto = 50 * time.Millisecond
	stale := appendCause(nil, causeStaleCookie, make([]byte, 4))
	for _, tt := range []struct {
		name    string
		useless int    // so many of the cookies
		answer  []byte // to these; nil for none
		want    error
	}{
		{"ignored", 1000, nil, syscall.ETIMEDOUT},
		{"stale", 2, stale, nil},
		{"stale for ever", 1000, stale, syscall.ETIMEDOUT},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopbackAddr[0].IP})
			if err != nil {
				t.Fatal(err)
			}
			d := sctpnet.Dialer{Config: sctpnet.Config{
				RTO:          sctpnet.RTO{Initial: rto, Min: rto, Max: 2 * rto},
				InitAttempts: 5,
				PathParams:   sctpnet.PathParams{UDPPort: c.LocalAddr().(*net.UDPAddr).Port},
			}}
			defer c.Close()
			go func() {
				var tag uint32 // the dialler's
				made := 0
				for buf := make([]byte, 2000); ; {
					n, from, err := c.ReadFromUDPAddrPort(buf)
					if err != nil {
						return
					}
					h, chunks, _ := parseHeader(buf[:n])
					k, _, _ := nextChunk(chunks)
					reply := func(typ byte, value []byte) {
						c.WriteToUDPAddrPort(newPacket(header{h.dst, h.src, tag}).add(typ, 0, value).seal(), from)
					}
					switch {
					case k.typ == ctInit:
						var i initiation
						i.parse(k.value)
						if tag != 0 && tag != i.tag {
							continue // a probe
						}
						tag = i.tag
						made++
						reply(ctInitAck, (&initiation{tag: 9, window: 1 << 20, out: 1, in: 1, tsn: 1, cookie: make([]byte, 4*made)}).value())
					case k.typ != ctCookieEcho:
					case len(k.value) > 4*tt.useless:
						reply(ctCookieAck, nil)
					case tt.answer != nil:
						reply(ctError, tt.answer)
					}
				}
			}()
			watchdog(t, func() {
				conn, err := d.Dial("sctp+udp", "127.0.0.1:3868")
				if !errors.Is(err, tt.want) {
					t.Errorf("Dial: %v, want %v", err, tt.want)
				}
				if err == nil {
					conn.(*sctpnet.Conn).Abort()
				}
			})
		})
	}
}

// TestStreamLimit uses streams that there are not.
func TestStreamLimit(t *testing.T) {
	r, c, _ := rawPair(t, sctpnet.Config{MaxInStreams: 5})
	if out, in := c.NumStreams(); out != 10 || in != 5 {
		t.Errorf("NumStreams is %d, %d", out, in)
	}
	if _, err := c.WriteStream([]byte("x"), 10); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("WriteStream: %v", err)
	}
	r.sendChunk(ctData, flagBegin|flagEnd, data(r.own.tsn, 7, 0, "x"))
	if _, e := r.await(ctError); binary.BigEndian.Uint16(e.value) != causeInvalidStream {
		t.Errorf("the error is %x", e.value)
	}
	r.sendChunk(ctData, flagBegin|flagEnd, data(r.own.tsn+1, 4, 0, "y"))
	wantRead(t, c, "y")
}

// TestGrantedStreams has peers ask for more streams than a listener has. Each message
// can be answered on the stream that it came on, so far as the peer lets it.
func TestGrantedStreams(t *testing.T) {
	for _, tt := range []struct {
		config  sctpnet.Config
		out, in uint16 // that the peer asks for and grants
		want    uint16 // that it is granted
	}{
		{sctpnet.Config{}, 65535, 65535, 0},
		{sctpnet.Config{OutStreams: 7}, 65535, 65535, 7},
		{sctpnet.Config{OutStreams: 7}, 5, 65535, 7},
		{sctpnet.Config{MaxInStreams: 5}, 65535, 65535, 5},
		{sctpnet.Config{OutStreams: 7, MaxInStreams: 9}, 65535, 65535, 7},
		{sctpnet.Config{OutStreams: 9, MaxInStreams: 7}, 65535, 65535, 7},
		{sctpnet.Config{KernelDefaults: true}, 65535, 65535, defaultStreams},
	} {
		lc := sctpnet.ListenConfig{Config: tt.config}
		ln, err := lc.Listen(t.Context(), "sctp4+udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		r := newRawPeer(t, ln.Addr())
		r.own.out, r.own.in = tt.out, tt.in
		r.handshake()
		if r.theirs.in > r.theirs.out || tt.want != 0 && r.theirs.in != tt.want {
			t.Errorf("%+v: INIT ACK grants %d streams and has %d, want %d", tt.config, r.theirs.in, r.theirs.out, tt.want)
		}
		c := accept(t, ln)
		if out, in := c.NumStreams(); in > out || in != min(r.theirs.in, tt.out) {
			t.Errorf("%+v: the association has %d streams out and %d in", tt.config, out, in)
		}
	}
}

// TestNoUserData sends DATA without any.
func TestNoUserData(t *testing.T) {
	r, c, _ := rawPair(t, sctpnet.Config{})
	r.write(0, "")
	if _, a := r.await(ctAbort); binary.BigEndian.Uint16(a.value) != causeNoUserData {
		t.Errorf("the cause is %x", a.value)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Read: %v", err)
	}
}

// TestLargePacket receives a packet as the loopback interface carries them.
func TestLargePacket(t *testing.T) {
	r, c, _ := rawPair(t, sctpnet.Config{})
	want := strings.Repeat("large ", 10_000)
	r.write(0, want)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("read %.20q, %v", got, err)
	}
}

// TestFragmentsInAnyOrder sends the fragments of messages in any order, some twice.
func TestFragmentsInAnyOrder(t *testing.T) {
	for seed := range uint64(20) {
		r, c, _ := rawPair(t, sctpnet.Config{})
		rnd := rand.New(rand.NewPCG(seed, 1))
		type part struct {
			flags byte
			value []byte
		}
		var parts []part
		var want [3][]string
		tsn := r.own.tsn
		for n := range 30 {
			stream := n % 3
			var flags byte = flagBegin
			message := ""
			count := 1 + rnd.IntN(4)
			for i := range count {
				s := fmt.Sprintf("%d.%d.%d ", stream, n, i)
				message += s
				if i == count-1 {
					flags |= flagEnd
				}
				parts = append(parts, part{flags, data(tsn, uint16(stream), uint16(n/3), s)})
				tsn++
				flags = 0
			}
			want[stream] = append(want[stream], message)
		}
		parts = append(parts, parts[:10]...)
		rnd.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		for _, p := range parts {
			r.sendChunk(ctData, p.flags, p.value)
		}
		watchdog(t, func() {
			var got [3][]string
			buf := make([]byte, 1000)
			for range 30 {
				n, info, err := c.ReadMsg(buf)
				if err != nil || info.More {
					t.Fatal(info, err)
				}
				got[info.Stream] = append(got[info.Stream], string(buf[:n]))
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
		// At the end all is acknowledged, without gaps.
		conformance.WaitFor(t, "the last acknowledgement", func() bool {
			_, sack := r.await(ctSACK)
			return binary.BigEndian.Uint32(sack.value) == tsn-1 && binary.BigEndian.Uint16(sack.value[8:]) == 0
		})
	}
}

// TestForwardTSN has the peer give messages up, having said in either way that
// it does.
func TestForwardTSN(t *testing.T) {
	for _, extension := range []bool{false, true} {
		ln := listen(t, "sctp+udp", "127.0.0.1:0")
		r := newRawPeer(t, ln.Addr())
		r.own.partial = false
		extra := appendParam(nil, paramForwardTSN, nil)
		if extension {
			extra = appendParam(nil, paramExtensions, []byte{ctForwardTSN})
		}
		r.sendChunk(ctCookieEcho, 0, r.init(extra...))
		r.await(ctCookieAck)
		if !r.theirs.partial {
			t.Error("INIT ACK does not offer it")
		}
		c := accept(t, ln)
		r.write(0, "first")
		// The second message is given up, the third has come and a fourth has
		// only begun.
		r.sendChunk(ctData, flagBegin, data(r.own.tsn+1, 0, 1, "second"))
		r.write(3, "after")
		v := binary.BigEndian.AppendUint32(nil, r.own.tsn+2)
		v = binary.BigEndian.AppendUint16(v, 0)
		v = binary.BigEndian.AppendUint16(v, 2)
		r.sendChunk(ctForwardTSN, 0, v)
		watchdog(t, func() {
			wantRead(t, c, "first")
			wantRead(t, c, "after")
			conformance.WaitFor(t, "the acknowledgement", func() bool {
				_, sack := r.await(ctSACK)
				return binary.BigEndian.Uint32(sack.value) == r.own.tsn+3
			})
		})
	}
}

// TestNoReconfig has a peer that does not know of stream resets.
func TestNoReconfig(t *testing.T) {
	ln := listen(t, "sctp+udp", "127.0.0.1:0")
	r := newRawPeer(t, ln.Addr())
	r.own.reconfig = false
	r.handshake()
	c := accept(t, ln)
	s, err := c.Stream(3)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("CloseWrite: %v", err)
	}
	s.Close()
	r.sendChunk(ctHeartbeat, 0, appendParam(nil, 1, []byte{1}))
	for {
		_, chunks := r.receive()
		if chunks[0].typ == ctHeartbeatAck {
			return
		}
		if chunks[0].typ == ctReconfig {
			t.Error("a reset was asked for")
		}
	}
}

// TestResetTwice repeats a request for a reset, whose answer was lost.
func TestResetTwice(t *testing.T) {
	r, c, _ := rawPair(t, sctpnet.Config{})
	s, err := c.Stream(3)
	if err != nil {
		t.Fatal(err)
	}
	request := func(number, last uint32) {
		v := binary.BigEndian.AppendUint32(nil, number)
		v = binary.BigEndian.AppendUint32(v, r.theirs.tsn-1)
		v = binary.BigEndian.AppendUint32(v, last)
		r.sendChunk(ctReconfig, 0, appendParam(nil, paramResetOutgoing, append(v, 0, 3)))
	}
	answer := func(number uint32) uint32 {
		t.Helper()
		_, k := r.await(ctReconfig)
		p, _, _ := nextParam(k.value)
		if p.typ != paramResetResponse || binary.BigEndian.Uint32(p.value) != number {
			t.Fatalf("the answer is %x", k.value)
		}
		return binary.BigEndian.Uint32(p.value[4:])
	}
	n := r.own.tsn
	request(n, r.own.tsn) // which has not come yet
	if got := answer(n); got != resultInProgress {
		t.Errorf("the result is %d", got)
	}
	r.sendChunk(ctData, flagBegin|flagEnd, data(r.own.tsn, 3, 0, "last"))
	if got := answer(n); got != resultPerformed {
		t.Errorf("the result is %d", got)
	}
	for range 2 {
		request(n, r.own.tsn)
		if got := answer(n); got != resultPerformed {
			t.Errorf("the result is %d", got)
		}
	}
	request(n+5, r.own.tsn)
	if got := answer(n + 5); got != resultBadNumber {
		t.Errorf("the result is %d", got)
	}
	watchdog(t, func() {
		if b, err := io.ReadAll(s); string(b) != "last" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
	})
}

// TestManyNewStreams uses more streams at once than anybody accepts.
func TestManyNewStreams(t *testing.T) {
	c, s := makeConns(t, sctpnet.Config{OutStreams: 1000, MaxInStreams: 1000})
	watchdog(t, func() {
		for i := range 1000 {
			if _, err := c.WriteStream([]byte{byte(i)}, uint16(i)); err != nil {
				t.Fatal(err)
			}
		}
		buf := make([]byte, 10)
		seen := make(map[uint16]bool)
		for range 1000 {
			n, id, err := s.ReadStream(buf)
			if n != 1 || buf[0] != byte(id) || id >= 1000 || seen[id] || err != nil {
				t.Fatalf("after %d messages: %d bytes on stream %d, %v", len(seen), n, id, err)
			}
			seen[id] = true
		}
	})
}

// TestPPID50 has a payload protocol identifier that means something to WebRTC.
func TestPPID50(t *testing.T) {
	c, s := makeConns(t, sctpnet.Config{})
	for _, unordered := range []bool{false, true} {
		want := sctpnet.MsgInfo{Stream: 1, PPID: 50, Unordered: unordered}
		if _, err := c.WriteMsg([]byte("x"), want); err != nil {
			t.Fatal(err)
		}
		_, info, err := s.ReadMsg(make([]byte, 10))
		if err != nil || info.PPID != 50 || info.Unordered != unordered || info.Stream != 1 {
			t.Errorf("got %+v, %v", info, err)
		}
	}
}

// TestBackpressure has a receiver that does not read: the sender waits, and
// nothing is lost.
func TestBackpressure(t *testing.T) {
	for _, size := range []int{64 << 10, 0} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			config := sctpnet.Config{ReadBuffer: size, WriteBuffer: size}
			c, s, stop, err := connPipe("sctp+udp", "127.0.0.1:0", config)()
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			watchdog(t, func() {
				want := make([]byte, 16<<20)
				rand.NewChaCha8([32]byte{7}).Read(want)
				w := conformance.Start(t, func() (int, error) { return c.Write(want) })
				w.Waits()
				c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)) // longer than a probe of the window
				n, err := w.Result()
				if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == len(want) {
					t.Fatalf("Write returned %d, %v", n, err)
				}
				c.SetWriteDeadline(time.Time{})
				w = conformance.Start(t, func() (int, error) { return c.Write(want[n:]) })
				got := make([]byte, len(want))
				if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, want) {
					t.Errorf("read: %v, or the bytes differ", err)
				}
				if _, err := w.Result(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestTinyMessages has a peer without room for the many small messages that it
// is sent: what they cost beside their bytes counts too.
func TestTinyMessages(t *testing.T) {
	const size = 64 << 10
	r, c, _ := rawPair(t, sctpnet.Config{WriteBuffer: size})
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	_, d := r.await(ctData)
	r.sendChunk(ctSACK, 0, append(d.value[:4:4], make([]byte, 8)...)) // the window is zero
	accepted := 0
	w := conformance.Start(t, func() (int, error) {
		for {
			if _, err := c.Write([]byte("x")); err != nil {
				return 0, err
			}
			accepted++
		}
	})
	w.Waits()
	c.SetWriteDeadline(time.Unix(1, 0))
	if _, err := w.Result(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write: %v", err)
	}
	if accepted < 100 || accepted > 1000 {
		t.Errorf("%d messages of one byte were accepted by a buffer of %d bytes", accepted, size)
	}
	if s, err := c.Status(); err != nil || s.Pending > 1 {
		t.Errorf("%d chunks are pending of %d bytes, %v", s.Pending, accepted, err)
	}
}

// TestSACKs looks at when and how data is acknowledged.
func TestSACKs(t *testing.T) {
	r, _, _ := rawPair(t, sctpnet.Config{SACK: sctpnet.SACK{Delay: 500 * time.Millisecond}})
	write := func(n uint32, flags byte) {
		r.sendChunk(ctData, flagBegin|flagEnd|flags, data(r.own.tsn+n, 0, uint16(n), "x"))
	}
	sack := func(cum uint32, gaps ...uint16) {
		t.Helper()
		h, chunks, ok := r.poll(300 * time.Millisecond)
		if !ok {
			t.Fatalf("no acknowledgement of %d", cum)
		}
		v := chunks[0].value
		if chunks[0].typ != ctSACK || binary.BigEndian.Uint32(v) != r.own.tsn+cum || h.tag != r.own.tag {
			t.Fatalf("got a chunk of type %d: %x, want the acknowledgement of %d", chunks[0].typ, v, cum)
		}
		var got []uint16
		for i := range 2 * int(binary.BigEndian.Uint16(v[8:])) {
			got = append(got, binary.BigEndian.Uint16(v[12+2*i:]))
		}
		if fmt.Sprint(got) != fmt.Sprint(gaps) {
			t.Errorf("gaps %v, want %v", got, gaps)
		}
	}
	write(0, 0)
	sack(0) // the first at once
	write(1, 0)
	write(2, 0)
	sack(2) // then every second
	write(3, flagImmediate)
	sack(3)
	write(5, 0)
	sack(3, 2, 2)
	write(7, 0)
	sack(3, 2, 2, 4, 4)
	write(6, 0)
	sack(3, 2, 4)
	write(4, 0)
	sack(7)
}

func TestStatus(t *testing.T) {
	c, s := makeConns(t, sctpnet.Config{})
	exchange(t, c, s)
	st, err := c.Status()
	if err != nil || st.State != sctpnet.StateEstablished || st.OutStreams != 64 || st.InStreams != 64 || st.Primary.SRTT == 0 || st.Primary.CWND == 0 {
		t.Errorf("%+v, %v", st, err)
	}
	stats, err := c.Stats()
	if err != nil || stats.OrderedSent != 1 || stats.OrderedReceived != 1 {
		t.Errorf("%+v, %v", stats, err)
	}
	s.Abort()
	watchdog(t, func() { c.Read(make([]byte, 1)) })
	if _, err := c.Status(); !errors.Is(err, engine.ErrEnded) {
		t.Errorf("Status after the end: %v", err)
	}
}

// TestMessageTooLarge sends more than one message can have.
func TestMessageTooLarge(t *testing.T) {
	c, s := makeConns(t, sctpnet.Config{})
	most := c.MaxMessageSize()
	if _, err := c.WriteMsg(make([]byte, most+1), sctpnet.MsgInfo{}); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("WriteMsg of %d bytes: %v", most+1, err)
	}
	watchdog(t, func() {
		if _, err := c.WriteMsg(make([]byte, most), sctpnet.MsgInfo{}); err != nil {
			t.Error(err)
		}
		if b, _, err := s.ReadMessage(most); len(b) != most || err != nil {
			t.Errorf("read %d bytes, %v", len(b), err)
		}
	})
}

func TestPathMTU(t *testing.T) {
	for _, tt := range []struct {
		ip      string
		options engine.Options
		want    int
	}{
		{"192.0.2.1", engine.Options{SmallLoopbackMTU: true}, 1472},
		{"2001:db8::1", engine.Options{SmallLoopbackMTU: true}, 1452},
		{"127.0.0.1", engine.Options{SmallLoopbackMTU: true}, loopbackMTU},
		{"127.0.0.1", engine.Options{}, 1472},
		{"192.0.2.1", engine.Options{Settings: engine.Settings{PathParams: engine.PathParams{MTU: 1280}}}, 1252},
	} {
		a := &assoc{peer: peer{ip: netip.MustParseAddr(tt.ip)}, options: tt.options}
		if got := a.pathMTU(); got != tt.want {
			t.Errorf("%s, %+v: %d, want %d", tt.ip, tt.options.PathParams, got, tt.want)
		}
	}
}

// TestWriteErrors has the system refuse to send for a while, which counts as
// loss and not as the end of anything.
func TestWriteErrors(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{RTO: sctpnet.RTO{Initial: 20 * time.Millisecond, Min: 20 * time.Millisecond}})
	addr := ln.Addr().(*sctpnet.Addr)
	registry.mu.Lock()
	s := registry.sockets[place{currentNetwork(), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(addr.Port))}]
	registry.mu.Unlock()
	a := s.port(uint16(addr.Port)).find(r.tag)
	a.mu.Lock()
	good := a.path
	a.path.to = netip.AddrPortFrom(netip.MustParseAddr("::1"), 9) // of the wrong family
	if _, _, err := s.conn.WriteMsgUDPAddrPort([]byte("x"), nil, a.path.to); err == nil {
		t.Fatal("the system sends it")
	}
	a.mu.Unlock()
	if _, err := c.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	conformance.WaitFor(t, "a retransmission", func() bool {
		st, err := c.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return st.Retransmitted > 0
	})
	a.mu.Lock()
	a.path = good
	a.mu.Unlock()
	if _, d := r.await(ctData); !strings.HasSuffix(string(d.value), "late") {
		t.Errorf("got %q", d.value)
	}
}

// TestAssociations counts what many idle associations cost.
func TestAssociations(t *testing.T) {
	const n = 500
	ln := listen(t, "sctp+udp", "127.0.0.1:0")
	var before, after runtime.MemStats
	goroutines := runtime.NumGoroutine()
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	for range n {
		dial(t, nil, ln.Addr().String())
		accept(t, ln)
	}
	took := time.Since(start)
	runtime.GC()
	runtime.ReadMemStats(&after)
	bytes := int(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse) / (2 * n)
	each := float64(runtime.NumGoroutine()-goroutines) / (2 * n)
	t.Logf("each end: %d bytes, %.2f goroutines; dialed in %v", bytes, each, took/n)
	if bytes > 100<<10 || each > 4 {
		t.Error("that is too much")
	}
}

// TestAddStreams adds streams to an association.
func TestAddStreams(t *testing.T) {
	c, s := makeConns(t, sctpnet.Config{OutStreams: 10, MaxInStreams: 65535})
	watchdog(t, func() { testAddStreams(t, c, s) })
}

func testAddStreams(t *testing.T, c, s *sctpnet.Conn) {
	t.Helper()
	streams := func(c *sctpnet.Conn) [2]int {
		out, in := c.NumStreams()
		return [2]int{int(out), int(in)}
	}
	for _, add := range [][2]int{{3, 0}, {0, 4}, {1, 0}, {0, 1}} {
		ours, theirs := streams(c), streams(s)
		conformance.WaitFor(t, "the request before", func() bool {
			err := c.AddStreams(add[0], add[1])
			if err != nil && !errors.Is(err, syscall.EINPROGRESS) {
				t.Fatal(err)
			}
			return err == nil
		})
		conformance.WaitFor(t, "more streams", func() bool {
			return streams(c) == [2]int{ours[0] + add[0], ours[1] + add[1]} && streams(s) == [2]int{theirs[0] + add[1], theirs[1] + add[0]}
		})
	}
	out, in := c.NumStreams()
	exchange(t, c, s)
	for _, tt := range []struct {
		from, to *sctpnet.Conn
		n        int
	}{{c, s, int(out)}, {s, c, int(in)}} {
		if _, err := tt.from.WriteStream([]byte("new"), uint16(tt.n-1)); err != nil {
			t.Fatal(err)
		}
		wantRead(t, tt.to, "new")
	}
}

// TestClosedWhileDialing has the peer's UDP port closed after the first INIT.
func TestClosedWhileDialing(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopbackAddr[0].IP})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(2*probeDelay, func() { c.Close() })
	var d sctpnet.Dialer
	d.Config.PathParams.UDPPort = c.LocalAddr().(*net.UDPAddr).Port
	d.Timeout = 10 * time.Second
	if _, err := d.Dial("sctp+udp", "127.0.0.1:4000"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v, want ECONNREFUSED", err)
	}
}

// TestSecondReaderWaits has two calls read. The one that has waited longer does not have its
// turn. The other one reads what comes at once.
func TestSecondReaderWaits(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	a := assocOf(t, ln, r.tag)
	read := func() *conformance.Call {
		call := conformance.Start(t, func() (int, error) { return c.Read(make([]byte, 1)) })
		call.Waits()
		return call
	}
	reading := func(is bool) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.receiving = is
	}
	reading(true) // by one that goes before it has received anything
	first := read()
	reading(false)
	second := read()
	watchdog(t, func() {
		for i, call := range []*conformance.Call{second, first} {
			r.write(uint16(i), "x")
			if n, err := call.Result(); n != 1 || err != nil {
				t.Errorf("read %d bytes, %v", n, err)
			}
		}
	})
}
