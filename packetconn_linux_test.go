package sctpnet_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/testnet"
	"golang.org/x/sys/unix"
)

// TestPacketConnFullOfLaterData has the peers' data fill the receive buffer, with what
// comes before all of it lost on the way. There is room for it when it comes again.
func TestPacketConnFullOfLaterData(t *testing.T) {
	for _, size := range []int{100_000, 0} {
		t.Run(fmt.Sprint(size), func(t *testing.T) { watchdog(t, func() { testFullOfLaterData(t, size) }) })
	}
}

func testFullOfLaterData(t *testing.T, readBuffer int) {
	a, b := newNetns(t), newNetns(t)
	linkLarge(t, a, b)
	var c *sctpnet.PacketConn
	a.do(t, func() error {
		lc := sctpnet.ListenConfig{Config: sctpnet.Config{ReadBuffer: readBuffer}}
		c = listenPacket(t, &lc, "sctp4", "10.77.1.1:0")
		return nil
	})
	var peers []*rawPeer
	for i := range 3 {
		peers = append(peers, dialRaw(t, a, b, i, port(c.LocalAddr())))
	}
	// Each has a window of half the buffer. The last one has something delivered, so
	// that its window opens again when that is read.
	const first, whole, last = 2, 3, 1
	peers[2].data(t, 0, whole, 0, []byte("read me"))
	sizes := make(map[byte]int)
	var again []func() // sends all of a message
	for i, p := range peers {
		tsn, n, ssn := uint32(0), int(0.9*float64(p.window)), uint16(0)
		if i == 2 {
			tsn, n, ssn = 1, int(0.3*float64(p.window)), 1
		}
		message := bytes.Repeat([]byte{byte(i)}, n)
		sizes[byte(i)] = n
		chunks := slices.Collect(slices.Chunk(message[1:], 60_000))
		rest := func() {
			for k, chunk := range chunks {
				flags := byte(0)
				if k == len(chunks)-1 {
					flags = last
				}
				p.data(t, tsn+1+uint32(k), flags, ssn, chunk)
			}
		}
		rest()
		again = append(again, func() {
			p.data(t, tsn, first, ssn, message[:1])
			rest()
		})
	}
	eventually(t, "a full buffer", func() bool { return received(t, a) >= 2*peers[0].window })
	buf := make([]byte, 2*peers[0].window)
	n, _, err := c.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "read me" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	defer sendAgain(t, again...)()
	for range peers {
		if n, _, err = c.ReadFrom(buf); err != nil {
			t.Fatal(err)
		}
		if n != sizes[buf[0]] {
			t.Errorf("%d bytes of peer %d, want %d", n, buf[0], sizes[buf[0]])
		}
		delete(sizes, buf[0])
	}
}

// sendAgain sends what was lost again and again, until stop.
func sendAgain(t *testing.T, sends ...func()) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	sending.Go(func() {
		for tick := time.Tick(50 * ms); ctx.Err() == nil; <-tick {
			for _, send := range sends {
				send()
			}
		}
	})
	return func() {
		cancel()
		sending.Wait()
	}
}

// TestConnFullOfLaterData has small messages of one peer fill the receive buffer, and
// then a large one, with what comes before all of them lost on the way. There is room
// for it when it comes again.
func TestConnFullOfLaterData(t *testing.T) {
	watchdog(t, func() {
		a, b := newNetns(t), newNetns(t)
		linkLarge(t, a, b)
		ln := a.listen(t, sctpnet.ListenConfig{Config: sctpnet.Config{ReadBuffer: 100_000}}, "10.77.1.1:0")
		p := dialRaw(t, a, b, 0, port(ln.Addr()))
		c := accept(t, ln)
		const whole = 3
		p.data(t, 0, whole, 0, []byte("read me"))
		tsn := uint32(2)
		for ; received(t, a) < 2*p.window-500; tsn++ {
			p.data(t, tsn, whole, uint16(tsn), []byte("x"))
		}
		p.data(t, tsn, whole, uint16(tsn), make([]byte, 30_000))
		eventually(t, "a full buffer", func() bool { return received(t, a) >= 2*p.window })
		buf := make([]byte, 30_000)
		n, err := c.Read(buf)
		if err != nil || string(buf[:n]) != "read me" {
			t.Fatalf("%q, %v", buf[:n], err)
		}
		defer sendAgain(t, func() { p.data(t, 1, whole, 1, []byte("lost")) })()
		for i := uint32(1); i <= tsn; i++ {
			if _, _, err := c.ReadMsg(buf); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestPacketConnPeersWithHalfMessages has the receive buffer be full of the first
// halves of messages. Their peers never send the second ones, and yet do not hold up
// others for ever.
func TestPacketConnPeersWithHalfMessages(t *testing.T) {
	watchdog(t, func() {
		a, b := newNetns(t), newNetns(t)
		linkLarge(t, a, b)
		var events peerEvents
		var c *sctpnet.PacketConn
		a.do(t, func() error {
			lc := sctpnet.ListenConfig{OnEvent: events.add}
			c = listenPacket(t, &lc, "sctp4", "10.77.1.1:0")
			return nil
		})
		// Its own window is small, which says nothing of what it holds.
		client := b.dial(t, sctpnet.Dialer{Config: sctpnet.Config{ReadBuffer: 20_000}}, c.LocalAddr().String())
		var peers []*rawPeer
		for i := range 4 {
			peers = append(peers, dialRaw(t, a, b, i, port(c.LocalAddr())))
		}
		ctx, stop := context.WithCancel(t.Context())
		var sending sync.WaitGroup
		defer sending.Wait()
		defer stop()
		sending.Go(func() {
			for tick := time.Tick(50 * ms); ctx.Err() == nil; <-tick {
				// More than the buffer can ever hold.
				for _, p := range peers {
					for tsn, n := uint32(1), p.window; n > 0; tsn, n = tsn+1, n-60_000 {
						p.data(t, tsn, 0, 0, make([]byte, min(n, 60_000)))
					}
				}
			}
		})
		eventually(t, "a full buffer", func() bool { return received(t, a) >= 2*peers[0].window })
		sending.Go(func() {
			for tick := time.Tick(50 * ms); ctx.Err() == nil; <-tick {
				client.SetWriteDeadline(time.Now().Add(time.Second))
				if _, err := client.WriteMsg([]byte("me, too"), sctpnet.MsgInfo{}); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("the association that holds nothing: %v", err)
					c.Close() // there is nothing more to read
					return
				}
			}
		})
		// Some may come before the reserve is full, too.
		var lost *sctpnet.Addr
		for buf := make([]byte, 100); lost == nil; lost, _ = events.has(sctpnet.AssocLost) {
			if n, _, err := c.ReadFrom(buf); err != nil || string(buf[:n]) != "me, too" {
				t.Fatalf("%q, %v", buf[:n], err)
			}
		}
		if lost.Port != 9 {
			t.Errorf("lost is the association with %v, want one that holds much", lost)
		}
	})
}

// linkLarge links two networks, for packets as large as they can be.
func linkLarge(t testing.TB, a, b *netns) {
	t.Helper()
	if err := testnet.Link(a.Network, b.Network, "link1", "10.77.1"); err != nil {
		t.Fatal(err)
	}
	a.ip(t, "link set link1 mtu 65535")
	b.ip(t, "link set link1 mtu 65535")
}

// received sums up what the associations of a network have received and nobody has
// read, as the kernel counts.
func received(t testing.TB, ns *netns) (sum int) {
	t.Helper()
	ns.do(t, func() error {
		table, err := os.ReadFile("/proc/thread-self/net/sctp/assocs")
		for line := range strings.Lines(string(table)) {
			if f := strings.Fields(line); len(f) > 8 {
				n, _ := strconv.Atoi(f[8]) // RX_QUEUE, where this is not the heading
				sum += n
			}
		}
		return err
	})
	return sum
}

// A rawPeer is a peer that sends what a test has it send, from an address that no
// kernel has.
type rawPeer struct {
	raw      int
	from, to netip.AddrPort
	tag      uint32
	window   int // of the other end
}

// dialRaw makes an association of one with a port of a, from the network b.
func dialRaw(t testing.TB, a, b *netns, i, port int) *rawPeer {
	p := &rawPeer{
		from: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 77, 1, byte(100 + i)}), 9),
		to:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 77, 1, 1}), uint16(port)),
	}
	var mac net.HardwareAddr
	b.do(t, func() error {
		link, err := net.InterfaceByName("link1")
		if err == nil {
			mac = link.HardwareAddr
		}
		return err
	})
	a.ip(t, fmt.Sprintf("neighbor replace %s lladdr %s dev link1 nud permanent", p.from.Addr(), mac))
	var tap int
	b.do(t, func() (err error) {
		if p.raw, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
			return err
		}
		const ip = 8 // ETH_P_IP in network order
		tap, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, ip)
		return err
	})
	defer unix.Close(tap)
	t.Cleanup(func() { unix.Close(p.raw) })
	p.send(t, 1, 0, []byte{0, 0, 0, 1, 0, 2, 0, 0, 0, 10, 0, 10, 0, 0, 0, 0, 0xc0, 0, 0, 4}) // INIT, with partial reliability
	ack := p.await(t, tap, 2)
	p.tag = binary.BigEndian.Uint32(ack)
	p.window = int(binary.BigEndian.Uint32(ack[4:]))
	for params := ack[16:]; ; {
		n := int(binary.BigEndian.Uint16(params[2:]))
		if params[1] == 7 {
			p.send(t, 10, 0, params[4:n]) // COOKIE ECHO
			break
		}
		params = params[(n+3)&^3:]
	}
	p.await(t, tap, 11)
	return p
}

// await returns the value of the first chunk of some type that the peer gets.
func (p *rawPeer) await(t testing.TB, tap int, typ byte) []byte {
	buf := make([]byte, 1<<17)
	for {
		n, _, err := unix.Recvfrom(tap, buf, 0)
		if err != nil {
			t.Fatal(err)
		}
		if b := buf[:n]; n >= 36 && b[0] == 0x45 && b[9] == unix.IPPROTO_SCTP && netip.AddrFrom4([4]byte(b[16:20])) == p.from.Addr() && b[32] == typ {
			return b[36 : 32+int(binary.BigEndian.Uint16(b[34:]))]
		}
	}
}

// data sends a DATA chunk of stream 0.
func (p *rawPeer) data(t testing.TB, tsn uint32, flags byte, ssn uint16, data []byte) {
	v := binary.BigEndian.AppendUint32(nil, tsn)
	v = binary.BigEndian.AppendUint16(v, 0)
	v = binary.BigEndian.AppendUint16(v, ssn)
	v = binary.BigEndian.AppendUint32(v, 0)
	p.send(t, 0, flags, append(v, data...))
}

// Flags of data.
const dataLast, dataFirst, dataWhole, dataUnordered = 1, 2, 3, 4

// part is a part of a message that has only that byte.
func part(letter byte) []byte { return bytes.Repeat([]byte{letter}, 1000) }

// overtaking sends the messages b, c and d behind an unordered one, whose two parts are 0
// and 1. Linux hands over c, which it has to put together, before b.
func (p *rawPeer) overtaking(t testing.TB) {
	p.data(t, 2, dataWhole, 0, part('b'))
	p.data(t, 3, dataFirst, 1, part('c'))
	p.data(t, 4, dataLast, 1, part('c'))
	p.data(t, 5, dataWhole, 2, part('d'))
}

// send sends a packet with one chunk.
func (p *rawPeer) send(t testing.TB, typ, flags byte, value []byte) {
	b := make([]byte, 20+12, 20+12+4+len(value)+3)
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_SCTP
	copy(b[12:], p.from.Addr().AsSlice())
	copy(b[16:], p.to.Addr().AsSlice())
	binary.BigEndian.PutUint16(b[20:], p.from.Port())
	binary.BigEndian.PutUint16(b[22:], p.to.Port())
	binary.BigEndian.PutUint32(b[24:], p.tag)
	b = append(b, typ, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(4+len(value)))
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	binary.LittleEndian.PutUint32(b[28:], crc32.Checksum(b[20:], crc32.MakeTable(crc32.Castagnoli)))
	if err := unix.Sendto(p.raw, b, 0, &unix.SockaddrInet4{Addr: p.to.Addr().As4()}); err != nil {
		t.Error(err)
	}
}

// rawPacketPeer makes a PacketConn with a small partial delivery point, and a raw peer
// of it.
func rawPacketPeer(t *testing.T) (*sctpnet.PacketConn, *rawPeer, *netns) {
	a, b := newNetns(t), newNetns(t)
	linkLarge(t, a, b)
	var c *sctpnet.PacketConn
	a.do(t, func() error {
		lc := sctpnet.ListenConfig{Config: sctpnet.Config{PartialDeliveryPoint: 500}}
		c = listenPacket(t, &lc, "sctp4", "10.77.1.1:0")
		return nil
	})
	return c, dialRaw(t, a, b, 0, port(c.LocalAddr())), a
}

// wantMessage reads a message, which has only that byte.
func wantMessage(t *testing.T, c *sctpnet.PacketConn, letter byte, size int) {
	t.Helper()
	buf := make([]byte, 10_000)
	n, _, err := c.ReadFrom(buf)
	if err != nil || !bytes.Equal(buf[:n], bytes.Repeat([]byte{letter}, size)) {
		t.Errorf("%d bytes of %.1q, %v; want %d of %c", n, buf[:n], err, size, letter)
	}
}

// TestPacketConnOrderedAfterUnordered has the first part of an ordered message be
// delivered as soon as an unordered one is complete. It is not taken for given up.
func TestPacketConnOrderedAfterUnordered(t *testing.T) {
	watchdog(t, func() {
		c, p, ns := rawPacketPeer(t)
		p.data(t, 0, dataFirst|dataUnordered, 0, part('u'))
		eventually(t, "the first part has come", func() bool { return received(t, ns) > 0 })
		read := make(chan bool)
		go func() {
			defer close(read)
			wantMessage(t, c, 'u', 2000)
			wantMessage(t, c, 'o', 2000)
		}()
		eventually(t, "the first part is received", func() bool { return received(t, ns) < 1000 })
		p.data(t, 2, dataFirst, 0, part('o'))
		p.data(t, 1, dataLast|dataUnordered, 0, part('u'))
		p.data(t, 3, dataLast, 0, part('o'))
		<-read
	})
}

// TestPacketConnOrderAfterPieces has messages of a stream come while pieces of another
// message are delivered. Linux hands over the one that it has to put together before the
// small one that was sent earlier.
func TestPacketConnOrderAfterPieces(t *testing.T) {
	watchdog(t, func() {
		c, p, ns := rawPacketPeer(t)
		p.data(t, 0, dataFirst|dataUnordered, 0, part('a'))
		eventually(t, "the first part has come", func() bool { return received(t, ns) > 0 })
		p.overtaking(t)
		p.data(t, 1, dataLast|dataUnordered, 0, part('a'))
		wantMessage(t, c, 'a', 2000)
		wantMessage(t, c, 'b', 1000)
		wantMessage(t, c, 'c', 2000)
		wantMessage(t, c, 'd', 1000)
	})
}

// TestPacketConnOrderAfterGivenUp is TestPacketConnOrderAfterPieces with a message that is
// given up in the middle.
func TestPacketConnOrderAfterGivenUp(t *testing.T) {
	watchdog(t, func() {
		c, p, ns := rawPacketPeer(t)
		p.data(t, 0, dataFirst|dataUnordered, 0, part('a'))
		eventually(t, "the first part has come", func() bool { return received(t, ns) > 0 })
		read := make(chan bool)
		go func() {
			defer close(read)
			wantMessage(t, c, 'b', 1000)
			wantMessage(t, c, 'c', 2000)
			wantMessage(t, c, 'd', 1000)
			wantMessage(t, c, 'u', 1000)
		}()
		eventually(t, "the first part is received", func() bool { return received(t, ns) < 1000 })
		p.overtaking(t)
		p.send(t, 192, 0, []byte{0, 0, 0, 1}) // FORWARD TSN
		p.data(t, 6, dataWhole|dataUnordered, 0, part('u'))
		<-read
	})
}

// TestPeelOffKeepsInterleaving peels off an association whose messages interleave. They
// still do.
func TestPeelOffKeepsInterleaving(t *testing.T) {
	a, b := newNetns(t), newNetns(t)
	linkLarge(t, a, b)
	config := sctpnet.Config{Interleaving: true}
	for _, ns := range []*netns{a, b} {
		ns.do(t, func() error { return os.WriteFile("/proc/sys/net/sctp/intl_enable", []byte("1"), 0) })
	}
	watchdog(t, func() {
		var c *sctpnet.PacketConn
		a.do(t, func() error {
			c = listenPacket(t, &sctpnet.ListenConfig{Config: config}, "sctp4", "10.77.1.1:0")
			return nil
		})
		client := b.dial(t, sctpnet.Dialer{Config: config}, c.LocalAddr().String())
		say(t, client, "up")
		peer := packetPeer(t, c, client.LocalAddr())
		var conn *sctpnet.Conn
		a.do(t, func() (err error) {
			conn, err = c.PeelOff(peer)
			return err
		})
		defer conn.Close()
		if f, err := conn.Features(); err != nil || !f.Interleaving {
			t.Errorf("%+v, %v", f, err)
		}
		if level := inForce(t, conn).FragmentInterleave; level == 0 {
			t.Errorf("fragment interleave is %d", level)
		}
	})
}
