package sctpnet

import (
	"cmp"
	"slices"
)

// An order is what becomes of the order of an inbox's letters. Linux holds small
// messages back while a message of their association comes in pieces. When that is
// complete, it hands over the larger ones that it has put together first, though they
// may have been sent later on the same streams. All of them are in its queue by then, so
// the order is right again when the queue was empty.
type order struct {
	isLost bool
	from   int // the first letter that may be at the wrong place
	bytes  int // that the inbox had before it
}

// mostUnsorted is how many bytes of letters are received before they are sorted even if
// there are more: about as many as can be in the system's queue.
const mostUnsorted = 2 * bufferSize

// sort has the messages of each stream come in the order in which they were sent.
func (in *inbox) sort() {
	o := &in.order
	if !o.isLost {
		return
	}
	type stream struct {
		peer   *assoc
		number uint16
	}
	places := make(map[stream][]int)
	for i, l := range in.letters[o.from:] {
		if l.from != nil && !l.msg.Unordered {
			s := stream{l.from, l.msg.Stream}
			places[s] = append(places[s], o.from+i)
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
	o.from = len(in.letters)
}
