# Run `make` to see what there is. Every target may be run again at any time.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# rustup puts its tools into a directory that not every shell has in its path.
export PATH := $(PATH):$(HOME)/.cargo/bin
TIB := $(or $(CARGO_TARGET_DIR),target)/release/tib
DEMO_IMAGE := trove-guest.qcow2

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what tib needs on this host (asks for root only if something is missing)
	@scripts/setup.sh

.PHONY: build
build: ## Compile tib
	cargo build --release --locked

.PHONY: demo
demo: setup build ## From nothing to a checked trove-guest image
	@scripts/demo.sh "$(TIB)" "$(DEMO_IMAGE)"

DATASTORE ?= mariadb
.PHONY: prove
prove: setup ## Prove IMAGE=FILE with a real control plane of Trove: DATASTORE=mariadb or postgresql, PROVE_OPTIONS=…
	@scripts/prove.sh "$(IMAGE)" --datastore "$(DATASTORE)" --tib "$(TIB)" $(PROVE_OPTIONS)

.PHONY: test
test: setup ## Run the tests, as an unprivileged user
	@scripts/test.sh full

.PHONY: test-all
test-all: setup ## The same with every file system in every combination and Red Hat's family, which takes an hour longer
	@TIB_TEST_COMBINATIONS=all scripts/test.sh full

.PHONY: test-quick
test-quick: ## Run the tests that start no appliance, once `make setup` has been there
	@scripts/test.sh default

.PHONY: test-network
test-network: setup ## Run the tests that need Debian's archive and Python's package index
	@scripts/test.sh network

.PHONY: lint
lint: ## Check formatting, lints and shell scripts
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	@if command -v shellcheck >/dev/null; then shellcheck -x scripts/*.sh scripts/lib/*.sh .ci/run tests/control_plane/container/*.sh tests/rpm_testbed/testbed/*.sh; \
	else echo 'shellcheck is not here: shell scripts are not checked'; fi
	@for tool in 'mypy' 'ruff check .' 'ruff format --check .'; do \
		if command -v "$${tool%% *}" >/dev/null; then (cd tests/control_plane && $$tool) && (cd tests/rpm_testbed && $$tool) && (cd tests/standins && $$tool); \
		else echo "$${tool%% *} is not here: \`$$tool\` is left out for the Python below tests/"; fi; \
	done

DENY_CHECKS := advisories bans licenses sources
.PHONY: deny
deny: ## Check licences, sources and known weaknesses of dependencies (needs cargo-deny and a network)
	@command -v cargo-deny >/dev/null || { echo 'error: cargo-deny is not here: `cargo install cargo-deny --locked`' >&2; exit 1; }
	cargo deny --locked check --hide-inclusion-graph $(DENY_CHECKS)

export FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZ_SECONDS, 60 by default (needs cargo-fuzz and a nightly Rust)
	@scripts/fuzz.sh

.PHONY: check-generated
check-generated: ## Check that generated files match the code
	@scripts/generate.sh --check

.PHONY: generate
generate: ## Write the generated files anew
	@scripts/generate.sh

.PHONY: bench
bench: ## Run the benchmarks
	cargo bench --locked
