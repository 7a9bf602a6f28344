package sctpnet_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// A diary is what a PacketConn that is always read has received: messages, and changes
// of associations by their names.
type diary struct {
	mu      sync.Mutex
	entries []string
	peers   map[string]*sctpnet.Addr // by the port
}

func (d *diary) enter(peer net.Addr, what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, port, _ := net.SplitHostPort(peer.String())
	d.entries = append(d.entries, port+" "+what)
	d.peers[port] = peer.(*sctpnet.Addr)
}

// of returns what has come from a peer.
func (d *diary) of(port string) (entries []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.entries {
		if what, ok := strings.CutPrefix(e, port+" "); ok {
			entries = append(entries, what)
		}
	}
	return entries
}

func (d *diary) peer(port string) *sctpnet.Addr {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.peers[port]
}

// await waits until an entry of a peer has been made.
func (d *diary) await(t testing.TB, port, what string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q of %s", what, port), func() bool { return slices.Contains(d.of(port), what) })
}

// keepDiary makes a PacketConn that is always read, and a peer that can crash.
func keepDiary(t *testing.T, network string, config sctpnet.Config) (*crasher, *sctpnet.PacketConn, *diary) {
	t.Helper()
	a, b := linksFor(t, network)
	d := &diary{peers: make(map[string]*sctpnet.Addr)}
	lc := sctpnet.ListenConfig{Config: config, OnEvent: func(_ *sctpnet.PacketConn, peer *sctpnet.Addr, e sctpnet.Event) {
		if e, ok := e.(sctpnet.AssocEvent); ok {
			d.enter(peer, "is "+e.Change.String())
		}
	}}
	server := linkAddr(2, 5000).String()
	var c *sctpnet.PacketConn
	b.do(t, func() error {
		pc, err := lc.ListenPacket(t.Context(), network, server)
		if err == nil {
			c = pc.(*sctpnet.PacketConn)
		}
		return err
	})
	var reading sync.WaitGroup
	reading.Go(func() {
		p := make([]byte, 64<<10)
		for {
			n, from, err := c.ReadFrom(p)
			if err != nil {
				return
			}
			if string(p[:n]) == "tick" {
				c.WriteTo(p[:n], from)
				continue
			}
			d.enter(from, string(p[:n]))
		}
	})
	t.Cleanup(func() {
		c.Close()
		reading.Wait()
	})
	return &crasher{network, a, b, sctpnet.Dialer{LocalAddr: linkAddr(1, 6000)}, server}, c, d
}

// sendPart has a peer send a message, and a part of it arrive: the first flight gets
// there, and no acknowledgement of it back. stats are of the end that receives.
func (p *crasher) sendPart(t *testing.T, stats func() (sctpnet.Stats, error), send func()) {
	t.Helper()
	p.peer.netem(t, "link1", "loss 100%")
	awaitPart(t, stats, send)
}

// awaitPart has a peer send a message, and waits until a part of it has arrived.
func awaitPart(t *testing.T, stats func() (sctpnet.Stats, error), send func()) {
	t.Helper()
	received := func() uint64 {
		st, err := stats()
		if err != nil {
			t.Error(err)
		}
		return st.OrderedReceived + st.UnorderedReceived
	}
	before := received()
	send()
	eventually(t, "a part of the message arrives", func() bool { return received() > before })
}

// statsOf are those of a PacketConn's association with a peer.
func statsOf(t *testing.T, c *sctpnet.PacketConn, client *sctpnet.Conn) func() (sctpnet.Stats, error) {
	t.Helper()
	peer := packetPeer(t, c, client.LocalAddr())
	return func() (sctpnet.Stats, error) { return c.Stats(peer) }
}

// A ticker is a peer whose messages are answered, at the host of a PacketConn.
type ticker struct{ c *sctpnet.Conn }

func (p *crasher) tick(t *testing.T) *ticker {
	t.Helper()
	p.peer.ip(t, "link set lo up")
	return &ticker{p.peer.dialOn(t, p.network, sctpnet.Dialer{LocalAddr: linkAddr(2, 7000)}, p.server)}
}

// once has one message answered.
func (k *ticker) once() error {
	if _, err := k.c.Write([]byte("tick")); err != nil {
		return err
	}
	_, err := io.ReadFull(k.c, make([]byte, len("tick")))
	return err
}

// TestPacketConnRestartInMessage has a peer crash in the middle of a message, after a
// part of it was received. The reader learns of the restart, whether other peers are
// quiet or not. Nothing of the message is read.
func TestPacketConnRestartInMessage(t *testing.T) {
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprintf("busy=%v", busy), func(t *testing.T) {
			eachPacketEngine(t, func(t *testing.T, network string) {
				watchdog(t, func() { testPacketRestartInMessage(t, network, busy) })
			})
		})
	}
}

func testPacketRestartInMessage(t *testing.T, network string, busy bool) {
	var config sctpnet.Config
	if !overUDP(network) {
		config.PartialDeliveryPoint = 1000
	}
	p, c, d := keepDiary(t, network, config)
	other := p.tick(t)
	first := p.dial(t)
	say(t, first, "old")
	p.sendPart(t, statsOf(t, c, first), func() {
		if _, err := first.WriteMsg(bytes.Repeat([]byte("o"), 40<<10), sctpnet.MsgInfo{}); err != nil {
			t.Fatal(err)
		}
	})
	for range 2 { // then what has arrived was read, and the reader waited
		if err := other.once(); err != nil {
			t.Fatal(err)
		}
	}
	stop := make(chan struct{})
	ticking := conformance.Start(t, func() (int, error) {
		for {
			select {
			case <-stop:
				return 0, nil
			default:
				if err := other.once(); err != nil || !busy {
					return 0, err
				}
			}
		}
	})
	p.crash(t, first)
	p.peer.heal(t, "link1")
	want := []string{"is up", "old", "is restarted", "last"}
	if !overUDP(network) {
		p.dialAborted(t)
		want = []string{"is up", "old", "is restarted", "is lost", "is up", "last"}
	}
	close(stop)
	if _, err := ticking.Result(); err != nil {
		t.Errorf("the other peer: %v", err)
	}
	again := p.dial(t)
	say(t, again, "last")
	d.await(t, "6000", "last")
	exchangeWith(t, c, d.peer("6000"), again)
	got := slices.DeleteFunc(d.of("6000"), func(e string) bool { return e == "for nobody" }) // Linux may hand it over
	if !slices.Equal(got, want) {
		t.Errorf("%.300q, want %q", got, want)
	}
}

// exchangeWith has a PacketConn send a message to a peer.
func exchangeWith(t *testing.T, c *sctpnet.PacketConn, peer *sctpnet.Addr, client *sctpnet.Conn) {
	t.Helper()
	if _, err := c.WriteTo([]byte("answer"), peer); err != nil {
		t.Error(err)
	}
	buf := make([]byte, 100)
	if n, err := client.Read(buf); string(buf[:n]) != "answer" || err != nil {
		t.Errorf("%q, %v", buf[:n], err)
	}
}

// TestPacketConnMessageInPiecesGoesOn has the rest of a message come late. That is no
// restart.
func TestPacketConnMessageInPiecesGoesOn(t *testing.T) {
	watchdog(t, func() {
		p, c, d := keepDiary(t, "sctp", sctpnet.Config{PartialDeliveryPoint: 1000})
		p.dialer.Config.RTO.Max = time.Second
		client := p.dial(t)
		message := ballast()[:40<<10]
		p.sendPart(t, statsOf(t, c, client), func() {
			if _, err := client.WriteMsg(message, sctpnet.MsgInfo{}); err != nil {
				t.Fatal(err)
			}
		})
		// The tags are looked at meanwhile.
		time.Sleep(time.Second)
		p.peer.heal(t, "link1")
		d.await(t, "6000", string(message))
		if got := d.of("6000"); len(got) != 2 {
			t.Errorf("%.300q, want that it is up, and one message", got)
		}
	})
}
