package sctpnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

func init() {
	children["privileged port"] = privilegedPort
	children["out of descriptors"] = outOfDescriptors
}

// child runs one of the children. It fails the test if that fails.
func child(t *testing.T, name string) {
	t.Helper()
	cmd := childCommand(name)
	watchdog(t, func() {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
}

func TestListenPrivilegedPort(t *testing.T) {
	needSCTP(t)
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil && strings.TrimSpace(string(b)) == "0" {
		t.Skip("here net.ipv4.ip_unprivileged_port_start lets everybody have every port")
	}
	child(t, "privileged port")
}

func privilegedPort() error {
	if os.Geteuid() == 0 {
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:7")
	if err == nil {
		ln.Close()
	}
	if !errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("Listen: %v, want EACCES", err)
	}
	return nil
}

// TestAcceptOutOfDescriptors needs a process of its own to run out of them.
func TestAcceptOutOfDescriptors(t *testing.T) {
	needSCTP(t)
	child(t, "out of descriptors")
}

func outOfDescriptors() error {
	limit := syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c, err := sctpnet.Dial("sctp", ln.Addr().String())
	if err != nil {
		return err
	}
	var files []*os.File
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		files = append(files, f)
	}
	for range 3 {
		_, err = ln.Accept()
		//lint:ignore SA1019 http.Server asks so
		if nerr, ok := err.(net.Error); !ok || !nerr.Temporary() || !errors.Is(err, syscall.EMFILE) {
			return fmt.Errorf("Accept without descriptors: %v, want a temporary EMFILE", err)
		}
	}
	if _, err := sctpnet.Dial("sctp", ln.Addr().String()); !errors.Is(err, syscall.EMFILE) {
		return fmt.Errorf("Dial without descriptors: %v, want EMFILE", err)
	}
	files[0].Close()
	s, err := ln.Accept()
	if err != nil {
		return fmt.Errorf("Accept with a descriptor: %v", err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err = io.ReadFull(s, make([]byte, 1))
	return err
}

func TestListenControl(t *testing.T) {
	needSCTP(t)
	for _, tt := range []struct{ network, address, wantNetwork, wantAddress string }{
		{"sctp", "127.0.0.1:0", "sctp4", "127.0.0.1:0"},
		{"sctp", "[::1]:0", "sctp6", "[::1]:0"},
		{"sctp4", "127.0.0.1/127.0.0.2:0", "sctp4", "127.0.0.1/127.0.0.2:0"},
		{"sctp", ":0", "sctp6", ":0"},
	} {
		calls := 0
		lc := sctpnet.ListenConfig{Control: func(network, address string, c syscall.RawConn) error {
			calls++
			if network != tt.wantNetwork || address != tt.wantAddress {
				t.Errorf("Control was told %s, %s; want %s, %s", network, address, tt.wantNetwork, tt.wantAddress)
			}
			return c.Control(func(uintptr) {})
		}}
		ln, err := lc.Listen(context.Background(), tt.network, tt.address)
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
		if calls != 1 {
			t.Errorf("Control was called %d times", calls)
		}

		errControl := errors.New("control")
		lc.Control = func(string, string, syscall.RawConn) error { return errControl }
		if _, err := lc.Listen(context.Background(), tt.network, tt.address); !errors.Is(err, errControl) {
			t.Errorf("Listen: %v, want Control's error", err)
		}
	}
}

// childCommand starts this program again, as one of the children.
func childCommand(name string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	return cmd
}

// TestListenAsNet listens as package net does on TCP.
func TestListenAsNet(t *testing.T) {
	needSCTP(t)
	for _, suffix := range []string{"", "4", "6"} {
		for _, host := range []string{"", "[::]", "0.0.0.0", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]"} {
			t.Run(suffix+" "+host, func(t *testing.T) {
				want, terr := listenHost(net.Listen("tcp"+suffix, host+":0"))
				got, err := listenHost(sctpnet.Listen("sctp"+suffix, host+":0"))
				if got != want || (err == nil) != (terr == nil) {
					t.Errorf("SCTP listens at %q, %v; TCP at %q, %v", got, err, want, terr)
				}
			})
		}
	}
}

// listenHost returns the host that a listener has, and closes it.
func listenHost(ln net.Listener, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer ln.Close()
	host, _, err := net.SplitHostPort(ln.Addr().String())
	return host, err
}

// TestAcceptEnding accepts associations that the peer has begun to shut down.
// Their sockets do not become readable when they end. Whoever waits for
// something to read must be woken all the same.
func TestAcceptEnding(t *testing.T) {
	ignore := func(*sctpnet.Conn, sctpnet.Event) {}
	for _, tt := range []struct {
		name   string
		config sctpnet.Config
		wait   func(*sctpnet.Conn) error
	}{
		{"Read", sctpnet.Config{}, func(c *sctpnet.Conn) error {
			_, err := c.Read(make([]byte, 10))
			return err
		}},
		{"ReadMsg", sctpnet.Config{}, func(c *sctpnet.Conn) error {
			_, _, err := c.ReadMsg(make([]byte, 10))
			return err
		}},
		{"Read with events", sctpnet.Config{OnEvent: ignore}, func(c *sctpnet.Conn) error {
			_, err := c.Read(make([]byte, 10))
			return err
		}},
		{"Stream.Read", sctpnet.Config{}, func(c *sctpnet.Conn) error {
			s, err := c.Stream(3)
			if err != nil {
				return err
			}
			_, err = s.Read(make([]byte, 10))
			return err
		}},
		{"AcceptStream", sctpnet.Config{}, func(c *sctpnet.Conn) error {
			_, err := c.AcceptStream(context.Background())
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newLinks(t)
			ln := b.listen(t, sctpnet.ListenConfig{Config: tt.config}, "10.77.1.2:0")
			client := a.dial(t, sctpnet.Dialer{}, ln.Addr().String())
			b.awaitState(t, port(ln.Addr()), "3") // ESTABLISHED
			b.netem(t, "link1", "loss 100%")
			if err := client.Shutdown(); err != nil {
				t.Fatal(err)
			}
			b.awaitState(t, port(ln.Addr()), "7") // SHUTDOWN ACK SENT
			server := accept(t, ln)
			waiting := conformance.Start(t, func() (int, error) { return 0, tt.wait(server) })
			waiting.Waits()
			b.heal(t, "link1")
			watchdog(t, func() {
				if _, err := waiting.Result(); !isEOF(err) {
					t.Errorf("the wait ended by %v, want the end of the association", err)
				}
			})
		})
	}
}

func isEOF(err error) bool { return err != nil && strings.HasSuffix(err.Error(), io.EOF.Error()) }
