//! The lawful session under attack, and compared with plain queries over physically filtered tables.
//!
//! Everything runs on the real stores: decisions and events are journalled, the permit index and the projection fold
//! them, and sessions read the Parquet files that result. Each attack has a control that shows it succeed where the gate,
//! or one of its guards, is not: a test of denial that passes when everything is denied proves nothing.

#![allow(missing_docs, reason = "nobody reads documentation of tests")]

mod attacks;
mod barrier;
mod bounds;
mod differential;
pub(crate) mod distribution;
mod doors;
mod exports;
mod hand_made;
mod house;
mod limits;
mod materialised;
mod mutation;
mod naive;
mod oracle;
mod plain;
mod segments;
mod sessions;
mod telling;
pub(crate) mod world;
