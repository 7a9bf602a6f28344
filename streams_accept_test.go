package sctpnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// startAccept calls AcceptStream n times at the same time.
func startAccept(t *testing.T, ctx context.Context, c *sctpnet.Conn, n int) []*conformance.Call {
	var calls []*conformance.Call
	for range n {
		calls = append(calls, conformance.Start(t, func() (int, error) {
			s, err := c.AcceptStream(ctx)
			return int(s.ID()), err
		}))
	}
	for _, call := range calls {
		call.Waits()
	}
	return calls
}

// TestAcceptStreamWaiting has several goroutines wait for streams: each gets
// one.
func TestAcceptStreamWaiting(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		const n = 5
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			calls := startAccept(t, t.Context(), server, n)
			for range n {
				s, err := client.OpenStream()
				if err != nil {
					t.Fatal(err)
				}
				write(t, s, "x")
			}
			seen := make(map[int]bool)
			for _, call := range calls {
				id, err := call.Result()
				if err != nil || seen[id] {
					t.Errorf("stream %d: %v", id, err)
				}
				seen[id] = true
			}
		})
	})
}

// TestAcceptStreamContext ends AcceptStream by its context. Nothing is lost by
// it.
func TestAcceptStreamContext(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			other := startAccept(t, t.Context(), server, 1)[0]

			ctx, cancel := context.WithCancel(t.Context())
			calls := startAccept(t, ctx, server, 2)
			cancel()
			for _, call := range calls {
				_, err := call.Result()
				wantError(t, "AcceptStream", err, context.Canceled)
			}
			_, err := server.AcceptStream(ctx)
			wantError(t, "AcceptStream", err, context.Canceled)

			start := time.Now()
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err = server.AcceptStream(ctx)
			wantError(t, "AcceptStream", err, context.DeadlineExceeded)
			if took := time.Since(start); took < 50*time.Millisecond || took > 50*time.Millisecond+atOnce {
				t.Errorf("took %v, want 50ms", took)
			}

			for range 2 {
				s, err := client.OpenStream()
				if err != nil {
					t.Fatal(err)
				}
				write(t, s, "x")
			}
			if _, err := other.Result(); err != nil {
				t.Error(err)
			}
			acceptStream(t, server)
		})
	})
}

// TestAcceptStreamEnd ends the association: what has arrived can still be
// accepted, then AcceptStream says why there is no more, as do those that wait.
func TestAcceptStreamEnd(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			name string
			end  func(client, server *sctpnet.Conn) error
			want error
		}{
			{"peer's Close", func(c, s *sctpnet.Conn) error { return c.Close() }, io.EOF},
			{"peer's Shutdown", func(c, s *sctpnet.Conn) error { return c.Shutdown() }, io.EOF},
			{"Shutdown", func(c, s *sctpnet.Conn) error { return s.Shutdown() }, io.EOF},
			{"peer's Abort", func(c, s *sctpnet.Conn) error { return c.Abort() }, syscall.ECONNRESET},
			{"Close", func(c, s *sctpnet.Conn) error { return s.Close() }, net.ErrClosed},
			{"Abort", func(c, s *sctpnet.Conn) error { return s.Abort() }, net.ErrClosed},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Run("waiting", func(t *testing.T) {
					client, server := pipe(t, network, "127.0.0.1:0")
					watchdog(t, func() {
						calls := startAccept(t, t.Context(), server, 3)
						if err := tt.end(client, server); err != nil {
							t.Fatal(err)
						}
						for _, call := range calls {
							_, err := call.Result()
							wantError(t, "waiting AcceptStream", err, tt.want)
						}
						for range 3 {
							_, err := server.AcceptStream(t.Context())
							wantError(t, "AcceptStream", err, tt.want)
						}
					})
				})
				t.Run("with streams", func(t *testing.T) {
					client, server := pipe(t, network, "127.0.0.1:0")
					watchdog(t, func() {
						ids := []uint16{4, 2, 9}
						for _, id := range ids {
							write(t, claim(t, client, id), "x")
							arrived(t, client) // later ones must not pass it
						}
						acceptStream(t, server)
						if err := tt.end(client, server); err != nil {
							t.Fatal(err)
						}
						for _, id := range ids[1:] {
							if tt.want == net.ErrClosed {
								break // everything is
							}
							if s := acceptStream(t, server); s.ID() != id {
								t.Errorf("accepted stream %d, want %d", s.ID(), id)
							} else {
								wantBytes(t, s, []byte("x"))
							}
						}
						_, err := server.AcceptStream(t.Context())
						wantError(t, "AcceptStream", err, tt.want)
					})
				})
			})
		}
	})
}

// TestAcceptStreamKept does all that a peer can do with streams before anybody
// accepts: it is kept.
func TestAcceptStreamKept(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			name  string
			data  string
			end   func(s *sctpnet.Stream) error // nil for not at all
			delay time.Duration                 // until somebody accepts
		}{
			{"written, at once", "data", nil, 0},
			{"written", "data", nil, 20 * time.Millisecond},
			{"written and half-closed, at once", "data", (*sctpnet.Stream).CloseWrite, 0},
			{"written and half-closed", "data", (*sctpnet.Stream).CloseWrite, 20 * time.Millisecond},
			{"written and closed, at once", "data", (*sctpnet.Stream).Close, 0},
			{"written and closed", "data", (*sctpnet.Stream).Close, 20 * time.Millisecond},
			{"closed, at once", "", (*sctpnet.Stream).Close, 0},
			{"closed", "", (*sctpnet.Stream).Close, 20 * time.Millisecond},
		} {
			t.Run(tt.name, func(t *testing.T) {
				const n = 20
				client, server := pipe(t, network, "127.0.0.1:0")
				watchdog(t, func() {
					opened := make(map[uint16]*sctpnet.Stream)
					for range n {
						s, err := client.OpenStream()
						if err != nil {
							t.Fatal(err)
						}
						write(t, s, tt.data)
						if tt.end != nil {
							if err := tt.end(s); err != nil {
								t.Fatal(err)
							}
						}
						opened[s.ID()] = s
					}
					time.Sleep(tt.delay)
					for range n {
						s := acceptStream(t, server)
						c := opened[s.ID()]
						if c == nil {
							t.Fatalf("accepted stream %d", s.ID())
						}
						delete(opened, s.ID())
						wantBytes(t, s, []byte(tt.data))
						if tt.end != nil {
							wantEOF(t, s)
						}
						write(t, s, "answer")
						if _, err := c.Read(nil); !errors.Is(err, net.ErrClosed) {
							wantBytes(t, c, []byte("answer"))
						}
					}
				})
			})
		}
	})
}

// TestAcceptStreamLeavesZero has streams be accepted, and the Conn be read now and
// then: stream 0 is the Conn's, whether a Read waits or not, and all others go to
// AcceptStream.
func TestAcceptStreamLeavesZero(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			writeOn := func(id uint16, data string) {
				t.Helper()
				if _, err := client.WriteStream([]byte(data), id); err != nil {
					t.Fatal(err)
				}
				arrived(t, client) // before what is on another stream
			}
			var b [10]byte
			read := conformance.Start(t, func() (int, error) { return server.Read(b[:]) })
			read.Waits()
			accept := startAccept(t, t.Context(), server, 1)[0]
			for _, id := range []uint16{4, 0, 5} {
				writeOn(id, string(rune('0'+id)))
			}
			if n, err := read.Result(); string(b[:n]) != "0" || err != nil {
				t.Errorf("read %q, %v; want stream 0's", b[:n], err)
			}
			if id, err := accept.Result(); id != 4 || err != nil {
				t.Errorf("accepted stream %d, %v; want 4", id, err)
			}
			wantBytes(t, acceptStream(t, server), []byte("5"))
			// With nobody to read, stream 0 waits for a Read.
			accept = startAccept(t, t.Context(), server, 1)[0]
			writeOn(0, "plain")
			writeOn(6, "six")
			if id, err := accept.Result(); id != 6 || err != nil {
				t.Errorf("accepted stream %d, %v; want 6", id, err)
			}
			wantBytes(t, server, []byte("plain"))
			exchange(t, client, server)
		})
	})
}

// TestAcceptStreamAfterRead has the Conn read all streams until the first
// AcceptStream, which gets what is unread of them.
func TestAcceptStreamAfterRead(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			for _, m := range []struct {
				id   uint16
				data string
			}{{4, "first"}, {4, "second"}, {0, "zero"}, {6, "third"}} {
				if _, err := client.WriteStream([]byte(m.data), m.id); err != nil {
					t.Fatal(err)
				}
				arrived(t, client) // before what is on another stream
			}
			b := make([]byte, 10)
			if n, info, err := server.ReadMsg(b); string(b[:n]) != "first" || info.Stream != 4 || err != nil {
				t.Errorf("read %q of stream %d, %v", b[:n], info.Stream, err)
			}
			wantBytes(t, acceptStream(t, server), []byte("second"))
			wantBytes(t, acceptStream(t, server), []byte("third"))
			if n, info, err := server.ReadMsg(b); string(b[:n]) != "zero" || info.Stream != 0 || err != nil {
				t.Errorf("read %q of stream %d, %v", b[:n], info.Stream, err)
			}
		})
	})
}
