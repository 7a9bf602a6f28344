package udpencap

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/fifo"
)

// A target is a socket whose packets come from a test and not from a network,
// with a listener and an association.
type target struct {
	socket *socket
	port   *port
	assoc  *assoc
	ln     *listener
}

const (
	targetPort = 3868
	targetTag  = 0xabcdef01
	targetTSN  = 100
	peerTag    = 0x01020304
	peerTSN    = 1000
)

var fuzzPeer = netip.MustParseAddrPort("127.0.0.1:9")

func newTarget(t testing.TB) *target {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopbackAddr[0].IP})
	if err != nil {
		t.Fatal(err)
	}
	s := &socket{
		conn: c, local: c.LocalAddr().(*net.UDPAddr).AddrPort(), ports: make(map[uint16]*port),
		refs: 1,
	}
	// Answers go nowhere.
	f := func(path, []byte, func([]byte)) {}
	transport.Store(&f)
	t.Cleanup(func() {
		transport.Store(nil)
		c.Close()
	})
	registry.mu.Lock()
	p, err := attach(targetPort, []*socket{s})
	p.users++
	registry.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	tg := &target{socket: s, port: p}
	tg.ln = &listener{port: p, addr: &engine.Addr{Port: targetPort}, backlog: engine.Backlog()}
	tg.ln.some.L = &tg.ln.mu
	tg.ln.by.init(&tg.ln.mu, &tg.ln.some)
	p.listener = tg.ln
	tg.establish()
	t.Cleanup(func() { tg.drain() })
	return tg
}

// establish makes the association of which the corpus knows the tags.
func (tg *target) establish() {
	i := initiation{tag: peerTag, window: 1 << 20, out: 10, in: 10, tsn: peerTSN, reconfig: true, partial: true}
	ck := cookie{cookieFor: cookieFor{localTag: targetTag}, localTSN: targetTSN}
	tg.assoc = tg.ln.establish(path{socket: tg.socket, to: fuzzPeer}, fuzzPeer.Addr(), peer{fuzzPeer.Addr(), 7777}, &ck, &i)
}

// drain aborts what has been accepted.
func (tg *target) drain() {
	tg.ln.mu.Lock()
	rest := tg.ln.queue.All()
	tg.ln.queue = fifo.Queue[*assoc]{}
	tg.ln.mu.Unlock()
	for _, a := range rest {
		a.mu.Lock()
		a.closed = true
		a.finish(net.ErrClosed)
		a.mu.Unlock()
	}
}

// input takes a packet in, and again with the checksum right and with the tag
// and ports of the association.
func (tg *target) input(b []byte) {
	var in intake
	tg.socket.input(b, fuzzPeer, fuzzPeer.Addr(), &in)
	if len(b) >= headerSize+chunkHeaderSize {
		b = slices.Clone(b)
		tg.socket.input(packet(b).seal(), fuzzPeer, fuzzPeer.Addr(), &in)
		if b[headerSize] != ctInit {
			binary.BigEndian.PutUint32(b[4:], targetTag)
		}
		binary.BigEndian.PutUint16(b, 7777)
		binary.BigEndian.PutUint16(b[2:], targetPort)
		tg.socket.input(packet(b).seal(), fuzzPeer, fuzzPeer.Addr(), &in)
	}
	in.done()
	if tg.port.find(targetTag) == nil {
		tg.drain()
		tg.establish() // it has been ended
	}
	tg.ln.mu.Lock()
	many := tg.ln.queue.Len() > 100
	tg.ln.mu.Unlock()
	if many {
		tg.drain()
		tg.establish()
	}
}

// capture records the packets of a few associations: their beginnings, messages,
// streams and ends.
var capture = sync.OnceValue(func() [][]byte {
	var mu sync.Mutex
	var packets [][]byte
	f := func(_ path, b []byte, send func([]byte)) {
		mu.Lock()
		if len(packets) < 400 {
			packets = append(packets, slices.Clone(b[:min(len(b), 400)]))
		}
		mu.Unlock()
		send(b)
	}
	transport.Store(&f)
	defer transport.Store(nil)
	for i := range 4 {
		ln, err := sctpnet.Listen("sctp+udp", "127.0.0.1:0")
		if err != nil {
			continue
		}
		c, err := sctpnet.Dial("sctp+udp", ln.Addr().String())
		if err != nil {
			ln.Close()
			continue
		}
		a, _ := ln.Accept()
		client, server := c.(*sctpnet.Conn), a.(*sctpnet.Conn)
		soon, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		s, _ := client.OpenStream()
		s.Write([]byte("question"))
		s.CloseWrite()
		if r, err := server.AcceptStream(soon); err == nil {
			r.Write([]byte("answer"))
			r.Close()
		}
		cancel()
		client.WriteMsg([]byte("unordered"), sctpnet.MsgInfo{Stream: 5, Unordered: true, PPID: 46})
		client.Write(make([]byte, 70_000))
		server.Status()
		switch i {
		case 0:
			client.Close()
		case 1:
			client.Shutdown()
		case 2:
			server.Abort()
		}
		time.Sleep(20 * time.Millisecond)
		client.Abort()
		server.Abort()
		ln.Close()
	}
	mu.Lock() // an ABORT is sent again for a while
	defer mu.Unlock()
	// What this package does not send.
	h := header{7777, targetPort, targetTag}
	packets = append(packets,
		newPacket(h).add(ctForwardTSN, 0, append(binary.BigEndian.AppendUint32(nil, peerTSN+3), 0, 1, 0, 2)).seal(),
		newPacket(h).add(ctReconfig, 0, appendParam(nil, paramResetTSN, make([]byte, 4))).seal(),
		newPacket(h).add(ctReconfig, 0, appendParam(nil, paramAddOutgoing, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, peerTSN), 5<<16))).seal(),
		newPacket(h).add(ctReconfig, 0, appendParam(nil, paramResetIncoming, binary.BigEndian.AppendUint32(nil, peerTSN))).seal(),
		newPacket(h).add(ctReconfig, 0, appendParam(nil, paramResetOutgoing, append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, peerTSN), targetTSN-1), peerTSN-1), 0, 3))).seal(),
		newPacket(h).addCause(ctError, 0, causeStaleCookie, make([]byte, 4)).seal(),
		newPacket(h).add(ctData, flagBegin, data(peerTSN, 1, 0, "be")).add(ctData, flagEnd, data(peerTSN+2, 1, 0, "end")).add(ctData, 0, data(peerTSN+1, 1, 0, "middle")).seal(),
		newPacket(h).add(ctData, 3, nil).seal(),
		newPacket(h).add(ctData, 3, data(peerTSN, 0, 0, "")).seal(),
		newPacket(h).add(ctSACK, 0, append(binary.BigEndian.AppendUint32(nil, targetTSN+5), make([]byte, 8)...)).seal(),
	)
	return packets
})

func FuzzInput(f *testing.F) {
	for _, b := range capture() {
		f.Add(b)
	}
	tg := newTarget(f)
	f.Fuzz(func(t *testing.T, b []byte) { tg.input(b) })
}

func FuzzInit(f *testing.F) {
	i := initiation{tag: 1, window: 5000, out: 1, in: 2, tsn: 3, reconfig: true, partial: true, adapts: true, cookie: make([]byte, 50)}
	f.Add(i.value())
	f.Add(appendParam(i.value(), paramHostName, []byte("host")))
	f.Fuzz(func(t *testing.T, b []byte) {
		var i initiation
		if _, ok := i.parse(b); !ok {
			return
		}
		i.unrecognized = nil
		var again initiation
		if _, ok := again.parse(i.value()); !ok || again.tag != i.tag || again.reconfig != i.reconfig || again.partial != i.partial || string(again.cookie) != string(i.cookie) {
			t.Errorf("%+v became %+v", i, again)
		}
	})
}

func FuzzCookie(f *testing.F) {
	for _, ck := range []cookie{{}, {peerTag: 2}, {adapts: true, adaptation: 1}, {tieTags: [2]uint32{3, 4}}, {adapts: true, tieTags: [2]uint32{3, 4}}} {
		f.Add(ck.seal())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var owner cookieFor
		if len(b) < leastCookie {
			if _, ok := openCookie(b, owner); ok {
				t.Errorf("opened %x", b)
			}
			return
		}
		// Signed as it is, it is one of the cookies that seal makes, or too short for its
		// flags, which seal never signs.
		n := leastCookie - macSize
		b = slices.Clone(b)
		flags := b[n-1] & (1<<5 - 1)
		b[n-1] = flags
		if flags&cookieAdapts != 0 {
			n += 4
		}
		if flags&cookieTies != 0 {
			n += 8
		}
		if len(b) < n {
			return
		}
		if b = b[:n]; flags&cookieTies != 0 {
			b[n-1] |= 1 // no tie tags are none
		}
		b = append(b, owner.mac(b)...)
		c, ok := openCookie(b, owner)
		if !ok || string(c.seal()) != string(b) {
			t.Errorf("opened %x as %+v, %t", b, c, ok)
		}
		other := owner
		other.localTag++
		if _, ok := openCookie(b, other); ok {
			t.Errorf("a cookie is somebody else's too: %x", b)
		}
	})
}

// TestMutations replays captured packets with changes, and with all that the
// fuzzer has found.
func TestMutations(t *testing.T) {
	packets := slices.Clone(capture())
	if found, err := filepath.Glob("testdata/packets/*"); err == nil {
		for _, name := range found {
			if b, err := os.ReadFile(name); err == nil {
				packets = append(packets, b)
			}
		}
	}
	tg := newTarget(t)
	watchdog(t, func() {
		rnd := rand.New(rand.NewPCG(1, 2))
		for _, b := range packets {
			tg.input(b)
			for range 100 {
				tg.input(mutate(rnd, b))
			}
		}
	})
	if n := tg.socket.counters.received.Load(); n < 10_000 {
		t.Errorf("only %d packets went in", n)
	}
}

// mutate changes a packet.
func mutate(rnd *rand.Rand, b []byte) []byte {
	b = slices.Clone(b)
	for range 1 + rnd.IntN(4) {
		if len(b) == 0 {
			return b
		}
		i := rnd.IntN(len(b))
		switch rnd.IntN(8) {
		case 0:
			b = b[:i]
		case 1:
			b[i] ^= 1 << rnd.IntN(8)
		case 2:
			b[i] = byte(rnd.Uint32())
		case 3:
			b[i] = 0xff
		case 4:
			b = slices.Insert(b, i, make([]byte, rnd.IntN(8))...)
		case 5:
			b = slices.Delete(b, i, min(len(b), i+rnd.IntN(8)))
		case 6: // a length
			if len(b) > headerSize+4 {
				binary.BigEndian.PutUint16(b[headerSize+2:], uint16(rnd.IntN(len(b))))
			}
		case 7:
			if len(b) > headerSize {
				b = append(b, b[headerSize:]...)
			}
		}
	}
	return b
}
