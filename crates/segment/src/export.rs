//! Exports: the members of a segment as identifiers that its purpose allows, in a file with a manifest.
//!
//! A file is created exclusively, readable by its owner only, and appears whole or not at all; the use is journalled
//! after it was written and before it appears. A member without an allowed identifier is counted, not written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use assent_consent::{Namespace, SubjectId, Timestamp};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::format::{Format, encode};
use crate::segments::{SegmentRun, ran};
use crate::session::LawfulSession;
use crate::use_log::{Entry, hex};

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
        let made = self.export(name, format, directory, valid_days).await;
        if let Err(error) = &made {
            self.journal(Entry {
                operation: "export",
                outcome: format!("failed: {}", error.code()),
                ..Entry::default()
            })
            .await?;
        }
        made
    }

    async fn export(
        &self,
        name: &str,
        format: ExportFormat,
        directory: &Path,
        valid_days: u32,
    ) -> Result<Exported> {
        let segment = self.own_segment(name)?;
        if self.answered.looking_back {
            return Err(Error::denied(
                "export_looking_back",
                "an export is of the present; a session that looks back cannot make one",
            ));
        }
        let run = ran(segment.clone(), self.rows(&segment.query).await?)?;
        let written = if run.id_column == "member_id" {
            self.identifiers(&run).await?
        } else {
            Written::accounts(&run)
        };
        let batch = written.batch(run.id_column)?;
        let bytes = encode(format.into(), &batch.schema(), &[batch])?;
        let stem = format!(
            "{}-v{}-{}",
            segment.name,
            segment.version,
            self.answered.evaluated_at.micros()
        );
        let file = directory.join(format!("{stem}.{}", Format::from(format).as_str()));
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
            sha256: hex(&Sha256::digest(&bytes)),
            segment: segment.name.clone(),
        };
        let manifest_file = directory.join(format!("{stem}.manifest.json"));
        let text = serde_json::to_vec_pretty(&manifest)
            .map_err(|_| Error::internal("export", "the manifest cannot be written"))?;
        let staged = [
            Staged::write(&file, &bytes)?,
            Staged::write(&manifest_file, &text)?,
        ];
        self.journal(Entry {
            operation: "export",
            sql: Some(segment.query.clone()),
            segment: Some((segment.name, segment.version)),
            rows: Some(manifest.rows),
            outcome: "answered".to_owned(),
        })
        .await?;
        for file in staged {
            file.publish()?;
        }
        Ok(Exported {
            file,
            manifest_file,
            manifest,
        })
    }

    /// The first allowed identifier of each member, from its lawful subjects only.
    async fn identifiers(&self, run: &SegmentRun) -> Result<Written> {
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
        let wanted: HashSet<&str> = run.ids.iter().map(String::as_str).collect();
        let standing = &self.gate.standing;
        let mut subjects: Vec<SubjectId> = Vec::new();
        let mut member_of: HashMap<SubjectId, String> = HashMap::new();
        for number in 0..u32::try_from(standing.set().len()).unwrap_or(u32::MAX) {
            if !standing.is_lawful(number) {
                continue;
            }
            let (Some(member), Some(subject)) = (
                standing.member_of(number),
                standing.set().subject_of(number),
            ) else {
                continue;
            };
            let member = member.to_string();
            if wanted.contains(member.as_str()) {
                subjects.push(subject);
                member_of.insert(subject, member);
            }
        }
        let vault = Arc::clone(&self.engine.stores.vault);
        let namespaces = self.purpose.export_namespaces.clone();
        let found = tokio::task::spawn_blocking(move || {
            let mut found: HashMap<String, (String, Namespace)> = HashMap::new();
            for namespace in namespaces {
                let open: Vec<SubjectId> = subjects
                    .iter()
                    .filter(|subject| !found.contains_key(&member_of[*subject]))
                    .copied()
                    .collect();
                let values = vault.identifiers(&open, &namespace)?;
                for (subject, value) in open.iter().zip(values) {
                    if let Some(value) = value {
                        found
                            .entry(member_of[subject].clone())
                            .or_insert((value, namespace.clone()));
                    }
                }
            }
            Ok::<_, assent_vault::Error>(found)
        })
        .await
        .map_err(|_| Error::internal("export", "the vault could not be asked"))?
        .map_err(|_| Error::unavailable("vault", "the vault cannot be asked now"))?;
        let rows: Vec<(String, Option<Namespace>)> = run
            .ids
            .iter()
            .filter_map(|member| found.get(member))
            .map(|(value, namespace)| (value.clone(), Some(namespace.clone())))
            .collect();
        Ok(Written {
            without: run.ids.len() - rows.len(),
            rows,
        })
    }
}

/// The rows of a file: identifiers with their namespace, or account ids.
struct Written {
    rows: Vec<(String, Option<Namespace>)>,
    without: usize,
}

impl Written {
    fn accounts(run: &SegmentRun) -> Self {
        Self {
            rows: run.ids.iter().map(|id| (id.clone(), None)).collect(),
            without: 0,
        }
    }

    fn by_namespace(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (_, namespace) in &self.rows {
            if let Some(namespace) = namespace {
                *counts.entry(namespace.to_string()).or_default() += 1;
            }
        }
        counts
    }

    fn batch(&self, id_column: &str) -> Result<RecordBatch> {
        let values: StringArray = self.rows.iter().map(|(value, _)| Some(value)).collect();
        let columns: Vec<(&str, ArrayRef)> = if id_column == "member_id" {
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
    published: bool,
}

impl Staged {
    fn write(target: &Path, bytes: &[u8]) -> Result<Self> {
        if target.exists() {
            return Err(Error::invalid(
                "file_exists",
                "the export's file exists already",
            ));
        }
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let staged = Self {
            partial: PathBuf::from(name),
            target: target.to_owned(),
            published: false,
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
    fn publish(mut self) -> Result<()> {
        fs::hard_link(&self.partial, &self.target).map_err(|error| cannot_write(&error))?;
        self.published = true;
        if let Some(directory) = self.target.parent() {
            File::open(directory)
                .and_then(|directory| directory.sync_all())
                .map_err(|error| cannot_write(&error))?;
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.partial) {
            tracing::warn!(kind = ?error.kind(), published = self.published, "a staged export file could not be removed");
        }
    }
}

fn cannot_write(error: &std::io::Error) -> Error {
    Error::invalid(
        "file",
        format!("the export cannot be written: {}", error.kind()),
    )
    .help("choose a directory that exists and can be written to")
}
