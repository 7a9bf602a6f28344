package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mark stands before what package testing says of tests, with
// -test.v=test2json, and before what the script says, so that neither is taken
// from what tests print.
const mark = "\x16"

// A result is what came of a package's tests.
type result struct {
	path   string
	output []byte
	status int
	took   time.Duration
	tests  map[string]outcome // by their full names; a test that was begun and not ended has unfinished
}

// An outcome is what came of a test.
type outcome string

const (
	unfinished outcome = "unfinished"
	pass       outcome = "PASS"
	fail       outcome = "FAIL"
	skip       outcome = "SKIP"
)

var (
	begun = regexp.MustCompile(mark + `=== RUN   (\S+)`)
	ended = regexp.MustCompile(mark + `--- (PASS|FAIL|SKIP): (\S+) \(`)
)

// readResults reads the output of the script.
func readResults(r io.Reader) iter.Seq2[*result, error] {
	return func(yield func(*result, error) bool) {
		var res *result
		var start time.Time
		in := bufio.NewReader(r)
		for {
			line, err := in.ReadString('\n')
			if path, ok := strings.CutPrefix(line, mark+"package "); ok {
				res = &result{path: strings.TrimSpace(path), tests: make(map[string]outcome)}
				start = time.Now()
			} else if status, ok := strings.CutPrefix(line, mark+"status "); ok && res != nil {
				res.status, _ = strconv.Atoi(strings.TrimSpace(status))
				res.took = time.Since(start)
				if !yield(res, nil) {
					return
				}
				res = nil
			} else if res != nil {
				res.add(line)
			} else if line = strings.TrimSpace(line); line != "" {
				fmt.Println(line) // of the guest, or the shell
			}
			switch {
			case err == nil:
			case res != nil:
				res.status, res.took = -1, time.Since(start)
				yield(res, nil)
				return
			case err == io.EOF:
				return
			default:
				yield(nil, err)
				return
			}
		}
	}
}

// add adds a line of output.
func (r *result) add(line string) {
	r.output = append(r.output, line...)
	if m := begun.FindStringSubmatch(line); m != nil {
		r.tests[m[1]] = unfinished
	}
	if m := ended.FindStringSubmatch(line); m != nil {
		r.tests[m[2]] = outcome(m[1])
	}
}

// A verdict is what a result means, given what is expected to fail.
type verdict struct {
	passed, expected, skipped int      // top-level tests
	failed                    []string // tests that should not have
	faults                    []string
	took                      time.Duration
}

func (v verdict) String() string {
	return fmt.Sprintf("%4d passed %3d failed as expected %3d skipped %3d failed %6.1f s",
		v.passed, v.expected, v.skipped, len(v.failed), v.took.Seconds())
}

// judge compares a result to what is expected. If only is not nil what did not
// run is not missed.
func judge(r *result, m mode, list []expectation, only *regexp.Regexp) verdict {
	v := verdict{took: r.took}
	expected := make(map[string]bool) // whether it happened
	for _, e := range list {
		if e.applies(r.path, m) && e.how != notRun {
			expected[e.test] = e.how == may
		}
	}
	bad := make(map[string]bool) // top-level tests
	for _, name := range slices.Sorted(maps.Keys(r.tests)) {
		if r.tests[name] != fail || r.failedBelow(name) {
			continue
		}
		if e := lookup(expected, name); e != "" {
			expected[e] = true
			continue
		}
		bad[top(name)] = true
		v.failed = append(v.failed, name)
		v.faults = append(v.faults, name+" failed")
	}
	for name, o := range r.tests {
		if name != top(name) {
			continue
		}
		switch {
		case o == pass:
			v.passed++
		case o == skip:
			v.skipped++
		case o == fail && !bad[name]:
			v.expected++
		}
	}
	for _, e := range slices.Sorted(maps.Keys(expected)) {
		switch o, ran := r.tests[e]; {
		case expected[e], !ran && only != nil:
		case !ran:
			v.faults = append(v.faults, e+" did not run, but is expected to fail")
		case o == pass:
			v.faults = append(v.faults, e+" passed, but is expected to fail")
		}
	}
	if r.status != 0 && r.status != 1 || len(r.tests) == 0 && only == nil {
		v.faults = append(v.faults, r.death())
	}
	return v
}

// lookup returns what in the list expects a test to fail: itself or a test that
// it is part of.
func lookup(expected map[string]bool, name string) string {
	for {
		if _, ok := expected[name]; ok {
			return name
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return ""
		}
		name = name[:i]
	}
}

func top(name string) string {
	name, _, _ = strings.Cut(name, "/")
	return name
}

// failedBelow reports whether a part of a test failed.
func (r *result) failedBelow(name string) bool {
	for other, o := range r.tests {
		if o == fail && strings.HasPrefix(other, name+"/") {
			return true
		}
	}
	return false
}

// death says how the process ended that did not end by itself: by a timeout,
// then with the names of the tests that were running, or by a panic.
func (r *result) death() string {
	_, after, timedOut := strings.Cut(string(r.output), "panic: test timed out after ")
	if timedOut {
		var running []string
		for line := range strings.Lines(after) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "Test") {
				running = append(running, line)
			} else if len(running) > 0 {
				break
			}
		}
		return "timed out; running: " + strings.Join(running, ", ")
	}
	var left []string
	for name, o := range r.tests {
		if o == unfinished {
			left = append(left, name)
		}
	}
	slices.Sort(left)
	what := fmt.Sprintf("ended with status %d", r.status)
	if i := bytes.Index(r.output, []byte("\npanic: ")); i >= 0 {
		line, _, _ := bytes.Cut(r.output[i+1:], []byte("\n"))
		what += ", " + string(line)
	}
	return fmt.Sprintf("%s; not ended: %s", what, strings.Join(left, ", "))
}

// excerpt is the part of the output that shows why tests failed.
func (r *result) excerpt(v verdict) []byte {
	if len(v.failed) == 0 || r.status != 1 {
		const most = 16 << 10
		return r.output[max(0, len(r.output)-most):]
	}
	// A test's output follows a line that names it, up to a line that names
	// another.
	names := regexp.MustCompile(mark + `(?:===|---) *[A-Z]+:? +(\S+)`)
	var b bytes.Buffer
	show := false
	for line := range bytes.Lines(r.output) {
		if m := names.FindSubmatch(line); m != nil {
			show = slices.Contains(v.failed, string(m[1]))
			if bytes.Contains(line, []byte("=== ")) && !bytes.Contains(line, []byte("=== RUN")) {
				continue
			}
		}
		if show {
			b.Write(bytes.ReplaceAll(line, []byte(mark), nil))
		}
	}
	return b.Bytes()
}
