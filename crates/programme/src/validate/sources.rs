//! Sources: purposes that exist, and identifiers that are not columns at the same time.

use assent_consent::PurposeId;

use super::{Check, listed};
use crate::definition::DefinitionKind;
use crate::names::alike;
use crate::read::SINGLE;
use crate::source::{SourceDefinition, SourceKind};

pub(super) fn check(check: &mut Check<'_>) {
    let programme = check.programme;
    for source in &programme.sources {
        one(check, source);
    }
}

fn one(check: &mut Check<'_>, source: &SourceDefinition) {
    let Check {
        programme, unread, ..
    } = *check;
    let file = (DefinitionKind::Source, SINGLE);
    let index = programme
        .origins
        .item(file, "sources", ("id", &source.id), 0);
    let mut add = |path: &[&str], message: String, fix: String| {
        let path: Vec<&str> = ["sources", &index]
            .into_iter()
            .chain(path.iter().copied())
            .collect();
        check.add(DefinitionKind::Source, SINGLE, &path, message, fix);
    };
    let known = |id: &PurposeId| programme.purposes.contains_key(id) || unread.may_be(id);
    let fix = || format!("name one of {}", listed(programme.purposes.keys()));
    for id in source.gpc_purposes.iter().filter(|id| !known(id)) {
        let message = format!("the purpose {id} is not defined");
        add(&["gpc_purposes", id.as_str()], message, fix());
    }
    for (category, id) in source
        .consent_categories
        .iter()
        .filter(|(_, id)| !known(id))
    {
        let message = format!("the purpose {id} is not defined");
        add(&["consent_categories", category], message, fix());
    }
    for name in source.identifiers.keys() {
        let mut told = programme.traits.identified.iter();
        if told.any(|t| alike(&t.name, name)) {
            add(
                &["identifiers", name],
                format!("{name} is a column (traits.yaml) and an identifier at once"),
                "keep one: identifiers are sealed and never columns".to_owned(),
            );
        }
    }
    for name in source.sensitive_properties.keys() {
        let spellings = programme.sources.iter().flat_map(|other| {
            let names = other.sensitive_properties.keys();
            names.map(move |spelling| (spelling, other))
        });
        let first = spellings
            .filter(|(spelling, _)| alike(spelling, name))
            .min_by_key(|(spelling, _)| *spelling);
        if let Some((spelling, other)) = first.filter(|(spelling, _)| *spelling != name) {
            add(
                &["sensitive_properties", name],
                format!(
                    "{name} is the same property as {spelling} of source {}",
                    other.id
                ),
                format!("write `{spelling}`: it is kept under one name, whatever its case"),
            );
        }
    }
    if source.kind == SourceKind::Browser && !source.identifiers.is_empty() {
        add(
            &["identifiers"],
            "a browser source names identifiers, but anybody may hold its key".to_owned(),
            "remove `identifiers`; links of known people come from a server source".to_owned(),
        );
    }
}
