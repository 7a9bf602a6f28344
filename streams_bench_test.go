package sctpnet_test

import (
	"io"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// BenchmarkMsg sends and receives one message in turn, with its info.
func BenchmarkMsg(b *testing.B) {
	for _, m := range messengers {
		b.Run(m.name, func(b *testing.B) {
			c1, c2 := pipe(b, "sctp4", "127.0.0.1:0")
			m1, m2 := m.make(b, c1, c2)
			b.ReportAllocs()
			send := sendMsg(b, m1, m2)
			for b.Loop() {
				send()
			}
		})
	}
}

// BenchmarkStream writes and reads on one stream in turn.
func BenchmarkStream(b *testing.B) {
	c, s := pipe(b, "sctp4", "127.0.0.1:0")
	s1, s2 := streamPair(b, c, s)
	b.ReportAllocs()
	send := sendBytes(b, s1, s2)
	for b.Loop() {
		send()
	}
}

// BenchmarkBatch sends messages of 1 KiB one way, one at a time and in batches.
func BenchmarkBatch(b *testing.B) {
	b.Run("1", func(b *testing.B) {
		c, s := pipe(b, "sctp4", "127.0.0.1:0")
		p, q := make([]byte, 1024), make([]byte, 1024)
		benchMsgs(b, func(n int) (int, error) {
			_, err := c.WriteMsg(p, sctpnet.MsgInfo{})
			return 1, err
		}, func() (int, error) {
			_, _, err := s.ReadMsg(q)
			return 1, err
		})
	})
	b.Run("64", func(b *testing.B) {
		c, s := pipe(b, "sctp4", "127.0.0.1:0")
		p, q := batchOf(64, 1024), batchOf(64, 1024)
		benchMsgs(b, func(n int) (int, error) { return c.WriteMsgs(p[:min(n, 64)]) },
			func() (int, error) { return s.ReadMsgs(q) })
	})
}

// benchMsgs sends b.N messages, of which send sends up to n and receive
// receives some.
func benchMsgs(b *testing.B, send func(n int) (int, error), receive func() (int, error)) {
	b.SetBytes(1024)
	b.ReportAllocs()
	go func() {
		for n := b.N; n > 0; {
			k, err := send(n)
			if err != nil {
				b.Error(err)
				return
			}
			n -= k
		}
	}()
	calls := 0
	for n := b.N; n > 0; calls++ {
		k, err := receive()
		if err != nil {
			b.Fatal(err)
		}
		n -= k
	}
	b.ReportMetric(float64(b.N)/float64(calls), "msgs/call")
}

// sendMsg returns a function that sends a message and receives it.
func sendMsg(t testing.TB, m1, m2 messenger) func() {
	p := make([]byte, 1024)
	return func() {
		info := sctpnet.MsgInfo{Stream: 3, PPID: 46}
		if _, err := m1.WriteMsg(p, info); err != nil {
			t.Fatal(err)
		}
		if _, info, err := m2.ReadMsg(p); err != nil || info.PPID != 46 {
			t.Fatal(info, err)
		}
	}
}

// sendBytes is the same for bytes.
func sendBytes(t testing.TB, w io.Writer, r io.Reader) func() {
	p := make([]byte, 1024)
	return func() {
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, p); err != nil {
			t.Fatal(err)
		}
	}
}
