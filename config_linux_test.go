package sctpnet_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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
			c, s := configured(t, "sctp", "127.0.0.1:0", config, config)
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
	c, _ := configured(t, "sctp", "127.0.0.1:0", kernel, kernel)
	st := status(t, c)
	if st.Ostreams != 10 || st.Instreams != 10 {
		t.Errorf("%d and %d streams, want Linux's 10", st.Ostreams, st.Instreams)
	}
	if st.PrimaryPeerAddr.MTU < 65532 {
		t.Errorf("path MTU is %d, want that of the interface lo", st.PrimaryPeerAddr.MTU)
	}
	c, _ = configured(t, "sctp", "127.0.0.1:0", sctpnet.Config{KernelDefaults: true, OutStreams: 7}, kernel)
	if st := status(t, c); st.Ostreams != 7 {
		t.Errorf("%d streams, want 7", st.Ostreams)
	}
	config := sctpnet.Config{KernelDefaults: true, RTO: sctpnet.RTO{Max: 2 * time.Second}, ReadBuffer: 40000}
	c, _ = configured(t, "sctp", "127.0.0.1:0", config, config)
	if got, want := inForce(t, c).RTO, (sctpnet.RTO{Initial: 3 * time.Second, Min: time.Second, Max: 2 * time.Second}); got != want {
		t.Errorf("RTO is %+v, want %+v", got, want)
	}
	if got := inForce(t, c).ReadBuffer; got != 40000 {
		t.Errorf("read buffer is %d", got)
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
