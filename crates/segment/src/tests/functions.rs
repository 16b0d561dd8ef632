//! The golden list of functions: an upgrade that adds one fails here until it is classified.

use std::collections::BTreeSet;

use crate::sql::functions::{AGGREGATE, REFUSED, SCALAR, WINDOW};
use datafusion::execution::SessionStateDefaults;

#[test]
fn every_function_of_the_engine_is_classified() {
    let offered: BTreeSet<String> = SessionStateDefaults::default_scalar_functions()
        .iter()
        .map(|function| function.name().to_owned())
        .collect();
    let classified: BTreeSet<String> = SCALAR
        .iter()
        .chain(REFUSED)
        .map(|name| (*name).to_owned())
        .collect();
    let new: Vec<&String> = offered.difference(&classified).collect();
    let gone: Vec<&String> = classified.difference(&offered).collect();
    assert!(new.is_empty(), "not classified: {new:?}");
    assert!(gone.is_empty(), "no longer offered: {gone:?}");
    assert_eq!(
        SCALAR.len() + REFUSED.len(),
        classified.len(),
        "a name stands twice"
    );

    let offered: BTreeSet<String> = SessionStateDefaults::default_aggregate_functions()
        .iter()
        .map(|function| function.name().to_owned())
        .collect();
    assert_eq!(offered, names(AGGREGATE), "aggregate functions");
    let offered: BTreeSet<String> = SessionStateDefaults::default_window_functions()
        .iter()
        .map(|function| function.name().to_owned())
        .collect();
    assert_eq!(offered, names(WINDOW), "window functions");
}

#[test]
fn what_can_be_called_is_the_golden_list() {
    let mut lines: Vec<String> = Vec::new();
    for function in SessionStateDefaults::default_scalar_functions() {
        if SCALAR.contains(&function.name()) {
            lines.push(line("scalar", function.name(), function.aliases()));
        }
    }
    for function in SessionStateDefaults::default_aggregate_functions() {
        if AGGREGATE.contains(&function.name()) {
            lines.push(line("aggregate", function.name(), function.aliases()));
        }
    }
    for function in SessionStateDefaults::default_window_functions() {
        if WINDOW.contains(&function.name()) {
            lines.push(line("window", function.name(), function.aliases()));
        }
    }
    lines.sort();
    let now = lines.join("\n") + "\n";
    let golden = include_str!("functions.golden");
    assert_eq!(
        now, golden,
        "callable names have changed: read what is new, then update the golden file"
    );
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn line(kind: &str, name: &str, aliases: &[String]) -> String {
    let mut aliases = aliases.to_vec();
    aliases.sort();
    if aliases.is_empty() {
        format!("{kind} {name}")
    } else {
        format!("{kind} {name} = {}", aliases.join(", "))
    }
}
