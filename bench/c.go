package main

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sctpnet/sctpnet/bench/internal/result"
)

//go:embed c/pair.c
var pairC string

// compileC compiles the C program and returns where it is, alone in a folder.
func compileC() (string, error) {
	dir, err := os.MkdirTemp("", "sctpnet-bench")
	if err != nil {
		return "", err
	}
	pair := filepath.Join(dir, "pair")
	cmd := exec.Command("gcc", "-O2", "-pthread", "-x", "c", "-o", pair, "-")
	cmd.Stdin = strings.NewReader(pairC)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compiling c/pair.c (it needs gcc, libc6-dev and libsctp-dev): %w\n%s", err, out)
	}
	return pair, nil
}

// A pairResult is what the C program prints, and what Go knows of its own.
type pairResult struct {
	Count, Reads    float64
	Seconds, Stall  float64
	Writes, Mallocs float64
}

// runC runs the C program in the test's network.
func runC(pair string, n *network, protocol, mode string, settings map[string]float64) (*pairResult, error) {
	args := []string{protocol, mode, n.host, n.client.path(), n.server.path()}
	for name, value := range settings {
		args = append(args, fmt.Sprintf("%s=%.0f", name, value))
	}
	cmd := exec.Command(pair, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("pair %s: %w: %s", args, err, stderr.Bytes())
	}
	r := new(pairResult)
	return r, json.Unmarshal(out, r)
}

// cSides are tests of the C program, for both protocols.
func cSides(r *result.Run, t test, mode string, size int, sample func(*pairResult) *result.Sample) []test {
	var tests []test
	for _, protocol := range []string{"tcp", "sctp"} {
		t := t
		t.side = "c-" + protocol
		t.run = func(n *network) (*result.Sample, error) {
			settings := map[string]float64{
				"size": float64(size), "read": float64(cmp.Or(t.read, readBuffer)), "ms": float64(t.time().Milliseconds()),
				"connections": float64(max(1, t.conns)), "processes": float64(max(1, t.processes)),
			}
			if protocol == "sctp" {
				for name, value := range r.Settings[t.settings()] {
					settings[name] = value
				}
			}
			p, err := runC(r.Pair, n, protocol, mode, settings)
			if err != nil {
				return nil, err
			}
			return sample(p), nil
		}
		tests = append(tests, t)
	}
	return tests
}
