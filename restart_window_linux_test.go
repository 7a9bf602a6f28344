package sctpnet_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestRestartWithFullWindow has a peer vanish that has filled the window of an
// association which nobody reads, and dial again: from another port, and from the same
// one. No dial waits for a reader, and each life reads its own bytes.
func TestRestartWithFullWindow(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		watchdog(t, func() {
			p, ln := newCrasherOn(t, network, sctpnet.ListenConfig{Config: sctpnet.Config{ReadBuffer: 64 << 10}})
			p.dialer.Config.WriteBuffer = 256 << 10
			client := p.dial(t)
			s := accept(t, ln)
			n := fillWindow(t, client)

			// Another association, beside the one that is stuck.
			other := p.ns.dialOn(t, network, sctpnet.Dialer{}, p.server)
			exchange(t, other, accept(t, ln))

			p.crash(t, client)
			type result struct {
				data []byte
				err  error
			}
			old := make(chan result, 1)
			readOld := func() {
				b, err := io.ReadAll(s)
				old <- result{b, err}
			}
			dial := func() (c net.Conn, err error) {
				p.ns.do(t, func() error {
					c, err = p.dialer.Dial(network, p.server)
					return nil
				})
				return c, err
			}
			again, err := dial()
			if err == nil {
				go readOld()
			} else {
				// Linux says that the new life has no window either, and takes the same
				// of a peer for an error. Once somebody reads there is one.
				if overUDP(network) || !errors.Is(err, syscall.ECONNREFUSED) {
					t.Fatal(err)
				}
				go readOld()
				eventually(t, "a dial that succeeds", func() bool {
					again, err = dial()
					return err == nil
				})
			}
			defer again.Close()
			write(t, again, "new life")
			if r := <-old; len(r.data) > n || bytes.ContainsRune(r.data, 'n') || !errors.Is(r.err, syscall.ECONNRESET) {
				t.Errorf("the old life reads %d bytes of %d and %v; want ECONNRESET", len(r.data), n, r.err)
			}
			c := accept(t, ln)
			wantBytes(t, c, []byte("new life"))
			exchange(t, again, c)
		})
	})
}
