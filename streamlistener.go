package sctpnet

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// NewStreamListener returns a listener whose Accept yields the streams that
// peers open, each a [*Stream], on the associations that ln accepts. It is what
// serves the streams of a [StreamDialer], as in
//
//	http.Serve(sctpnet.NewStreamListener(ln), handler)
//
// What ln accepts that is no [*Conn] is passed on as it is.
//
// Accept returns the errors of ln, which the StreamListener owns from now on.
// Closing it closes ln and lets the open streams be, while those that peers open
// from then on are closed at once; each association is shut down when the last of
// its streams is closed.
func NewStreamListener(ln net.Listener) net.Listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &streamListener{Listener: ln, accepted: make(chan acceptResult), ctx: ctx, cancel: cancel}
	go l.run()
	return l
}

type streamListener struct {
	net.Listener
	accepted chan acceptResult
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
}

type acceptResult struct {
	conn net.Conn
	err  error
}

func (l *streamListener) Accept() (net.Conn, error) {
	select {
	case r, ok := <-l.accepted:
		if ok {
			return r.conn, r.err
		}
	case <-l.ctx.Done():
	}
	return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
}

func (l *streamListener) Close() error {
	l.cancel()
	return l.Listener.Close()
}

// pass hands something to Accept. It reports whether there still is one.
func (l *streamListener) pass(r acceptResult) bool {
	select {
	case l.accepted <- r:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// run accepts associations.
func (l *streamListener) run() {
	for {
		c, err := l.Listener.Accept()
		switch c := c.(type) {
		case *Conn:
			go l.serve(c)
			continue
		case nil:
			if !l.pass(acceptResult{err: err}) || errors.Is(err, net.ErrClosed) {
				l.cancel()
				return
			}
		default:
			if !l.pass(acceptResult{conn: c}) {
				c.Close()
				return
			}
		}
	}
}

// serve accepts the streams of one association, until it ends or the listener
// does, and closes it when none is open.
func (l *streamListener) serve(c *Conn) {
	var users sync.WaitGroup
	for {
		s, err := c.AcceptStream(l.ctx)
		if err != nil {
			break
		}
		users.Add(1)
		s.onClose = users.Done
		if !l.pass(acceptResult{conn: s}) {
			s.Close()
			break
		}
	}
	// What is left unread would make Close abort, with all that the streams have
	// written last. So who opens one now is turned away.
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		users.Wait()
		c.Shutdown()
		time.AfterFunc(lastWords, cancel)
	}()
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			break
		}
		s.Close()
	}
	cancel()
	users.Wait()
	c.Close()
}

// lastWords is how long an association of which all streams are closed may take
// to end.
const lastWords = 5 * time.Second
