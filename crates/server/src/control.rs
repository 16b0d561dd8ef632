//! What the owner of a data directory may ask of the process that holds its stores.
//!
//! The trait is the seam: HTTP here, files and stores in the binary.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::problem::Problem;

/// Operations on the stores themselves, offered on the local socket only.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// What applying the programme in `dir` would change.
    async fn plan(&self, dir: PathBuf) -> Result<Changes, Problem>;
    /// Validates the programme in `dir` and journals its definitions.
    async fn apply(&self, dir: PathBuf) -> Result<Changes, Problem>;
    /// Brings a file in; sends progress as it goes. The last one sent tells how it ended.
    async fn import(&self, request: ImportRequest, progress: mpsc::UnboundedSender<ImportProgress>);
    /// Catches the profiles up with the journal, or folds them anew.
    async fn project(&self, rebuild: bool) -> Result<Projected, Problem>;
    /// Adds a principal and returns its token, which is not kept.
    async fn add_principal(&self, request: NewPrincipal) -> Result<String, Problem>;
    /// Revokes a principal.
    async fn revoke_principal(&self, name: &str) -> Result<(), Problem>;
    /// Everybody who was ever a principal, by what is acknowledged now.
    async fn principals(&self) -> Result<Vec<PrincipalListed>, Problem>;
    /// Looks at the stores this process holds, for `assent doctor`.
    async fn examine(&self) -> Examined;
}

/// What an examination found.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Examined {
    /// One for each thing looked at.
    pub findings: Vec<Finding>,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// How it stands: `ok`, `warn` or `fail`.
    pub status: String,
    /// What was found.
    pub detail: String,
    /// What to do about it; empty when nothing is.
    pub fix: String,
}

/// A principal, as lists show it.
#[derive(Debug)]
pub struct PrincipalListed {
    /// Its name.
    pub name: String,
    /// `analyst` or `officer`.
    pub role: &'static str,
    /// The purposes it may use data for.
    pub purposes: Vec<String>,
    /// Whether its token counts no more.
    pub revoked: bool,
}

/// Changes of definitions.
#[derive(Debug, Serialize)]
pub struct Changes {
    /// In the order they are journalled.
    pub changes: Vec<Change>,
}

/// One definition's change.
#[derive(Debug, Serialize)]
pub struct Change {
    /// `create`, `update`, `retire` or `unchanged`.
    pub action: &'static str,
    /// Kind, name and version.
    pub key: String,
}

/// A file to import.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// The file, CSV or NDJSON.
    pub file: PathBuf,
    /// The mapping, YAML.
    pub mapping: PathBuf,
    /// Where bad rows go.
    pub rejects: PathBuf,
    /// Whether to forget how far an earlier run came.
    #[serde(default)]
    pub restart: bool,
}

/// How far an import came, earlier runs of it included.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportProgress {
    /// Lines of the file; its rows are at most as many.
    pub lines: u64,
    /// What became of its rows so far.
    #[serde(flatten)]
    pub counts: ImportCounts,
    /// What of it earlier runs did.
    pub earlier: ImportCounts,
    /// How many of the events that this run journalled had come in before, as was found when profiles were built; they
    /// count once. `None` if that is not known here.
    pub repeated: Option<u64>,
    /// How often each reason to reject was given.
    pub reasons: BTreeMap<String, u64>,
    /// How often each warning was given about an event that was taken: code and message.
    pub warnings: BTreeMap<String, u64>,
    /// On which lines each warning was given first.
    pub warning_lines: BTreeMap<String, Vec<u64>>,
    /// What is worth a look, although nothing is wrong with it.
    pub hints: Vec<String>,
    /// Whether an earlier run had come to the end of the file already: nothing was sent.
    pub finished_before: bool,
    /// Why it stopped before the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether it stopped because the call was wrong: the mapping, or what it was used with.
    pub usage: bool,
    /// Whether it stopped after something was taken, so that the same call goes on from there.
    pub resumable: bool,
}

/// What became of the rows of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportCounts {
    /// Rows that are done.
    pub rows: u64,
    /// Events journalled.
    pub journalled: u64,
    /// Events recognised as duplicates by intake.
    pub duplicates: u64,
    /// Rows written to the reject file.
    pub rejected: u64,
}

/// What a projection run did.
#[derive(Debug, Serialize)]
pub struct Projected {
    /// Number of the manifest in force.
    pub manifest: u64,
    /// Events folded.
    pub folded: u64,
    /// Events that had been folded before.
    pub duplicates: u64,
    /// Records that could not be read, each recorded with its position.
    pub skipped: u64,
    /// The shards folded here.
    pub shards: Vec<u32>,
    /// Shards, here or elsewhere, that have not caught up in a rebuild.
    pub to_be_rebuilt: Vec<u32>,
}

/// A principal to add.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPrincipal {
    /// Its name.
    pub name: String,
    /// `analyst`, `officer` or `operator`.
    pub role: String,
    /// Purposes it may use data for.
    pub purposes: Vec<String>,
}
