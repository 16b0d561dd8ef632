//! One query on several machines: a coordinator, which holds the session, and workers, which hold the gate.
//!
//! # What it owns, what it refuses
//!
//! A query that reads much is planned for several workers by `datafusion-distributed`; the session's place (purpose,
//! scope, position, instant, manifest: [`place`]) goes to each of them under a seal, and the leaves of the plan as names
//! of tables and columns ([`share`]). A worker ([`worker`]) builds a gate of its own at that place, from the journal and
//! the profiles that it reads itself, and reads its share of the lawful rows through it. Nothing of the verdicts travels,
//! and no row that is not lawful ever leaves a gate (I1).
//!
//! A worker refuses a plan that does not come with such a place, a place that is not sealed or no longer fresh, and a node
//! that is not on the list ([`nodes`]). It refuses as well when it is not certain to stand where the coordinator
//! stands: when it cannot reach the position, or its definitions or verdicts are others.
//!
//! The coordinator ([`fleet`]) uses nothing of a run in which anything failed, be it rows or an error: it then runs the
//! query again on its own, whole, at the same place. So workers only ever make an answer faster.

mod channels;
mod fleet;
mod nodes;
mod place;
mod refusal;
mod share;
#[cfg(test)]
mod tests;
mod worker;

pub use fleet::Fleet;
pub(crate) use fleet::{ForMany, LEAST_PARTITIONS, Shared, reason};
pub use place::Secret;
pub use worker::Worker;
