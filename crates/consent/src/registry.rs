//! The definitions that evaluation reads: purposes and notices, as published.

use std::collections::BTreeMap;

use crate::calendar::Calendar;
use crate::ids::NoticeRef;
use crate::notice::Notice;
use crate::purpose::Purpose;
use crate::slug::{NoticeId, PurposeId};

/// The purposes in their current version, the notices in all of theirs, and the calendar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    calendar: Calendar,
    purposes: BTreeMap<PurposeId, Purpose>,
    notices: BTreeMap<NoticeId, BTreeMap<u32, Notice>>,
}

/// A published notice version was to be replaced by a different one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("notice {0} is published and cannot change: publish what differs as a new version")]
pub struct NoticeChanged(pub NoticeRef);

impl Registry {
    /// A registry without definitions.
    #[must_use]
    pub fn new(calendar: Calendar) -> Self {
        Self {
            calendar,
            ..Self::default()
        }
    }

    /// The registry with this purpose added or replaced.
    #[must_use]
    pub fn with_purpose(mut self, purpose: Purpose) -> Self {
        self.insert_purpose(purpose);
        self
    }

    /// Adds a purpose, or replaces its definition by a newer version.
    pub fn insert_purpose(&mut self, purpose: Purpose) {
        self.purposes.insert(purpose.id.clone(), purpose);
    }

    /// Retires a purpose: every use of it is denied from now on.
    pub fn remove_purpose(&mut self, id: &PurposeId) {
        self.purposes.remove(id);
    }

    /// Adds a notice version.
    ///
    /// # Errors
    /// [`NoticeChanged`] when that version stands already with other contents; the registry is
    /// unchanged then.
    pub fn insert_notice(&mut self, notice: Notice) -> Result<(), NoticeChanged> {
        let versions = self.notices.entry(notice.id.clone()).or_default();
        match versions.get(&notice.version) {
            Some(published) if *published != notice => Err(NoticeChanged(notice.reference())),
            Some(_) => Ok(()),
            None => {
                versions.insert(notice.version, notice);
                Ok(())
            }
        }
    }

    /// The calendar in which days are counted.
    #[must_use]
    pub fn calendar(&self) -> Calendar {
        self.calendar
    }

    /// Changes the calendar in which days are counted.
    pub fn set_calendar(&mut self, calendar: Calendar) {
        self.calendar = calendar;
    }

    /// The current version of a purpose.
    #[must_use]
    pub fn purpose(&self, id: &PurposeId) -> Option<&Purpose> {
        self.purposes.get(id)
    }

    /// A purpose and its ancestors, nearest first: what is decided or said for one of them reaches the purpose
    /// (law.md §4, "Withdrawal scope": parent cascades down, child leaves parent). A parent that is not registered is an
    /// ancestor still, and the last one. Parents that run in a circle, which the programme refuses, are walked once.
    #[must_use]
    pub fn lineage<'a>(&'a self, purpose: &'a PurposeId) -> Vec<&'a PurposeId> {
        let parent = |id: &PurposeId| self.purpose(id)?.parent.as_ref();
        let mut lineage = vec![purpose];
        let mut next = parent(purpose);
        while let Some(ancestor) = next.filter(|ancestor| !lineage.contains(ancestor)) {
            lineage.push(ancestor);
            next = parent(ancestor);
        }
        lineage
    }

    /// All purposes, by name.
    pub fn purposes(&self) -> impl Iterator<Item = &Purpose> {
        self.purposes.values()
    }

    /// One version of a notice.
    #[must_use]
    pub fn notice(&self, reference: &NoticeRef) -> Option<&Notice> {
        self.notices.get(&reference.id)?.get(&reference.version)
    }

    /// All versions of a notice, in ascending order; none if there is no such notice.
    pub fn versions(&self, id: &NoticeId) -> impl Iterator<Item = &Notice> {
        self.notices.get(id).into_iter().flat_map(BTreeMap::values)
    }

    /// All versions of all notices.
    pub fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.notices.values().flat_map(BTreeMap::values)
    }

    /// The versions of each notice.
    pub(crate) fn notices_by_id(&self) -> impl Iterator<Item = &BTreeMap<u32, Notice>> {
        self.notices.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::{Handler, NoticeChange};
    use crate::time::Timestamp;

    fn notice(version: u32, rights: &str) -> Notice {
        Notice {
            id: "terms".parse().unwrap(),
            version,
            change: NoticeChange::Material,
            effective_from: Timestamp::from_micros(0),
            handler: Handler {
                name: String::new(),
                contact: String::new(),
            },
            rights: rights.to_owned(),
            purposes: BTreeMap::new(),
            texts: BTreeMap::new(),
            exemption: None,
        }
    }

    #[test]
    fn a_published_notice_version_never_changes() {
        let mut registry = Registry::new(Calendar::default());
        registry.insert_notice(notice(2, "old")).unwrap();
        registry.insert_notice(notice(2, "old")).unwrap();
        let error = registry.insert_notice(notice(2, "new")).unwrap_err();
        assert!(error.to_string().contains("terms@2"), "{error}");
        let reference = notice(2, "old").reference();
        assert_eq!(registry.notice(&reference).unwrap().rights, "old");
        registry.insert_notice(notice(1, "first")).unwrap();
        let versions: Vec<_> = registry
            .versions(&reference.id)
            .map(|n| n.version)
            .collect();
        assert_eq!(versions, [1, 2]);
    }
}
