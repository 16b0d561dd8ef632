//! A member entered a segment, or left it.

use assent_consent::Use;
use serde::{Deserialize, Serialize};

use crate::wire::block;

/// A change of a segment's members, told to whoever delivers it. The envelope's subject is the member.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SegmentChange {
    /// All of it: who must no longer be reached has to be named also when every key of that member is gone.
    pub clear: SegmentChangeClear,
}

/// The change.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct SegmentChangeClear {
    /// The segment.
    pub segment: String,
    /// Which version of it.
    pub segment_version: u32,
    /// The step of the segment's history that made the change; a later one has a greater number.
    pub step: u64,
    /// Whether the member is in the segment from here on.
    pub entered: bool,
    /// `query`, `consent`, `identity` or `removed`.
    pub cause: String,
    /// The purpose for which the segment may be used, and no other.
    pub purpose: String,
    /// Over this channel.
    #[serde(default)]
    pub channel: Option<String>,
    /// For this recipient.
    #[serde(default)]
    pub recipient: Option<String>,
}
block!(SegmentChangeClear);

impl SegmentChange {
    /// A change in this step of the segment, which stands under this use.
    #[must_use]
    pub fn of(
        (segment, version): (&str, u32),
        declared: &Use,
        step: u64,
        (entered, cause): (bool, &str),
    ) -> Self {
        Self {
            clear: SegmentChangeClear {
                segment: segment.to_owned(),
                segment_version: version,
                step,
                entered,
                cause: cause.to_owned(),
                purpose: declared.purpose.to_string(),
                channel: declared.channel.as_ref().map(ToString::to_string),
                recipient: declared.recipient.as_ref().map(ToString::to_string),
            },
        }
    }
}
