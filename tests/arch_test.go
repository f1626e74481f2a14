// Package tests holds what is checked about the whole tree.
package tests

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/go-api-gateway-pro/gateway"

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath, Dir string
	GoFiles         []string
	Imports         []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	// With the profile that guides the compiler each package has a second name.
	cmd := exec.CommandContext(t.Context(), "go", "list", "-pgo=off", "-json=ImportPath,Dir,GoFiles,Imports", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot list packages: %v", err)
	}
	var packages []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 8 {
		t.Fatalf("go list names only %d packages", len(packages))
	}
	return packages
}

// top returns the top-level folder of a package of ours, "" for others.
func top(importPath string) string {
	rest, ours := strings.CutPrefix(importPath, module+"/")
	if !ours {
		return ""
	}
	folder, _, _ := strings.Cut(rest, "/")
	return folder
}

// The import graph is a star: cmd → node → the five, and the five know nobody.
func TestImportStar(t *testing.T) {
	allowed := map[string][]string{
		"cmd":       {"cmd", "node", "tests"}, // cmd/demo and cmd/echo run the test upstream
		"node":      {"node", "cluster", "limiter", "proxy", "auth", "telemetry"},
		"cluster":   {"cluster"},
		"limiter":   {"limiter"},
		"proxy":     {"proxy"},
		"auth":      {"auth"},
		"telemetry": {"telemetry"},
		"tests":     {"tests", "node"},
	}
	for _, p := range listPackages(t) {
		from := top(p.ImportPath)
		if allowed[from] == nil {
			t.Errorf("%s stands outside the layout", p.ImportPath)
		}
		for _, imported := range p.Imports {
			if to := top(imported); to != "" && !slices.Contains(allowed[from], to) {
				t.Errorf("%s must not import %s", p.ImportPath, imported)
			}
		}
	}
}

// Each heavy library has one owner, so that its traps are met in one place. The
// accuracy harness is its own client, upstream and rival of the gateway, and shares
// no code with it; the floor is what a library alone costs, and the naive gateway what
// all of them do without ours.
func TestOneOwnerPerLibrary(t *testing.T) {
	const (
		judge   = module + "/tests/cluster/accuracy"
		harness = module + "/tests/harness" // it asks the redis-server it runs
		floor   = module + "/tests/load/peers/loop"
		naive   = module + "/tests/load/peers/naive"
	)
	owners := map[string][]string{
		"github.com/gofiber/fiber":                                {"node", naive},
		"github.com/valyala/fasthttp":                             {"proxy", "node", judge, floor, naive},
		"github.com/hashicorp/memberlist":                         {"cluster"},
		"github.com/redis/go-redis":                               {"limiter", judge, harness, naive},
		"github.com/go-redis/redis_rate":                          {"limiter", judge, naive},
		"github.com/golang-jwt/jwt":                               {"auth", naive},
		"github.com/MicahParks/jwkset":                            {"auth"},
		"go.opentelemetry.io/otel/trace":                          {"telemetry", "proxy"},
		"go.opentelemetry.io":                                     {"telemetry", "proxy"},
		"go.yaml.in/yaml":                                         {"node"},
		"github.com/alicebob/miniredis":                           {"cmd"},
		"github.com/testcontainers":                               {"tests"},
		"text/template":                                           {},
		"html/template":                                           {},
		"google.golang.org/grpc":                                  {},
		"github.com/prometheus/client_golang/prometheus/promhttp": {},
	}
	for _, p := range listPackages(t) {
		for _, imported := range p.Imports {
			for library, who := range owners {
				ours := imported == library || strings.HasPrefix(imported, library+"/")
				if ours && !slices.Contains(who, top(p.ImportPath)) && !slices.Contains(who, p.ImportPath) {
					t.Errorf("%s must not import %s, which belongs to %v", p.ImportPath, imported, who)
				}
			}
		}
	}
}

// otel belongs to telemetry; proxy may use its trace API and the attributes that
// spans carry, nothing else.
func TestProxyUsesTheTraceAPIOnly(t *testing.T) {
	api := []string{"go.opentelemetry.io/otel/trace", "go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/codes", "go.opentelemetry.io/otel/trace/noop"}
	for _, p := range listPackages(t) {
		for _, imported := range p.Imports {
			if top(p.ImportPath) == "proxy" && strings.HasPrefix(imported, "go.opentelemetry.io/") && !slices.Contains(api, imported) {
				t.Errorf("%s must not import %s", p.ImportPath, imported)
			}
		}
	}
}

// shippedTags are what the gateway is built with wherever it is shipped.
const shippedTags = "nethttpomithttp2"

func TestTheSameIsShippedEverywhere(t *testing.T) {
	for _, name := range []string{"../Makefile", "../deploy/Dockerfile"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), shippedTags) {
			t.Errorf("%s does not build with the tag %s", name, shippedTags)
		}
	}
}

// The gateway's binary stays small. What costs most is invisible in the imports:
// code that makes the linker keep every method (text/template in use costs 12 MB).
func TestBinaryIsSmall(t *testing.T) {
	const limit = 19_900_000
	binary := filepath.Join(t.TempDir(), "gateway")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-tags", shippedTags, "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/gateway")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > limit {
		t.Errorf("the stripped binary has %d bytes, want at most %d", info.Size(), limit)
	}
}

// What a test needs must not reach the binary.
func TestBinaryLinksNoTestCode(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-pgo=off", "-deps", "./cmd/gateway")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	linked := strings.Fields(string(out))
	if !slices.Contains(linked, module+"/node") {
		t.Fatal("cmd/gateway does not link node")
	}
	for _, unwanted := range []string{"google.golang.org/grpc", "github.com/alicebob/miniredis/v2", "github.com/getkin/kin-openapi/openapi3", "github.com/creack/pty", "github.com/tsenart/vegeta/v12/lib", module + "/tests/echo"} {
		if slices.Contains(linked, unwanted) {
			t.Errorf("cmd/gateway links %s", unwanted)
		}
	}
}

// Every package explains itself exactly once.
func TestPackageComments(t *testing.T) {
	for _, p := range listPackages(t) {
		comments := 0
		for _, file := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if parsed.Doc != nil {
				comments++
			}
		}
		if len(p.GoFiles) > 0 && comments != 1 {
			t.Errorf("%s has %d package comments, want 1", p.ImportPath, comments)
		}
	}
}

// Package main of a command is one file, so that `go run cmd/x/main.go` works.
func TestGatewayIsOneFile(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.ImportPath == module+"/cmd/gateway" && !slices.Equal(p.GoFiles, []string{"main.go"}) {
			t.Errorf("%s has %v, want main.go alone", p.ImportPath, p.GoFiles)
		}
	}
}

// ARCHITECTURE.md names the tests that hold its invariants; they must exist, and
// the document must stay short enough to be read.
func TestArchitectureNamesRealTests(t *testing.T) {
	text, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines > 240 {
		t.Errorf("ARCHITECTURE.md has %d lines, want at most 240", lines)
	}
	var code strings.Builder
	err = filepath.WalkDir("..", func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			source, readErr := os.ReadFile(path)
			code.Write(source)
			return readErr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(string(text), -1)
	if len(names) < 20 {
		t.Errorf("ARCHITECTURE.md names only %d tests", len(names))
	}
	for _, name := range names {
		if !strings.Contains(code.String(), "func "+name[1]+"(") {
			t.Errorf("ARCHITECTURE.md names %s, which does not exist", name[1])
		}
	}
}
