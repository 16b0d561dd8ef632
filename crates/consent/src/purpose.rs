//! Purposes: what data is used for, on which legal basis and within which bounds.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::basis::{ConsentForm, LegalBasis};
use crate::slug::{Category, Channel, Namespace, PurposeId, RecipientId};

/// A declared purpose (art. 6): the current version of its definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purpose {
    /// Its name.
    pub id: PurposeId,
    /// Its version, counted from 1.
    pub version: u32,
    /// What people are told it is, by language tag.
    pub title: BTreeMap<String, String>,
    /// The one legal basis on which it rests (art. 13).
    pub basis: LegalBasis,
    /// The statute that supports the basis, where it needs one (art. 13(1)(3) and (7)).
    #[serde(default)]
    pub citation: Option<String>,
    /// The purpose it is part of: grants and withdrawals of the parent reach down to it.
    #[serde(default)]
    pub parent: Option<PurposeId>,
    /// The categories of data it may read.
    pub categories: BTreeSet<Category>,
    /// Those of its categories that are sensitive and need separate consent (art. 28, 29).
    #[serde(default)]
    pub sensitive: BTreeSet<Category>,
    /// Whether it decides by what it knows of the person (art. 24).
    #[serde(default)]
    pub personalises: bool,
    /// The channels on which it may reach people; empty for a purpose that reaches nobody.
    #[serde(default)]
    pub channels: BTreeSet<Channel>,
    /// Other handlers to whom it provides data (art. 23).
    #[serde(default)]
    pub recipients: BTreeSet<RecipientId>,
    /// The form of consent it needs.
    #[serde(default = "general")]
    pub form: ConsentForm,
    /// How many days a grant lasts, counted from the day after it was given; `None`: no limit.
    #[serde(default)]
    pub grant_validity_days: Option<u32>,
    /// How many days data of a category is kept for it, where that differs from the default.
    #[serde(default)]
    pub retention_days: BTreeMap<Category, u32>,
    /// How many days data is kept for it (art. 19).
    pub default_retention_days: u32,
    /// How many days must pass before a person who refused is asked again; `None`: never.
    #[serde(default)]
    pub reask_after_days: Option<u32>,
    /// Whether it denies people whose birth date is unknown (art. 31).
    #[serde(default)]
    pub requires_known_age: bool,
    /// Whether it is marketing, which no contract supports.
    #[serde(default)]
    pub marketing: bool,
    /// The identifier namespaces its exports may carry, in order of preference.
    #[serde(default)]
    pub export_namespaces: Vec<Namespace>,
}

fn general() -> ConsentForm {
    ConsentForm::General
}

/// What is wrong with a purpose: the field, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}; {fix}")]
pub struct PurposeFault {
    /// The field at fault.
    pub field: &'static str,
    /// Why it cannot stand, with the article.
    pub problem: String,
    /// What to write instead.
    pub fix: String,
}

impl Purpose {
    /// What is wrong with the definition in itself; empty when it can be used.
    ///
    /// Whether the parent exists and whether a notice lists the purpose is for the programme.
    #[must_use]
    pub fn faults(&self) -> Vec<PurposeFault> {
        let mut faults = Vec::new();
        let mut add = |field, problem: String, fix: &str| {
            faults.push(PurposeFault {
                field,
                problem,
                fix: fix.to_owned(),
            });
        };
        if self.version == 0 {
            add("version", "is 0".into(), "count versions from 1");
        }
        if self.title.values().all(|title| title.trim().is_empty()) {
            add(
                "title",
                "no language has a title, and people must be told the purpose (art. 17)".into(),
                "add a title in at least one language",
            );
        }
        if self.parent.as_ref() == Some(&self.id) {
            add(
                "parent",
                "the purpose is its own parent".into(),
                "name another purpose or leave the field out",
            );
        }
        if self.categories.is_empty() {
            add(
                "categories",
                "is empty: the purpose could read nothing".into(),
                "list the categories of data it needs (art. 6)",
            );
        }
        for category in self.sensitive.difference(&self.categories) {
            add(
                "sensitive",
                format!("{category} is not among the purpose's categories"),
                "list it under categories, too, or leave it out",
            );
        }
        for category in self.retention_days.keys() {
            if !self.categories.contains(category) {
                add(
                    "retention_days",
                    format!("{category} is not among the purpose's categories"),
                    "leave it out or list it under categories, too",
                );
            }
        }
        self.basis_faults(&mut add);
        faults
    }

    fn basis_faults(&self, add: &mut impl FnMut(&'static str, String, &str)) {
        let cites = |text: &Option<String>| text.as_ref().is_some_and(|t| !t.trim().is_empty());
        if self.basis == LegalBasis::OtherLaw && !cites(&self.citation) {
            add(
                "citation",
                "art. 13(1)(7) needs the law or administrative regulation it relies on".into(),
                "cite it",
            );
        }
        if self.marketing && self.basis == LegalBasis::Contract {
            add(
                "basis",
                "marketing is never necessary for a contract (art. 13(1)(2))".into(),
                "use consent",
            );
        }
        if self.form == ConsentForm::Guardian {
            add(
                "form",
                "guardian is a form of grants for children, not one a purpose asks for (art. 31)"
                    .into(),
                "write general, separate or written",
            );
        }
        if self.form == ConsentForm::Written && !cites(&self.citation) {
            add(
                "form",
                "written consent is asked for only where a statute or administrative regulation \
                 says so (art. 29)"
                    .into(),
                "cite it under citation or write separate",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purpose(more: &str) -> Purpose {
        let text = format!(
            r#"{{ "id": "sharing", "version": 1, "title": {{ "en": "Sharing" }},
                "basis": "consent", "categories": ["contact"], "default_retention_days": 30
                {more} }}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn fields(purpose: &Purpose) -> Vec<&'static str> {
        purpose
            .faults()
            .into_iter()
            .map(|fault| fault.field)
            .collect()
    }

    #[test]
    fn what_is_not_written_is_the_restrictive_default() {
        let sound = purpose("");
        assert_eq!(fields(&sound), [""; 0]);
        assert_eq!(sound.form, ConsentForm::General);
        assert!(sound.recipients.is_empty() && sound.channels.is_empty());
        assert!(sound.reask_after_days.is_none());
    }

    #[test]
    fn each_fault_names_its_field() {
        for (more, field) in [
            (r#", "sensitive": ["health"]"#, "sensitive"),
            (r#", "retention_days": { "health": 1 }"#, "retention_days"),
            (r#", "parent": "sharing""#, "parent"),
            (r#", "form": "written""#, "form"),
        ] {
            assert_eq!(fields(&purpose(more)), [field]);
        }
        let mut broken = purpose("");
        broken.version = 0;
        broken.title.clear();
        broken.categories.clear();
        assert_eq!(fields(&broken), ["version", "title", "categories"]);
    }

    #[test]
    fn bases_that_cannot_support_the_purpose_are_faults() {
        let mut marketing = purpose(r#", "marketing": true"#);
        assert_eq!(fields(&marketing), [""; 0]);
        marketing.basis = LegalBasis::Contract;
        assert_eq!(fields(&marketing), ["basis"]);
        let mut other = purpose("");
        other.basis = LegalBasis::OtherLaw;
        assert_eq!(fields(&other), ["citation"]);
        other.citation = Some("Some Law, art. 1".to_owned());
        assert_eq!(fields(&other), [""; 0]);
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let text = r#"{ "id": "a", "version": 1, "title": {}, "basis": "consent",
            "categories": [], "default_retention_days": 1, "chanels": [] }"#;
        assert!(serde_json::from_str::<Purpose>(text).is_err());
    }
}
