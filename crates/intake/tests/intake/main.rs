//! Intake on the embedded journal and the embedded vault.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod among_others;
mod clocks;
mod consents;
mod decisions_in_calls;
mod facts;
mod followed;
mod fuzz;
mod grants;
mod identities;
mod import_reports;
mod imports;
mod mapping_faults;
mod people;
mod requests;
mod restrictions;
mod room;
mod sent_again;
mod tracking;
