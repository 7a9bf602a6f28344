package sctpnet

import (
	"reflect"
	"slices"
	"testing"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestEngineKnowsEveryField checks that each field of Config is one of the
// engine's, by name and with a type that it can be copied to, or is one that this
// package uses itself.
func TestEngineKnowsEveryField(t *testing.T) {
	own := []string{"AcceptStreams", "StreamMemory", "PPID", "OnEvent", "Auth", "KernelDefaults"}
	options := reflect.TypeFor[engine.Options]()
	var compare func(name string, from, to reflect.Type)
	compare = func(name string, from, to reflect.Type) {
		switch {
		case to.Kind() == reflect.Struct:
			for f := range from.Fields() {
				field, ok := to.FieldByName(f.Name)
				if !ok {
					t.Errorf("no engine has a field %s%s", name, f.Name)
					continue
				}
				compare(name+f.Name+".", f.Type, field.Type)
			}
		case !from.ConvertibleTo(to):
			t.Errorf("%s is a %v, and the engine's a %v", name, from, to)
		}
	}
	for f := range reflect.TypeFor[Config]().Fields() {
		field, ok := options.FieldByName(f.Name)
		switch {
		case slices.Contains(own, f.Name):
		case !ok:
			t.Errorf("no engine has a field %s", f.Name)
		default:
			compare(f.Name+".", f.Type, field.Type)
		}
	}
}
