package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// script is what a package's tests print, by lines in which "^" marks what
// package testing says.
func script(lines string) string {
	return strings.ReplaceAll(lines, "^", mark)
}

func TestJudge(t *testing.T) {
	const allOfThem = `
^package p
^=== RUN   TestA
^--- PASS: TestA (0.00s)
^=== RUN   TestB
^=== RUN   TestB/x
--- FAIL: TestA (0.00s)
    ^--- FAIL: TestB/x (0.00s)
    ^--- PASS: TestB/y (0.00s)
^--- FAIL: TestB (0.00s)
no end of line^--- SKIP: TestC (0.00s)
^status 1
`
	only := regexp.MustCompile("TestZ")
	for _, tt := range []struct {
		name     string
		output   string
		expected []expectation
		only     *regexp.Regexp
		want     verdict
	}{
		{"a failure", allOfThem, nil, nil, verdict{passed: 1, skipped: 1, faults: []string{"TestB/x failed"}}},
		{"an expected failure", allOfThem, []expectation{{"p", "*/*", "TestB/x", fails}}, nil,
			verdict{passed: 1, skipped: 1, expected: 1}},
		{"expected with all its parts", allOfThem, []expectation{{"p", "conn/*", "TestB", fails}}, nil,
			verdict{passed: 1, skipped: 1, expected: 1}},
		{"expected in another mode", allOfThem, []expectation{{"p", "stream/*", "TestB", fails}}, nil,
			verdict{passed: 1, skipped: 1, faults: []string{"TestB/x failed"}}},
		{"expected of another package", allOfThem, []expectation{{"q", "*/*", "TestB", fails}}, nil,
			verdict{passed: 1, skipped: 1, faults: []string{"TestB/x failed"}}},
		{"another part is expected to fail", allOfThem, []expectation{{"p", "*/*", "TestB/x", fails}, {"p", "*/*", "TestB/y", fails}}, nil,
			verdict{passed: 1, skipped: 1, expected: 1, faults: []string{"TestB/y passed, but is expected to fail"}}},
		{"may fail and passes", allOfThem, []expectation{{"p", "*/*", "TestB/x", may}, {"p", "*/*", "TestA", may}}, nil,
			verdict{passed: 1, skipped: 1, expected: 1}},
		{"expected and skipped", allOfThem, []expectation{{"p", "*/*", "TestB/x", fails}, {"p", "*/*", "TestC", fails}}, nil,
			verdict{passed: 1, skipped: 1, expected: 1}},
		{"expected and not there", "^package p\n^--- PASS: TestA (0.00s)\n^status 0\n", []expectation{{"p", "*/*", "TestZ", fails}}, nil,
			verdict{passed: 1, faults: []string{"TestZ did not run, but is expected to fail"}}},
		{"expected and not asked for", "^package p\n^status 0\n", []expectation{{"p", "*/*", "TestA", fails}}, only, verdict{}},
		{"no test", "^package p\n^status 0\n", nil, nil, verdict{faults: []string{"ended with status 0; not ended: "}}},
		{"a hang", "^package p\n^=== RUN   TestA\npanic: test timed out after 1m0s\n\trunning tests:\n\t\tTestA (59s)\n\t\tTestA/x (58s)\n\ngoroutine 1\n^status 2\n", nil, nil,
			verdict{faults: []string{"timed out; running: TestA (59s), TestA/x (58s)"}}},
		{"a panic", "^package p\n^=== RUN   TestA\n\npanic: oh [recovered]\n^status 2\n", nil, nil,
			verdict{faults: []string{"ended with status 2, panic: oh [recovered]; not ended: TestA"}}},
		{"an output that ends", "^package p\n^=== RUN   TestA\n", nil, nil,
			verdict{faults: []string{"ended with status -1; not ended: TestA"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			for r, err := range readResults(strings.NewReader(script(tt.output))) {
				if err != nil {
					t.Fatal(err)
				}
				n++
				got := judge(r, "conn/sctp", tt.expected, tt.only)
				if got.passed != tt.want.passed || got.expected != tt.want.expected || got.skipped != tt.want.skipped || !slices.Equal(got.faults, tt.want.faults) {
					t.Errorf("judge returns %+v, want %+v", got, tt.want)
				}
			}
			if n != 1 {
				t.Errorf("%d results, want 1", n)
			}
		})
	}
}

func TestExpectedListIsWellFormed(t *testing.T) {
	list, err := readExpected()
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range list {
		if !slices.Contains(names(), e.path) {
			t.Errorf("%s: no such package is tested", e.path)
		}
		for _, other := range list[:i] {
			if e.path == other.path && e.test == other.test && e.modes == other.modes {
				t.Errorf("%s %s is listed twice for %s", e.path, e.test, e.modes)
			}
		}
	}
}

// TestAssemblyIsReplaced has declarations without a body get one, or a name in
// package syscall.
func TestAssemblyIsReplaced(t *testing.T) {
	const file = "// A comment.\n\npackage unix\n\nimport \"syscall\"\n\n" +
		"func Syscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, err syscall.Errno)\n\n" +
		"func RawSyscallNoError(trap, a1, a2, a3 uintptr) (r1, r2 uintptr)\n"
	got, err := replaceAssembly("x.go", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`package unix; import _ "unsafe"`,
		"//go:linkname Syscall syscall.Syscall\n",
		"(r1, r2 uintptr) { r1, r2, _ = RawSyscall(trap, a1, a2, a3); return }\n",
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if _, err := replaceAssembly("x.go", []byte("package unix\n\nfunc other()\n")); err == nil {
		t.Error("no error about a function that nothing stands for")
	}
}

func TestBadArguments(t *testing.T) {
	for _, tt := range []struct {
		modes, run string
		paths      []string
		want       string
	}{
		{"conn/tcp", "", nil, `no mode "conn/tcp"; there are conn/sctp, `},
		{"", "", nil, `no mode ""`},
		{"all", "(", nil, "-run: "},
		{"all", "", []string{"net/html"}, `no package "net/html"; there are net, `},
	} {
		if _, err := newRunner(tt.modes, tt.run, tt.paths); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("newRunner(%q, %q, %q): %v, want %q", tt.modes, tt.run, tt.paths, err, tt.want)
		}
	}
}
