package main

import (
	"io"
	"slices"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/bench/internal/result"
)

const (
	batchMessage = 1 << 10
	batchCount   = 64
)

// batchTests send small messages one at a time, and many by a call.
func batchTests(r *result.Run) []test {
	base := test{name: "batch", param: sizeName(batchMessage), link: loopback}
	tests := slices.Concat(
		bulkOf(base, batchMessage, []side{tcp}),
		cSides(r, base, "bulk", batchMessage, bulkSample),
	)
	for _, w := range []struct {
		name string
		size int
		conn func(*sctpnet.Conn) io.ReadWriter
	}{
		{"sctpnet, one at a time", batchMessage, func(c *sctpnet.Conn) io.ReadWriter { return single{c} }},
		{"sctpnet, batches of 64", batchMessage * batchCount, func(c *sctpnet.Conn) io.ReadWriter { return newBatched(c) }},
	} {
		t := base
		t.side = w.name
		t.run = func(n *network) (*result.Sample, error) {
			client, server, err := zero.pair(n)
			if err != nil {
				return nil, err
			}
			return t.bulk([]io.Writer{w.conn(client.(*sctpnet.Conn))}, []io.Reader{w.conn(server.(*sctpnet.Conn))}, w.size)
		}
		tests = append(tests, t)
	}
	return tests
}

// single sends and receives a message at a time.
type single struct{ c *sctpnet.Conn }

func (s single) Write(p []byte) (int, error) { return s.c.WriteMsg(p, sctpnet.MsgInfo{}) }

func (s single) Read(p []byte) (int, error) {
	n, _, err := s.c.ReadMsg(p)
	return n, err
}

// batched sends a Write as many messages, and reads many by a Read.
type batched struct {
	c    *sctpnet.Conn
	msgs []sctpnet.Message
}

func newBatched(c *sctpnet.Conn) *batched {
	return &batched{c, make([]sctpnet.Message, batchCount)}
}

// cut gives each message its part of p.
func (b *batched) cut(p []byte) {
	for i := range b.msgs {
		b.msgs[i].Data = p[i*batchMessage : (i+1)*batchMessage]
	}
}

func (b *batched) Write(p []byte) (int, error) {
	b.cut(p)
	n, err := b.c.WriteMsgs(b.msgs)
	return n * batchMessage, err
}

func (b *batched) Read(p []byte) (int, error) {
	b.cut(p)
	n, err := b.c.ReadMsgs(b.msgs)
	total := 0
	for _, m := range b.msgs[:n] {
		total += m.N
	}
	return total, err
}
