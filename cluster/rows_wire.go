package cluster

import (
	"encoding/binary"
	"fmt"
)

// rowsVersion opens the encoding: version, number of rows, and for each row its
// owner, version, remaining nanoseconds and payload.
const rowsVersion = 1

func encodeRows(rows []Row) []byte {
	size := 1 + binary.MaxVarintLen16
	for _, row := range rows {
		size += len(row.Owner) + len(row.Payload) + 4*binary.MaxVarintLen64
	}
	out := append(make([]byte, 0, size), rowsVersion)
	out = binary.AppendUvarint(out, uint64(len(rows)))
	for _, row := range rows {
		out = appendBytes(out, row.Owner)
		out = binary.AppendUvarint(out, row.Version)
		out = binary.AppendUvarint(out, uint64(max(row.Remaining, 0)))
		out = appendBytes(out, row.Payload)
	}
	return out
}

// decodeRows returns rows whose payloads share the memory of message.
func decodeRows(message []byte) ([]Row, error) {
	if len(message) == 0 {
		return nil, errShort
	}
	if message[0] != rowsVersion {
		return nil, fmt.Errorf("rows have version %d, want %d", message[0], rowsVersion)
	}
	r := reader{buf: message[1:]}
	n := r.uvarint()
	if n > maxOwners {
		return nil, fmt.Errorf("message has %d rows, limit is %d", n, maxOwners)
	}
	rows := make([]Row, 0, n)
	for range n {
		row := Row{
			Owner:     string(r.bytes()),
			Version:   r.uvarint(),
			Remaining: clampDuration(r.uvarint()),
			Payload:   r.bytes(),
		}
		if err := row.check(r.err); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	if len(r.buf) > 0 {
		return nil, fmt.Errorf("message has %d bytes after its rows", len(r.buf))
	}
	return rows, nil
}

func (row Row) check(err error) error {
	switch {
	case err != nil:
		return err
	case row.Owner == "" || len(row.Owner) > maxOwner:
		return fmt.Errorf("owner must be 1 to %d bytes, got %d", maxOwner, len(row.Owner))
	case len(row.Payload) > maxPayload:
		return fmt.Errorf("payload must be at most %d bytes, got %d", maxPayload, len(row.Payload))
	}
	return nil
}
