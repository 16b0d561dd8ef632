//! What is read from the files of a table, column by column, and what may be done to each cell on the way.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, SchemaRef};
use assent_consent::{Category, Day, Timestamp};
use assent_programme::TraitCatalog;
use assent_projection::members::{Finisher, partial_columns};
use assent_projection::{Snapshot, Table};
use parquet::file::statistics::Statistics;

use super::columns::{Column, Reads, Shape};
use super::files::{SUBJECT, damaged};
use super::place::Gate;
use super::standing::Cover;
use crate::error::Result;

/// When something of any kind happened first.
pub(crate) const FIRST_SEEN: &str = "first_seen";

/// One column on disk.
#[derive(Debug, Clone)]
pub(crate) struct InputColumn {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) access: Access,
    pub(crate) cut: Cut,
}

/// Whose cells may be read.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// Everybody's whose rows are read.
    Row,
    /// Those covered for the category.
    Covered(Cover),
    /// Nobody's: the column is not even read.
    Nobody,
    /// Per property of a JSON object: each with the categories it needs.
    Properties(Vec<(String, Vec<Cover>)>),
}

/// What is too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing is.
    Nothing,
    /// Cells whose time, in another column, is before the instant.
    Before {
        /// The column that holds the time.
        at: String,
        /// The first instant that is kept.
        start: Timestamp,
    },
    /// Day buckets before the day.
    Days(Day),
}

/// The columns of a table's files that a query needs.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) table: Table,
    pub(crate) columns: Vec<InputColumn>,
    /// Of events, rows before the first instant are gone and rows after the second have not happened yet.
    pub(crate) rows_within: Option<(Timestamp, Timestamp)>,
    /// Finishes members.
    pub(crate) finisher: Option<Finisher>,
    /// Of members, the earliest instant that `first_seen` may show. It is cut after merging: a first instant that is too
    /// old hides what came next, in whichever file that stands.
    pub(crate) seen_from: Option<Timestamp>,
}

impl Input {
    /// For the columns `wanted` of a table of this shape.
    pub(crate) fn of(gate: &Gate, shape: &Shape, wanted: &[String]) -> Result<Self> {
        Maker { gate, shape }.input(shape.table, wanted)
    }

    /// For the contacts behind the accounts; `accounts` is the shape the purpose sees.
    pub(crate) fn contacts_behind(gate: &Gate, accounts: &Shape) -> Result<Self> {
        Maker {
            gate,
            shape: accounts,
        }
        .input(Table::Contacts, &[])
    }
}

struct Maker<'a> {
    gate: &'a Gate,
    shape: &'a Shape,
}

impl Maker<'_> {
    fn input(&self, table: Table, wanted: &[String]) -> Result<Input> {
        match table {
            Table::Members => self.members(wanted),
            Table::Events => self.events(wanted),
            Table::Accounts | Table::Contacts | Table::Subscriptions => Ok(self.told(table)),
        }
    }

    fn schema(&self, table: Table) -> SchemaRef {
        Snapshot::file_schema(table, &self.catalog())
    }

    /// The traits as they were folded, as far as they are still defined: the same name, type, event and measure, and not
    /// from sensitive data unless they are sensitive.
    fn catalog(&self) -> TraitCatalog {
        let mut catalog = self.gate.registry.traits().clone();
        let Some(snapshot) = &self.gate.snapshot else {
            return catalog;
        };
        let folded = &snapshot.definitions().catalog;
        catalog.identified.retain(|told| {
            folded
                .identified(&told.name)
                .is_some_and(|was| was.r#type == told.r#type && (told.sensitive || !was.sensitive))
        });
        catalog.derived.retain(|derived| {
            folded.derived(&derived.name).is_some_and(|was| {
                was.event == derived.event
                    && was.measure == derived.measure
                    && (derived.sensitive || !was.sensitive)
            })
        });
        catalog
    }

    fn access(&self, column: Option<&Column>) -> Access {
        match column.map(|column| &column.reads) {
            None => Access::Nobody,
            Some(Reads::Technical) => Access::Row,
            Some(Reads::Category(category)) => Access::Covered(self.gate.standing.cover(category)),
            Some(Reads::Properties(properties)) => Access::Properties(self.properties(properties)),
        }
    }

    fn properties(
        &self,
        properties: &BTreeMap<String, BTreeSet<Category>>,
    ) -> Vec<(String, Vec<Cover>)> {
        properties
            .iter()
            .map(|(name, needed)| {
                let covers = needed
                    .iter()
                    .map(|category| self.gate.standing.cover(category))
                    .collect();
                (name.clone(), covers)
            })
            .collect()
    }

    /// The cut of a cell whose time stands in the column `at`.
    fn before(&self, column: Option<&Column>, at: &str) -> Cut {
        match column.map(|column| &column.reads) {
            Some(Reads::Category(category)) => Cut::Before {
                at: at.to_owned(),
                start: self.gate.retention.start(category),
            },
            Some(Reads::Properties(properties)) => properties
                .values()
                .flatten()
                .map(|category| self.gate.retention.start(category))
                .max()
                .map_or(Cut::Nothing, |start| Cut::Before {
                    at: at.to_owned(),
                    start,
                }),
            Some(Reads::Technical) | None => Cut::Nothing,
        }
    }

    fn events(&self, wanted: &[String]) -> Result<Input> {
        let schema = self.schema(Table::Events);
        let columns = schema
            .fields()
            .iter()
            .filter(|field| field.name() == "event_time" || wanted.contains(field.name()))
            .map(|field| {
                let column = self.shape.column(field.name());
                InputColumn {
                    name: field.name().clone(),
                    data_type: field.data_type().clone(),
                    access: self.access(column),
                    cut: self.before(column, "event_time"),
                }
            })
            .collect();
        let row = self
            .shape
            .row
            .as_ref()
            .ok_or_else(|| damaged("events have no category"))?;
        Ok(Input {
            table: Table::Events,
            columns,
            rows_within: Some((
                self.gate.retention.start(row),
                self.gate.standing.evaluated_at(),
            )),
            finisher: None,
            seen_from: None,
        })
    }

    /// Tables of told attributes: `x` with its time in `x__at`.
    fn told(&self, table: Table) -> Input {
        let schema = self.schema(table);
        let columns = schema
            .fields()
            .iter()
            .map(|field| {
                let stem = field.name().split("__").next().unwrap_or_default();
                let column = match (table, stem) {
                    (_, SUBJECT) => None,
                    (_, "account") => self.shape.column("account_id"),
                    (Table::Contacts, "left") => self.shape.column("account_id"),
                    (_, "subscription") => self.shape.column("subscription_id"),
                    (Table::Contacts, _) if self.shape.table == Table::Accounts => None,
                    (_, stem) => self.shape.column(stem),
                };
                let at = format!("{stem}__at");
                InputColumn {
                    name: field.name().clone(),
                    data_type: field.data_type().clone(),
                    access: if stem == SUBJECT {
                        Access::Row
                    } else {
                        self.access(column)
                    },
                    cut: if schema.field_with_name(&at).is_ok() {
                        self.before(column, &at)
                    } else {
                        Cut::Nothing
                    },
                }
            })
            .collect();
        Input {
            table,
            columns,
            rows_within: None,
            finisher: None,
            seen_from: None,
        }
    }

    fn members(&self, wanted: &[String]) -> Result<Input> {
        let catalog = self.catalog();
        let names: Vec<&str> = wanted
            .iter()
            .map(String::as_str)
            .filter(|name| {
                matches!(*name, FIRST_SEEN | "last_seen")
                    || catalog.identified(name).is_some()
                    || catalog.derived(name).is_some()
            })
            .collect();
        let latest = if self.retention_bites(&catalog, &names) {
            None
        } else {
            self.gate
                .snapshot
                .as_ref()
                .and_then(|snapshot| snapshot.manifest().latest())
        };
        let finisher = Finisher::new(
            &catalog,
            self.gate.standing.evaluated_at(),
            self.gate.registry.settings().calendar,
            latest,
        )
        .select(&names)
        .map_err(|_| damaged("its traits are not those of the manifest"))?;
        let inputs = finisher.input_columns();
        let traits: BTreeMap<String, Option<String>> = partial_columns(&catalog)
            .into_iter()
            .map(|column| (column.name, column.trait_name))
            .collect();
        let schema = self.schema(Table::Members);
        let mut columns = Vec::new();
        let mut seen_from = None;
        for name in &inputs {
            let field = schema
                .field_with_name(name)
                .map_err(|_| damaged("a trait has no column"))?;
            let of_trait = traits.get(name).cloned().flatten();
            let column = self.shape.column(of_trait.as_deref().unwrap_or(name));
            let at = format!("{}__at", of_trait.as_deref().unwrap_or(name));
            let cut = match column.map(|column| &column.reads) {
                Some(Reads::Category(category)) if name.ends_with("__days") => {
                    Cut::Days(self.gate.retention.first_day(category))
                }
                Some(Reads::Category(category)) if name == FIRST_SEEN => {
                    seen_from = Some(self.gate.retention.start(category));
                    Cut::Nothing
                }
                Some(Reads::Category(_)) if name == "last_seen" => self.before(column, name),
                Some(Reads::Category(_)) if inputs.contains(&at) => self.before(column, &at),
                Some(_) | None => Cut::Nothing,
            };
            columns.push(InputColumn {
                name: name.clone(),
                data_type: field.data_type().clone(),
                access: if name == SUBJECT {
                    Access::Row
                } else {
                    self.access(column)
                },
                cut,
            });
        }
        Ok(Input {
            table: Table::Members,
            columns,
            rows_within: None,
            finisher: Some(finisher),
            seen_from,
        })
    }

    /// Whether some behaviour in the files is older than a wanted trait may keep: then totals cannot be used.
    fn retention_bites(&self, catalog: &TraitCatalog, names: &[&str]) -> bool {
        let start = catalog
            .derived
            .iter()
            .filter(|derived| names.contains(&derived.name.as_str()))
            .map(|derived| self.gate.retention.start(&derived.category))
            .max();
        match (start, self.oldest()) {
            (None, _) => false,
            (Some(start), Some(oldest)) => oldest < start,
            (Some(_), None) => true,
        }
    }

    /// The earliest `first_seen` of any file, from its footer; `None` when it cannot be told. It only decides whether
    /// totals or day buckets are read, which is the same answer either way.
    fn oldest(&self) -> Option<Timestamp> {
        let snapshot = self.gate.snapshot.as_ref()?;
        let mut oldest = Timestamp::MAX;
        for data in snapshot.files(Table::Members) {
            self.gate.go_on().ok()?;
            let file = self
                .gate
                .files
                .get(snapshot.stored(data), Table::Members, |subject| {
                    self.gate.standing.number_of(subject)
                })
                .ok()?;
            let place = file
                .metadata
                .parquet_schema()
                .columns()
                .iter()
                .position(|column| column.path().string() == "first_seen")?;
            for group in file.metadata.metadata().row_groups() {
                match group.column(place).statistics()? {
                    Statistics::Int64(statistics) => match statistics.min_opt() {
                        Some(least) => oldest = oldest.min(Timestamp::from_micros(*least)),
                        None if statistics.null_count_opt()
                            == u64::try_from(group.num_rows()).ok() => {}
                        None => return None,
                    },
                    _ => return None,
                }
            }
        }
        Some(oldest)
    }
}
