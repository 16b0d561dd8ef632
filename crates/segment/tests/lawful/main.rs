//! The lawful session under attack, and compared with plain queries over physically filtered tables.
//!
//! Everything runs on the real stores: decisions and events are journalled, the permit index and the projection fold
//! them, and sessions read the Parquet files that result. Each attack has a control that shows it succeed where the gate
//! is not: a test of denial that passes when everything is denied proves nothing.

mod attacks;
mod differential;
mod doors;
mod functions;
mod guards;
mod oracle;
mod segments;
mod sessions;
mod world;
