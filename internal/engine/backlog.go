package engine

import (
	"os"
	"strconv"
	"strings"
)

// Backlog returns how many associations of a Listener can wait for Accept: Linux's
// sysctl net.core.somaxconn, which package net uses too, and elsewhere 4096.
func Backlog() int {
	const otherwise = 4096 // what Linux has by default, since 5.4
	b, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		return otherwise
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n <= 0 {
		return otherwise
	}
	return n
}
