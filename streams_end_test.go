package sctpnet_test

import (
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestEndWithManyStreams ends an association on which many streams wait, in
// every way: all wake, with the right errors, and no goroutine is left.
func TestEndWithManyStreams(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		reset := []error{syscall.ECONNRESET}
		closed := []error{net.ErrClosed}
		cannotWrite := []error{syscall.ECONNRESET, syscall.EPIPE, syscall.ESHUTDOWN}
		for _, tt := range []struct {
			name        string
			writing     bool // there are Writes that wait
			end         func(c, peer *sctpnet.Conn) error
			read, write []error // nil for io.EOF; write is also what later ones give
		}{
			{"Close", true, func(c, _ *sctpnet.Conn) error { return c.Close() }, closed, closed},
			{"Abort", true, func(c, _ *sctpnet.Conn) error { return c.Abort() }, closed, closed},
			{"peer's Abort", true, func(_, peer *sctpnet.Conn) error { return peer.Abort() }, reset, cannotWrite},
			{"peer's Close with data", true, func(_, peer *sctpnet.Conn) error { return peer.Close() }, reset, cannotWrite},
			{"peer's Close", false, func(_, peer *sctpnet.Conn) error { return peer.Close() }, nil, cannotWrite},
			{"peer's Shutdown", false, func(_, peer *sctpnet.Conn) error { return peer.Shutdown() }, nil, cannotWrite},
			{"Shutdown", false, func(c, _ *sctpnet.Conn) error { return c.Shutdown() }, nil, cannotWrite},
		} {
			for _, accepted := range []bool{false, true} {
				name := tt.name
				if accepted {
					name += ", accepted"
				}
				t.Run(name, func(t *testing.T) {
					before := runtime.NumGoroutine()
					c, peer := pipeOf(t, network, 500)
					if accepted {
						c, peer = peer, c
					}
					watchdog(t, func() {
						const n = 200
						var streams []net.Conn
						for range n {
							s, _ := streamPair(t, c, peer)
							streams = append(streams, s)
						}
						if tt.writing {
							fill(t, streams[0])
						}
						streams = append(streams, c)
						type calls struct{ read, write *conformance.Call }
						var all []calls
						for _, s := range streams {
							var cs calls
							cs.read = conformance.Start(t, func() (int, error) { return s.Read(make([]byte, 1)) })
							if tt.writing {
								cs.write = conformance.Start(t, func() (int, error) { return s.Write(ballast()) })
							}
							all = append(all, cs)
						}
						accepts := startAccept(t, t.Context(), c, 3)
						for _, cs := range all[n-1:] {
							cs.read.Waits()
							if tt.writing {
								cs.write.Waits()
							}
						}
						if err := tt.end(c, peer); err != nil {
							t.Fatal(err)
						}
						wantRead := func(what string, n int, err error) {
							t.Helper()
							if n != 0 {
								t.Errorf("%s returned %d bytes", what, n)
							}
							if tt.read != nil {
								wantError(t, what, err, tt.read...)
							} else if err != io.EOF {
								t.Errorf("%s: %v, want EOF", what, err)
							}
						}
						for i, cs := range all {
							n, err := cs.read.Result()
							wantRead("waiting Read", n, err)
							if tt.writing {
								_, err := cs.write.Result()
								wantError(t, "waiting Write", err, tt.write...)
							}
							for range 2 {
								n, err = streams[i].Read(make([]byte, 1))
								wantRead("Read", n, err)
								_, err = streams[i].Write([]byte("x"))
								wantError(t, "Write", err, tt.write...)
							}
							if t.Failed() {
								t.Fatalf("call %d of %d", i, len(all))
							}
						}
						for _, call := range accepts {
							_, err := call.Result()
							if tt.read == nil {
								wantError(t, "waiting AcceptStream", err, io.EOF)
							} else {
								wantError(t, "waiting AcceptStream", err, tt.read...)
							}
						}
						_, err := c.OpenStream()
						if err == nil {
							t.Error("OpenStream succeeds")
						}
						// Streams can still be closed, in any order with the Conn.
						for _, s := range streams[:n/2] {
							if err := s.Close(); err != nil {
								t.Errorf("Close: %v", err)
							}
						}
						if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
							t.Errorf("Close: %v", err)
						}
						peer.Close()
						conformance.WaitFor(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before+1 }) // the watchdog
					})
				})
			}
		}
	})
}

// TestReadAfterConnClose closes the Conn with something left to read on a
// stream: it is closed all the same, and the peer is reset.
func TestReadAfterConnClose(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			c, s := streamPair(t, client, server)
			other, otherPeer := streamPair(t, client, server)
			write(t, s, "not read")
			write(t, server, "nor this")
			exchange(t, other, otherPeer) // so that it has arrived
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
			for _, r := range []net.Conn{c, other, client} {
				_, err := r.Read(make([]byte, 10))
				wantError(t, "Read", err, net.ErrClosed)
				_, err = r.Write([]byte("x"))
				wantError(t, "Write", err, net.ErrClosed)
			}
			for _, r := range []net.Conn{s, otherPeer, server} {
				_, err := r.Read(make([]byte, 10))
				wantError(t, "the peer's Read", err, syscall.ECONNRESET)
			}
		})
	})
}

// TestDataBeforeEnd ends the association with data on the way: it can be read,
// on all streams, before the end.
func TestDataBeforeEnd(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		const n = 25
		for _, tt := range []struct {
			name string
			end  func(c *sctpnet.Conn) error
		}{
			{"Close", (*sctpnet.Conn).Close},
			{"Shutdown", (*sctpnet.Conn).Shutdown},
		} {
			t.Run(tt.name, func(t *testing.T) {
				client, server := pipe(t, network, "127.0.0.1:0")
				watchdog(t, func() {
					var readers []net.Conn
					for i := range n {
						c, s := streamPair(t, client, server)
						write(t, c, string(ballast()[:1+i*1000]))
						readers = append(readers, s)
					}
					if err := tt.end(client); err != nil {
						t.Fatal(err)
					}
					for i, s := range readers {
						wantBytes(t, s, ballast()[:1+i*1000])
						wantEOF(t, s)
					}
				})
			})
		}
	})
}
