package udpencap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// buildUsrsctp builds the peer on usrsctp, where that is installed.
func buildUsrsctp(t *testing.T) string {
	t.Helper()
	if err := exec.Command("gcc", "-include", "usrsctp.h", "-fsyntax-only", "-x", "c", "/dev/null").Run(); err != nil {
		t.Skip("no gcc or no libusrsctp-dev")
	}
	bin := filepath.Join(t.TempDir(), "usrsctp")
	if out, err := exec.Command("gcc", "-o", bin, "testdata/usrsctp.c", "-lusrsctp", "-lpthread").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return bin
}

// TestUsrsctp has an association with usrsctp, a stack that is neither ours nor
// the kernel's, which dials or is dialed, and ends in several ways.
func TestUsrsctp(t *testing.T) {
	bin := buildUsrsctp(t)
	start := func(t *testing.T, args ...string) (wait func(), out *bufio.Scanner) {
		t.Helper()
		cmd := exec.Command(bin, args...)
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
		return func() { cmd.Wait() }, bufio.NewScanner(pipe)
	}
	line := func(t *testing.T, out *bufio.Scanner, want string) {
		t.Helper()
		if !out.Scan() || out.Text() != want {
			t.Fatalf("usrsctp says %q, want %q", out.Text(), want)
		}
	}
	for _, dials := range []bool{false, true} {
		for _, end := range []string{"close", "abort", "Close", "Abort", "Shutdown"} {
			t.Run(fmt.Sprintf("dials=%t/%s", dials, end), func(t *testing.T) {
				udp := fmt.Sprint(freeUDPPort(t))
				var c *sctpnet.Conn
				var wait func()
				var out *bufio.Scanner
				watchdog(t, func() {
					if dials {
						ln := listen(t, "sctp+udp", "127.0.0.1:0")
						port := fmt.Sprint(ln.Addr().(*sctpnet.Addr).Port)
						wait, out = start(t, "dial", udp, port, port)
						c = accept(t, ln)
						line(t, out, "connected")
					} else {
						wait, out = start(t, "listen", udp, "4000")
						line(t, out, "listening")
						d := sctpnet.Dialer{}
						fmt.Sscan(udp, &d.Config.PathParams.UDPPort)
						c = dial(t, &d, "127.0.0.1:4000")
					}
					echoMessages(t, c)
					echoStream(t, c)
					buf := make([]byte, 10)
					switch end {
					case "close", "abort":
						if _, err := c.Write([]byte(end)); err != nil {
							t.Fatal(err)
						}
						n, err := c.Read(buf)
						if end == "close" && err != io.EOF || end == "abort" && !errors.Is(err, syscall.ECONNRESET) {
							t.Errorf("Read returned %d, %v", n, err)
						}
					case "Close":
						c.Close()
						line(t, out, "end")
					case "Shutdown":
						c.Shutdown()
						line(t, out, "end")
						if n, err := c.Read(buf); err != io.EOF {
							t.Errorf("Read returned %d, %v", n, err)
						}
					case "Abort":
						c.Abort()
						line(t, out, "reset")
					}
					c.Close()
					wait()
				})
			})
		}
	}
}

// echoMessages sends messages of all kinds, and wants each back as it was.
func echoMessages(t *testing.T, c *sctpnet.Conn) {
	t.Helper()
	for i, size := range []int{1, 2, 100, 1400, 1500, 5000, 20_000, 65_535, 65_536} {
		b := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(i)}).Read(b)
		want := sctpnet.MsgInfo{Stream: uint16(i % 4), PPID: uint32(40 + i), Unordered: i%3 == 1}
		if _, err := c.WriteMsg(b, want); err != nil {
			t.Fatal(err)
		}
		got, info, err := c.ReadMessage(100_000)
		if err != nil || !bytes.Equal(got, b) || info.Stream != want.Stream || info.PPID != want.PPID || info.Unordered != want.Unordered {
			t.Fatalf("message %d: got %d bytes, %+v, %v", i, len(got), info, err)
		}
	}
}

// echoStream uses and closes streams, each of which the peer closes too.
func echoStream(t *testing.T, c *sctpnet.Conn) {
	t.Helper()
	for i := range 3 {
		s, err := c.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprint("on a stream ", i)
		if _, err := s.Write([]byte(want)); err != nil {
			t.Fatal(err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(s); string(got) != want || err != nil {
			t.Fatalf("read %q, %v", got, err)
		}
		s.Close()
	}
}
