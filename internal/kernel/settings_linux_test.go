package kernel

import (
	"reflect"
	"slices"
	"testing"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestRowsFollowFields compares the table with the fields: there is a row for
// each, in the same order.
func TestRowsFollowFields(t *testing.T) {
	var fields, names []string
	for f := range reflect.TypeFor[engine.Settings]().Fields() {
		if f.Name != "NoDelay" { // which is the other value of Nagle
			fields = append(fields, f.Name)
		}
	}
	for _, r := range rows {
		names = append(names, r.name)
	}
	if !slices.Equal(names, fields) {
		t.Errorf("rows %v, fields %v", names, fields)
	}
}
