//! Intake: the one door through which events enter Assent.
//!
//! It authenticates the source, reads what the source sent, resolves identifiers to subjects, seals
//! what is personal, appends everything of a request in one go, and answers each event with exactly
//! one [`Outcome`] (invariant I9). It acknowledges nothing before the journal has confirmed it (I3).
//!
//! Two entries, both free of HTTP: [`Intake::consents`] (from bytes: [`Intake::consents_bytes`], which
//! sees repeated names), whose JSON is described in [`consent`], and
//! [`Intake::events`], which takes what the SDKs of Segment and RudderStack send and is described in
//! [`tracking`]. Files come in through [`import`], which calls the same two.
//!
//! What it refuses: to guess in favour of a use of data. A grant that lacks anything the law asks
//! for (PIPL art. 14, 17, 23, 29) is rejected with the reason. A refusal or withdrawal is never
//! rejected for a missing detail: it is recorded at its widest sensible reading (I5, I6).

mod clock;
pub mod consent;
mod error;
pub mod import;
mod json;
mod limits;
mod links;
pub mod metrics;
mod outcome;
mod planned;
mod receive;
mod recent;
mod record;
mod repeats;
mod source;
mod text;
pub mod tracking;

pub use clock::Clock;
pub use error::{Error, ErrorKind};
pub use limits::Limits;
pub use outcome::{Code, Outcome, Rejected, Warning, WarningCode};
pub use receive::{CurrentRegistry, Intake, Unheard};
pub use repeats::Known;
pub use source::{Caller, Source};
pub use tracking::Route;
