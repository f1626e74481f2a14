package push

import (
	"encoding/json"
	"fmt"
)

// MaxText is the largest configuration that can be pushed, in bytes.
const MaxText = 4 << 20

// maxMessage leaves room for the base64 of a text and the fields around it.
const maxMessage = MaxText/3*4 + 64<<10

// protocol is the version of what members say to each other. A member refuses
// one it does not speak, by name.
const protocol = 1

type kind string

const (
	kindPrepare  kind = "prepare"
	kindAbort    kind = "abort"
	kindDecision kind = "decision"
	kindAnswer   kind = "answer"
)

// message is what members say to each other. The first four fields keep name
// and meaning in every version, so that a version can always be refused.
type message struct {
	Protocol int    `json:"protocol"`
	Kind     kind   `json:"kind"`
	Push     string `json:"push"`
	From     string `json:"from"`

	Base   string `json:"base,omitempty"`   // prepare
	Text   []byte `json:"text,omitempty"`   // prepare
	Row    []byte `json:"row,omitempty"`    // decision: the coordinator's row
	Result Result `json:"result,omitempty"` // answer
	Hash   string `json:"hash,omitempty"`   // answer: of the prepared configuration
	Error  string `json:"error,omitempty"`  // answer
}

func (m message) encode() []byte {
	out, err := json.Marshal(m)
	if err != nil {
		panic("BUG: message does not encode: " + err.Error())
	}
	return out
}

func decode(raw []byte) (message, error) {
	var m message
	if len(raw) > maxMessage {
		return m, fmt.Errorf("message has %d bytes, limit is %d", len(raw), maxMessage)
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, err
	}
	if m.Push == "" || m.From == "" {
		return m, fmt.Errorf("message of kind %q names no push or no sender", m.Kind)
	}
	return m, nil
}

// strange says why a message of another version cannot be understood, or "".
func (m message) strange() string {
	if m.Protocol == protocol {
		return ""
	}
	return fmt.Sprintf("speaks version %d of the push protocol, the other side version %d", protocol, m.Protocol)
}
