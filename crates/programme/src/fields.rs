//! Typed reading of a YAML tree: every reader reports what is wrong and goes on.
//!
//! A reader returns `None` only after it has reported a fault, so a missing value never goes unsaid.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use crate::fault::Fault;
use crate::yaml::{Entry, Node, Place, Tree};

/// Collects the faults of one file.
pub(crate) struct Report<'a> {
    pub(crate) file: &'a str,
    pub(crate) faults: &'a mut Vec<Fault>,
}

impl Report<'_> {
    pub(crate) fn at(&mut self, place: Place, message: impl Into<String>, fix: impl Into<String>) {
        self.faults.push(Fault {
            file: self.file.to_owned(),
            line: place.line,
            column: place.column,
            message: message.into(),
            fix: fix.into(),
        });
    }

    /// Reports an error whose text is `message; fix`, as the errors of the consent crate are.
    pub(crate) fn error(&mut self, place: Place, error: &dyn Display) {
        let text = error.to_string();
        let (message, fix) = text
            .split_once("; ")
            .unwrap_or((&text, "write a value of the form named"));
        self.at(place, message, fix);
    }
}

/// The entries of a mapping whose keys are known.
pub(crate) struct Fields<'n> {
    what: &'static str,
    place: Place,
    entries: &'n [Entry],
}

/// A value with the key it stands under.
#[derive(Clone, Copy)]
pub(crate) struct Field<'n> {
    pub(crate) key: &'n str,
    pub(crate) node: &'n Node,
}

impl<'n> Fields<'n> {
    /// Takes a node as a mapping with these keys only. `what` names the thing, such as `a purpose`.
    pub(crate) fn of(
        node: &'n Node,
        what: &'static str,
        known: &[&str],
        report: &mut Report<'_>,
    ) -> Option<Self> {
        let Tree::Map(entries) = &node.tree else {
            report.at(
                node.place,
                format!(
                    "{what} is a mapping of keys to values, not {}",
                    node.tree.describe()
                ),
                format!(
                    "write keys such as `{}:`, one on a line",
                    known.first().unwrap_or(&"id")
                ),
            );
            return None;
        };
        refuse_repetition(entries, report);
        for entry in entries.iter().filter(|e| !known.contains(&e.key.as_str())) {
            let fix = match nearest(&entry.key, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("remove it; {what} has the keys {}", known.join(", ")),
            };
            report.at(
                entry.place,
                format!("{what} has no key `{}`", entry.key),
                fix,
            );
        }
        Some(Self {
            what,
            place: node.place,
            entries,
        })
    }

    pub(crate) fn get(&self, key: &str) -> Option<Field<'n>> {
        let entry = self.entries.iter().find(|e| e.key == key)?;
        Some(Field {
            key: &entry.key,
            node: &entry.value,
        })
    }

    pub(crate) fn required(
        &self,
        key: &str,
        fix: &str,
        report: &mut Report<'_>,
    ) -> Option<Field<'n>> {
        let found = self.get(key);
        if found.is_none() {
            report.at(self.place, format!("{} needs `{key}`", self.what), fix);
        }
        found
    }

    /// An optional value: absent is `None` without a fault.
    pub(crate) fn optional<T>(
        &self,
        key: &str,
        report: &mut Report<'_>,
        read: impl FnOnce(Field<'n>, &mut Report<'_>) -> Option<T>,
    ) -> Option<T> {
        self.get(key).and_then(|field| read(field, report))
    }
}

fn refuse_repetition(entries: &[Entry], report: &mut Report<'_>) {
    let mut seen = BTreeMap::new();
    for entry in entries {
        if let Some(first) = seen.insert(entry.key.as_str(), entry.place.line) {
            report.at(
                entry.place,
                format!("`{}` stands twice, first on line {first}", entry.key),
                "keep one of them",
            );
        }
    }
}

impl<'n> Field<'n> {
    fn wrong(&self, expected: &str, fix: &str, report: &mut Report<'_>) {
        let found = self.node.tree.describe();
        report.at(
            self.node.place,
            format!("`{}` is {expected}, not {found}", self.key),
            fix,
        );
    }

    pub(crate) fn text(self, report: &mut Report<'_>) -> Option<String> {
        match &self.node.tree {
            Tree::Text(text) => Some(text.clone()),
            Tree::Nothing => {
                report.at(
                    self.node.place,
                    format!("`{}` has no value", self.key),
                    "write the text, or leave the key out if it may be absent",
                );
                None
            }
            Tree::Whole(_) | Tree::Fraction | Tree::Flag(_) => {
                self.wrong("text", "put it in quotes", report);
                None
            }
            Tree::List(_) | Tree::Map(_) => {
                self.wrong("text", "write one text", report);
                None
            }
        }
    }

    /// Text that says something.
    pub(crate) fn words(self, report: &mut Report<'_>) -> Option<String> {
        let text = self.text(report)?;
        if text.trim().is_empty() {
            report.at(
                self.node.place,
                format!("`{}` is empty", self.key),
                "write what it should say",
            );
            return None;
        }
        Some(text)
    }

    /// Text that a type reads from its name.
    pub(crate) fn parsed<T>(self, report: &mut Report<'_>) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text(report)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                report.error(self.node.place, &error);
                None
            }
        }
    }

    pub(crate) fn flag(self, report: &mut Report<'_>) -> Option<bool> {
        if let Tree::Flag(value) = self.node.tree {
            return Some(value);
        }
        self.wrong("true or false", "write true or false", report);
        None
    }

    /// A whole number between 1 and `most`.
    pub(crate) fn count(self, most: u32, report: &mut Report<'_>) -> Option<u32> {
        let Tree::Whole(value) = self.node.tree else {
            self.wrong(
                "a whole number",
                "write it in digits, without quotes",
                report,
            );
            return None;
        };
        match u32::try_from(value) {
            Ok(value) if (1..=most).contains(&value) => Some(value),
            Ok(_) | Err(_) => {
                report.at(
                    self.node.place,
                    format!(
                        "`{}` is {value}; it must lie between 1 and {most}",
                        self.key
                    ),
                    "write a number in that range, or leave the key out if it may be absent",
                );
                None
            }
        }
    }

    pub(crate) fn list(self, report: &mut Report<'_>) -> Option<Vec<Field<'n>>> {
        let key = self.key;
        match &self.node.tree {
            Tree::List(items) => Some(items.iter().map(|node| Field { key, node }).collect()),
            Tree::Nothing
            | Tree::Flag(_)
            | Tree::Whole(_)
            | Tree::Fraction
            | Tree::Text(_)
            | Tree::Map(_) => {
                self.wrong(
                    "a list",
                    "write it as [one, two] or as lines that begin with `- `",
                    report,
                );
                None
            }
        }
    }

    /// A list of names, each once, in the order written.
    pub(crate) fn names<T>(self, report: &mut Report<'_>) -> Option<Vec<T>>
    where
        T: FromStr + PartialEq,
        T::Err: Display,
    {
        let items = self.list(report)?;
        let mut names = Vec::with_capacity(items.len());
        for item in items {
            let Some(name) = item.parsed::<T>(report) else {
                continue;
            };
            if names.contains(&name) {
                report.at(
                    item.node.place,
                    format!("`{}` names the same twice", self.key),
                    "keep one of them",
                );
            } else {
                names.push(name);
            }
        }
        Some(names)
    }

    pub(crate) fn set<T>(self, report: &mut Report<'_>) -> Option<BTreeSet<T>>
    where
        T: FromStr + Ord,
        T::Err: Display,
    {
        Some(self.names(report)?.into_iter().collect())
    }

    /// A mapping whose keys are names and whose values are read alike.
    pub(crate) fn map<K, V>(
        self,
        report: &mut Report<'_>,
        mut read: impl FnMut(Field<'n>, &mut Report<'_>) -> Option<V>,
    ) -> Option<BTreeMap<K, V>>
    where
        K: FromStr + Ord,
        K::Err: Display,
    {
        let Tree::Map(entries) = &self.node.tree else {
            self.wrong(
                "a mapping",
                "write it as lines of `name: value`, indented",
                report,
            );
            return None;
        };
        refuse_repetition(entries, report);
        let mut map = BTreeMap::new();
        for Entry { key, place, value } in entries {
            let read = read(Field { key, node: value }, report);
            match (key.parse(), read) {
                (Ok(key), Some(value)) => {
                    map.entry(key).or_insert(value);
                }
                (Ok(_), None) => {}
                (Err(error), _) => report.error(*place, &error),
            }
        }
        Some(map)
    }
}

/// The known word that differs least from `word`, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 2.max(candidate.len() / 4))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits that turn one word into the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_offered_only_when_it_is_near() {
        let known = ["categories", "channels", "title", "retention_days"];
        assert_eq!(nearest("category", &known), None);
        assert_eq!(nearest("categorys", &known), Some("categories"));
        assert_eq!(nearest("chanels", &known), Some("channels"));
        assert_eq!(nearest("titel", &known), Some("title"));
        assert_eq!(nearest("retention_day", &known), Some("retention_days"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
