package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// runLimit is how long a command may take that is expected to end by itself.
const runLimit = 30 * time.Second

// Binary is the path of a built gateway.
type Binary string

// Build compiles the gateway into dir, with the tag it is shipped with.
func Build(dir string) (Binary, error) {
	path := filepath.Join(dir, "gateway")
	cmd := exec.Command("go", "build", "-tags", "nethttpomithttp2", "-o", path, "github.com/go-api-gateway-pro/gateway/cmd/gateway")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build the gateway: %w\n%s", err, out)
	}
	return Binary(path), nil
}

// Result is how a command ended.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Run runs the gateway to its end, with env added to a clean environment. It
// fails the test if that takes more than 30 seconds.
func (b Binary) Run(tb testing.TB, env []string, args ...string) Result {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), runLimit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, string(b), args...)
	cmd.Env = append(cleanEnv(), env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		tb.Fatalf("cannot run gateway %v to its end within %s: %v\n%s%s", args, runLimit, err, &stdout, &stderr)
	}
	return Result{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
}

// cleanEnv keeps variables of the developer's shell from changing what a
// configuration says.
func cleanEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
}
