package sctpnet_test

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/conformance"
)

// guestsEnv lists the values of SCTP_KERNEL that the documents' commands may use,
// separated by spaces. scripts/test sets it.
const guestsEnv = "SCTPNET_TEST_GUESTS"

// The word after "sh" where a block of shell begins says how the block is run.
const (
	plainShell  = "sh"        // from the root folder; needs no SCTP in the kernel
	guestShell  = "sh guest"  // the same, and starts guests by scripts/with-sctp
	rootShell   = "sh root"   // within a guest, as it changes the system
	moduleShell = "sh module" // in a new module, with the program that follows
	writesShell = "sh writes" // in a copy of the repository, in which no file changes
	longShell   = "sh long"   // not at all, as it takes long; its commands exist
)

// shellBlocks returns the blocks of one kind.
func shellBlocks(t *testing.T, kind string) (found []codeBlock) {
	t.Helper()
	for _, file := range documents(t) {
		all, _ := blocks(t, file)
		for _, b := range all {
			if b.language == kind {
				found = append(found, b)
			}
		}
	}
	if len(found) == 0 {
		t.Errorf("no document has a block of %q", kind)
	}
	return found
}

// shell runs commands in a folder. They know nothing of the test around them.
func shell(t *testing.T, folder, commands string, env ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", commands)
	cmd.Dir = folder
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, conformance.NoKernelEnv+"=") || strings.HasPrefix(v, "SCTP_KERNEL=")
	})
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v:\n%s\n%s", err, commands, out)
	}
	if bytes.Contains(out, []byte("no tests to run")) {
		t.Errorf("there is no such test:\n%s\n%s", commands, out)
	}
}

// TestDocsShellMarks looks for blocks of shell that say nothing of how to run them.
func TestDocsShellMarks(t *testing.T) {
	known := []string{plainShell, guestShell, rootShell, moduleShell, writesShell, longShell}
	for _, file := range documents(t) {
		all, _ := blocks(t, file)
		for _, b := range all {
			if language, _, _ := strings.Cut(b.language, " "); language != "go" && language != "" && !slices.Contains(known, b.language) {
				t.Errorf("%s: %q is none of %q", b.where(), b.language, known)
			}
		}
		if _, prose := blocks(t, file); indented.MatchString(prose) {
			t.Errorf("%s: %q is code without a fence, which is not checked", file, indented.FindString(prose))
		}
	}
}

// An indented line after an empty one is code too, where no list is open.
var indented = regexp.MustCompile(`(?m)^[^-\s].*\n\n(?:    |\t).*$`)

// TestDocsShell runs the commands that need no SCTP in the kernel.
func TestDocsShell(t *testing.T) {
	for _, b := range shellBlocks(t, plainShell) {
		t.Run(b.where(), func(t *testing.T) { shell(t, ".", b.text) })
	}
}

// TestDocsShellModule follows a document from an empty folder to a program that runs.
// The version that go get finds is this checkout.
func TestDocsShellModule(t *testing.T) {
	out, err := exec.Command("go", "env", "GOMODCACHE", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	have := strings.Fields(string(out)) // what was fetched before is not fetched again
	proxies := strings.Join([]string{"file://" + moduleProxy(t), "file://" + have[0] + "/cache/download", have[1]}, ",")
	for _, b := range shellBlocks(t, moduleShell) {
		all, _ := blocks(t, b.file)
		i := slices.IndexFunc(all, codeBlock.isProgram)
		if i < 0 || all[i].line < b.line {
			t.Errorf("%s: no program follows", b.where())
			continue
		}
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "main.go"), []byte(all[i].text), 0o666); err != nil {
			t.Fatal(err)
		}
		shell(t, folder, "go mod init hello\n"+b.text+"go mod tidy\ngo run .\n",
			"GOPROXY="+proxies, "GOSUMDB=off", "GOMODCACHE="+t.TempDir(), "GOFLAGS=-modcacherw")
	}
}

// moduleProxy makes a folder that is a proxy for modules, and has this one.
func moduleProxy(t *testing.T) string {
	t.Helper()
	const module, version = "github.com/sctpnet/sctpnet", "v0.1.0"
	proxy := t.TempDir()
	folder := filepath.Join(proxy, module, "@v")
	if err := os.MkdirAll(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	files := readAll(t, ".")
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	for name, content := range files {
		if ext := filepath.Ext(name); !slices.Contains([]string{".go", ".mod", ".sum"}, ext) || strings.Count(name, "/") > 0 && ext != ".go" {
			continue
		}
		f, err := w.Create(module + "@" + version + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"list":            version + "\n",
		version + ".info": `{"Version": "` + version + `"}`,
		version + ".mod":  files["go.mod"],
		version + ".zip":  archive.String(),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return proxy
}

// TestDocsShellWrites runs the commands that make files of the repository, and
// compares what they make with what is there.
func TestDocsShellWrites(t *testing.T) {
	for _, b := range shellBlocks(t, writesShell) {
		t.Run(b.where(), func(t *testing.T) {
			copied := t.TempDir()
			files := readAll(t, ".")
			for name, content := range files {
				name = filepath.Join(copied, name)
				if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(content), 0o777); err != nil {
					t.Fatal(err)
				}
			}
			shell(t, copied, b.text)
			after := readAll(t, copied)
			for name, content := range after {
				if before, ok := files[name]; !ok || before != content {
					t.Errorf("the command makes another %s: run it, and commit what it makes", name)
				}
			}
			for name := range files {
				if _, ok := after[name]; !ok {
					t.Errorf("the command removes %s", name)
				}
			}
		})
	}
}

// readAll returns the files of the repository in a folder.
func readAll(t *testing.T, folder string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Name() == ".git" && d.IsDir():
			return fs.SkipDir
		case d.Type().IsRegular() && d.Name() != ".git":
			content, err := os.ReadFile(filepath.Join(folder, path))
			files[path] = string(content)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestDocsShellGuest runs the commands that need SCTP in a kernel.
func TestDocsShellGuest(t *testing.T) {
	guests := strings.Fields(os.Getenv(guestsEnv))
	if len(guests) == 0 {
		t.Skip(guestsEnv + " names no kernels; scripts/test quick sets it")
	}
	for _, b := range shellBlocks(t, guestShell) {
		for line := range strings.Lines(b.text) {
			t.Run(b.where(), func(t *testing.T) {
				if m := guestOfLine.FindStringSubmatch(line); m != nil && !slices.Contains(guests, m[1]) {
					t.Skipf("there is no kernel %s here: %s", m[1], line)
				}
				shell(t, ".", line, conformance.NoKernelEnv+"=0", "SCTP_TIMEOUT=200")
			})
		}
	}
	for _, b := range shellBlocks(t, rootShell) {
		t.Run(b.where(), func(t *testing.T) {
			if !slices.Contains(guests, "uml") {
				t.Skip("it would change this system")
			}
			shell(t, ".", "scripts/with-sctp bash -euc '"+b.text+"'", "SCTP_KERNEL=uml", "SCTP_TIMEOUT=200")
		})
	}
}

var guestOfLine = regexp.MustCompile(`\bSCTP_KERNEL=(\w+)`)

// TestDocsShellLong looks at the commands that are not run: whether they are shell,
// whether each program exists, and whether scripts/test has the part.
func TestDocsShellLong(t *testing.T) {
	usage, err := exec.Command("scripts/test", "-h").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range shellBlocks(t, longShell) {
		shell(t, ".", "set -n\n"+b.text)
		for line := range strings.Lines(b.text) {
			words := strings.Fields(line)
			for len(words) > 0 && strings.Contains(words[0], "=") {
				words = words[1:] // a variable
			}
			if len(words) == 0 {
				t.Errorf("%s: no command in %q", b.where(), line)
				continue
			}
			if _, err := exec.LookPath(words[0]); err != nil {
				t.Errorf("%s: %v", b.where(), err)
			}
			if words[0] == "scripts/test" && len(words) > 1 && words[1] != "#" && !strings.Contains(string(usage), "\n  "+words[1]+" ") {
				t.Errorf("%s: scripts/test has no part %s", b.where(), words[1])
			}
		}
	}
}

// TestDocsGoVersions looks for the Go version of go.mod where it is said again.
func TestDocsGoVersions(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	if version == nil {
		t.Fatal("go.mod names no version")
	}
	for _, file := range []string{"README.md", "CONTRIBUTING.md", ".github/workflows/test.yml"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(content, version[1]) {
			t.Errorf("%s does not have Go %s, which go.mod has", file, version[1])
		}
	}
}

// TestDocsREADMELength holds the README to a page.
func TestDocsREADMELength(t *testing.T) {
	content, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(content, []byte("\n")); n > 130 {
		t.Errorf("README.md has %d lines; one page is 130", n)
	}
}
