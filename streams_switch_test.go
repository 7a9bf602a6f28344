package sctpnet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// The first stream that is claimed changes how a Conn reads and writes. What
// is under way must not notice.

// TestClaimWhileReading claims a stream while the Conn's Reads wait.
func TestClaimWhileReading(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			var calls []*conformance.Call
			for range 3 {
				calls = append(calls, conformance.Start(t, func() (int, error) {
					n, _, err := client.ReadStream(make([]byte, 10))
					return n, err
				}))
			}
			for _, call := range calls {
				call.Waits()
			}
			c, s := streamPair(t, client, server)
			exchange(t, s, c)
			for _, call := range calls {
				call.Waits()
			}
			for i := range calls {
				write(t, server, "abc"[:i+1])
			}
			sum := 0 // which of them gets what is open
			for _, call := range calls {
				n, err := call.Result()
				if err != nil {
					t.Error(err)
				}
				sum += n
			}
			if sum != 1+2+3 {
				t.Errorf("read %d bytes, want 6", sum)
			}
		})
	})
}

// TestClaimWhileWriting claims a stream while two large Writes of the Conn and
// a message wait: their bytes arrive all, and do not mix.
func TestClaimWhileWriting(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, claimer := range []string{"the writer", "the reader", "both"} {
			t.Run(claimer, func(t *testing.T) {
				client, server := smallPipe(t, network)
				watchdog(t, func() {
					const size = 4 << 20
					blocks := [][]byte{
						bytes.Repeat([]byte("a"), size),
						bytes.Repeat([]byte("b"), size),
						bytes.Repeat([]byte("c"), 100_000),
					}
					writers := []*conformance.Call{
						conformance.Start(t, func() (int, error) { return client.Write(blocks[0]) }),
						conformance.Start(t, func() (int, error) { return client.Write(blocks[1]) }),
						conformance.Start(t, func() (int, error) { return client.WriteMsg(blocks[2], sctpnet.MsgInfo{}) }),
					}
					for _, w := range writers {
						w.Waits()
					}
					time.Sleep(20 * time.Millisecond) // for as much to be sent as is at all
					if claimer != "the reader" {
						claim(t, client, 5)
					}
					for _, w := range writers {
						w.Waits()
					}
					if claimer != "the writer" {
						claim(t, server, 5)
					}
					got := make([]byte, 2*size+100_000)
					if n, err := io.ReadFull(server, got); err != nil {
						t.Fatalf("read %d bytes, %v", n, err)
					}
					for len(got) > 0 {
						block := blocks[got[0]-'a']
						if !bytes.HasPrefix(got, block) {
							t.Fatal("blocks have mixed")
						}
						got = got[len(block):]
					}
					for i, w := range writers {
						if n, err := w.Result(); n != len(blocks[i]) || err != nil {
							t.Errorf("Write returned %d, %v; want %d, nil", n, err, len(blocks[i]))
						}
					}
					exchange(t, client, server)
				})
			})
		}
	})
}

// TestClaimWithinMessage claims a stream when a part of a message was read.
func TestClaimWithinMessage(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			if _, err := client.WriteMsg([]byte("abcdef"), sctpnet.MsgInfo{PPID: 5}); err != nil {
				t.Fatal(err)
			}
			var b [100]byte
			if n, info, err := server.ReadMsg(b[:2]); string(b[:n]) != "ab" || !info.More || err != nil {
				t.Fatalf("read %q, %+v, %v", b[:n], info, err)
			}
			c, s := streamPair(t, client, server)
			exchange(t, c, s)
			if n, info, err := server.ReadMsg(b[:3]); string(b[:n]) != "cde" || !info.More || info.PPID != 5 || err != nil {
				t.Fatalf("read %q, %+v, %v", b[:n], info, err)
			}
			if n, info, err := server.ReadMsg(b[:]); string(b[:n]) != "f" || info.More || err != nil {
				t.Fatalf("read %q, %+v, %v", b[:n], info, err)
			}
			exchange(t, client, server)
		})
	})
}

// TestClaimAtAnyTime claims a stream at some time while messages come. The first
// one is larger than the window, so the kernel hands it over in pieces, and
// slowly. The messages stay whole.
func TestClaimAtAnyTime(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for range max(3, 10/conformance.Slowness) {
			client, server := smallPipe(t, network)
			watchdog(t, func() {
				sizes := []int{client.MaxMessageSize(), 100_000, 1}
				together(t, []*sctpnet.Conn{client, server}, func() error {
					for i, size := range sizes {
						if _, err := client.WriteMsg(bytes.Repeat([]byte{byte(i)}, size), sctpnet.MsgInfo{}); err != nil {
							return err
						}
					}
					return nil
				}, func() error {
					buf := make([]byte, sizes[0])
					for i, size := range sizes {
						n, info, err := server.ReadMsg(buf)
						if err != nil || n != size || info.More || buf[0] != byte(i) || buf[n-1] != byte(i) {
							return fmt.Errorf("message %d of %d bytes: read %d, More %t, %v", i, size, n, info.More, err)
						}
					}
					return nil
				}, func() error {
					time.Sleep(rand.N(3 * time.Millisecond * conformance.Slowness))
					for _, c := range []*sctpnet.Conn{client, server} {
						if _, err := c.Stream(3); err != nil {
							return err
						}
					}
					return nil
				})
			})
			client.Close()
			server.Close()
		}
	})
}

// TestClaimKeepsDeadlines sets deadlines before a stream is claimed: they count
// after it.
func TestClaimKeepsDeadlines(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		const d = 2 * time.Second // by when the calls wait, on a busy machine too
		calls := []struct {
			name string
			set  func(c *sctpnet.Conn, at time.Time) error
			call func(c *sctpnet.Conn) (int, error)
		}{
			{"Read", (*sctpnet.Conn).SetReadDeadline, func(c *sctpnet.Conn) (int, error) { return c.Read(make([]byte, 1)) }},
			{"Write", (*sctpnet.Conn).SetWriteDeadline, func(c *sctpnet.Conn) (int, error) { return c.Write(ballast()) }},
		}
		for _, tt := range calls {
			t.Run(tt.name, func(t *testing.T) {
				watchdog(t, func() {
					waiting, _ := smallPipe(t, network)
					later, _ := smallPipe(t, network)
					past, _ := smallPipe(t, network)
					none, peer := smallPipe(t, network)
					fill(t, none)
					start := time.Now()
					tt.set(waiting, start.Add(d))
					tt.set(later, start.Add(d))
					tt.set(past, start)
					tt.set(none, start.Add(d))
					tt.set(none, time.Time{})
					call := conformance.Start(t, func() (int, error) { return tt.call(waiting) })
					forever := conformance.Start(t, func() (int, error) { return tt.call(none) })
					call.Waits()
					forever.Waits()
					for _, c := range []*sctpnet.Conn{waiting, later, past, none} {
						claim(t, c, 3)
					}
					_, err := tt.call(past)
					if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took > atOnce {
						t.Errorf("past deadline: %v after %v", err, took)
					}
					_, err = call.Result()
					wantDeadline(t, "the call that waited", err, start, d)
					_, err = tt.call(later)
					wantDeadline(t, "the call made later", err, start, d)
					forever.Waits()
					peer.Abort()
					forever.Result()
				})
			})
		}
	})
}

// TestClaimAfterClose claims streams of a Conn that is closed.
func TestClaimAfterClose(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, muxed := range []bool{false, true} {
			client, _ := pipe(t, network, "127.0.0.1:0")
			if muxed {
				claim(t, client, 4)
			}
			client.Close()
			watchdog(t, func() {
				_, err := client.Stream(3)
				wantError(t, "Stream", err, net.ErrClosed)
				_, err = client.OpenStream()
				wantError(t, "OpenStream", err, net.ErrClosed)
				_, err = client.AcceptStream(t.Context())
				wantError(t, "AcceptStream", err, net.ErrClosed)
			})
		}
	})
}

// TestSwitchAfterCutWrite has the first stream come into use after a Write that
// its deadline has cut short, and that nobody goes on with.
func TestSwitchAfterCutWrite(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		c, s := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			much := ballast() // takes its time to make
			c.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := c.Write(much)
			if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("Write: %d, %v", n, err)
			}
			c.SetWriteDeadline(time.Time{})
			s1, err := c.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			wantBytes(t, s, ballast()[:n])
			together(t, []*sctpnet.Conn{c, s},
				func() error { _, err := c.Write([]byte("x")); return err },
				func() error { wantBytes(t, s, []byte("x")); return nil })
			together(t, []*sctpnet.Conn{c, s},
				func() error { _, err := s1.Write(ballast()[:100_000]); return err },
				func() error {
					s2, err := s.AcceptStream(t.Context())
					if err == nil {
						wantBytes(t, s2, ballast()[:100_000])
					}
					return err
				})
		})
	})
}
