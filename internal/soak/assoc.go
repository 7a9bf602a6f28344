package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
)

// A deed is what one end has done to end an association, or a stream.
type deed uint32

const (
	halfClosed   deed = 1 << iota // Stream.CloseWrite
	deaf                          // Stream.CloseRead
	shutDown                      // Shutdown
	closed                        // Close, with nothing left to read
	closedAnyhow                  // Close, perhaps with something left to read
	closedUnread                  // Close, with something left to read for sure
	aborted                       // Abort, or Close after SetLinger(0)
)

const allCloses = closed | closedAnyhow | closedUnread | aborted

// deeds are those of the two ends. A deed is noted before it is done.
type deeds [2]atomic.Uint32

func (d *deeds) note(i int, what deed)     { d[i].Or(uint32(what)) }
func (d *deeds) has(i int, what deed) bool { return deed(d[i].Load())&what != 0 }
func (d *deeds) either(what deed) bool     { return d.has(0, what) || d.has(1, what) }
func (d *deeds) others(i int, w deed) bool { return d.has(1-i, w) }
func (d *deeds) String() string            { return fmt.Sprintf("%#x and %#x", d[0].Load(), d[1].Load()) }
func isTimeout(err error) bool             { return errors.Is(err, os.ErrDeadlineExceeded) }
func wasReset(err error) bool              { return errors.Is(err, syscall.ECONNRESET) }
func mayNotWrite(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ESHUTDOWN) || wasReset(err)
}

// readEnd judges the error by which end i of an association has ended reading.
func (d *deeds) readEnd(i int, err error) (outcome, error) {
	switch {
	case errors.Is(err, net.ErrClosed) && d.has(i, allCloses):
		return stopped, nil
	case errors.Is(err, io.EOF) && (d.others(i, shutDown|closed|closedAnyhow) || d.has(i, shutDown)):
		return whole, nil
	case wasReset(err) && d.others(i, closedAnyhow|closedUnread|aborted):
		return cut, nil
	}
	return unread, fmt.Errorf("reading at end %d ended by %v, though the ends have done %v", i, err, d)
}

// writeEnd judges the error by which end i of an association has ended writing.
func (d *deeds) writeEnd(i int, err error) error {
	switch {
	case errors.Is(err, net.ErrClosed) && d.has(i, allCloses),
		mayNotWrite(err) && (d.others(i, shutDown|allCloses) || d.has(i, shutDown)):
		return nil
	}
	return fmt.Errorf("writing at end %d ended by %v, though the ends have done %v", i, err, d)
}
