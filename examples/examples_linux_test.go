// Package examples has the tests of the programs' command lines.
package examples

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// build builds the programs into a folder, and returns their names.
func build(t *testing.T) (folder string, names []string) {
	t.Helper()
	folder = t.TempDir()
	if out, err := command(t, "go", "build", "-o", folder, "./...").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	programs, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		names = append(names, p.Name())
	}
	if !slices.Contains(names, "echo") || !slices.Contains(names, "failover") {
		t.Fatalf("built %q", names)
	}
	return folder, names
}

// command returns a command that is killed after three minutes.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, name, args...)
}

// status returns the exit status that is in an error, and 0 for none.
func status(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		t.Fatal(err)
	}
	return exit.ExitCode()
}

var usageLine = regexp.MustCompile(`(?m)^usage: (\w+)`)

func TestCommandLines(t *testing.T) {
	folder, names := build(t)
	t.Run("help", func(t *testing.T) { testHelp(t, folder, names) })
	t.Run("wrong arguments", func(t *testing.T) { testWrongArguments(t, folder, names) })
	t.Run("interrupt", func(t *testing.T) { testInterrupt(t, folder) })
}

func testHelp(t *testing.T, folder string, names []string) {
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			out, err := command(t, filepath.Join(folder, name), "-h").CombinedOutput()
			if s := status(t, err); s != 0 {
				t.Errorf("-h: status %d", s)
			}
			// The first word of the text and the usage have the program's name.
			first, _, _ := strings.Cut(string(out), " ")
			usage := usageLine.FindSubmatch(out)
			if strings.ToLower(first) != name || usage == nil || string(usage[1]) != name {
				t.Errorf("-h does not say what %s is:\n%s", name, out)
			}
			if n := bytes.Count(out, []byte("\n")); n > 24 {
				t.Errorf("-h has %d lines", n)
			}
		})
	}
}

// testWrongArguments gives each program what it does not take.
func testWrongArguments(t *testing.T, folder string, names []string) {
	for _, c := range []struct {
		args []string
		want string // the beginning of the first line
	}{
		{[]string{"status", "-network", "sctp+udp", "127.0.0.1"}, "address 127.0.0.1: missing port"},
		{[]string{"status", "127.0.0.1:1", "extra"}, `unexpected argument "extra"`},
		{[]string{"status", "-for", "-1s"}, "-for and -every"},
		{[]string{"files", "-dial", "127.0.0.1", "file"}, "address 127.0.0.1: missing port"},
		{[]string{"files", "-listen", "127.0.0.1"}, "address 127.0.0.1: missing port"},
		{[]string{"files", "-dial", "127.0.0.1:1"}, "-dial needs files"},
		{[]string{"files", "extra"}, `unexpected argument "extra"`},
		{[]string{"http", "http://"}, `"http://" is no URL`},
		{[]string{"http", "127.0.0.1:80"}, `"127.0.0.1:80" is no URL`},
		{[]string{"http", "http://127.0.0.1", "extra"}, `unexpected argument "extra"`},
		{[]string{"http", "-listen", "127.0.0.1"}, "address 127.0.0.1: missing port"},
		{[]string{"article", "-dial", "127.0.0.1"}, "address 127.0.0.1: missing port"},
		{[]string{"article", "extra"}, `unexpected argument "extra"`},
		{[]string{"peers", "-name", "n", "-at", "127.0.0.1"}, "address 127.0.0.1: missing port"},
		{[]string{"peers", "extra"}, `unexpected argument "extra"`},
		{[]string{"echo", "extra"}, `unexpected argument "extra"`},
		{[]string{"httpstreams", "extra"}, `unexpected argument "extra"`},
		{[]string{"failover", "extra"}, `unexpected argument "extra"`},
	} {
		t.Run(c.args[0], func(t *testing.T) {
			out, err := command(t, filepath.Join(folder, c.args[0]), c.args[1:]...).CombinedOutput()
			if s := status(t, err); s != 2 || !strings.HasPrefix(string(out), c.want) || !usageLine.Match(out) {
				t.Errorf("%q: status %d, output:\n%s", c.args, s, out)
			}
		})
	}
	for _, name := range names {
		for _, args := range [][]string{{"-nonsense"}, {"-network", "tcp"}, {"a", "b", "c"}} {
			t.Run(name, func(t *testing.T) {
				out, err := command(t, filepath.Join(folder, name), args...).CombinedOutput()
				if s := status(t, err); s != 2 || !usageLine.Match(out) {
					t.Errorf("%q: status %d, output:\n%s", args, s, out)
				}
			})
		}
	}
}

// testInterrupt interrupts programs when they have printed something. One that serves
// until then ends with status 0, and one in the middle of its work with what a shell
// gives for Ctrl-C.
func testInterrupt(t *testing.T, folder string) {
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"http", "-network", "sctp+udp", "-listen", "127.0.0.1:0"}, 0},
		{[]string{"files", "-network", "sctp+udp", "-listen", "127.0.0.1:0", "-dir", t.TempDir()}, 0},
		{[]string{"status", "-network", "sctp+udp", "-for", "1h", "-every", "10ms"}, 130},
	} {
		t.Run(c.args[0], func(t *testing.T) {
			cmd := command(t, filepath.Join(folder, c.args[0]), c.args[1:]...)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var complaint bytes.Buffer
			cmd.Stderr = &complaint
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := out.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
			cmd.Process.Signal(os.Interrupt)
			rest := new(bytes.Buffer)
			rest.ReadFrom(out)
			if s := status(t, cmd.Wait()); s != c.want {
				t.Errorf("%q: status %d, want %d; errors: %q", c.args, s, c.want, complaint.String())
			}
		})
	}
}

// TestFirstComments looks in each first comment for the commands that scripts/test
// runs: of the kernel's SCTP, and where the program has a network, over UDP.
func TestFirstComments(t *testing.T) {
	sources, err := filepath.Glob("*/main.go")
	if err != nil || len(sources) < 7 {
		t.Fatal(sources, err)
	}
	for _, file := range sources {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		comment, code, _ := strings.Cut(string(content), "package main\n")
		name := filepath.Dir(file)
		if !strings.Contains(comment, "\n//\tgo run -exec \"$PWD/scripts/with-sctp\" ./examples/"+name+"\n") {
			t.Errorf("%s: no command for the kernel's SCTP", file)
		}
		if strings.Contains(code, `"network"`) && !strings.Contains(comment, "\n//\tgo run ./examples/"+name+" -network sctp+udp\n") {
			t.Errorf("%s: no command for SCTP over UDP", file)
		}
	}
}
