//! Intake on the embedded journal and the embedded vault.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod among_others;
mod clocks;
mod consents;
mod followed;
mod fuzz;
mod imports;
mod mapping_faults;
mod people;
mod requests;
mod room;
mod sent_again;
mod tracking;
