package sctpnet

import (
	"cmp"
	"slices"
)

// Linux holds small messages back while a message of their association comes in pieces.
// When that is complete, it hands over the larger ones that it has put together first,
// though they may have been sent later on the same streams. All of them are in its queue
// by then, so the order is right again when the queue was empty.

// sort has the messages of each stream come in the order in which they were sent.
func (in *inbox) sort() {
	if !in.isUnsorted {
		return
	}
	type stream struct {
		from   *assoc
		life   int // whose numbers are its own
		number uint16
	}
	places := make(map[stream][]int)
	for i, l := range in.letters {
		if l.from != nil && !l.msg.Unordered {
			s := stream{l.from, l.life, l.msg.Stream}
			places[s] = append(places[s], i)
		}
	}
	for _, at := range places {
		sorted := make([]letter, len(at))
		for i, place := range at {
			sorted[i] = in.letters[place]
		}
		slices.SortStableFunc(sorted, func(a, b letter) int { return cmp.Compare(int32(a.msg.TSN-b.msg.TSN), 0) })
		for i, place := range at {
			in.letters[place] = sorted[i]
		}
	}
}
