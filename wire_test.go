package sctpnet_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// A wire is between two ends of SCTP over UDP: packets are seen on it, lost, and
// put on it.
type wire struct {
	client, server *net.UDPConn // where the client sends to, and the server

	mu       sync.Mutex
	lose     func(packet []byte, toServer bool) bool // nil for none
	toClient *net.UDPAddr
	header   []byte // of the last packet to the client
}

// newWire makes a wire to a listener.
func newWire(t testing.TB, ln net.Listener) *wire {
	t.Helper()
	loopback := net.IPv4(127, 0, 0, 1)
	client, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopback})
	if err != nil {
		t.Fatal(err)
	}
	server, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: loopback, Port: port(ln.Addr())})
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{client: client, server: server}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		p := make([]byte, 64<<10)
		for {
			n, from, err := client.ReadFromUDP(p)
			if err != nil {
				return
			}
			w.mu.Lock()
			w.toClient = from
			if w.lose == nil || !w.lose(p[:n], true) {
				server.Write(p[:n])
			}
			w.mu.Unlock()
		}
	})
	carrying.Go(func() {
		p := make([]byte, 64<<10)
		for {
			n, err := server.Read(p)
			if n == 0 && err != nil {
				if w.isClosed() {
					return
				}
				continue // nobody was there just then
			}
			w.mu.Lock()
			if n >= 12 {
				w.header = append(w.header[:0], p[:12]...)
			}
			if w.lose == nil || !w.lose(p[:n], false) {
				client.WriteToUDP(p[:n], w.toClient)
			}
			w.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		client.Close()
		server.Close()
		carrying.Wait()
	})
	return w
}

func (w *wire) isClosed() bool {
	_, err := w.server.SyscallConn()
	if err != nil {
		return true
	}
	raw, _ := w.server.SyscallConn()
	return raw.Control(func(uintptr) {}) != nil
}

// config is that of who dials over the wire.
func (w *wire) config(c sctpnet.Config) sctpnet.Config {
	c.PathParams.UDPPort = w.client.LocalAddr().(*net.UDPAddr).Port
	return c
}

// setLoss sets which packets are lost from now on, nil for none.
func (w *wire) setLoss(lose func(packet []byte, toServer bool) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lose = lose
}

// send has the server's end seem to send a chunk.
func (w *wire) send(chunk []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.header) < 12 || w.toClient == nil {
		return fmt.Errorf("nothing was sent before")
	}
	p := slices.Concat(w.header[:8], []byte{0, 0, 0, 0}, chunk)
	binary.LittleEndian.PutUint32(p[8:], crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
	_, err := w.client.WriteToUDP(p, w.toClient)
	return err
}

// all loses every packet.
func all([]byte, bool) bool { return true }

// chunkType is the type of a packet's first chunk.
func chunkType(p []byte) byte {
	if len(p) < 13 {
		return 255
	}
	return p[12]
}
