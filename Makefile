# The commands of the house. Each works on a fresh machine with Rust, a C compiler and make;
# everything is built into one folder.
#
#   make demo          the whole exchange on this machine, with real work and real bills
#   make test          every test; installs what they need where it may, says what it skips where not
#   make bench         how fast it is here, with machine and commit
#   make bench-peers   the same beside other projects' programs, in one run
#   make rounds N=20   kills agents, servers, schedulers and services under load, N times each, and counts
#   make lint          formatting, clippy, dependencies, shell scripts
#   make docs          the documentation of the code, and the reference pages checked against it
#   make clean         removes what was built and measured; never a data folder of an exchange

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export CARGO_TARGET_DIR ?= $(CURDIR)/target
# More words for the program that is run: make demo ARGS=--exit-when-done
ARGS ?=
# How often each kind is killed: make rounds N=5
N ?= 20

.PHONY: help demo test bench bench-peers rounds lint docs clean

help:
	@sed -n 's/^#   //p' Makefile

demo:
	cargo build --release -p dayan-cli -p dayan-examples
	$(CARGO_TARGET_DIR)/release/dayan demo $(ARGS)

test:
	@tools/test.sh

bench:
	@tools/bench.sh $(ARGS)

bench-peers:
	@tools/bench-peers.sh $(ARGS)

rounds:
	@tools/all-rounds.sh $(N)

lint:
	@tools/lint.sh

# The reference pages are derived by tests of the rooms they describe, which fail when a page has
# fallen behind.
docs:
	cargo doc --workspace --no-deps
	cargo test -p dayan-spec --tests
	@echo "$(CARGO_TARGET_DIR)/doc/dayan_exchange/index.html"

clean:
	cargo clean
	rm -rf bench-out
