//! Exports: the members of a segment as identifiers that its purpose allows, in a file with a manifest.
//!
//! The use is journalled before anything is written; an export that fails after that is journalled as failed, too. A file
//! is created exclusively, readable by its owner only, and appears whole or not at all; its manifest appears before it, so
//! that no file lies about without the date after which it must not be used. A member without an allowed identifier, and
//! an account that the session does not show, are counted, not written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use assent_consent::{Namespace, SubjectId, Timestamp};
use assent_programme::SegmentDefinition;
use assent_vault::Vault;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::format::{Format, encode_within};
use crate::gate::Standing;
use crate::segments::{SegmentIds, id_column};
use crate::session::{LawfulSession, QueryResult};
use crate::use_log::Entry;

/// How long a row of an export may be on average, in bytes.
const ROW_BYTES: usize = 128;

/// Formats of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// RFC 4180; cells that a spreadsheet would run are neutralised.
    Csv,
    /// One JSON object a line.
    Ndjson,
    /// One Parquet file.
    Parquet,
}

impl From<ExportFormat> for Format {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Csv => Self::Csv,
            ExportFormat::Ndjson => Self::Ndjson,
            ExportFormat::Parquet => Self::Parquet,
        }
    }
}

impl FromStr for ExportFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "csv" => Ok(Self::Csv),
            "ndjson" => Ok(Self::Ndjson),
            "parquet" => Ok(Self::Parquet),
            _ => Err(
                Error::invalid("format_unknown", "an export has no such format")
                    .help("csv, ndjson or parquet"),
            ),
        }
    }
}

/// What stands beside an exported file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExportManifest {
    /// The segment.
    pub segment: String,
    /// Its version.
    pub version: u32,
    /// SHA-256 of its query.
    pub sql_sha256: String,
    /// The purpose the file may be used for, and no other.
    pub purpose: String,
    /// The channel.
    pub channel: Option<String>,
    /// The recipient.
    pub recipient: Option<String>,
    /// Evaluation time and the digest of the place, by which the use log has its positions.
    pub position: serde_json::Value,
    /// Rows in the file.
    pub rows: usize,
    /// Members without an allowed identifier: in the segment, not in the file.
    pub not_exportable: usize,
    /// Rows by identifier namespace.
    pub namespaces: BTreeMap<String, usize>,
    /// After this instant the file must not be used: people may have withdrawn since.
    pub expires_at: Timestamp,
    /// The file.
    pub file: String,
    /// Its format.
    pub format: ExportFormat,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// An export that was made.
#[derive(Debug, Clone)]
pub struct Exported {
    /// The file.
    pub file: PathBuf,
    /// The manifest beside it.
    pub manifest_file: PathBuf,
    /// What the manifest says.
    pub manifest: ExportManifest,
}

impl LawfulSession {
    /// Exports a segment under its own purpose into `directory`, valid for `valid_days` days.
    ///
    /// # Errors
    /// `Denied` when the purpose allows no identifier or the session is for another use, `Invalid` when the file exists
    /// or cannot be made, otherwise as [`LawfulSession::query`].
    pub async fn export_segment(
        &self,
        name: &str,
        format: ExportFormat,
        directory: &Path,
        valid_days: u32,
    ) -> Result<Exported> {
        let segment = self.own_segment(name);
        let made = match &segment {
            Ok(segment) => self.export(segment, format, directory, valid_days).await,
            Err(error) => Err(error.clone()),
        };
        if let Err(error) = &made {
            let outcome = format!("failed: {}", error.code());
            self.journal(match &segment {
                Ok(segment) => entry(segment, None, outcome),
                // Whatever was named is no segment of this session.
                Err(_) => Entry {
                    operation: "export",
                    outcome,
                    ..Entry::default()
                },
            })
            .await?;
        }
        made
    }

    async fn export(
        &self,
        segment: &SegmentDefinition,
        format: ExportFormat,
        directory: &Path,
        valid_days: u32,
    ) -> Result<Exported> {
        if self.answered.looking_back {
            return Err(Error::denied(
                "export_looking_back",
                "an export is of the present; a session that looks back cannot make one",
            ));
        }
        let stem = format!(
            "{}-v{}-{}",
            segment.name,
            segment.version,
            self.answered.evaluated_at.micros()
        );
        let file = directory.join(format!("{stem}.{}", Format::from(format).as_str()));
        let manifest_file = directory.join(format!("{stem}.manifest.json"));
        for target in [&file, &manifest_file] {
            if target.exists() {
                return Err(exists());
            }
        }
        let found = self.ids(&segment.query).await?;
        let written = match id_column(|name| found.schema.field_with_name(name).is_ok())? {
            "member_id" => self.identifiers(found).await?,
            _ => self.accounts(found).await?,
        };
        let manifest = ExportManifest {
            sql_sha256: segment.sha256(),
            version: segment.version,
            purpose: segment.purpose.to_string(),
            channel: segment.channel.as_ref().map(ToString::to_string),
            recipient: segment.recipient.as_ref().map(ToString::to_string),
            position: self.answered.to_json(),
            rows: written.rows.len(),
            not_exportable: written.without,
            namespaces: written.by_namespace(),
            expires_at: self
                .answered
                .evaluated_at
                .plus_micros(i64::from(valid_days) * 86_400_000_000),
            file: file
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            format,
            sha256: String::new(),
            segment: segment.name.clone(),
        };
        let most = self.engine.limits.export_rows.saturating_mul(ROW_BYTES);
        let (bytes, sha256) = self
            .compute(move || {
                let batch = written.batch()?;
                let bytes = encode_within(most, format.into(), &batch.schema(), &[batch])?;
                let sha256 = hex::encode(Sha256::digest(&bytes));
                Ok((bytes, sha256))
            })
            .await?;
        let manifest = ExportManifest { sha256, ..manifest };
        let text = serde_json::to_vec_pretty(&manifest)
            .map_err(|_| Error::internal("export", "the manifest cannot be written"))?;
        self.journal(entry(segment, Some(manifest.rows), "answered".to_owned()))
            .await?;
        let (data_at, manifest_at) = (file.clone(), manifest_file.clone());
        // Writing waits for the disk.
        tokio::task::spawn_blocking(move || {
            let data = Staged::write(&data_at, &bytes)?;
            let manifest = Staged::write(&manifest_at, &text)?.publish()?;
            data.publish()?.keep();
            manifest.keep();
            Ok(())
        })
        .await
        .map_err(|_| Error::internal("export", "the export could not be written"))??;
        Ok(Exported {
            file,
            manifest_file,
            manifest,
        })
    }

    /// Computes on the threads of queries.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let timeout = self.engine.limits.timeout;
        self.engine.workers.compute(timeout, |_| work()).await
    }

    /// Those ids that are accounts of this session. A query may call any text an account.
    async fn accounts(&self, found: QueryResult) -> Result<Written> {
        let shown = self.ids("SELECT account_id FROM accounts").await?;
        self.compute(move || {
            let shown: HashSet<String> = SegmentIds::of(&shown)?.ids.into_iter().collect();
            let SegmentIds { column, ids } = SegmentIds::of(&found)?;
            let all = ids.len();
            let rows: Vec<_> = ids
                .into_iter()
                .filter(|id| shown.contains(id))
                .map(|id| (id, None))
                .collect();
            Ok(Written {
                column,
                without: all - rows.len(),
                rows,
            })
        })
        .await
    }

    /// The first allowed identifier of each member, from its lawful subjects only.
    async fn identifiers(&self, found: QueryResult) -> Result<Written> {
        if self.purpose.export_namespaces.is_empty() {
            return Err(Error::denied(
                "no_exportable_identifier",
                format!(
                    "the purpose {} allows no identifier in exports",
                    self.purpose.id
                ),
            )
            .help("deliver through a channel, or add export_namespaces to the purpose"));
        }
        let standing = self.gate.standing.clone();
        let vault = Arc::clone(&self.engine.stores.vault);
        let namespaces = self.purpose.export_namespaces.clone();
        self.compute(move || {
            let SegmentIds { column, ids } = SegmentIds::of(&found)?;
            let subjects = subjects_of(&standing, &ids);
            let known = identifiers(vault.as_ref(), namespaces, &subjects).map_err(|error| {
                tracing::warn!(kind = ?error.kind(), "the vault refused an export");
                Error::unavailable("vault", "the vault cannot be asked now")
            })?;
            let rows: Vec<_> = ids
                .iter()
                .filter_map(|member| known.get(member.as_str()))
                .map(|(value, namespace)| (value.clone(), Some(namespace.clone())))
                .collect();
            Ok(Written {
                column,
                without: ids.len() - rows.len(),
                rows,
            })
        })
        .await
    }
}

/// The use of an export.
fn entry(segment: &SegmentDefinition, rows: Option<usize>, outcome: String) -> Entry {
    Entry {
        operation: "export",
        sql: Some(segment.query.clone()),
        segment: Some((segment.name.clone(), segment.version)),
        rows,
        outcome,
        ..Entry::default()
    }
}

/// The lawful subjects of these members, each with its member.
fn subjects_of<'i>(standing: &Standing, ids: &'i [String]) -> Vec<(SubjectId, &'i str)> {
    let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
    (0..u32::try_from(standing.set().len()).unwrap_or(u32::MAX))
        .filter(|number| standing.is_lawful(*number))
        .filter_map(|number| {
            let member = standing.member_of(number)?.to_string();
            Some((
                standing.set().subject_of(number)?,
                *wanted.get(member.as_str())?,
            ))
        })
        .collect()
}

/// The first allowed identifier of each member, by member.
fn identifiers<'i>(
    vault: &dyn Vault,
    namespaces: impl IntoIterator<Item = Namespace>,
    subjects: &[(SubjectId, &'i str)],
) -> Result<HashMap<&'i str, (String, Namespace)>, assent_vault::Error> {
    let mut known: HashMap<&str, (String, Namespace)> = HashMap::new();
    for namespace in namespaces {
        let open: Vec<(SubjectId, &str)> = subjects
            .iter()
            .filter(|(_, member)| !known.contains_key(member))
            .copied()
            .collect();
        let ids: Vec<SubjectId> = open.iter().map(|(subject, _)| *subject).collect();
        let values = vault.identifiers(&ids, &namespace)?;
        for ((_, member), value) in open.iter().zip(values) {
            if let Some(value) = value {
                known.entry(member).or_insert((value, namespace.clone()));
            }
        }
    }
    Ok(known)
}

/// The rows of a file: identifiers with their namespace, or account ids.
struct Written {
    column: &'static str,
    rows: Vec<(String, Option<Namespace>)>,
    without: usize,
}

impl Written {
    fn by_namespace(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (_, namespace) in &self.rows {
            if let Some(namespace) = namespace {
                *counts.entry(namespace.to_string()).or_default() += 1;
            }
        }
        counts
    }

    fn batch(&self) -> Result<RecordBatch> {
        let values: StringArray = self.rows.iter().map(|(value, _)| Some(value)).collect();
        let columns: Vec<(&str, ArrayRef)> = if self.column == "member_id" {
            let namespaces: StringArray = self
                .rows
                .iter()
                .map(|(_, namespace)| namespace.as_ref().map(Namespace::as_str))
                .collect();
            vec![
                ("namespace", Arc::new(namespaces)),
                ("identifier", Arc::new(values)),
            ]
        } else {
            vec![("account_id", Arc::new(values))]
        };
        RecordBatch::try_from_iter(columns)
            .map_err(|_| Error::internal("export", "the rows cannot be written"))
    }
}

/// A file that is written and durable under a name of its own, and not yet there under its real one.
struct Staged {
    partial: PathBuf,
    target: PathBuf,
}

impl Staged {
    fn write(target: &Path, bytes: &[u8]) -> Result<Self> {
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let staged = Self {
            partial: PathBuf::from(name),
            target: target.to_owned(),
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let write = || {
            let mut file = options.open(&staged.partial)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|error| cannot_write(&error))?;
        Ok(staged)
    }

    /// Gives the file its name; fails when somebody else was faster. Durable when it returns.
    fn publish(self) -> Result<Published> {
        fs::hard_link(&self.partial, &self.target).map_err(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                exists()
            } else {
                cannot_write(&error)
            }
        })?;
        let published = Published {
            target: self.target.clone(),
            kept: false,
        };
        if let Some(directory) = self.target.parent() {
            File::open(directory)
                .and_then(|directory| directory.sync_all())
                .map_err(|error| cannot_write(&error))?;
        }
        Ok(published)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.partial) {
            tracing::warn!(kind = ?error.kind(), "a staged export file could not be removed");
        }
    }
}

/// A file under its real name, taken away again unless it is kept.
struct Published {
    target: PathBuf,
    kept: bool,
}

impl Published {
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = fs::remove_file(&self.target) {
            tracing::error!(kind = ?error.kind(), "a file of an export that failed could not be removed");
        }
    }
}

fn exists() -> Error {
    Error::invalid("file_exists", "the export's file exists already")
}

fn cannot_write(error: &std::io::Error) -> Error {
    Error::invalid(
        "file",
        format!("the export cannot be written: {}", error.kind()),
    )
    .help("choose a directory that exists and can be written to")
}
