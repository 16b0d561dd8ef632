//! What is read from the files of a table, column by column, and what may be done to each cell on the way.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, Schema, SchemaRef};
use assent_consent::{Category, Day, Timestamp};
use assent_programme::TraitCatalog;
use assent_projection::members::{Finisher, partial_columns};
use assent_projection::{Snapshot, Table};
use parquet::file::statistics::Statistics;

use super::columns::{Column, Reads, Shape};
use super::files::{ProfileFile, SUBJECT, damaged};
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

/// Whether the rows that are read have to be merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// Each row is all there is: values are read, and their times where something may be too old or too new.
    Whole,
    /// Rows are parts, put together by the times and events of their values.
    Parts,
}

/// The columns of a table's files that a query needs.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) table: Table,
    pub(crate) columns: Vec<InputColumn>,
    /// Of tables of attributes, the attributes to be finished.
    pub(crate) attributes: Vec<String>,
    /// Of events, rows before the first instant are gone and rows after the second have not happened yet.
    pub(crate) rows_within: Option<(Timestamp, Timestamp)>,
    /// What was told later than this is not known yet; `None` when nothing was.
    pub(crate) until: Option<Timestamp>,
    /// Finishes members.
    pub(crate) finisher: Option<Finisher>,
    /// Of members, the earliest instant that `first_seen` may show. It is cut after merging: a first instant that is too
    /// old hides what came next, in whichever file that stands.
    pub(crate) seen_from: Option<Timestamp>,
}

/// What is read of a table, by what is to be done with its rows.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    pub(crate) whole: Input,
    pub(crate) parts: Input,
    /// Of accounts, the contacts that decide which of them are shown.
    pub(crate) contacts_behind: Option<Input>,
}

impl Inputs {
    /// For the columns `wanted` of a table of this shape, which is the one that the purpose sees.
    pub(crate) fn of(gate: &Gate, shape: &Shape, wanted: &[String]) -> Result<Self> {
        let of = |rows, table, wanted| Maker { gate, shape, rows }.input(table, wanted);
        Ok(Self {
            whole: of(Rows::Whole, shape.table, wanted)?,
            parts: of(Rows::Parts, shape.table, wanted)?,
            contacts_behind: (shape.table == Table::Accounts)
                .then(|| of(Rows::Parts, Table::Contacts, &[]))
                .transpose()?,
        })
    }
}

struct Maker<'a> {
    gate: &'a Gate,
    shape: &'a Shape,
    rows: Rows,
}

impl Maker<'_> {
    fn input(&self, table: Table, wanted: &[String]) -> Result<Input> {
        match table {
            Table::Members => self.members(wanted),
            Table::Events => self.events(wanted),
            Table::Accounts | Table::Contacts | Table::Subscriptions => self.told(table, wanted),
        }
    }

    /// The evaluation time, where something in the files is later.
    fn until(&self) -> Option<Timestamp> {
        let at = self.gate.standing.evaluated_at();
        let latest = self.latest();
        latest.is_none_or(|latest| latest > at).then_some(at)
    }

    /// The latest time of anything in the files.
    fn latest(&self) -> Option<Timestamp> {
        let snapshot = self.gate.snapshot.as_ref()?;
        snapshot.manifest().latest()
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
            attributes: Vec::new(),
            rows_within: Some((
                self.gate.retention.start(row),
                self.gate.standing.evaluated_at(),
            )),
            until: None,
            finisher: None,
            seen_from: None,
        })
    }

    /// Tables of told attributes: `x` with its time in `x__at` and its event in `x__by`.
    fn told(&self, table: Table, wanted: &[String]) -> Result<Input> {
        let schema = self.schema(table);
        let until = self.until();
        let mut columns = Columns::new(&schema);
        let mut attributes = Vec::new();
        for field in schema.fields() {
            let name = field.name().as_str();
            // Whose rows are read is known from elsewhere; the time or the event of a value come with the value.
            if name == SUBJECT || name.contains("__") {
                continue;
            }
            let column = match (table, name) {
                (_, "account") => self.shape.column("account_id"),
                // Whoever left is no contact, whatever is asked for.
                (Table::Contacts, "left") => self.shape.column("account_id"),
                (_, "subscription") => self.shape.column("subscription_id"),
                (Table::Contacts, _) if self.shape.table == Table::Accounts => None,
                (_, name) => self.shape.column(name),
            };
            let (at, by) = (format!("{name}__at"), format!("{name}__by"));
            if schema.field_with_name(&at).is_err() {
                columns.add(name, self.access(column), Cut::Nothing)?;
                continue;
            }
            // A subscription of which nothing is left is not shown, so everything about it counts.
            let counts = name == "left" || table == Table::Subscriptions;
            if !counts && !wanted.iter().any(|wanted| wanted == name) {
                continue;
            }
            attributes.push(name.to_owned());
            let access = self.access(column);
            let cut = self.cut(table, column, &at);
            if self.rows == Rows::Parts {
                columns.add(&by, access.clone(), cut.clone())?;
            }
            if self.rows == Rows::Parts || until.is_some() || cut != Cut::Nothing {
                columns.add(&at, access.clone(), cut.clone())?;
            }
            columns.add(name, access, cut)?;
        }
        Ok(Input {
            table,
            columns: columns.added,
            attributes,
            rows_within: None,
            until,
            finisher: None,
            seen_from: None,
        })
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
        let at = self.gate.standing.evaluated_at();
        let calendar = self.gate.registry.settings().calendar;
        let mut finisher = Finisher::new(&catalog, at, calendar, self.latest());
        if self.retention_bites(&catalog, &names) {
            finisher = finisher.by_days();
        }
        let finisher = finisher
            .select(&names)
            .map_err(|_| damaged("its traits are not those of the manifest"))?;
        let inputs = match self.rows {
            Rows::Whole => finisher.value_columns(),
            Rows::Parts => finisher.input_columns(),
        };
        let traits: BTreeMap<String, Option<String>> = partial_columns(&catalog)
            .into_iter()
            .map(|column| (column.name, column.trait_name))
            .collect();
        let schema = self.schema(Table::Members);
        let mut columns = Columns::new(&schema);
        let mut seen_from = None;
        for name in inputs.iter().filter(|name| *name != SUBJECT) {
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
                Some(Reads::Category(_)) if name == "last_seen" => {
                    self.cut(Table::Members, column, name)
                }
                Some(Reads::Category(_)) if schema.field_with_name(&at).is_ok() => {
                    self.cut(Table::Members, column, &at)
                }
                Some(_) | None => Cut::Nothing,
            };
            let access = self.access(column);
            if let Cut::Before { at, .. } = &cut {
                columns.add(at, access.clone(), cut.clone())?;
            }
            columns.add(name, access, cut)?;
        }
        Ok(Input {
            table: Table::Members,
            columns: columns.added,
            attributes: Vec::new(),
            rows_within: None,
            until: None,
            finisher: Some(finisher),
            seen_from,
        })
    }

    /// The cut of a cell whose time stands in the column `at`, as far as any is so old.
    fn cut(&self, table: Table, column: Option<&Column>, at: &str) -> Cut {
        match self.before(column, at) {
            Cut::Before { start, .. }
                if self
                    .earliest(table, at)
                    .is_some_and(|earliest| earliest >= start) =>
            {
                Cut::Nothing
            }
            cut => cut,
        }
    }

    /// Whether some behaviour in the files is older than a wanted trait may keep: then totals cannot be used.
    fn retention_bites(&self, catalog: &TraitCatalog, names: &[&str]) -> bool {
        let start = catalog
            .derived
            .iter()
            .filter(|derived| names.contains(&derived.name.as_str()))
            .map(|derived| self.gate.retention.start(&derived.category))
            .max();
        match (start, self.earliest(Table::Members, FIRST_SEEN)) {
            (None, _) => false,
            (Some(start), Some(earliest)) => earliest < start,
            (Some(_), None) => true,
        }
    }

    /// The earliest time in a column of any file, from its footer; `None` when it cannot be told. It only decides what is
    /// read: totals or day buckets, times beside their values or not. The answer is the same either way.
    fn earliest(&self, table: Table, column: &str) -> Option<Timestamp> {
        let snapshot = self.gate.snapshot.as_ref()?;
        let mut earliest = Timestamp::MAX;
        for data in snapshot.files(table) {
            self.gate.go_on().ok()?;
            let file = self
                .gate
                .files
                .get(snapshot.stored(data), table, |subject| {
                    self.gate.standing.number_of(subject)
                })
                .ok()?;
            earliest = earliest.min(earliest_of(&file, column)?);
        }
        Some(earliest)
    }
}

/// The earliest time in a column of a file, by its footer.
fn earliest_of(file: &ProfileFile, column: &str) -> Option<Timestamp> {
    let leaves = file.metadata.parquet_schema().columns();
    let mut leaves = leaves.iter();
    let place = leaves.position(|leaf| leaf.path().string() == column)?;
    let mut earliest = Timestamp::MAX;
    for group in file.metadata.metadata().row_groups() {
        match group.column(place).statistics()? {
            Statistics::Int64(statistics) => match statistics.min_opt() {
                Some(least) => earliest = earliest.min(Timestamp::from_micros(*least)),
                None if statistics.null_count_opt() == u64::try_from(group.num_rows()).ok() => {}
                None => return None,
            },
            _ => return None,
        }
    }
    Some(earliest)
}

/// Columns on disk, each once.
struct Columns<'a> {
    schema: &'a Schema,
    added: Vec<InputColumn>,
}

impl<'a> Columns<'a> {
    const fn new(schema: &'a Schema) -> Self {
        Self {
            schema,
            added: Vec::new(),
        }
    }

    fn add(&mut self, name: &str, access: Access, cut: Cut) -> Result<()> {
        if self.added.iter().any(|column| column.name == name) {
            return Ok(());
        }
        let field = self.schema.field_with_name(name);
        let field = field.map_err(|_| damaged("a trait has no column"))?;
        self.added.push(InputColumn {
            name: name.to_owned(),
            data_type: field.data_type().clone(),
            access,
            cut,
        });
        Ok(())
    }
}
