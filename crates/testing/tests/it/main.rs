//! Integration tests of the whole product, run against the `keyfold` binary over the wire.

fn main() {}
