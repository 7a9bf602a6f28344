//go:build !linux

package sctpnet_test

import "testing"

const (
	silent4       = "198.51.100.2"
	silentPublic6 = "2001:db8:5c79::2"
)

// silentNet is for the kernel's SCTP, which only Linux has.
func silentNet(t testing.TB) { t.Fatal("no network where nobody answers") }
