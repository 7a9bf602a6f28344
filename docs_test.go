package sctpnet_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/conformance"
)

// A codeBlock is a fenced block of a document.
type codeBlock struct {
	file     string
	line     int // of its first line
	language string
	text     string
}

func (b codeBlock) where() string { return b.file + ":" + strconv.Itoa(b.line) }

// documents returns the Markdown files of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, name := range []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/errors.md"} {
		if !slices.Contains(files, filepath.FromSlash(name)) {
			t.Fatalf("there is no %s among %v", name, files)
		}
	}
	return files
}

// blocks returns the fenced blocks of a document, and the text outside of them.
func blocks(t *testing.T, file string) (all []codeBlock, prose string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	var open *codeBlock
	line := 0
	for l := range strings.Lines(string(content)) {
		line++
		language, fence := strings.CutPrefix(l, "```")
		switch {
		case fence && open != nil:
			all = append(all, *open)
			open = nil
		case fence:
			open = &codeBlock{file: file, line: line + 1, language: strings.TrimSpace(language)}
		case open != nil:
			open.text += l
		default:
			text.WriteString(l)
		}
	}
	if open != nil {
		t.Errorf("%s: the block does not end", open.where())
	}
	return all, text.String()
}

// TestDocsREADMEProgram runs the complete program of the README.
func TestDocsREADMEProgram(t *testing.T) {
	all, _ := blocks(t, "README.md")
	i := slices.IndexFunc(all, codeBlock.isProgram)
	if i < 0 {
		t.Fatal("the README has no complete program")
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(all[i].text), 0o666); err != nil {
		t.Fatal(err)
	}
	watchdog(t, func() {
		out, err := exec.Command("go", "run", file).CombinedOutput()
		if err != nil || string(out) != "hello, SCTP\n" {
			t.Errorf("%s: the program printed %q, %v", all[i].where(), out, err)
		}
	})
}

func (b codeBlock) isProgram() bool {
	return b.language == "go" && strings.HasPrefix(b.text, "package ")
}

// packages are what blocks may use without an import.
var packages = map[string]string{
	"bufio": "bufio", "context": "context", "errors": "errors", "fmt": "fmt", "http": "net/http", "io": "io",
	"log": "log", "net": "net", "netip": "net/netip", "os": "os", "sctpnet": "github.com/sctpnet/sctpnet",
	"signal": "os/signal", "slog": "log/slog", "syscall": "syscall", "time": "time", "tls": "crypto/tls",
	"udpencap": "github.com/sctpnet/sctpnet/udpencap",
}

// given are the variables that blocks may use without a declaration.
const given = `ctx context.Context, err error, ln net.Listener, conn net.Conn, c *sctpnet.Conn, sc sctpnet.StreamConn,
	handler http.Handler, request, buf []byte, queue []sctpnet.Event, config *tls.Config`

// TestDocsCode type-checks the Go code of the documents. Blocks that are no
// complete programs may leave variables unused, declare a result twice, and use
// what is in packages and given.
func TestDocsCode(t *testing.T) {
	imports := exportData(t)
	n := 0
	for _, file := range documents(t) {
		all, _ := blocks(t, file)
		for _, b := range all {
			if b.language != "go" {
				continue
			}
			n++
			for _, err := range checkBlock(imports, b) {
				t.Errorf("%s: %v", b.where(), err)
			}
		}
	}
	if n < 15 {
		t.Errorf("found %d blocks of Go", n)
	}
}

// TestDocsCodeFindsFaults has the check look at blocks that are wrong.
func TestDocsCodeFindsFaults(t *testing.T) {
	imports := exportData(t)
	for _, text := range []string{
		"c.SetRTO(sctpnet.RTO{})",             // no such method
		"x := sctpnet.Config{NoSuchField: 1}", // no such field
		"ln, err := sctpnet.Listen(\"sctp\")", // too few arguments
		"nobody.Write(nil)",                   // not declared
		"if {",                                // no Go
		"package main\n\nfunc main() { x := 1 }\n",
	} {
		if errs := checkBlock(imports, codeBlock{file: "test", line: 1, language: "go", text: text}); len(errs) == 0 {
			t.Errorf("no fault was found in %q", text)
		}
	}
}

// exportData returns an importer of the packages that documents use, of what the
// go command has compiled.
func exportData(t *testing.T) types.Importer {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-f", "{{if .Export}}{{.ImportPath}} {{.Export}}{{end}}"}
	for _, path := range packages {
		args = append(args, path)
	}
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	var out []byte
	var err error
	watchdog(t, func() { out, err = cmd.Output() })
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path] = file
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		file, ok := files[path]
		if !ok {
			return nil, fmt.Errorf("documents do not use package %s", path)
		}
		return os.Open(file)
	})
}

// checkBlock returns what is wrong with a block.
func checkBlock(imports types.Importer, b codeBlock) (errs []error) {
	source := b.text
	if !b.isProgram() {
		source = "package p\nfunc _(" + given + ") {\n{\n" + b.text + "\n}\n}\n"
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", source, 0)
	if err != nil {
		if list, ok := errors.AsType[scanner.ErrorList](err); ok {
			err = list[0]
		}
		return []error{err}
	}
	if !b.isProgram() {
		file = withImports(set, source, file)
	}
	config := types.Config{Importer: imports, Error: func(err error) {
		if b.isProgram() || !isOfFragment(err) {
			errs = append(errs, err)
		}
	}}
	config.Check("p", set, []*ast.File{file}, nil)
	return errs
}

// withImports returns the file with an import of each package that it uses.
func withImports(set *token.FileSet, source string, file *ast.File) *ast.File {
	used := make(map[string]bool)
	for _, id := range file.Unresolved {
		used[id.Name] = true
	}
	var list strings.Builder
	for name, path := range packages {
		if used[name] {
			fmt.Fprintf(&list, "import %q;", path)
		}
	}
	file, _ = parser.ParseFile(set, "", strings.Replace(source, "package p\n", "package p;"+list.String()+"\n", 1), 0)
	return file
}

// isOfFragment reports whether an error is of no concern in a part of a program.
func isOfFragment(err error) bool {
	for _, s := range []string{"declared and not used", "no new variables on left side of :="} {
		if strings.Contains(err.Error(), s) {
			return true
		}
	}
	return false
}

var (
	linkTarget    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	linkOfPackage = regexp.MustCompile(`https://github\.com/sctpnet/sctpnet/blob/main/(\S+)`)
	heading       = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notOfSlug     = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestDocsLinks looks for the files and headings that relative links name, and for
// the files that the packages' documentation does.
func TestDocsLinks(t *testing.T) {
	n := 0
	for _, file := range documents(t) {
		_, prose := blocks(t, file)
		for _, m := range linkTarget.FindAllStringSubmatch(prose, -1) {
			path, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			n++
			target := file
			if path != "" {
				target = filepath.Join(filepath.Dir(file), filepath.FromSlash(path))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link to %s: %v", file, m[1], err)
				continue
			}
			if fragment != "" && !slices.Contains(slugs(t, target), fragment) {
				t.Errorf("%s: link to %s: there is no such heading", file, m[1])
			}
		}
	}
	for _, file := range []string{"doc.go", "udpencap/doc.go"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range linkOfPackage.FindAllStringSubmatch(string(content), -1) {
			n++
			if _, err := os.Stat(m[1]); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	if n < 20 {
		t.Errorf("found %d links", n)
	}
}

// slugs returns the names that links have for the headings of a document.
func slugs(t *testing.T, file string) (all []string) {
	_, prose := blocks(t, file)
	for _, m := range heading.FindAllStringSubmatch(prose, -1) {
		all = append(all, strings.ReplaceAll(notOfSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
}

var command = regexp.MustCompile(`\b(?:examples|scripts|bench|udpencap|internal)(?:/[a-z_-]+)+(?:\.[a-z]+)?`)

// TestDocsCommands looks for the programs, scripts and files of the repository that
// documents name.
func TestDocsCommands(t *testing.T) {
	n := 0
	for _, file := range documents(t) {
		all, prose := blocks(t, file)
		text := prose
		for _, b := range all {
			if b.language == "sh" {
				text += b.text
			}
		}
		for _, m := range command.FindAllString(text, -1) {
			n++
			if _, err := os.Stat(filepath.FromSlash(m)); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	if n < 10 {
		t.Errorf("found %d commands", n)
	}
}

var inlineCode = regexp.MustCompile("`([^`]+)`")

// TestDocsErrors looks in the source for the messages that docs/errors.md lists.
func TestDocsErrors(t *testing.T) {
	source := literals(t)
	_, prose := blocks(t, "docs/errors.md")
	n := 0
	for line := range strings.Lines(prose) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, m := range inlineCode.FindAllStringSubmatch(cells[1], -1) {
			for part := range strings.SplitSeq(m[1], "…") {
				part = strings.Trim(part, ":( ")
				if strings.ContainsFunc(part, func(r rune) bool { return r == ' ' }) {
					n++
					if !strings.Contains(source, part) {
						t.Errorf("docs/errors.md: no message has %q", part)
					}
				}
			}
		}
	}
	if n < 40 {
		t.Errorf("found %d messages", n)
	}
}

// literals returns the strings of the library's source, a line each.
func literals(t *testing.T) string {
	t.Helper()
	var all bytes.Buffer
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{"bench", "examples", "testdata"}, d.Name()):
			return filepath.SkipDir
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				s, _ := strconv.Unquote(lit.Value)
				fmt.Fprintln(&all, s)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestDocsEvents looks for each type of event in docs/observability.md, by its Go
// name and by what a log calls it.
func TestDocsEvents(t *testing.T) {
	page, err := os.ReadFile("docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("events.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, pattern := range []string{`func \((\w+)\) event\(\)`, `\bgroup\("([a-z ]+)"`} {
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(source, -1) {
			n++
			if !bytes.Contains(page, []byte("`"+string(m[1])+"`")) {
				t.Errorf("docs/observability.md does not have %s", m[1])
			}
		}
	}
	if n < 24 {
		t.Errorf("found %d names", n)
	}
}

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

// needShell ends a test that runs commands of the documents on another system than
// they are for.
func needShell(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the commands of the documents are for Linux")
	}
}

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
	// timeout ends all the processes that they start.
	cmd := exec.Command("timeout", "--kill-after=10", "240", "bash", "-euo", "pipefail", "-c", commands)
	cmd.Dir = folder
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, conformance.NoKernelEnv+"=") || strings.HasPrefix(v, "SCTP_KERNEL=")
	})
	cmd.Env = append(cmd.Env, env...)
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
	needShell(t)
	for _, b := range shellBlocks(t, plainShell) {
		t.Run(b.where(), func(t *testing.T) { shell(t, ".", b.text) })
	}
}

// TestDocsShellModule follows a document from an empty folder to a program that runs.
// The version that go get finds is this checkout.
func TestDocsShellModule(t *testing.T) {
	needShell(t)
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
	needShell(t)
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
	needShell(t)
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
	needShell(t)
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
