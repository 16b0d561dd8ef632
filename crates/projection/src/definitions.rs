//! What the fold depends on beside the journal: the trait catalogue, the calendar, the de-duplication window.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use assent_consent::Calendar;
use assent_event::Kind;
use assent_programme::TraitCatalog;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;

/// The definitions a projection was folded with. They stand in the manifest, so that a reader finishes columns with
/// the same catalogue that wrote them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definitions {
    /// The traits.
    pub catalog: TraitCatalog,
    /// The calendar whose days the buckets are.
    pub calendar: Calendar,
    /// How long a (source, message id) is remembered, in microseconds of log time.
    pub dedup_window_micros: i64,
}

impl Definitions {
    /// Seven days.
    pub const DEFAULT_DEDUP_WINDOW_MICROS: i64 = 7 * 24 * 3600 * 1_000_000;

    /// Definitions with the default de-duplication window.
    #[must_use]
    pub fn new(catalog: TraitCatalog, calendar: Calendar) -> Self {
        Self {
            catalog,
            calendar,
            dedup_window_micros: Self::DEFAULT_DEDUP_WINDOW_MICROS,
        }
    }

    /// SHA-256, in hexadecimal, of everything that changes what the fold writes; descriptions, categories and windows
    /// do not, so that rewording a trait rebuilds nothing. The schemas this program knows belong to it: a program that
    /// learns a schema folds again what an older one had to skip.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut text = format!("fold {}\n", crate::manifest::FORMAT);
        let _infallible = writeln!(
            text,
            "{} {}",
            self.calendar.name(),
            self.dedup_window_micros
        );
        for kind in Kind::ALL {
            let _infallible = write!(text, "{}={} ", kind.name(), kind.schema_id());
        }
        let mut traits: Vec<String> = self
            .catalog
            .identified
            .iter()
            .map(|t| {
                format!(
                    "identified {:?} {} {}",
                    t.name,
                    t.r#type.as_str(),
                    t.sensitive
                )
            })
            .chain(self.catalog.derived.iter().map(|t| {
                // The window is finished at read.
                format!(
                    "derived {:?} {:?} {:?} {}",
                    t.name, t.event, t.measure, t.sensitive
                )
            }))
            .collect();
        traits.sort();
        text.push_str(&traits.join("\n"));
        Sha256::digest(text.as_bytes())
            .iter()
            .fold(String::with_capacity(64), |mut hex, byte| {
                let _infallible = write!(hex, "{byte:02x}");
                hex
            })
    }

    /// Refuses a catalogue whose columns would clash.
    ///
    /// # Errors
    /// [`Error::Catalog`] naming the column.
    pub fn check(&self) -> Result<(), Error> {
        let schema = crate::layout::Layout::members(&self.catalog).schema();
        let mut seen = BTreeSet::new();
        for field in schema.fields() {
            if !seen.insert(field.name().as_str()) {
                return Err(Error::Catalog {
                    reason: format!(
                        "two columns would be called `{}`; rename one of the traits",
                        field.name()
                    ),
                });
            }
        }
        Ok(())
    }
}
