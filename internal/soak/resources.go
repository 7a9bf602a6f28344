package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Resources are what a process holds. An association over UDP holds goroutines and,
// as do listeners there, a share of a UDP socket.
type resources struct {
	goroutines   int
	descriptors  int
	associations int    // of the kernel, in this network
	sockets      int    // of SCTP in the kernel, in this network: none holds a port then
	memory       int    // of SCTP's sockets in the kernel, in pages
	heap         uint64 // in use, in bytes
}

func (r resources) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d associations, %d SCTP sockets and %d pages of theirs in the kernel, %d KiB of heap",
		r.goroutines, r.descriptors, r.associations, r.sockets, r.memory, r.heap>>10)
}

func measure() resources {
	runtime.GC()
	runtime.GC() // drops what pools keep
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	r := resources{goroutines: runtime.NumGoroutine(), heap: heap[0].Value.Uint64()}
	fds, _ := filepath.Glob("/proc/self/fd/*")
	r.descriptors = len(fds)
	if b, err := os.ReadFile("/proc/self/net/sctp/assocs"); err == nil {
		r.associations = strings.Count(string(b), "\n") - 1 // the first line is of titles
	}
	b, _ := os.ReadFile("/proc/self/net/protocols")
	for line := range strings.Lines(string(b)) {
		// Titles: protocol size sockets memory ...
		if f := strings.Fields(line); len(f) > 3 && (f[0] == "SCTP" || f[0] == "SCTPv6") {
			n, _ := strconv.Atoi(f[2])
			r.sockets += n
			n, _ = strconv.Atoi(f[3])
			r.memory = max(r.memory, n) // both have the same
		}
	}
	return r
}

// growRuntime has as many goroutines at a time as there will be. The runtime keeps what
// describes them for later ones, in the heap.
func growRuntime() {
	const most = 20_000
	quit := make(chan struct{})
	var all sync.WaitGroup
	for range most {
		all.Go(func() { <-quit })
	}
	close(quit)
	all.Wait()
}

const (
	// heapSlack is by how much the heap may have grown: what the runtime and its
	// packages keep.
	heapSlack = 1 << 20
	// memorySlack is what each processor keeps to itself of the memory of sockets.
	memorySlack = 256
)

// awaitRest waits until what is held is no more than before.
func awaitRest(before resources, limit time.Duration) (now resources, err error) {
	for start := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		now = measure()
		if now.goroutines <= before.goroutines && now.descriptors <= before.descriptors &&
			now.associations <= before.associations && now.sockets <= before.sockets && now.memory <= before.memory+memorySlack*runtime.NumCPU() &&
			now.heap <= before.heap+heapSlack {
			return now, nil
		}
		if time.Since(start) > limit {
			return now, fmt.Errorf("after %v there are still %v; in the beginning there were %v", limit, now, before)
		}
	}
}
