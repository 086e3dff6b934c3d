#!/usr/bin/env bash
# Sees to the programs that building and testing want beside the Rust toolchain itself: rustfmt, clippy and
# cargo-nextest. Installs only what is missing.
set -euo pipefail
export PATH=$HOME/.cargo/bin:$PATH

say() {
	printf 'tools: %s\n' "$*"
}

if ! command -v cargo >/dev/null; then
	echo 'tools: error: there is no cargo: install a Rust toolchain first (https://rustup.rs)' >&2
	exit 1
fi

for component in fmt:rustfmt clippy:clippy; do
	if cargo "${component%%:*}" --version >/dev/null 2>&1; then continue; fi
	if ! command -v rustup >/dev/null; then
		echo "tools: error: cargo ${component%%:*} is missing, and there is no rustup to add it" >&2
		exit 1
	fi
	say "adding ${component##*:}"
	rustup --quiet component add "${component##*:}"
done

if ! cargo nextest --version >/dev/null 2>&1; then
	say 'installing cargo-nextest (a few minutes, once)'
	# Built beside our own things, so that a shared target directory is not filled with its dependencies.
	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	CARGO_TARGET_DIR=$scratch cargo install cargo-nextest --locked --quiet
fi
