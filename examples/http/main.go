// Http is HTTP/1.1 over SCTP: an unmodified http.Server and http.Client, the
// one given an SCTP listener, the other a function that dials SCTP. Run it with
//
//	go run -exec "$PWD/scripts/with-sctp" ./examples/http
//
// or, with SCTP inside UDP and on any system,
//
//	go run ./examples/http -network sctp+udp
//
// Without arguments it serves, fetches a page and a download from itself, and
// ends. With -listen ADDRESS it only serves; with a URL it only fetches that.
// Either side also works with other programs that speak HTTP over SCTP.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet"
	_ "github.com/sctpnet/sctpnet/udpencap" // the networks sctp+udp
)

const usage = `Http is HTTP/1.1 over SCTP. Without arguments it serves, fetches a page and a
download from itself, and ends. With a URL it only fetches that.

usage: http [-network NETWORK] [-listen ADDRESS | URL]

`

const interrupted = 130 // the exit status that a shell gives for Ctrl-C

func main() {
	network := "sctp"
	flag.Func("network", "the `network`: sctp, which is the default, sctp4, sctp6, or these with +udp", func(s string) error {
		if !slices.Contains([]string{"sctp", "sctp4", "sctp6"}, strings.TrimSuffix(s, "+udp")) {
			return errors.New("want sctp, sctp4, sctp6, or these with +udp")
		}
		network = s
		return nil
	})
	listen := flag.String("listen", "", "only serve, on `address`, until interrupted")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	page := flag.Arg(0)
	switch {
	case flag.NArg() > 1:
		refuse("unexpected argument %q", flag.Arg(1))
	case page != "" && *listen != "":
		refuse("-listen and a URL exclude each other")
	}
	if u, err := url.Parse(page); page != "" && (err != nil || u.Scheme != "http" || u.Host == "") {
		refuse("%q is no URL of http", page)
	}
	checkAddress(network, *listen)
	// The first signal ends what is under way in good order, a second one at
	// once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx, network, *listen, page)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "http: interrupted")
		os.Exit(interrupted)
	default:
		fmt.Fprintln(os.Stderr, "http:", err)
		os.Exit(1)
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

func run(ctx context.Context, network, listen, url string) error {
	if err := sctpnet.Available(network); err != nil {
		return err
	}
	client := newClient(network)
	defer client.CloseIdleConnections()
	if url != "" {
		return fetch(ctx, client, url)
	}

	address := listen
	if address == "" {
		address = "127.0.0.1:0"
	}
	ln, err := sctpnet.Listen(network, address)
	if err != nil {
		return err
	}
	fmt.Printf("server: listening on %s, %s\n", network, ln.Addr())
	server := newServer()
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()

	if listen != "" {
		select {
		case err := <-served:
			return err
		case <-ctx.Done():
		}
	} else {
		for _, path := range []string{"/", "/download"} {
			if err := fetch(ctx, client, "http://"+ln.Addr().String()+path); err != nil {
				return err
			}
		}
		client.CloseIdleConnections()
	}

	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// newServer is all of HTTP's; only the listener that it is given is SCTP's.
func newServer() *http.Server {
	data := make([]byte, 32<<20)
	rand.NewChaCha8([32]byte{}).Read(data)
	hash := digest(sha256.Sum256(data))

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "This page came over SCTP to %s.\n", r.RemoteAddr)
	})
	mux.HandleFunc("GET /download", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Repr-Digest", hash)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: time.Minute,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			fmt.Println("server:", describe(c))
			return ctx
		},
	}
}

// newClient is HTTP's too, but for the dialing. A Transport asks for "tcp", which
// means the Dialer's Network.
func newClient(network string) *http.Client {
	d := &sctpnet.Dialer{Network: network}
	return &http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
}

// fetch gets a URL and shows it if it is text; anything else is a download.
func fetch(ctx context.Context, client *http.Client, url string) error {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if !info.Reused {
				fmt.Println("client:", describe(info.Conn))
			}
		},
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	fmt.Println("client:", url, resp.Status)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/") {
		_, err = io.Copy(os.Stdout, resp.Body)
	} else {
		err = download(resp)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}

// download reads a body and checks its hash, if the server has sent one.
func download(resp *http.Response) error {
	hash := sha256.New()
	progress := newProgress(resp.ContentLength)
	start := time.Now()
	n, err := io.Copy(io.MultiWriter(hash, progress), resp.Body)
	elapsed := time.Since(start)
	progress.end()
	if err != nil {
		return fmt.Errorf("after %d bytes: %w", n, err)
	}
	fmt.Printf("client: %d bytes in %v, %.1f MB/s\n", n, elapsed.Round(time.Millisecond), float64(n)/1e6/elapsed.Seconds())
	got := digest([sha256.Size]byte(hash.Sum(nil)))
	switch want := resp.Header.Get("Repr-Digest"); want {
	case "":
		fmt.Println("client: hash", got)
	case got:
		fmt.Println("client: hash as the server has it:", got)
	default:
		return fmt.Errorf("hash %s, but the server has %s", got, want)
	}
	return nil
}

// digest writes a hash as RFC 9530 has it in a header.
func digest(sum [sha256.Size]byte) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// describe tells an association's addresses and streams.
func describe(c net.Conn) string {
	out, in := c.(*sctpnet.Conn).NumStreams()
	return fmt.Sprintf("%s to %s, streams: %d out, %d in", c.LocalAddr(), c.RemoteAddr(), out, in)
}

// progress tells how much was written to it: again and again in one line of a
// terminal, elsewhere in a few lines.
type progress struct {
	n, next, step int64
	total         int64 // -1 where it is not known
	terminal      bool
}

func newProgress(total int64) *progress {
	fi, err := os.Stdout.Stat()
	p := &progress{total: total, terminal: err == nil && fi.Mode()&os.ModeCharDevice != 0}
	p.step = 8 << 20
	if p.terminal {
		p.step = 256 << 10
	}
	p.next = p.step
	return p
}

func (p *progress) Write(b []byte) (int, error) {
	p.n += int64(len(b))
	if p.n >= p.next || p.n == p.total {
		p.next = p.n - p.n%p.step + p.step
		p.print()
	}
	return len(b), nil
}

func (p *progress) print() {
	line := fmt.Sprintf("client: %.1f MiB", float64(p.n)/(1<<20))
	if p.total > 0 {
		line += fmt.Sprintf(" of %.1f, %d %%", float64(p.total)/(1<<20), 100*p.n/p.total)
	}
	if p.terminal {
		fmt.Print("\r", line)
	} else {
		fmt.Println(line)
	}
}

func (p *progress) end() {
	if p.terminal {
		fmt.Println()
	}
}
