package udpencap

import (
	"errors"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// withBudget has the associations of the test share so much memory.
func withBudget(t *testing.T, most int64) {
	t.Helper()
	before := budgetOfProcess.most.Swap(most)
	t.Cleanup(func() { budgetOfProcess.most.Store(before) })
}

// wantUsed waits until the associations of the process hold no more than before.
func wantUsed(t *testing.T, before int64) {
	t.Helper()
	conformance.WaitFor(t, "the end of what is held", func() bool {
		runtime.GC()
		return budgetOfProcess.used.Load() <= before
	})
}

// TestMemoryOfProcess has peers fill their associations, with messages that nobody
// reads and with parts of messages. Together these take no more than there is for the
// process, and another association has some of it. When all are closed, so does nobody.
func TestMemoryOfProcess(t *testing.T) {
	const most, peers = 4 << 20, 40
	for _, flags := range []byte{flagBegin, flagBegin | flagEnd} {
		before := budgetOfProcess.used.Load()
		withBudget(t, before+most)
		ln := listen(t, "sctp+udp", "127.0.0.1:0")
		watchdog(t, func() {
			var conns []*sctpnet.Conn
			body := strings.Repeat("x", 1000)
			for i := range peers {
				r := newRawPeer(t, ln.Addr())
				r.src += uint16(i)
				r.handshake()
				conns = append(conns, accept(t, ln))
				r.sendData(1500, func(n int) (byte, []byte) {
					return flags, data(r.own.tsn+2*uint32(n), 0, uint16(n), body)
				})
			}
			if got := budgetOfProcess.used.Load() - before; got > most+peers*(leastShare+2048) || got < most/2 {
				t.Errorf("%d associations hold %d bytes, want about %d", peers, got, most)
			}
			c := dial(t, nil, ln.Addr().String())
			exchange(t, c, accept(t, ln))
			for _, c := range conns {
				c.Abort()
			}
			wantUsed(t, before)
		})
	}
}

// TestMemoryGivenBack ends associations in all the ways there are while something is
// unread. What they held is given back when nobody can read it any more.
func TestMemoryGivenBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(r *rawPeer, c *sctpnet.Conn)
	}{
		{"Close", func(_ *rawPeer, c *sctpnet.Conn) { c.Close() }},
		{"Abort", func(_ *rawPeer, c *sctpnet.Conn) { c.Abort() }},
		{"reading and Close", func(_ *rawPeer, c *sctpnet.Conn) {
			c.Read(make([]byte, 1000))
			c.Close()
		}},
		{"the peer's ABORT and Close", func(r *rawPeer, c *sctpnet.Conn) {
			r.sendChunk(ctAbort, 0, nil)
			readToEnd(c)
			c.Close()
		}},
		{"Close, and then the peer's ABORT", func(r *rawPeer, c *sctpnet.Conn) {
			c.Close()
			r.sendChunk(ctAbort, 0, nil)
		}},
		{"Shutdown", func(r *rawPeer, c *sctpnet.Conn) {
			c.Shutdown()
			r.await(ctShutdown)
			r.sendChunk(ctShutdownAck, 0, nil)
			readToEnd(c)
			c.Close()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := budgetOfProcess.used.Load()
			r, c, ln := rawPair(t, sctpnet.Config{})
			watchdog(t, func() {
				r.write(0, "message")
				r.write(1, "another one")
				r.sendChunk(ctData, flagBegin, data(r.own.tsn+2, 0, 2, "a part"))
				r.sendChunk(ctData, flagBegin|flagEnd, data(r.own.tsn+10, 0, 9, "a late one"))
				r.awaitAck(r.own.tsn + 2)
				if got := budgetOfProcess.used.Load() - before; got < 4*chunkCost {
					t.Fatalf("%d bytes are held", got)
				}
				tt.end(r, c)
				wantUsed(t, before)
				runtime.KeepAlive(c)
				runtime.KeepAlive(ln)
			})
		})
	}
}

// readToEnd reads until an error.
func readToEnd(c *sctpnet.Conn) {
	for {
		if _, err := c.Read(make([]byte, 1000)); err != nil {
			return
		}
	}
}

// TestMemoryOfForgotten has an association end that nobody closes or reads.
func TestMemoryOfForgotten(t *testing.T) {
	before := budgetOfProcess.used.Load()
	ln := listen(t, "sctp+udp", "127.0.0.1:0")
	watchdog(t, func() {
		r := newRawPeer(t, ln.Addr())
		r.handshake()
		func() {
			c, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			r.write(0, "message")
			r.write(1, "message")
			r.awaitAck(r.own.tsn + 1)
			r.sendChunk(ctAbort, 0, nil)
			for b := make([]byte, 1); ; {
				if _, err := c.Write(b); errors.Is(err, syscall.ECONNRESET) {
					break
				}
			}
		}()
		wantUsed(t, before)
	})
}

// TestWindowFitsSocket asks for receive buffers. The window that the peer is told of is
// half of each, and never more than the system keeps for the socket.
func TestWindowFitsSocket(t *testing.T) {
	for _, buffer := range []int{0, 64 << 10, 1 << 20, 64 << 20, 1<<31 - 1} {
		r, _, ln := rawPair(t, sctpnet.Config{ReadBuffer: buffer})
		a := assocOf(t, ln, r.tag)
		s := socketOf(ln)
		a.mu.Lock()
		got := a.rx.room()
		a.mu.Unlock()
		granted := int(s.granted.Load())
		if want := min(bufferSize(buffer)/2, granted, int(budgetOfProcess.most.Load())); got > want || got < want-int(budgetOfProcess.used.Load()) {
			t.Errorf("ReadBuffer %d: a window of %d, want %d; the socket has %d", buffer, got, want, granted)
		}
		s.granted.Store(100_000)
		r.src++
		r.handshake()
		a = assocOf(t, ln, r.tag)
		accept(t, ln)
		a.mu.Lock()
		got = a.rx.room()
		a.mu.Unlock()
		if got > 100_000 {
			t.Errorf("ReadBuffer %d: a window of %d, and the socket has 100000", buffer, got)
		}
	}
}
