package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// manyTests are of bulk on many connections at once; what is measured is of all
// together.
func manyTests(r *result.Run) []test {
	const size = 64 << 10
	base := test{name: "many", param: fmt.Sprintf("%d at once", manyConns), link: loopback, factor: 3, conns: manyConns}
	var tests []test
	for _, s := range []side{tcp, zero} {
		t := base
		t.side = s.name
		t.run = func(n *network) (*result.Sample, error) {
			pairs, err := s.pairs(n, t.conns)
			if err != nil {
				return nil, err
			}
			var writers []io.Writer
			var readers []io.Reader
			for _, p := range pairs {
				writers, readers = append(writers, p.client), append(readers, p.server)
			}
			return t.bulk(writers, readers, size)
		}
		tests = append(tests, t)
	}
	return slices.Concat(tests, cSides(r, base, "bulk", size, bulkSample))
}

const manyConns = 100
