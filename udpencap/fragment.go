package udpencap

import "sync"

// A fragment is the data of one chunk that has come.
type fragment struct {
	data []byte
	next *fragment // of the same run
}

// fragments have fragments by the room for data.
var fragments [len(rooms)]sync.Pool

var rooms = [...]int{64, 128, 256, 512, 1024, 1536, 2048, 4096, 8192, 1 << 14, 1 << 15, 1 << 16}

// newFragment returns a fragment with a copy of b.
func newFragment(b []byte) *fragment {
	i := roomFor(len(b))
	f, _ := fragments[i].Get().(*fragment)
	if f == nil {
		f = &fragment{data: make([]byte, 0, rooms[i])}
	}
	f.data = append(f.data, b...)
	return f
}

func roomFor(n int) int {
	for i, room := range rooms {
		if n <= room {
			return i
		}
	}
	panic("a chunk has no more than 65535 bytes")
}

// free gives a fragment back. Nothing refers to its data any more.
func (f *fragment) free() {
	f.next = nil
	f.data = f.data[:0]
	fragments[roomFor(cap(f.data))].Put(f)
}

var runs = sync.Pool{New: func() any { return new(run) }}

func newRun() *run { return runs.Get().(*run) }

// free gives a run back, without its fragments.
func (m *run) free() {
	*m = run{}
	runs.Put(m)
}
