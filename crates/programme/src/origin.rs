//! Where each part of a programme was written, so that later faults still name file and line.

use std::collections::BTreeMap;

use crate::definition::DefinitionKind;
use crate::fault::Fault;
use crate::segment_file::HeaderPlaces;
use crate::yaml::{Document, Place};

/// The files a programme was read from. Empty for one that was built in code.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    documents: BTreeMap<(DefinitionKind, String), Origin>,
}

#[derive(Clone, Debug)]
struct Origin {
    file: String,
    text: Text,
}

#[derive(Clone, Debug)]
enum Text {
    Yaml(Document),
    /// The places of a segment's header.
    Sql(HeaderPlaces),
}

impl Origins {
    /// Remembers the YAML document a definition was read from.
    pub(crate) fn remember(&mut self, kind: DefinitionKind, name: String, document: Document) {
        let file = document.file.clone();
        let text = Text::Yaml(document);
        self.documents.insert((kind, name), Origin { file, text });
    }

    /// Remembers the file a segment was read from.
    pub(crate) fn remember_segment(&mut self, name: String, file: String, places: HeaderPlaces) {
        let text = Text::Sql(places);
        self.documents
            .insert((DefinitionKind::Segment, name), Origin { file, text });
    }

    /// The file of a definition, if it was read from one.
    #[must_use]
    pub fn file(&self, kind: DefinitionKind, name: &str) -> Option<&str> {
        let origin = self.documents.get(&(kind, name.to_owned()))?;
        Some(&origin.file)
    }

    /// A fault at the deepest part of `path` that the document has: keys of mappings, numbers of items.
    pub(crate) fn fault(
        &self,
        kind: DefinitionKind,
        name: &str,
        path: &[&str],
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Fault {
        let (file, place) = match self.documents.get(&(kind, name.to_owned())) {
            Some(Origin {
                file,
                text: Text::Yaml(document),
            }) => (file.clone(), document.place(path)),
            Some(Origin {
                file,
                text: Text::Sql(places),
            }) => (file.clone(), places.of(path)),
            None => (
                format!("({} {name})", kind.as_str()),
                Place { line: 0, column: 0 },
            ),
        };
        Fault {
            file,
            line: place.line,
            column: place.column,
            message: message.into(),
            fix: fix.into(),
        }
    }

    /// The number, in the list `list` of a document, of the item whose `key` is `value`: the step of a
    /// path that leads to it. Of several the one after `before` others.
    pub(crate) fn item(
        &self,
        (kind, name): (DefinitionKind, &str),
        list: &str,
        (key, value): (&str, &str),
        before: usize,
    ) -> String {
        let index = match self.documents.get(&(kind, name.to_owned())) {
            Some(Origin {
                text: Text::Yaml(document),
                ..
            }) => document.index_of(list, key, value, before),
            Some(Origin {
                text: Text::Sql(_), ..
            })
            | None => None,
        };
        index.map_or_else(String::new, |index| index.to_string())
    }
}
