package sctpnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// An onePeer is an engine's PacketConn that has one peer.
type onePeer struct{ engine.PacketConn }

var onlyPeer = netip.MustParseAddrPort("127.0.0.1:9")

func (onePeer) LocalAddr() *engine.Addr { return new(engine.Addr) }

func (onePeer) PeerAddr(engine.AssocID) (*engine.Addr, error) {
	return &engine.Addr{IPAddrs: []net.IPAddr{{IP: onlyPeer.Addr().AsSlice()}}, Port: int(onlyPeer.Port())}, nil
}

// An endlessPacketConn always has a message.
type endlessPacketConn struct {
	onePeer
	d engine.Delivery
}

func (e *endlessPacketConn) Recv(p []byte, patient bool, t engine.Taker) error {
	e.d = engine.Delivery{Assoc: 1, From: onlyPeer, Data: p[:100]}
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

// A quietPacketConn never has anything to receive.
type quietPacketConn struct {
	onePeer
	woken  chan struct{}
	meets  func() // is called while an association begins
	recvs  int
	aborts int
}

func (*quietPacketConn) Find(netip.AddrPort) engine.AssocID { return 0 }
func (q *quietPacketConn) Abort(engine.AssocID) error       { q.aborts++; return nil }
func (q *quietPacketConn) Wake()                            { close(q.woken) }

func (q *quietPacketConn) Connect(_ *engine.Addr, begun func(a engine.AssocID, isNew bool)) error {
	if q.meets != nil {
		q.meets()
	}
	begun(1, true)
	return nil
}

func (q *quietPacketConn) Recv(p []byte, patient bool, t engine.Taker) error {
	q.recvs++
	<-q.woken
	return nil
}

// TestConnectDoesNotPoll has Connect wait for an hour. It receives once, and the end of
// its context wakes it.
func TestConnectDoesNotPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &quietPacketConn{woken: make(chan struct{})}
		c := newPacketConn(q, "sctp", new(Config), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := c.Connect(ctx, onlyPeer.String()); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if q.recvs != 1 {
			t.Errorf("Connect received %d times, want once", q.recvs)
		}
	})
}

// TestConnectAbortsWhatOthersMeet has another call meet the association before Connect
// knows that it has begun it. Connect gives it up all the same.
func TestConnectAbortsWhatOthersMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &quietPacketConn{woken: make(chan struct{})}
		c := newPacketConn(q, "sctp", new(Config), nil)
		q.meets = func() { c.meet(1) }
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := c.Connect(ctx, onlyPeer.String()); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if q.aborts != 1 {
			t.Errorf("the association is aborted %d times, want once", q.aborts)
		}
	})
}
