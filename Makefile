# Every command of the project. `make` alone lists them.
# What a machine lacks (Docker, a C compiler, Node.js, redis-server, nginx, curl) is named last as NOT RUN by `make test`;
# with CI=true it is a failure. See tests/run.sh.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)
# HTTP/2 of net/http: the data port speaks HTTP/1.1, and so may collectors and key servers.
TAGS     = nethttpomithttp2
LDFLAGS  = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
GATEWAY ?= http://127.0.0.1:8080
N       ?= 3
FUZZTIME ?= 20s
BENCHTIME ?= 1s

# The time of the commit: a release built twice is the same to the byte.
EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

export VERSION COMMIT

.DEFAULT_GOAL := help

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/gateway and bin/echo, stripped, stamped with the version
	CGO_ENABLED=0 go build -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/gateway ./cmd/echo

.PHONY: run
run: ## a whole cluster in one process: three nodes, Redis, two upstreams, a token to paste
	go run ./cmd/demo

.PHONY: test
test: ## all tests
	@bash tests/run.sh all

.PHONY: test-unit
test-unit: ## tests that need Go alone, under the race detector where a C compiler is
	@bash tests/run.sh unit

.PHONY: test-integration
test-integration: ## tests against real containers; fails without Docker
	@bash tests/run.sh integration

.PHONY: browser
browser: ## the pages in a headless Chromium
	@bash tests/run.sh browser

.PHONY: load-check
load-check: ## the k6 scripts against targets that must pass and must fail, on Node.js
	@bash tests/run.sh load-check

.PHONY: test-kubernetes
test-kubernetes: ## the Kubernetes manifests, without a cluster
	@bash tests/run.sh kubernetes

.PHONY: accuracy
accuracy: ## admissions of real clusters under faults, counted at the upstream, into tests/cluster/accuracy/RESULTS.md
	@bash tests/run.sh accuracy

.PHONY: faults
faults: ## every fault of Redis, nodes, network, upstreams and files under load, into tests/cluster/faults/RESULTS.md
	@bash tests/run.sh faults

.PHONY: bench
bench: ## all benchmarks (BENCHTIME=1s)
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

.PHONY: bench-proxy
bench-proxy: ## the gateway beside nginx, haproxy, caddy and traefik, as installed, into docs/performance.md (wrk, nginx, redis-server)
	go run ./tests/load/peers -write docs/performance.md

.PHONY: bench-scale
bench-scale: ## what grows with nodes, routes, users, idle connections and time, into docs/performance.md (as bench-proxy; six minutes)
	go run ./tests/load/scale -write docs/performance.md

.PHONY: pgo
pgo: ## cmd/gateway/default.pgo anew, the profile that guides the compiler, from the full load
	go run ./tests/load/peers -seconds 30 -profile cmd/gateway/default.pgo

.PHONY: endurance
endurance: ## 100,000 requests with faults, 9,000 idle connections, bodies of 1 GiB (minutes; 20,000 descriptors)
	go test ./tests/conformance -count=1 -timeout 30m -run 'TestFaultsLeakNothing|TestIdleConnectionsAreCheap' -v -args -requests 100000 -connections 9000
	go test ./node -count=1 -timeout 30m -run TestBodiesPassInConstantMemory -v -args -transfer 1073741824

.PHONY: coverage
coverage: ## coverage.out and coverage.html of the tests that need Go alone
	@bash tests/run.sh coverage

.PHONY: fuzz
fuzz: ## every fuzz target in turn (FUZZTIME=20s each)
	@FUZZTIME=$(FUZZTIME) bash tests/run.sh fuzz

.PHONY: fmt
fmt: ## format all Go files
	gofmt -w .

.PHONY: lint
lint: ## gofmt, go vet, the import star, golangci-lint where installed
	@bash tests/run.sh lint

.PHONY: vuln
vuln: ## known vulnerabilities in code that is called (govulncheck; SKIPPED without vuln.go.dev)
	@bash tests/run.sh vuln

.PHONY: check
check: lint build test vuln ## what CI runs

PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

.PHONY: release
release: ## dist/: the gateway for PLATFORMS, static, stamped, packed with licence and config.yaml, and SHA256SUMS
	@rm -rf dist && mkdir -p dist
	@set -e; for platform in $(PLATFORMS); do \
	  os=$${platform%/*} arch=$${platform#*/} name=gateway-$(VERSION)-$${platform%/*}-$${platform#*/}; \
	  echo $$name; mkdir dist/$$name; \
	  GOOS=$$os GOARCH=$$arch CGO_ENABLED=0 go build -tags '$(TAGS)' -trimpath -ldflags '$(LDFLAGS)' -o dist/$$name/ ./cmd/gateway; \
	  cp LICENSE README.md config.yaml dist/$$name/; \
	  tar -C dist --owner=0 --group=0 --sort=name --mtime='@$(EPOCH)' -cf - $$name | gzip -n >dist/$$name.tar.gz; rm -r dist/$$name; \
	done
	@cd dist && sha256sum *.tar.gz >SHA256SUMS && cat SHA256SUMS

.PHONY: docker
docker: ## the images gateway and gateway-echo
	docker build -f deploy/Dockerfile --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) --target gateway -t gateway:$(VERSION) -t gateway:latest .
	docker build -f deploy/Dockerfile --build-arg VERSION=$(VERSION) --target echo -t gateway-echo:latest .

.PHONY: up
up: ## the full stack in the background, N=3 nodes behind nginx on port 8080
	$(COMPOSE) up --build -d --scale gateway=$(N)

.PHONY: rolling
rolling: ## build the gateway anew and replace the running ones, one at a time, without losing a request
	$(COMPOSE) build gateway
	COMPOSE='$(COMPOSE)' deploy/rolling.sh

.PHONY: down
down: ## stop the full stack and delete its data
	$(COMPOSE) down -v --remove-orphans

.PHONY: load
load: ## 70 % of every limit, offered to GATEWAY; nobody may be refused (k6, or else go run ./tests/load)
	@$(call play,steady,k6 run tests/load.js)

.PHONY: load-cluster
load-cluster: ## three times the limits, offered to GATEWAY; no more than they say may pass
	@$(call play,flood,k6 run tests/load/cluster.js)

.PHONY: load-throughput
load-throughput: ## as fast as GATEWAY answers; it runs tests/load/unlimited.yaml
	@$(call play,throughput,PROFILE=throughput k6 run tests/load.js)

# SCENARIO, K6: by k6 where it is installed, else by the program that plays the same scenarios.
play = if command -v k6 >/dev/null; then export GATEWAY=$(GATEWAY); $(2); else go run ./tests/load -scenario $(1) -target $(GATEWAY); fi

DURATION ?= 30m
RATE     ?= 600

.PHONY: soak
soak: ## three nodes under load for DURATION=30m, RATE=600/s, with a day's faults; memory, goroutines, descriptors into docs/soak.md
	go test ./tests/load/soak -count=1 -timeout 0 -run '^TestSoak$$' -args -duration $(DURATION) -rate $(RATE) -write $(CURDIR)/docs/soak.md

.PHONY: clean
clean: ## delete what the commands above made
	rm -rf bin dist coverage.out coverage.html
