// Stdlibtest runs the tests that Go ships for packages that make connections,
// with package net's TCP, or its UDP, being sctpnet. docs/testing.md says how; -h lists the
// flags. It is run by scripts/stdlib, in the module's folder.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The modes: by association, by stream or by one-to-many socket, on either engine.
var modes = []mode{"conn/sctp", "conn/sctp+udp", "stream/sctp", "stream/sctp+udp", "packet/sctp", "packet/sctp+udp"}

// A mode is one of the ways in which package net's TCP is sctpnet, or its UDP in the
// modes of packets. The hook in testdata reads it from the environment.
type mode string

// packets reports whether UDP is sctpnet, and not TCP.
func (m mode) packets() bool { return strings.HasPrefix(string(m), "packet/") }

// native reports whether the mode needs nothing of the kernel.
func (m mode) native() bool { return strings.HasSuffix(string(m), "+udp") }

const usage = `usage: scripts/stdlib [-modes LIST] [-run REGEXP] [-timeout TIME] [-v] [-table] [PACKAGE...]

Stdlib runs the tests that the installed Go ships for packages that make
connections, with package net's TCP being sctpnet, and its UDP in the modes of
packets. Without arguments it runs all packages in all modes, which takes about six minutes on two processors.
It fails if a test fails that internal/stdlibtest/expected.txt does not list,
or if one passes that it does.

Flags:
`

func main() {
	flags := flag.NewFlagSet("stdlib", flag.ContinueOnError)
	list := flags.String("modes", "all", "`modes` to run, separated by commas: "+join(modes))
	run := flags.String("run", "", "run only tests that `regexp` matches, and judge no others")
	timeout := flags.Duration("timeout", 3*time.Minute, "how `long` a package's tests may take in one mode")
	verbose := flags.Bool("v", false, "show the output of all tests, not only of those that fail")
	table := flags.Bool("table", false, "end with the table for docs/testing.md")
	var help bytes.Buffer
	flags.SetOutput(&help)
	flags.Usage = func() {
		help.WriteString(usage)
		flags.PrintDefaults()
		fmt.Fprintf(&help, "\nPackages: %s\n", join(names()))
	}
	switch err := flags.Parse(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		help.WriteTo(os.Stdout)
		return
	case err != nil:
		help.WriteTo(os.Stderr)
		os.Exit(2)
	}
	r, err := newRunner(*list, *run, flags.Args())
	if err == nil && *timeout < time.Second {
		err = fmt.Errorf("-timeout %v; the least is 1s", *timeout)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "stdlib: %v\n", err)
		os.Exit(2)
	}
	r.timeout, r.verbose = *timeout, *verbose

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := r.all(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "stdlib: %v\n", err)
		os.Exit(1)
	}
	if *table {
		fmt.Printf("\n%s", r.table())
	}
	if failed {
		os.Exit(1)
	}
}

func join[T ~string](list []T) string {
	var s []string
	for _, e := range list {
		s = append(s, string(e))
	}
	return strings.Join(s, ", ")
}

// A runner runs packages in modes.
type runner struct {
	packages []testPackage
	modes    []mode
	only     *regexp.Regexp // nil means all tests
	timeout  time.Duration
	verbose  bool

	goroot   string
	dir      string // for everything that is made
	expected []expectation
	kernel   []string // what the environment needs for scripts/with-sctp

	counts []counted
}

type counted struct {
	mode    mode
	path    string
	verdict verdict
}

func newRunner(list, run string, paths []string) (*runner, error) {
	r := &runner{modes: modes, packages: packages}
	if list != "all" {
		r.modes = nil
		for name := range strings.SplitSeq(list, ",") {
			if !slices.Contains(modes, mode(name)) {
				return nil, fmt.Errorf("no mode %q; there are %s", name, join(modes))
			}
			r.modes = append(r.modes, mode(name))
		}
	}
	if run != "" {
		re, err := regexp.Compile(run)
		if err != nil {
			return nil, fmt.Errorf("-run: %w", err)
		}
		r.only = re
	}
	if len(paths) > 0 {
		r.packages = nil
		for _, path := range paths {
			i := slices.IndexFunc(packages, func(p testPackage) bool { return p.path == path })
			if i < 0 {
				return nil, fmt.Errorf("no package %q; there are %s", path, join(names()))
			}
			r.packages = append(r.packages, packages[i])
		}
	}
	return r, nil
}

// all builds and runs everything. It reports whether a package failed; an error
// is something else that keeps it from finding out.
func (r *runner) all(ctx context.Context) (failed bool, err error) {
	if r.expected, err = readExpected(); err != nil {
		return false, err
	}
	if r.dir, err = os.MkdirTemp("", "sctpnet-stdlib-"); err != nil {
		return false, err
	}
	defer os.RemoveAll(r.dir)
	start := time.Now()
	if err := r.build(ctx); err != nil {
		return false, err
	}
	fmt.Printf("%-16s %-18s %53.1f s\n", "build", version(), time.Since(start).Seconds())
	for _, m := range r.modes {
		if len(r.packagesOf(m)) == 0 {
			continue
		}
		if !m.native() && r.kernel == nil {
			if r.kernel, err = findKernel(ctx); err != nil {
				return false, err
			}
		}
		ok, err := r.runMode(ctx, m)
		if err != nil {
			return false, err
		}
		failed = failed || !ok
	}
	return failed, nil
}

func version() string {
	out, _ := exec.Command("go", "env", "GOVERSION").Output()
	return string(bytes.TrimSpace(out))
}

// build builds the test binaries.
func (r *runner) build(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	r.goroot = string(bytes.TrimSpace(out))
	files := filepath.Join(r.dir, "overlay")
	if err := os.Mkdir(files, 0o777); err != nil {
		return err
	}
	o := newOverlay(r.goroot, files)
	err = errors.Join(o.addModule(), o.addHooks(), o.addTests(r.packages))
	if err != nil {
		return err
	}
	file, err := o.write()
	if err != nil {
		return err
	}
	args := []string{"test", "-c", "-vet=off", "-overlay", file, "-o", r.dir + string(filepath.Separator)}
	for _, p := range r.packages {
		args = append(args, p.path)
	}
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w %s: go test -c: %v\n%s", errNoFit, version(), err, out)
	}
	return nil
}

// findKernel finds a kernel that has SCTP, and with two processors if it can.
func findKernel(ctx context.Context) ([]string, error) {
	candidates := []string{"native", "smp", "uml"}
	if k := os.Getenv("SCTP_KERNEL"); k != "" {
		candidates = []string{k}
	}
	var out []byte
	for _, k := range candidates {
		env := []string{"SCTP_KERNEL=" + k}
		cmd := exec.CommandContext(ctx, filepath.Join("scripts", "with-sctp"), "true")
		cmd.Env = append(os.Environ(), env...)
		var err error
		if out, err = cmd.CombinedOutput(); err == nil {
			return env, nil
		}
	}
	return nil, fmt.Errorf("no kernel with SCTP: %s", bytes.TrimSpace(out))
}

// packagesOf returns the packages that have tests in a mode.
func (r *runner) packagesOf(m mode) (list []testPackage) {
	for _, p := range r.packages {
		if p.testsIn(m) != nil {
			list = append(list, p)
		}
	}
	return list
}

// runMode runs the tests of all packages in one mode. It reports whether none
// of them failed.
func (r *runner) runMode(ctx context.Context, m mode) (ok bool, err error) {
	packages := r.packagesOf(m)
	script := filepath.Join(r.dir, "run.sh")
	if err := os.WriteFile(script, r.script(m), 0o777); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(packages))*(r.timeout+2*grace)+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", script)
	if !m.native() {
		with, err := filepath.Abs(filepath.Join("scripts", "with-sctp"))
		if err != nil {
			return false, err
		}
		cmd = exec.CommandContext(ctx, with, "sh", script)
	}
	cmd.Env = append(os.Environ(), r.kernel...)
	cmd.WaitDelay = grace
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return false, err
	}
	ok = true
	done := 0
	for res, err := range readResults(out) {
		if err != nil {
			cmd.Wait()
			return false, err
		}
		done++
		v := judge(res, m, r.expected, r.only)
		r.counts = append(r.counts, counted{m, res.path, v})
		fmt.Printf("%-16s %-18s %s\n", m, res.path, v)
		for _, f := range v.faults {
			fmt.Printf("    %s\n", f)
		}
		if r.verbose {
			os.Stdout.Write(res.output)
		} else if len(v.faults) > 0 {
			os.Stdout.Write(res.excerpt(v))
		}
		ok = ok && len(v.faults) == 0
	}
	err = cmd.Wait()
	if done < len(packages) {
		return false, fmt.Errorf("%s: %d of %d packages ran: %v", m, done, len(packages), err)
	}
	return ok, nil
}

// grace is how long a process has to end by itself after its timeout.
const grace = 10 * time.Second

// script is what a shell runs, here or in a guest. All packages are in one
// because a guest takes some seconds to start.
func (r *runner) script(m mode) []byte {
	var b bytes.Buffer
	for _, p := range r.packagesOf(m) {
		run := p.run(m)
		if r.only != nil {
			run = r.only.String()
		}
		var hang []string
		for _, e := range r.expected {
			if e.how == notRun && e.applies(p.path, m) {
				hang = append(hang, e.test)
			}
		}
		skip := "^$"
		if hang != nil {
			skip = "^(" + strings.Join(hang, "|") + ")$"
		}
		fmt.Fprintf(&b, "printf '\\n%spackage %s\\n'\n", mark, p.path)
		fmt.Fprintf(&b, "cd %s && SCTPNET_STDLIB=%s timeout -k %d -s ABRT %d %s -test.v=test2json -test.short -test.timeout=%v -test.run=%s -test.skip=%s 2>&1\n",
			quote(filepath.Join(r.goroot, "src", filepath.FromSlash(p.path))), quote(p.hook(m)),
			int(grace.Seconds()), int((r.timeout + grace).Seconds()),
			quote(filepath.Join(r.dir, filepath.Base(p.path)+".test")), r.timeout, quote(run), quote(skip))
		fmt.Fprintf(&b, "printf '\\n%sstatus %%d\\n' $?\n", mark)
	}
	return b.Bytes()
}

// quote quotes a word for the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// table is the table of counts for the documentation.
func (r *runner) table() string {
	var b strings.Builder
	b.WriteString("| |")
	for _, m := range r.modes {
		fmt.Fprintf(&b, " %s |", m)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(r.modes)) + "\n")
	for _, p := range r.packages {
		fmt.Fprintf(&b, "| %s |", p.path)
		for _, m := range r.modes {
			i := slices.IndexFunc(r.counts, func(c counted) bool { return c.mode == m && c.path == p.path })
			if i < 0 {
				b.WriteString(" |") // it has no tests in this mode
				continue
			}
			v := r.counts[i].verdict
			fmt.Fprintf(&b, " %d + %d |", v.passed, v.expected)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\nMeasured with %s for %s/%s.\n", version(), runtime.GOOS, runtime.GOARCH)
	return b.String()
}
