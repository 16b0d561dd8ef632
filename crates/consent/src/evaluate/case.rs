//! The question an evaluation answers: a use, made definite by its purpose.

use std::collections::BTreeSet;

use crate::purpose::Purpose;
use crate::registry::Registry;
use crate::slug::{Channel, RecipientId};
use crate::verdict::Use;

use super::record::{Lineage, Record};

/// A use of a registered purpose, its channel and recipient filled in, and the facts known.
pub(super) struct Case<'a> {
    pub(super) registry: &'a Registry,
    pub(super) record: &'a Record<'a>,
    pub(super) lineage: &'a Lineage<'a>,
    pub(super) purpose: &'a Purpose,
    pub(super) channel: Option<&'a Channel>,
    pub(super) recipient: Option<&'a RecipientId>,
}

impl<'a> Case<'a> {
    /// A use that names no channel or recipient means the purpose's only one, if it has just one
    /// (R9).
    pub(super) fn new(
        registry: &'a Registry,
        record: &'a Record<'a>,
        lineage: &'a Lineage<'a>,
        purpose: &'a Purpose,
        use_: &'a Use,
    ) -> Self {
        Self {
            registry,
            record,
            lineage,
            purpose,
            channel: use_.channel.as_ref().or_else(|| only(&purpose.channels)),
            recipient: use_
                .recipient
                .as_ref()
                .or_else(|| only(&purpose.recipients)),
        }
    }

    /// Whether the purpose has the channel at all (R10).
    pub(super) fn purpose_has_channel(&self) -> bool {
        self.channel
            .is_none_or(|channel| self.purpose.channels.contains(channel))
    }

    /// Whether the recipient is one of the purpose's; a purpose that provides data to others
    /// needs a use that says to whom (R9, art. 23).
    pub(super) fn purpose_has_recipient(&self) -> bool {
        match self.recipient {
            Some(recipient) => self.purpose.recipients.contains(recipient),
            None => self.purpose.recipients.is_empty(),
        }
    }
}

fn only<T: Ord>(set: &BTreeSet<T>) -> Option<&T> {
    if set.len() == 1 { set.first() } else { None }
}
