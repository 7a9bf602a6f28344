package udpencap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// failures records what OnEvent tells of messages.
type failures struct {
	mu     sync.Mutex
	events []sctpnet.SendFailedEvent
}

func (f *failures) onEvent(_ *sctpnet.Conn, e sctpnet.Event) {
	if e, ok := e.(sctpnet.SendFailedEvent); ok {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, e)
	}
}

// await waits for so many events.
func (f *failures) await(t *testing.T, n int) []sctpnet.SendFailedEvent {
	t.Helper()
	conformance.WaitFor(t, "messages that were not delivered", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.events) >= n
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events)
}

// quick has lost packets be sent again soon.
var quick = sctpnet.RTO{Initial: 50 * time.Millisecond, Min: 50 * time.Millisecond}

// TestGivenUp has a peer never receive a message, but what follows. The peer is told to go
// on without it, and the program is told of it.
func TestGivenUp(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit sctpnet.PartialReliability
		ttl   time.Duration
		times int // that it is sent, 0 for any number
	}{
		{name: "TTL", ttl: 300 * time.Millisecond},
		{name: "timed", limit: sctpnet.PartialReliability{Policy: sctpnet.ReliabilityTimed, TTL: 300 * time.Millisecond}},
		{name: "once", limit: sctpnet.PartialReliability{Policy: sctpnet.ReliabilityRetransmissions}, times: 1},
		{name: "three times", limit: sctpnet.PartialReliability{Policy: sctpnet.ReliabilityRetransmissions, Retransmissions: 2}, times: 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f failures
			r, c := dialRaw(t, sctpnet.Config{RTO: quick, OnEvent: f.onEvent, PartialReliability: tt.limit})
			watchdog(t, func() {
				info := sctpnet.MsgInfo{Stream: 3, PPID: 46, Context: 7, TTL: tt.ttl}
				if _, err := c.WriteMsg([]byte("lost"), info); err != nil {
					t.Fatal(err)
				}
				sent := 0
				for told := false; !told; {
					_, chunks := r.receive()
					for _, k := range chunks {
						switch k.typ {
						case ctData:
							sent++
						case ctForwardTSN:
							told = true
							want := binary.BigEndian.AppendUint32(nil, r.theirs.tsn)
							if want = append(want, 0, 3, 0, 0); !bytes.Equal(k.value, want) {
								t.Errorf("FORWARD TSN says %x, want %x", k.value, want)
							}
						}
					}
				}
				if tt.times != 0 && sent != tt.times {
					t.Errorf("it was sent %d times, want %d", sent, tt.times)
				}
				r.sack(r.theirs.tsn)
				info.TTL = 0
				e := f.await(t, 1)[0]
				if e.Info != info || string(e.Data) != "lost" || !e.Sent || e.Cause != 0 {
					t.Errorf("%#v", e)
				}
				// What is next has the next number.
				if _, err := c.WriteMsg([]byte("next"), sctpnet.MsgInfo{Stream: 3, TTL: time.Hour}); err != nil {
					t.Fatal(err)
				}
				k := r.next(ctData)
				if tsn, ssn := binary.BigEndian.Uint32(k.value), binary.BigEndian.Uint16(k.value[6:]); tsn != r.theirs.tsn+1 || ssn != 1 {
					t.Errorf("the next chunk is %d, the message %d", tsn-r.theirs.tsn, ssn)
				}
				r.sack(r.theirs.tsn + 1)
			})
		})
	}
}

// sack acknowledges all up to a chunk.
func (r *rawPeer) sack(tsn uint32) {
	r.t.Helper()
	v := binary.BigEndian.AppendUint32(nil, tsn)
	v = binary.BigEndian.AppendUint32(v, 1<<20)
	r.sendChunk(ctSACK, 0, append(v, 0, 0, 0, 0))
}

// TestNothingIsGivenUp has a peer that knows nothing of FORWARD TSN: limits have no
// effect.
func TestNothingIsGivenUp(t *testing.T) {
	limit := sctpnet.PartialReliability{Policy: sctpnet.ReliabilityRetransmissions}
	lc := sctpnet.ListenConfig{Config: sctpnet.Config{RTO: quick, PartialReliability: limit}}
	ln, err := lc.Listen(t.Context(), "sctp+udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r := newRawPeer(t, ln.Addr())
	r.own.partial = false
	r.handshake()
	c := accept(t, ln)
	watchdog(t, func() {
		if features, err := c.Features(); features.PartialReliability || err != nil {
			t.Fatalf("the peer has %+v, %v", features, err)
		}
		c.WriteMsg([]byte("a"), sctpnet.MsgInfo{})
		c.WriteMsg([]byte("b"), sctpnet.MsgInfo{TTL: time.Millisecond})
		for seen := 0; seen < 8; {
			_, chunks := r.receive()
			for _, k := range chunks {
				switch k.typ {
				case ctData:
					seen++
				case ctForwardTSN:
					t.Fatal("there is a FORWARD TSN")
				}
			}
		}
		r.sack(r.theirs.tsn + 1)
		conformance.WaitFor(t, "the acknowledgement", func() bool {
			st, err := c.Status()
			return err == nil && st.Unacked == 0
		})
	})
}

// TestHandedBack has the peer abort. What it has not acknowledged is handed back.
func TestHandedBack(t *testing.T) {
	var f failures
	r, c := dialRaw(t, sctpnet.Config{OnEvent: f.onEvent})
	watchdog(t, func() {
		write := func(context uint32, s string) {
			t.Helper()
			if _, err := c.WriteMsg([]byte(s), sctpnet.MsgInfo{Stream: 1, Context: context}); err != nil {
				t.Fatal(err)
			}
		}
		write(1, "acknowledged")
		r.next(ctData)
		r.sack(r.theirs.tsn)
		write(2, "sent")
		large := strings.Repeat("x", 200_000)
		write(3, large) // a part of which is sent
		write(4, "not sent")
		r.send(newPacket(r.header()).addCause(ctAbort, 0, causeUserAbort, nil))
		got := f.await(t, 3)
		for i, want := range []string{"sent", large, "not sent"} {
			e := got[i]
			if string(e.Data) != want || e.Info.Context != uint32(i+2) || e.Sent != (i < 2) || e.Cause != sctpnet.CauseUserAbort {
				t.Errorf("%d: %v, want %.20q", i, e, want)
			}
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Read: %v", err)
		}
	})
}

// TestPriority fills the write buffer. What is more important than what is in it finds
// room there, and what is not waits.
func TestPriority(t *testing.T) {
	var f failures
	r, c := dialRaw(t, sctpnet.Config{OnEvent: f.onEvent, WriteBuffer: 64 << 10})
	watchdog(t, func() {
		write := func(priority uint32, s string) error {
			t.Helper()
			p := sctpnet.PartialReliability{Policy: sctpnet.ReliabilityPriority, Priority: priority}
			if err := c.Set(sctpnet.Config{PartialReliability: p}); err != nil {
				t.Fatal(err)
			}
			if got, err := c.Config(); got.PartialReliability != p || err != nil {
				t.Fatalf("the Config has %+v, %v", got.PartialReliability, err)
			}
			_, err := c.WriteMsg([]byte(s), sctpnet.MsgInfo{})
			return err
		}
		full := strings.Repeat("x", 10_000)
		c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		for err := error(nil); err == nil; {
			if err = write(5, full); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
		}
		c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		if err := write(5, "as important"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("as important: %v", err)
		}
		c.SetWriteDeadline(time.Now().Add(time.Minute))
		if err := write(4, "more important"); err != nil {
			t.Error(err)
		}
		if e := f.await(t, 1)[0]; string(e.Data) != full || e.Sent {
			t.Errorf("given up was %v", e)
		}
		_ = r
	})
}

// TestGivingUpOnBadNetwork sends messages of all kinds while packets are lost and come out
// of order.
func TestGivingUpOnBadNetwork(t *testing.T) {
	badNetwork(t, 10)
	var f failures
	config := sctpnet.Config{RTO: quick, OnEvent: f.onEvent, InitAttempts: 12, WriteBuffer: 100_000, ReadBuffer: 100_000}
	client, server := makeConns(t, config)
	watchdog(t, func() {
		giveUpSome(t, client, server, &f)
		exchange(t, client, server)
	})
}

// giveUpSome sends messages some of which may be given up. What is reliable arrives, and of
// each stream in order; what does not arrive is reported, if f is there for that, and all
// ends.
func giveUpSome(t *testing.T, client, server *sctpnet.Conn, f *failures) {
	t.Helper()
	const messages, streams = 1000, 4
	var order [streams]int
	arrived := make(map[int]bool)
	done := conformance.Start(t, func() (int, error) {
		ends := 0
		for n := 0; ; n++ {
			b, info, err := server.ReadMessage(64 << 10)
			if err != nil {
				return n, err
			}
			if string(b) == "end" {
				if ends++; ends == streams {
					return n, nil
				}
				continue
			}
			var i int
			if _, err := fmt.Sscanf(string(b), "%d.", &i); err != nil || len(b) != sizeOfMessage(i) {
				return n, fmt.Errorf("message %d has %d bytes, %v", i, len(b), err)
			}
			arrived[i] = true
			if info.Unordered {
				continue
			}
			if i < order[info.Stream] {
				return n, fmt.Errorf("stream %d: message %d comes after %d", info.Stream, i, order[info.Stream])
			}
			order[info.Stream] = i
		}
	})
	for i := 1; i <= messages; i++ {
		var p sctpnet.PartialReliability
		isLast := i > messages-streams // of its stream
		switch {
		case i%3 == 0 || isLast:
			p.Policy = -1
		case i%3 == 1:
			p.Policy = sctpnet.ReliabilityRetransmissions
		case i%3 == 2:
			p.Policy, p.TTL = sctpnet.ReliabilityTimed, 20*time.Millisecond
		}
		if err := client.Set(sctpnet.Config{PartialReliability: p}); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(i, ".")
		text += strings.Repeat(".", sizeOfMessage(i)-len(text))
		if _, err := client.WriteMsg([]byte(text), sctpnet.MsgInfo{Stream: uint16(i % streams), Unordered: i%7 == 0 && !isLast}); err != nil {
			t.Fatal(err)
		}
	}
	conformance.WaitFor(t, "the end of all", func() bool {
		st, err := client.Status()
		return err == nil && st.Unacked == 0
	})
	// What arrives of them has arrived by now. Some of it may still wait for a FORWARD
	// TSN, on each stream for its own, so each stream has an end.
	for i := range streams {
		if _, err := client.WriteMsg([]byte("end"), sctpnet.MsgInfo{Stream: uint16(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := done.Result(); err != nil {
		t.Fatal(err)
	}
	missing := 0
	for i := 1; i <= messages; i++ {
		if arrived[i] {
			continue
		}
		missing++
		if i%3 == 0 || i > messages-streams {
			t.Errorf("the reliable message %d has not arrived", i)
		}
	}
	if missing == 0 {
		t.Error("all have arrived")
	}
	if f == nil {
		return
	}
	failed := make(map[int]bool)
	conformance.WaitFor(t, "the report of each message that has not arrived", func() bool {
		for _, e := range f.await(t, missing) {
			var i int
			fmt.Sscanf(string(e.Data), "%d.", &i)
			failed[i] = true
			if i%3 == 0 || i > messages-streams {
				t.Errorf("the reliable message %d was given up", i)
			}
		}
		for i := 1; i <= messages; i++ {
			if !arrived[i] && !failed[i] {
				return false
			}
		}
		return true
	})
	t.Logf("%d messages were given up, %d have not arrived", len(failed), missing)
}

func sizeOfMessage(i int) int { return 10 + i*i%7919 }

// TestPartOfMessageGivenUp has the peer give up a message of which the beginning has
// come, in the ways that there are. It takes no room any more.
func TestPartOfMessageGivenUp(t *testing.T) {
	for _, tt := range []struct {
		name      string
		unordered byte
		early     bool // what follows has come before
	}{{name: "ordered"}, {name: "unordered", unordered: flagUnordered}, {name: "ordered, early", early: true}, {name: "unordered, early", unordered: flagUnordered, early: true}} {
		t.Run(tt.name, func(t *testing.T) {
			r, c, ln := rawPair(t, sctpnet.Config{})
			watchdog(t, func() {
				next := func() {
					r.sendChunk(ctData, flagBegin|flagEnd|tt.unordered, data(r.own.tsn+2, 0, 1, "next"))
				}
				r.sendChunk(ctData, flagBegin|tt.unordered, data(r.own.tsn, 0, 0, "begin"))
				if tt.early {
					next()
				}
				v := binary.BigEndian.AppendUint32(nil, r.own.tsn+1)
				if tt.unordered == 0 {
					v = append(v, 0, 0, 0, 0)
				}
				r.sendChunk(ctForwardTSN, 0, v)
				if !tt.early {
					next()
				}
				wantRead(t, c, "next")
				// The same, where FORWARD TSN names the last chunk that was sent, as Linux does,
				// and what is missing is the message before.
				if tt.early {
					r.sendChunk(ctData, flagBegin|flagEnd|tt.unordered, data(r.own.tsn+5, 0, 4, "next"))
				}
				r.sendChunk(ctData, flagBegin|tt.unordered, data(r.own.tsn+4, 0, 3, "begin"))
				v = binary.BigEndian.AppendUint32(nil, r.own.tsn+4)
				if tt.unordered == 0 {
					v = append(v, 0, 0, 0, 3)
				}
				r.sendChunk(ctForwardTSN, 0, v)
				if !tt.early {
					r.sendChunk(ctData, flagBegin|flagEnd|tt.unordered, data(r.own.tsn+5, 0, 4, "next"))
				}
				r.sendChunk(ctData, flagBegin|flagEnd|tt.unordered, data(r.own.tsn+6, 0, 5, "last"))
				r.awaitAck(r.own.tsn + 6)
				got := ""
				for len(got) < len("nextlast") {
					buf := make([]byte, 100)
					n, err := c.Read(buf)
					if got += string(buf[:n]); err != nil {
						t.Fatal(err)
					}
				}
				if got != "nextlast" {
					t.Errorf("read %q", got)
				}
				a := assocOf(t, ln, r.tag)
				a.mu.Lock()
				defer a.mu.Unlock()
				if n := a.rx.held.n; n != 0 || len(a.rx.byFirst)+len(a.rx.byLast) != 0 {
					t.Errorf("%d bytes are held, in %d parts of messages", n, len(a.rx.byFirst))
				}
			})
		})
	}
}
