// Faults runs the table of faults: what happens to SCTP where the network loses,
// delays or changes packets, and where a peer is killed, gone or silent.
// docs/testing.md says how; -h lists the flags. It is run by scripts/faults.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const usage = `usage: scripts/faults [-run REGEXP | -doc FILE] [-parallel N] [-check] [-v]

Faults runs the table of faults on both engines: SCTP of the kernel and SCTP over
UDP. It prints a line for each row and engine, and then the table. It fails if a row
fails unexpectedly, and if a row passes that is expected to fail. Where the system
cannot make the faults it says why in a line, and its status is 2.

Flags:
`

var self string // the path of this command

func main() {
	if len(os.Args) == 3 && os.Args[1] == "end" {
		runEnd(os.Args[2])
		return
	}
	flags := flag.NewFlagSet("faults", flag.ContinueOnError)
	run := flags.String("run", "", "run only rows whose name and engine, as in \"1 Mbit/s UDP\", `regexp` matches")
	parallel := flags.Int("parallel", 2, "run `n` rows at the same time")
	doc := flags.String("doc", "", "run all rows and put the table into `file`, between the lines <!-- begin faults --> and <!-- end -->")
	only := flags.Bool("check", false, "only find out whether the system can make the faults")
	verbose := flags.Bool("v", false, "show the progress of each end, and its goroutines after a failure")
	var help bytes.Buffer
	flags.SetOutput(&help)
	flags.Usage = func() {
		help.WriteString(usage)
		flags.PrintDefaults()
	}
	switch err := flags.Parse(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		help.WriteTo(os.Stdout)
		return
	case err != nil:
		fmt.Fprintf(os.Stderr, "faults: %v (-h says more)\n", err)
		os.Exit(2)
	}
	trials, err := choose(*run)
	switch {
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *doc != "" && *run != "":
		err = errors.New("-doc needs all rows, so it excludes -run")
	case *parallel < 1:
		err = fmt.Errorf("-parallel %d: the least is 1", *parallel)
	default:
		if self, err = os.Executable(); err == nil {
			if err = check(); err != nil {
				err = fmt.Errorf("this system cannot make the faults: %w", err)
			}
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "faults: %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		os.Exit(2)
	}
	if *only {
		return
	}
	trace = *verbose
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	outcomes := runAll(ctx, trials, *parallel, *verbose)
	table := markdown(outcomes)
	fmt.Printf("\n%s\n", table)
	if *doc != "" {
		if err := fill(*doc, table); err != nil {
			fmt.Fprintf(os.Stderr, "faults: %v\n", err)
			os.Exit(1)
		}
	}
	if !judge(outcomes) {
		os.Exit(1)
	}
}

// choose returns the trials whose name matches a pattern, in order.
func choose(pattern string) ([]*trial, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	var list []*trial
	for _, r := range rows {
		for _, e := range engines {
			t := &trial{row: r, engine: e}
			if re.MatchString(t.name()) {
				list = append(list, t)
			}
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("-run: no row matches %q", pattern)
	}
	return list, nil
}

func (t *trial) name() string { return t.row.name + " " + t.engine.String() }

// runAll runs trials, some at the same time, and returns their outcomes in order.
func runAll(ctx context.Context, trials []*trial, parallel int, verbose bool) []outcome {
	outcomes := make([]outcome, len(trials))
	places := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i, t := range trials {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			o := t.run(ctx)
			outcomes[i] = o
			mu.Lock()
			defer mu.Unlock()
			fmt.Printf("%-60s %-7s %6.1f s  %s\n", t.row.name, t.engine, o.took.Seconds(), o.verdict())
			if len(t.notes) > 0 {
				fmt.Printf("    %s\n", strings.Join(t.notes, "; "))
			}
			if o.err != nil {
				fmt.Printf("    %v\n", o.err)
				if verbose {
					fmt.Print(o.log)
				}
			}
		})
	}
	wg.Wait()
	return outcomes
}

// A verdict compares an outcome with what is expected, in the words of the table.
type verdict string

const (
	passed   verdict = "passed"
	fails    verdict = "fails as expected"
	tooSlow  verdict = "too slow, as expected"
	failure  verdict = "FAILED"
	surprise verdict = "PASSED, and is expected to fail"
)

func (v verdict) expected() bool { return v != failure && v != surprise }

func (o outcome) verdict() verdict {
	_, isToFail := o.trial.row.fails[o.trial.engine]
	_, maySlow := o.trial.row.slow[o.trial.engine]
	switch {
	case o.err == nil && isToFail:
		return surprise
	case o.err == nil:
		return passed
	case isToFail && o.trial.struck:
		return fails
	case maySlow && errors.Is(o.err, errTooLong):
		return tooSlow
	}
	return failure
}

// reason says why the row has not passed.
func (o outcome) reason() string {
	switch o.verdict() {
	case fails:
		return o.trial.row.fails[o.trial.engine]
	case tooSlow:
		return o.trial.row.slow[o.trial.engine]
	case surprise:
		return "expected: " + o.trial.row.fails[o.trial.engine]
	}
	return strings.ReplaceAll(o.err.Error(), "\n", "; ")
}

// judge prints the unexpected outcomes, and reports whether there is none.
func judge(outcomes []outcome) bool {
	var wrong []string
	count := make(map[verdict]int)
	for _, o := range outcomes {
		v := o.verdict()
		count[v]++
		if !v.expected() {
			wrong = append(wrong, fmt.Sprintf("%s: %s", o.trial.name(), v))
		}
	}
	if len(wrong) > 0 {
		fmt.Printf("FAILED: %d of %d\n  %s\n", len(wrong), len(outcomes), strings.Join(wrong, "\n  "))
		return false
	}
	fmt.Printf("ok: %d passed, %d failed as expected, %d were too slow, as expected\n", count[passed], count[fails], count[tooSlow])
	return true
}

// markdown returns the table.
func markdown(outcomes []outcome) string {
	var b strings.Builder
	b.WriteString("| fault | engine | result | seconds | figures |\n|---|---|---|---|---|\n")
	for _, o := range outcomes {
		figures := strings.Join(o.trial.notes, "; ")
		if o.verdict() != passed {
			figures = o.reason()
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %.1f | %s |\n", o.trial.row.name, o.trial.engine, o.verdict(), o.took.Seconds(), figures)
	}
	fmt.Fprintf(&b, "\nMeasured on Linux %s with %d processors, %s, on %s.\n", release(), runtime.NumCPU(), runtime.Version(), time.Now().Format("2006-01-02"))
	b.WriteString(expectations(outcomes))
	return b.String()
}

// expectations lists which rows are expected not to pass, or perhaps not to, however
// they ended.
func expectations(outcomes []outcome) string {
	var fail, slow reasons
	for _, o := range outcomes {
		fail.add(o.trial, o.trial.row.fails)
		slow.add(o.trial, o.trial.row.slow)
	}
	return fail.list("Expected to fail") + slow.list("May take more than two minutes on a busy machine")
}

// Reasons are the names of rows by the reason why they do not pass.
type reasons struct {
	order []string
	rows  map[string][]string
}

func (r *reasons) add(t *trial, byEngine map[engine]string) {
	why, ok := byEngine[t.engine]
	if !ok {
		return
	}
	if r.rows == nil {
		r.rows = make(map[string][]string)
	}
	if r.rows[why] == nil {
		r.order = append(r.order, why)
	}
	r.rows[why] = append(r.rows[why], fmt.Sprintf("%s (%s)", t.row.name, t.engine))
}

// list returns a paragraph, or "" without a row.
func (r *reasons) list(title string) string {
	if len(r.order) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s:\n\n", title)
	for _, why := range r.order {
		fmt.Fprintf(&b, "- %s. Rows: %s.\n", upperFirst(why), strings.Join(r.rows[why], "; "))
	}
	return b.String()
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// release returns the kernel's version.
func release() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "of an unknown version"
	}
	return strings.TrimSpace(string(b))
}

var marked = regexp.MustCompile(`(?s)(<!-- begin faults[^\n]*-->\n).*?(<!-- end -->)`)

// fill puts the table into a page.
func fill(page, table string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	if !marked.Match(text) {
		return fmt.Errorf("%s has no line <!-- begin faults --> before a line <!-- end -->", page)
	}
	filled := marked.ReplaceAllFunc(text, func(old []byte) []byte {
		m := marked.FindSubmatch(old)
		return fmt.Appendf(nil, "%s\n%s\n%s", m[1], table, m[2])
	})
	return os.WriteFile(page, filled, 0o644)
}
