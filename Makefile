# The two commands are `make run` and `make test`. Debian 12, Rust, root; everything else is installed when missing.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

DATA_DIR ?= /var/lib/tidewatch
# How often the live tests run, and which of them (part of a name; empty for all).
REPEAT ?= 5
ONLY ?=
# How long `make test-chaos` goes on.
MINUTES ?= 30
# Where the public data lies that `make bench-detect` reads.
DATA ?= ../shared/data

BIN := target/release/tidewatch
STEP := .ci/step
LIVE := cargo run --quiet --locked --release --package live -- --bin $(BIN)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: setup-run build engine ## Install what is missing, build, start an engine if none answers, start Tidewatch
	$(BIN) run --data-dir $(DATA_DIR)

.PHONY: test
test: setup-test checks build engine ads-lint scenarios live test-kernels deny ## Everything: style, tests, live tests, another kernel, licences
	@echo "== test: all passed"

.PHONY: build
build: setup ## Build target/release/tidewatch
	@$(STEP) "build" cargo build --locked --release --package cli

.PHONY: demo
demo: setup-test build engine ## See the sample attack caught beside a benign service
	@$(LIVE) demo

.PHONY: bench
bench: build ## Measure: the state, the fold, the sampler, memory (as root)
	@cargo run --quiet --locked --release --package bench

.PHONY: bench-detect
bench-detect: setup ## Measure how well excess and hidden communication are found, with the public data below DATA=../shared/data
	@cargo run --quiet --locked --release --package bench -- detect --data $(DATA)

.PHONY: test-live
test-live: setup-test build engine ## The live tests alone, REPEAT=5 times each, ONLY=name to choose
	@$(STEP) "live tests, $(REPEAT) times" $(LIVE) run --repeat $(REPEAT) $(if $(ONLY),--only $(ONLY))

.PHONY: test-live-long
test-live-long: setup-test build engine ## The live test that needs a quarter of an hour of history
	@$(STEP) "long live tests" $(LIVE) run --long

.PHONY: test-chaos
test-chaos: setup-test build engine ## Thirty minutes of chaos, MINUTES=n for another time; not in CI
	@$(LIVE) chaos --minutes $(MINUTES)

.PHONY: test-kernels
test-kernels: setup-test build ## Boot another kernel, cgroup v2 only, and watch a container there
	@$(STEP) "another kernel" $(LIVE) kernels

.PHONY: checks
checks: fmt clippy tidy layers nextest ## Style and tests that need neither an engine nor another kernel

.PHONY: engine
engine: setup-run ## Start a Docker engine if none answers
	@.ci/engine

.PHONY: setup setup-run setup-test
setup: ## Install what the build needs (setup-run, setup-test: what running and testing need)
	@.ci/setup build
setup-run:
	@.ci/setup run
setup-test:
	@.ci/setup test

# The steps of `make test`, each to be called by itself as well.
.PHONY: fmt clippy tidy layers nextest ads-lint scenarios live deny
fmt:
	@$(STEP) "fmt" cargo fmt --all --check
clippy: setup
	@$(STEP) "clippy" cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
tidy:
	@$(STEP) "tidy" cargo xtask tidy
layers:
	@$(STEP) "layers" cargo xtask layers
nextest: setup-test
	@$(STEP) "nextest" cargo nextest run --locked --workspace --status-level fail --show-progress none
ads-lint: build
	@$(STEP) "ads lint" $(BIN) ads lint ads/
scenarios: build
	@$(STEP) "scenarios" cargo nextest run --locked --workspace -E 'package(engine) and kind(test)'
live: build engine
	@$(STEP) "live tests" $(LIVE) run
deny: setup-test
	@$(STEP) "deny" cargo deny --locked --log-level error check bans licenses sources
