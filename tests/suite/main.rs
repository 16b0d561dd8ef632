//! End-to-end tests: the product's rooms put together as the binary does, judged by oracles that share no code with it.

#![allow(clippy::unwrap_used, reason = "all of this is test code")]

mod bad_input;
mod cdnow;
mod decisions;
mod derived;
mod generated;
mod oracle;
mod planted;
mod refusals;
mod retail;
mod scan;
mod told;
mod undecided;
mod wire;
mod withdrawal;

use assent_tests::house;
