//go:build !linux

package udpencap

import (
	"net"
	"net/netip"
)

// A segmenter hands the system many packets at once, where it can.
type segmenter struct{}

const (
	maxSegments = 1
	maxBatch    = 65507 // a datagram over IPv4
)

// loopbackMTU is the size of a packet over the loopback interface: 64 KiB of
// data are eight packets, and macOS sends datagrams up to 9216 bytes.
const loopbackMTU = 8<<10 + headerSize + dataHeaderSize

// currentNetwork tells networks apart that one process can be in, where the
// system has several.
func currentNetwork() uint64 { return 0 }

func (*segmenter) init(*net.UDPConn)               {}
func (*segmenter) send(path, []byte, int) bool     { return false }
func (*segmenter) sendEach(path, []byte, int) bool { return false }
func (*socket) hadErrors() bool                    { return false }
func segmentSize(_ []byte, n int) int              { return n }

// write sends a datagram.
func (s *socket) write(b, oob []byte, to netip.AddrPort) error {
	_, _, err := s.conn.WriteMsgUDPAddrPort(b, oob, to)
	return err
}
