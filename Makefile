# Everything a newcomer needs: make demo, make test. "make help" lists the rest.

GO ?= go

.PHONY: demo help build test check tools chaos proofs fuzz

demo: build ## hub, sandbox banks and demo casino on loopback
	./bin/rialto demo

build: ## the program, bin/rialto
	$(GO) build -o bin/rialto ./cmd/rialto

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

test: tools ## every test; says what is missing and what is skipped for it
	$(GO) test -timeout 15m ./...

check: tools ## gofmt, vet, linters, race detector
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else echo "golangci-lint is not installed: skipped"; fi
	$(GO) test -race -timeout 30m ./...

chaos: ## what takes longer: 1,000 seeds; 1,000 kills of the hub and 1,000 of NATS on each database; interrupted, it goes on where it ended
	@mkdir -p bin
	RIALTO_CHAOS=1 RIALTO_CHAOS_OUT=$(CURDIR)/bin/chaos.jsonl $(GO) test -count=1 -timeout 0 -run Kill -v ./cmd/rialto
	RIALTO_SIM_SEEDS=1000 $(GO) test -count=1 -timeout 60m -run 'EveryWorld|Planted' -v ./psd2/sim

proofs: tools ## takes each defence away and sees its tests fail; RIALTO_PROOFS=A12,B07 for some rows
	RIALTO_PROOFS=$${RIALTO_PROOFS:-1} $(GO) test -timeout 120m -run DefencesAreProven -v ./cmd/rialto

fuzz: ## every fuzz target for a minute
	@for t in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -ho '^func Fuzz[A-Za-z0-9]*' $$t/*_test.go | sed 's/func //'); do \
			echo "$$t $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 60s $$t || exit 1; done; done

tools: ## installs what the tests use, when we may
	@sh .ci/tools
