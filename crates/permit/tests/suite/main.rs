//! The index on a real journal and vault, in temporary folders.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod barrier;
mod index;
mod past;
mod support;
