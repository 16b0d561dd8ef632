//! The lawful session: SQL over profiles in which everyone without a lawful verdict for the declared purpose is gone
//! before the first predicate runs.
//!
//! # What it owns, what it refuses
//!
//! This crate owns the gate (`gate`), the judgement of queries (`sql`), the session that ties both to a principal, a
//! purpose and a place in the journal ([`LawfulSession`]), segments, explanations and the use log. It refuses to answer
//! without a purpose, without a fresh barrier (I2) and without having journalled the use (I7); it has no way to read a
//! profile file that does not pass through the gate (I1).
//!
//! # The way of a query
//!
//! 1. [`LawfulSession::open`]: entitlement, barrier, then one permit set, one snapshot and one evaluation time are fixed.
//! 2. On threads of its own ([`Engine`]), the text is measured and parsed; only a single query passes (`sql::statement`).
//! 3. It is planned against a catalog built from the purpose: a column the purpose may not read does not exist.
//! 4. The plan is looked at once more (`sql::plan`); it can only hold relational algebra over our tables.
//! 5. Each table is an opaque leaf (`gate`) that reads permitted rows and masks cells before anything else sees them; of a
//!    large query, workers with gates of their own read shares (`distribution`).
//! 6. The use is journalled to `assent.use`; only then do rows, or the error, leave.

mod clusters;
mod coarse;
mod distribution;
mod engine;
mod entitlement;
mod error;
mod explain;
mod export;
pub mod format;
mod gate;
mod guards;
mod journalled;
mod materialised;
pub mod metrics;
mod running;
mod segments;
mod session;
mod sql;
#[cfg(test)]
mod tests;
mod use_log;
mod workers;

pub use clusters::ByConsent;
pub use distribution::{Fleet, Secret, Worker};
pub use engine::{Clock, Engine, Limits, Stores};
pub use entitlement::{Asked, allowed_purposes};
pub use error::{Error, ErrorKind, Place, Result};
pub use explain::{BaseCounts, Few, MemberExplained, SubjectExplained, Waterfall};
pub use export::{ExportFormat, ExportManifest, Exported};
pub use gate::ColumnDoc;
pub use materialised::{Overlap, SegmentDiff};
pub use segments::{SegmentIds, SqlCheck, check_segment};
pub use session::{Answered, LawfulSession, QueryResult};
