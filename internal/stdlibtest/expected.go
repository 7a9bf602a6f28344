package main

import (
	_ "embed"
	"fmt"
	"path"
	"strings"
)

//go:embed expected.txt
var expectedList string

// An expectation is a line of expected.txt: a test that fails in some modes.
type expectation struct {
	path  string
	modes string // a pattern as of path.Match
	test  string
	how   how
}

// how says what is expected of a test, by what stands before its name.
type how string

const (
	fails  how = ""
	may    how = "~" // fail, or not
	notRun how = "!" // as it hangs, or has no connection
)

func (e expectation) applies(path string, m mode) bool {
	return e.path == path && match(e.modes, m)
}

func match(pattern string, m mode) bool {
	ok, err := path.Match(pattern, string(m))
	return ok && err == nil
}

// readExpected reads the list of tests that are expected to fail.
func readExpected() ([]expectation, error) {
	var list []expectation
	n := 0
	for line := range strings.Lines(expectedList) {
		n++
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		var e expectation
		if len(f) > 2 {
			e = expectation{path: f[0], modes: f[1], test: strings.TrimLeft(f[2], "~!")}
			e.how = how(strings.TrimSuffix(f[2], e.test))
		}
		matched := false
		for _, m := range modes {
			matched = matched || match(e.modes, m)
		}
		if len(f) < 4 || !matched || e.how != fails && e.how != may && e.how != notRun {
			return nil, fmt.Errorf("expected.txt:%d: want a package, modes, a test and a reason; modes are matched against %s", n, join(modes))
		}
		list = append(list, e)
	}
	return list, nil
}
