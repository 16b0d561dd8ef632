//! An import from the first row to the last, resumable after each batch.

use std::path::{Path, PathBuf};

use assent_consent::Calendar;

use super::cell::BadCell;
use super::constants;
use super::error::{ImportError, MappingError};
use super::events;
use super::mapping::{Mapping, Time};
use super::progress::{Progress, count};
use super::rejects::{self, Reject};
use super::rows::{Row, Rows};
use crate::outcome::{Code, Outcome, Rejected, Warning};
use crate::receive::{Intake, Submitted};
use crate::source::Source;

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
    let progress = reached(mapping, files)?;
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

/// How far earlier runs of this import came; nowhere, if there were none.
///
/// # Errors
/// [`ImportError`]: the record, or the file, cannot be read, or the record is of another import.
pub fn reached(mapping: &Mapping, files: &Files) -> Result<Progress, ImportError> {
    Progress::load(&files.progress, &files.input, &mapping.digest)
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
    /// Where each item comes from.
    origins: Vec<Origin>,
    rejects: Vec<Reject>,
}

/// Where an item comes from.
struct Origin {
    line: u64,
    /// Which of the mapping's events it is.
    event: usize,
    /// Cells that went along although they could not be used.
    passed_on: Vec<BadCell>,
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
        let made = row.cells.and_then(|cells| {
            let events = self.mapping.raw.events.iter().enumerate();
            let made = events.filter_map(|(index, event)| {
                let id = format!("{}-{index}", row.id);
                let made = events::make(&event.value, &cells, self.calendar, &id);
                made.transpose().map(|made| Ok((index, made?)))
            });
            made.collect::<Result<Vec<_>, _>>()
        });
        match made {
            Ok(made) => {
                for (event, made) in made {
                    self.batch.origins.push(Origin {
                        line: row.line,
                        event,
                        passed_on: made.passed_on,
                    });
                    self.batch.items.push(made.item);
                }
            }
            Err(bad) => self.batch.rejects.push(Reject {
                line: row.line,
                column: bad.column,
                reason: bad.reason.into_owned(),
            }),
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
            for (outcome, origin) in outcomes.into_iter().zip(batch.origins) {
                match outcome {
                    Outcome::Journalled { warnings, .. } => {
                        self.progress.journalled += 1;
                        self.progress.profiled += u64::from(self.makes_profiles(&origin));
                        for warning in &warnings {
                            let text = self.told(&origin, warning);
                            self.progress.warn(text, origin.line);
                        }
                    }
                    Outcome::Duplicate => self.progress.duplicates += 1,
                    Outcome::Rejected(why) => rejects.push(self.reject(origin, why)),
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
    fn reject(&self, origin: Origin, why: Rejected) -> Reject {
        let event = self.mapping.raw.events.get(origin.event);
        let column = event.and_then(|event| event.value.column_at(&why.pointer));
        let column = column.map(|field| field.column.clone());
        // Intake knows RFC 3339 only.
        let unusable = (origin.passed_on.into_iter())
            .find(|bad| why.code == Code::TimeInvalid && Some(&bad.column) == column.as_ref());
        Reject {
            line: origin.line,
            reason: match unusable {
                Some(bad) => format!("{}: {}", why.code, bad.reason),
                None => format!("{}: {}; {}", why.code, why.message, why.fix),
            },
            column: column.unwrap_or(why.pointer),
        }
    }

    /// A warning as it is counted. It names fields or columns of the mapping, never values.
    fn told(&self, origin: &Origin, warning: &Warning) -> String {
        let event = self.mapping.raw.events.get(origin.event);
        let time = match warning.pointer.as_str() {
            "/timestamp" | "/event_time" => event.and_then(|event| event.value.time.as_ref()),
            _ => None,
        };
        let field = match time.and_then(Time::column) {
            Some(time) => time.column.as_str(),
            None => warning.pointer.trim_start_matches('/'),
        };
        let separator = if field.is_empty() { "" } else { ": " };
        format!("{}: {field}{separator}{}", warning.code, warning.message)
    }

    /// Whether profiles are made of it: decisions and facts are not folded into them.
    fn makes_profiles(&self, origin: &Origin) -> bool {
        let event = self.mapping.raw.events.get(origin.event);
        event.is_some_and(|event| event.value.what.route().is_some())
    }

    async fn submit(&self, items: Vec<Submitted>) -> Result<Vec<Outcome>, crate::Error> {
        self.intake.submit(&self.source, items).await
    }
}
