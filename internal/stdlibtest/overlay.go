package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// module is the module that is tested, and root its import path below GOROOT,
// where packages of the standard library can import it. What it needs of other
// modules is there too, below root/deps.
const (
	module = "github.com/sctpnet/sctpnet"
	root   = "sctpnet"
)

// An overlay is what go build -overlay replaces and adds below GOROOT.
type overlay struct {
	goroot string
	dir    string            // where the files are that stand in for others
	files  map[string]string // by the path below GOROOT
}

func newOverlay(goroot, dir string) *overlay {
	return &overlay{goroot, dir, make(map[string]string)}
}

// add has a file stand at a path below GOROOT/src.
func (o *overlay) add(path string, content []byte) error {
	file := filepath.Join(o.dir, fmt.Sprintf("%d-%s", len(o.files), filepath.Base(path)))
	o.files[filepath.Join(o.goroot, "src", filepath.FromSlash(path))] = file
	return os.WriteFile(file, content, 0o666)
}

// write writes the file that -overlay takes and returns its name.
func (o *overlay) write() (string, error) {
	content, err := json.Marshal(map[string]any{"Replace": o.files})
	if err != nil {
		return "", err
	}
	name := filepath.Join(o.dir, "overlay.json")
	return name, os.WriteFile(name, content, 0o666)
}

// addModule adds the module in the current folder and what it needs of others.
func (o *overlay) addModule() error {
	packages, err := dependencies(module, module+"/udpencap")
	if err != nil {
		return err
	}
	for _, p := range packages {
		for _, name := range p.GoFiles {
			content, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				return err
			}
			if len(p.SFiles) > 0 {
				if content, err = replaceAssembly(name, content); err != nil {
					return fmt.Errorf("%s: %w", p.ImportPath, err)
				}
			}
			if content, err = rewriteImports(name, content, packages); err != nil {
				return err
			}
			if err := o.add(below(p.ImportPath)+"/"+name, content); err != nil {
				return err
			}
		}
	}
	return nil
}

// A goPackage is what go list says of a package.
type goPackage struct {
	Dir, ImportPath   string
	Standard          bool
	GoFiles, CgoFiles []string
	SFiles            []string // assembly
}

// dependencies returns the packages that are not in the standard library, by
// their import paths.
func dependencies(paths ...string) (map[string]*goPackage, error) {
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=Dir,ImportPath,Standard,GoFiles,CgoFiles,SFiles"}, paths...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	packages := make(map[string]*goPackage)
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		p := new(goPackage)
		if err := d.Decode(p); err != nil {
			return nil, err
		}
		switch {
		case p.Standard:
		case len(p.CgoFiles) > 0:
			return nil, fmt.Errorf("%s uses cgo, which cannot be added below GOROOT", p.ImportPath)
		default:
			packages[p.ImportPath] = p
		}
	}
	return packages, nil
}

// below returns the path that stands for an import path below GOROOT/src.
func below(path string) string {
	if rest, ok := strings.CutPrefix(path, module); ok {
		return root + rest
	}
	return root + "/deps/" + path
}

// rewriteImports has a file import packages where they are below GOROOT.
func rewriteImports(name string, content []byte, packages map[string]*goPackage) ([]byte, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, content, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	for _, s := range slices.Backward(f.Imports) {
		path, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			return nil, err
		}
		if packages[path] != nil {
			start, end := fset.Position(s.Path.Pos()).Offset, fset.Position(s.Path.End()).Offset
			content = slices.Replace(content, start, end, []byte(strconv.Quote(below(path)))...)
		}
	}
	return content, nil
}

// The assembler starts in a package's folder, which an overlay does not make.
// So what golang.org/x/sys/unix has in assembly is done in Go: by functions of
// package syscall, or by a body.
var (
	linknames = []string{"Syscall", "Syscall6", "RawSyscall", "RawSyscall6", "gettimeofday"}
	bodies    = map[string]string{
		"SyscallNoError":    " { r1, r2, _ = Syscall(trap, a1, a2, a3); return }",
		"RawSyscallNoError": " { r1, r2, _ = RawSyscall(trap, a1, a2, a3); return }",
	}
)

// replaceAssembly does what a file declares without a body, which is in
// assembly, in Go.
func replaceAssembly(name string, content []byte) ([]byte, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, content, parser.SkipObjectResolution|parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var directives []string
	for _, d := range slices.Backward(f.Decls) {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body != nil || bytes.Contains(content, []byte("//go:linkname "+fn.Name.Name+" ")) {
			continue
		}
		name := fn.Name.Name
		body, ok := bodies[name]
		switch {
		case ok:
			content = slices.Insert(content, fset.Position(fn.End()).Offset, []byte(body)...)
		case slices.Contains(linknames, name):
			directives = append(directives, "//go:linkname "+name+" syscall."+name+"\n")
		default:
			return nil, fmt.Errorf("%s: func %s is in assembly, and nothing stands for it", fset.Position(fn.Pos()), name)
		}
	}
	if directives != nil {
		content = slices.Concat(content, []byte("\n"+strings.Join(directives, "")))
		end := fset.Position(f.Name.End()).Offset
		content = slices.Insert(content, end, []byte("; import _ \"unsafe\"")...)
	}
	return content, nil
}

// hooked is what the beginning of functions of package net is to be.
var hooked = map[string]string{
	"Dialer.DialContext":        "if SCTPDial != nil && isSCTP(network) { return SCTPDial(ctx, d, network, address) }; ",
	"ListenConfig.Listen":       "if SCTPListen != nil && isSCTP(network) { return SCTPListen(ctx, lc, network, address) }; ",
	"ListenConfig.ListenPacket": "if SCTPListenPacket != nil && isSCTP(network) && !isEngine() { return SCTPListenPacket(ctx, lc, network, address) }; ",
}

var errNoFit = errors.New("the overlay does not fit this version of Go")

// addHooks gives package net its hooks.
func (o *overlay) addHooks() error {
	const path = "net/dial.go"
	content, err := os.ReadFile(filepath.Join(o.goroot, "src", filepath.FromSlash(path)))
	if err != nil {
		return err
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, content, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	found := 0
	for _, d := range slices.Backward(f.Decls) {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		code, ok := hooked[methodName(fn)]
		if !ok {
			continue
		}
		found++
		at := fset.Position(fn.Body.Lbrace).Offset + 1
		content = slices.Insert(content, at, []byte(code)...)
	}
	if found != len(hooked) {
		return fmt.Errorf("%w: of the functions to hook in package net, %s has %d, want %d", errNoFit, path, found, len(hooked))
	}
	hooks, err := os.ReadFile(filepath.Join("internal", "stdlibtest", "testdata", "net.go"))
	if err != nil {
		return err
	}
	return errors.Join(o.add(path, content), o.add("net/sctpnet.go", hooks))
}

// methodName returns the name of a method as "Type.Method".
func methodName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) != 1 {
		return fn.Name.Name
	}
	t := fn.Recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name + "." + fn.Name.Name
	}
	return fn.Name.Name
}
