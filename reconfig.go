package sctpnet

import "fmt"

// AddStreams asks the peer for more streams (SCTP_ADD_STREAMS, RFC 6525
// section 6.3.4), outgoing and incoming ones, up to 65535 of each direction. It
// does not wait. NumStreams has the outgoing ones at once, unless the peer denies
// them; over UDP it has them once the peer has agreed. It has the incoming ones
// once the peer has made them. A [StreamsAddedEvent] tells of both. A message
// written to a new stream is kept back until the peer has agreed, and so is what is
// written after it; over UDP there is no such stream before. A peer that uses this
// package agrees if its Config.MaxInStreams is 65535. From AddStreams on Linux also
// lets the peer add streams.
//
// While an earlier request, or the reset of a stream, is under way the error
// wraps EINPROGRESS. If the peer has no stream reconfiguration it wraps
// [errors.ErrUnsupported].
func (c *Conn) AddStreams(out, in int) error {
	return c.do("set", "AddStreams", nil, func() error {
		haveOut, haveIn := c.NumStreams()
		if err := firstError(checkAdd("outgoing", out, int(haveOut)), checkAdd("incoming", in, int(haveIn))); err != nil {
			return err
		}
		if out == 0 && in == 0 {
			return nil
		}
		if out != 0 && in != 0 {
			if err := checkCall(c.network, "Conn.AddStreams of both directions at once"); err != nil {
				return err
			}
		}
		return c.e.AddStreams(uint16(out), uint16(in))
	})
}

func checkAdd(what string, n, have int) error {
	if n < 0 || n > most16-have {
		return rangeError("number of "+what+" streams to add", n, fmt.Sprintf("0 to %d, as there are %d", most16-have, have))
	}
	return nil
}

// ResetAssoc asks the peer to begin all numbering anew, of streams and of
// chunks (SCTP_RESET_ASSOC, RFC 6525 section 6.3.3). Nothing is lost. While
// something written waits for its acknowledgement the error wraps EAGAIN, and while
// an earlier request is under way EINPROGRESS. ResetAssoc does not wait; an
// [AssocResetEvent] tells how it went.
func (c *Conn) ResetAssoc() error {
	return c.do("set", "ResetAssoc", nil, func() error { return c.e.ResetAssoc() })
}
