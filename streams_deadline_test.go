package sctpnet_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/conformance"
)

// wantDeadline checks that a call failed because of a deadline set from now on,
// and that it did so in time.
func wantDeadline(t *testing.T, what string, err error, start time.Time, d time.Duration) {
	t.Helper()
	took := time.Since(start)
	wantError(t, what, err, os.ErrDeadlineExceeded)
	var nerr net.Error
	if !errors.As(err, &nerr) || !nerr.Timeout() {
		t.Errorf("%s: %v: is no timeout", what, err)
	}
	if took < d || took > d+atOnce {
		t.Errorf("%s took %v, want %v", what, took, d)
	}
}

// TestStreamWriteDeadlines has several streams and the Conn wait for room, each
// with a deadline of its own, while one that has none holds the turn.
func TestStreamWriteDeadlines(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			holder, holderPeer := streamPair(t, client, server)
			n := fill(t, holder)
			holds := conformance.Start(t, func() (int, error) { return holder.Write(ballast()[n : n+100_000]) })
			holds.Waits()
			s1, _ := streamPair(t, client, server)
			s2, _ := streamPair(t, client, server)
			writers := []struct {
				c    net.Conn
				d    time.Duration
				call *conformance.Call
			}{
				{c: s1, d: 100 * time.Millisecond},
				{c: s2, d: 50 * time.Millisecond},
				{c: client, d: 150 * time.Millisecond},
				{c: s2, d: 50 * time.Millisecond}, // waits for the other Write as well
			}
			start := time.Now()
			for i := range writers {
				w := &writers[i]
				w.c.SetWriteDeadline(start.Add(w.d))
				w.call = conformance.Start(t, func() (int, error) { return w.c.Write(ballast()) })
			}
			for _, i := range []int{1, 3, 0, 2} {
				w := writers[i]
				n, err := w.call.Result()
				if n != 0 {
					t.Errorf("wrote %d bytes", n)
				}
				wantDeadline(t, "Write", err, start, w.d)
			}
			holds.Waits()

			// The one that holds the turn has its deadline too, moved twice.
			start = time.Now()
			holder.SetWriteDeadline(start.Add(20 * time.Second))
			holder.SetWriteDeadline(start.Add(50 * time.Millisecond))
			k, err := holds.Result()
			wantDeadline(t, "Write with the turn", err, start, 50*time.Millisecond)

			// And then nothing is in the way of the others.
			holder.SetWriteDeadline(time.Time{})
			w := conformance.Start(t, func() (int, error) {
				s1.SetWriteDeadline(time.Time{})
				return s1.Write([]byte("x"))
			})
			wantBytes(t, holderPeer, ballast()[:n+k])
			if n, err := w.Result(); n != 1 || err != nil {
				t.Errorf("Write returned %d, %v", n, err)
			}
		})
	})
}

// TestStreamShortTurn has a Write with a deadline hold the turn, and one without
// wait behind it: that one is not cut off.
func TestStreamShortTurn(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		const d = 2 * time.Second // by when the calls wait, on a busy machine too
		watchdog(t, func() {
			s1, p1 := streamPair(t, client, server)
			s2, p2 := streamPair(t, client, server)
			n := fill(t, s1)
			start := time.Now()
			s1.SetWriteDeadline(start.Add(d))
			w1 := conformance.Start(t, func() (int, error) { return s1.Write(ballast()[n:]) })
			w1.Waits()
			w2 := conformance.Start(t, func() (int, error) { return s2.Write(ballast()[:200_000]) })
			k, err := w1.Result()
			wantDeadline(t, "Write", err, start, d)
			w2.Waits()
			wantBytes(t, p1, ballast()[:n+k])
			wantBytes(t, p2, ballast()[:200_000])
			if n, err := w2.Result(); n != 200_000 || err != nil {
				t.Errorf("Write returned %d, %v", n, err)
			}
		})
	})
}

// TestStreamReadDeadlines has several streams and the Conn wait for data, each
// with a deadline of its own.
func TestStreamReadDeadlines(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			never, neverPeer := streamPair(t, client, server)
			s1, p1 := streamPair(t, client, server)
			s2, _ := streamPair(t, client, server)
			waits := conformance.Start(t, func() (int, error) { return never.Read(make([]byte, 10)) })
			readers := []struct {
				c    net.Conn
				d    time.Duration
				call *conformance.Call
			}{
				{c: s1, d: 100 * time.Millisecond},
				{c: s2, d: 50 * time.Millisecond},
				{c: client, d: 150 * time.Millisecond},
				{c: s2, d: 50 * time.Millisecond},
			}
			start := time.Now()
			for i := range readers {
				r := &readers[i]
				r.c.SetReadDeadline(start.Add(r.d))
				r.call = conformance.Start(t, func() (int, error) { return r.c.Read(make([]byte, 10)) })
			}
			for _, i := range []int{1, 3, 0, 2} {
				_, err := readers[i].call.Result()
				wantDeadline(t, "Read", err, start, readers[i].d)
			}
			waits.Waits()
			// A Read that ran into its deadline has lost nothing, and its deadline
			// is for reading only.
			write(t, p1, "late")
			write(t, s1, "meanwhile")
			wantBytes(t, p1, []byte("meanwhile"))
			s1.SetReadDeadline(time.Time{})
			wantBytes(t, s1, []byte("late"))
			write(t, neverPeer, "x")
			if n, err := waits.Result(); n != 1 || err != nil {
				t.Errorf("Read returned %d, %v", n, err)
			}
		})
	})
}
