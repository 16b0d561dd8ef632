//! An event that intake refused (I9).

use serde::{Deserialize, Serialize};

use crate::wire::block;

/// What was refused and why; the body itself is sealed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rejection {
    /// Who sent what kind of wrong, without personal data.
    pub clear: RejectionClear,
    /// What was sent.
    pub evidence: Option<RejectionEvidence>,
}

/// Why it was refused.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct RejectionClear {
    /// The source that sent it.
    pub source: String,
    /// A stable code.
    pub code: String,
    /// Where in the body, e.g. `batch[3].properties.price`.
    #[serde(default)]
    pub place: Option<String>,
    /// In words, without values.
    pub reason: String,
}
block!(RejectionClear);

/// What was sent, sealed under the evidence key.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct RejectionEvidence {
    /// The body as received.
    pub body: String,
}
block!(personal RejectionEvidence);

impl Rejection {
    /// `source` sent something that was refused with `code`, for `reason`.
    #[must_use]
    pub fn new(
        source: impl Into<String>,
        code: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            clear: RejectionClear {
                source: source.into(),
                code: code.into(),
                place: None,
                reason: reason.into(),
            },
            evidence: None,
        }
    }

    /// At this place of the body.
    #[must_use]
    pub fn place(mut self, place: impl Into<String>) -> Self {
        self.clear.place = Some(place.into());
        self
    }

    /// With the body as received.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.evidence = Some(RejectionEvidence { body: body.into() });
        self
    }
}
