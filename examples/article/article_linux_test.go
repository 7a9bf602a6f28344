package main

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// The test starts itself as the program.
const mainEnv = "ARTICLE_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestArticle(t *testing.T) {
	needSCTP(t)
	out, err := article(t).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, messages, _ := bytes.Cut(out, []byte("\n")) // after "listening"
	check(t, messages)
}

// TestEveryServerWithEveryClient has each server talk to each client, the Go ones and those in C.
func TestEveryServerWithEveryClient(t *testing.T) {
	needSCTP(t)
	goClient := func(t *testing.T) *exec.Cmd { return article(t, "-dial=127.0.0.1:29008") }
	cClientPath := compile(t, "client.c")
	cClient := func(t *testing.T) *exec.Cmd { return command(t, cClientPath, "127.0.0.1") }

	for _, server := range []struct {
		name string
		cmd  *exec.Cmd
	}{
		{"Go", article(t, "-listen=:29008")},
		{"C", command(t, compile(t, "server.c"))},
		{"C with NUL", command(t, compile(t, "server.c", "-DLENGTH=strlen(buffer) + 1"))},
		{"C with all of the buffer", command(t, compile(t, "server.c", "-DLENGTH=sizeof(buffer)"))},
	} {
		t.Run(server.name, func(t *testing.T) {
			start(t, server.cmd)
			for _, client := range []struct {
				name string
				cmd  func(*testing.T) *exec.Cmd
			}{
				{"Go", goClient},
				{"C", cClient},
			} {
				t.Run(client.name, func(t *testing.T) {
					for range 3 {
						out, err := client.cmd(t).CombinedOutput()
						if err != nil {
							t.Fatalf("%v\n%s", err, out)
						}
						check(t, out)
					}
				})
			}
		})
	}
}

// TestRefused has no server.
func TestRefused(t *testing.T) {
	needSCTP(t)
	out, err := article(t, "-dial=127.0.0.1:29008").CombinedOutput()
	exit, ok := err.(*exec.ExitError)
	if !ok || exit.ExitCode() != 1 || !strings.Contains(string(out), "connection refused") {
		t.Errorf("%v\n%s", err, out)
	}
}

// check checks what a client prints. Streams may overtake each other.
func check(t *testing.T, out []byte) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	want := []string{"stream 0: Message #1", "stream 1: Message #2", "stream 2: Message #3"}
	if !slices.Equal(lines, want) {
		t.Errorf("the client printed\n%s\nwant\n%s", out, strings.Join(want, "\n"))
	}
}

// start starts a server, waits until it listens, and ends it with the test.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		err := cmd.Wait()
		if cmd.Path == os.Args[0] && err != nil {
			t.Errorf("the server ended with: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, "listening") {
		t.Fatalf("the server printed %q, %v", line, err)
	}
}

// article is this program.
func article(t *testing.T, args ...string) *exec.Cmd {
	cmd := command(t, os.Args[0], args...)
	cmd.Env = append(os.Environ(), mainEnv+"=1")
	return cmd
}

// command is a command that is killed if it does not end in time.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, name, args...)
}

// compile compiles a C program, or skips the test where that is not possible.
func compile(t *testing.T, source string, flags ...string) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no C compiler: install gcc and libsctp-dev:", err)
	}
	program := filepath.Join(t.TempDir(), strings.TrimSuffix(source, ".c"))
	args := append(flags, "-Wall", "-Werror", "-o", program, filepath.Join("testdata", source), "-lsctp")
	out, err := command(t, gcc, args...).CombinedOutput()
	for _, missing := range []string{"netinet/sctp.h: No such file", "cannot find -lsctp"} {
		if strings.Contains(string(out), missing) {
			t.Skipf("install libsctp-dev: %s", out)
		}
	}
	if err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return program
}

// needSCTP ends a test where the kernel has no SCTP.
func needSCTP(t *testing.T) {
	t.Helper()
	conformance.NeedKernel(t, sctpnet.Available("sctp"))
}
