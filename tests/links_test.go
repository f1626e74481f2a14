package tests

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	mdLink   = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	mdCode   = regexp.MustCompile("`[^`\n]*`")
	mdFences = regexp.MustCompile("(?ms)^```.*?^```[^\n]*$")
	mdHead   = regexp.MustCompile(`(?m)^#{1,6} +(.+)$`)
)

// pages returns the text of every Markdown file by its path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "bin" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		out[strings.TrimPrefix(filepath.ToSlash(path), "../")] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 8 {
		t.Fatalf("found %d Markdown files only", len(out))
	}
	return out
}

// anchors are the names under which the headings of a page can be linked to.
func anchors(text string) map[string]bool {
	out := map[string]bool{}
	for _, m := range mdHead.FindAllStringSubmatch(mdFences.ReplaceAllString(text, ""), -1) {
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		out[slug] = true
	}
	return out
}

// Every relative link in the documentation leads to a file, and to a heading in it
// if it says so.
func TestLinksLead(t *testing.T) {
	all := pages(t)
	count := 0
	for page, text := range all {
		text = mdCode.ReplaceAllString(mdFences.ReplaceAllString(text, ""), "``")
		for _, m := range mdLink.FindAllStringSubmatch(text, -1) {
			link, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			count++
			target := page
			if link != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(page), link))
			}
			if _, err := os.Stat(filepath.Join("..", target)); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
				continue
			}
			if anchor != "" && !anchors(all[target])[anchor] {
				t.Errorf("%s links to %s, but %s has no such heading", page, m[1], target)
			}
		}
	}
	if count < 30 {
		t.Errorf("found %d links only", count)
	}
}
