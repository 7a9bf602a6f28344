package sctpnet_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestStreamDialerLastWords closes the last Stream of an association while much of
// what the peer has sent is unread, and much of what was written is not delivered.
// All that was written arrives.
func TestStreamDialerLastWords(t *testing.T) {
	for _, tt := range []struct {
		name string
		idle time.Duration // IdleTimeout
		end  func(t *testing.T, d *sctpnet.StreamDialer, s *sctpnet.Stream)
	}{
		{"no IdleTimeout", -1, func(t *testing.T, d *sctpnet.StreamDialer, s *sctpnet.Stream) {
			s.Close()
		}},
		{"CloseIdleConnections", 0, func(t *testing.T, d *sctpnet.StreamDialer, s *sctpnet.Stream) {
			s.Close()
			d.CloseIdleConnections()
		}},
		{"Close", 0, func(t *testing.T, d *sctpnet.StreamDialer, s *sctpnet.Stream) {
			s.Close()
			d.Close()
		}},
		{"Close while it ends", -1, func(t *testing.T, d *sctpnet.StreamDialer, s *sctpnet.Stream) {
			s.Close()
			d.Close()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, network string) {
				const size = 64 << 10
				lc := sctpnet.ListenConfig{Config: sctpnet.Config{
					Adaptation: sctpnet.AdaptationStreams,
					ReadBuffer: size / 2,
				}}
				ln, err := lc.Listen(context.Background(), network, "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				d := &sctpnet.StreamDialer{IdleTimeout: tt.idle}
				d.Dialer.Config = sctpnet.Config{ReadBuffer: size, WriteBuffer: 4 * size}
				defer d.Close()
				watchdog(t, func() {
					nc, err := d.Dial(network, ln.Addr().String())
					if err != nil {
						t.Fatal(err)
					}
					s := nc.(*sctpnet.Stream)
					c := accept(t, ln)
					b := make([]byte, 100)
					if n, _, err := c.ReadMsg(b); n == 0 || err != nil {
						t.Fatalf("the announcement: %d bytes, %v", n, err)
					}
					writing := conformance.Start(t, func() (n int, err error) {
						for err == nil { // what nobody reads
							_, err = c.WriteStream(ballast()[:10_000], s.ID())
						}
						return 0, err
					})
					writing.Waits()
					want := ballast()[:3*size]
					if _, err := s.Write(want); err != nil {
						t.Fatal(err)
					}
					tt.end(t, d, s)
					wantBytes(t, c, want)
					if n, err := c.Read(b); n != 0 || !errors.Is(err, io.EOF) {
						t.Errorf("and then %d bytes, %v; want EOF", n, err)
					}
					if _, err := writing.Result(); err == nil {
						t.Error("Write succeeds")
					}
				})
			})
		})
	}
}
