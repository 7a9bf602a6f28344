package sctpnet_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestHalfClose ends one direction after the other: all data comes first, and
// what is not ended goes on.
func TestHalfClose(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, size := range []int{0, 1, 1 << 20} {
			for _, accepted := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d bytes, accepted %t", size, accepted), func(t *testing.T) {
					c1, c2 := pipe(t, network, "127.0.0.1:0")
					if accepted {
						c1, c2 = c2, c1
					}
					watchdog(t, func() {
						other1, other2 := streamPair(t, c1, c2)
						s1, s2 := streamPair(t, c1, c2)
						for _, dir := range [][2]*sctpnet.Stream{{s1, s2}, {s2, s1}} {
							from, to := dir[0], dir[1]
							w := conformance.Start(t, func() (int, error) {
								n, err := from.Write(ballast()[:size])
								return n, errors.Join(err, from.CloseWrite())
							})
							wantBytes(t, to, ballast()[:size])
							wantEOF(t, to)
							if n, err := w.Result(); n != size || err != nil {
								t.Errorf("Write and CloseWrite returned %d, %v", n, err)
							}
							for range 3 {
								n, err := from.Write([]byte("x"))
								if n != 0 {
									t.Errorf("Write returned %d after CloseWrite", n)
								}
								wantError(t, "Write after CloseWrite", err, syscall.EPIPE)
								_, err = from.WriteMsg([]byte("x"), sctpnet.MsgInfo{})
								wantError(t, "WriteMsg after CloseWrite", err, syscall.EPIPE)
							}
							if err := from.CloseWrite(); err != nil {
								t.Errorf("a second CloseWrite: %v", err)
							}
							exchange(t, other1, other2)
						}
						if err := errors.Join(s1.Close(), s2.Close()); err != nil {
							t.Error(err)
						}
						exchange(t, claim(t, c2, s1.ID()), claim(t, c1, s1.ID()))
					})
				})
			}
		}
	})
}

// TestCloseWriteWhileHeldBack half-closes with data on the way that nobody
// reads yet.
func TestCloseWriteWhileHeldBack(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			name  string
			close func(s *sctpnet.Stream) error
		}{
			{"CloseWrite", (*sctpnet.Stream).CloseWrite},
			{"Close", (*sctpnet.Stream).Close},
		} {
			t.Run(tt.name, func(t *testing.T) {
				client, server := pipe(t, network, "127.0.0.1:0")
				watchdog(t, func() {
					c, s := streamPair(t, client, server)
					n := fill(t, c)
					start := time.Now()
					if err := tt.close(c); err != nil {
						t.Fatal(err)
					}
					if took := time.Since(start); took > atOnce {
						t.Errorf("took %v", took)
					}
					wantBytes(t, s, ballast()[:n])
					wantEOF(t, s)
				})
			})
		}
	})
}

// TestCloseWriteDuringWrite ends a Write that waits. What it has accepted
// arrives.
func TestCloseWriteDuringWrite(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			c, s := streamPair(t, client, server)
			sent := fill(t, c)
			w := conformance.Start(t, func() (int, error) { return c.Write(ballast()[sent:]) })
			w.Waits()
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			n, err := w.Result()
			wantError(t, "waiting Write", err, syscall.EPIPE)
			wantBytes(t, s, ballast()[:sent+n])
			wantEOF(t, s)
			write(t, s, "answer")
			wantBytes(t, c, []byte("answer"))
		})
	})
}

// TestCloseRead ends reading: what waits sees the end, and writing goes on.
func TestCloseRead(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			c, s := streamPair(t, client, server)
			write(t, s, "not read")
			read := conformance.Start(t, func() (int, error) {
				if _, err := io.ReadFull(c, make([]byte, 8)); err != nil {
					return 0, err
				}
				return c.Read(make([]byte, 1))
			})
			read.Waits()
			if err := c.CloseRead(); err != nil {
				t.Fatal(err)
			}
			if n, err := read.Result(); n != 0 || err != io.EOF {
				t.Errorf("waiting Read returned %d, %v; want 0, EOF", n, err)
			}
			wantEOF(t, c)
			if _, _, err := c.ReadMsg(make([]byte, 1)); err != io.EOF {
				t.Errorf("ReadMsg returned %v, want EOF", err)
			}
			write(t, c, "goes on")
			wantBytes(t, s, []byte("goes on"))
			if err := c.CloseRead(); err != nil {
				t.Errorf("a second CloseRead: %v", err)
			}
			c.Close()
			wantError(t, "CloseRead after Close", c.CloseRead(), net.ErrClosed)
			wantError(t, "CloseWrite after Close", c.CloseWrite(), net.ErrClosed)
			wantError(t, "a second Close", c.Close(), net.ErrClosed)
		})
	})
}

// TestWriteToClosed writes on and on to a peer that has closed the stream: Write
// fails in the end as on a closed connection, whether it is waiting or not, and
// other streams go on. The number can be used again.
func TestWriteToClosed(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			name  string
			size  int           // of a Write
			pause time.Duration // between two
		}{
			{"now and then", 1000, time.Millisecond},
			{"small", 1, 0},
			{"large", 16 << 20, 0},
		} {
			for _, accepted := range []bool{false, true} {
				for _, halfClosed := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s, accepted %t, half-closed before %t", tt.name, accepted, halfClosed), func(t *testing.T) {
						c1, c2 := pipe(t, network, "127.0.0.1:0")
						if accepted {
							c1, c2 = c2, c1
						}
						watchdog(t, func() {
							other1, other2 := streamPair(t, c1, c2)
							s1, s2 := streamPair(t, c1, c2)
							write(t, s1, "begin")
							wantBytes(t, s2, []byte("begin"))
							if halfClosed {
								if err := s2.CloseWrite(); err != nil {
									t.Fatal(err)
								}
								wantEOF(t, s1)
							}
							w := startWriting(t, s1, ballast()[:tt.size], tt.pause)
							if err := s2.Close(); err != nil {
								t.Fatal(err)
							}
							start := time.Now()
							_, err := w.Result()
							wantError(t, "Write", err, syscall.EPIPE)
							if took := time.Since(start); took > 5*time.Second*conformance.Slowness {
								t.Errorf("took %v to fail", took)
							}
							_, err = s1.Write([]byte("x"))
							wantError(t, "Write", err, syscall.EPIPE)
							wantEOF(t, s1)
							exchange(t, other1, other2)

							s1.Close()
							s1, s2 = claim(t, c1, s1.ID()), claim(t, c2, s1.ID())
							exchange(t, s1, s2)
							exchange(t, s2, s1)
						})
					})
				}
			}
		}
	})
}

// startWriting writes b again and again, until that fails.
func startWriting(t *testing.T, c net.Conn, b []byte, pause time.Duration) *conformance.Call {
	return conformance.Start(t, func() (int, error) {
		for {
			if n, err := c.Write(b); err != nil {
				return n, err
			}
			time.Sleep(pause)
		}
	})
}

// TestWriteAfterPeerCloseRead writes to a peer that has ended its reading: what is written
// is dropped and holds nothing up, and the other direction goes on.
func TestWriteAfterPeerCloseRead(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			other1, other2 := streamPair(t, client, server)
			c, s := streamPair(t, client, server)
			if err := s.CloseRead(); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Write(ballast()); n != len(ballast()) || err != nil {
				t.Errorf("Write returned %d, %v", n, err)
			}
			exchange(t, other1, other2)
			write(t, s, "answer")
			wantBytes(t, c, []byte("answer"))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			_, err := startWriting(t, c, []byte("x"), 0).Result()
			wantError(t, "Write", err, syscall.EPIPE)
		})
	})
}

// TestStreamReuse has streams closed by one side while the other still writes,
// so that the next use of each number soon follows: nothing of one may get into
// the next.
func TestStreamReuse(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		const workers = 5
		client, server := pipeOf(t, network, 16)
		use := func(mark byte) error {
			c, s, err := openStream(client, server)
			if err != nil {
				return err
			}
			if mark%2 == 0 {
				c, s = s, c
			}
			writing := startWriting(t, c, []byte{mark}, time.Millisecond)
			for range 3 {
				var b [1]byte
				if _, err := s.Read(b[:]); err != nil || b[0] != mark {
					return fmt.Errorf("read %d, %v; want %d", b[0], err, mark)
				}
			}
			if err := s.Close(); err != nil {
				return err
			}
			if _, err := writing.Result(); !errors.Is(err, syscall.EPIPE) {
				return fmt.Errorf("Write: %w, want EPIPE", err)
			}
			return c.Close()
		}
		watchdog(t, func() {
			var fs []func() error
			for worker := range workers {
				fs = append(fs, func() error {
					for i := range max(3, 15/conformance.Slowness) {
						if err := use(byte(i*workers + worker)); err != nil {
							return err
						}
					}
					return nil
				})
			}
			together(t, []*sctpnet.Conn{client, server}, fs...)
		})
	})
}

// TestStreamClosesOnlyItself closes a stream whose Read and Write wait, next to
// another on which the same is the case.
func TestStreamClosesOnlyItself(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			a, _ := streamPair(t, client, server)
			b, bPeer := streamPair(t, client, server)
			fill(t, unclaimed{client, 50})
			start := func(c net.Conn, data string) (read, write *conformance.Call) {
				read = conformance.Start(t, func() (int, error) { return c.Read(make([]byte, 10)) })
				write = conformance.Start(t, func() (int, error) { return c.Write([]byte(data)) })
				read.Waits()
				write.Waits()
				return read, write
			}
			aRead, aWrite := start(a, "a")
			bRead, bWrite := start(b, "b")
			plainRead, plainWrite := start(client, "plain")
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			_, err := aRead.Result()
			wantError(t, "Read", err, net.ErrClosed)
			_, err = aWrite.Result()
			wantError(t, "Write", err, net.ErrClosed)
			for _, call := range []*conformance.Call{bRead, bWrite, plainRead, plainWrite} {
				call.Waits()
			}
			// They go on as if nothing had been.
			go acceptStream(t, server).Close() // 60
			wantBytes(t, bPeer, []byte("b"))
			if n, err := bWrite.Result(); n != 1 || err != nil {
				t.Errorf("Write returned %d, %v", n, err)
			}
			write(t, bPeer, "answer")
			if n, err := bRead.Result(); n != 6 || err != nil {
				t.Errorf("Read returned %d, %v", n, err)
			}
			wantBytes(t, server, []byte("plain"))
			if n, err := plainWrite.Result(); n != 5 || err != nil {
				t.Errorf("Write returned %d, %v", n, err)
			}
			write(t, server, "answer")
			if n, err := plainRead.Result(); n != 6 || err != nil {
				t.Errorf("Read returned %d, %v", n, err)
			}
		})
	})
}

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
						eventually(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before+1 }) // the watchdog
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

// TestCloseWriteAfterEndBeforeStreams has the peer write and close before this end asks
// for streams. That says nothing about what the peer could do.
func TestCloseWriteAfterEndBeforeStreams(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		client := dial(t, nil, network, ln.Addr().String())
		watchdog(t, func() {
			if _, err := client.WriteMsg([]byte("hello"), sctpnet.MsgInfo{Stream: 2}); err != nil {
				t.Fatal(err)
			}
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
			server := accept(t, ln)
			for {
				if _, err := server.Status(); err != nil {
					break // the association has ended
				}
				time.Sleep(ms)
			}
			s, err := server.AcceptStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(s); string(b) != "hello" || err != nil {
				t.Errorf("read %q, %v", b, err)
			}
			if err := s.CloseWrite(); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	})
}

// TestAcceptStreamSaysThatItEnded looks at the error after a graceful end.
func TestAcceptStreamSaysThatItEnded(t *testing.T) {
	watchdog(t, func() {
		ln, err := sctpnet.Listen("sctp4+udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		client, err := sctpnet.Dial("sctp4+udp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		client.Close()
		_, err = server.(*sctpnet.Conn).AcceptStream(t.Context())
		if _, ok := errors.AsType[*net.OpError](err); !ok || !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "the association has ended: EOF") {
			t.Errorf("AcceptStream: %v", err)
		}
	})
}
