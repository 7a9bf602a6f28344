package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// An engine is the network by which an end calls it.
type engine string

const (
	kernel  engine = "sctp4"
	overUDP engine = "sctp4+udp"
)

var engines = []engine{kernel, overUDP}

func (e engine) String() string {
	if e == overUDP {
		return "UDP"
	}
	return "kernel"
}

var trace bool

// rowLimit is how long a row may take, whatever it waits for.
const rowLimit = 2 * time.Minute

var errTooLong = errors.New("not done in time")

// A trial is a row on an engine.
type trial struct {
	row    *row
	engine engine
	net    network

	client, server *process
	fault          time.Time // when it struck
	struck         bool      // whether it has
	notes          []string  // for the table
}

// An outcome is the result of a trial.
type outcome struct {
	trial *trial
	err   error
	took  time.Duration
	log   string // of both ends, after a failure
}

// run runs the trial.
func (t *trial) run(ctx context.Context) outcome {
	limit := t.row.limit
	if limit == 0 {
		limit = rowLimit
	}
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	start := time.Now()
	err := t.try(ctx)
	took := time.Since(start)
	var log strings.Builder
	for _, p := range []*process{t.client, t.server} {
		if p != nil {
			p.stop()
			fmt.Fprintf(&log, "%s: %s\n", p.name, p.errors.String())
		}
	}
	t.net.close()
	return outcome{trial: t, err: err, took: took, log: log.String()}
}

func (t *trial) try(ctx context.Context) error {
	var err error
	if t.net, err = newNetwork(); err != nil {
		return err
	}
	if err := t.net.netem(t.row.netem); err != nil {
		return err
	}
	t.struck = t.row.netem != noFault
	control := t.row.control
	if control == nil {
		control = (*trial).pass
	}
	return control(t, ctx)
}

// start starts both ends.
func (t *trial) start(ctx context.Context) error {
	return errors.Join(t.startServer(ctx, 0), t.startClient(0))
}

// startServer starts the server, and waits until it listens.
func (t *trial) startServer(ctx context.Context, life int) (err error) {
	if t.server, err = t.startEnd("server", life); err != nil {
		return err
	}
	_, err = t.server.await(ctx, listening)
	return err
}

func (t *trial) startClient(life int) (err error) {
	t.client, err = t.startEnd("client", life)
	return err
}

func (t *trial) startEnd(name string, life int) (*process, error) {
	arg, err := json.Marshal(identity{Row: t.row.name, Engine: t.engine, Client: name == "client", Life: life})
	if err != nil {
		return nil, err
	}
	ns := t.net.client
	if name == "server" {
		ns = t.net.server
	}
	p := &process{name: name, events: make(chan event, 10_000), done: make(chan struct{})}
	p.cmd = exec.Command(self, "end", string(arg))
	p.cmd.Stderr = &p.errors
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := ns.Do(p.cmd.Start); err != nil {
		return nil, err
	}
	go p.read(out)
	return p, nil
}

// pass expects everything to be transferred in spite of the fault.
func (t *trial) pass(ctx context.Context) error {
	if err := t.start(ctx); err != nil {
		return err
	}
	return t.finish(ctx)
}

// finish waits until both ends have transferred everything.
func (t *trial) finish(ctx context.Context) error {
	// If one end fails, the other one has a while to say why.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	results := make([]event, 2)
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i, p := range []*process{t.client, t.server} {
		wg.Go(func() {
			if results[i], errs[i] = p.await(ctx, finished); errs[i] != nil {
				time.AfterFunc(5*time.Second, stop)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c, s := results[0], results[1]
	a := t.row.amount
	took := max(c.Figures.Bytes, s.Figures.Bytes)
	t.note("%.2f MB/s", float64(a.bytes)/1e6/took.Seconds())
	took = max(c.Figures.Messages, s.Figures.Messages)
	t.note("%.0f messages/s", float64(a.messages)/took.Seconds())
	t.note("%d sent again, %d received twice", c.Figures.SentAgain+s.Figures.SentAgain, c.Figures.ReceivedTwice+s.Figures.ReceivedTwice)
	if t.row.showMTU {
		t.note("MTU %d", c.Figures.MTU)
	}
	return nil
}

func (t *trial) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// strike makes the fault strike, by f.
func (t *trial) strike(f func() error) error {
	t.fault = time.Now()
	err := f()
	t.struck = err == nil
	return err
}

// A promise says how a call ends, and when: after the fault, or if the fault strikes
// before the call, after the call began.
type promise struct {
	call     string
	errors   []string // any of them
	from, to time.Duration
}

// keep waits for calls of an end to return, and compares them with promises.
func (t *trial) keep(ctx context.Context, p *process, promises ...promise) error {
	for _, want := range promises {
		got, err := p.awaitCall(ctx, want.call)
		if err != nil {
			return err
		}
		after := got.At.Sub(t.fault)
		t.note("%s: %s after %.1f s (%g to %g)", got.Call, got.Err, after.Seconds(), want.from.Seconds(), want.to.Seconds())
		if !slices.Contains(want.errors, got.Err) || after < want.from || after > want.to {
			return fmt.Errorf("the %s's %s: %s after %v; want %s after %v to %v",
				p.name, got.Call, got.Err, after.Round(time.Millisecond), strings.Join(want.errors, " or "), want.from, want.to)
		}
	}
	return nil
}

// A process is an end, as the command that started it sees it.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.Closer
	errors strings.Builder
	events chan event
	done   chan struct{} // is closed when it has ended
	calls  []event       // that nobody has waited for yet
	last   event         // about its progress
}

func (p *process) read(out io.Reader) {
	d := json.NewDecoder(out)
	for {
		var e event
		if err := d.Decode(&e); err != nil {
			break
		}
		p.events <- e
	}
	p.cmd.Wait()
	close(p.done)
	close(p.events)
}

// next returns the next event that is not about progress.
func (p *process) next(ctx context.Context) (event, error) {
	for {
		select {
		case e, ok := <-p.events:
			switch {
			case !ok:
				return e, fmt.Errorf("the %s has ended: %s", p.name, strings.TrimSpace(p.errors.String()))
			case e.Kind == failed:
				return e, fmt.Errorf("the %s: %s", p.name, e.Err)
			case e.Kind == progress:
				p.last = e
				if trace {
					fmt.Printf("%s the %s has read %d bytes and %d messages; %s\n", e.At.Format(time.TimeOnly), p.name, e.Bytes, e.Messages, e.State)
				}
			default:
				return e, nil
			}
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return event{}, fmt.Errorf("%w: the %s has read %d bytes and %d messages; %s", errTooLong, p.name, p.last.Bytes, p.last.Messages, p.last.State)
			}
			return event{}, fmt.Errorf("the %s has not ended", p.name)
		}
	}
}

// await waits for an event.
func (p *process) await(ctx context.Context, want kind) (event, error) {
	for {
		e, err := p.next(ctx)
		if err != nil || e.Kind == want {
			return e, err
		}
		if e.Kind == aCall {
			p.calls = append(p.calls, e)
		}
	}
}

// awaitCall waits for a call to have returned.
func (p *process) awaitCall(ctx context.Context, call string) (event, error) {
	for i := 0; ; i++ {
		if i == len(p.calls) {
			e, err := p.await(ctx, aCall)
			if err != nil {
				return e, fmt.Errorf("waiting for %s: %w", call, err)
			}
			p.calls = append(p.calls, e)
		}
		if p.calls[i].Call == call {
			return p.calls[i], nil
		}
	}
}

// kill ends the process as if it had crashed.
func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	<-p.drained()
	return err
}

// drained drops all events. It returns a channel that is closed when the process has
// ended.
func (p *process) drained() <-chan struct{} {
	go func() {
		for range p.events {
		}
	}()
	return p.done
}

// stop ends the process.
func (p *process) stop() {
	done := p.drained()
	p.stdin.Close()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		<-done
	}
}
