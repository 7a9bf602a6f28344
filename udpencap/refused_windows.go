package udpencap

import (
	"net"
	"unsafe"

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
		on, n := uint32(1), uint32(0)
		windows.WSAIoctl(windows.Handle(fd), windows.SIO_UDP_CONNRESET, (*byte)(unsafe.Pointer(&on)), uint32(unsafe.Sizeof(on)), nil, 0, &n, nil, 0)
	})
}
