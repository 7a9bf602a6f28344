// Soak plays hundreds of associations and streams at a time, by plans that follow
// from a seed, and checks every byte, every end and every resource against a model.
// docs/testing.md says what it does. It is run by scripts/test soak.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sctpnet/sctpnet"
	_ "github.com/sctpnet/sctpnet/udpencap"
)

const usage = `usage: soak [-networks LIST] [-loss LIST] [-workers N] [-limit TIME] TIME [SEED]

Soak plays associations on all networks at the same time for the given time, a
part of it with each rate of loss. Without a SEED it chooses one. It exits with
status 1 if something diverged from the model, and 2 if it cannot run.

Flags:
`

func main() {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	var s settings
	networks := flags.String("networks", "sctp4,sctp4+udp", "the `networks`, separated by commas")
	loss := flags.String("loss", "0,3", "the rates of loss in `percent`, separated by commas")
	flags.IntVar(&s.workers, "workers", 12, "how many plans are played at a time on each network")
	flags.DurationVar(&s.limit, "limit", 2*time.Minute, "the `time` after which a call counts as hanging")
	flags.SetOutput(io.Discard)
	err := flags.Parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(usage)
		flags.SetOutput(os.Stdout)
		flags.PrintDefaults()
		return
	}
	if err == nil {
		err = s.parse(*networks, *loss, flags.Args())
	}
	if err == nil {
		err = s.prepare()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "soak: %v\n", err)
		os.Exit(2)
	}
	s.run()
}

// settings are what is to be done.
type settings struct {
	networks []string
	losses   []int
	duration time.Duration
	seed     uint64
	workers  int
	limit    time.Duration
}

func (s *settings) parse(networks, loss string, args []string) (err error) {
	if len(args) < 1 || len(args) > 2 {
		return fmt.Errorf("%d arguments; want a time, such as 10m, and perhaps a seed", len(args))
	}
	if s.duration, err = time.ParseDuration(args[0]); err != nil || s.duration < time.Second {
		return fmt.Errorf("time %q; want at least 1s, such as 90s or 10m", args[0])
	}
	s.seed = rand.Uint64N(1e9)
	if len(args) == 2 {
		if s.seed, err = strconv.ParseUint(args[1], 10, 64); err != nil {
			return fmt.Errorf("seed %q; want a number of 0 to 2^64-1", args[1])
		}
	}
	for l := range strings.SplitSeq(loss, ",") {
		n, err := strconv.Atoi(l)
		if err != nil || n < 0 || n > 20 {
			return fmt.Errorf("loss %q; want a number of 0 to 20 percent", l)
		}
		s.losses = append(s.losses, n)
	}
	s.networks = strings.Split(networks, ",")
	if s.workers < 1 {
		return fmt.Errorf("%d workers; want at least 1", s.workers)
	}
	return nil
}

// prepare finds out whether all that is to be done can be done.
func (s *settings) prepare() error {
	for _, l := range s.losses {
		if l > 0 {
			if err := ownNetwork(); err != nil {
				return err
			}
			if err := lose(l); err != nil {
				return err
			}
			break
		}
	}
	for _, n := range s.networks {
		if err := sctpnet.Available(n); err != nil {
			return err
		}
	}
	return nil
}

// run does it, and exits if something fails.
func (s *settings) run() {
	fmt.Printf("soak: seed %d, %v on %s, loss of %v percent\n", s.seed, s.duration, strings.Join(s.networks, " and "), s.losses)
	growRuntime()
	for _, loss := range s.losses {
		if len(s.losses) > 1 || loss > 0 {
			if err := lose(loss); err != nil {
				fmt.Fprintf(os.Stderr, "soak: %v\n", err)
				os.Exit(2)
			}
		}
		s.phase(loss, time.Second) // what is made once is there after this
		time.Sleep(100 * time.Millisecond)
		before := measure()
		start := time.Now()
		plans, streams := s.phase(loss, s.duration/time.Duration(len(s.losses)))
		after, err := awaitRest(before, s.limit)
		if err != nil {
			pprof.Lookup("heap").WriteTo(os.Stdout, 1)
			s.fail(loss, err)
		}
		fmt.Printf("soak: loss of %d percent: %d plans, %d streams of StreamDialers, in %v; then %v\n",
			loss, plans, streams, time.Since(start).Round(time.Second), after)
	}
}

// phase plays with one rate of loss.
func (s *settings) phase(loss int, d time.Duration) (plans, streams uint64) {
	var all sync.WaitGroup
	var mu sync.Mutex
	over := make(chan struct{})
	for _, network := range s.networks {
		report := func(err error) { s.fail(loss, err) }
		k, err := newSoak(network, s.seed+uint64(loss), s.limit, report)
		if err != nil {
			s.fail(loss, err)
		}
		go k.watch.run(over, func(err error) { k.fail(err) })
		all.Go(func() {
			k.run(s.workers, d)
			k.close()
			mu.Lock()
			defer mu.Unlock()
			plans, streams = plans+k.plans.Load(), streams+k.streams.Load()
		})
	}
	all.Wait()
	close(over)
	return plans, streams
}

var failing sync.Mutex

// fail says what went wrong, and where everything is, and exits.
func (s *settings) fail(loss int, err error) {
	failing.Lock() // for good: one failure is told of
	buf := make([]byte, 64<<20)
	buf = buf[:runtime.Stack(buf, true)]
	assocs, _ := os.ReadFile("/proc/self/net/sctp/assocs")
	fmt.Printf("%s\n\n%s\nsoak: FAILED: seed %d, loss of %d percent: %v\n", buf, assocs, s.seed, loss, err)
	os.Exit(1)
}
