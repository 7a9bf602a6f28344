package udpencap

import (
	"net"

	"golang.org/x/sys/windows"
)

// tellOfRefusal has reads from a connected UDP socket fail when the peer's port is
// closed, which package net turns off.
func tellOfRefusal(c *net.UDPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		on := []byte{1, 0, 0, 0} // a BOOL
		var n uint32
		windows.WSAIoctl(windows.Handle(fd), windows.SIO_UDP_CONNRESET, &on[0], uint32(len(on)), nil, 0, &n, nil, 0)
	})
}
