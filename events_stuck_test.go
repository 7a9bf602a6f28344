package sctpnet_test

import (
	"context"
	"errors"
	"io"
	"syscall"
	"testing"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestEndWhileOnEventRuns has the peer end the association while OnEvent does not
// return. Waiting calls learn of it all the same.
func TestEndWhileOnEventRuns(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			name string
			end  func(c *sctpnet.Conn) error
			want error
		}{
			{"Close", (*sctpnet.Conn).Close, io.EOF},
			{"Abort", (*sctpnet.Conn).Abort, syscall.ECONNRESET},
		} {
			t.Run(tt.name, func(t *testing.T) {
				needNetwork(t, network)
				running, hold := make(chan struct{}, 100), make(chan struct{})
				lc := sctpnet.ListenConfig{Config: sctpnet.Config{OnEvent: func(*sctpnet.Conn, sctpnet.Event) {
					running <- struct{}{}
					<-hold
				}}}
				ln, err := lc.Listen(t.Context(), network, "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				client := dial(t, nil, network, ln.Addr().String())
				server := accept(t, ln)
				watchdog(t, func() {
					defer close(hold)
					s := claim(t, server, 3)
					<-running
					calls := map[string]*conformance.Call{
						"Conn.Read":   conformance.Start(t, func() (int, error) { return server.Read(make([]byte, 10)) }),
						"Stream.Read": conformance.Start(t, func() (int, error) { return s.Read(make([]byte, 10)) }),
						"AcceptStream": conformance.Start(t, func() (int, error) {
							_, err := server.AcceptStream(context.Background())
							return 0, err
						}),
					}
					for _, call := range calls {
						call.Waits()
					}
					if err := tt.end(client); err != nil {
						t.Fatal(err)
					}
					for name, call := range calls {
						_, err := call.Result()
						if !errors.Is(err, tt.want) {
							t.Errorf("%s: %v, want %v", name, err, tt.want)
						}
					}
				})
			})
		}
	})
}
