//! A segment: a named query bound to one purpose, and the check of its SQL that the caller supplies.

use assent_consent::{Channel, PurposeId, RecipientId, Use};
use serde::{Deserialize, Serialize};

use crate::canonical::sha256_hex;
use crate::registry::RegistryState;

/// A named query over what one purpose may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentDefinition {
    /// Name, a slug.
    pub name: String,
    /// Counted from 1 when planned; 1 in a programme that was only loaded.
    pub version: u32,
    /// The purpose whose verdicts decide who exists for the query.
    pub purpose: PurposeId,
    /// The channel the segment is made for, if it is bound to one.
    pub channel: Option<Channel>,
    /// The recipient the segment is made for, if the purpose shares.
    pub recipient: Option<RecipientId>,
    /// What the author wrote above the statement, comment marks removed.
    pub description: String,
    /// SQL after `AS`, without the closing semicolon.
    pub query: String,
    /// Line of the file on which the query starts, from 1.
    pub query_line: u32,
    /// Column of that line on which the query starts, from 1.
    pub query_column: u32,
}

impl SegmentDefinition {
    /// SHA-256 of the query text (UTF-8), lower-case hex.
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256_hex(self.query.as_bytes())
    }

    /// What a session declares in order to run this segment.
    #[must_use]
    pub fn declared_use(&self) -> Use {
        Use {
            purpose: self.purpose.clone(),
            channel: self.channel.clone(),
            recipient: self.recipient.clone(),
        }
    }

    /// Turns a place within the query (from 1) into a place within its file.
    #[must_use]
    pub fn place_in_file(&self, line: u32, column: u32) -> (u32, u32) {
        if line <= 1 {
            let start = self.query_column.saturating_sub(1);
            (self.query_line, column.saturating_add(start))
        } else {
            (self.query_line.saturating_add(line - 1), column)
        }
    }

    /// Whether both say the same: everything but version and place in the file.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        self.name == other.name
            && self.purpose == other.purpose
            && self.channel == other.channel
            && self.recipient == other.recipient
            && self.description == other.description
            && self.query == other.query
    }
}

/// What is wrong with a segment's SQL, in the query's own coordinates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFault {
    /// Line within the query, from 1.
    pub line: u32,
    /// Column within the line, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

/// Checks the SQL of a segment; implemented by the crate that owns the query engine.
pub trait SegmentCheck {
    /// Checks `segment` against `state`, the registry as it will be once the plan is applied.
    ///
    /// # Errors
    /// The fault, placed within the query; [`crate::plan_checked`] turns it into a place in the file.
    fn check(&self, state: &RegistryState, segment: &SegmentDefinition)
    -> Result<(), SegmentFault>;
}
