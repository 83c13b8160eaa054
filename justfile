# The checks of every change, as .ci/run makes them
ci:
    .ci/run

check:
    cargo clippy --workspace --all-targets -- -D warnings

test:
    cargo test --release --workspace

fmt:
    cargo fmt --all

docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

demo:
    cargo run --release --bin striate -- demo

# Rewrite the tables that are made from registries
bless:
    STRIATE_BLESS=1 cargo test -p striate --test it documents
