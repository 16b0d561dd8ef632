//! Traits: columns that are distinct, readable by somebody, and as sensitive as what they come from.

use std::collections::{BTreeMap, BTreeSet};

use assent_consent::Category;

use super::{Check, is_sensitive, listed};
use crate::definition::DefinitionKind;
use crate::names::{alike, is_direct_identifier};
use crate::read::SINGLE;
use crate::traits::Measure;

/// Columns that every member has anyway, and names that are ids in the profiles.
const RESERVED: &[&str] = &[
    "member_id",
    "member",
    "account_id",
    "subscription_id",
    "subject",
    "subject_id",
    "first_seen",
    "last_seen",
];

/// What of every event is text.
const TEXTS: &[&str] = &["currency", "product"];

pub(super) fn check(check: &mut Check<'_>) {
    let traits = &check.programme.traits;
    let mut columns = BTreeMap::new();
    for (index, one) in traits.identified.iter().enumerate() {
        let before = traits.identified[..index]
            .iter()
            .filter(|t| t.name == one.name)
            .count();
        let mut at = At::new(check, "identified", &one.name, before);
        at.name(&one.name, &mut columns);
        at.category(&one.category, one.sensitive);
        if one.is_direct_identifier() {
            at.direct("name", &one.name);
        }
    }
    for (index, one) in traits.derived.iter().enumerate() {
        let before = traits.derived[..index]
            .iter()
            .filter(|t| t.name == one.name)
            .count();
        let mut at = At::new(check, "derived", &one.name, before);
        at.name(&one.name, &mut columns);
        at.category(&one.category, one.sensitive);
        if let Some(property) = one.measure.property() {
            at.identifies(&one.name, property);
            at.taint(property, &one.category, one.sensitive);
        }
        if let Measure::Sum { property } = &one.measure
            && TEXTS.contains(&property.as_str())
        {
            let message = format!("{property} is text and cannot be summed");
            at.add(
                "measure",
                message,
                "sum revenue, quantity or a property that holds numbers",
            );
        }
    }
}

/// One trait under check.
struct At<'c, 'a> {
    check: &'c mut Check<'a>,
    list: &'static str,
    index: String,
}

impl<'c, 'a> At<'c, 'a> {
    fn new(check: &'c mut Check<'a>, list: &'static str, name: &str, before: usize) -> Self {
        let file = (DefinitionKind::Traits, SINGLE);
        let index = check
            .programme
            .origins
            .item(file, list, ("name", name), before);
        Self { check, list, index }
    }

    fn add(&mut self, field: &str, message: impl Into<String>, fix: impl Into<String>) {
        let path = [self.list, &self.index, field];
        self.check
            .add(DefinitionKind::Traits, SINGLE, &path, message, fix);
    }

    fn name<'n>(&mut self, name: &'n str, columns: &mut BTreeMap<&'n str, &'static str>) {
        if RESERVED.contains(&name) {
            self.add(
                "name",
                format!("{name} is a column of every member"),
                "give the trait another name",
            );
        }
        if name.contains("__") {
            self.add(
                "name",
                format!("{name} has two underscores in a row, which mark parts of a column"),
                "write a single underscore",
            );
        }
        if let Some(first) = columns.insert(name, self.list) {
            self.add(
                "name",
                format!("the trait {name} stands twice, first under {first}"),
                "give one of them another name: both would be the same column",
            );
        }
    }

    fn category(&mut self, category: &Category, sensitive: bool) {
        if is_sensitive(category) && !sensitive {
            self.add(
                "category",
                format!("{category} is sensitive (art. 28), the trait does not say so"),
                "add `sensitive: true`",
            );
        }
        if self.check.unread.any_purpose() {
            return;
        }
        let purposes = self.check.programme.purposes.values();
        let readable: BTreeSet<&Category> = purposes.flat_map(|p| &p.categories).collect();
        if !readable.contains(category) {
            let known = listed(readable);
            self.add(
                "category",
                format!("no purpose may read {category}, so the column would always be empty"),
                format!("name one of {known}, or add it to a purpose"),
            );
        }
    }

    fn direct(&mut self, field: &str, name: &str) {
        self.add(
            field,
            format!("{name} identifies people directly and is never a column"),
            "list it under `identifiers:` of the source, with its namespace",
        );
    }

    /// What reaches or names a person is sealed at intake, and no value is derived from it.
    fn identifies(&mut self, name: &str, property: &str) {
        if is_direct_identifier(name) {
            self.direct("name", name);
        }
        if is_direct_identifier(property) {
            return self.direct("measure", property);
        }
        let sources = &self.check.programme.sources;
        let declaring = sources.iter().find(|s| {
            s.identifiers
                .keys()
                .any(|declared| alike(declared, property))
        });
        if let Some(source) = declaring {
            self.add(
                "measure",
                format!("{property} is an identifier (source {})", source.id),
                "read another property: identifiers are sealed and never columns",
            );
        }
    }

    /// What is derived from sensitive data is sensitive (law.md §4, derived traits). Every source counts, since the
    /// trait reads the events of all of them; names are compared as intake compares them.
    fn taint(&mut self, property: &str, category: &Category, sensitive: bool) {
        let programme = self.check.programme;
        let mut declared: BTreeMap<&Category, (&str, &str)> = BTreeMap::new();
        for source in &programme.sources {
            for (name, of_property) in &source.sensitive_properties {
                if alike(name, property) {
                    declared
                        .entry(of_property)
                        .or_insert((name.as_str(), source.id.as_str()));
                }
            }
        }
        let Some((of_property, (name, source))) = declared.first_key_value() else {
            return;
        };
        if declared.len() > 1 {
            let message = format!(
                "the property {property} has several categories: {}",
                listed(declared.keys().copied())
            );
            let fix = "give it one category in every source, or name the properties apart";
            self.add("measure", message, fix);
            return;
        }
        if !sensitive {
            let message =
                format!("the property {property} is sensitive (source {source}), the trait is not");
            self.add("name", message, "add `sensitive: true`");
        }
        if category != *of_property {
            let message =
                format!("the property {property} has category {of_property}, the trait {category}");
            self.add(
                "category",
                message,
                format!("write `category: {of_property}`"),
            );
        }
        if *name != property {
            self.add(
                "measure",
                format!("the property is declared as {name} and kept under that name"),
                format!("write `{name}`"),
            );
        }
    }
}
