package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"

	"github.com/sctpnet/sctpnet/bench/internal/result"
)

var serveFlag = flag.Bool("serve", false, "be the server of the worker's test; for the program's own use")

// processTests have client and server in a process each, as programs have: each
// with a scheduler and a collector of its own.
func processTests(r *result.Run) []test {
	var tests []test
	for _, size := range []int{8 << 10, 64 << 10} {
		base := test{name: "processes-bulk", param: sizeName(size), link: loopback, processes: 2}
		for _, s := range []side{tcp, zero} {
			t := base
			t.side = s.name
			t.run = func(*network) (*result.Sample, error) { return t.bulkToServer(&s, size) }
			t.serve = func(n *network) error { return serve(n, &s, t.receiveBulk) }
			tests = append(tests, t)
		}
		tests = slices.Concat(tests, cSides(r, base, "bulk", size, bulkSample))
	}
	base := test{name: "processes-pingpong", param: sizeName(pingSize), link: loopback, processes: 2}
	for _, s := range []side{tcp, zero} {
		t := base
		t.side = s.name
		t.run = func(*network) (*result.Sample, error) { return t.pingServer(&s) }
		t.serve = func(n *network) error { return serve(n, &s, pong) }
		tests = append(tests, t)
	}
	return slices.Concat(tests, cSides(r, base, "pingpong", pingSize, pingPongSample))
}

// serve is what the server's process does: it says where it listens, and has f
// serve one connection.
func serve(n *network, s *side, f func(c net.Conn) error) error {
	ln, err := s.listenIn(n)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(ln.Addr().String()); err != nil {
		return err
	}
	c, err := ln.Accept()
	if err != nil {
		return err
	}
	return f(c)
}

// A serverProcess is the other process of a test, and a connection to it.
type serverProcess struct {
	net.Conn
	cmd *exec.Cmd
	in  *json.Encoder
	out *json.Decoder
}

func startServer(s *side) (*serverProcess, error) {
	cmd := exec.Command("/proc/self/exe", append(slices.Clone(os.Args[1:]), "-serve")...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &serverProcess{cmd: cmd, in: json.NewEncoder(in), out: json.NewDecoder(out)}
	var address string
	err = p.out.Decode(&address)
	if err == nil {
		p.Conn, err = s.dial(address)
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("a server in another process: %w", err)
	}
	return p, nil
}

func (p *serverProcess) stop() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// bulkToServer sends, and tells the server how much when all is sent.
func (t *test) bulkToServer(s *side, size int) (*result.Sample, error) {
	p, err := startServer(s)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	before := mallocs()
	sent := send(t.time(), []sender{writing(p, size)})
	allocs := mallocs() - before
	if sent.err != nil {
		return nil, sent.err
	}
	if err := p.in.Encode(sent.bytes); err != nil {
		return nil, err
	}
	far := new(pairResult)
	if err := p.out.Decode(far); err != nil {
		return nil, err
	}
	sample := bulkSample(far)
	sample.Values["allocs/op"] = (allocs + far.Mallocs) / (far.Reads + float64(sent.writes))
	return sample, nil
}

// receiveBulk is the server's end of bulkToServer.
func (t *test) receiveBulk(c net.Conn) error {
	sent := make(chan total, 1)
	go func() {
		var all total
		all.err = json.NewDecoder(os.Stdin).Decode(&all.bytes)
		sent <- all
	}()
	r, err := receive([]receiver{reading(c, cmp.Or(t.read, readBuffer))}, sent)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// pingServer has round trips to the server; allocations are those of this end.
func (t *test) pingServer(s *side) (*result.Sample, error) {
	p, err := startServer(s)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	return ping(t.time(), p, 2)
}
