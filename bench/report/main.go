// Report makes the plots and tables of docs/performance.md, docs/tuning.md and the
// README from kept results. From the folder bench, the command is
//
//	go run ./report
//
// It replaces what is between the lines <!-- begin NAME --> and <!-- end -->
// of a page by the table of that name.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/sctpnet/sctpnet/bench/internal/result"
)

func main() {
	docs := flag.String("docs", "../docs", "the `folder` of the pages and their plots")
	kept := flag.String("results", "results", "the `folder` of the results")
	flag.Parse()
	if err := report(*docs, *kept); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func report(docs, kept string) error {
	smp, err := result.Load(filepath.Join(kept, "smp.json"))
	if err != nil {
		return err
	}
	uml, err := result.Load(filepath.Join(kept, "uml.json"))
	if err != nil {
		return err
	}
	udp, err := result.Load(filepath.Join(kept, "udp.json"))
	if err != nil {
		return err
	}
	paths, err := result.Load(filepath.Join(kept, "udp-paths.json"))
	if err != nil {
		return err
	}
	if err := plots(smp, uml, docs); err != nil {
		return err
	}
	all := tables(smp, uml)
	maps.Copy(all, udpTables(udp, paths))
	for _, name := range []string{"performance.md", "tuning.md", "../README.md"} {
		page := filepath.Join(docs, name)
		text, err := os.ReadFile(page)
		if err != nil {
			return err
		}
		filled, err := fill(string(text), all)
		if err != nil {
			return err
		}
		if err := os.WriteFile(page, []byte(filled), 0o644); err != nil {
			return err
		}
	}
	return nil
}

var marked = regexp.MustCompile(`(?s)<!-- begin ([a-z0-9-]+) -->\n.*?<!-- end -->`)

// fill puts the tables between their marks.
func fill(text string, tables map[string]string) (string, error) {
	var missing []string
	text = marked.ReplaceAllStringFunc(text, func(block string) string {
		name := marked.FindStringSubmatch(block)[1]
		table, ok := tables[name]
		if !ok {
			missing = append(missing, name)
			return block
		}
		return "<!-- begin " + name + " -->\n\n" + table + "\n<!-- end -->"
	})
	if missing != nil {
		return "", fmt.Errorf("the page asks for unknown tables: %s", strings.Join(missing, ", "))
	}
	return text, nil
}
