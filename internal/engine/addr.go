package engine

import (
	"net"
	"strconv"
	"strings"
)

// Addr is an SCTP endpoint: one port and any number of IP addresses, none of
// them meaning any.
type Addr struct {
	IPAddrs []net.IPAddr
	Port    int
}

// IsWildcard reports whether a list of addresses means any.
func IsWildcard(list []net.IPAddr) bool {
	return len(list) == 0 || len(list) == 1 && (len(list[0].IP) == 0 || list[0].IP.IsUnspecified())
}

// ZoneName returns a zone as package net has it in what it receives: the name of an
// interface, where the zone may be its number.
func ZoneName(zone string) string {
	if n, err := strconv.Atoi(zone); err == nil {
		if i, err := net.InterfaceByIndex(n); err == nil {
			return i.Name
		}
	}
	return zone
}

// String returns the address as Dial and Listen take it.
func (a *Addr) String() string {
	var b strings.Builder
	for i, ip := range a.IPAddrs {
		if i > 0 {
			b.WriteByte('/')
		}
		if ip.IP.To4() == nil && len(ip.IP) > 0 {
			b.WriteString("[" + ip.String() + "]")
		} else {
			b.WriteString(ip.String())
		}
	}
	return b.String() + ":" + strconv.Itoa(a.Port)
}
