package sctpnet_test

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"golang.org/x/sys/unix"
)

// TestCloseUnreadFreesSocket closes associations that have received a
// part of a message, and not read it. The system must not keep their sockets, which
// would keep their ports too.
func TestCloseUnreadFreesSocket(t *testing.T) {
	ignore := func(*sctpnet.Conn, sctpnet.Event) {}
	for _, tt := range []struct {
		name   string
		config sctpnet.Config
	}{
		{"plain", sctpnet.Config{ReadBuffer: 100_000}},
		{"events", sctpnet.Config{ReadBuffer: 100_000, OnEvent: ignore, SenderDry: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const rounds = 20
			a, b := newLinks(t)
			watchdog(t, func() {
				for round := range rounds {
					port := 5000 + round
					ln := b.listen(t, sctpnet.ListenConfig{Config: tt.config}, "10.77.1.2:4000")
					local := &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{10, 77, 1, 1}}}, Port: port}
					dialled := a.dial(t, sctpnet.Dialer{Config: tt.config, LocalAddr: local}, "10.77.1.2:4000")
					accepted := accept(t, ln)
					for _, c := range []*sctpnet.Conn{dialled, accepted} {
						if err := c.SetWriteBuffer(200_000); err != nil {
							t.Fatal(err)
						}
						fillWindow(t, c)
					}
					dialled.Close()
					accepted.Close()
					ln.Close()
				}
			})
			b.awaitPort(t, net.IP{10, 77, 1, 2}, 4000)
			for round := range rounds {
				a.awaitPort(t, net.IP{10, 77, 1, 1}, 5000+round)
			}
		})
	}
}

// awaitPort waits until no socket is left that has a port.
func (ns *netns) awaitPort(t testing.TB, ip net.IP, port int) {
	t.Helper()
	ns.do(t, func() error {
		deadline := time.Now().Add(10 * time.Second * conformance.Slowness)
		for {
			err := tryPort(ip, port)
			switch {
			case !errors.Is(err, unix.EADDRINUSE):
				return err
			case time.Now().After(deadline):
				return fmt.Errorf("port %d is still in use: the system keeps a socket that was closed", port)
			}
			time.Sleep(10 * ms)
		}
	})
}

// tryPort binds a port that no socket may have.
func tryPort(ip net.IP, port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte(ip.To4()), Port: port})
}
