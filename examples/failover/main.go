// Failover shows an association go on when its path dies. As root, or on a
// kernel that has no SCTP, run it with
//
//	go run -exec "$PWD/scripts/with-sctp" ./examples/failover
//
// It makes two networks with two links between them:
//
//	sender   10.77.1.1 ---- link1 ---- 10.77.1.2   receiver
//	         10.77.2.1 ---- link2 ---- 10.77.2.2
//
// and sends numbered messages, one each millisecond, over an association that
// has all four addresses. In the middle of it link1, which carries them, is cut
// at the far end. The sender prints the events that it gets, and how long the
// receiver then waited for the next message.
//
// How long that is depends on the retransmission timeouts and on little else.
// So there are three rounds: with the kernel's defaults, with those of this
// package, and with the fast Config below.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet"
)

// fast finds a dead path in little more than RTO.Min. What it costs: where the
// peer's answer takes longer than that, by its delay of acknowledgements or the
// length of the path, messages are sent twice, and a path may be taken for dead
// that only was slow. RTO.Max keeps the timeout from growing long while a path
// is down, at the price of more heartbeats and retransmissions in vain.
var fast = sctpnet.Config{RTO: sctpnet.RTO{
	Initial: 200 * time.Millisecond,
	Min:     200 * time.Millisecond,
	Max:     time.Second,
}}

// link1 is the receiver's address on the link that is cut.
var link1 = netip.MustParseAddr("10.77.1.2")

// fastStall is the most that the fast Config may stall: an RTO of 200 ms, and what a busy
// machine is late.
const fastStall = 500 * time.Millisecond

// roleEnv is set where the program runs in one of its networks.
const roleEnv = "FAILOVER_ROLE"

const (
	senderNet   = "sctpnet-failover-sender"
	receiverNet = "sctpnet-failover-receiver"

	senderHosts     = "10.77.1.1/10.77.2.1"
	receiverAddress = "10.77.1.2/10.77.2.2:9899"
)

const (
	messages = 3000
	cutAt    = 1000
	size     = 1000
	interval = time.Millisecond
)

const usage = `Failover shows an association go on when its path dies. It makes two networks with
two links between them, sends messages over an association that has both, and cuts
one. It needs root, the command ip, and SCTP in the kernel. It has no flags.

usage: failover
`

const interrupted = 130 // the exit status that a shell gives for Ctrl-C

func main() {
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage) }
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch role := os.Getenv(roleEnv); {
	case flag.NArg() > 0:
		fmt.Fprintf(flag.CommandLine.Output(), "unexpected argument %q\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	case role == "send":
		err = send(ctx)
	case role == "receive":
		err = receive()
	default:
		err = run(ctx)
		if ctx.Err() != nil {
			fmt.Fprintln(os.Stderr, "failover: interrupted")
		}
	}
	if ctx.Err() != nil {
		os.Exit(interrupted)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

// run builds the networks, starts this program in each, and takes the networks
// down again.
func run(ctx context.Context) error {
	if err := sctpnet.Available("sctp"); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	defer func() {
		exec.Command("ip", "netns", "delete", senderNet).Run()
		exec.Command("ip", "netns", "delete", receiverNet).Run()
	}()
	if err := ip("netns add " + senderNet); err != nil {
		return fmt.Errorf("making networks needs root: %w", err)
	}
	if err := ip("netns add " + receiverNet); err != nil {
		return err
	}
	for _, link := range []string{"1", "2"} {
		for _, args := range []string{
			"link add link" + link + " netns " + senderNet + " type veth peer name link" + link + " netns " + receiverNet,
			"-n " + senderNet + " address add 10.77." + link + ".1/24 dev link" + link,
			"-n " + receiverNet + " address add 10.77." + link + ".2/24 dev link" + link,
			"-n " + senderNet + " link set link" + link + " up",
			"-n " + receiverNet + " link set link" + link + " up",
		} {
			if err := ip(args); err != nil {
				return err
			}
		}
	}

	// The receiver says on its standard output when it is ready, and ends
	// when its standard input does.
	receiver := exec.CommandContext(ctx, "ip", "netns", "exec", receiverNet, self)
	receiver.Env = append(os.Environ(), roleEnv+"=receive")
	receiver.Stderr = os.Stderr
	stdin, err := receiver.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := receiver.StdoutPipe()
	if err != nil {
		return err
	}
	if err := receiver.Start(); err != nil {
		return err
	}
	_, err = io.ReadFull(stdout, make([]byte, 1))
	if err == nil {
		sender := exec.CommandContext(ctx, "ip", "netns", "exec", senderNet, self)
		sender.Cancel = func() error { return sender.Process.Signal(os.Interrupt) }
		sender.WaitDelay = 10 * time.Second
		sender.Env = append(os.Environ(), roleEnv+"=send")
		sender.Stdout, sender.Stderr = os.Stdout, os.Stderr
		err = sender.Run()
	}
	stdin.Close()
	return errors.Join(err, receiver.Wait())
}

// ip runs the command ip.
func ip(args string) error {
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, out)
	}
	return nil
}

// A report is what the receiver answers when it has the last message.
type report struct {
	Received, Lost, Doubled, Disordered int
	Stall                               time.Duration // between two messages
	Before                              uint32        // the second of them
}

// receive serves one association after the other.
func receive() error {
	ln, err := sctpnet.Listen("sctp", receiverAddress)
	if err != nil {
		return err
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Print(".")
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		if err := count(c.(*sctpnet.Conn)); err != nil {
			return err
		}
	}
}

// count receives messages until the last one is there, and reports.
func count(c *sctpnet.Conn) error {
	defer c.Close()
	var r report
	var seen [messages]bool
	var last time.Time
	b := make([]byte, size)
	for next := uint32(0); ; {
		if n, info, err := c.ReadMsg(b); err != nil || n != size || info.More {
			return fmt.Errorf("received %d bytes, %+v: %w", n, info, err)
		}
		number := binary.BigEndian.Uint32(b)
		switch {
		case number >= messages:
			return fmt.Errorf("received message %d of %d", number, messages)
		case seen[number]:
			r.Doubled++
		case number != next:
			r.Disordered++
		}
		seen[number], next = true, number+1
		r.Received++

		now := time.Now()
		if stall := now.Sub(last); !last.IsZero() && stall > r.Stall {
			r.Stall, r.Before = stall, number
		}
		last = now
		if number == messages-1 {
			break
		}
	}
	for _, s := range seen {
		if !s {
			r.Lost++
		}
	}
	if err := json.NewEncoder(c).Encode(r); err != nil {
		return err
	}
	_, err := c.Read(b) // it is the sender's to end the association
	if err != io.EOF {
		return fmt.Errorf("after the report: %v", err)
	}
	return nil
}

// send goes through the rounds.
func send(ctx context.Context) error {
	if _, err := round(ctx, "the kernel's defaults, RTO 1s to 60s", sctpnet.Config{KernelDefaults: true}); err != nil {
		return err
	}
	fmt.Println()
	if _, err := round(ctx, "the default Config, RTO 250ms to 60s", sctpnet.Config{}); err != nil {
		return err
	}
	fmt.Println()
	r, err := round(ctx, fmt.Sprintf("the fast Config, RTO %v to %v", fast.RTO.Min, fast.RTO.Max), fast)
	if err == nil && r.Stall > fastStall {
		err = fmt.Errorf("a stall of %v is more than %v", r.Stall, fastStall)
	}
	return err
}

// round sends all messages over a new association.
func round(ctx context.Context, name string, config sctpnet.Config) (r report, err error) {
	fmt.Printf("%s:\n", name)
	start := time.Now()
	log := func(what any) { fmt.Printf("%8.3f s  %v\n", time.Since(start).Seconds(), what) }
	failed, recovered := make(chan bool, 1), make(chan bool, 1)
	config.OnEvent = func(_ *sctpnet.Conn, e sctpnet.Event) {
		log(e)
		if e, ok := e.(sctpnet.PathEvent); ok && e.Addr.Addr() == link1 {
			switch e.Change {
			case sctpnet.PathPotentiallyFailed:
				signalTo(failed)
			case sctpnet.PathReachable:
				signalTo(recovered)
			}
		}
	}
	d := sctpnet.Dialer{Config: config, LocalAddr: addr(senderHosts)}
	conn, err := d.DialContext(ctx, "sctp", receiverAddress)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	c := conn.(*sctpnet.Conn)

	cut := make(chan error, 1)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	b := make([]byte, size)
	for i := range messages {
		if i == cutAt {
			go func() { // the sender does not wait for it
				log("link1 is cut")
				cut <- ip("-n " + receiverNet + " link set link1 down")
			}()
		}
		binary.BigEndian.PutUint32(b, uint32(i))
		if _, err := c.WriteMsg(b, sctpnet.MsgInfo{}); err != nil {
			return r, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return r, ctx.Err()
		}
	}
	if err := <-cut; err != nil {
		return r, err
	}
	c.SetReadDeadline(time.Now().Add(time.Minute))
	if err := json.NewDecoder(c).Decode(&r); err != nil {
		return r, fmt.Errorf("the receiver's report: %w", err)
	}
	log(fmt.Sprintf("%d messages sent, %d received: %d lost, %d doubled, %d out of order", messages, r.Received, r.Lost, r.Doubled, r.Disordered))
	log(fmt.Sprintf("the receiver waited %v for message %d", r.Stall.Round(time.Millisecond), r.Before))
	if r.Received != messages || r.Lost+r.Doubled+r.Disordered > 0 {
		return r, errors.New("that is not what was sent")
	}
	select {
	case <-failed:
	default:
		return r, errors.New("the association did not use link1")
	}

	log("link1 is mended")
	if err := ip("-n " + receiverNet + " link set link1 up"); err != nil {
		return r, err
	}
	for range 50 {
		// Linux asks by itself too, but not as often.
		if err := c.Heartbeat(link1); err != nil {
			return r, err
		}
		select {
		case <-recovered:
			return r, nil
		case <-time.After(200 * time.Millisecond):
		}
	}
	return r, errors.New("link1 did not recover")
}

func signalTo(c chan bool) {
	select {
	case c <- true:
	default:
	}
}

// addr makes an address without a port of a list of hosts.
func addr(hosts string) *sctpnet.Addr {
	a := &sctpnet.Addr{}
	for host := range strings.SplitSeq(hosts, "/") {
		a.IPAddrs = append(a.IPAddrs, net.IPAddr{IP: net.ParseIP(host)})
	}
	return a
}
