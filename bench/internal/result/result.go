// Package result is what a run of the benchmarks keeps, and what is computed
// from it.
package result

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"
)

// A Run is one run of the benchmarks: what it ran on, and every sample.
type Run struct {
	Time    time.Time
	Seconds float64 // how long it took
	Kernel  string
	CPUs    int
	Go      string
	Commit  string            // of the library and the benchmarks
	Args    []string          // of the command
	Seed    uint64            // of the order of the sides
	Sysctls map[string]string // those that matter, as they were at the start

	// Settings are those that associations of sctpnet with a zero Config were
	// found to have, by network, and that the C program was given.
	Settings map[string]map[string]float64

	Pair string `json:"-"` // where the C program is, during the run

	Samples []Sample
}

// A Sample is what one side did in one round of a case.
type Sample struct {
	Case  string
	Param string `json:",omitempty"` // such as the size of a write
	Side  string
	Round int

	Values   map[string]float64 `json:",omitempty"` // by metric; its unit is in the name
	Counters map[string]int64   `json:",omitempty"` // of the kernel, both ends, how much they grew

	// Quantiles are those of a sample that has many values of its own, such
	// as latencies: 1001 of them, from the least to the greatest.
	Quantiles []float64 `json:",omitempty"`

	// Repeats is how often the sample was taken before, and dropped because
	// the machine had stood still.
	Repeats int `json:",omitempty"`

	Error string `json:",omitempty"`
}

// Load reads a run from a file.
func Load(file string) (*Run, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(Run)
	return r, json.Unmarshal(b, r)
}

// Save writes a run to a file, a sample per line.
func (r *Run) Save(file string) error {
	head := *r
	head.Samples = nil
	b, err := json.MarshalIndent(head, "", " ")
	if err != nil {
		return err
	}
	b = b[:len(b)-len("null\n}")]
	b = append(b, '[')
	for i, s := range r.Samples {
		line, err := json.Marshal(s)
		if err != nil {
			return err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, '\n'), line...)
	}
	return os.WriteFile(file, append(b, "\n]}\n"...), 0o644)
}

// A Key names what is compared: one case with one parameter.
type Key struct{ Case, Param string }

// Keys lists the comparisons of a run in their order.
func (r *Run) Keys() []Key {
	var keys []Key
	for _, s := range r.Samples {
		if k := (Key{s.Case, s.Param}); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// Sides lists the sides of a comparison, in alphabetical order: that of the
// samples is shuffled.
func (r *Run) Sides(k Key) []string {
	sides := map[string]bool{}
	for _, s := range r.Samples {
		if s.Case == k.Case && s.Param == k.Param {
			sides[s.Side] = true
		}
	}
	return slices.Sorted(maps.Keys(sides))
}

// Metrics lists the metrics of a side of a comparison.
func (r *Run) Metrics(k Key, side string) []string {
	metrics := map[string]bool{}
	for _, s := range r.samples(k, side) {
		for m := range s.Values {
			metrics[m] = true
		}
	}
	return slices.Sorted(maps.Keys(metrics))
}

func (r *Run) samples(k Key, side string) []Sample {
	var list []Sample
	for _, s := range r.Samples {
		if s.Case == k.Case && s.Param == k.Param && s.Side == side {
			list = append(list, s)
		}
	}
	return list
}

// Values returns a metric of a side, by round. Samples that failed have none.
func (r *Run) Values(k Key, side, metric string) map[int]float64 {
	values := map[int]float64{}
	for _, s := range r.samples(k, side) {
		if v, ok := s.Values[metric]; ok && s.Error == "" {
			values[s.Round] = v
		}
	}
	return values
}

// Ratios returns those of two sides in the same round: noise that a round
// shares is not in them.
func (r *Run) Ratios(k Key, side, to, metric string) map[int]float64 {
	ratios := map[int]float64{}
	b := r.Values(k, to, metric)
	for round, a := range r.Values(k, side, metric) {
		if b[round] != 0 {
			ratios[round] = a / b[round]
		}
	}
	return ratios
}

// Counters returns the median growth of each counter of a side.
func (r *Run) Counters(k Key, side string) map[string]float64 {
	names := map[string]bool{}
	samples := r.samples(k, side)
	for _, s := range samples {
		for name := range s.Counters {
			names[name] = true
		}
	}
	medians := map[string]float64{}
	for name := range names {
		var values []float64
		for _, s := range samples {
			values = append(values, float64(s.Counters[name]))
		}
		medians[name] = Quantile(values, 0.5)
	}
	return medians
}

// Errors lists what went wrong with a side.
func (r *Run) Errors(k Key, side string) []string {
	var errors []string
	for _, s := range r.samples(k, side) {
		if s.Error != "" {
			errors = append(errors, s.Error)
		}
	}
	return errors
}

// Pooled returns the samples' own values of a side, of all rounds together, as
// quantiles.
func (r *Run) Pooled(k Key, side string) []float64 {
	var all []float64
	for _, s := range r.samples(k, side) {
		all = append(all, s.Quantiles...)
	}
	slices.Sort(all)
	return all
}

// Quantiles returns the 1001 quantiles of values that a Sample keeps, to two
// decimals.
func Quantiles(values []float64) []float64 {
	sorted := slices.Sorted(slices.Values(values))
	q := make([]float64, 1001)
	for i := range q {
		q[i] = math.Round(quantile(sorted, float64(i)/1000)*100) / 100
	}
	return q
}

// Median is that of the values of a map, as Min and Max are.
func Median[K comparable](m map[K]float64) float64 { return Quantile(values(m), 0.5) }
func Min[K comparable](m map[K]float64) float64    { return Quantile(values(m), 0) }
func Max[K comparable](m map[K]float64) float64    { return Quantile(values(m), 1) }

func values[K comparable](m map[K]float64) []float64 {
	return slices.Collect(maps.Values(m))
}

// Quantile returns a quantile of values, between 0 and 1; of none, 0.
func Quantile(values []float64, q float64) float64 {
	return quantile(slices.SortedFunc(slices.Values(values), cmp.Compare[float64]), q)
}

// quantile interpolates between the two values next to it.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	x := q * float64(len(sorted)-1)
	i := int(x)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (x-float64(i))*(sorted[i+1]-sorted[i])
}

// Earlier ends the name of a side that an earlier commit's program ran.
const Earlier = " before"

// Compared reports whether the ratio of two sides says something: C is compared
// with C; Go with TCP, and with the same protocol in C; each with itself before.
func Compared(side, to string) bool {
	isSCTP := strings.HasPrefix(side, "sctpnet")
	switch {
	case side == to || strings.HasSuffix(side, Earlier):
		return false
	case strings.HasSuffix(to, Earlier):
		return to == side+Earlier
	case to == "c-tcp":
		return side == "tcp" || side == "c-sctp"
	case strings.HasPrefix(to, "sctpnet, ") && !strings.HasSuffix(to, "at a time"):
		return false
	}
	return isSCTP
}
