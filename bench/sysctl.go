package main

import (
	"os"
	"strings"
)

func sysctlFile(name string) string { return "/proc/sys/" + strings.ReplaceAll(name, ".", "/") }

func readSysctl(name string) (string, error) {
	b, err := os.ReadFile(sysctlFile(name))
	return strings.Join(strings.Fields(string(b)), " "), err
}

// setSysctl sets a parameter until undo is called.
func setSysctl(name, value string) (undo func(), err error) {
	old, err := readSysctl(name)
	if err != nil {
		return nil, err
	}
	write := func(v string) error { return os.WriteFile(sysctlFile(name), []byte(v), 0o644) }
	return func() { write(old) }, write(value)
}
