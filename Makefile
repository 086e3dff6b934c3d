# What can be made of repot. `make` alone lists it.
#
# `make demo` and `make test` prepare a fresh Debian 12 by themselves (root and a Rust toolchain are all they
# want); both do only what is missing, so a second call is quick.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(HOME)/.cargo/bin:$(PATH)
.DEFAULT_GOAL := help
.PHONY: help demo test nautobot lint bench docs clean setup tools

features := --workspace --features repot/failpoints,repot-store/all-storages,repot-store/faults

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 14

demo: setup ## upgrade a real stack from PostgreSQL 13 to 17, show the proof, go back, clean up
	@scripts/demo.sh

# nextest is last: its summary is the last thing that is printed.
test: setup tools ## everything that must pass: format, clippy, house rules, unit tests, scenarios, faults
	@cargo fmt --all --check
	@cargo clippy --quiet $(features),repot/nautobot-real --all-targets -- -D warnings
	@cargo xtask tidy
	@cargo nextest run $(features)

nautobot: setup tools ## the scenario with a real Nautobot of PyPI and Redis; minutes, so not part of `make test`
	@scripts/setup.sh nautobot-real
	@cargo nextest run $(features),repot/nautobot-real --no-capture -E 'test(a_real_nautobot)'

lint: tools ## the part of `make test` that needs no Docker, and cargo-deny where it is installed
	@cargo fmt --all --check
	@cargo clippy --quiet $(features),repot/nautobot-real --all-targets -- -D warnings
	@cargo xtask tidy
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny --log-level error check --hide-inclusion-graph licenses bans sources; \
	else \
		echo 'lint: cargo-deny is not installed (cargo install cargo-deny --locked); licences and sources were not checked' >&2; \
	fi

bench: setup ## time each step of an upgrade of about 2 GB beside plain pg_dump | pg_restore
	@scripts/bench.sh

docs: ## write the generated pages anew
	@cargo xtask docs

setup: ## packages, Docker and images for the tests
	@scripts/setup.sh

tools: ## rustfmt, clippy and cargo-nextest
	@scripts/tools.sh

clean: ## remove what was built (images and caches of Docker stay)
	@cargo clean
