package sctpnet_test

import (
	"errors"
	"io"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestNoEventOfAuthUnasked looks for events of authentication at ends that have nothing
// to do with it.
func TestNoEventOfAuthUnasked(t *testing.T) {
	needSCTP(t)
	watchdog(t, func() {
		config := sctpnet.Config{OnEvent: func(c *sctpnet.Conn, e sctpnet.Event) {
			if e, ok := e.(sctpnet.AuthEvent); ok {
				t.Errorf("received %v", e)
			}
		}}
		lc := sctpnet.ListenConfig{Config: config}
		ln, err := lc.Listen(t.Context(), "sctp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		d := sctpnet.Dialer{Config: config}
		client, err := d.Dial("sctp4", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		// All events come before the end of the association is read.
		if err := server.(*sctpnet.Conn).Shutdown(); err != nil {
			t.Fatal(err)
		}
		for _, c := range []io.ReadCloser{client, server} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("Read: %v", err)
			}
			c.Close()
		}
	})
}
