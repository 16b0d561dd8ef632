//! The vault on a real PostgreSQL: the contract of every vault, and what only this one has.
//!
//! `cargo xtask test` brings a server up; by hand, `cargo xtask postgres up` tells what to set.

#![allow(clippy::unwrap_used)]

mod caches;
mod callers;
mod contract;
mod lines;
mod opening;
mod outages;
#[path = "../support/mod.rs"]
mod support;
