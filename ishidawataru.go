//go:build unix || windows

package sctpnet

import "github.com/ishidawataru/sctp"

// FromSCTPAddr returns a as an Addr of the network "sctp". It is not there on
// systems for which package github.com/ishidawataru/sctp does not build.
func FromSCTPAddr(a *sctp.SCTPAddr) *Addr {
	if a == nil {
		return nil
	}
	return clone(&Addr{IPAddrs: a.IPAddrs, Port: a.Port, Net: "sctp"})
}

// SCTPAddr returns a as the address of package github.com/ishidawataru/sctp. It
// is not there on systems for which that package does not build.
func (a *Addr) SCTPAddr() *sctp.SCTPAddr {
	if a == nil {
		return nil
	}
	c := clone(a)
	return &sctp.SCTPAddr{IPAddrs: c.IPAddrs, Port: c.Port}
}
