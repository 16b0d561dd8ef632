//! Segments: named queries bound to one purpose, checked when they are planned and run under no other purpose.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::DataType;
use assent_consent::{Channel, PurposeId, RecipientId, Timestamp};
use assent_programme::{Principal, RegistryState, SegmentCheck, SegmentDefinition, SegmentFault};
use futures::FutureExt;

use crate::engine::{Engine, Limits};
use crate::entitlement::{Asked, allowed_purposes};
use crate::error::{Error, ErrorKind, Result, names};
use crate::gate;
use crate::session::{LawfulSession, QueryResult, logical, refused};
use crate::sql::state;
use crate::workers::on_a_large_stack;

/// The columns a segment's result is known by; it must hold one of them.
const IDS: [&str; 2] = ["member_id", "account_id"];

/// A segment as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Name.
    pub name: String,
    /// Version in force.
    pub version: u32,
    /// Its purpose.
    pub purpose: PurposeId,
    /// Its channel.
    pub channel: Option<Channel>,
    /// Its recipient.
    pub recipient: Option<RecipientId>,
    /// What its author wrote.
    pub description: String,
    /// Its query.
    pub query: String,
    /// SHA-256 of the query.
    pub sql_sha256: String,
    /// Whether this principal may run it.
    pub allowed: bool,
}

/// The rows of a segment.
#[derive(Debug, Clone)]
pub struct SegmentRun {
    /// The segment.
    pub segment: SegmentDefinition,
    /// Its id column, `member_id` or `account_id`.
    pub id_column: &'static str,
    /// Distinct ids, in ascending order.
    pub ids: Vec<String>,
    /// All rows.
    pub result: QueryResult,
}

/// Segments in force, and whether this principal may run them.
#[must_use]
pub fn list(registry: &RegistryState, principal: &Principal) -> Vec<SegmentSummary> {
    let allowed = allowed_purposes(registry, principal);
    registry
        .segments()
        .map(|segment| SegmentSummary {
            name: segment.name.clone(),
            version: segment.version,
            purpose: segment.purpose.clone(),
            channel: segment.channel.clone(),
            recipient: segment.recipient.clone(),
            description: segment.description.clone(),
            query: segment.query.clone(),
            sql_sha256: segment.sha256(),
            allowed: allowed.contains(&segment.purpose),
        })
        .collect()
}

fn find<'a>(registry: &'a RegistryState, name: &str) -> Result<&'a SegmentDefinition> {
    registry.segment(name).ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            "segment_unknown",
            "there is no such segment",
        )
        .help(format!(
            "segments: {}",
            names(registry.segments().map(|segment| segment.name.as_str()))
        ))
    })
}

impl Engine {
    /// Segments in force, and whether this principal may run them.
    #[must_use]
    pub fn segments(&self, principal: &Principal) -> Vec<SegmentSummary> {
        list(&self.stores.permit.registry(), principal)
    }

    /// One segment in force.
    ///
    /// # Errors
    /// `NotFound`, listing the segments there are.
    pub fn segment(&self, principal: &Principal, name: &str) -> Result<SegmentSummary> {
        let registry = self.stores.permit.registry();
        find(&registry, name)?;
        list(&registry, principal)
            .into_iter()
            .find(|summary| summary.name == name)
            .ok_or_else(|| Error::internal("segment", "a segment is not listed"))
    }
}

impl LawfulSession {
    /// Opens a session under a segment's own purpose, channel and recipient.
    ///
    /// # Errors
    /// `NotFound` when there is no such segment; otherwise as [`LawfulSession::open`].
    pub async fn for_segment(
        engine: &Arc<Engine>,
        principal: &Principal,
        name: &str,
        as_of: Option<Timestamp>,
    ) -> Result<Self> {
        let permit = &engine.stores.permit;
        permit.barrier().await.map_err(|error| refused(&error))?;
        let declared = find(&permit.registry(), name)?.declared_use();
        Self::open(engine, principal, &Asked::from(&declared), as_of).await
    }

    /// Runs a segment under its own purpose. The use is journalled before anything leaves.
    ///
    /// # Errors
    /// `Denied` when the session was opened for another use; otherwise as [`LawfulSession::query`].
    pub async fn run_segment(&self, name: &str) -> Result<SegmentRun> {
        let segment = self.own_segment(name)?;
        let result = self.rows(&segment.query).await;
        self.record(
            "run",
            Some(&segment.query),
            Some((segment.name.clone(), segment.version)),
            &result,
        )
        .await?;
        ran(segment, result?)
    }

    /// The segment, if this session is one for it.
    pub(crate) fn own_segment(&self, name: &str) -> Result<SegmentDefinition> {
        let segment = find(self.registry(), name)?;
        if segment.declared_use() == self.answered.declared {
            return Ok(segment.clone());
        }
        Err(Error::denied(
            "other_purpose",
            format!(
                "the segment {} runs under its own purpose {} only",
                segment.name, segment.purpose
            ),
        )
        .help("open the session for that purpose, channel and recipient"))
    }
}

/// Collects the ids of a result.
pub(crate) fn ran(segment: SegmentDefinition, result: QueryResult) -> Result<SegmentRun> {
    let id_column = IDS
        .into_iter()
        .find(|name| result.schema.field_with_name(name).is_ok())
        .ok_or_else(no_id)?;
    let mut ids = Vec::new();
    for batch in &result.batches {
        let column = batch
            .column_by_name(id_column)
            .and_then(|column| column.as_string_opt::<i32>())
            .ok_or_else(no_id)?;
        ids.extend(column.iter().flatten().map(str::to_owned));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(SegmentRun {
        segment,
        id_column,
        ids,
        result,
    })
}

fn no_id() -> Error {
    Error::invalid(
        "segment_without_id",
        "a segment must return a column member_id or account_id, as text",
    )
    .help("add member_id to its SELECT")
}

/// Checks a segment's query against the schema of its purpose, over empty tables.
///
/// # Errors
/// What is wrong, placed within the query.
pub fn check_segment(registry: &RegistryState, segment: &SegmentDefinition) -> Result<()> {
    let purpose = registry.purpose(&segment.purpose).ok_or_else(|| {
        Error::invalid(
            "purpose_unknown",
            format!("there is no purpose {}", segment.purpose),
        )
    })?;
    let catalogs = gate::catalog_of_empty(gate::visible(registry, &purpose.categories));
    let state = state::build(
        Arc::new(catalogs.clone()),
        &Limits::default(),
        Timestamp::from_micros(0),
        registry.settings().calendar,
    )?;
    // Planning over tables in memory never waits.
    let plan = on_a_large_stack(|| {
        logical(&state, &catalogs, &segment.query)
            .now_or_never()
            .ok_or_else(|| Error::internal("check", "planning a segment waited for something"))?
    })?;
    let has_id =
        plan.schema().fields().iter().any(|field| {
            IDS.contains(&field.name().as_str()) && *field.data_type() == DataType::Utf8
        });
    if has_id { Ok(()) } else { Err(no_id()) }
}

/// What a segment's purpose can read, as a text.
fn columns(registry: &RegistryState, segment: &SegmentDefinition) -> String {
    registry.purpose(&segment.purpose).map_or_else(
        || "declare its purpose first".to_owned(),
        |purpose| gate::catalog_of_empty(gate::visible(registry, &purpose.categories)).described(),
    )
}

/// The check that `plan` of a programme takes.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlCheck;

impl SegmentCheck for SqlCheck {
    fn check(
        &self,
        state: &RegistryState,
        segment: &SegmentDefinition,
    ) -> Result<(), SegmentFault> {
        check_segment(state, segment).map_err(|error| {
            let small = |place: u64| u32::try_from(place).unwrap_or(u32::MAX);
            SegmentFault {
                line: error.place().map_or(1, |place| small(place.line)),
                column: error.place().map_or(1, |place| small(place.column)),
                message: error.message().to_owned(),
                fix: error
                    .fix()
                    .map_or_else(|| columns(state, segment), str::to_owned),
            }
        })
    }
}
