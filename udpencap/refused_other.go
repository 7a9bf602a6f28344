//go:build !windows

package udpencap

import "net"

// tellOfRefusal has reads from a connected UDP socket fail when the peer's port is
// closed, which they do by themselves here.
func tellOfRefusal(*net.UDPConn) {}
