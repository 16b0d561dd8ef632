//! The projection as a whole: replay (I4), crashes (I3), finished columns against a naive evaluator, damage, erasure.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that cannot go on is to panic"
)]

mod beside;
mod catalog;
mod commit;
mod crash;
mod fencing;
mod finish;
mod fleet;
mod lost_answers;
mod measure;
mod memory_journal;
mod memory_storage;
mod replay;
mod rivals;
mod storage;
mod story;
