//! What a purpose and those below it know: channels, recipients, categories.

use std::collections::BTreeSet;

use assent_consent::{
    Category, Channel, Notice, NoticedPurpose, Purpose, PurposeId, RecipientId, Registry,
};

/// Everything the purposes reached by a selector declare.
#[derive(Default)]
pub(crate) struct Scope {
    pub(crate) channels: BTreeSet<Channel>,
    pub(crate) recipients: BTreeSet<RecipientId>,
    pub(crate) categories: BTreeSet<Category>,
    /// Whether any of them personalises.
    pub(crate) personalises: bool,
}

impl Scope {
    /// What a decision about this purpose, or about all, can reach.
    pub(crate) fn of_purposes(registry: &Registry, purpose: Option<&PurposeId>) -> Self {
        let mut scope = Self::default();
        for candidate in registry.purposes() {
            if purpose.is_none_or(|purpose| is_within(registry, candidate, purpose)) {
                scope.channels.extend(candidate.channels.iter().cloned());
                scope
                    .recipients
                    .extend(candidate.recipients.iter().cloned());
                scope
                    .categories
                    .extend(candidate.categories.iter().cloned());
                scope.personalises |= candidate.personalises;
            }
        }
        scope
    }

    /// What a notice states for this purpose and those below it; `None` when it lists none of them.
    pub(super) fn of_notice(
        registry: &Registry,
        notice: &Notice,
        purpose: &PurposeId,
    ) -> Option<Self> {
        let mut scope = None;
        for (id, noticed) in &notice.purposes {
            let within = id == purpose
                || registry
                    .purpose(id)
                    .is_some_and(|candidate| is_within(registry, candidate, purpose));
            if within {
                scope.get_or_insert_with(Self::default).add(noticed);
            }
        }
        scope
    }

    fn add(&mut self, noticed: &NoticedPurpose) {
        self.channels.extend(noticed.channels.iter().cloned());
        self.recipients.extend(noticed.recipients.keys().cloned());
        self.categories.extend(noticed.categories.iter().cloned());
        self.categories.extend(noticed.sensitive.keys().cloned());
        self.personalises |= noticed.personalises;
    }
}

/// Whether a purpose is this one or below it.
fn is_within(registry: &Registry, candidate: &Purpose, ancestor: &PurposeId) -> bool {
    let mut current = Some(candidate);
    // A registry is validated to have no cycles; the bound keeps a broken one from hanging intake.
    for _ in 0..64 {
        match current {
            Some(purpose) if purpose.id == *ancestor => return true,
            Some(purpose) => {
                current = purpose.parent.as_ref().and_then(|id| registry.purpose(id));
            }
            None => return false,
        }
    }
    false
}
