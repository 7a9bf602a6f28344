package sctpnet

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestAssembler has pieces of messages come in every way.
func TestAssembler(t *testing.T) {
	const max = 200 << 10
	full := strings.Repeat("f", 64<<10)
	timeout := os.ErrDeadlineExceeded
	piece := func(stream, ssn uint16, more bool) engine.Message {
		return engine.Message{Stream: stream, SSN: ssn, More: more, PPID: uint32(stream)}
	}
	unordered := func(more bool) engine.Message { return engine.Message{Unordered: true, More: more} }
	type step struct {
		data string
		msg  engine.Message
		err  error
	}
	for name, tt := range map[string]struct {
		interleaves bool
		come        []step
		want        []string // or an error's text
	}{
		"one piece":            {false, []step{{"a", piece(0, 0, false), nil}, {"b", piece(0, 1, false), nil}}, []string{"a", "b"}},
		"pieces":               {false, []step{{full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {"x", piece(1, 0, false), nil}}, []string{full + full + "x"}},
		"as large":             {false, []step{{full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full[:8<<10], piece(1, 0, false), nil}}, []string{full + full + full + full[:8<<10]}},
		"too large":            {false, []step{{full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {"x", piece(1, 0, false), nil}, {"y", piece(1, 1, false), nil}}, []string{"message too long", "y"}},
		"too large at its end": {false, []step{{full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full, piece(1, 0, false), nil}, {"y", piece(1, 1, false), nil}}, []string{"message too long", "y"}},
		"deadline":             {false, []step{{"a", piece(1, 0, true), nil}, {"", engine.Message{}, timeout}, {"b", piece(1, 0, false), nil}}, []string{"i/o timeout", "ab"}},
		"deadline, unordered":  {false, []step{{"a", unordered(true), nil}, {"", engine.Message{}, timeout}, {"b", unordered(false), nil}}, []string{"i/o timeout", "ab"}},
		"deadline in what is too large": {false, []step{{full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {"", engine.Message{}, timeout}, {full, piece(1, 0, false), nil}, {"y", piece(1, 1, false), nil}},
			[]string{"message too long", "i/o timeout", "y"}},
		"given up":                 {false, []step{{"a", piece(1, 0, true), nil}, {"b", piece(1, 1, false), nil}}, []string{"b"}},
		"given up, unordered":      {false, []step{{"a", unordered(true), nil}, {"b", unordered(false), nil}}, []string{"b"}},
		"given up, another stream": {false, []step{{"a", piece(1, 0, true), nil}, {"b", piece(2, 0, false), nil}, {"c", piece(1, 0, false), nil}}, []string{"b", "c"}},
		"interleaved": {true, []step{{"a", piece(1, 0, true), nil}, {"b", piece(2, 0, true), nil}, {"c", unordered(true), nil}, {"A", piece(1, 0, false), nil}, {"C", unordered(false), nil}, {"B", piece(2, 0, false), nil}},
			[]string{"aA", "cC", "bB"}},
	} {
		t.Run(name, func(t *testing.T) {
			var a assembler
			recv := func(p []byte) (int, engine.Message, error) {
				s := tt.come[0]
				tt.come = tt.come[1:]
				return copy(p, s.data), s.msg, s.err
			}
			for _, want := range tt.want {
				b, msg, err := a.read(max, func() bool { return tt.interleaves }, recv)
				switch {
				case err != nil && !strings.Contains(err.Error(), want):
					t.Errorf("error %v, want %.20q", err, want)
				case err == nil && string(b) != want:
					t.Errorf("read %.20q, of %d bytes, want %.20q of %d", b, len(b), want, len(want))
				case err == nil && (msg.More || msg.PPID != uint32(msg.Stream)):
					t.Errorf("read %+v", msg)
				}
			}
			if len(tt.come) > 0 || len(a.begun) > 0 {
				t.Errorf("%d pieces and %d messages are left", len(tt.come), len(a.begun))
			}
		})
	}
}

// TestReadMessageMax has bad limits.
func TestReadMessageMax(t *testing.T) {
	var a assembler
	for _, max := range []int{0, -1} {
		if _, _, err := a.read(max, nil, nil); !errors.Is(err, syscall.EINVAL) || !bytes.Contains([]byte(err.Error()), []byte("1 and more")) {
			t.Errorf("max %d: %v", max, err)
		}
	}
}
