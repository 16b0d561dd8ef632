//! YAML as a tree whose every node knows its place.
//!
//! Deriving types straight from YAML would stop at the first thing wrong. A tree reads whatever is
//! well-formed; the readers above it then name every fault at once. Only YAML that is not well-formed
//! is a single fault.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Location, Spanned};

use crate::fault::Fault;

/// A place in a file; lines and columns count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Place {
    pub(crate) const START: Self = Self { line: 1, column: 1 };

    fn of(location: Location) -> Self {
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
        Self {
            line: number(location.line()),
            column: number(location.column()),
        }
    }
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    Nothing,
    Flag(bool),
    Whole(i64),
    Fraction,
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

impl Tree {
    /// What it is, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Flag(_) => "true or false",
            Self::Whole(_) => "a number",
            Self::Fraction => "a fraction or a very large number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) tree: Tree,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Node,
}

/// A file that holds one YAML document.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) file: String,
    pub(crate) root: Node,
}

impl Document {
    /// Reads a document.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, Fault> {
        let options = serde_saphyr::options! {
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            strict_booleans: true,
            with_snippet: false,
        };
        match serde_saphyr::from_str_with_options::<Node>(text, options) {
            Ok(root) => Ok(Self {
                file: file.to_owned(),
                root,
            }),
            Err(error) => {
                let place = error.location().map_or(Place::START, Place::of);
                Err(Fault {
                    file: file.to_owned(),
                    line: place.line,
                    column: place.column,
                    message: format!(
                        "this is not well-formed YAML: {}",
                        first_line(&error.to_string())
                    ),
                    fix: "check indentation, quotes and brackets here and just above".to_owned(),
                })
            }
        }
    }

    /// The place of the deepest part of `path` that is there: keys of mappings, numbers of items.
    /// Of a key, the place of the key; of an item, the item.
    pub(crate) fn place(&self, path: &[&str]) -> Place {
        let mut node = &self.root;
        let mut place = node.place;
        for step in path {
            match &node.tree {
                Tree::Map(entries) => match entries.iter().find(|e| e.key == *step) {
                    Some(entry) => (node, place) = (&entry.value, entry.place),
                    None => break,
                },
                Tree::List(items) => {
                    let by_number = step.parse().ok().and_then(|n: usize| items.get(n));
                    let by_text = || {
                        let wanted = Tree::Text((*step).to_owned());
                        items.iter().find(|i| i.tree == wanted)
                    };
                    match by_number.or_else(by_text) {
                        Some(item) => (node, place) = (item, item.place),
                        None => break,
                    }
                }
                Tree::Nothing | Tree::Flag(_) | Tree::Whole(_) | Tree::Fraction | Tree::Text(_) => {
                    break;
                }
            }
        }
        place
    }

    /// The number of the item of the list under `list` whose `key` is the text `value`: of several, the
    /// one after `before` others.
    pub(crate) fn index_of(
        &self,
        list: &str,
        key: &str,
        value: &str,
        before: usize,
    ) -> Option<usize> {
        let items = match &self.root.entry(list)?.tree {
            Tree::List(items) => items,
            Tree::Nothing
            | Tree::Flag(_)
            | Tree::Whole(_)
            | Tree::Fraction
            | Tree::Text(_)
            | Tree::Map(_) => return None,
        };
        let wanted = Tree::Text(value.to_owned());
        let of_value = |item: &Node| item.entry(key).is_some_and(|v| v.tree == wanted);
        let mut matching = items.iter().enumerate().filter(|(_, item)| of_value(item));
        matching.nth(before).map(|(index, _)| index)
    }
}

impl Node {
    /// The text of a value.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.tree {
            Tree::Text(text) => Some(text),
            Tree::Nothing
            | Tree::Flag(_)
            | Tree::Whole(_)
            | Tree::Fraction
            | Tree::List(_)
            | Tree::Map(_) => None,
        }
    }

    /// The value under a key, if this is a mapping that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Self> {
        match &self.tree {
            Tree::Map(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.value),
            Tree::Nothing
            | Tree::Flag(_)
            | Tree::Whole(_)
            | Tree::Fraction
            | Tree::Text(_)
            | Tree::List(_) => None,
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self {
            place: Place::of(spanned.referenced),
            tree: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Flag(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Whole(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Tree, E> {
        Ok(i64::try_from(value).map_or(Tree::Fraction, Tree::Whole))
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Tree, E> {
        Ok(Tree::Fraction)
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Tree, E> {
        Ok(Tree::Fraction)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Fraction)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_none<E: de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = members.next_entry::<Spanned<String>, Node>()? {
            map.push(Entry {
                key: key.value,
                place: Place::of(key.referenced),
                value,
            });
        }
        Ok(Tree::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Document {
        Document::parse("f.yaml", text).unwrap()
    }

    #[test]
    fn every_node_knows_its_place() {
        let document =
            parse("id: x\nlist: [a, b]\nmap:\n  deep:\n    - one\n    - k: |\n        text\n");
        assert_eq!(document.place(&["id"]), Place { line: 1, column: 1 });
        assert_eq!(
            document.place(&["list", "1"]),
            Place {
                line: 2,
                column: 11
            }
        );
        assert_eq!(
            document.place(&["list", "b"]),
            Place {
                line: 2,
                column: 11
            }
        );
        assert_eq!(
            document.place(&["map", "deep", "1", "k"]),
            Place { line: 6, column: 7 }
        );
        // What is not there is placed at what should hold it.
        assert_eq!(
            document.place(&["map", "deep", "7"]),
            Place { line: 4, column: 3 }
        );
        assert_eq!(document.place(&["absent"]), Place::START);
    }

    #[test]
    fn types_are_those_of_yaml_1_2() {
        let document = parse(
            "a: yes\nb: true\nc: 7\nd: 1.5\ne: ~\nf: '7'\ng: 1997-01-01\nh: 99999999999999999999\n",
        );
        let Tree::Map(entries) = &document.root.tree else {
            panic!("a mapping")
        };
        let trees: Vec<&Tree> = entries.iter().map(|e| &e.value.tree).collect();
        let text = |t: &str| Tree::Text(t.to_owned());
        assert_eq!(
            trees,
            [
                &text("yes"),
                &Tree::Flag(true),
                &Tree::Whole(7),
                &Tree::Fraction,
                &Tree::Nothing,
                &text("7"),
                &text("1997-01-01"),
                &Tree::Fraction,
            ]
        );
    }

    #[test]
    fn repeated_keys_are_all_seen() {
        let Tree::Map(entries) = parse("a: 1\na: 2\n").root.tree else {
            panic!("a mapping")
        };
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[1].place.line, 2);
    }

    #[test]
    fn what_is_not_well_formed_is_one_fault_with_its_place() {
        let fault = Document::parse("f.yaml", "a: [1, 2\nb: 3\n").unwrap_err();
        assert_eq!(fault.file, "f.yaml");
        assert!(fault.line >= 1, "{fault}");
        assert!(
            fault.message.starts_with("this is not well-formed YAML"),
            "{fault}"
        );
    }
}
