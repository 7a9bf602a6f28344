package sctpnet_test

import (
	"bytes"
	"testing"

	"github.com/sctpnet/sctpnet"
)

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
		const first, last, unordered = 2, 1, 4
		part := func(letter byte) []byte { return bytes.Repeat([]byte{letter}, 1000) }
		p.data(t, 0, first|unordered, 0, part('u'))
		eventually(t, "the first part has come", func() bool { return received(t, ns) > 0 })
		read := make(chan bool)
		go func() {
			defer close(read)
			wantMessage(t, c, 'u', 2000)
			wantMessage(t, c, 'o', 2000)
		}()
		eventually(t, "the first part is received", func() bool { return received(t, ns) < 1000 })
		p.data(t, 2, first, 0, part('o'))
		p.data(t, 1, last|unordered, 0, part('u'))
		p.data(t, 3, last, 0, part('o'))
		<-read
	})
}
