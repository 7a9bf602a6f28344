package sctpnet_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
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
