package sctpnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestReviewStreamAfterCutWrite: a Write that its deadline has cut short, and
// then the first stream.
func TestReviewStreamAfterCutWrite(t *testing.T) {
	c, s := pipe(t, "sctp4", "127.0.0.1:0")
	watchdog(t, func() {
		c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := c.Write(make([]byte, 16<<20))
		if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("Write: %d, %v", n, err)
		}
		c.SetWriteDeadline(time.Time{})
		go io.Copy(io.Discard, s)
		st, err := c.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		d := time.Now().Add(3 * time.Second)
		st.SetWriteDeadline(d)
		if n, err := st.Write(make([]byte, 100_000)); err != nil {
			t.Errorf("Stream.Write after a Write that was cut short: %d, %v", n, err)
		}
		call := conformance.Start(t, func() (int, error) { return c.Write([]byte("x")) })
		done := make(chan struct{})
		go func() { call.Result(); close(done) }()
		select {
		case <-done:
		case <-time.After(3 * time.Second):
			t.Errorf("Conn.Write hangs")
			c.Abort()
		}
	})
}

// TestReviewConcurrentReadMsgs: messages that come in pieces, and several who
// read batches.
func TestReviewConcurrentReadMsgs(t *testing.T) {
	// A small window has messages come in pieces.
	ln, err := (&sctpnet.ListenConfig{Config: sctpnet.Config{ReadBuffer: 100_000}}).Listen(context.Background(), "sctp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := dial(t, nil, "sctp4", ln.Addr().String())
	s := accept(t, ln)
	const count, size = 3000 / conformance.Slowness, 60_000
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
		bad, total, batched := 0, 0, 0
		for range 8 {
			wg.Go(func() {
				msgs := batchOf(4, size+100_000)
				for {
					n, err := s.ReadMsgs(msgs)
					mu.Lock()
					total += n
					if n > 1 {
						batched++
					}
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
		t.Logf("%d messages, %d bad, %d batches of more than one", total, bad, batched)
	})
}

// inNet runs the test in a process that has a network of its own.
func inNet(t *testing.T) bool {
	needSCTP(t)
	const env = "SCTPNET_TEST_REVIEW"
	if os.Getenv(env) != "" {
		if err := ip("link set lo up"); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), env+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	return false
}

func tc(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("tc", args...).CombinedOutput(); err != nil {
		t.Fatalf("tc: %v: %s", err, out)
	}
}

// TestReviewAbortOfBulk: the peer's ABORT comes while sendmmsg is at work,
// after its first message. The kernel then returns how many were sent, the errno
// is lost, and Read tells of a graceful end.
func TestReviewAbortOfBulk(t *testing.T) {
	for _, tt := range []struct {
		name  string
		write func(c *sctpnet.Conn, msgs []sctpnet.Message) error
	}{
		{"WriteMsgs", func(c *sctpnet.Conn, msgs []sctpnet.Message) error { _, err := c.WriteMsgs(msgs); return err }},
		{"WriteMsg", func(c *sctpnet.Conn, msgs []sctpnet.Message) error {
			_, err := c.WriteMsg(msgs[0].Data, sctpnet.MsgInfo{})
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) { testReviewAbortOfBulk(t, tt.write) })
	}
}

func testReviewAbortOfBulk(t *testing.T, write func(*sctpnet.Conn, []sctpnet.Message) error) {
	needSCTP(t)
	const rounds = 150 / conformance.Slowness
	eof := 0
	for i := range rounds {
		c, s := pipe(t, "sctp4", "127.0.0.1:0")
		watchdog(t, func() {
			go io.Copy(io.Discard, s)
			go func() {
				time.Sleep(time.Duration(5+i%10) * time.Millisecond)
				s.Abort()
			}()
			msgs := batchOf(64, 1000)
			for {
				if err := write(c, msgs); err != nil {
					break
				}
			}
			if _, err := c.Read(make([]byte, 10)); !errors.Is(err, syscall.ECONNRESET) {
				eof++
			}
			c.Close()
		})
	}
	t.Logf("%d of %d aborts were not ECONNRESET", eof, rounds)
	if eof > 0 {
		t.Fail()
	}
}

// TestReviewBatchOverDelay: with one processor WriteMsgs spends the turns that
// are to be passed over one per message, and so waits more often than WriteMsg.
func TestReviewBatchOverDelay(t *testing.T) {
	if !inNet(t) {
		return
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	tc(t, "qdisc", "add", "dev", "lo", "root", "netem", "limit", "10000", "delay", "5ms")
	rate := map[bool]float64{}
	for round := range 4 {
		batched := round%2 == 1
		c, s := pipe(t, "sctp4", "127.0.0.1:0")
		const total = 4000
		watchdog(t, func() {
			done := make(chan error, 1)
			go func() {
				_, err := io.CopyN(io.Discard, s, total*1000)
				done <- err
			}()
			msgs := batchOf(64, 1000)
			start := time.Now()
			for n := 0; n < total; {
				var err error
				k := 1
				if batched {
					k, err = c.WriteMsgs(msgs[:min(64, total-n)])
				} else {
					_, err = c.WriteMsg(msgs[0].Data, sctpnet.MsgInfo{})
				}
				if err != nil {
					t.Fatal(err)
				}
				n += k
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			r := total * 1000 / 1e6 / time.Since(start).Seconds()
			t.Logf("batched %v: %.1f MB/s", batched, r)
			rate[batched] = max(rate[batched], r)
		})
	}
	if rate[true] < 0.9*rate[false] {
		t.Errorf("in batches %.1f MB/s, one by one %.1f", rate[true], rate[false])
	}
}

// TestReviewAbandonedMessage: a message of which a part was handed over, and the
// rest of which the sender gave up (TTL), must not go on with the next message.
func TestReviewAbandonedMessage(t *testing.T) {
	if !inNet(t) {
		return
	}
	for _, batch := range []bool{false, true} {
		t.Run(fmt.Sprintf("batch=%v", batch), func(t *testing.T) {
			ln, err := (&sctpnet.ListenConfig{Config: sctpnet.Config{ReadBuffer: 30_000}}).Listen(context.Background(), "sctp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			c := dial(t, nil, "sctp4", ln.Addr().String())
			s := accept(t, ln)
			watchdog(t, func() {
				if _, err := c.WriteMsg(bytes.Repeat([]byte("a"), 100_000), sctpnet.MsgInfo{Stream: 1, TTL: 300 * time.Millisecond}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(50 * time.Millisecond) // the window is full
				tc(t, "qdisc", "add", "dev", "lo", "root", "netem", "loss", "100%")
				type result struct {
					p    []byte
					info sctpnet.MsgInfo
					err  error
				}
				got := make(chan result, 100)
				go func() {
					for {
						msgs := batchOf(8, 200_000)
						n, err := 1, error(nil)
						if batch {
							n, err = s.ReadMsgs(msgs)
						} else {
							msgs[0].N, msgs[0].Info, err = s.ReadMsg(msgs[0].Data)
						}
						for _, m := range msgs[:n] {
							got <- result{m.Data[:m.N], m.Info, err}
						}
						if err != nil {
							return
						}
					}
				}()
				time.Sleep(1500 * time.Millisecond)
				tc(t, "qdisc", "del", "dev", "lo", "root")
				for _, m := range []string{"hello", "world"} {
					if _, err := c.WriteMsg([]byte(m), sctpnet.MsgInfo{Stream: 1, PPID: 7}); err != nil {
						t.Fatal(err)
					}
				}
				for {
					select {
					case r := <-got:
						a := bytes.Count(r.p, []byte("a"))
						t.Logf("read %d bytes, %d of the first message, %+v, %v", len(r.p), a, r.info, r.err)
						if a != 0 && a != len(r.p) {
							t.Errorf("%q stands at the end of another message", r.p[a:])
						}
						if a == 100_000 {
							t.Error("the message was not abandoned")
						}
						continue
					case <-time.After(5 * time.Second):
					}
					break
				}
				c.Close()
			})
		})
	}
}
