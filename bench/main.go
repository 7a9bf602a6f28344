// Bench compares sctpnet with TCP, with C and with another library. It makes
// the networks that it needs, and so must be root on a kernel with SCTP, which
// scripts/with-sctp provides anywhere. The one command, from this folder, is
//
//	SCTP_KERNEL=smp ./run -o results/smp.json
//
// for two processors, or without SCTP_KERNEL for one. It also sees to it that there
// is a C compiler. go run . -h lists the
// options. What is measured, and what was found, is in docs/performance.md;
// go run ./report makes the tables and plots of that page from kept results.
//
// Every case runs all its sides in every round, one after the other in an
// order that is shuffled each time, so that ratios of one round share what
// noise there was.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/bench/internal/result"
	"golang.org/x/sys/unix"
)

var (
	caseFlag  = flag.String("case", ".", "run the cases whose name, with the parameter as in bulk-lo/64KB, matches this `regexp`")
	sideFlag  = flag.String("side", ".", "run the sides whose name matches this `regexp`")
	rounds    = flag.Int("rounds", 5, "how often each side runs")
	seed      = flag.Uint64("seed", 1, "of the order of the sides")
	output    = flag.String("o", "", "keep the results in this `file`")
	bulkTime  = flag.Duration("bulk", 400*time.Millisecond, "how long a sample of throughput or round trips takes")
	lossTime  = flag.Duration("loss", 20*time.Second, "how long a sample of latencies takes")
	idleCount = flag.Int("idle", 10000, "how many associations the case idle makes")
	fileSize  = flag.Int("filesize", 30e6, "bytes of each file in the case files")
	verbose   = flag.Bool("v", false, "print each sample")
	udpFlag   = flag.Bool("udp", false, "run the cases of SCTP over UDP, beside QUIC, on any kernel")
	vs        = flag.String("vs", "", "compare sctpnet also with that of an earlier `commit`; ./run makes a program of it")
)

// A test is one side of a comparison.
type test struct {
	name, param string // of the comparison
	side        string
	program     string // that runs the test, if not this one
	link        link
	rmemMax     int                                      // for the time of the test, if not 0, net.core.rmem_max and wmem_max
	read        int                                      // size of the reader's buffer, if not readBuffer
	factor      time.Duration                            // how many times bulkTime a sample takes, if not once
	limit       time.Duration                            // after which it is stopped, if not half a minute beyond that
	conns       int                                      // of C's program at once, if not one
	processes   int                                      // of C's program, if not one
	run         func(n *network) (*result.Sample, error) // in a process of its own
	serve       func(n *network) error                   // in another one, if run starts it
}

func main() {
	flag.Parse()
	run := runAll
	if *workerFlag != "" {
		run = work
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func runAll() error {
	pattern, err := regexp.Compile(*caseFlag)
	if err != nil {
		return err
	}
	sides, err := regexp.Compile(*sideFlag)
	if err != nil {
		return err
	}
	r, err := describe()
	if err != nil {
		return err
	}
	defer removeNetwork()
	tests := udpTests()
	if !*udpFlag {
		if err := prepareKernel(r); err != nil {
			return err
		}
		defer os.RemoveAll(filepath.Dir(r.Pair))
		tests = allTests(r)
	}
	tests = slices.DeleteFunc(tests, func(t test) bool {
		return !pattern.MatchString(t.name+"/"+t.param) || !sides.MatchString(t.side)
	})
	if *vs != "" {
		tests = addEarlier(tests, *vs)
	}
	fmt.Printf("Linux %s, %d CPUs, %s, %s\n", r.Kernel, r.CPUs, r.Go, r.Commit)
	random := rand.New(rand.NewPCG(r.Seed, 0))
	for len(tests) > 0 {
		// Those of one comparison follow each other in the list.
		n := slices.IndexFunc(tests, func(t test) bool { return t.name != tests[0].name || t.param != tests[0].param })
		if n < 0 {
			n = len(tests)
		}
		compare(r, random, tests[:n])
		tests = tests[n:]
		r.Seconds = time.Since(r.Time).Round(time.Second).Seconds()
		if *output != "" {
			if err := r.Save(*output); err != nil {
				return err
			}
		}
	}
	fmt.Printf("\n%.0f s\n", r.Seconds)
	failed := 0
	for _, s := range r.Samples {
		if s.Error != "" {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d samples failed", failed, len(r.Samples))
	}
	return nil
}

// prepareKernel finds what the cases of the kernel's SCTP need.
func prepareKernel(r *result.Run) (err error) {
	if err := sctpnet.Available("sctp"); err != nil {
		return err
	}
	if r.Pair, err = compileC(); err != nil {
		return err
	}
	for _, t := range settingsTests() {
		s, err := t.try(r)
		if err != nil {
			return fmt.Errorf("finding sctpnet's settings: %w", err)
		}
		r.Settings[t.param] = s.Values
	}
	return nil
}

// addEarlier has another program, of an earlier commit, run the sides that are
// sctpnet's too.
func addEarlier(tests []test, program string) []test {
	var all []test
	for _, t := range tests {
		all = append(all, t)
		if strings.HasPrefix(t.side, "sctpnet") {
			t.program = program
			all = append(all, t)
		}
	}
	return all
}

// sideName is the test's side as results name it.
func (t *test) sideName() string {
	if t.program != "" {
		return t.side + result.Earlier
	}
	return t.side
}

// compare runs all rounds of one comparison and prints the table.
func compare(r *result.Run, random *rand.Rand, tests []test) {
	key := result.Key{Case: tests[0].name, Param: tests[0].param}
	for round := range *rounds {
		for _, i := range random.Perm(len(tests)) {
			s := tests[i].sample(r)
			s.Case, s.Param, s.Side, s.Round = key.Case, key.Param, tests[i].sideName(), round
			r.Samples = append(r.Samples, *s)
			if *verbose {
				fmt.Println(s.Side, s.Values, s.Counters, s.Error)
			}
		}
	}
	printTable(r, key)
}

// describe says what the benchmarks run on.
func describe() (*result.Run, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, err
	}
	r := &result.Run{
		Time:     time.Now().UTC().Truncate(time.Second),
		Kernel:   unix.ByteSliceToString(u.Release[:]),
		CPUs:     runtime.NumCPU(),
		Go:       runtime.Version(),
		Args:     os.Args[1:],
		Seed:     *seed,
		Sysctls:  map[string]string{},
		Settings: map[string]map[string]float64{},
	}
	if out, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude=*").Output(); err == nil {
		r.Commit = strings.TrimSpace(string(out))
	}
	for _, name := range []string{
		"net.core.rmem_max", "net.core.wmem_max", "net.core.rmem_default", "net.core.wmem_default",
		"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem", "net.ipv4.tcp_congestion_control",
		"net.sctp.sctp_rmem", "net.sctp.sctp_wmem", "net.sctp.rto_min", "net.sctp.rto_initial",
		"net.sctp.sack_timeout", "net.sctp.intl_enable",
	} {
		if v, err := readSysctl(name); err == nil {
			r.Sysctls[name] = v
		}
	}
	return r, nil
}

// time is how long a sample of throughput or round trips takes.
func (t *test) time() time.Duration { return *bulkTime * max(1, t.factor) }

// sample runs the test once.
func (t *test) sample(r *result.Run) *result.Sample {
	const attempts = 4
	var s *result.Sample
	var err error
	for i := range attempts {
		if s, err = t.try(r); err != nil {
			s = new(result.Sample)
		}
		s.Repeats = i
		if s.Values["pause ms"] < tooLong.Seconds()*1e3 {
			break
		}
	}
	if err != nil {
		s.Error = err.Error()
		fmt.Fprintf(os.Stderr, "%s/%s %s: %v\n", t.name, t.param, t.sideName(), err)
	}
	return s
}

func (t *test) try(r *result.Run) (*result.Sample, error) {
	if t.rmemMax != 0 {
		for _, name := range []string{"net.core.rmem_max", "net.core.wmem_max"} {
			undo, err := setSysctl(name, fmt.Sprint(t.rmemMax))
			if err != nil {
				return nil, err
			}
			defer undo()
		}
	}
	n, err := makeNetwork(t.link)
	if err != nil {
		return nil, err
	}
	defer removeNetwork()
	before, err := n.counters()
	if err != nil {
		return nil, err
	}
	s, err := t.runWorker(r)
	if err != nil {
		return nil, err
	}
	after, err := n.counters()
	s.Counters = grown(before, after)
	return s, err
}
