package fifo

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestQueueIsLikeSlice does the same to a queue and to a slice. The queue's array stays
// in proportion, and keeps no value that was removed.
func TestQueueIsLikeSlice(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var q Queue[*int]
		var want []*int
		grows := r.IntN(10) // of 10 pushes and removals
		for step := range 2000 {
			if step%300 == 0 {
				grows = r.IntN(10)
			}
			switch n := r.IntN(100); {
			case n < 10*grows:
				v := new(int)
				*v = step
				q.Push(v)
				want = append(want, v)
			case len(want) == 0:
			case n == 99:
				odd := r.IntN(2)
				q.DeleteFunc(func(v **int) bool { return **v%2 == odd })
				want = slices.DeleteFunc(want, func(v *int) bool { return *v%2 == odd })
			case n%2 == 0:
				if got := q.Pop(); got != want[0] {
					t.Fatalf("seed %d, step %d: Pop returned %v, want %v", seed, step, got, want[0])
				}
				want = want[1:]
			default:
				i := r.IntN(len(want))
				if got := q.Remove(i); got != want[i] {
					t.Fatalf("seed %d, step %d: Remove(%d) returned %v, want %v", seed, step, i, got, want[i])
				}
				want = slices.Delete(slices.Clone(want), i, i+1)
			}
			if !slices.Equal(q.All(), want) || q.Len() != len(want) {
				t.Fatalf("seed %d, step %d: the queue has %v, want %v", seed, step, q.All(), want)
			}
			if most := max(fewValues+fewValues/4+4, 4*len(want)+4); q.Cap() > most {
				t.Fatalf("seed %d, step %d: the array has room for %d values, want at most %d for %d", seed, step, q.Cap(), most, len(want))
			}
			for i, v := range q.array[:cap(q.array)] {
				if (i < q.head || i >= len(q.array)) && v != nil {
					t.Fatalf("seed %d, step %d: place %d keeps a value that was removed", seed, step, i)
				}
			}
		}
	}
}

// TestQueueUsesItsArrayAgain has values come and go while a few, or many, are there.
func TestQueueUsesItsArrayAgain(t *testing.T) {
	for _, n := range []int{0, 1, 10, 1000} {
		var q Queue[int]
		for i := range n {
			q.Push(i)
		}
		step := func() {
			q.Push(1)
			q.Pop()
		}
		for range 4 * n {
			step() // so that the array has its size
		}
		if allocs := testing.AllocsPerRun(10*n+100, step); allocs != 0 {
			t.Errorf("with %d values, a Push and a Pop allocate %v times, want none", n, allocs)
		}
	}
}
