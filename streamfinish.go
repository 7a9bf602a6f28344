package sctpnet

import (
	"context"
	"time"
)

// lastWords is how long an association may take to end after all its streams are
// closed.
const lastWords = 5 * time.Second

// finishStreams closes a Conn that was shut down after all its streams were closed.
// It waits for the end first: if something were left unread, closing would abort,
// and what was written last would be lost. Nobody reads any more, so it drops what
// comes.
func (c *Conn) finishStreams() {
	if !c.ok() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	c.startMux().RefuseStreams(ctx)
	c.end(c.e.Close) // not Close, which aborts if a queue holds something
}
