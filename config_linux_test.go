package sctpnet_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"golang.org/x/sys/unix"
)

func init() { children["remote echo"] = remoteEcho }

// configured makes an association between ends with these Configs.
func configured(t testing.TB, address string, client, server sctpnet.Config) (c, s *sctpnet.Conn) {
	t.Helper()
	needSCTP(t)
	lc := sctpnet.ListenConfig{Config: server}
	ln, err := lc.Listen(context.Background(), "sctp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c = dial(t, &sctpnet.Dialer{Config: client}, "sctp", ln.Addr().String())
	return c, accept(t, ln)
}

func TestConfigStreams(t *testing.T) {
	type streams struct{ out, in int }
	for _, tt := range []struct {
		client, server sctpnet.Config
		want           streams // of the client
	}{
		{want: streams{64, 64}},
		{client: sctpnet.Config{OutStreams: 1}, want: streams{1, 64}},
		{client: sctpnet.Config{MaxInStreams: 1}, want: streams{64, 1}},
		{client: sctpnet.Config{OutStreams: 3000, MaxInStreams: 2000}, want: streams{256, 256}},
		{client: sctpnet.Config{OutStreams: 3000, MaxInStreams: 2000}, server: sctpnet.Config{MaxInStreams: 1000}, want: streams{1000, 1000}},
		{client: sctpnet.Config{OutStreams: 3000, MaxInStreams: 2000}, server: sctpnet.Config{OutStreams: 1000}, want: streams{1000, 1000}},
		{server: sctpnet.Config{OutStreams: 5}, want: streams{5, 5}},
		{server: sctpnet.Config{MaxInStreams: 5}, want: streams{5, 64}},
		{
			client: sctpnet.Config{OutStreams: 20, MaxInStreams: 30},
			server: sctpnet.Config{OutStreams: 25, MaxInStreams: 15},
			want:   streams{15, 25},
		},
	} {
		c, s := configured(t, "127.0.0.1:0", tt.client, tt.server)
		soon(t, func() error {
			st := status(t, c)
			if got := (streams{int(st.Ostreams), int(st.Instreams)}); got != tt.want {
				return fmt.Errorf("client %+v, server %+v: %+v, want %+v", tt.client, tt.server, got, tt.want)
			}
			st = status(t, s)
			if got := (streams{int(st.Instreams), int(st.Ostreams)}); got != tt.want {
				return fmt.Errorf("client %+v, server %+v: the server's are %+v, want %+v", tt.client, tt.server, got, tt.want)
			}
			return nil
		})
	}
}

// systemDefault is an option of a socket that this package has not touched.
func systemDefault(t *testing.T, level, opt int) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	v, err := unix.GetsockoptInt(fd, level, opt)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestConfigDefaults checks what the zero Config sets and KernelDefaults does
// not, at both ends.
func TestConfigDefaults(t *testing.T) {
	needSCTP(t)
	// The system doubles the size of a buffer that is asked for.
	buffer := func(limit string) int {
		b, err := os.ReadFile("/proc/sys/net/core/" + limit)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		return 2 * min(2<<20, n)
	}
	for _, tt := range []struct {
		name       string
		level, opt int
		want       int
	}{
		{"SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF, buffer("rmem_max")},
		{"SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF, buffer("wmem_max")},
		{"SCTP_NODELAY", sctp.SOL_SCTP, sctp.SCTP_NODELAY, 1},
	} {
		for _, kernel := range []bool{false, true} {
			want := tt.want
			if kernel {
				want = systemDefault(t, tt.level, tt.opt)
			}
			config := sctpnet.Config{KernelDefaults: kernel}
			c, s := configured(t, "127.0.0.1:0", config, config)
			for end, conn := range map[string]*sctpnet.Conn{"client": c, "server": s} {
				if got := getsockopt(t, conn, tt.level, tt.opt); got != want {
					t.Errorf("KernelDefaults %t: the %s's %s is %d, want %d", kernel, end, tt.name, got, want)
				}
			}
		}
	}
}

// TestConfigKernelDefaults checks that what a Config sets counts even so, and
// that the rest is the system's.
func TestConfigKernelDefaults(t *testing.T) {
	kernel := sctpnet.Config{KernelDefaults: true}
	c, _ := configured(t, "127.0.0.1:0", kernel, kernel)
	st := status(t, c)
	if st.Ostreams != 10 || st.Instreams != 10 {
		t.Errorf("%d and %d streams, want Linux's 10", st.Ostreams, st.Instreams)
	}
	if st.PrimaryPeerAddr.MTU < 65532 {
		t.Errorf("path MTU is %d, want that of the interface lo", st.PrimaryPeerAddr.MTU)
	}
	c, _ = configured(t, "127.0.0.1:0", sctpnet.Config{KernelDefaults: true, OutStreams: 7}, kernel)
	if st := status(t, c); st.Ostreams != 7 {
		t.Errorf("%d streams, want 7", st.Ostreams)
	}
}

// TestConfigInit checks that a silent peer is given up when the Config says.
func TestConfigInit(t *testing.T) {
	silentNet(t)
	d := sctpnet.Dialer{Config: sctpnet.Config{InitAttempts: 1, InitTimeout: 200 * time.Millisecond}}
	took, err := dialFails(t, func() (net.Conn, error) { return d.Dial("sctp", joinPort(silent4, 9)) })
	var nerr net.Error
	if !errors.Is(err, syscall.ETIMEDOUT) || !errors.As(err, &nerr) || !nerr.Timeout() {
		t.Errorf("%v, want ETIMEDOUT and Timeout()", err)
	}
	// The first wait is of 1 s, the second of 200 ms.
	if took < time.Second || took > 1200*time.Millisecond+5*atOnce {
		t.Errorf("took %v, want 1.2 s", took)
	}
}

func TestConfigOutOfRange(t *testing.T) {
	for _, tt := range []struct {
		config sctpnet.Config
		names  []string // what the error names: field, value and range
	}{
		{sctpnet.Config{OutStreams: -1}, []string{"OutStreams", "-1", "65535"}},
		{sctpnet.Config{OutStreams: 65536}, []string{"OutStreams", "65536", "65535"}},
		{sctpnet.Config{MaxInStreams: -7}, []string{"MaxInStreams", "-7", "65535"}},
		{sctpnet.Config{MaxInStreams: 1 << 30}, []string{"MaxInStreams", "1073741824", "65535"}},
		{sctpnet.Config{InitAttempts: -1}, []string{"InitAttempts", "-1", "65535"}},
		{sctpnet.Config{InitAttempts: 65536}, []string{"InitAttempts", "65536", "65535"}},
		{sctpnet.Config{InitTimeout: -1}, []string{"InitTimeout", "-1ns", "1ms", "65.535s"}},
		{sctpnet.Config{InitTimeout: time.Microsecond}, []string{"InitTimeout", "1µs", "1ms", "65.535s"}},
		{sctpnet.Config{InitTimeout: 66 * time.Second}, []string{"InitTimeout", "1m6s", "1ms", "65.535s"}},
		{sctpnet.Config{OutStreams: -1, KernelDefaults: true}, []string{"OutStreams", "-1", "65535"}},
	} {
		d := sctpnet.Dialer{Config: tt.config}
		_, derr := d.Dial("sctp", "127.0.0.1:9")
		lc := sctpnet.ListenConfig{Config: tt.config}
		_, lerr := lc.Listen(context.Background(), "sctp", "127.0.0.1:0")
		for op, err := range map[string]error{"dial": derr, "listen": lerr} {
			var e *net.OpError
			if !errors.As(err, &e) || e.Op != op {
				t.Errorf("%s with %+v: %v, want a *net.OpError", op, tt.config, err)
				continue
			}
			for _, name := range tt.names {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%s: %v does not say %s", op, err, name)
				}
			}
		}
	}
}

// loopbackMTU is the path MTU over the loopback interface: two chunks of half of
// 64 KiB, over IPv6.
const loopbackMTU = 32836

// TestLoopbackPathMTU checks the one path whose MTU is set.
func TestLoopbackPathMTU(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "127.0.0.1/127.0.0.2:0"} {
		c, s := pipe(t, "sctp", address)
		for end, conn := range map[string]*sctpnet.Conn{"client": c, "server": s} {
			if got := status(t, conn).PrimaryPeerAddr.MTU; got != loopbackMTU {
				t.Errorf("%s: the %s's path MTU is %d, want %d", address, end, got, loopbackMTU)
			}
		}
	}
}

// TestRemotePathMTU checks that the MTU of any other path is left alone, also
// of the largest there can be, by an association with another network
// namespace.
func TestRemotePathMTU(t *testing.T) {
	needSCTP(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can make a network")
	}
	for _, mtu := range []int{1500, 9000, 65535} {
		t.Run(strconv.Itoa(mtu), func(t *testing.T) {
			watchdog(t, func() {
				address := otherHost(t, mtu)
				c := dial(t, nil, "sctp", address)
				if got := int(status(t, c).PrimaryPeerAddr.MTU); got > mtu || got < mtu-3 {
					t.Errorf("path MTU is %d, want %d, or the multiple of four below", got, mtu)
				}
				if _, err := io.WriteString(c, "hello"); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// otherHost starts a process with a network of its own and a link to this one,
// which serves one association, and returns its address.
func otherHost(t *testing.T, mtu int) (address string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"=remote echo")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the other host: %v", err)
		}
		ip("link delete sctpnetveth") // it goes with the other host, but later
	})
	// There is a namespace to move the link's other end to since Start.
	err = errors.Join(
		ip("link add sctpnetveth mtu", strconv.Itoa(mtu), "type veth peer name sctpnetveth mtu", strconv.Itoa(mtu),
			"netns", strconv.Itoa(cmd.Process.Pid)),
		ip("address add 192.0.2.1/24 dev sctpnetveth"),
		ip("link set sctpnetveth up"),
	)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(stdin)
	address, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address)
}

// remoteEcho is the other host: once its link is there it serves until its
// standard input ends.
func remoteEcho() error {
	stdin := bufio.NewReader(os.Stdin)
	if _, err := stdin.ReadString('\n'); err != nil {
		return nil // nobody wants it any more
	}
	err := errors.Join(
		ip("address add 192.0.2.2/24 dev sctpnetveth"),
		ip("link set sctpnetveth up"),
	)
	if err != nil {
		return err
	}
	ln, err := sctpnet.Listen("sctp", "192.0.2.2:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c)
		}
	}()
	_, err = stdin.WriteTo(io.Discard)
	time.Sleep(conformance.Slowness * 10 * time.Millisecond) // for the peer's SHUTDOWN to be answered
	return err
}
