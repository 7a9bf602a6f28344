package sctpnet_test

import (
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
	"slices"
	"strconv"
	"strings"
	"testing"
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
