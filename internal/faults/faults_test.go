package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestReadBytes checks that wrong bytes are found, whatever is wrong with them.
func TestReadBytes(t *testing.T) {
	const n = 200_000
	good := content(1, n)
	bad := bytes.Clone(good)
	bad[n-1] ^= 1
	for name, tt := range map[string]struct {
		in io.Reader
		ok bool
	}{
		"whole":      {bytes.NewReader(good), true},
		"changed":    {bytes.NewReader(bad), false},
		"short":      {bytes.NewReader(good[:n-1]), false},
		"doubled":    {io.MultiReader(bytes.NewReader(good[:1000]), bytes.NewReader(good)), false},
		"of another": {bytes.NewReader(content(2, n)), false},
	} {
		t.Run(name, func(t *testing.T) {
			quarters := 0
			f := &flow{seed: 1, n: n, done: new(atomic.Int64), at: func() { quarters++ }}
			err := f.readBytes(tt.in)
			if (err == nil) != tt.ok {
				t.Errorf("err = %v", err)
			}
			if tt.ok && quarters != 1 {
				t.Errorf("a quarter was reported %d times", quarters)
			}
		})
	}
}

// TestMessages checks that messages differ, and that none is empty.
func TestMessages(t *testing.T) {
	random := content(1, randomBytes)
	seen := make(map[string]bool)
	for stream := range uint16(streams) {
		for i := range full.messages / streams {
			m := message(random, stream+1, i)
			if len(m) == 0 || len(m) > 1000 {
				t.Fatalf("message %d of stream %d has %d bytes", i, stream+1, len(m))
			}
			if len(m) > 8 && seen[string(m)] {
				t.Fatalf("message %d of stream %d equals another one", i, stream+1)
			}
			seen[string(m)] = true
		}
	}
}

// TestJudge checks that expected failures and others are told apart.
func TestJudge(t *testing.T) {
	reasons := map[engine]string{overUDP: "a reason"}
	late := fmt.Errorf("%w: because", errTooLong)
	for _, tt := range []struct {
		row    row
		struck bool
		err    error
		want   verdict
		ok     bool
	}{
		{row{}, true, nil, passed, true},
		{row{}, true, io.EOF, failure, false},
		{row{}, true, late, failure, false},
		{row{fails: reasons}, true, io.EOF, fails, true},
		{row{fails: reasons}, false, io.EOF, failure, false},
		{row{fails: reasons}, true, nil, surprise, false},
		{row{slow: reasons}, true, nil, passed, true},
		{row{slow: reasons}, true, late, tooSlow, true},
		{row{slow: reasons}, true, io.EOF, failure, false},
	} {
		o := outcome{trial: &trial{row: &tt.row, engine: overUDP, struck: tt.struck}, err: tt.err}
		if v := o.verdict(); v != tt.want || v.expected() != tt.ok {
			t.Errorf("%+v, %v: %q, expected %v", tt.row, tt.err, v, v.expected())
		}
		if got := judge([]outcome{o}); got != tt.ok {
			t.Errorf("%+v, %v: judged %v, want %v", tt.row, tt.err, got, tt.ok)
		}
	}
}

// TestExpectations checks that the table lists each row that is expected to fail,
// also if it passed or has not run.
func TestExpectations(t *testing.T) {
	var outcomes []outcome
	for _, tt := range []struct {
		name string
		err  error
	}{{"passes", nil}, {"fails", io.EOF}, {"takes too long", errTooLong}} {
		r := &row{name: tt.name, fails: map[engine]string{overUDP: "a reason"}, slow: map[engine]string{kernel: "another reason"}}
		for _, e := range engines {
			outcomes = append(outcomes, outcome{trial: &trial{row: r, engine: e}, err: tt.err})
		}
	}
	table := markdown(outcomes)
	for _, want := range []string{
		"- A reason. Rows: passes (UDP); fails (UDP); takes too long (UDP).\n",
		"- Another reason. Rows: passes (kernel); fails (kernel); takes too long (kernel).\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
}

// TestFill checks that a table replaces the one in the page.
func TestFill(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	const before = "a\n<!-- begin faults: by a command -->\nold\n<!-- end -->\nb\n<!-- begin other -->\nkept\n<!-- end -->\n"
	if err := os.WriteFile(page, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"first\n", "second\n"} {
		if err := fill(page, table); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if want := strings.Replace(before, "old", "\nsecond\n", 1); string(got) != want || err != nil {
		t.Errorf("the page is %q, %v; want %q", got, err, want)
	}
	if err := fill(filepath.Join(t.TempDir(), "none"), "table"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no page: err = %v", err)
	}
	if err := os.WriteFile(page, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := fill(page, "table"); err == nil {
		t.Error("fill accepts a page without marks")
	}
}

// TestChoose checks that a pattern chooses rows by name and engine.
func TestChoose(t *testing.T) {
	all, err := choose("")
	if want := len(engines) * len(rows); err != nil || len(all) != want {
		t.Fatalf("%d trials, %v; want %d", len(all), err, want)
	}
	if one, err := choose("^1 Mbit/s UDP$"); err != nil || len(one) != 1 || one[0].engine != overUDP {
		t.Errorf("%v, %v", one, err)
	}
	for _, bad := range []string{"(", "no such row"} {
		if _, err := choose(bad); err == nil {
			t.Errorf("choose accepts %q", bad)
		}
	}
	seen := make(map[string]bool)
	for _, r := range rows {
		if seen[r.name] {
			t.Errorf("two rows have the name %q", r.name)
		}
		seen[r.name] = true
	}
}
