//! The account of one verdict, for the officer who has to answer for it (I7, I10).

use assent_consent::{Evaluation, Fact, NoticeRef, SubjectId, Timestamp, Use};
use assent_journal::{Checkpoint, Position};

/// A verdict with everything it was made of.
#[derive(Debug, Clone)]
pub struct Explained {
    /// Whom it is about.
    pub subject: SubjectId,
    /// The use asked about.
    pub use_: Use,
    /// The instant it is about.
    pub at: Timestamp,
    /// What was known: everything before these positions.
    pub known_by: Checkpoint,
    /// The subjects of the member at that instant, the one asked about among them.
    pub component: Vec<SubjectId>,
    /// The smallest subject id of the component.
    pub member: SubjectId,
    /// The verdict.
    pub evaluation: Evaluation,
    /// The facts it was made of, in order of receipt, each with its place in the journal.
    pub facts: Vec<PlacedFact>,
    /// The notice versions that those decisions rest on.
    pub notices: Vec<NoticeRef>,
    /// The place of the fact that decided, where one did.
    pub decided_at: Option<Position>,
}

/// A fact and its place in the journal.
#[derive(Debug, Clone)]
pub struct PlacedFact {
    /// The fact.
    pub fact: Fact,
    /// Where it stands.
    pub position: Position,
}
