package sctpnet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestPacketConnPortOutOfRange uses a port that is that of a peer but for bits that
// a port does not have.
func TestPacketConnPortOutOfRange(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		c, other := listenPacket(t, nil, network, "127.0.0.1:0"), listenPacket(t, nil, network, "127.0.0.1:0")
		packetConnect(t, c, other.LocalAddr())
		wrong := oneAddr("127.0.0.1", port(other.LocalAddr())+1<<16)
		if n, err := c.WriteTo([]byte("x"), wrong); err == nil || !strings.Contains(err.Error(), "65535") {
			t.Errorf("WriteTo: %d, %v; want an error that says which ports there are", n, err)
		}
		if err := c.Abort(wrong); err == nil {
			t.Error("Abort found a peer")
		}
		if len(c.Associations()) != 1 {
			t.Error("the association has ended")
		}
	})
}

// TestPacketConnShutdownOfHandshake shuts down an association that is being made.
// It is an error, and Connect learns what comes of it.
func TestPacketConnShutdownOfHandshake(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	silentNet(t)
	c := listenPacket(t, nil, "sctp4", ":0")
	silent := oneAddr(silent4, 9)
	watchdog(t, func() {
		connected := make(chan error)
		go func() { connected <- first(c.Connect(context.Background(), silent.String())) }()
		eventually(t, "the handshake has begun", func() bool { _, err := c.Status(silent); return err == nil })
		if err := c.Shutdown(silent); !errors.Is(err, syscall.EINPROGRESS) {
			t.Errorf("Shutdown: %v, want EINPROGRESS", err)
		}
		if err := c.Abort(silent); err != nil {
			t.Error(err)
		}
		if err := <-connected; err == nil {
			t.Error("Connect made an association with nobody")
		}
	})
}

// TestPacketConnConnectTogether has one of two calls of Connect to the same peer give
// up. The other one goes on.
func TestPacketConnConnectTogether(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	silentNet(t)
	config := sctpnet.Config{InitAttempts: 3, RTO: sctpnet.RTO{Initial: 300 * ms, Min: 300 * ms, Max: 300 * ms}}
	c := listenPacket(t, &sctpnet.ListenConfig{Config: config}, "sctp4", ":0")
	silent := oneAddr(silent4, 9)
	watchdog(t, func() {
		ctx, cancel := context.WithCancel(t.Context())
		one, two := make(chan error), make(chan error)
		go func() { one <- first(c.Connect(ctx, silent.String())) }()
		eventually(t, "the handshake has begun", func() bool { _, err := c.Status(silent); return err == nil })
		late := &lateContext{Context: t.Context(), asked: make(chan struct{})}
		go func() { two <- first(c.Connect(late, silent.String())) }()
		<-late.asked
		cancel()
		if err := <-one; !errors.Is(err, context.Canceled) {
			t.Errorf("the one that gave up: %v", err)
		}
		if err := <-two; !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("the other one: %v, want ETIMEDOUT", err)
		}
	})
}

// A lateContext tells when Connect waits: it has asked twice then whether it is over.
type lateContext struct {
	context.Context
	asked chan struct{}
	calls int
}

func (c *lateContext) Done() <-chan struct{} {
	if c.calls++; c.calls == 3 {
		close(c.asked)
	}
	return c.Context.Done()
}

// TestPacketConnRefusedOfBoth has WriteTo and Connect find at once that a peer
// refuses. Connect says so.
func TestPacketConnRefusedOfBoth(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		c := listenPacket(t, nil, network, "127.0.0.1:0")
		closed := listen(t, network, "127.0.0.1:0")
		closed.Close()
		watchdog(t, func() {
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for ctx.Err() == nil {
						if _, err := c.WriteTo([]byte("x"), closed.Addr()); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			for range 200 {
				if _, err := c.Connect(t.Context(), closed.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("Connect: %v, want ECONNREFUSED", err)
					break
				}
			}
			cancel()
			wg.Wait()
		})
	})
}

// TestPacketConnAddrForms writes to a peer by all forms of its address.
func TestPacketConnAddrForms(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		network = ofEngine(network, "sctp")
		c := listenPacket(t, nil, network, ":0")
		four, six := listenPacket(t, nil, network, "127.0.0.1:0"), listenPacket(t, nil, network, "[::1]:0")
		watchdog(t, func() {
			for _, a := range []*sctpnet.Addr{
				oneAddr("127.0.0.1", port(four.LocalAddr())),
				{IPAddrs: []net.IPAddr{{IP: net.IPv4(127, 0, 0, 1).To4()}}, Port: port(four.LocalAddr())},
				oneAddr("::ffff:127.0.0.1", port(four.LocalAddr())),
			} {
				packetSend(t, c, a, four)
			}
			packetSend(t, c, oneAddr("::1", port(six.LocalAddr())), six)
			if n := len(c.Associations()); n != 2 {
				t.Errorf("%d associations, want 2", n)
			}
		})
	})
}

func packetSend(t *testing.T, c *sctpnet.PacketConn, a *sctpnet.Addr, to *sctpnet.PacketConn) {
	t.Helper()
	text := fmt.Sprint(a)
	if _, err := c.WriteTo([]byte(text), a); err != nil {
		t.Errorf("%v: %v", a, err)
	} else if got := packetNext(t, to); got != text {
		t.Errorf("%q, want %q", got, text)
	}
}

// TestPacketConnAddrOfAnother connects to a peer by a list with an address that is
// not the peer's. What is written to that address goes to the peer that has it.
func TestPacketConnAddrOfAnother(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		c := listenPacket(t, nil, network, "127.0.0.9:0")
		one := listenPacket(t, nil, network, "127.0.0.1:0")
		two := listenPacket(t, nil, network, fmt.Sprintf("127.0.0.2:%d", port(one.LocalAddr())))
		watchdog(t, func() {
			both := oneAddr("127.0.0.1", port(one.LocalAddr()))
			both.IPAddrs = append(both.IPAddrs, oneAddr("127.0.0.2", 0).IPAddrs...)
			packetConnect(t, c, both)
			packetSend(t, c, oneAddr("127.0.0.2", port(one.LocalAddr())), two)
			packetSend(t, c, oneAddr("127.0.0.1", port(one.LocalAddr())), one)
		})
	})
}
