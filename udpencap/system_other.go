//go:build !linux

package udpencap

import (
	"net"
	"net/netip"
)

// A sysSocket is what the system has of a socket beside what package net knows.
type sysSocket struct{}

const (
	maxSegments = 1
	maxBatch    = 65507 // a datagram over IPv4
)

// loopbackMTU is the size of a packet over the loopback interface: 64 KiB of
// data are eight packets, and macOS sends datagrams up to 9216 bytes.
const loopbackMTU = 8<<10 + headerSize + dataHeaderSize

// tellsOfClosedPorts says that the system tells a socket of packets that have come to a
// closed port. It does so where that is connected, and only there.
const tellsOfClosedPorts = false

// currentNetwork tells networks apart that one process can be in, where the
// system has several.
func currentNetwork() uint64 { return 0 }

func (*sysSocket) init(*net.UDPConn)                {}
func (*sysSocket) setReadBuffer(_, granted int) int { return granted }
func (*socket) hadErrors() bool                     { return false }
func (*socket) isOfEarlier(error) bool              { return false }
func (*socket) isUnread() bool                      { return false }
func segmentSize(_ []byte, n int) int               { return n }

// receiveAll is receiveEach: not all systems tell at once that there is no more.
func (s *socket) receiveAll(take func(b, oob []byte, from netip.AddrPort)) func() (empty bool, err error) {
	return s.receiveEach(take)
}

// trySend sends packets of size bytes. The last one may be shorter.
func (p path) trySend(b []byte, size int) (n int, full bool) { return p.sendWaiting(b, size), false }

// waitSend is not called.
func (p path) waitSend(b []byte, size int) (n int) { return p.sendWaiting(b, size) }
