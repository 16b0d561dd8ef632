//! An import from the first row to the last, resumable after each batch.

use std::path::{Path, PathBuf};

use assent_consent::Calendar;
use assent_event::Identifier;
use serde_json::{Value, json};
use serde_saphyr::Spanned;

use super::cell::BadCell;
use super::constants;
use super::error::{ImportError, MappingError};
use super::mapping::{Do, EventMapping, Field, Mapping, Time};
use super::progress::{Progress, count};
use super::rejects::{self, Reject};
use super::rows::{Cells, Row, Rows};
use crate::outcome::{Code, Outcome, Rejected, Warning};
use crate::receive::{Intake, Submitted};
use crate::source::Source;
use crate::text::{self, Object};

/// Events of one batch, at most.
const BATCH: usize = 1_000;

/// The files of an import.
#[derive(Debug, Clone)]
pub struct Files {
    /// What is imported.
    pub input: PathBuf,
    /// Where it is recorded how far it came.
    pub progress: PathBuf,
    /// Where rejected rows are listed: `line,column,reason`, never their contents.
    pub rejects: PathBuf,
}

impl Files {
    /// The input, with the progress and the rejects beside it.
    #[must_use]
    pub fn beside(input: &Path) -> Self {
        let with = |suffix: &str| {
            let mut name = input.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self {
            progress: with(".progress.json"),
            rejects: with(".rejects.csv"),
            input: input.to_owned(),
        }
    }
}

/// Imports a file, from where an earlier import of it stopped. `report` hears of every batch.
///
/// Rows already answered for are read again but not sent. Reads the file on the calling thread.
///
/// # Errors
/// [`ImportError`]; what was acknowledged stays, and the same call goes on from there.
pub async fn run(
    intake: &Intake,
    mapping: &Mapping,
    files: &Files,
    report: &mut (dyn FnMut(&Progress) + Send),
) -> Result<Progress, ImportError> {
    let source = check(intake, mapping, &files.input)?;
    let progress = Progress::load(&files.progress, &files.input, &mapping.digest)?;
    if progress.rows == 0 {
        rejects::begin(&files.rejects)?;
    }
    let calendar = intake.registry().settings().calendar;
    let mut import = Import {
        intake,
        source,
        mapping,
        files,
        calendar: mapping.zone.unwrap_or(calendar),
        progress,
        batch: Batch::default(),
    };
    import.run(report).await?;
    if import.progress.rejected == 0 {
        rejects::remove(&files.rejects)?;
    }
    Ok(import.progress)
}

/// Holds a mapping against the programme and the file against the mapping. Sends nothing.
///
/// # Errors
/// What would go wrong with every row: [`ImportError`].
pub fn check(intake: &Intake, mapping: &Mapping, input: &Path) -> Result<Source, ImportError> {
    let registry = intake.registry();
    let place = &mapping.raw.source;
    let source = intake.source(mapping.source()).map_err(|_| {
        let known: Vec<&str> = registry
            .sources()
            .map(|source| source.id.as_str())
            .collect();
        let known = if known.is_empty() {
            "there is none at all yet: apply a programme that declares it in sources.yaml"
                .to_owned()
        } else {
            format!("the sources of the programme are {}", known.join(", "))
        };
        let message = format!("there is no source {:?}; {known}", place.value);
        MappingError::at(&place.referenced, message)
    })?;
    constants::check(intake, mapping, &source)?;
    Rows::open(input, mapping)?;
    Ok(source)
}

struct Import<'i> {
    intake: &'i Intake,
    source: Source,
    mapping: &'i Mapping,
    files: &'i Files,
    calendar: Calendar,
    progress: Progress,
    batch: Batch,
}

/// What waits to be sent and answered for.
#[derive(Default)]
struct Batch {
    rows: u64,
    items: Vec<Submitted>,
    /// Line of each item, and which of the mapping's events it is.
    origins: Vec<(u64, usize)>,
    rejects: Vec<Reject>,
}

impl Import<'_> {
    async fn run(&mut self, report: &mut (dyn FnMut(&Progress) + Send)) -> Result<(), ImportError> {
        let mut rows = Rows::open(&self.files.input, self.mapping)?;
        for _ in 0..self.progress.rows {
            // Read again, so that repetitions are counted from the beginning.
            rows.next()?;
        }
        let most = self.intake.limits().events.min(BATCH);
        while let Some(row) = rows.next()? {
            if self.batch.items.len() + self.mapping.raw.events.len() > most {
                self.flush(report).await?;
            }
            self.take(row);
        }
        self.progress.finished = true;
        self.flush(report).await
    }

    /// Turns a row into items; all of them, or none and a reject.
    fn take(&mut self, row: Row) {
        self.batch.rows += 1;
        let items = row.cells.and_then(|cells| {
            self.mapping
                .raw
                .events
                .iter()
                .enumerate()
                .filter_map(|(index, event)| {
                    let item = self.item(&event.value, &cells, &format!("{}-{index}", row.id));
                    item.transpose().map(|item| Ok((index, item?)))
                })
                .collect::<Result<Vec<_>, _>>()
        });
        match items {
            Ok(items) => {
                for (event, item) in items {
                    self.batch.origins.push((row.line, event));
                    self.batch.items.push(item);
                }
            }
            Err(bad) => self.batch.rejects.push(Reject {
                line: row.line,
                column: bad.column,
                reason: bad.reason.into_owned(),
            }),
        }
    }

    fn item(
        &self,
        event: &EventMapping,
        cells: &Cells,
        message_id: &str,
    ) -> Result<Option<Submitted>, BadCell> {
        if !applies(event, cells) {
            return Ok(None);
        }
        let subject = cells.get(&event.subject.column);
        let named = subject.and_then(text::exact);
        let named = named.ok_or_else(|| BadCell {
            column: event.subject.column.clone(),
            reason: match subject.is_some_and(text::is_rounded) {
                true => "it is a number that readers of JSON round; write it as a text".into(),
                false => "it does not name a person".into(),
            },
        })?;
        let about = Identifier {
            namespace: event.subject.namespace.value.clone(),
            value: named.trim().to_owned(),
        };
        let time = self.time(event, cells)?;
        Ok(Some(match event.what.route() {
            Some(route) => {
                let mut call = Object::new();
                call.insert("messageId".to_owned(), Value::from(message_id));
                call.extend(time.map(|time| ("timestamp".to_owned(), time)));
                self.put(&mut call, "event", event.event.as_ref(), cells)?;
                self.put(&mut call, "groupId", event.group.as_ref(), cells)?;
                for (name, fields) in [("properties", &event.properties), ("traits", &event.traits)]
                {
                    let mut object = Object::new();
                    for (name, field) in fields {
                        self.put(&mut object, name, Some(field), cells)?;
                    }
                    if !object.is_empty() {
                        call.insert(name.to_owned(), Value::Object(object));
                    }
                }
                Submitted::Call {
                    route,
                    about: Some(about),
                    value: Value::Object(call),
                }
            }
            None => {
                let mut body = Object::new();
                for (name, field) in &event.fields {
                    self.put_as_told(event.what, &mut body, name, field, cells)?;
                }
                body.insert(
                    "subject".to_owned(),
                    json!({ about.namespace.as_str(): about.value }),
                );
                body.insert("message_id".to_owned(), Value::from(message_id));
                body.extend(time.map(|time| ("event_time".to_owned(), time)));
                Submitted::Consent(Value::Object(body))
            }
        }))
    }

    fn time(&self, event: &EventMapping, cells: &Cells) -> Result<Option<Value>, BadCell> {
        let Some(field) = event.time.as_ref().and_then(Time::column) else {
            return Ok(None);
        };
        let instant = cells
            .get(&field.column)
            .and_then(|cell| field.instant(cell, self.calendar));
        match instant {
            Some(instant) => Ok(Some(Value::from(instant.to_string()))),
            // Intake refuses what widens with such a time and takes what restricts (I6).
            None if matches!(event.what, Do::Decision | Do::Fact) => {
                let told = cells.get(&field.column).cloned();
                Ok(Some(
                    told.filter(|cell| !cell.is_null())
                        .unwrap_or(Value::from("")),
                ))
            }
            None => Err(BadCell {
                column: field.column.clone(),
                reason: field.expected_time("time"),
            }),
        }
    }

    fn put(
        &self,
        object: &mut Object,
        name: &str,
        field: Option<&Spanned<Field>>,
        cells: &Cells,
    ) -> Result<(), BadCell> {
        let value = match field.map(|field| &field.value) {
            None => None,
            Some(Field::Constant(value)) => Some(value.clone()),
            Some(Field::Column(field)) => field.value(cells.get(&field.column), self.calendar)?,
        };
        object.extend(value.map(|value| (name.to_owned(), value)));
        Ok(())
    }

    /// As `put`, but a cell of a decision or fact that cannot be used is passed on as it is: a
    /// restriction must not be lost over it (I6), and intake refuses what widens. A state that its map
    /// does not list is none: it must not be read as a grant for being spelt like one.
    fn put_as_told(
        &self,
        what: Do,
        object: &mut Object,
        name: &str,
        field: &Spanned<Field>,
        cells: &Cells,
    ) -> Result<(), BadCell> {
        match (self.put(object, name, Some(field), cells), &field.value) {
            (Err(_), Field::Column(field)) if matches!(what, Do::Decision | Do::Fact) => {
                let told = cells.get(&field.column).cloned().unwrap_or_default();
                let is_unlisted = field.map.is_some() && matches!(name, "state" | "fact");
                let told = if is_unlisted { json!([told]) } else { told };
                object.insert(name.to_owned(), told);
                Ok(())
            }
            (done, Field::Column(_) | Field::Constant(_)) => done,
        }
    }

    /// Sends what waits, records rejects, then how far it came; in this order, so that nothing is
    /// counted as done before it is.
    async fn flush(
        &mut self,
        report: &mut (dyn FnMut(&Progress) + Send),
    ) -> Result<(), ImportError> {
        let batch = std::mem::take(&mut self.batch);
        let mut rejects = batch.rejects;
        if !batch.items.is_empty() {
            let outcomes =
                self.submit(batch.items)
                    .await
                    .map_err(|source| ImportError::Intake {
                        row: self.progress.rows + batch.rows + 1,
                        source,
                    })?;
            for (outcome, (line, event)) in outcomes.into_iter().zip(batch.origins) {
                match outcome {
                    Outcome::Journalled { warnings, .. } => {
                        self.progress.journalled += 1;
                        for warning in &warnings {
                            count(&mut self.progress.warnings, told(warning));
                        }
                    }
                    Outcome::Duplicate => self.progress.duplicates += 1,
                    Outcome::Rejected(why) => rejects.push(self.reject(line, event, why)),
                }
            }
        }
        for reject in &rejects {
            count(&mut self.progress.reasons, reject.to_string());
        }
        self.progress.rejected += rejects.len() as u64;
        self.progress.rows += batch.rows;
        rejects::add(&self.files.rejects, &rejects)?;
        self.progress.store(&self.files.progress)?;
        if batch.rows > 0 {
            report(&self.progress);
        }
        Ok(())
    }

    /// A refusal by intake in the words of the mapping: columns, and the formats it names.
    fn reject(&self, line: u64, event: usize, why: Rejected) -> Reject {
        let events = &self.mapping.raw.events;
        let origin = events
            .get(event)
            .and_then(|event| event.value.column_at(&why.pointer));
        let reason = match origin {
            Some(field) if why.code == Code::TimeInvalid => {
                format!("{}: {}", why.code, field.expected_time("time"))
            }
            Some(_) | None => format!("{}: {}; {}", why.code, why.message, why.fix),
        };
        Reject {
            line,
            column: origin.map_or(why.pointer, |field| field.column.clone()),
            reason,
        }
    }

    async fn submit(&self, items: Vec<Submitted>) -> Result<Vec<Outcome>, crate::Error> {
        self.intake.submit(&self.source, items).await
    }
}

/// A warning as it is counted. It names fields of the mapping, never values.
fn told(warning: &Warning) -> String {
    let field = warning.pointer.trim_start_matches('/');
    let separator = if field.is_empty() { "" } else { ": " };
    format!("{}: {field}{separator}{}", warning.code, warning.message)
}

fn applies(event: &EventMapping, cells: &Cells) -> bool {
    let Some(when) = &event.when else {
        return true;
    };
    let cell = cells.get(&when.column).and_then(text::plain);
    let cell = cell.as_deref().map_or("", str::trim);
    let equals = when.equals.as_deref().is_none_or(|wanted| cell == wanted);
    equals && when.not.as_deref().is_none_or(|unwanted| cell != unwanted)
}
