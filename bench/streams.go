package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// openStreams opens streams of an association, as both ends have them.
func openStreams(client, server *sctpnet.Conn, n int) (from, to []*sctpnet.Stream, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for range n {
		s, err := client.OpenStream()
		if err != nil {
			return nil, nil, err
		}
		// The peer learns of a stream when it is used.
		if _, err := s.Write([]byte{0}); err != nil {
			return nil, nil, err
		}
		p, err := server.AcceptStream(ctx)
		if err != nil {
			return nil, nil, err
		}
		if _, err := io.ReadFull(p, make([]byte, 1)); err != nil {
			return nil, nil, err
		}
		from, to = append(from, s), append(to, p)
	}
	return from, to, nil
}

// streamBulkTests compare writing to a Conn with writing to streams of it.
func streamBulkTests() []test {
	const size = 64 << 10
	base := test{name: "streams-bulk", param: sizeName(size), link: loopback}
	tests := bulkOf(base, size, []side{zero})
	for _, n := range []int{1, 4} {
		t := base
		t.side = fmt.Sprintf("sctpnet, streams: %d", n)
		t.run = func(net *network) (*result.Sample, error) {
			client, server, err := zero.pair(net)
			if err != nil {
				return nil, err
			}
			from, to, err := openStreams(client.(*sctpnet.Conn), server.(*sctpnet.Conn), n)
			if err != nil {
				return nil, err
			}
			var w []io.Writer
			var r []io.Reader
			for i := range n {
				w, r = append(w, from[i]), append(r, to[i])
			}
			return t.bulk(w, r, size)
		}
		tests = append(tests, t)
	}
	return tests
}
