package kernel

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// cookiePatience is how long each attempt of a dial waits for the answer to its cookie.
// By default a COOKIE ECHO is sent again after 1 s, so the first attempt leaves 1.5 s for
// the second one's way there and back. Linux 7.2 never answers a COOKIE ECHO again once
// the association has been accepted: each lost COOKIE ACK costs such an attempt, and the
// peer sees an association that is aborted.
var cookiePatience = [...]time.Duration{2500 * time.Millisecond, 5 * time.Second, 8 * time.Second, 8 * time.Second, 8 * time.Second}

var errCookieIgnored = errors.New("the peer does not answer COOKIE ECHO")

// waitPatiently interrupts wait now and then, to see whether the handshake has
// got stuck with a cookie.
func (sk *socket) waitPatiently(ctx context.Context, wait func() error, patience time.Duration) error {
	for {
		over := make(chan struct{})
		timer := time.AfterFunc(patience, func() {
			sk.file.SetWriteDeadline(aLongTimeAgo)
			close(over)
		})
		err := wait()
		if timer.Stop() {
			return err
		}
		<-over
		switch {
		case ctx.Err() != nil:
			return err
		case err == nil:
			sk.file.SetWriteDeadline(time.Time{})
			return nil
		case sk.isCookieEchoed():
			return errCookieIgnored
		}
		sk.file.SetWriteDeadline(time.Time{})
		if ctx.Err() != nil { // which may have set it just before
			return err
		}
	}
}

// isCookieEchoed reports whether a handshake waits for the answer to a cookie. No
// socket option tells of an association before it is established, but the list of
// all does, which many dials to silent peers may want at the same time.
func (sk *socket) isCookieEchoed() bool {
	var st unix.Stat_t
	if sk.control(func(fd int) error { return unix.Fstat(fd, &st) }) != nil {
		return false
	}
	e := &cookieEchoed
	e.Lock()
	defer e.Unlock()
	if now := time.Now(); now.Sub(e.at) > cookieListLife {
		e.at, e.inodes = now, listCookieEchoed()
	}
	return e.inodes[strconv.FormatUint(st.Ino, 10)]
}

// cookieEchoed is what listCookieEchoed returned last, and when that was.
var cookieEchoed struct {
	sync.Mutex
	at     time.Time
	inodes map[string]bool
}

const cookieListLife = 50 * time.Millisecond

// listCookieEchoed returns the inodes of the sockets that wait for the answer to
// a cookie.
func listCookieEchoed() map[string]bool {
	list, err := os.ReadFile("/proc/thread-self/net/sctp/assocs")
	if err != nil {
		return nil
	}
	inodes := make(map[string]bool)
	for line := range bytes.Lines(list) {
		const stateColumn, inodeColumn, echoed = 4, 10, "2"
		if f := bytes.Fields(line); len(f) > inodeColumn && string(f[stateColumn]) == echoed {
			inodes[string(f[inodeColumn])] = true
		}
	}
	return inodes
}
