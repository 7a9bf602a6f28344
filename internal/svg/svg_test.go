package svg

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// parse reads XML to its end.
func parse(content []byte) error {
	d := xml.NewDecoder(bytes.NewReader(content))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestWellFormed(t *testing.T) {
	d := New(100, 50, `a < b & "c"`)
	d.Text("small end", 1.25, 2, "<text> & more")
	d.Arrow(Point{1, 2}, Point{1, 20})
	d.Circle("s0", Point{1, 2}, 3)
	if err := parse(d.Bytes()); err != nil {
		t.Errorf("%v in\n%s", err, d.Bytes())
	}
	for _, want := range []string{"&lt;text&gt; &amp; more", `x="1.2"`, `x="0"`, "prefers-color-scheme: dark"} {
		if !strings.Contains(string(d.Bytes()), want) {
			t.Errorf("no %s in\n%s", want, d.Bytes())
		}
	}
}

// TestDocuments reads the pictures of the documents.
func TestDocuments(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.svg")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := parse(content); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if !bytes.Contains(content, []byte("prefers-color-scheme: dark")) {
			t.Errorf("%s has no colors for dark pages", file)
		}
	}
}
