//go:build linux

// Command floods takes sctpnet to its limits, as misbehaving peers do: see -h. It
// needs to be root, on a system of its own, such as the guest of scripts/with-sctp:
// it changes sysctls.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/sctpnet/sctpnet"
	_ "github.com/sctpnet/sctpnet/udpencap"
)

// A flood is one way to use up something.
type flood struct {
	name string
	what string // in a line of the documentation
	only string // the one network that it is for, or none
	run  func(*env) (result string, err error)
}

var floods = []flood{
	{"inits", "100,000 INITs", "", inits},
	{"unaccepted", "associations that end before Accept", "", unaccepted},
	{"everystream", "a byte on every stream number", "", everyStream},
	{"onebyte", "one-byte messages without end", "", oneByte},
	{"resets", "streams begun and reset in a loop, also in use", "", resets},
	{"denied", "each reset denied", "sctp4", denied},
	{"addstreams", "ADD_STREAMS in a loop", "", addStreams},
	{"backlog", "a full accept backlog", "", backlog},
	{"descriptors", "descriptors used up", "", descriptors},
	{"ports", "local ports used up", "sctp4", ports},
	{"memory", "`sctp_mem` used up", "sctp4", memory},
	{"buffers", "`sctp_rmem` and `sctp_wmem` used up", "sctp4", buffers},
	{"silent", "10,000 silent associations", "", silent},
	{"costs", "what each thing costs", "", costs},
}

// An env is where a flood runs.
type env struct {
	network string
	scale   int // in percent
	limit   time.Duration
	said    map[string]string // of each network, as lines of a list
	tables  map[string]string // what things cost
}

// n scales a count.
func (e *env) n(full int) int { return max(1, full*e.scale/100) }

func (e *env) overUDP() bool { return strings.HasSuffix(e.network, "+udp") }

func usage() {
	fmt.Fprint(flag.CommandLine.Output(), `floods takes sctpnet to its limits and prints what happens, in a line for each flood:
what is refused or held back, whether others are served meanwhile, and whether all
resources come back.

Usage: floods [-networks LIST] [-scale PERCENT] [-limit TIME] [-doc FILE] [NAME...], where no name means all:

`)
	for _, f := range floods {
		fmt.Fprintf(flag.CommandLine.Output(), "  %-12s %s\n", f.name, f.what)
	}
	fmt.Fprintln(flag.CommandLine.Output())
	flag.PrintDefaults()
}

func main() {
	e := env{said: make(map[string]string), tables: make(map[string]string)}
	list := flag.String("networks", "sctp4,sctp4+udp", "the `networks`, separated by commas")
	doc := flag.String("doc", "", "the `file` into which to write what happened, between its markers")
	flag.IntVar(&e.scale, "scale", 100, "percent of each count")
	flag.DurationVar(&e.limit, "limit", 5*time.Minute, "the `time` after which a flood counts as hanging")
	child := flag.String("child", "", "what to do as the other end of a flood")
	flag.Usage = usage
	flag.Parse()
	networks := strings.Split(*list, ",")
	if *child != "" {
		e.network = *list
		if err := runChild(&e, *child, flag.Args()); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		return
	}
	bad := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "floods: "+format+"\n", args...)
		os.Exit(2)
	}
	for _, network := range networks {
		if network != "sctp4" && network != "sctp4+udp" {
			bad("network %q: want sctp4 or sctp4+udp", network)
		}
		if err := sctpnet.Available(network); err != nil {
			bad("%v", err)
		}
	}
	if e.scale < 1 || e.scale > 100 {
		bad("scale %d: want 1 to 100", e.scale)
	}
	if os.Geteuid() != 0 {
		bad("needs to be root, to change limits")
	}
	if *doc != "" && (flag.NArg() > 0 || e.scale < 100 || len(networks) < 2) {
		bad("-doc needs all floods, in full, on both networks")
	}
	for _, name := range flag.Args() {
		if !slices.ContainsFunc(floods, func(f flood) bool { return f.name == name }) {
			bad("no flood %q (-h lists them)", name)
		}
	}
	failed := 0
	ran := 0
	for _, network := range networks {
		e.network = network
		for _, f := range floods {
			if flag.NArg() > 0 && !slices.Contains(flag.Args(), f.name) || f.only != "" && f.only != network {
				continue
			}
			ran++
			if !e.do(&f) {
				failed++
			}
		}
	}
	if *doc != "" {
		if err := e.document(*doc); err != nil {
			bad("%v", err)
		}
	}
	if failed > 0 {
		fmt.Printf("FAILED: %d of %d\n", failed, ran)
		os.Exit(1)
	}
	fmt.Printf("floods: all %d held\n", ran)
}

// do runs a flood and prints what happens. All that it has taken must come back.
func (e *env) do(f *flood) bool {
	before := take()
	start := time.Now()
	hang := time.AfterFunc(e.limit, func() {
		fmt.Printf("%s: %s: FAILED: it hangs\n", e.network, f.what)
		buf := make([]byte, 1<<20)
		os.Stdout.Write(buf[:runtime.Stack(buf, true)])
		b, _ := os.ReadFile("/proc/net/sctp/assocs")
		os.Stdout.Write(b)
		os.Exit(1)
	})
	defer hang.Stop()
	result, err := f.run(e)
	took := time.Since(start).Round(10 * time.Millisecond)
	if err == nil {
		err = before.awaitReturn()
	}
	if err != nil {
		fmt.Printf("%s: %s: FAILED after %v: %v\n", e.network, f.what, took, err)
		e.said[e.network] += fmt.Sprintf("- **%s**: failed: %v.\n", f.what, err)
		return false
	}
	fmt.Printf("%s: %s (%v): %s\n", e.network, f.what, took, result)
	e.said[e.network] += fmt.Sprintf("- **%s**: %s.\n", f.what, result)
	return true
}
