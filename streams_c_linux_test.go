package sctpnet_test

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestC has a program in C for a peer, which dials or is dialled: message
// boundaries, streams and PPIDs are what it says they are, both ways.
func TestC(t *testing.T) {
	needSCTP(t)
	peer := buildC(t, "testdata/peer.c")
	for _, tt := range []struct {
		name    string
		connect func(t *testing.T) (c *sctpnet.Conn, out *bufio.Scanner)
	}{
		{"listens", func(t *testing.T) (*sctpnet.Conn, *bufio.Scanner) {
			out := startC(t, peer, "listen")
			var port int
			if _, err := fmt.Sscanf(line(out), "port %d", &port); err != nil {
				t.Fatal(err)
			}
			return dial(t, nil, "sctp", joinPort("127.0.0.1", port)), out
		}},
		{"dials", func(t *testing.T) (*sctpnet.Conn, *bufio.Scanner) {
			ln := listen(t, "sctp4", "127.0.0.1:0")
			out := startC(t, peer, "dial", fmt.Sprint(port(ln.Addr())))
			return accept(t, ln), out
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			watchdog(t, func() {
				c, out := tt.connect(t)
				if o, i := c.NumStreams(); o != 20 || i != 20 {
					t.Errorf("there are %d and %d streams, want 20", o, i)
				}
				buf := make([]byte, 300<<10)
				read := func(r messenger, data string, stream uint16, ppid uint32) {
					t.Helper()
					n, info, err := r.ReadMsg(buf)
					if err != nil || string(buf[:n]) != data || info.Stream != stream || info.PPID != ppid || info.Unordered || info.More {
						t.Errorf("read %.20q, %+v, %v; want %.20q on stream %d with PPID %d", buf[:n], info, err, data, stream, ppid)
					}
				}
				send := func(w messenger, data string, info sctpnet.MsgInfo, want string) {
					t.Helper()
					if _, err := w.WriteMsg([]byte(data), info); err != nil {
						t.Fatal(err)
					}
					if got := line(out); got != want {
						t.Errorf("the peer says %q, want %q", got, want)
					}
				}
				// The order of different streams is that of sending, on lo.
				got := make(map[uint16]bool)
				for range 3 {
					n, info, err := c.ReadMsg(buf)
					if err != nil {
						t.Fatal(err)
					}
					want := map[uint16]struct {
						data      string
						ppid      uint32
						unordered bool
					}{0: {"unordered", 0, true}, 1: {"one", 0x01020304, false}, 19: {"nineteen", 46, false}}[info.Stream]
					if string(buf[:n]) != want.data || info.PPID != want.ppid || info.Unordered != want.unordered || got[info.Stream] {
						t.Errorf("read %q, %+v; want %+v", buf[:n], info, want)
					}
					got[info.Stream] = true
				}

				send(c, "abc", sctpnet.MsgInfo{Stream: 3, PPID: 0xa1b2c3d4}, "received 3 bytes, stream 3, ppid 2712847316")
				read(c, "abc", 4, 0xa1b2c3d5)
				send(c, "d", sctpnet.MsgInfo{Unordered: true}, "received 1 bytes, stream 0, ppid 0, unordered")
				read(c, "d", 1, 1)
				large := strings.Repeat("large", 10_000)
				send(c, large, sctpnet.MsgInfo{Stream: 18, PPID: 1}, "received 50000 bytes, stream 18, ppid 1")
				read(c, large, 19, 2)

				// And of Streams. The C program has no stream reconfiguration.
				s7, s8 := claim(t, c, 7), claim(t, c, 8)
				send(s7, "stream", sctpnet.MsgInfo{PPID: 61}, "received 6 bytes, stream 7, ppid 61")
				read(s8, "stream", 8, 62)
				if err := s7.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if err := c.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if got := line(out); got != "end" {
					t.Errorf("the peer says %q, want its end", got)
				}
			})
		})
	}
}

// buildC compiles a program in C.
func buildC(t *testing.T, source string) string {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc (apt-get install gcc libsctp-dev): ", err)
	}
	if out, err := preprocess("#include <netinet/sctp.h>"); err != nil {
		t.Skipf("no netinet/sctp.h (apt-get install libsctp-dev libc6-dev): %s", out)
	}
	program := filepath.Join(t.TempDir(), "peer")
	if out, err := exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "-o", program, source, "-lsctp").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

func preprocess(source string) ([]byte, error) {
	cmd := exec.Command("gcc", "-E", "-o", "/dev/null", "-")
	cmd.Stdin = strings.NewReader(source)
	return cmd.CombinedOutput()
}

// startC starts a program, which must end by itself and well, and returns what
// it prints.
func startC(t *testing.T, program string, args ...string) *bufio.Scanner {
	t.Helper()
	cmd := exec.Command(program, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			cmd.Process.Kill()
		}
		io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v: %s", program, err, &stderr)
		}
	})
	return bufio.NewScanner(stdout)
}

// line returns the next line of a program's output.
func line(out *bufio.Scanner) string {
	out.Scan()
	return out.Text()
}
