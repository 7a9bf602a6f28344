package kernel

// A forecast is what the next Read may find.
type forecast struct {
	count int // pieces: messages, or parts that the kernel hands over
	size  int // bytes of one
	run   int // pieces since a Read has waited
}

// saw learns of a piece of n bytes, which is cut if it was longer.
func (f *forecast) saw(n int, cut bool) {
	if cut {
		n *= 2
	}
	f.size = max(n, f.size-f.size/4) // of those that differ, the longer ones count
}

// found learns how many pieces there were, of those that were tried for.
func (f *forecast) found(n, tried int, waited bool) {
	f.run += n
	f.count = n
	if n == tried && (n > 1 || !waited) {
		f.count = min(2*n, maxBatch) // perhaps there were more
	}
}

// waits learns that there is none: next time there may be as many as last time.
func (f *forecast) waits() {
	f.count = min(f.run, maxBatch)
	f.run = 0
}
