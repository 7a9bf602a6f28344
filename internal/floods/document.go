//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// document writes what happened into a file, between the markers of each part.
func (e *env) document(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var u unix.Utsname
	unix.Uname(&u)
	about := fmt.Sprintf("Linux %s, %s, %d processors, %s\n", unix.ByteSliceToString(u.Release[:]), runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	parts := map[string]string{"floods about": about}
	for network, said := range e.said {
		parts["floods "+network] = said
		parts["costs "+network] = e.tables[network]
	}
	for name, text := range parts {
		if b, err = replace(b, name, text); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return os.WriteFile(file, b, 0o644)
}

// replace puts text between the markers of a part.
func replace(b []byte, name, text string) ([]byte, error) {
	begin := []byte("<!-- begin " + name + " -->\n")
	before, rest, ok := bytes.Cut(b, begin)
	if !ok {
		return nil, fmt.Errorf("no marker %q", strings.TrimSpace(string(begin)))
	}
	end := bytes.Index(rest, []byte("<!-- end -->"))
	if end < 0 {
		return nil, fmt.Errorf("no end of %q", name)
	}
	return bytes.Join([][]byte{before, begin, []byte("\n" + text + "\n"), rest[end:]}, nil), nil
}
