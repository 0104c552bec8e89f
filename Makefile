# Everything a newcomer needs: make demo, make test.

GO ?= go

.PHONY: demo build test check tools chaos fuzz

demo: build ## hub, sandbox banks and demo casino on loopback
	./bin/rialto demo

build:
	$(GO) build -o bin/rialto ./cmd/rialto

test: tools ## every test; says what is missing and what is skipped for it
	$(GO) test -timeout 15m ./...

check: tools ## gofmt, vet, linters, race detector
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else echo "golangci-lint is not installed: skipped"; fi
	$(GO) test -race -timeout 30m ./...

chaos: ## what takes longer: 1,000 seeds; 1,000 kills of the hub and 1,000 of NATS on each database
	RIALTO_SIM_SEEDS=1000 $(GO) test -timeout 60m -run 'EveryWorld|Planted' -v ./psd2/sim
	RIALTO_CHAOS=1 $(GO) test -timeout 120m -run 'Kill' -v ./cmd/rialto

fuzz: ## every fuzz target for a minute
	@for t in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -ho '^func Fuzz[A-Za-z0-9]*' $$t/*_test.go | sed 's/func //'); do \
			echo "$$t $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 60s $$t || exit 1; done; done

tools: ## installs what the tests use, when we may
	@sh .ci/tools
