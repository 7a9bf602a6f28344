package sctpnet_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// A reception is messages of a peer that are read as they come.
type reception struct {
	p      *crasher
	client *sctpnet.Conn
	events *recorder                     // the client's
	stats  func() (sctpnet.Stats, error) // of the end that receives
	all    func() []string               // the messages so far
}

// patient is the Config of a client that sends nothing again for a while.
func patient(events *recorder) sctpnet.Config {
	config := events.config()
	config.RTO = sctpnet.RTO{Initial: 1500 * time.Millisecond, Min: 1500 * time.Millisecond, Max: 2 * time.Second}
	return config
}

// onConn makes a reception whose messages read returns, of a Conn.
func onConn(read func(t *testing.T, c *sctpnet.Conn) func() ([]byte, error)) func(t *testing.T, config sctpnet.Config) *reception {
	return func(t *testing.T, config sctpnet.Config) *reception {
		r := &reception{events: newRecorder("sctp4")}
		var ln *sctpnet.Listener
		r.p, ln = newCrasher(t, sctpnet.ListenConfig{Config: config})
		r.p.dialer.Config = patient(r.events)
		r.client = r.p.dial(t)
		c := accept(t, ln)
		r.stats = c.Stats
		next := read(t, c)
		var mu sync.Mutex
		var messages []string
		r.all = func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(messages)
		}
		var reading sync.WaitGroup
		reading.Go(func() {
			for {
				b, err := next()
				if err != nil {
					return
				}
				mu.Lock()
				messages = append(messages, string(b))
				mu.Unlock()
			}
		})
		t.Cleanup(func() {
			c.Close()
			reading.Wait()
		})
		return r
	}
}

// onPacketConn makes a reception of a PacketConn.
func onPacketConn(t *testing.T, config sctpnet.Config) *reception {
	p, c, d := keepDiary(t, "sctp", config)
	events := newRecorder("sctp4")
	p.dialer.Config = patient(events)
	client := p.dial(t)
	return &reception{p, client, events, statsOf(t, c, client), func() []string {
		return slices.DeleteFunc(d.of("6000"), func(e string) bool { return strings.HasPrefix(e, "is ") })
	}}
}

// TestMessageGivenUp has a peer give up a message, ordered or not, after a part of it
// was received: more of it was sent and lost, or not. Whole messages are read, and
// nothing of that one.
func TestMessageGivenUp(t *testing.T) {
	needNetwork(t, "sctp4")
	for name, receive := range map[string]func(t *testing.T, config sctpnet.Config) *reception{
		"PacketConn": onPacketConn,
		"ReadMessage": onConn(func(t *testing.T, c *sctpnet.Conn) func() ([]byte, error) {
			return func() ([]byte, error) {
				b, _, err := c.ReadMessage(1 << 20)
				return b, err
			}
		}),
		"ReadMsg": onConn(func(t *testing.T, c *sctpnet.Conn) func() ([]byte, error) {
			p := make([]byte, 1<<20)
			return func() ([]byte, error) {
				for {
					// The rest of what does not fill p was given up.
					if n, info, err := c.ReadMsg(p); err != nil || !info.More {
						return p[:n], err
					}
				}
			}
		}),
		"ReadMsgs": onConn(func(t *testing.T, c *sctpnet.Conn) func() ([]byte, error) {
			ms := batchOf(4, 1<<20)
			var left []sctpnet.Message
			return func() ([]byte, error) {
				for {
					if len(left) == 0 {
						n, err := c.ReadMsgs(ms)
						if err != nil {
							return nil, err
						}
						left = ms[:n]
					}
					m := left[0]
					if left = left[1:]; !m.Info.More {
						return m.Data[:m.N], nil
					}
				}
			}
		}),
		"Stream": onConn(func(t *testing.T, c *sctpnet.Conn) func() ([]byte, error) {
			s := claim(t, c, 1)
			return func() ([]byte, error) {
				b, _, err := s.ReadMessage(1 << 20)
				return b, err
			}
		}),
	} {
		for _, tt := range []struct {
			unordered, lost bool
			next            int // bytes
		}{{false, true, 10}, {true, true, 20_000}, {true, false, 10}} {
			t.Run(fmt.Sprintf("%s/Unordered=%v,lost=%v", name, tt.unordered, tt.lost), func(t *testing.T) {
				// If the machine is busy the message may arrive. And now and then Linux keeps
				// to itself all that follows one that was given up, though it has
				// acknowledged it.
				for attempt := 1; !giveUpPartly(t, receive, tt.unordered, tt.lost, tt.next); attempt++ {
					if attempt == 5 {
						t.Fatal("what follows does not arrive")
					}
				}
			})
		}
	}
}

// giveUpPartly is one try of TestMessageGivenUp. It reports whether what was sent last
// arrives.
func giveUpPartly(t *testing.T, receive func(t *testing.T, config sctpnet.Config) *reception, unordered, lost bool, next int) (arrives bool) {
	watchdog(t, func() {
		r := receive(t, sctpnet.Config{PartialDeliveryPoint: 1000})
		defer r.client.Abort()
		info := sctpnet.MsgInfo{Stream: 1, Unordered: unordered}
		send := func(b byte, size int) string {
			t.Helper()
			m := bytes.Repeat([]byte{b}, size)
			if _, err := r.client.WriteMsg(m, info); err != nil {
				t.Error(err)
			}
			return string(m)
		}
		want := []string{send('o', 10)}
		eventually(t, "the first message", func() bool { return slices.Equal(r.all(), want) })
		arrived(t, r.client)
		// FORWARD TSN is a chunk that is neither data nor an acknowledgement.
		control := func() uint64 {
			st, err := r.stats()
			if err != nil {
				t.Fatal(err)
			}
			return st.ControlReceived - st.SACKsReceived
		}
		before := control()

		info.TTL = 200 * time.Millisecond
		givenUp := func() { send('a', 100_000) }
		if lost {
			// The first flight arrives. What is on its way then is dropped. If the lifetime
			// ended before, Linux would drop the rest and tell nobody.
			info.TTL = time.Second
			r.p.ns.netem(t, "link1", "delay 300ms")
			var sending sync.WaitGroup // with one processor a WriteMsg lets the reader read
			awaitPart(t, r.stats, func() { sending.Go(givenUp) })
			r.p.ns.heal(t, "link1")
			sending.Wait()
		} else {
			r.p.sendPart(t, r.stats, givenUp)
		}
		within := func(ok func() bool) bool {
			deadline := time.Now().Add(5 * time.Second * conformance.Slowness)
			for !ok() && time.Now().Before(deadline) {
				time.Sleep(ms)
			}
			return ok()
		}
		if !within(func() bool { return control() > before }) {
			return
		}
		if !lost {
			r.p.peer.heal(t, "link1")
		}
		await[sctpnet.SendFailedEvent](t, r.events, nil)

		info.TTL = 0
		want = append(want, send('b', next), send('c', next))
		arrives = within(func() bool {
			all := r.all()
			return all[len(all)-1] == want[len(want)-1]
		})
		if all := r.all(); arrives && !slices.Equal(all, want) {
			for _, m := range all {
				t.Errorf("read %d bytes, of them %d of what was given up: %.20q", len(m), bytes.Count([]byte(m), []byte("a")), m)
			}
		}
	})
	return arrives
}

// TestCloseBehindUnordered closes a Conn that has read an unordered message in pieces,
// and nothing else: what was written arrives, and then the end.
func TestCloseBehindUnordered(t *testing.T) {
	needSCTP(t)
	ln := listenWith(t, "sctp4", "127.0.0.1:0", sctpnet.ListenConfig{Config: sctpnet.Config{PartialDeliveryPoint: 1000}})
	watchdog(t, func() {
		for _, linger := range []int{-1, 5} {
			client := dial(t, nil, "sctp4", ln.Addr().String())
			s := accept(t, ln)
			s.SetLinger(linger)
			message := ballast()[:100<<10]
			if _, err := client.WriteMsg(message, sctpnet.MsgInfo{Unordered: true}); err != nil {
				t.Fatal(err)
			}
			if b, _, err := s.ReadMessage(len(message)); !bytes.Equal(b, message) || err != nil {
				t.Errorf("read %d bytes, %v", len(b), err)
			}
			answer := ballast()[:50<<10]
			write(t, s, string(answer))
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if b, err := io.ReadAll(client); !bytes.Equal(b, answer) || err != nil {
				t.Errorf("the answer: %d bytes, %v", len(b), err)
			}
		}
	})
}
