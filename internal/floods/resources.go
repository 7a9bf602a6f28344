//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A resources is what there is of all that a flood may take.
type resources struct {
	goroutines, files, associations int
	heap                            int64
}

// take counts what is taken now.
func take() resources {
	files, _ := os.ReadDir("/proc/self/fd")
	now := resources{runtime.NumGoroutine(), len(files), associations(), goMemory()}
	mostGoroutines = max(mostGoroutines, now.goroutines)
	return now
}

// mostGoroutines is how many there were.
var mostGoroutines int

// associations counts the kernel's, both ends.
func associations() int {
	b, err := os.ReadFile("/proc/net/sctp/assocs")
	if err != nil {
		return 0
	}
	return max(0, strings.Count(string(b), "\n")-1)
}

// goMemory is what Go has in use, in its heap and its stacks.
func goMemory() int64 {
	runtime.GC()
	runtime.GC() // what pools had
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc + s.StackInuse)
}

// kernelMemory is what the kernel has in use for objects of its own, in bytes.
func kernelMemory() int64 { return meminfo("Slab") }

func meminfo(name string) int64 {
	b, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name+":" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

// awaitReturn waits until no more is taken than before.
func (before resources) awaitReturn() error {
	// What Go may keep for later: it frees nothing of what describes a goroutine.
	heap := int64(4<<20 + 600*mostGoroutines)
	var now resources
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		now = take()
		if now.goroutines <= before.goroutines && now.files <= before.files && now.associations <= before.associations && now.heap <= before.heap+heap {
			return nil
		}
	}
	return fmt.Errorf("not all came back: %+v, and before it was %+v", now, before)
}

// setSysctl sets a value until restore.
func setSysctl(name, value string) (restore func(), err error) {
	path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
	old, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		return nil, err
	}
	return func() { os.WriteFile(path, old, 0) }, nil
}

// moreFiles allows as many descriptors as can be.
func moreFiles() {
	r := unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		unix.Getrlimit(unix.RLIMIT_NOFILE, &r)
		r.Cur = r.Max
		unix.Setrlimit(unix.RLIMIT_NOFILE, &r)
	}
}

// kb is a number of bytes, for a table.
func kb(n float64) string {
	n = max(n, 0) // what others gave back meanwhile
	if n < 10_000 {
		return fmt.Sprintf("%.1f KB", n/1000)
	}
	return fmt.Sprintf("%.0f KB", n/1000)
}
