//! Intake on the embedded journal and the embedded vault.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod consents;
mod fuzz;
mod imports;
mod requests;
mod room;
mod tracking;
