package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-api-gateway-pro/gateway/cluster/push"
	"github.com/go-api-gateway-pro/gateway/node/admin"
)

// pushPatience is more than a push can take.
const pushPatience = 30 * time.Second

// push gives a configuration to all members.
func (n *Node) push(ctx context.Context, text []byte) admin.PushAnswer {
	report := n.pusher.Push(ctx, text)
	return admin.PushAnswer{Report: report, Version: n.configStatus().Version}
}

// PushFile pushes the configuration in a file to the cluster, through the admin
// port of one node, and writes what came of it. The code is for the process to
// exit with: 0 committed, 1 refused or not even asked for, 2 decided but not
// confirmed by all, or unknown because the answer was lost.
func PushFile(w io.Writer, path, to, token string) (code int, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 1, fmt.Errorf("cannot read what to push: %w", err)
	}
	answer, code, err := askToPush(to, token, text)
	if err != nil {
		return code, err
	}
	printPush(w, answer)
	switch answer.Outcome {
	case push.Committed:
		return 0, nil
	case push.Refused:
		return 1, nil
	}
	return 2, nil
}

// askToPush returns the node's answer, or an error and the code for it.
func askToPush(to, token string, text []byte) (*admin.PushAnswer, int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), pushPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+to+"/cluster/config", bytes.NewReader(text))
	if err != nil {
		return nil, 1, fmt.Errorf("cannot push to %q: must be host:port", to)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, unanswered(err), fmt.Errorf("cannot push to %s: %w", to, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, push.MaxText))
	if err != nil {
		return nil, 2, fmt.Errorf("cannot read the answer, the outcome is unknown; see /cluster: %w", err)
	}
	if resp.Header.Get("Content-Type") != "application/json" {
		return nil, 1, fmt.Errorf("%s answered %s: %s", to, resp.Status, strings.TrimSpace(string(body)))
	}
	var answer admin.PushAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, 2, fmt.Errorf("cannot read the answer, the outcome is unknown; see /cluster: %w", err)
	}
	return &answer, 0, nil
}

// unanswered tells a node that was never reached, 1, from one whose answer was
// lost, 2.
func unanswered(err error) int {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return 1
	}
	return 2
}

// printPush writes a line on the outcome and one for each member and fault.
func printPush(w io.Writer, a *admin.PushAnswer) {
	switch a.Outcome {
	case push.Committed:
		fmt.Fprintf(w, "committed: all members run %s, in %d ms\n", a.Hash, a.TookMS)
	case push.Refused:
		fmt.Fprintf(w, "refused: nobody switched\n")
	default:
		fmt.Fprintf(w, "%s: %s is decided, but not confirmed by all; see /cluster\n", a.Outcome, a.Hash)
	}
	if a.Error != "" {
		fmt.Fprintln(w, a.Error)
	}
	width := 0
	for _, m := range a.Members {
		width = max(width, len(m.Name))
	}
	for _, m := range a.Members {
		line := fmt.Sprintf("  %-*s  %-11s", width, m.Name, m.Result)
		for i, fault := range strings.Split(m.Error, "\n") {
			if i > 0 {
				line = strings.Repeat(" ", len(line))
			}
			fmt.Fprintln(w, strings.TrimRight(line+"  "+fault, " "))
		}
	}
}
