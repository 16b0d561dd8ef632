//! The live index of who is permitted for what, and the barrier that keeps it honest.
//!
//! [`Permit`] follows `assent.consent` and `assent.registry` from their beginning, holds every
//! subject's history and answers, per use, with a [`PermitSet`]: the verdict and coverage of every
//! subject, brought up to date by what changed since it was last asked, not by what there is.
//!
//! It owns the barrier (I2): a reader asks the journal's leaders where the log ends and waits until
//! that much is applied, or is refused. It refuses to guess: a record that cannot be read restricts
//! its subject, one that cannot be attributed stops every answer (I5). What a sender
//! repeats is no new fact, so that a grant sent again after a withdrawal or an erasure reopens nothing; one that
//! restricts counts each time. It writes nothing, and it knows neither profiles nor queries.

mod applier;
mod cache;
mod chunked;
mod config;
mod error;
mod explain;
mod fingerprint;
mod history;
mod messages;
pub mod metrics;
mod numbers;
mod permit;
mod read;
mod runs;
mod sent_again;
mod set;
mod shared;
mod state;

pub use config::{Config, Hooks};
pub use error::{Error, ErrorKind};
pub use explain::{Explained, PlacedFact};
pub use permit::Permit;
pub use set::{CategoryMask, Members, PermitSet};
