package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// A progress shows how much was written to it: again and again in one line of a
// terminal, elsewhere in a few lines.
type progress struct {
	total    int64
	terminal bool

	mu    sync.Mutex
	n     int64
	shown int64 // the last number of steps shown
}

func newProgress(total int64) *progress {
	fi, err := os.Stdout.Stat()
	return &progress{total: max(total, 1), terminal: err == nil && fi.Mode()&os.ModeCharDevice != 0}
}

func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n += int64(len(b))
	steps := int64(4)
	if p.terminal {
		steps = 100
	}
	if now := steps * p.n / p.total; now != p.shown {
		p.shown = now
		p.show()
	}
	return len(b), nil
}

func (p *progress) show() {
	const width = 40
	done := min(int(width*p.n/p.total), width)
	line := fmt.Sprintf("[%s%s] %3d %%", strings.Repeat("#", done), strings.Repeat(".", width-done), 100*p.n/p.total)
	if p.terminal {
		fmt.Print("\r", line)
	} else {
		fmt.Println(line)
	}
}

func (p *progress) end() {
	if p.terminal {
		fmt.Println()
	}
}
