//! How a case is written in YAML. Unknown keys are errors.

use std::collections::BTreeSet;

use assent_consent::{
    Category, Channel, ConsentForm, Day, Notice, NoticeRef, Purpose, PurposeId, RecipientId,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgrammeFile {
    pub(crate) day_one: Day,
    pub(crate) purposes: Vec<Purpose>,
    pub(crate) notices: Vec<Notice>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseFile {
    /// What the cases of the file have in common; for readers.
    #[serde(rename = "theme")]
    pub(crate) _theme: String,
    pub(crate) cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The article or rule; for readers.
    pub(crate) why: String,
    /// What happened, in any order; written in the order in which it was received.
    pub(crate) history: Option<Vec<Event>>,
    /// Instead: what happened, in the order in which it was written.
    pub(crate) log: Option<Vec<Event>>,
    pub(crate) then: Vec<Expectation>,
}

/// Something that happened: `when`, one verb, and details.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Event {
    pub(crate) when: String,
    /// When we learnt of it, if later than it happened (or earlier than it claims).
    pub(crate) received: Option<String>,
    /// Whose: `person` unless named.
    pub(crate) who: Option<String>,
    /// The message that brought it; one of its own unless named.
    pub(crate) message: Option<String>,

    // The verbs: exactly one. `everything` stands for every purpose.
    pub(crate) grants: Option<String>,
    pub(crate) refuses: Option<String>,
    pub(crate) withdraws: Option<String>,
    pub(crate) mumbles: Option<String>,
    pub(crate) links_with: Option<String>,
    pub(crate) unlinks_from: Option<String>,
    pub(crate) starts_contract: Option<String>,
    pub(crate) ends_contract: Option<String>,
    pub(crate) born: Option<Day>,
    pub(crate) gets_guardian: Option<String>,
    pub(crate) loses_guardian: Option<String>,
    pub(crate) restricts: Option<String>,
    pub(crate) lifts: Option<String>,
    pub(crate) erased: Option<bool>,
    pub(crate) found_in_public: Option<Provenance>,

    // Details of decisions.
    pub(crate) under: Option<NoticeRef>,
    pub(crate) channel: Option<Channel>,
    /// Of what is mumbled: the channel it names cannot be read.
    pub(crate) channel_unread: Option<bool>,
    pub(crate) recipient: Option<RecipientId>,
    pub(crate) categories: Option<BTreeSet<Category>>,
    pub(crate) personalisation: Option<bool>,
    pub(crate) form: Option<ConsentForm>,
    pub(crate) act: Option<String>,
    pub(crate) indication: Option<String>,
    pub(crate) evidence: Option<bool>,
    /// `agent`, `system` or `guardian NAME`; the person unless named.
    pub(crate) by: Option<String>,
    pub(crate) authenticated: Option<bool>,
    pub(crate) expires: Option<String>,

    // Details of contracts.
    pub(crate) for_purpose: Option<PurposeId>,
    pub(crate) from: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Provenance {
    WithProvenance,
    WithoutProvenance,
}

/// What must come out of one question.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expectation {
    pub(crate) at: String,
    #[serde(rename = "use")]
    pub(crate) purpose: PurposeId,
    pub(crate) channel: Option<Channel>,
    pub(crate) recipient: Option<RecipientId>,
    /// Whose data: `person` unless named.
    pub(crate) of: Option<String>,
    /// `lawful` or the reason of the denial.
    pub(crate) is: String,
    /// The categories covered; with `lawful`, and only then.
    #[serde(rename = "for")]
    pub(crate) covers: Option<BTreeSet<Category>>,
    /// When the verdict must be looked at again: a time, or `never`.
    pub(crate) look_again: Option<String>,
}
