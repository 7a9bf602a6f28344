package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/sctpnet/sctpnet"
)

// A row is a fault and its expected result.
type row struct {
	name    string
	netem   string         // what the router does to packets, from before the handshake
	amount  amount         // what is transferred
	config  sctpnet.Config // of both ends
	showMTU bool
	crash   bool // of the server

	client, server func(*end) error // run in processes of their own

	// control makes the fault strike, and returns nil if the ends behaved as
	// promised. By default everything has to be transferred.
	control func(*trial, context.Context) error

	// fails says why the row fails on an engine. The run fails if the row
	// passes there.
	fails map[engine]string
	// slow says why the row may reach its limit on an engine.
	slow map[engine]string
	// limit is the most that the row may take, by default rowLimit.
	limit time.Duration
}

func rowNamed(name string) *row {
	i := slices.IndexFunc(rows, func(r *row) bool { return r.name == name })
	return rows[i]
}

// rows is the table; init sets it, as its functions refer to it.
var rows []*row

func init() {
	rows = slices.Concat(networkRows(), peerRows())
	for _, r := range rows {
		if r.netem == "" {
			r.netem = noFault
		}
		if r.amount == (amount{}) {
			r.amount = full
		}
		if r.client == nil {
			r.client = func(e *end) error { return e.transfer(0) }
		}
		if r.server == nil {
			r.server = func(e *end) error {
				if err := e.listen(); err != nil {
					return err
				}
				return e.transfer(0)
			}
		}
	}
}

const noFault = "limit 10000"

// networkRows are faults of the network. Everything has to arrive in spite of them.
func networkRows() []*row {
	slowAfterLoss := map[engine]string{
		overUDP: "after losses cwnd is small, and where the processors are busy a round trip over UDP takes long",
	}
	slowReordered := map[engine]string{
		overUDP: "over UDP each packet is acknowledged while some are missing, which takes the processors' time",
	}
	slowDelayed := map[engine]string{
		kernel:  "after a loss or an early timeout, Linux's congestion window grows by one packet a round trip",
		overUDP: "after a loss or an early timeout, the congestion window over UDP takes many round trips to grow",
	}
	slowUp := map[engine]string{
		kernel: "Linux's timeout doubles while the link is down, and stays so until a round trip is measured",
	}
	slowDown := map[engine]string{
		overUDP: "beside the minute without a link, the transfer over UDP takes half a minute",
	}
	persistent := sctpnet.Config{
		RTO:         sctpnet.RTO{Max: 5 * time.Second},
		AssocParams: sctpnet.AssocParams{MaxRetransmissions: 30},
	}
	return []*row{
		{name: "no fault"},
		{name: "loss of 1 %", netem: noFault + " loss 1%", slow: slowAfterLoss},
		{name: "loss of 5 %", netem: noFault + " loss 5%", slow: slowAfterLoss},
		{
			// With the default, one dial in a hundred times out.
			name: "loss of 20 %; InitAttempts 12, InitTimeout 2 s", netem: noFault + " loss 20%", amount: small,
			config: sctpnet.Config{InitAttempts: 12, InitTimeout: 2 * time.Second},
		},
		{name: "reordering: a quarter of the packets 5 ms early", netem: noFault + " delay 5ms reorder 25% 50%", slow: slowReordered},
		{name: "duplication of 5 %", netem: noFault + " duplicate 5%"},
		{name: "corruption of 1 %: one bit", netem: noFault + " corrupt 1%", slow: slowAfterLoss},
		{name: "delay of 200 ms each way", netem: noFault + " delay 200ms", slow: slowDelayed},
		{name: "1 Mbit/s", netem: "limit 100 rate 1mbit", amount: small},
		{name: "link down for 1 s", control: downFor(time.Second)},
		{name: "link down for 5 s", control: downFor(5 * time.Second), slow: slowUp},
		{name: "link down for 60 s; RTO.Max 5 s, MaxRetransmissions 30", config: persistent, control: downFor(time.Minute), slow: slowDown},
		{name: "path MTU shrinks to 1000, with ICMP", showMTU: true, control: atQuarter(network.shrink)},
		{
			name: "path MTU shrinks to 1000, without ICMP", limit: time.Minute,
			control: atQuarter(network.shrinkSilently),
			fails: map[engine]string{
				kernel:  "Linux probes the path MTU only if net.sctp.plpmtud_probe_interval says so",
				overUDP: "no chunk can be divided once it was sent, and this router divides no packet",
			},
		},
		{
			name: "path MTU shrinks to 1000, without ICMP; PathParams.MTU 1000", showMTU: true,
			config:  sctpnet.Config{PathParams: sctpnet.PathParams{MTU: smallMTU}},
			control: atQuarter(network.shrinkSilently),
		},
	}
}

// atQuarter has the fault strike when a quarter has been transferred.
func atQuarter(fault func(network) error) func(*trial, context.Context) error {
	return func(t *trial, ctx context.Context) error {
		if err := t.start(ctx); err != nil {
			return err
		}
		if _, err := t.client.await(ctx, quarter); err != nil {
			return err
		}
		if err := t.strike(func() error { return fault(t.net) }); err != nil {
			return err
		}
		return t.finish(ctx)
	}
}

// downFor has the link be down for a while.
func downFor(d time.Duration) func(*trial, context.Context) error {
	return atQuarter(func(n network) error {
		err := n.cut()
		time.Sleep(d)
		return errors.Join(err, n.mend())
	})
}

// quick finds a dead peer soon, after five timeouts of 0.2, 0.4, 0.8, 1 and 1 s. On a
// busy machine round trips are longer, and so are the first timeouts.
var quick = sctpnet.Config{
	RTO:         sctpnet.RTO{Initial: 200 * time.Millisecond, Min: 200 * time.Millisecond, Max: time.Second},
	AssocParams: sctpnet.AssocParams{MaxRetransmissions: 4},
}

// peerRows are faults of the peer, which the errors of calls report.
func peerRows() []*row {
	quickIdle := quick
	quickIdle.PathParams.HeartbeatInterval = time.Second
	const soon = 5 * time.Second // on a busy machine, too
	return []*row{
		{
			name: "nobody listens", config: quick, server: absent, client: onlyDial,
			control: func(t *trial, ctx context.Context) error {
				if err := t.dials(ctx); err != nil {
					return err
				}
				return t.keep(ctx, t.client, promise{"Dial", []string{"ECONNREFUSED"}, 0, soon})
			},
		},
		{
			name: "no host: Dial", server: absent, client: onlyDial,
			control: func(t *trial, ctx context.Context) error {
				if err := t.net.silence(); err != nil {
					return err
				}
				if err := t.dials(ctx); err != nil {
					return err
				}
				return t.keep(ctx, t.client, promise{"Dial", []string{"ETIMEDOUT"}, 25 * time.Second, 40 * time.Second})
			},
		},
		{
			name: "peer closes the association", config: quick, server: closes, client: readAndWrite,
			control: func(t *trial, ctx context.Context) error {
				if err := t.ready(ctx); err != nil {
					return err
				}
				return t.keep(ctx, t.client,
					promise{"Read", []string{"EOF"}, 0, soon},
					promise{"Write", []string{"EPIPE"}, 0, soon})
			},
		},
		{
			name: "peer killed with something unread", config: quick, server: neverReads, client: writeAndRead,
			control: func(t *trial, ctx context.Context) error {
				if err := t.ready(ctx); err != nil {
					return err
				}
				if err := t.strike(t.server.kill); err != nil {
					return err
				}
				return t.keep(ctx, t.client,
					promise{"Read", []string{"ECONNRESET"}, 0, soon},
					promise{"Write", []string{"ECONNRESET", "EPIPE"}, 0, soon})
			},
		},
		{
			name: "peer killed while idle", config: quickIdle, server: idle, client: waitAndRead,
			control: func(t *trial, ctx context.Context) error {
				if err := t.ready(ctx); err != nil {
					return err
				}
				if err := t.strike(t.server.kill); err != nil {
					return err
				}
				want := promise{"Read", []string{"EOF"}, 0, soon}
				if t.engine == overUDP {
					want = promise{"Read", []string{"ECONNRESET"}, 0, soon}
				}
				return t.keep(ctx, t.client, want)
			},
		},
		{
			name: "peer gone while it is written to", config: quick, server: neverWrites, client: writeAndRead,
			control: func(t *trial, ctx context.Context) error {
				if err := t.ready(ctx); err != nil {
					return err
				}
				if err := t.strike(t.net.silence); err != nil {
					return err
				}
				return t.keep(ctx, t.client,
					promise{"Read", []string{"ETIMEDOUT"}, 2 * time.Second, 10 * time.Second},
					promise{"Write", []string{"ETIMEDOUT", "EPIPE"}, 2 * time.Second, 10 * time.Second})
			},
		},
		{
			name: "peer gone while idle", config: quickIdle, server: idle, client: waitAndRead,
			control: func(t *trial, ctx context.Context) error {
				if err := t.ready(ctx); err != nil {
					return err
				}
				if err := t.strike(t.net.silence); err != nil {
					return err
				}
				return t.keep(ctx, t.client, promise{"Read", []string{"ETIMEDOUT"}, 2 * time.Second, 20 * time.Second})
			},
		},
		{
			name: "server crashes and comes back", config: quick, crash: true, client: transferTwice,
			control: func(t *trial, ctx context.Context) error {
				if err := t.start(ctx); err != nil {
					return err
				}
				if _, err := t.client.await(ctx, quarter); err != nil {
					return err
				}
				// After a crash no packet tells the peer.
				if err := t.strike(t.net.silence); err != nil {
					return err
				}
				if err := errors.Join(t.server.kill(), t.startServer(ctx, 1), t.net.speech()); err != nil {
					return err
				}
				if err := t.keep(ctx, t.client, promise{"transfer", []string{"ECONNRESET"}, 0, soon}); err != nil {
					return err
				}
				return t.finish(ctx)
			},
		},
		{
			name: "client crashes and dials again from its port", config: quick, client: crashOrTransfer, server: serveTwice,
			control: func(t *trial, ctx context.Context) error {
				if err := t.ready(ctx); err != nil {
					return err
				}
				if err := t.net.silence(); err != nil {
					return err
				}
				if err := errors.Join(t.client.kill(), t.net.speech(), t.strike(func() error { return t.startClient(1) })); err != nil {
					return err
				}
				if err := t.keep(ctx, t.server, promise{"Read", []string{"ECONNRESET"}, 0, soon}); err != nil {
					return err
				}
				return t.finish(ctx)
			},
		},
		{
			name: "peer never reads", config: quick, server: neverReads, client: writeUntil,
			control: func(t *trial, ctx context.Context) error {
				if err := t.ready(ctx); err != nil {
					return err
				}
				return t.keep(ctx, t.client,
					promise{"Write", []string{"ErrDeadlineExceeded"}, deadline - time.Second, deadline + soon},
					promise{"Status", []string{"nil"}, deadline - time.Second, deadline + soon})
			},
		},
		{
			name: "peer reads and never answers", config: quick, server: neverWrites, client: readUntil,
			control: func(t *trial, ctx context.Context) error {
				if err := t.ready(ctx); err != nil {
					return err
				}
				return t.keep(ctx, t.client,
					promise{"Read", []string{"ErrDeadlineExceeded"}, deadline - time.Second, deadline + soon},
					promise{"Status", []string{"nil"}, deadline - time.Second, deadline + soon})
			},
		},
	}
}

// ready starts both ends and waits until the client is ready for the fault. If the
// peer is the fault, it strikes then.
func (t *trial) ready(ctx context.Context) error {
	if err := t.start(ctx); err != nil {
		return err
	}
	e, err := t.client.await(ctx, ready)
	t.fault = e.At
	return err
}

// dials starts the client alone, which dials.
func (t *trial) dials(ctx context.Context) error {
	if err := t.startClient(0); err != nil {
		return err
	}
	e, err := t.client.await(ctx, ready)
	t.fault = e.At
	return err
}

// These are the scripts of ends. A server's listens first.

func absent(*end) error { return nil }

func onlyDial(e *end) error {
	e.tell(event{Kind: ready})
	_, err := e.dial(0)
	e.tellCall("Dial", err)
	return nil
}

// serve returns a script that accepts one association and does something with it.
func serve(f func(*end, *sctpnet.Conn) error) func(*end) error {
	return func(e *end) error {
		if err := e.listen(); err != nil {
			return err
		}
		c, err := e.accept()
		if err != nil {
			return err
		}
		return f(e, c)
	}
}

// neverReads accepts an association and does nothing with it.
func neverReads(e *end) error {
	return serve(func(_ *end, c *sctpnet.Conn) error {
		defer c.Close() // so that it is not collected before
		select {}
	})(e)
}

// neverWrites reads everything, and writes nothing.
func neverWrites(e *end) error {
	return serve(func(_ *end, c *sctpnet.Conn) error {
		_, err := io.Copy(io.Discard, c)
		return err
	})(e)
}

// closes reads the greeting, and closes the association.
func closes(e *end) error {
	return serve(func(_ *end, c *sctpnet.Conn) error {
		if _, err := io.ReadFull(c, make([]byte, len(greeting))); err != nil {
			return err
		}
		c.Close()
		select {} // over UDP the association ends in this process
	})(e)
}

// readAndWrite sends the greeting, reads the end, and writes once more.
func readAndWrite(e *end) error {
	c, err := e.dial(0)
	if err != nil {
		return err
	}
	e.tell(event{Kind: ready})
	if _, err := c.Write(greeting); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	e.tellCall("Read", err)
	_, err = c.Write(greeting)
	e.tellCall("Write", err)
	return nil
}

// idle reads the greeting, answers, and reads on.
func idle(e *end) error {
	return serve(func(_ *end, c *sctpnet.Conn) error {
		b := make([]byte, len(greeting))
		if _, err := io.ReadFull(c, b); err != nil {
			return err
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
		_, err := c.Read(b)
		return err
	})(e)
}

// waitAndRead sends a greeting, reads the answer, and reads on.
func waitAndRead(e *end) error {
	c, err := e.dial(0)
	if err != nil {
		return err
	}
	b := slices.Clone(greeting)
	if _, err := c.Write(b); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	for {
		s, err := c.Status()
		if err != nil {
			return err
		}
		if s.Unacked == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	e.tell(event{Kind: ready})
	return e.untilError("Read", func() error {
		_, err := c.Read(b)
		return err
	})()
}

// writeAndRead writes and reads as much as it can, and is ready when it has written
// for a while.
func writeAndRead(e *end) error {
	c, err := e.dial(0)
	if err != nil {
		return err
	}
	b := content(1, 64<<10)
	if _, err := c.Write(b); err != nil {
		return err
	}
	time.AfterFunc(time.Second, func() { e.tell(event{Kind: ready}) })
	return together(
		e.untilError("Write", func() error {
			_, err := c.Write(b)
			return err
		}),
		e.untilError("Read", func() error {
			_, err := c.Read(make([]byte, 1))
			return err
		}))
}

// transferTwice transfers in vain, and once more.
func transferTwice(e *end) error {
	err := e.transfer(0)
	if err == nil {
		return errors.New("the transfer has not failed")
	}
	e.tellCall("transfer", err)
	return e.transfer(0)
}

const clientPort = 5000

// crashOrTransfer writes until it is killed, and in its next life transfers.
func crashOrTransfer(e *end) error {
	if e.Life == 1 {
		return e.transfer(clientPort)
	}
	c, err := e.dial(clientPort)
	if err != nil {
		return err
	}
	c.SetLinger(0) // so that a kill is a crash: nothing more is delivered
	e.tell(event{Kind: ready})
	_, err = c.Write(content(1, 1<<30))
	return err
}

// serveTwice reads from a client's first life, and transfers with its second.
func serveTwice(e *end) error {
	return serve(func(e *end, c *sctpnet.Conn) error {
		err := e.untilError("Read", func() error {
			_, err := c.Read(make([]byte, 64<<10))
			return err
		})()
		if err != nil {
			return err
		}
		return e.transfer(0)
	})(e)
}

// deadline is longer than a peer that is gone goes unnoticed.
const deadline = 10 * time.Second

// writeUntil writes more than there is room for, until a deadline.
func writeUntil(e *end) error {
	c, err := e.dial(0)
	if err != nil {
		return err
	}
	c.SetWriteDeadline(time.Now().Add(deadline))
	e.tell(event{Kind: ready})
	b := content(1, full.bytes)
	n, err := c.Write(b)
	e.tellCall("Write", err)
	if n == 0 || n == len(b) {
		return fmt.Errorf("%d bytes written, to a peer that does not read", n)
	}
	_, err = c.Status()
	e.tellCall("Status", err)
	return nil
}

// readUntil writes all, and reads until a deadline.
func readUntil(e *end) error {
	c, err := e.dial(0)
	if err != nil {
		return err
	}
	if _, err := c.Write(content(1, full.bytes)); err != nil {
		return err
	}
	c.SetReadDeadline(time.Now().Add(deadline))
	e.tell(event{Kind: ready})
	_, err = c.Read(make([]byte, 1))
	e.tellCall("Read", err)
	_, err = c.Status()
	e.tellCall("Status", err)
	return nil
}

// check returns an error if this system cannot make one of the faults.
func check() error {
	if os.Geteuid() != 0 {
		return errors.New("only root can make networks")
	}
	if err := sctpnet.Available("sctp"); err != nil {
		return err
	}
	n, err := newNetwork()
	if err != nil {
		return err
	}
	defer n.close()
	for _, r := range rows {
		if err := n.netem(r.netem); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	for _, fault := range []func(network) error{
		network.silence, network.speech, network.cut, network.mend, network.shrink, network.shrinkSilently,
	} {
		if err := fault(n); err != nil {
			return err
		}
	}
	return nil
}
