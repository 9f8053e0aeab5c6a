# pvect's chores. `make help` lists them.
CARGO ?= cargo
PVECT := target/release/pvect
ARGS ?=
FEATURES ?=

.PHONY: help build demo unit test-one test lint bench bench-backends instructions vm attack fuzz advisories docs install uninstall clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

build: ## Build the command, target/release/pvect (FEATURES="--no-default-features --features https" with Rust 1.85)
	$(CARGO) build --release -p pvect-cli $(FEATURES)

demo: ## Make real containers and show what pvect does (ARGS=--fast for a busybox template)
	@scripts/as-root
	@scripts/setup demo
	$(CARGO) build --profile demo -p pvect-cli --no-default-features
	target/demo/pvect demo $(ARGS)

unit: ## The tests that need neither root nor other packages
	scripts/unit $(ARGS)

test-one: ## Run one test, found by a part of its name (T=NAME)
	scripts/test-one "$(T)" $(ARGS)

test: ## Set up and run every test (as root, also those with real containers)
	@scripts/setup test
	scripts/test $(ARGS)

lint: ## rustfmt, clippy, rustdoc, fuzz targets, demo, packages, interface, oldest Rust, cargo-deny, typos
	scripts/lint

bench: ## Measure; writes the tables of docs/performance.md
	@scripts/as-root
	@scripts/setup bench
	$(CARGO) build --release -p pvect-cli
	$(CARGO) build --release -p pvect-native --example monitors
	scripts/bench $(ARGS)

bench-backends: ## Measure the same work through pct, native reads and the API
	@scripts/as-root
	@scripts/setup bench
	$(CARGO) build --release -p pvect-cli
	scripts/bench-backends $(ARGS)

instructions: ## Count the instructions of reads; fail if there are too many
	@scripts/as-root
	@scripts/setup instructions
	$(CARGO) build --release -p pvect-cli
	$(CARGO) build --release -p pvect-native --example monitors
	scripts/instructions $(ARGS)

vm: ## Run the demo and the conformance suite in a virtual Debian: systemd, AppArmor, cgroups of version 2
	@scripts/vm

attack: ## Run the tests of each row of docs/security.md (as root)
	@scripts/setup test
	scripts/attack $(ARGS)

fuzz: ## Fuzz each target for ten minutes, continuing from the last run (ARGS="SECONDS TARGET ...")
	scripts/fuzz $(ARGS)

advisories: ## Check Cargo.lock for known vulnerabilities; fetches the RustSec database
	$(CARGO) deny check advisories

docs: ## Write the generated pages; Rust documentation, man pages and completions below target/
	PVECT_DOCS=write $(CARGO) test -q -p pvect-cli --test docs
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps
	$(CARGO) build --release -p pvect-cli
	mkdir -p target/man target/completions
	$(PVECT) man --dir target/man
	for shell in bash zsh fish; do $(PVECT) completion $$shell > target/completions/pvect.$$shell; done

install: build ## Install the command, man pages, completions and systemd units (PREFIX=/usr/local DESTDIR=)
	DESTDIR="$(DESTDIR)" scripts/install $(PREFIX)

uninstall: ## Remove what 'make install' made; containers, volumes and settings stay (PREFIX=/usr/local DESTDIR=)
	DESTDIR="$(DESTDIR)" scripts/uninstall $(PREFIX)

clean: ## Remove what was built
	$(CARGO) clean
