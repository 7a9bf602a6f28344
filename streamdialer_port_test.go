package sctpnet_test

import (
	"net"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestStreamDialerLocalPort dials from one port again and again, when the association
// before has just ended: each dial waits until the port is free.
func TestStreamDialerLocalPort(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		address, _ := streamsOf(t, network, sctpnet.Config{}, echoAll)
		// A port that was free just now.
		free := listen(t, network, "127.0.0.1:0")
		local := &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}}, Port: port(free.Addr())}
		free.Close()
		d := closing(t, &sctpnet.StreamDialer{Dialer: sctpnet.Dialer{LocalAddr: local}, IdleTimeout: -1})
		watchdog(t, func() {
			for range 10 {
				c, err := d.Dial(network, address)
				if err != nil {
					t.Fatal(err)
				}
				if got := port(c.LocalAddr()); got != local.Port {
					t.Errorf("dialled from port %d, want %d", got, local.Port)
				}
				echoed(t, c)
				c.Close() // and with it the association
			}
		})
	})
}
