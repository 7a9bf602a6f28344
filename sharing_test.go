package sctpnet_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/testnet"
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

// TestClaimWhileWriting claims a stream while two large Writes of the Conn and two
// messages wait: their bytes arrive all, and do not mix.
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
						bytes.Repeat([]byte("d"), 100_000),
					}
					var writers []*conformance.Call
					for _, write := range []func() (int, error){
						func() (int, error) { return client.Write(blocks[0]) },
						func() (int, error) { return client.Write(blocks[1]) },
						func() (int, error) { return client.WriteMsg(blocks[2], sctpnet.MsgInfo{}) },
						func() (int, error) {
							n, err := client.WriteMsgs([]sctpnet.Message{{Data: blocks[3]}})
							return n * len(blocks[3]), err
						},
					} {
						w := conformance.Start(t, write)
						w.Waits() // the first two fill the window
						writers = append(writers, w)
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
					got := make([]byte, 2*size+2*100_000)
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
				t.Parallel()
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

// orderTests are the ways in which messages on many streams are exchanged. Each
// has one end send, and the other receive, count messages on each of n
// streams.
var orderTests = []struct {
	name    string
	send    func(c *sctpnet.Conn, n, count int) error
	receive func(c *sctpnet.Conn, n, count int) error
}{
	{"WriteStream and ReadMsg", sendOnConn, receiveMsgs},
	{"WriteStream and ReadStream", sendOnConn, receiveBytes},
	{"Stream and Stream", sendOnStreams, receiveOnStreams},
	{"WriteStream and Stream", sendOnConn, receiveOnStreams},
	{"Stream and ReadMsg", sendOnStreams, receiveMsgs},
	{"Stream and AcceptStream", sendOnStreams, receiveAccepted},
}

// TestOrder checks that each stream's messages arrive in the order in which
// they were sent, and unchanged, when those of many streams are mixed.
func TestOrder(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, n := range []int{10, 1000} {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				for i, tt := range orderTests {
					t.Run(tt.name, func(t *testing.T) {
						from, to := pipeOf(t, network, n)
						if i%2 != 0 {
							from, to = to, from
						}
						count := 5000 / n / min(conformance.Slowness, 5)
						watchdog(t, func() {
							together(t, []*sctpnet.Conn{from, to},
								func() error { return tt.send(from, n, count) },
								func() error { return tt.receive(to, n, count) },
							)
						})
					})
				}
			})
		}
	})
}

// streamRange calls f with each of n streams at the same time, and returns
// their first error.
func streamRange(n int, f func(id uint16) error) error {
	errs := make(chan error, n)
	for id := range n {
		go func() { errs <- f(uint16(id)) }()
	}
	for range n {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// withStreams calls f with each of the first n streams.
func withStreams(c *sctpnet.Conn, n int, f func(s *sctpnet.Stream) error) error {
	return streamRange(n, func(id uint16) error {
		s, err := c.Stream(id)
		if err != nil {
			return err
		}
		defer s.Close()
		return f(s)
	})
}

// sendOnConn has some goroutines send, each on some of the streams in turn.
func sendOnConn(c *sctpnet.Conn, n, count int) error {
	const senders = 5
	return streamRange(senders, func(id uint16) error {
		var flows []flow
		for id := int(id); id < n; id += senders {
			flows = append(flows, flow{stream: uint16(id)})
		}
		for range count {
			for i := range flows {
				if _, err := c.WriteStream(flows[i].msg(), flows[i].stream); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// newFlows returns what is to be received on n streams.
func newFlows(n int) []flow {
	fs := make([]flow, n)
	for i := range fs {
		fs[i].stream = uint16(i)
	}
	return fs
}

func receiveMsgs(c *sctpnet.Conn, n, count int) error {
	buf := make([]byte, 64<<10) // less than the largest message
	flows := newFlows(n)
	for total := 0; total < n*count; {
		k, info, err := c.ReadMsg(buf)
		if err != nil {
			return err
		}
		if err := flows[info.Stream].takeMsg(buf[:k], info.More); err != nil {
			return err
		}
		if !info.More {
			total++
		}
	}
	return nil
}

func receiveBytes(c *sctpnet.Conn, n, count int) error {
	buf := make([]byte, 1000)
	flows := newFlows(n)
	for total := 0; total < n*count; {
		k, id, err := c.ReadStream(buf)
		if err != nil {
			return err
		}
		f := &flows[id]
		if err := f.take(buf[:k]); err != nil {
			return err
		}
		if len(f.rest) == 0 { // no Read gives the bytes of two messages
			total++
		}
	}
	return nil
}

// sendOnStreams has a goroutine for each stream.
func sendOnStreams(c *sctpnet.Conn, n, count int) error {
	return withStreams(c, n, func(s *sctpnet.Stream) error {
		f := flow{stream: s.ID()}
		for f.next < count {
			if _, err := s.WriteMsg(f.msg(), sctpnet.MsgInfo{}); err != nil {
				return err
			}
		}
		return s.CloseWrite()
	})
}

func receiveOnStreams(c *sctpnet.Conn, n, count int) error {
	return withStreams(c, n, func(s *sctpnet.Stream) error { return receiveOnStream(s, count) })
}

// receiveAccepted accepts all streams but stream 0, which it claims.
func receiveAccepted(c *sctpnet.Conn, n, count int) error {
	return streamRange(n, func(id uint16) error {
		take := func() (*sctpnet.Stream, error) { return c.AcceptStream(context.Background()) }
		if id == 0 {
			take = func() (*sctpnet.Stream, error) { return c.Stream(0) }
		}
		s, err := take()
		if err != nil {
			return err
		}
		defer s.Close()
		if err := receiveOnStream(s, count); err != nil {
			return err
		}
		if n, err := s.Read(make([]byte, 1)); err != io.EOF {
			return fmt.Errorf("stream %d: read %d, %v at its end", s.ID(), n, err)
		}
		return nil
	})
}

func receiveOnStream(s *sctpnet.Stream, count int) error {
	buf := make([]byte, 2000)
	for f := (flow{stream: s.ID()}); f.next < count || len(f.rest) > 0; {
		n, info, err := s.ReadMsg(buf)
		if err != nil {
			return fmt.Errorf("stream %d: %w", s.ID(), err)
		}
		if err := f.takeMsg(buf[:n], info.More); err != nil {
			return err
		}
	}
	return nil
}

// An unclaimed is a stream that the sender has not claimed.
type unclaimed struct {
	*sctpnet.Conn
	id uint16
}

func (u unclaimed) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = u.WriteStream(p[n:min(len(p), n+1000)], u.id)
		n += k
	}
	return n, err
}

// TestUnclaimedStreamsWaitForConn sends on streams that nobody has claimed, while one that is
// claimed is read: the messages wait for a Read of the Conn.
func TestUnclaimedStreamsWaitForConn(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			c, s := streamPair(t, client, server)
			for id := uint16(20); id < 25; id++ {
				if _, err := client.WriteStream([]byte{byte(id)}, id); err != nil {
					t.Fatal(err)
				}
			}
			write(t, client, "plain")
			exchange(t, c, s)
			for id := uint16(20); id < 25; id++ {
				var b [10]byte
				n, info, err := server.ReadMsg(b[:])
				if n != 1 || b[0] != byte(id) || info.Stream != id || err != nil {
					t.Errorf("read %q on stream %d, %v; want %d", b[:n], info.Stream, err, id)
				}
			}
			wantBytes(t, server, []byte("plain"))
			// One that is claimed now gets what comes, and what is there.
			if _, err := client.WriteStream([]byte("there"), 20); err != nil {
				t.Fatal(err)
			}
			exchange(t, c, s)
			s20 := claim(t, server, 20)
			if _, err := client.WriteStream([]byte(" and comes"), 20); err != nil {
				t.Fatal(err)
			}
			wantBytes(t, s20, []byte("there and comes"))
			exchange(t, client, server)
		})
	})
}

// TestHeldBack fills a queue, and then makes room in every way that there is.
func TestHeldBack(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		readAll := func(t *testing.T, r messenger, sent []byte) { wantBytes(t, r, sent) }
		for _, tt := range []struct {
			name    string
			claimed bool // the stream, when it fills
			free    func(t *testing.T, server *sctpnet.Conn, full *sctpnet.Stream, sent []byte)
		}{
			{"Read", true, func(t *testing.T, _ *sctpnet.Conn, full *sctpnet.Stream, sent []byte) {
				readAll(t, full, sent)
			}},
			{"Close", true, func(t *testing.T, _ *sctpnet.Conn, full *sctpnet.Stream, _ []byte) {
				full.Close()
			}},
			{"CloseRead", true, func(t *testing.T, _ *sctpnet.Conn, full *sctpnet.Stream, _ []byte) {
				full.CloseRead()
			}},
			{"unclaimed, Read", false, func(t *testing.T, server *sctpnet.Conn, _ *sctpnet.Stream, sent []byte) {
				readAll(t, server, sent)
			}},
			{"unclaimed, AcceptStream", false, func(t *testing.T, server *sctpnet.Conn, _ *sctpnet.Stream, sent []byte) {
				readAll(t, acceptStream(t, server), sent)
			}},
			{"unclaimed, AcceptStream and Close", false, func(t *testing.T, server *sctpnet.Conn, _ *sctpnet.Stream, sent []byte) {
				acceptStream(t, server).Close()
			}},
			{"unclaimed, Stream", false, func(t *testing.T, server *sctpnet.Conn, _ *sctpnet.Stream, sent []byte) {
				readAll(t, claim(t, server, 40), sent)
			}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				client, server := pipe(t, network, "127.0.0.1:0")
				watchdog(t, func() {
					c, s := streamPair(t, client, server)
					exchange(t, c, s)
					var full *sctpnet.Stream
					if tt.claimed {
						full = claim(t, server, 40)
					}
					sent := ballast()[:fill(t, unclaimed{client, 40})]
					if len(sent) < 256<<10 {
						t.Errorf("only %d bytes were taken", len(sent))
					}
					// The peer is held back, on all its streams.
					waiting := conformance.Start(t, func() (int, error) { return c.Write([]byte("goes on")) })
					waiting.Waits()

					tt.free(t, server, full, sent)
					wantBytes(t, s, []byte("goes on"))
					if n, err := waiting.Result(); n != 7 || err != nil {
						t.Errorf("Write returned %d, %v; want 7, nil", n, err)
					}
					exchange(t, s, c)
				})
			})
		}
	})
}

// TestBulkLeavesRoom has streams write much to a peer that does not read: others
// can still write a little.
func TestBulkLeavesRoom(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := smallPipe(t, network)
		watchdog(t, func() {
			small, smallPeer := streamPair(t, client, server)
			const size = 4 << 20
			var writes []*conformance.Call
			var peers []io.Reader
			for range 3 {
				c, s := streamPair(t, client, server)
				peers = append(peers, s)
				writes = append(writes, conformance.Start(t, func() (int, error) { return c.Write(make([]byte, size)) }))
			}
			isFull := func() bool {
				st, err := client.Status()
				if err != nil {
					t.Fatal(err)
				}
				return st.PeerWindow < st.FragmentationPoint
			}
			// They may wait before, and the window may be full before: the peer's Mux
			// receives until its queues are full.
			for stuck := false; !stuck; stuck = isFull() {
				eventually(t, "the window to fill", isFull)
				for _, w := range writes {
					w.Waits()
				}
			}
			want := bytes.Repeat([]byte("little"), 200)
			const times = 3
			for range times {
				small.SetWriteDeadline(time.Now().Add(atOnce))
				if _, err := small.Write(want); err != nil {
					t.Fatal("beside bulk:", err)
				}
			}
			for _, s := range peers {
				go io.Copy(io.Discard, s)
			}
			got := make([]byte, len(want))
			for range times {
				if _, err := io.ReadFull(smallPeer, got); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("read %q, %v", got, err)
				}
			}
			for _, w := range writes {
				if n, err := w.Result(); n != size || err != nil {
					t.Errorf("wrote %d of %d, %v", n, size, err)
				}
			}
		})
	})
}

// TestShortMessageBesideStalledBulk has two streams send so much that their messages are
// large, and then their readers stop. Short messages of another stream find the room that
// is left for them, also in a small send buffer.
func TestShortMessageBesideStalledBulk(t *testing.T) {
	const read = 8 << 20 // of each, if the other one does not stop before
	eachEngine(t, func(t *testing.T, network string) {
		for _, size := range []int{100 << 10, 300 << 10} {
			ln := listen(t, network, "127.0.0.1:0")
			c := dial(t, &sctpnet.Dialer{Config: sctpnet.Config{WriteBuffer: size}}, network, ln.Addr().String())
			s := accept(t, ln)
			short, _ := streamPair(t, c, s)
			var sent atomic.Int64
			for range 2 {
				w, r := streamPair(t, c, s)
				go func() {
					for err := error(nil); err == nil; {
						var n int
						n, err = w.Write(ballast()[:100_000])
						sent.Add(int64(n))
					}
				}()
				go io.CopyN(io.Discard, r, read)
			}
			last := int64(-1)
			eventually(t, "a moment in which no bulk is sent", func() bool {
				time.Sleep(100 * time.Millisecond)
				before := last
				last = sent.Load()
				return last == before && last > read
			})
			short.SetWriteDeadline(time.Now().Add(30 * time.Second))
			for i := range 4 {
				if n, err := short.Write(ballast()[:1000]); err != nil {
					t.Errorf("of a send buffer of %d bytes, short message %d: %d, %v", size, i, n, err)
					break
				}
			}
			c.Abort()
			s.Abort()
		}
	})
}

// TestSmallMessagesAreFair has several streams send small messages as fast as they can. With
// one processor for both ends the kernel's reader must have its turn: if it has
// not, the window overflows and everything waits for retransmissions. With more
// processors a window fills and overflows now and then, as Linux sends a chunk
// into a window of 0, and loses it.
func TestSmallMessagesAreFair(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, streams := range []int{4, 16} {
			c, s := pipe(t, network, "127.0.0.1:0")
			const count = 20_000 / conformance.Slowness
			watchdog(t, func() {
				var fs []func() error
				for range streams {
					a, b := streamPair(t, c, s)
					fs = append(fs, func() error {
						for range count / streams {
							if _, err := a.Write(make([]byte, 64)); err != nil {
								return err
							}
						}
						return a.CloseWrite()
					}, func() error {
						n, err := io.Copy(io.Discard, b)
						if n != int64(count/streams*64) {
							t.Errorf("stream %d: %d bytes", b.ID(), n)
						}
						return err
					})
				}
				together(t, []*sctpnet.Conn{c, s}, fs...)
			})
			st, err := c.Stats()
			if err != nil {
				t.Fatal(err)
			}
			takesTurns := !overUDP(network) && runtime.GOMAXPROCS(0) == 1
			if takesTurns && st.Retransmitted > count/50 { // it was every eighth
				t.Errorf("%d streams: %d of %d messages were retransmitted", streams, st.Retransmitted, count)
			}
		}
	})
}

// TestClaimLimits claims what cannot be claimed.
func TestClaimLimits(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		c, s := pipeOf(t, network, 10)
		watchdog(t, func() {
			for _, end := range []*sctpnet.Conn{c, s} {
				claim(t, end, 0)
				claim(t, end, 9)
				for _, tt := range []struct {
					id    uint16
					words string
				}{
					{10, "10 of 10"},
					{65535, "65535 of 10"},
					{9, "stream 9 is in use"},
					{0, "stream 0 is in use"},
				} {
					got, err := end.Stream(tt.id)
					var e *net.OpError
					if got != nil || !errors.As(err, &e) || !strings.Contains(err.Error(), tt.words) {
						t.Errorf("claiming stream %d: %v", tt.id, err)
					}
				}
			}
			// Those that OpenStream and AcceptStream have claimed are in use too.
			opened, err := c.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Stream(opened.ID()); err == nil {
				t.Errorf("stream %d can be claimed though OpenStream gave it", opened.ID())
			}
			write(t, opened, "x")
			accepted := acceptStream(t, s)
			if _, err := s.Stream(accepted.ID()); err == nil {
				t.Errorf("stream %d can be claimed though AcceptStream gave it", accepted.ID())
			}
		})
	})
}

// TestUnevenStreamsEnd closes streams that there are in one direction only, next to
// others: all end, and their numbers can be used again.
func TestUnevenStreamsEnd(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		d := &sctpnet.Dialer{Config: sctpnet.Config{OutStreams: 4, MaxInStreams: 16}}
		few := dial(t, d, network, ln.Addr().String())
		many := accept(t, ln)
		watchdog(t, func() {
			for i := range 6 {
				receives, sends := claim(t, few, 10), claim(t, many, 10)
				other1, other2 := streamPair(t, few, many)
				exchange(t, other1, other2)
				write(t, sends, "one way")
				wantBytes(t, receives, []byte("one way"))
				closeBoth := func(s1, s2 *sctpnet.Stream) {
					if err := s1.Close(); err != nil {
						t.Fatal(err)
					}
					wantEOF(t, s2)
					if err := s2.Close(); err != nil {
						t.Fatal(err)
					}
				}
				if i%2 == 0 {
					receives.Close() // the sender hears nothing of it
					closeBoth(other1, other2)
					sends.Close()
				} else {
					closeBoth(sends, receives)
					closeBoth(other1, other2)
				}
			}
		})
	})
}

// TestUnevenStreams uses an association with more streams one way than the
// other.
func TestUnevenStreams(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		d := &sctpnet.Dialer{Config: sctpnet.Config{OutStreams: 3, MaxInStreams: 8}}
		c := dial(t, d, network, ln.Addr().String())
		s := accept(t, ln)
		watchdog(t, func() {
			c7, s7 := claim(t, c, 7), claim(t, s, 7)
			write(t, s7, "one way")
			wantBytes(t, c7, []byte("one way"))
			_, err := c7.Write([]byte("x"))
			wantError(t, "Write on a stream that there is only for reading", err, syscall.EINVAL)
			_, err = c7.WriteMsg([]byte("x"), sctpnet.MsgInfo{})
			wantError(t, "WriteMsg on a stream that there is only for reading", err, syscall.EINVAL)
			c2, s2 := claim(t, c, 2), claim(t, s, 2)
			exchange(t, c2, s2)
			// Only streams that there are both ways can be opened.
			for _, end := range []*sctpnet.Conn{c, s} {
				for {
					s, err := end.OpenStream()
					if errors.Is(err, sctpnet.ErrNoFreeStream) {
						break
					}
					if err != nil || s.ID() > 2 {
						t.Fatalf("OpenStream returned stream %d, %v", s.ID(), err)
					}
				}
			}
		})
	})
}

// TestLoss runs tests of streams where two of a hundred packets are lost: in a
// process that has a loopback interface of its own.
func TestLoss(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		if !inOwnNetwork(t) {
			return
		}
		netem(t, network, "loss 2%")
		for _, tt := range orderTests {
			t.Run(tt.name, func(t *testing.T) {
				const n, count = 50, max(6, 60/conformance.Slowness)
				from, to := pipeOf(t, network, n)
				watchdog(t, func() {
					together(t, []*sctpnet.Conn{from, to},
						func() error { return tt.send(from, n, count) },
						func() error { return tt.receive(to, n, count) },
					)
				})
			})
		}
		t.Run("half-close", func(t *testing.T) {
			client, server := pipe(t, network, "127.0.0.1:0")
			watchdog(t, func() {
				var fs []func() error
				for i := range 25 {
					c, s := streamPair(t, client, server)
					want := ballast()[i:][:100_000/conformance.Slowness]
					fs = append(fs, func() error { return errors.Join(sendAll(c, want), receiveAll(c, want)) })
					fs = append(fs, func() error { return errors.Join(receiveAll(s, want), sendAll(s, want)) })
				}
				together(t, []*sctpnet.Conn{client, server}, fs...)
			})
		})
		t.Run("churn", func(t *testing.T) {
			client, server := pipe(t, network, "127.0.0.1:0")
			watchdog(t, func() {
				churn(t, client, server, 400/min(conformance.Slowness, 4), openInTheEnd, churnClient, churnServer)
			})
		})
	})
}

// TestStreamCloseOnSlowNetwork has both ends close streams at the same time where packets take long:
// both ask, both are refused, and must not ask at the same time for ever.
func TestStreamCloseOnSlowNetwork(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		if !inOwnNetwork(t) {
			return
		}
		netem(t, network, "delay 50ms")
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			for range 5 {
				c, s := streamPair(t, client, server)
				exchange(t, c, s)
				var fs []func() error
				for _, s := range []*sctpnet.Stream{c, s} {
					fs = append(fs, func() error { return errors.Join(s.CloseWrite(), receiveAll(s, nil), s.Close()) })
				}
				together(t, []*sctpnet.Conn{client, server}, fs...)
			}
		})
	})
}

// openInTheEnd opens a stream however long it takes: where several packets of the
// resets are lost one after the other, no number is free for longer than OpenStream
// waits.
func openInTheEnd(c *sctpnet.Conn) (*sctpnet.Stream, error) {
	for {
		if s, err := c.OpenStream(); !errors.Is(err, sctpnet.ErrNoFreeStream) {
			return s, err
		}
	}
}

// netem makes a process's own loopback interface lose or delay packets. The tests
// of the kernel run where it can; SCTP over UDP is tested there, too.
func netem(t *testing.T, network, options string) {
	t.Helper()
	err := testnet.Own().Netem("lo", options)
	if err != nil && overUDP(network) && sctpnet.Available("sctp") != nil {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sendAll writes b and half-closes.
func sendAll(s *sctpnet.Stream, b []byte) error {
	if _, err := s.Write(b); err != nil {
		return err
	}
	return s.CloseWrite()
}

// receiveAll checks that b comes, and then the end.
func receiveAll(s *sctpnet.Stream, b []byte) error {
	got, err := io.ReadAll(s)
	if err != nil || string(got) != string(b) {
		return fmt.Errorf("stream %d: read %d bytes, %v; want %d", s.ID(), len(got), err, len(b))
	}
	return nil
}

// TestStreamsWithPeerInC has a program in C for a peer, which dials or is dialed: message
// boundaries, streams and PPIDs are what it says they are, both ways.
func TestStreamsWithPeerInC(t *testing.T) {
	needSCTP(t)
	peer := buildC(t, "testdata/peer.c")
	for _, tt := range []struct {
		name    string
		connect func(t *testing.T) (c *sctpnet.Conn, out *bufio.Scanner)
	}{
		{"listens", func(t *testing.T) (*sctpnet.Conn, *bufio.Scanner) {
			out := startC(t, peer, "listen")
			var port int
			if _, err := fmt.Sscanf(line(out), "port %d", &port); err != nil {
				t.Fatal(err)
			}
			return dial(t, nil, "sctp", joinPort("127.0.0.1", port)), out
		}},
		{"dials", func(t *testing.T) (*sctpnet.Conn, *bufio.Scanner) {
			ln := listen(t, "sctp4", "127.0.0.1:0")
			out := startC(t, peer, "dial", fmt.Sprint(port(ln.Addr())))
			return accept(t, ln), out
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			watchdog(t, func() {
				c, out := tt.connect(t)
				if o, i := c.NumStreams(); o != 20 || i != 20 {
					t.Errorf("there are %d and %d streams, want 20", o, i)
				}
				buf := make([]byte, 300<<10)
				read := func(r messenger, data string, stream uint16, ppid uint32) {
					t.Helper()
					n, info, err := r.ReadMsg(buf)
					if err != nil || string(buf[:n]) != data || info.Stream != stream || info.PPID != ppid || info.Unordered || info.More {
						t.Errorf("read %.20q, %+v, %v; want %.20q on stream %d with PPID %d", buf[:n], info, err, data, stream, ppid)
					}
				}
				send := func(w messenger, data string, info sctpnet.MsgInfo, want string) {
					t.Helper()
					if _, err := w.WriteMsg([]byte(data), info); err != nil {
						t.Fatal(err)
					}
					if got := line(out); got != want {
						t.Errorf("the peer says %q, want %q", got, want)
					}
				}
				// The order of different streams is that of sending, on lo.
				got := make(map[uint16]bool)
				for range 3 {
					n, info, err := c.ReadMsg(buf)
					if err != nil {
						t.Fatal(err)
					}
					want := map[uint16]struct {
						data      string
						ppid      uint32
						unordered bool
					}{0: {"unordered", 0, true}, 1: {"one", 0x01020304, false}, 19: {"nineteen", 46, false}}[info.Stream]
					if string(buf[:n]) != want.data || info.PPID != want.ppid || info.Unordered != want.unordered || got[info.Stream] {
						t.Errorf("read %q, %+v; want %+v", buf[:n], info, want)
					}
					got[info.Stream] = true
				}

				send(c, "abc", sctpnet.MsgInfo{Stream: 3, PPID: 0xa1b2c3d4}, "received 3 bytes, stream 3, ppid 2712847316")
				read(c, "abc", 4, 0xa1b2c3d5)
				send(c, "d", sctpnet.MsgInfo{Unordered: true}, "received 1 bytes, stream 0, ppid 0, unordered")
				read(c, "d", 1, 1)
				large := strings.Repeat("large", 10_000)
				send(c, large, sctpnet.MsgInfo{Stream: 18, PPID: 1}, "received 50000 bytes, stream 18, ppid 1")
				read(c, large, 19, 2)

				// And of Streams. The C program has no stream reconfiguration.
				s7, s8 := claim(t, c, 7), claim(t, c, 8)
				send(s7, "stream", sctpnet.MsgInfo{PPID: 61}, "received 6 bytes, stream 7, ppid 61")
				read(s8, "stream", 8, 62)
				if err := s7.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if err := c.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if got := line(out); got != "end" {
					t.Errorf("the peer says %q, want its end", got)
				}
			})
		})
	}
}

// buildC compiles a program in C.
func buildC(t *testing.T, source string) string {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc (apt-get install gcc libsctp-dev): ", err)
	}
	if out, err := preprocess("#include <netinet/sctp.h>"); err != nil {
		t.Skipf("no netinet/sctp.h (apt-get install libsctp-dev libc6-dev): %s", out)
	}
	program := filepath.Join(t.TempDir(), "peer")
	if out, err := exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "-o", program, source, "-lsctp").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

func preprocess(source string) ([]byte, error) {
	cmd := exec.Command("gcc", "-E", "-o", "/dev/null", "-")
	cmd.Stdin = strings.NewReader(source)
	return cmd.CombinedOutput()
}

// startC starts a program, which must end by itself and well, and returns what
// it prints.
func startC(t *testing.T, program string, args ...string) *bufio.Scanner {
	t.Helper()
	cmd := exec.Command(program, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			cmd.Process.Kill()
		}
		io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v: %s", program, err, &stderr)
		}
	})
	return bufio.NewScanner(stdout)
}

// line returns the next line of a program's output.
func line(out *bufio.Scanner) string {
	out.Scan()
	return out.Text()
}
