package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/bench/internal/result"
)

var workerFlag = flag.String("worker", "", "run this one test in this process; for the program's own use")

// A job is what a worker is told on its standard input.
type job struct {
	Settings map[string]map[string]float64
	Pair     string
}

func (t *test) String() string { return t.name + "/" + t.param + "/" + t.side }

// runWorker runs the test in a process of its own, in the client's namespace:
// with a heap of its own, and easily killed.
func (t *test) runWorker(r *result.Run) (*result.Sample, error) {
	input, err := json.Marshal(job{r.Settings, r.Pair})
	if err != nil {
		return nil, err
	}
	limit := t.limit
	if limit == 0 {
		limit = 30*time.Second + 5*t.time()
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	program := t.program
	if program == "" {
		program = "/proc/self/exe"
	}
	var args []string
	flag.Visit(func(f *flag.Flag) {
		if f.Name != "vs" {
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	cmd := exec.CommandContext(ctx, program, append(args, "-worker", t.String())...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // the C program too
	cmd.WaitDelay = time.Second
	if err := clientNS.do(cmd.Start); err != nil {
		return nil, err
	}
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("stopped after %v", limit)
	case err != nil:
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	s := new(result.Sample)
	return s, json.Unmarshal(stdout.Bytes(), s)
}

// work is what the worker does, and the server that it may start.
func work() error {
	home = clientNS
	var j job
	if !*serveFlag {
		if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
			return err
		}
	}
	r := &result.Run{Settings: j.Settings, Pair: j.Pair}
	for _, t := range slices.Concat(settingsTests(), allTests(r), udpTests()) {
		if t.String() != *workerFlag {
			continue
		}
		if *serveFlag {
			return t.serve(t.link.network())
		}
		s, err := t.run(t.link.network())
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(s)
	}
	return fmt.Errorf("no test %q", *workerFlag)
}
