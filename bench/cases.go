package main

import (
	"fmt"
	"slices"

	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// Kinds of networks.
var (
	loopback = link{}
	veth     = link{count: 1}
	delayed  = link{count: 1, netem: "limit 100000 delay 10ms"} // 20 ms there and back
)

// largeBuffers is for net.core.rmem_max and wmem_max where an operator has
// raised them: what sctpnet asks for, and more.
const largeBuffers = 8 << 20

// allTests lists the tests; those of one comparison follow each other.
func allTests(r *result.Run) []test {
	return slices.Concat(
		bulkTests(r),
		pingPongTests(r),
		batchTests(r),
		dialTests(r),
		defaultsTests(),
		streamBulkTests(),
		copyTests(),
		manyTests(r),
		processTests(r),
		stwTests(),
		lossTests(),
		besideTests(),
		fileTests(),
		failoverTests(),
		idleTests(),
	)
}

// sizeName is 64KB for 65536.
func sizeName(size int) string {
	if size < 1<<10 {
		return fmt.Sprintf("%dB", size)
	}
	return fmt.Sprintf("%dKB", size>>10)
}
