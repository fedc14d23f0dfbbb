# Each target first makes sure of the system libraries it needs.

.PHONY: demo test bench

# A server on real data, a view that changes, and what to type next. DEMO_SECONDS=20 ends it by itself.
demo:
	scripts/system-libraries
	cargo build --workspace --bins
	cargo run --quiet --bin demo

# Everything the project can check about itself.
test:
	scripts/system-libraries test
	cargo build --workspace --bins
	cargo test --workspace

# The figures of docs/performance.md, in the release profile.
bench:
	scripts/system-libraries
	cargo run --release --bin keyfold -- bench
