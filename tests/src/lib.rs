//! What the end-to-end tests and the benchmarks share: the product's rooms, put together as the binary does.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    reason = "a test that cannot set itself up may panic"
)]

pub mod house;
