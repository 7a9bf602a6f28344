// Api lists the exported API, so that a change of it is seen in a review. From the
// root folder,
//
//	go run ./internal/api
//
// writes api/sctpnet.txt and api/udpencap.txt. With -check it only compares them with
// the source, prints what differs, and ends with status 1 if anything does.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const module = "github.com/sctpnet/sctpnet"

// listed are the packages that programs import.
var listed = []string{module, module + "/udpencap"}

func main() {
	check := flag.Bool("check", false, "only compare the lists with the source")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: go run ./internal/api [-check]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	imports, err := compiled()
	if err != nil {
		return err
	}
	var changes []string
	for _, name := range listed {
		pkg, err := imports.Import(name)
		if err != nil {
			return err
		}
		file := filepath.Join("api", path.Base(name)+".txt")
		now := list(pkg)
		if check {
			kept, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			changes = append(changes, compare(file, strings.Split(string(kept), "\n"), now)...)
			continue
		}
		if err := os.WriteFile(file, []byte(strings.Join(now, "\n")+"\n"), 0o666); err != nil {
			return err
		}
	}
	if changes != nil {
		return fmt.Errorf("the exported API is not the one listed; if that is wanted, go run ./internal/api:\n%s",
			strings.Join(changes, "\n"))
	}
	return nil
}

// compiled returns an importer of the listed packages, as the go command compiles
// them for Linux.
func compiled() (types.Importer, error) {
	cmd := exec.Command("go", append([]string{"list", "-export", "-deps", "-f", "{{if .Export}}{{.ImportPath}} {{.Export}}{{end}}"}, listed...)...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	files := make(map[string]string)
	for line := range bytes.Lines(out) {
		name, file, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		files[name] = file
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(name string) (io.ReadCloser, error) {
		return os.Open(files[name])
	}), nil
}

// list returns a line for each exported name of a package, each exported field and
// each exported method, in order.
func list(pkg *types.Package) []string {
	within := types.RelativeTo(pkg)
	lines := make(map[string]bool)
	add := func(format string, args ...any) { lines[fmt.Sprintf(format, args...)] = true }
	for _, name := range pkg.Scope().Names() {
		object := pkg.Scope().Lookup(name)
		if !object.Exported() {
			continue
		}
		switch object := object.(type) {
		case *types.Const:
			kind := types.TypeString(object.Type(), within) + " "
			if strings.HasPrefix(kind, "untyped ") {
				kind = ""
			}
			add("const %s %s= %s", name, kind, object.Val().ExactString())
		case *types.TypeName:
			named, ok := object.Type().(*types.Named)
			if !ok {
				add("type %s = %s", name, types.TypeString(types.Unalias(object.Type()), within))
				continue
			}
			addType(add, named, within)
		default:
			add("%s", types.ObjectString(object, within))
		}
	}
	return slices.Sorted(maps.Keys(lines))
}

// addType adds a type, its fields and its methods.
func addType(add func(string, ...any), named *types.Named, within types.Qualifier) {
	name := named.Obj().Name()
	switch under := named.Underlying().(type) {
	case *types.Struct:
		add("type %s struct", name)
		for field := range under.Fields() {
			if field.Exported() {
				add("type %s struct, %s %s", name, field.Name(), types.TypeString(field.Type(), within))
			}
		}
	case *types.Interface:
		add("type %s interface", name)
		for method := range under.Methods() {
			if method.Exported() {
				add("type %s interface, %s%s", name, method.Name(), signature(method, within))
			} else {
				add("type %s interface, with unexported methods", name)
			}
		}
		return
	default:
		add("type %s %s", name, types.TypeString(under, within))
	}
	values := types.NewMethodSet(named)
	for selection := range types.NewMethodSet(types.NewPointer(named)).Methods() {
		method := selection.Obj()
		if !method.Exported() {
			continue
		}
		receiver := "*" + name
		if values.Lookup(method.Pkg(), method.Name()) != nil {
			receiver = name
		}
		add("method (%s) %s%s", receiver, method.Name(), signature(method, within))
	}
}

// signature returns the parameters and results of a function.
func signature(function types.Object, within types.Qualifier) string {
	return strings.TrimPrefix(types.TypeString(function.Type(), within), "func")
}

// compare returns what was removed and what was added.
func compare(file string, kept, now []string) (changes []string) {
	for _, line := range kept {
		if line != "" && !slices.Contains(now, line) {
			changes = append(changes, file+": - "+line)
		}
	}
	for _, line := range now {
		if !slices.Contains(kept, line) {
			changes = append(changes, file+": + "+line)
		}
	}
	return changes
}
