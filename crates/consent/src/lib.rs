//! Consent as a pure function: purposes, notices, decisions and the verdict they lead to.
//!
//! The crate owns the vocabulary of lawfulness ([`Purpose`], [`Notice`], [`Decision`], [`Fact`])
//! and [`evaluate`], which folds what is known of one subject into a [`Verdict`] for one use at
//! one instant. The rules it follows are written down in `docs/consent-rules.md` (R1 to R17);
//! comments cite them by number, together with the article of the PIPL they come from.
//!
//! It refuses to know where facts come from or where verdicts go: no I/O, no clock, no Arrow, no
//! Kafka, no HTTP. Time is always a parameter.

mod basis;
mod calendar;
mod decision;
mod deficiency;
mod evaluate;
mod fact;
mod hex16;
mod ids;
mod notice;
mod purpose;
mod registry;
mod slug;
mod time;
mod verdict;

pub use basis::{ConsentForm, LegalBasis, UnknownBasis, UnknownForm};
pub use calendar::{Calendar, Day, InvalidDay, UnknownTimeZone};
pub use decision::{Act, Actor, Decision, DecisionState, Selector};
pub use deficiency::Deficiency;
pub use evaluate::{component, evaluate};
pub use fact::{CLOCK_TOLERANCE_MICROS, Fact, FactKind};
pub use ids::{InvalidNoticeRef, InvalidSubjectId, NoticeRef, SubjectId};
pub use notice::{
    Handler, Notice, NoticeChange, NoticedPurpose, RecipientStatement, SensitiveStatement,
};
pub use purpose::{Purpose, PurposeFault};
pub use registry::{NoticeChanged, Registry};
pub use slug::{Category, Channel, InvalidName, Namespace, NoticeId, PurposeId, RecipientId};
pub use time::{InvalidTimestamp, Timestamp};
pub use verdict::{Coverage, Evaluation, Reason, Use, Verdict};
