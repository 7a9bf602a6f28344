package sctpnet

import (
	"net"
	"net/netip"
	"testing"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// An endlessPacketConn always has a message.
type endlessPacketConn struct {
	engine.PacketConn
	d engine.Delivery
}

var endlessPeer = netip.MustParseAddrPort("127.0.0.1:9")

func (endlessPacketConn) LocalAddr() *engine.Addr { return new(engine.Addr) }

func (endlessPacketConn) PeerAddr(engine.AssocID) (*engine.Addr, error) {
	return &engine.Addr{IPAddrs: []net.IPAddr{{IP: endlessPeer.Addr().AsSlice()}}, Port: int(endlessPeer.Port())}, nil
}

func (e *endlessPacketConn) Recv(p []byte, wait bool, t engine.Taker) error {
	e.d = engine.Delivery{Assoc: 1, From: endlessPeer, Data: p[:100]}
	t.Take(&e.d)
	return nil
}

// BenchmarkPacketConnRead is what ReadFrom costs beside the engine.
func BenchmarkPacketConnRead(b *testing.B) {
	c := newPacketConn(new(endlessPacketConn), "sctp", new(Config), nil)
	p := make([]byte, 4<<10)
	for b.Loop() {
		if _, _, err := c.ReadFrom(p); err != nil {
			b.Fatal(err)
		}
	}
}
