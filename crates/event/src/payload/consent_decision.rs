//! A grant, refusal or withdrawal, as recorded.

use std::collections::BTreeSet;

use assent_consent::{SubjectId, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::wire::{block, fixed, micros, subject};

/// A decision of a subject about a purpose (PIPL art. 14, 15): what the fold needs in the clear
/// block, what proves it in the evidence block.
///
/// Made with [`Self::granted`], [`Self::refused`] or [`Self::withdrawn`] and completed by the
/// methods named after its fields.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConsentDecision {
    /// What `evaluate` folds.
    pub clear: ConsentDecisionClear,
    /// What proves it; gone once the evidence key is destroyed.
    pub evidence: Option<ConsentDecisionEvidence>,
}

/// The part of a decision that `evaluate` folds. It holds no personal data.
///
/// Texts are kept as they came: what cannot be understood restricts (I5), see [`crate::to_fact`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct ConsentDecisionClear {
    /// `granted`, `refused` or `withdrawn`.
    pub state: String,
    /// The purpose; none means all of them.
    #[serde(default)]
    pub purpose: Option<String>,
    /// Only this channel.
    #[serde(default)]
    pub channel: Option<String>,
    /// Only this recipient (PIPL art. 23).
    #[serde(default)]
    pub recipient: Option<String>,
    /// Only these data categories.
    #[serde(default)]
    pub categories: Option<Vec<String>>,
    /// About personalisation (PIPL art. 24): `false` on a refusal or withdrawal ends only the
    /// personalisation.
    #[serde(default)]
    pub personalisation: Option<bool>,
    /// The notice shown.
    #[serde(default)]
    pub notice_id: Option<String>,
    /// Which version of it.
    #[serde(default)]
    pub notice_version: Option<u32>,
    /// `general`, `separate`, `written` or `guardian`.
    pub form: String,
    /// What the person did, e.g. `checkbox_ticked`. A grant counts by the acts named in
    /// [`assent_consent::Act`] only.
    pub act: String,
    /// Opaque digest of the indication, so that the fold sees two decisions made by one act
    /// (bundling).
    #[serde(default, with = "fixed::option")]
    pub indication_digest: Option<[u8; 32]>,
    /// Is there an artefact that proves it?
    pub has_evidence: bool,
    /// `subject`, `guardian`, `agent` or `system`.
    pub actor: String,
    /// The guardian, when the actor is one (PIPL art. 31).
    #[serde(default, with = "subject::option")]
    pub guardian: Option<SubjectId>,
    /// Was the person authenticated?
    pub authenticated: bool,
    /// Ends at this instant (exclusive).
    #[serde(default, with = "micros::option")]
    pub expires_at: Option<Timestamp>,
}
block!(ConsentDecisionClear);

/// What proves a decision (PIPL art. 69), sealed under the evidence key.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct ConsentDecisionEvidence {
    /// The id of the one act that indicated it.
    #[serde(default)]
    pub indication: Option<String>,
    /// The artefact or a reference to it (scan digest, recording).
    #[serde(default)]
    pub evidence: Option<String>,
    /// Who recorded it.
    #[serde(default)]
    pub recorded_by: Option<String>,
    /// Where it was collected (form, page, shop).
    #[serde(default)]
    pub collection_point: Option<String>,
    /// In which language the notice was shown.
    #[serde(default)]
    pub language: Option<String>,
    /// The device or program with which it was made.
    #[serde(default)]
    pub agent: Option<String>,
}
block!(personal ConsentDecisionEvidence);

/// What stands in clear for an indication: SHA-256 over the source and the indication, each
/// preceded by its length.
///
/// Indications are ids of acts, not of persons; still the raw one stays sealed, as a source may put
/// anything there.
#[must_use]
pub fn indication_digest(source: &str, indication: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in [source, indication] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

impl ConsentDecision {
    /// A general grant of `purpose` by the authenticated subject, who ticked a box.
    #[must_use]
    pub fn granted(purpose: impl Into<String>) -> Self {
        Self::of("granted", Some(purpose.into())).act("checkbox_ticked")
    }

    /// A refusal of `purpose` by the authenticated subject.
    #[must_use]
    pub fn refused(purpose: impl Into<String>) -> Self {
        Self::of("refused", Some(purpose.into()))
    }

    /// A withdrawal of `purpose` by the authenticated subject.
    #[must_use]
    pub fn withdrawn(purpose: impl Into<String>) -> Self {
        Self::of("withdrawn", Some(purpose.into()))
    }

    /// A withdrawal of all purposes by the authenticated subject.
    #[must_use]
    pub fn withdrawn_from_all() -> Self {
        Self::of("withdrawn", None)
    }

    /// A decision in this state about a purpose or all, of general form, by the authenticated
    /// subject; by what act is not said.
    #[must_use]
    pub fn of(state: impl Into<String>, purpose: Option<String>) -> Self {
        Self {
            clear: ConsentDecisionClear {
                state: state.into(),
                purpose,
                form: "general".to_owned(),
                act: "unspecified".to_owned(),
                actor: "subject".to_owned(),
                authenticated: true,
                ..ConsentDecisionClear::default()
            },
            evidence: None,
        }
    }

    /// Under this version of this notice.
    #[must_use]
    pub fn notice(mut self, id: impl Into<String>, version: u32) -> Self {
        self.clear.notice_id = Some(id.into());
        self.clear.notice_version = Some(version);
        self
    }

    /// For this channel only.
    #[must_use]
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.clear.channel = Some(channel.into());
        self
    }

    /// For this recipient only.
    #[must_use]
    pub fn recipient(mut self, recipient: impl Into<String>) -> Self {
        self.clear.recipient = Some(recipient.into());
        self
    }

    /// For these data categories only.
    #[must_use]
    pub fn categories<C: Into<String>>(mut self, categories: impl IntoIterator<Item = C>) -> Self {
        let sorted: BTreeSet<String> = categories.into_iter().map(Into::into).collect();
        self.clear.categories = Some(sorted.into_iter().collect());
        self
    }

    /// About personalisation.
    #[must_use]
    pub fn personalisation(mut self, personalised: bool) -> Self {
        self.clear.personalisation = Some(personalised);
        self
    }

    /// In this form: `general`, `separate`, `written` or `guardian`.
    #[must_use]
    pub fn form(mut self, form: impl Into<String>) -> Self {
        self.clear.form = form.into();
        self
    }

    /// By this act.
    #[must_use]
    pub fn act(mut self, act: impl Into<String>) -> Self {
        self.clear.act = act.into();
        self
    }

    /// Indicated by this act of `source`: its digest in clear, the id itself as evidence. An id of nothing but white space
    /// names no act, so it has no digest: the rules could not tell it from a real one any more.
    #[must_use]
    pub fn indication(mut self, source: &str, indication: impl Into<String>) -> Self {
        let indication = indication.into();
        let names_an_act = !indication.trim().is_empty();
        self.clear.indication_digest = names_an_act.then(|| indication_digest(source, &indication));
        self.evidence.get_or_insert_default().indication = Some(indication);
        self
    }

    /// Proven by this artefact.
    #[must_use]
    pub fn artefact(mut self, evidence: impl Into<String>) -> Self {
        self.clear.has_evidence = true;
        self.evidence.get_or_insert_default().evidence = Some(evidence.into());
        self
    }

    /// Recorded by this person or program.
    #[must_use]
    pub fn recorded_by(mut self, recorder: impl Into<String>) -> Self {
        self.evidence.get_or_insert_default().recorded_by = Some(recorder.into());
        self
    }

    /// Collected here.
    #[must_use]
    pub fn collection_point(mut self, point: impl Into<String>) -> Self {
        self.evidence.get_or_insert_default().collection_point = Some(point.into());
        self
    }

    /// Shown in this language.
    #[must_use]
    pub fn language(mut self, language: impl Into<String>) -> Self {
        self.evidence.get_or_insert_default().language = Some(language.into());
        self
    }

    /// Made by an agent (a person of ours) instead of the subject.
    #[must_use]
    pub fn by_agent(mut self) -> Self {
        self.clear.actor = "agent".to_owned();
        self
    }

    /// Made by a program (an import) instead of the subject.
    #[must_use]
    pub fn by_system(mut self) -> Self {
        self.clear.actor = "system".to_owned();
        self
    }

    /// Made by this guardian, in guardian form.
    #[must_use]
    pub fn by_guardian(mut self, guardian: SubjectId) -> Self {
        self.clear.actor = "guardian".to_owned();
        self.clear.form = "guardian".to_owned();
        self.clear.guardian = Some(guardian);
        self
    }

    /// Made by somebody who was not authenticated.
    #[must_use]
    pub fn unauthenticated(mut self) -> Self {
        self.clear.authenticated = false;
        self
    }

    /// Ends at this instant (exclusive).
    #[must_use]
    pub fn expires_at(mut self, instant: Timestamp) -> Self {
        self.clear.expires_at = Some(instant);
        self
    }
}
