package mux

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestWatchTellsOnce has the association end while a watch ends, and the next one begins
// at once. It is told of the end once.
func TestWatchTellsOnce(t *testing.T) {
	for range 20 {
		bubble(t, func(t *testing.T) {
			m, f := idleMux()
			m.mu.Lock()
			m.watchEnd(func() {})
			m.mu.Unlock()
			time.Sleep(watchAfter + 1)
			m.mu.Lock()
			f.end(io.EOF)
			<-m.watch.over // the engine has told
			told := 0
			m.stopWatch()
			m.watchEnd(func() { told++ })
			m.mu.Unlock()
			time.Sleep(3 * watchAfter)
			m.mu.Lock()
			defer m.mu.Unlock()
			m.stopWatch()
			if told != 1 {
				t.Errorf("told %d times", told)
			}
		})
	}
}

// TestWatchAfterShortOnes has a watch last that begins behind others, for which the timer
// was set. It is told of the end all the same, and the timer stops then.
func TestWatchAfterShortOnes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, f := idleMux()
		m.mu.Lock()
		defer m.mu.Unlock()
		pause := func(d time.Duration) {
			m.mu.Unlock()
			time.Sleep(d)
			m.mu.Lock()
		}
		for range 10 {
			m.watchEnd(func() { t.Error("told of the end of a time that is over") })
			pause(watchAfter / 3)
			m.stopWatch()
		}
		if n := f.endWaits(); n > 0 {
			t.Errorf("%d waits for the end in times of %v", n, watchAfter/3)
		}
		told := false
		m.watchEnd(func() { told = true })
		pause(2 * watchAfter)
		f.end(io.EOF)
		pause(time.Millisecond)
		if !told || !m.ended {
			t.Errorf("told of the end: %v; the Mux knows of it: %v", told, m.ended)
		}
		m.stopWatch()
		pause(2 * watchAfter)
		if m.watch.isSet || m.watch.cancel != nil {
			t.Errorf("the timer is set: %v; the engine is waited for: %v", m.watch.isSet, m.watch.cancel != nil)
		}
	})
}

// TestWaitsAndTheEnd has messages and events arrive, the last of these the end. OnEvent
// and the readers take their time. All is told and read in order, and once.
func TestWaitsAndTheEnd(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				slow := func(most time.Duration) { time.Sleep(rand.N(most)) }
				var told []uint32
				ends, telling := 0, 0
				f, _ := newLink()
				m := f.start(t, Config{Limits: Limits{StreamMemory: 300 << 10}, OnEvent: func(e engine.Event) {
					if telling++; telling > 1 {
						t.Error("OnEvent runs twice at a time")
					}
					slow(3 * watchAfter)
					telling--
					switch e := e.(type) {
					case engine.AdaptationEvent:
						told = append(told, e.Indication)
					case engine.AssocEvent:
						ends++
					}
				}})
				var want [2]strings.Builder
				var all []arrival
				events := 0
				for range 60 {
					if rnd.IntN(4) == 0 {
						events++
						all = append(all, event(engine.AdaptationEvent{Indication: uint32(events)}))
						continue
					}
					i := rnd.IntN(2)
					data := strings.Repeat(string(rune('a'+rnd.IntN(26))), 1+rnd.IntN(40_000))
					want[i].WriteString(data)
					all = append(all, message(uint16(i), data))
				}
				if rnd.IntN(2) == 0 {
					all = append(all, event(engine.AssocEvent{Change: engine.AssocEnded}))
				}
				done := make(chan struct{})
				for i := range want {
					s := claim(t, m, uint16(i))
					go func() {
						defer func() { done <- struct{}{} }()
						var got strings.Builder
						p := make([]byte, 50_000)
						for {
							n, _, err := s.Recv(p, Filled)
							got.Write(p[:n])
							if err != nil {
								if err != io.EOF || got.String() != want[i].String() {
									t.Errorf("stream %d: %d bytes, %v; want %d and EOF", i, got.Len(), err, want[i].Len())
								}
								return
							}
							slow(2 * watchAfter)
						}
					}()
				}
				for len(all) > 0 {
					n := min(len(all), 1+rnd.IntN(12))
					f.inject(all[:n]...)
					all = all[n:]
					slow(2 * watchAfter)
				}
				f.end(io.EOF)
				<-done
				<-done
				time.Sleep(time.Minute)
				m.mu.Lock() // which OnEvent was called before
				defer m.mu.Unlock()
				if ends != 1 || len(told) != events {
					t.Errorf("OnEvent was told of %d ends and %d of %d events", ends, len(told), events)
				}
				for i, n := range told {
					if n != uint32(i+1) {
						t.Fatalf("event %d was told in place %d", n, i+1)
					}
				}
			})
		})
	}
}
