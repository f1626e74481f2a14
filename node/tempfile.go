package node

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	tempMark     = ".push-"
	leftoverLife = time.Hour // as long as a decision can be looked up
)

// tempName tells what a temporary file was prepared for, so that a process that
// is started again can look the decision up.
type tempName struct{ push, base string }

type tempFile struct {
	tempName

	path    string
	written time.Time
}

// tempPrefix begins the names of temporary files beside the configuration.
func tempPrefix(path string) string { return "." + filepath.Base(path) + tempMark }

// isTemp reports whether a file is one of those, which the watch ignores.
func isTemp(name string) bool {
	base := filepath.Base(name)
	return strings.HasPrefix(base, ".") && strings.Contains(base, tempMark)
}

// writeBeside writes text to a temporary file that can take the configuration's
// place, and makes sure of it: same directory, same rights, on disk.
func writeBeside(path string, name tempName, text []byte) (string, error) {
	file, info, err := replaceable(path)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(file), tempPrefix(file)+name.push+"-"+name.base+"-*")
	if err != nil {
		return "", fmt.Errorf("cannot write beside the configuration file: %w", err)
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync(), f.Close())
	if err == nil {
		err = notMounted(file, f.Name())
	}
	if err != nil {
		removeTemp(f.Name())
		return "", fmt.Errorf("cannot write beside the configuration file: %w", err)
	}
	giveTo(f.Name(), info)
	return f.Name(), nil
}

// replaceable returns the file behind path, if it may be replaced. A file marked
// read-only could be, by who may write its directory; it is not meant to.
func replaceable(path string) (string, fs.FileInfo, error) {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", nil, fmt.Errorf("cannot find the configuration file: %w", err)
	}
	info, err := os.Stat(file)
	if err != nil {
		return "", nil, fmt.Errorf("cannot find the configuration file: %w", err)
	}
	if info.Mode().Perm()&0o222 == 0 {
		return "", nil, fmt.Errorf("cannot replace the configuration file: %s is read-only", file)
	}
	return file, info, nil
}

// notMounted refuses a file that is a mount point of its own, as one mounted
// alone into a container: it cannot be renamed over. A hard link tells, since it
// cannot leave a mount either.
func notMounted(file, temp string) error {
	probe := temp + ".probe"
	err := os.Link(file, probe)
	if err == nil {
		return os.Remove(probe)
	}
	if errors.Is(err, syscall.EXDEV) {
		return fmt.Errorf("%s is mounted alone; mount its directory", file)
	}
	return nil // a file system without hard links cannot tell
}

// replaceFile puts a temporary file in the configuration's place. One that is
// gone, cleaned up by somebody, is written again.
func replaceFile(path, temp string, text []byte) error {
	file, info, err := replaceable(path)
	if err != nil {
		return err
	}
	err = os.Rename(temp, file)
	if errors.Is(err, fs.ErrNotExist) {
		if err = writeSynced(temp, text, info.Mode().Perm()); err == nil {
			err = os.Rename(temp, file)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot replace the configuration file: %w", err)
	}
	if dir, err := os.Open(filepath.Dir(file)); err == nil {
		_ = dir.Sync() // not every file system can; the rename itself is done
		_ = dir.Close()
	}
	return nil
}

func writeSynced(path string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func removeTemp(path string) { _ = os.Remove(path) } // gone already: as good

// tempFiles lists the temporary files beside the configuration, newest first.
func tempFiles(path string) []tempFile {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil {
		return nil
	}
	var out []tempFile
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), tempPrefix(file))
		parts := strings.Split(rest, "-")
		info, err := e.Info()
		if ours && len(parts) == 3 && err == nil {
			at := filepath.Join(filepath.Dir(file), e.Name())
			out = append(out, tempFile{tempName: tempName{push: parts[0], base: parts[1]}, path: at, written: info.ModTime()})
		}
	}
	slices.SortFunc(out, func(a, b tempFile) int { return cmp.Or(b.written.Compare(a.written), cmp.Compare(a.path, b.path)) })
	return out
}
