package udpencap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// holdReset holds up the next packet that asks for a reset of streams, and its
// repetitions, until release is called or the test ends. held is closed when
// there is one.
func holdReset(t *testing.T) (held <-chan struct{}, release func()) {
	came := make(chan struct{})
	var mu sync.Mutex
	var packet []byte
	pass := func() {}
	f := func(_ path, b []byte, send func([]byte)) {
		mu.Lock()
		defer mu.Unlock()
		if packet == nil && asksForReset(b) {
			packet = slices.Clone(b)
			pass = func() { send(packet) }
			close(came)
		}
		if !bytes.Equal(b, packet) {
			send(b)
		}
	}
	transport.Store(&f)
	t.Cleanup(func() { transport.Store(nil) })
	return came, func() {
		transport.Store(nil)
		mu.Lock()
		defer mu.Unlock()
		pass()
	}
}

func asksForReset(b []byte) bool {
	_, rest, _ := parseHeader(b)
	c, _, ok := nextChunk(rest)
	return ok && c.typ == ctReconfig && binary.BigEndian.Uint16(c.value) == paramResetOutgoing
}

// TestLateStop has the peer of a closed stream write on, so that it is told to
// stop, and holds that up until the stream is closed at both ends and its number
// in use again. That use must not take it for its own end.
func TestLateStop(t *testing.T) {
	client, server := makeConns(t, sctpnet.Config{})
	for id, tt := range []struct {
		name  string
		by, c *sctpnet.Conn // by closes, c is told to stop, and begins again
	}{
		{"client closes", client, server},
		{"server closes", server, client},
	} {
		t.Run(tt.name, func(t *testing.T) {
			watchdog(t, func() {
				claim := func(c *sctpnet.Conn) *sctpnet.Stream {
					t.Helper()
					s, err := c.Stream(uint16(1 + id)) // stream 0 is not accepted
					if err != nil {
						t.Fatal(err)
					}
					return s
				}
				wantEOF := func(s *sctpnet.Stream) {
					t.Helper()
					if n, err := s.Read(make([]byte, 1)); err != io.EOF {
						t.Fatalf("read %d bytes, %v, want EOF", n, err)
					}
				}
				closed, s := claim(tt.by), claim(tt.c)
				exchange(t, closed, s)
				if err := closed.Close(); err != nil {
					t.Fatal(err)
				}
				wantEOF(s)
				held, release := holdReset(t)
				for isHeld := false; !isHeld; {
					if _, err := s.Write([]byte("x")); err != nil {
						t.Fatal(err)
					}
					select {
					case <-held:
						isHeld = true
					default:
					}
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				again := claim(tt.c)
				if _, err := again.Write([]byte("again")); err != nil {
					t.Fatal(err)
				}
				accepted, err := tt.by.AcceptStream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 10)
				if n, err := accepted.Read(b); string(b[:n]) != "again" || err != nil {
					t.Fatalf("read %q, %v", b[:n], err)
				}
				release()
				exchange(t, accepted, again)
				// It ends as any stream.
				if err := accepted.Close(); err != nil {
					t.Fatal(err)
				}
				wantEOF(again)
				for err == nil {
					_, err = again.Write([]byte("x"))
				}
				if !errors.Is(err, syscall.EPIPE) {
					t.Errorf("Write: %v, want EPIPE", err)
				}
				again.Close()
			})
		})
	}
}

// TestResetOfUnknownStreams has the peer ask for resets of streams that there are, and of one
// that there is not. It is told so, and nothing of ours is asked for.
func TestResetOfUnknownStreams(t *testing.T) {
	for _, kind := range []uint16{paramResetOutgoing, paramResetIncoming} {
		r, c, _ := rawPair(t, sctpnet.Config{})
		st, err := c.Status()
		if err != nil {
			t.Fatal(err)
		}
		streams := st.OutStreams
		v := binary.BigEndian.AppendUint32(nil, r.own.tsn)
		if kind == paramResetOutgoing {
			v = binary.BigEndian.AppendUint32(v, r.theirs.tsn-1)
			v = binary.BigEndian.AppendUint32(v, r.own.tsn-1)
			streams = st.InStreams
		}
		v = binary.BigEndian.AppendUint16(v, uint16(streams-1))
		v = binary.BigEndian.AppendUint16(v, uint16(streams))
		r.sendChunk(ctReconfig, 0, appendParam(nil, kind, v))
		_, k := r.await(ctReconfig)
		if want := response(r.own.tsn, resultWrongSSN); !bytes.Equal(k.value, want) {
			t.Errorf("request %d is answered by %x, want %x", kind, k.value, want)
		}
	}
}

// answerResets has the peer answer each request by a result, and returns how many came.
func (c *clocked) answerResets(result uint32) (requests *int) {
	requests = new(int)
	c.answer = func(k clockedChunk) {
		if k.typ == ctReconfig && binary.BigEndian.Uint16(k.value) == paramResetOutgoing {
			*requests++
			c.send(ctReconfig, 0, response(binary.BigEndian.Uint32(k.value[4:]), result))
		}
	}
	return requests
}

// TestResetInProgress has the peer say again and again that a reset has to wait. It is there,
// and so it is asked for ever.
func TestResetInProgress(t *testing.T) {
	onClock(t, func(c *clocked) {
		a := c.assoc
		a.retry.most = 3
		n := c.answerResets(resultInProgress)
		if err := (owner{a}).ResetStreams([]uint16{1}); err != nil {
			t.Fatal(err)
		}
		c.pass(time.Minute)
		if *n < 30 || a.isEnded() {
			t.Errorf("it was asked %d times, and has ended: %t", *n, a.isEnded())
		}
		c.answerResets(resultPerformed)
		c.pass(2 * time.Second)
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.rst.request != nil {
			t.Error("the request goes on")
		}
	})
}

// TestAnswerToEarlierReset has the answer to a request come again, after the next one was sent.
// It is none to that.
func TestAnswerToEarlierReset(t *testing.T) {
	onClock(t, func(c *clocked) {
		a := c.assoc
		for i := range uint32(2) {
			if err := (owner{a}).ResetStreams([]uint16{1}); err != nil {
				t.Fatal(err)
			}
			c.send(ctReconfig, 0, response(targetTSN, resultPerformed))
			c.pass(2 * clockedDelay)
			a.mu.Lock()
			if pending := a.rst.request != nil; pending != (i == 1) {
				t.Errorf("request %d is pending: %t", i, pending)
			}
			a.mu.Unlock()
		}
	})
}

// TestMostStreams has the peer add streams, up to as many as there are numbers.
func TestMostStreams(t *testing.T) {
	onClock(t, func(c *clocked) {
		a := c.assoc
		a.options.PeerAdds = true
		add := func(n uint32, more int) (result uint32) {
			t.Helper()
			v := binary.BigEndian.AppendUint32(nil, peerTSN+n)
			v = binary.BigEndian.AppendUint16(v, uint16(more))
			c.send(ctReconfig, 0, appendParam(nil, paramAddOutgoing, append(v, 0, 0)))
			c.pass(2 * clockedDelay)
			return binary.BigEndian.Uint32(c.all(ctReconfig)[0].value[8:])
		}
		free := 1<<16 - 1 - int(a.in.Load())
		if got := add(0, free+1); got != resultDenied {
			t.Errorf("one too many: %d", got)
		}
		if got := add(1, free); got != resultPerformed {
			t.Errorf("all that are left: %d", got)
		}
		if _, in := a.Streams(true); in != 1<<16-1 {
			t.Errorf("there are %d streams", in)
		}
	})
}

// TestBothAskForStreams has both ends ask each other for more streams of the other's. The one
// that is asked while it waits for an answer denies it, as both would wait for ever.
func TestBothAskForStreams(t *testing.T) {
	onClock(t, func(c *clocked) {
		a := c.assoc
		a.options.PeerAdds = true
		if err := a.AddStreams(0, 1); err != nil {
			t.Fatal(err)
		}
		v := binary.BigEndian.AppendUint32(nil, peerTSN)
		c.send(ctReconfig, 0, appendParam(nil, paramAddIncoming, append(v, 0, 1, 0, 0)))
		c.pass(2 * clockedDelay)
		all := c.all(ctReconfig)
		if got := all[len(all)-1].value; !bytes.Equal(got, response(peerTSN, resultDenied)) {
			t.Errorf("it is answered by %x", got)
		}
	})
}

// TestNothingIsSentWhileAllIsReset has a reset of all streams wait for its answer. No message
// is sent meanwhile.
func TestNothingIsSentWhileAllIsReset(t *testing.T) {
	onClock(t, func(c *clocked) {
		o := owner{c.assoc}
		if err := o.ResetStreams(nil); err != nil {
			t.Fatal(err)
		}
		if _, err := o.TrySend([]byte("x"), engine.Message{Stream: 3}); err != engine.ErrFull {
			t.Errorf("TrySend: %v, want ErrFull", err)
		}
		c.send(ctReconfig, 0, response(targetTSN, resultPerformed))
		c.pass(2 * clockedDelay)
		if _, err := o.TrySend([]byte("x"), engine.Message{Stream: 3}); err != nil {
			t.Errorf("then TrySend: %v", err)
		}
	})
}

// TestResetDropsWhatWaits has the peer reset a stream on which messages wait for one that never
// came. They take no memory any more.
func TestResetDropsWhatWaits(t *testing.T) {
	onClock(t, func(c *clocked) {
		for n := range uint32(2) { // with the same number
			c.send(ctData, flagBegin|flagEnd, data(peerTSN+n, 1, 1, "waits"))
		}
		c.pass(2 * clockedDelay)
		r := &c.assoc.rx
		if one := newFragment([]byte("waits")).cost(); r.held.n != one {
			t.Errorf("%d bytes are held, want those of one message, %d", r.held.n, one)
		}
		v := binary.BigEndian.AppendUint32(nil, peerTSN)
		v = binary.BigEndian.AppendUint32(v, targetTSN-1)
		v = binary.BigEndian.AppendUint32(v, peerTSN+1)
		c.send(ctReconfig, 0, appendParam(nil, paramResetOutgoing, append(v, 0, 1)))
		c.pass(2 * clockedDelay)
		if r.held.n != 0 {
			t.Errorf("%d bytes are held after the reset", r.held.n)
		}
	})
}
