package sctpnet

import (
	"context"
	"time"
)

// lastWords is how long an association of which all streams are closed may take
// to end.
const lastWords = 5 * time.Second

// finishStreams closes a Conn of which all streams are closed, and which was shut
// down. It waits for the end first: if something were left unread, closing would
// abort, and what was written last would be lost. Nobody is to read anything any
// more, so it is dropped.
func (c *Conn) finishStreams() {
	if !c.ok() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	c.startMux().RefuseStreams(ctx)
	c.end(c.e.Close) // not Close, which aborts if a queue holds something
}
