// Package fifo has a queue whose memory follows what is in it.
package fifo

// A Queue holds values in the order in which they were pushed. It uses its array
// again, unless that is much larger than what is in it. The zero Queue is empty.
type Queue[T any] struct {
	array []T
	head  int // of array: the first value that is in the queue
}

// fewValues is how large an array is that an almost empty queue may keep.
const fewValues = 32

// All returns the values, first the one that was pushed first. They may be changed in
// place. The slice is valid until the next call of Push, Remove, Pop or DeleteFunc.
func (q *Queue[T]) All() []T { return q.array[q.head:] }

// Len returns how many values there are.
func (q *Queue[T]) Len() int { return len(q.array) - q.head }

// Cap returns how many values the array has room for.
func (q *Queue[T]) Cap() int { return cap(q.array) }

// Push adds a value after all others.
func (q *Queue[T]) Push(v T) {
	if len(q.array) == cap(q.array) {
		if q.head >= max(1, len(q.array)/4) { // seldom enough
			n := copy(q.array, q.All())
			clear(q.array[n:])
			q.array, q.head = q.array[:n], 0
		} else {
			q.resize()
		}
	}
	q.array = append(q.array, v)
}

// Pop removes the first value and returns it.
func (q *Queue[T]) Pop() T { return q.Remove(0) }

// Remove removes value i of All and returns it.
func (q *Queue[T]) Remove(i int) T {
	i += q.head
	v := q.array[i]
	copy(q.array[q.head+1:i+1], q.array[q.head:i])
	clear(q.array[q.head : q.head+1])
	q.head++
	q.shrink()
	return v
}

// DeleteFunc removes the values for which del returns true. It moves the others once,
// however many are removed.
func (q *Queue[T]) DeleteFunc(del func(v *T) bool) {
	kept := q.array[:q.head]
	for i := range q.All() {
		if v := &q.All()[i]; !del(v) {
			kept = append(kept, *v)
		}
	}
	clear(q.array[len(kept):])
	q.array = kept
	q.shrink()
}

// resize makes another array, with a little room for more.
func (q *Queue[T]) resize() {
	all := q.All()
	q.array = append(make([]T, 0, len(all)+len(all)/4+4), all...)
	q.head = 0
}

// shrink gives up memory that the values left do not need.
func (q *Queue[T]) shrink() {
	switch n := q.Len(); {
	case cap(q.array) > fewValues && n <= cap(q.array)/4:
		q.resize()
	case n == 0:
		q.array, q.head = q.array[:0], 0
	}
}
