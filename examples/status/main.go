// Status prints how an association is doing, while it moves data over two
// paths of the loopback interface. Run it with
//
//	go run -exec "$PWD/scripts/with-sctp" ./examples/status
//
// or, with SCTP inside UDP and on any system,
//
//	go run ./examples/status -network sctp+udp
//
// With an address, such as 192.0.2.1/198.51.100.1:3868, it watches an association
// with a server of yours, which need not know of this program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/sctpnet/sctpnet"
	_ "github.com/sctpnet/sctpnet/udpencap" // the networks sctp+udp
)

const usage = `Status prints how an association is doing: with the server at ADDRESS, or with a
server of its own, while it moves data.

usage: status [-network NETWORK] [-for TIME] [-every TIME] [ADDRESS]

`

const interrupted = 130 // the exit status that a shell gives for Ctrl-C

func main() {
	log.SetFlags(0)
	log.SetPrefix("status: ")
	network := "sctp"
	flag.Func("network", "the `network`: sctp, which is the default, or sctp+udp, which has one path", func(s string) error {
		if s != "sctp" && s != "sctp+udp" {
			return errors.New("want sctp or sctp+udp")
		}
		network = s
		return nil
	})
	lasting := flag.Duration("for", 4*time.Second, "how long to watch")
	every := flag.Duration("every", time.Second, "how often to print")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	switch {
	case flag.NArg() > 1:
		refuse("unexpected argument %q", flag.Arg(1))
	case *lasting <= 0 || *every <= 0:
		refuse("-for and -every must be more than 0")
	}
	checkAddress(network, flag.Arg(0))
	signaled, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(signaled, *lasting)
	defer cancel()
	run(ctx, network, flag.Arg(0), *every)
	if signaled.Err() != nil {
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

// run watches an association until the context ends.
func run(ctx context.Context, network, address string, every time.Duration) {
	own := address == ""
	if own {
		hosts := "127.0.0.1/127.0.0.2"
		if strings.HasSuffix(network, "+udp") {
			hosts = "127.0.0.1"
		}
		ln, err := sctpnet.Listen(network, hosts+":0")
		if err != nil {
			log.Fatal(err)
		}
		defer ln.Close()
		go discard(ln)
		address = ln.Addr().String()
	}
	c, err := new(sctpnet.Dialer).DialContext(ctx, network, address)
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return // interrupted
		}
		log.Fatal(err)
	}
	defer c.Close()
	if own {
		go load(ctx, c)
	}
	watch(ctx, c.(*sctpnet.Conn), every)
}

// discard reads what comes on one association.
func discard(ln net.Listener) {
	c, err := ln.Accept()
	if errors.Is(err, net.ErrClosed) {
		return
	}
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	io.Copy(io.Discard, c)
}

// load writes some 10 MB a second.
func load(ctx context.Context, c net.Conn) {
	p := make([]byte, 100<<10)
	for ctx.Err() == nil {
		if _, err := c.Write(p); err != nil {
			if ctx.Err() == nil {
				log.Fatal(err)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// watch prints tables, on a terminal each in the place of the one before.
func watch(ctx context.Context, c *sctpnet.Conn, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	info, err := os.Stdout.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	lines := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		text, err := table(c)
		if err != nil {
			if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
				return
			}
			log.Fatal(err)
		}
		if terminal && lines > 0 {
			fmt.Printf("\x1b[%dA\x1b[J", lines)
		}
		lines = strings.Count(text, "\n")
		fmt.Print(text)
	}
}

func table(c *sctpnet.Conn) (string, error) {
	status, err := c.Status()
	if err != nil {
		return "", err
	}
	paths, err := c.Paths()
	if err != nil {
		return "", err
	}
	stats, err := c.Stats()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%v\t%d streams out, %d in\twindow %d\tunacknowledged %d\tmissing %d\tchunks of %d\n",
		status.State, status.OutStreams, status.InStreams, status.PeerWindow, status.Unacked, status.Pending, status.FragmentationPoint)
	w.Flush()
	fmt.Fprintln(w, "path\tstate\tcwnd\tsrtt\trto\tmtu")
	for _, p := range paths {
		mark := " "
		if p.Primary {
			mark = "*"
		}
		fmt.Fprintf(w, "%s %v\t%v\t%d\t%v\t%v\t%d\n", mark, p.Addr, p.State, p.CWND, p.SRTT, p.RTO, p.MTU)
	}
	w.Flush()
	fmt.Fprintln(w, "\tpackets\tSACKs\tchunks\tagain\tgaps\tmax rto")
	fmt.Fprintf(w, "sent\t%d\t%d\t%d\t%d\t%d\t%v\n", stats.PacketsSent, stats.SACKsSent,
		stats.OrderedSent+stats.UnorderedSent, stats.Retransmitted, stats.GapAcks, stats.MaxRTO)
	fmt.Fprintf(w, "received\t%d\t%d\t%d\t%d\t%d\t\n", stats.PacketsReceived, stats.SACKsReceived,
		stats.OrderedReceived+stats.UnorderedReceived, stats.Duplicates, stats.OutOfOrder)
	w.Flush()
	fmt.Fprintln(&b)
	return b.String(), nil
}
