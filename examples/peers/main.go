// Peers has three processes make associations with each other, each from one port by
// which it also listens, as the peers of X2, Xn and M3UA's IPSP do. One of them is
// killed, and comes back. Run it with
//
//	go run -exec "$PWD/scripts/with-sctp" ./examples/peers
//
// or, with SCTP inside UDP and on any system,
//
//	go run ./examples/peers -network sctp+udp
//
// Each process greets all others each half second, and makes an association with
// those with whom there is none. It prints a table of its associations, with how
// many greetings have come.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet"
	_ "github.com/sctpnet/sctpnet/udpencap" // the networks sctp+udp
)

const usage = `Peers starts three processes that make associations with each other, kills one,
and starts it again. With -name it is one of them, until it is interrupted.

usage: peers [-network NETWORK] [-name NAME -at ADDRESS -peers ADDRESSES]

`

const every = time.Second / 2

const interrupted = 130 // the exit status that a shell gives for Ctrl-C

func main() {
	log.SetFlags(0)
	log.SetPrefix("peers: ")
	network := "sctp"
	flag.Func("network", "the `network`: sctp, which is the default, or sctp+udp", func(s string) error {
		if s != "sctp" && s != "sctp+udp" {
			return errors.New("want sctp or sctp+udp")
		}
		network = s
		return nil
	})
	name := flag.String("name", "", "the `name` of this peer; without one, start three")
	at := flag.String("at", "", "the `address` of this peer")
	others := flag.String("peers", "", "the `addresses` of the others, with spaces between them")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	switch {
	case flag.NArg() > 0:
		refuse("unexpected argument %q", flag.Arg(0))
	case (*name == "") != (*at == ""):
		refuse("-name and -at need each other")
	case *name == "" && *others != "":
		refuse("-peers needs -name and -at")
	}
	for _, address := range append(strings.Fields(*others), *at) {
		checkAddress(network, address)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *name != "" {
		if err := run(ctx, network, *name, *at, strings.Fields(*others)); err != nil {
			log.Fatal(err)
		}
		return
	}
	if err := startAll(ctx, network); err != nil {
		log.Fatal(err)
	}
	if ctx.Err() != nil {
		os.Exit(interrupted)
	}
}

// refuse says what is wrong with the arguments, and ends the program.
func refuse(format string, args ...any) {
	fmt.Fprintf(flag.CommandLine.Output(), format+"\n", args...)
	flag.Usage()
	os.Exit(2)
}

// checkAddress refuses an address that is none. A name that has none may have one later.
func checkAddress(network, address string) {
	_, err := sctpnet.ResolveAddr(network, address)
	if _, wrong := errors.AsType[*net.AddrError](err); wrong {
		refuse("%v", err)
	}
}

// pause waits, unless the context ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// startAll starts three peers, and one of them twice.
func startAll(ctx context.Context, network string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	names := []string{"anna", "bert", "carl"}
	var at []string
	for range names {
		// A port that is free now will be soon.
		c, err := sctpnet.ListenPacket(network, "127.0.0.1:0")
		if err != nil {
			return err
		}
		at = append(at, c.LocalAddr().String())
		c.Close()
	}
	var readers sync.WaitGroup
	start := func(i int) (*exec.Cmd, error) {
		others := slices.Delete(slices.Clone(at), i, i+1)
		cmd := exec.Command(self, "-network", network, "-name", names[i], "-at", at[i], "-peers", strings.Join(others, " "))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		readers.Go(func() { copyLines(out) })
		return cmd, cmd.Start()
	}
	var all []*exec.Cmd
	for i := range names {
		cmd, err := start(i)
		if err != nil {
			return err
		}
		defer cmd.Process.Kill()
		all = append(all, cmd)
	}
	pause(ctx, 4*every)
	fmt.Printf("\n%s is killed\n\n", names[1])
	all[1].Process.Kill()
	all[1].Wait()
	pause(ctx, 4*every)
	fmt.Printf("\n%s is back\n\n", names[1])
	back, err := start(1)
	if err != nil {
		return err
	}
	all[1] = back
	defer back.Process.Kill()
	pause(ctx, 6*every)
	for _, cmd := range all {
		cmd.Process.Kill()
	}
	readers.Wait()
	return nil
}

var printing sync.Mutex

// copyLines prints the lines of a peer, each whole.
func copyLines(r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		printing.Lock()
		fmt.Println(s.Text())
		printing.Unlock()
	}
}

// A peer is one of the processes.
type peer struct {
	name string
	c    *sctpnet.PacketConn

	mu      sync.Mutex
	greeted map[string]int // how often, by the address of the peer that greets
}

func run(ctx context.Context, network, name, at string, others []string) error {
	p := &peer{name: name, greeted: make(map[string]int)}
	lc := sctpnet.ListenConfig{OnEvent: p.onEvent}
	c, err := lc.ListenPacket(ctx, network, at)
	if err != nil {
		return err
	}
	p.c = c.(*sctpnet.PacketConn)
	defer c.Close()
	context.AfterFunc(ctx, func() { c.Close() })
	go p.greet(others)
	buf := make([]byte, 1500)
	for {
		_, from, err := c.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.greeted[from.String()]++
		p.mu.Unlock()
	}
}

// onEvent prints the beginnings and ends of associations.
func (p *peer) onEvent(_ *sctpnet.PacketConn, peer *sctpnet.Addr, e sctpnet.Event) {
	if e, ok := e.(sctpnet.AssocEvent); ok {
		fmt.Printf("%s: %v: %v\n", p.name, peer, e)
	}
}

// greet greets the others for ever.
func (p *peer) greet(others []string) {
	for {
		for _, address := range others {
			p.greetOne(address)
		}
		time.Sleep(every)
		p.print()
	}
}

// greetOne greets a peer. If there is no association with it, this makes one. It takes
// no longer than a peer that is there would need.
func (p *peer) greetOne(address string) {
	ctx, cancel := context.WithTimeout(context.Background(), every)
	defer cancel()
	to, err := p.c.Connect(ctx, address)
	if err == nil {
		_, err = p.c.WriteTo([]byte("hello from "+p.name), to)
	}
	if err != nil {
		fmt.Printf("%s: %v\n", p.name, err)
	}
}

// print prints a line for each association.
func (p *peer) print() {
	p.mu.Lock()
	greeted := maps.Clone(p.greeted)
	p.mu.Unlock()
	for _, a := range p.c.Associations() {
		s, err := p.c.Status(a)
		if err != nil {
			continue // it has ended meanwhile
		}
		fmt.Printf("%s: %-16v %-12v %4d greetings, round trip %v\n", p.name, a, s.State, greeted[a.String()], s.Primary.SRTT)
	}
}
