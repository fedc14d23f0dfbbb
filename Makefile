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
	cargo run --release --bin keyfold -- bench group-by --keys 1000
	cargo run --release --bin keyfold -- bench group-by --keys 1000 --workers 1
	cargo run --release --bin keyfold -- bench group-by --keys 1000000
	cargo run --release --bin keyfold -- bench group-by --keys 1000000 --workers 1
	cargo run --release --bin keyfold -- bench group-by --keys 10000000 --rows 50000000
	cargo run --release --bin keyfold -- bench epoch-latency
	cargo run --release --bin keyfold -- bench reopen
	cargo run --release --bin keyfold -- bench percentile
	cargo run --release --bin keyfold -- bench top-n
	cargo run --release --bin keyfold -- bench join
	cargo run --release --bin keyfold -- bench fan-out
	cargo run --release --bin keyfold -- bench inserts
	cargo run --release --bin keyfold -- bench lookups
	cargo run --release --bin keyfold -- bench lookups --clients 1
	cargo run --release --bin keyfold -- bench csv
	cargo run --release --bin keyfold -- bench shared-views
	cargo run --release --bin keyfold -- bench shared-views --csv
	cargo run --release --bin tpch -- --scale 1 --write target/tpch-1
	cargo run --release --bin keyfold -- bench tpch --data target/tpch-1
