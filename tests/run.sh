#!/usr/bin/env bash
# Runs the tests and tells what it could not run.
#
#   run.sh all          unit, load-check, rules, kubernetes, browser and integration; what the machine lacks is listed last
#   run.sh unit         all packages but the ones below, with -race where a C compiler is
#   run.sh integration  tests/integration and tests/compose; a missing Docker is a failure
#   run.sh load-check   the k6 scripts on Node.js
#   run.sh rules        the alert rules of deploy/prometheus, with promtool, its own or that of Prometheus' image
#   run.sh kubernetes   the manifests: both builds, the API's types, the gateway with their configuration
#   run.sh browser      the pages in Chromium
#   run.sh accuracy     the table of tests/cluster/accuracy, on redis-server; under five minutes
#   run.sh faults       the table of tests/cluster/faults, on redis-server and nginx; under ten minutes
#   run.sh vuln         known vulnerabilities in what is called; visibly skipped without its database
#   run.sh coverage | fuzz | lint
#
# A part that cannot run does not fail `all`, unless CI=true: there a check nobody ran is a failure.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

apart='/tests/(integration|compose|browser)(/|$)' # what needs more than Go
failed=0
missing=() # "what (why)": parts that did not run
skipped=() # the same, of parts that hang on the outside world: no failure anywhere

try() { "$@" || failed=1; }
not_run() { missing+=("$1"); }

lacking() { # tests of unit packages that need a tool which is not here, as a pattern
  local tests=()
  have_redis || tests+=(TestAccuracy TestSoak)
  { have_redis && have_nginx; } || tests+=(TestFaults)
  have_curl || tests+=(TestWalks)
  (IFS='|'; echo "${tests[*]}")
}
unit_packages() { go list ./... | grep -vE "$apart"; }

have_cc() { # the race detector links C
  local cc
  read -r cc _ <<<"$(go env CC)"
  command -v "$cc" >/dev/null
}
have_docker() { command -v docker >/dev/null && timeout 20 docker info >/dev/null 2>&1; }
have_compose() { docker compose version >/dev/null 2>&1 || docker-compose version >/dev/null 2>&1; }
have_browser() { command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; }
have_redis() { command -v redis-server >/dev/null; }
have_nginx() { command -v nginx >/dev/null; }
have_curl() { # 7.84 knows %header{}
  command -v curl >/dev/null && printf '7.84\n%s\n' "$(curl --version | awk 'NR == 1 { print $2 }')" | sort -VC
}
have_node() { command -v node >/dev/null && [[ $(node -p 'process.versions.node.split(".")[0]') -ge 18 ]]; }

unit() {
  local packages skip without=()
  mapfile -t packages < <(unit_packages)
  skip=$(lacking)
  [[ -z $skip ]] || without=(-skip "^($skip)\$")
  have_redis || not_run 'accuracy and soak (no redis-server)'
  { have_redis && have_nginx; } || not_run 'faults (no redis-server and nginx)'
  have_curl || not_run 'walks of the documentation (no curl 7.84 or newer)'
  if have_cc; then
    try env CGO_ENABLED=1 go test -race -timeout 10m "${without[@]}" "${packages[@]}"
  else
    try go test -timeout 10m "${without[@]}" "${packages[@]}"
    not_run 'race detector (no C compiler)'
  fi
}

container_suite() { # NAME: the packages under tests/NAME, one at a time: they share the engine
  if [[ -d tests/$1 ]]; then try go test -count=1 -p 1 -timeout 25m "./tests/$1/..."; fi
}

integration() {
  if ! have_docker; then
    not_run 'integration (no Docker)'
    return
  fi
  container_suite integration
  if have_compose; then container_suite compose; else not_run 'compose (no docker compose)'; fi
}

load_check() {
  if have_node; then try node tests/load/check.mjs; else not_run 'load scripts (no Node.js 18 or newer)'; fi
}

rules() {
  local tool=(promtool)
  if ! command -v promtool >/dev/null; then
    if ! have_docker; then
      not_run 'alert rules (no promtool and no Docker)'
      return
    fi
    local image
    image=$(sed -n 's/^ *image: \(prom\/prometheus:.*\)/\1/p' docker-compose.yml)
    tool=(docker run --rm --network none -v "$PWD/deploy/prometheus:/rules:ro" -w /rules --entrypoint promtool "$image")
  fi
  pushd deploy/prometheus >/dev/null || return
  try "${tool[@]}" check config prometheus.yml
  try "${tool[@]}" test rules rules_test.yml
  popd >/dev/null || return
}

kubernetes() { # a module of its own
  try env -C tests/kubernetes go vet ./...
  try env -C tests/kubernetes go test -timeout 10m ./...
}

browser() {
  if have_browser; then try go test -count=1 -timeout 10m ./tests/browser; else not_run 'browser (no Chromium)'; fi
}

accuracy() {
  if ! have_redis; then
    not_run 'accuracy (no redis-server)'
    return
  fi
  try go test -count=1 -timeout 15m -v -run '^TestAccuracy$' ./tests/cluster/accuracy -args -full -results RESULTS.md
}

faults() { # cc compiles the clock of Redis that is stepped, prlimit takes descriptors away
  local tool
  for tool in redis-server nginx cc prlimit; do
    if ! command -v "$tool" >/dev/null; then
      not_run "faults (no $tool)"
      return
    fi
  done
  try go test -count=1 -timeout 15m -v -run '^TestFaults$' ./tests/cluster/faults -args -full -results RESULTS.md
}

coverage() {
  local packages skip without=()
  mapfile -t packages < <(unit_packages)
  skip=$(lacking)
  [[ -z $skip ]] || without=(-skip "^($skip)\$")
  try go test -timeout 10m "${without[@]}" -coverpkg=./... -coverprofile=coverage.out "${packages[@]}"
  [[ $failed -eq 0 ]] || return
  go tool cover -html=coverage.out -o coverage.html
  go tool cover -func=coverage.out | tail -1
}

fuzz() { # go test fuzzes one target of one package at a time
  local package target
  for package in $(unit_packages); do
    for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz'); do
      echo "fuzz $package $target"
      try go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-20s}" "$package"
    done
  done
}

lint() {
  local unformatted
  unformatted=$(gofmt -l .)
  if [[ -n $unformatted ]]; then
    printf 'not formatted (make fmt):\n%s\n' "$unformatted"
    failed=1
  fi
  try go vet ./...
  try go test ./tests
  if command -v golangci-lint >/dev/null; then try golangci-lint run; else not_run 'golangci-lint (not installed)'; fi
  if command -v shellcheck >/dev/null; then try shellcheck tests/run.sh .ci/run deploy/rolling.sh; else not_run 'shellcheck (not installed)'; fi
}

vuln() { # a network that does not reach vuln.go.dev must not turn a good change bad
  local output
  if output=$(go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./... 2>&1); then
    echo "$output"
  elif grep -q '^govulncheck: fetching vulnerabilities' <<<"$output"; then
    skipped+=('govulncheck (its database cannot be reached)')
  else
    echo "$output"
    failed=1
  fi
}

strict=${CI:-false}
case ${1:-all} in
  all) unit; load_check; rules; kubernetes; browser; integration ;;
  unit) unit ;;
  integration) strict=true; integration ;;
  load-check) strict=true; load_check ;;
  rules) strict=true; rules ;;
  kubernetes) kubernetes ;;
  browser) strict=true; browser ;;
  accuracy) strict=true; accuracy ;;
  faults) strict=true; faults ;;
  coverage) coverage ;;
  fuzz) fuzz ;;
  lint) lint ;;
  vuln) vuln ;;
  *) echo "unknown part $1: want all, unit, integration, load-check, rules, kubernetes, browser, accuracy, faults, coverage, fuzz, lint or vuln" >&2; exit 2 ;;
esac

for part in "${missing[@]}"; do echo "NOT RUN: $part"; done
for part in "${skipped[@]}"; do echo "SKIPPED: $part"; done
if [[ ${#missing[@]} -gt 0 && $strict == true ]]; then failed=1; fi
exit "$failed"
