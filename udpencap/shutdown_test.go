package udpencap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// impatient gives a silent peer up after a quarter of a second, or a few where all
// is slow.
var impatient = sctpnet.Config{
	RTO:         sctpnet.RTO{Initial: 20 * patience, Min: 20 * patience, Max: 100 * patience},
	AssocParams: sctpnet.AssocParams{MaxRetransmissions: 3},
}

const patience = min(conformance.Slowness, 5) * time.Millisecond

// waitForState waits until an association is in a state, or has ended.
func waitForState(t *testing.T, a *assoc, want sctpnet.State) {
	t.Helper()
	var is sctpnet.State
	conformance.WaitFor(t, want.String(), func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		is = sctpnet.State(a.state)
		return is == want || is == sctpnet.StateClosed
	})
	if is != want {
		t.Fatalf("it has ended before it was %v", want)
	}
}

// TestSilenceInShutdown has the peer fall silent in each state between an
// established association and none.
func TestSilenceInShutdown(t *testing.T) {
	write := func(t *testing.T, r *rawPeer, c *sctpnet.Conn) {
		if _, err := c.Write([]byte("anybody there?")); err != nil {
			t.Fatal(err)
		}
		r.await(ctData)
	}
	shutdown := func(r *rawPeer) { // which acknowledges nothing
		r.sendChunk(ctShutdown, 0, binary.BigEndian.AppendUint32(nil, r.theirs.tsn-1))
	}
	for _, tt := range []struct {
		state sctpnet.State
		enter func(t *testing.T, r *rawPeer, c *sctpnet.Conn)
		want  error
	}{
		{sctpnet.StateShutdownPending, func(t *testing.T, r *rawPeer, c *sctpnet.Conn) {
			write(t, r, c)
			c.Shutdown()
		}, syscall.ETIMEDOUT},
		{sctpnet.StateShutdownSent, func(t *testing.T, r *rawPeer, c *sctpnet.Conn) {
			c.Shutdown()
		}, syscall.ETIMEDOUT},
		{sctpnet.StateShutdownReceived, func(t *testing.T, r *rawPeer, c *sctpnet.Conn) {
			write(t, r, c)
			shutdown(r)
		}, syscall.ETIMEDOUT},
		{sctpnet.StateShutdownAckSent, func(t *testing.T, r *rawPeer, c *sctpnet.Conn) {
			shutdown(r)
		}, io.EOF}, // all has arrived
	} {
		for _, how := range []struct {
			name string
			path sctpnet.PathParams
		}{
			{"", sctpnet.PathParams{NoHeartbeat: true}},
			{"Heartbeats", sctpnet.PathParams{HeartbeatInterval: 10 * time.Millisecond}},
		} {
			t.Run(tt.state.String()+how.name, func(t *testing.T) {
				t.Parallel()
				config := impatient
				config.PathParams = how.path
				r, c, ln := rawPair(t, config)
				a := assocOf(t, ln, r.tag)
				tt.enter(t, r, c)
				waitForState(t, a, tt.state)
				waitForState(t, a, sctpnet.StateClosed)
				for range 3 {
					if n, err := c.Read(make([]byte, 10)); !errors.Is(err, tt.want) {
						t.Errorf("Read returned %d, %v; want %v", n, err, tt.want)
					}
				}
				r.await(ctAbort) // it is told, if it is there after all
			})
		}
	}
}

// TestShutdownSlowReader ends one direction while the other has much to come,
// and reads it only when a silent peer would have been given up long ago. The
// peer asks seldom whether there is room.
func TestShutdownSlowReader(t *testing.T) {
	const rto = 3000 * patience
	lc := sctpnet.ListenConfig{Config: sctpnet.Config{RTO: sctpnet.RTO{Initial: rto, Min: rto}}}
	ln, err := lc.Listen(t.Context(), "sctp+udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	config := impatient
	config.ReadBuffer = 64 << 10
	c := dial(t, &sctpnet.Dialer{Config: config}, ln.Addr().String())
	s := accept(t, ln)
	watchdog(t, func() {
		want := bytes.Repeat([]byte("unread"), 100_000)
		if _, err := s.Write(want); err != nil {
			t.Fatal(err)
		}
		before, err := c.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Shutdown(); err != nil {
			t.Fatal(err)
		}
		conformance.WaitFor(t, "many a SHUTDOWN", func() bool {
			now, err := c.Stats()
			return err != nil || now.ControlSent > before.ControlSent+15
		})
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes of %d, %v", len(got), len(want), err)
		}
	})
}

// TestRoomAfterShutdown reads in SHUTDOWN-SENT what has filled the window, of
// which the peer must be told.
func TestRoomAfterShutdown(t *testing.T) {
	r, c, _ := rawPair(t, sctpnet.Config{ReadBuffer: 64 << 10})
	c.Shutdown()
	r.await(ctShutdown)
	body := strings.Repeat("x", 1000)
	room := func() uint32 {
		_, sack := r.await(ctSACK)
		return binary.BigEndian.Uint32(sack.value[4:])
	}
	n := uint16(0)
	for window := uint32(1 << 16); window >= 1500; n++ {
		r.write(n, body)
		window = room()
	}
	for range n {
		if k, err := c.Read(make([]byte, len(body))); k != len(body) || err != nil {
			t.Fatalf("read %d bytes, %v", k, err)
		}
	}
	for room() < 16<<10 {
	}
}

// TestLivingPeerInShutdown has a peer that has more to send, as its silence
// to SHUTDOWN may mean, and shows otherwise that it is there.
func TestLivingPeerInShutdown(t *testing.T) {
	for name, answer := range map[string]func(t *testing.T, r *rawPeer, n uint16){
		"Heartbeats": func(t *testing.T, r *rawPeer, _ uint16) {
			r.sendChunk(ctHeartbeatAck, 0, r.next(ctHeartbeat).value)
		},
		"Data": func(t *testing.T, r *rawPeer, n uint16) {
			r.write(n, "x")
			r.next(ctShutdown) // at once,
			r.next(ctShutdown) // and again
		},
		"OwnHeartbeats": func(t *testing.T, r *rawPeer, _ uint16) {
			r.sendChunk(ctHeartbeat, 0, nil)
			r.next(ctShutdown)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, c, _ := rawPair(t, impatient)
			if name == "Heartbeats" {
				r.write(0, "x") // which nobody reads: there may be no room for more
				r.await(ctSACK)
			}
			c.Shutdown()
			r.next(ctShutdown)
			for n := range uint16(16) {
				answer(t, r, n)
			}
			r.sendChunk(ctShutdownAck, 0, nil)
			r.next(ctShutdownComplete)
			if _, err := io.ReadAll(c); err != nil {
				t.Errorf("Read: %v", err)
			}
		})
	}
}

// TestShutdownGuard has a peer that sends on and on in SHUTDOWN-SENT, first for
// one that reads and then for nobody.
func TestShutdownGuard(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	a := assocOf(t, ln, r.tag)
	end := func() time.Time {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.flushTimer.at
	}
	write := func(flags byte, n uint16) {
		t.Helper()
		r.sendChunk(ctData, flags, data(r.own.tsn+uint32(n), 0, n, "x"))
		_, sack := r.await(ctSACK)
		if tsn := binary.BigEndian.Uint32(sack.value); tsn != r.own.tsn+uint32(n) {
			t.Fatalf("acknowledged up to %d", tsn)
		}
	}
	if !end().IsZero() {
		t.Error("an end is set to an association that is established")
	}
	c.Shutdown()
	at := end()
	if left := time.Until(at); left > 300*time.Second || left < 200*time.Second {
		t.Fatalf("the association has %v", left)
	}
	moved := func(want bool, when string) {
		t.Helper()
		is := end()
		if is.After(at) != want {
			t.Errorf("%s: the end was moved: %t", when, !want)
		}
		at = is
	}
	write(flagBegin|flagEnd, 0)
	moved(false, "unread")
	wantRead(t, c, "x")
	moved(true, "read")
	read := conformance.Start(t, func() (int, error) { return c.Read(make([]byte, 10)) })
	read.Waits()
	write(flagBegin, 1)
	moved(true, "a reader waits")
	r.sendChunk(ctData, flagEnd, data(r.own.tsn+2, 0, 1, "y"))
	if n, err := read.Result(); n != 2 || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	r.sendChunk(ctData, flagBegin|flagEnd, data(r.own.tsn+3, 0, 2, "last"))
	for {
		if _, sack := r.await(ctSACK); binary.BigEndian.Uint32(sack.value) == r.own.tsn+3 {
			break
		}
	}
	a.mu.Lock()
	a.flushTimer.start(0)
	a.mu.Unlock()
	r.await(ctAbort)
	wantRead(t, c, "last")
	if n, err := c.Read(make([]byte, 10)); !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("Read returned %d, %v; want ETIMEDOUT", n, err)
	}
}

// TestShutdownAcknowledges has DATA whose acknowledgement is delayed be followed by SHUTDOWN,
// which acknowledges it. No SACK comes after that.
func TestShutdownAcknowledges(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	a := assocOf(t, ln, r.tag)
	r.write(0, "x")
	r.await(ctSACK) // the first one is acknowledged at once
	r.write(1, "y")
	r.ping()
	c.Shutdown()
	if _, k := r.await(ctShutdown); binary.BigEndian.Uint32(k.value) != r.own.tsn+1 {
		t.Errorf("SHUTDOWN acknowledges %d", binary.BigEndian.Uint32(k.value))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ackTimer.isRunning() {
		t.Error("a SACK is due after SHUTDOWN")
	}
}

// TestCrossingShutdownBeginsAnew has SHUTDOWNs cross after one was sent again and again. The
// peer has as much time for SHUTDOWN ACK as if it were the first.
func TestCrossingShutdownBeginsAnew(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	a := assocOf(t, ln, r.tag)
	c.Shutdown()
	r.await(ctShutdown)
	a.mu.Lock()
	a.ctrlCount = a.retry.most
	a.mu.Unlock()
	r.sendChunk(ctShutdown, 0, binary.BigEndian.AppendUint32(nil, r.theirs.tsn-1))
	r.await(ctShutdownAck)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctrlCount != 0 {
		t.Errorf("%d attempts count for SHUTDOWN ACK", a.ctrlCount)
	}
}

// TestShutdownAgainAcknowledges has the peer acknowledge by SHUTDOWN alone, in SHUTDOWN-RECEIVED.
func TestShutdownAgainAcknowledges(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	a := assocOf(t, ln, r.tag)
	inFlight(t, r, c, 2)
	for n := range uint32(3) {
		r.sendChunk(ctShutdown, 0, binary.BigEndian.AppendUint32(nil, r.theirs.tsn-1+n))
		r.ping()
		a.mu.Lock()
		if left := a.snd.Unacked(); left != int(2-n) {
			t.Errorf("after %d chunks were acknowledged %d are left", n, left)
		}
		a.mu.Unlock()
	}
}

// TestCrossingShutdownThenSilence has SHUTDOWNs cross, and the peer fall silent. All has
// arrived by then, so what is read is the end however long SHUTDOWN ACK is repeated. After
// Close there is no more time than Close has.
func TestCrossingShutdownThenSilence(t *testing.T) {
	cross := func(c *clocked) {
		c.pass(time.Second / 2)
		c.send(ctShutdown, 0, binary.BigEndian.AppendUint32(nil, targetTSN-1))
	}
	onClock(t, func(c *clocked) {
		c.assoc.Shutdown()
		cross(c)
		c.pass(10 * time.Minute)
		if n := len(c.times(ctShutdownAck)); n != 1+maxRetrans {
			t.Errorf("there were %d SHUTDOWN ACKs, want %d", n, 1+maxRetrans)
		}
		if _, _, err := c.assoc.Recv(make([]byte, 1), false); err != io.EOF {
			t.Errorf("Recv: %v, want EOF", err)
		}
	})
	onClock(t, func(c *clocked) {
		c.assoc.Close()
		cross(c)
		c.pass(flushLimit)
		if !c.assoc.isEnded() {
			t.Errorf("%v after Close it is %v", flushLimit, c.assoc.state)
		}
	})
}

// TestOneHeartbeatInShutdown has the peer, in SHUTDOWN-SENT, be slow to answer a HEARTBEAT.
// SHUTDOWN is sent again before that, but no other HEARTBEAT, and the answer counts.
func TestOneHeartbeatInShutdown(t *testing.T) {
	onClock(t, func(c *clocked) {
		a := c.assoc
		write := func(n uint32) {
			c.send(ctData, flagBegin|flagEnd, data(peerTSN+n, 0, uint16(n), "x")) // which nobody reads
		}
		write(0)
		c.pass(time.Second / 2)
		a.Shutdown()
		c.pass(2500 * time.Millisecond) // SHUTDOWN and a HEARTBEAT after 1 s; the latter is not answered in time
		if n := len(c.times(ctHeartbeat)); n != 1 {
			t.Fatalf("there were %d HEARTBEATs", n)
		}
		c.pass(time.Second) // both again
		if n := len(c.times(ctHeartbeat)); n != 1 {
			t.Fatalf("there were %d more HEARTBEATs", n)
		}
		info := c.all(ctHeartbeat)[0].value
		write(1) // after which SHUTDOWN is sent again sooner
		c.pass(1200 * time.Millisecond)
		if n, more := len(c.times(ctHeartbeat)), len(c.times(ctShutdown)); n != 0 || more != 2 {
			t.Errorf("there were %d HEARTBEATs and %d SHUTDOWNs, want 0 and 2", n, more)
		}
		c.send(ctHeartbeatAck, 0, info)
		c.pass(2 * clockedDelay)
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.retry.SRTT == 0 {
			t.Error("the answer does not count")
		}
	})
}

// TestCloseIsOverInTime has the peer acknowledge what was written before Close so slowly
// that it would take hours.
func TestCloseIsOverInTime(t *testing.T) {
	onClock(t, func(c *clocked) {
		a := c.assoc
		acked := uint32(0)
		a.retry.most = 1000
		c.answer = func(k clockedChunk) {
			if k.typ == ctData && len(c.times(ctData)) == 1 { // one of those that come together
				acked++
				c.send(ctSACK, 0, windowed(targetTSN-1+acked, 1<<20))
			}
		}
		for range 5000 {
			c.write([]byte("x"))
		}
		a.Close()
		for range 11 {
			c.pass(10 * time.Second)
			if a.isEnded() {
				t.Fatalf("it has ended after %d chunks", acked)
			}
		}
		c.pass(closeLimit - 11*10*time.Second)
		if !a.isEnded() {
			t.Errorf("%v after Close it is %v", closeLimit, a.state)
		}
	})
}
