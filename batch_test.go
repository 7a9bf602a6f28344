package sctpnet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// batchOf makes messages for ReadMsgs.
func batchOf(n, size int) []sctpnet.Message {
	msgs := make([]sctpnet.Message, n)
	for i := range msgs {
		msgs[i].Data = make([]byte, size)
	}
	return msgs
}

// TestBatch sends messages of all sizes in batches of all sizes.
func TestBatch(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, streams := range []bool{false, true} {
			t.Run(fmt.Sprintf("streams=%v", streams), func(t *testing.T) {
				watchdog(t, func() { testBatch(t, network, streams) })
			})
		}
	})
}

func testBatch(t *testing.T, network string, streams bool) {
	c, s := pipe(t, network, "127.0.0.1:0")
	if streams {
		for _, c := range []*sctpnet.Conn{c, s} {
			if _, err := c.Stream(5); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	const rounds = 300 / conformance.Slowness
	var want [][]byte
	var sent []sctpnet.Message
	for range rounds {
		for range r.IntN(150) {
			b := make([]byte, 1+r.IntN(1<<r.IntN(16)))
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			want = append(want, b)
			sent = append(sent, sctpnet.Message{Data: b, Info: sctpnet.MsgInfo{Stream: uint16(r.IntN(3)), PPID: r.Uint32()}})
		}
	}
	writing := make(chan error, 1)
	go func() {
		for rest := sent; len(rest) > 0; {
			k := min(len(rest), 1+r.IntN(200))
			n, err := c.WriteMsgs(rest[:k])
			if err != nil || n != k {
				writing <- fmt.Errorf("WriteMsgs of %d messages: %d, %v", k, n, err)
				return
			}
			rest = rest[k:]
		}
		writing <- nil
	}()
	byStream := make(map[uint16][]int)
	for i, m := range sent {
		byStream[m.Info.Stream] = append(byStream[m.Info.Stream], i)
	}
	most := 0
	for got := 0; got < len(want); {
		msgs := batchOf(1+rand.IntN(100), 64<<10)
		n, err := s.ReadMsgs(msgs)
		if err != nil || n == 0 {
			t.Fatalf("ReadMsgs: %d, %v", n, err)
		}
		most = max(most, n)
		for _, m := range msgs[:n] {
			id := m.Info.Stream
			if len(byStream[id]) == 0 {
				t.Fatalf("a message too many on stream %d", id)
			}
			i := byStream[id][0]
			byStream[id] = byStream[id][1:]
			if !bytes.Equal(m.Data[:m.N], want[i]) || m.Info.PPID != sent[i].Info.PPID || m.Info.More {
				t.Fatalf("message %d: %d bytes, %+v; want %d bytes, %+v", i, m.N, m.Info, len(want[i]), sent[i].Info)
			}
			got++
		}
	}
	if err := <-writing; err != nil {
		t.Error(err)
	}
	if most < 2 {
		t.Error("no batch was of more than one message")
	}
}

// TestBatchShortData checks that nothing is lost where a message is larger than
// the memory to read it into, and where that differs.
func TestBatchShortData(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		watchdog(t, func() {
			c, s := pipe(t, network, "127.0.0.1:0")
			r := rand.New(rand.NewPCG(3, 4))
			var want []byte
			total := 0
			for range 200 {
				b := make([]byte, 1+r.IntN(5000))
				for i := range b {
					b[i] = byte(r.Uint32())
				}
				want = append(want, b...)
				total++
				if n, err := c.WriteMsgs([]sctpnet.Message{{Data: b}}); n != 1 || err != nil {
					t.Fatalf("WriteMsgs: %d, %v", n, err)
				}
				// Some wait in the queue, so that they come in batches.
				if total%20 != 0 {
					continue
				}
				for len(want) > 0 {
					msgs := batchOf(1+r.IntN(20), 1)
					for i := range msgs {
						msgs[i].Data = make([]byte, 1+r.IntN(3000))
					}
					n, err := s.ReadMsgs(msgs)
					if err != nil {
						t.Fatal(err)
					}
					for _, m := range msgs[:n] {
						if m.N == 0 || m.N > len(want) || !bytes.Equal(m.Data[:m.N], want[:m.N]) {
							t.Fatalf("%d bytes are not those that were sent", m.N)
						}
						want = want[m.N:]
						if !m.Info.More {
							total--
						}
					}
				}
				if total != 0 {
					t.Fatalf("%d messages too few were ended", total)
				}
			}
		})
	})
}

// TestBatchErrors checks what batches say of a message that cannot be sent, and
// that those before it have gone.
func TestBatchErrors(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		watchdog(t, func() {
			c, s := pipe(t, network, "127.0.0.1:0")
			out, _ := c.NumStreams()
			hello := sctpnet.Message{Data: []byte("hello")}
			for _, tt := range []struct {
				name  string
				bad   sctpnet.Message
				cause error
			}{
				{"empty", sctpnet.Message{}, nil},
				{"stream", sctpnet.Message{Data: []byte("x"), Info: sctpnet.MsgInfo{Stream: out}}, syscall.EINVAL},
				{"large", sctpnet.Message{Data: make([]byte, c.MaxMessageSize()+1)}, syscall.EMSGSIZE},
				{"TTL", sctpnet.Message{Data: []byte("x"), Info: sctpnet.MsgInfo{TTL: -1}}, nil},
			} {
				n, err := c.WriteMsgs([]sctpnet.Message{hello, hello, tt.bad, hello})
				if n != 2 || err == nil || tt.cause != nil && !errors.Is(err, tt.cause) {
					t.Errorf("%s: WriteMsgs returned %d, %v; want 2 and an error around %v", tt.name, n, err, tt.cause)
				}
				wantBytes(t, s, []byte("hellohello"))
			}
			if n, err := c.WriteMsgs(nil); n != 0 || err != nil {
				t.Errorf("WriteMsgs of nothing: %d, %v", n, err)
			}
			if n, err := s.ReadMsgs(nil); n != 0 || err != nil {
				t.Errorf("ReadMsgs into nothing: %d, %v", n, err)
			}
			if n, err := s.ReadMsgs(make([]sctpnet.Message, 1)); n != 0 || !errors.Is(err, syscall.EINVAL) {
				t.Errorf("ReadMsgs without memory: %d, %v", n, err)
			}
		})
	})
}

// TestBatchDeadlines checks that batches wait no longer than they may, and give
// what there is.
func TestBatchDeadlines(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		watchdog(t, func() {
			c, s := smallPipe(t, network)
			s.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			if n, err := s.ReadMsgs(batchOf(3, 10)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("ReadMsgs: %d, %v", n, err)
			}
			s.SetReadDeadline(time.Time{})

			msgs := batchOf(10_000, 1000) // more than the buffers hold
			c.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := c.WriteMsgs(msgs)
			if n == 0 || n == len(msgs) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("WriteMsgs: %d, %v", n, err)
			}
			for got := 0; got < n; {
				k, err := s.ReadMsgs(batchOf(64, 1000))
				if err != nil {
					t.Fatalf("after %d of %d messages: %v", got, n, err)
				}
				got += k
			}
			s.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if k, err := s.ReadMsgs(batchOf(1, 1000)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("more messages than were sent: %d, %v", k, err)
			}
		})
	})
}

// TestBatchEnds checks that batches end as Read and Write do.
func TestBatchEnds(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, abort := range []bool{false, true} {
			t.Run(fmt.Sprintf("abort=%v", abort), func(t *testing.T) {
				watchdog(t, func() {
					for range 50 {
						c, s := pipe(t, network, "127.0.0.1:0")
						call := conformance.Start(t, func() (int, error) { return s.ReadMsgs(batchOf(64, 100)) })
						call.Waits()
						if _, err := c.WriteMsgs([]sctpnet.Message{{Data: []byte("x")}, {Data: []byte("y")}}); err != nil {
							t.Fatal(err)
						}
						got, err := call.Result()
						if err != nil {
							t.Fatal(err)
						}
						for ; got < 2; got++ {
							if _, err := s.Read(make([]byte, 1)); err != nil {
								t.Fatal(err)
							}
						}
						if abort {
							c.Abort()
						} else {
							c.Close()
						}
						for range 3 {
							n, err := s.ReadMsgs(batchOf(64, 100))
							if n != 0 || abort && !errors.Is(err, syscall.ECONNRESET) || !abort && err.Error() != "EOF" {
								t.Fatalf("ReadMsgs: %d, %v", n, err)
							}
						}
						if abort {
							if n, err := s.WriteMsgs([]sctpnet.Message{{Data: []byte("x")}}); n != 0 || err == nil {
								t.Fatalf("WriteMsgs after the end: %d, %v", n, err)
							}
						}
						s.Close()
					}
				})
			})
		}
	})
}

// TestBatchReaders has several read batches of messages that come in pieces, as
// they do where the window is small.
func TestBatchReaders(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
		ln := listenWith(t, network, "127.0.0.1:0", sctpnet.ListenConfig{Config: sctpnet.Config{ReadBuffer: 100_000}})
		c := dial(t, nil, network, ln.Addr().String())
		s := accept(t, ln)
		const size = 60_000
		count := 3000 / conformance.Slowness
		if overUDP(network) {
			count = 300 / min(conformance.Slowness, 2) // a small window is slow there
		}
		watchdog(t, func() {
			go func() {
				for i := range count {
					b := bytes.Repeat([]byte{byte(1 + i%250)}, size)
					if _, err := c.WriteMsgs([]sctpnet.Message{{Data: []byte{byte(1 + i%250)}}, {Data: b}}); err != nil {
						return
					}
				}
				c.Shutdown()
			}()
			var wg sync.WaitGroup
			var mu sync.Mutex
			bad, total := 0, 0
			for range 8 {
				wg.Go(func() {
					msgs := batchOf(4, size+100_000)
					for {
						n, err := s.ReadMsgs(msgs)
						mu.Lock()
						total += n
						for _, m := range msgs[:n] {
							d := m.Data[:m.N]
							if m.Info.More || len(d) != 1 && len(d) != size || len(bytes.Trim(d, string(d[:1]))) != 0 {
								if bad++; bad < 5 {
									t.Errorf("a message of %d bytes, first %d, last %d, more %v", len(d), d[0], d[len(d)-1], m.Info.More)
								}
							}
						}
						mu.Unlock()
						if err != nil {
							return
						}
					}
				})
			}
			wg.Wait()
			if total != 2*count {
				t.Errorf("%d messages, want %d", total, 2*count)
			}
		})
	})
}

// TestBatchAbort has the peer abort while a batch is being sent: sendmmsg then
// returns how many were, and keeps to itself why there were no more.
func TestBatchAbort(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		const rounds = 50 / conformance.Slowness
		for i := range rounds {
			c, s := pipe(t, network, "127.0.0.1:0")
			watchdog(t, func() {
				go io.Copy(io.Discard, s)
				go func() {
					time.Sleep(time.Duration(5+i%10) * time.Millisecond)
					s.Abort()
				}()
				msgs := batchOf(64, 1000)
				for {
					if _, err := c.WriteMsgs(msgs); err != nil {
						break
					}
				}
				_, err := c.Read(make([]byte, 10))
				wantError(t, "Read", err, syscall.ECONNRESET)
			})
		}
	})
}

// TestBatchBesideBegunMessage reads a batch when one message is there and the next
// one has begun. The first one has its own length.
func TestBatchBesideBegunMessage(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		c, s := configured(t, network, "127.0.0.1:0", sctpnet.Config{WriteBuffer: 1 << 20}, sctpnet.Config{ReadBuffer: 100_000})
		watchdog(t, func() {
			st, err := c.Status()
			if err != nil {
				t.Fatal(err)
			}
			large := bytes.Repeat([]byte("large"), 30_000) // more than the window
			if _, err := c.WriteMsg([]byte("four"), sctpnet.MsgInfo{}); err != nil {
				t.Fatal(err)
			}
			write := conformance.Start(t, func() (int, error) { return c.WriteMsg(large, sctpnet.MsgInfo{}) })
			eventually(t, "the window to fill", func() bool {
				now, err := c.Status()
				return err != nil || now.PeerWindow < st.PeerWindow/2
			})
			got := make([]byte, 0, len(large))
			msgs := []sctpnet.Message{{Data: make([]byte, 10)}, {Data: make([]byte, 20)}}
			n, err := s.ReadMsgs(msgs)
			if err != nil || string(msgs[0].Data[:msgs[0].N]) != "four" || msgs[0].Info.More {
				t.Fatalf("read %d messages, the first %q, more=%v, %v", n, msgs[0].Data[:msgs[0].N], msgs[0].Info.More, err)
			}
			for _, m := range msgs[1:n] {
				got = append(got, m.Data[:m.N]...)
			}
			p := make([]byte, 64<<10)
			for len(got) < len(large) {
				k, _, err := s.ReadMsg(p)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, p[:k]...)
			}
			if !bytes.Equal(got, large) {
				t.Error("the second message is not what was sent")
			}
			if n, err := write.Result(); n != len(large) || err != nil {
				t.Errorf("wrote %d bytes, %v", n, err)
			}
		})
	})
}
