//! The projection as a whole: replay (I4), crashes (I3), finished columns against a naive evaluator, damage, erasure.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that cannot go on is to panic"
)]

mod catalog;
mod commit;
mod crash;
mod finish;
mod measure;
mod memory_journal;
mod replay;
mod story;
