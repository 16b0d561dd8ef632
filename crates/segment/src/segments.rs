//! Segments: named queries bound to one purpose, checked when they are planned and run under no other purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::DataType;
use assent_consent::{SubjectId, Timestamp, Use};
use assent_programme::{Principal, RegistryState, SegmentCheck, SegmentDefinition, SegmentFault};
use futures::FutureExt;
use roaring::RoaringBitmap;

use crate::engine::{Engine, Limits};
use crate::entitlement::{Asked, allowed_purposes};
use crate::error::{Error, ErrorKind, Result, names};
use crate::gate;
use crate::guards::Guards;
use crate::materialised::{ascending, looking_back, never_run};
use crate::running::{Resolve, known, logical};
use crate::session::{LawfulSession, QueryResult};
use crate::sql::in_segment::Segments;
use crate::sql::state;
use crate::workers::on_a_large_stack;

/// The columns a segment's result is known by; it must hold one of them.
const IDS: [&str; 2] = ["member_id", "account_id"];

/// The ids that a segment's result is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentIds {
    /// Their column, `member_id` or `account_id`.
    pub column: &'static str,
    /// Distinct, in ascending order.
    pub ids: Vec<String>,
}

impl SegmentIds {
    /// Collects the ids of a result.
    ///
    /// # Errors
    /// `Invalid` when it has no such column, or one that is no text.
    pub fn of(result: &QueryResult) -> Result<Self> {
        let column = id_column(|name| result.schema.field_with_name(name).is_ok())?;
        let mut ids = Vec::new();
        for cells in cells_of(result, column)? {
            ids.extend(cells.iter().flatten().map(str::to_owned));
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(Self { column, ids })
    }
}

/// The cells of a column of ids, batch by batch.
///
/// # Errors
/// `Invalid` when it is not there or no text.
fn cells_of<'r>(result: &'r QueryResult, column: &str) -> Result<Vec<&'r StringArray>> {
    let batches = result.batches.iter();
    let cells = batches.map(|batch| {
        let cells = batch.column_by_name(column);
        let cells = cells.and_then(|cells| cells.as_string_opt::<i32>());
        cells.ok_or_else(no_id)
    });
    cells.collect()
}

/// The column by which a segment is known, of those that are there.
///
/// # Errors
/// `Invalid` when none is.
pub(crate) fn id_column(has: impl Fn(&str) -> bool) -> Result<&'static str> {
    IDS.into_iter().find(|name| has(name)).ok_or_else(no_id)
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
    /// Segments in force, each with whether this principal may run it.
    #[must_use]
    pub fn segments(&self, principal: &Principal) -> Vec<(SegmentDefinition, bool)> {
        let registry = self.stores.permit.registry();
        let allowed = allowed_purposes(&registry, principal);
        registry
            .segments()
            .map(|segment| (segment.clone(), allowed.contains(&segment.purpose)))
            .collect()
    }

    /// One segment in force, with whether this principal may run it.
    ///
    /// # Errors
    /// `NotFound`, listing the segments there are.
    pub fn segment(&self, principal: &Principal, name: &str) -> Result<(SegmentDefinition, bool)> {
        let registry = self.stores.permit.registry();
        let segment = find(&registry, name)?;
        let allowed = allowed_purposes(&registry, principal).contains(&segment.purpose);
        Ok((segment.clone(), allowed))
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
        let asked = |registry: &RegistryState| {
            find(registry, name).map(|segment| Asked::from(&segment.declared_use()))
        };
        Self::open_for(engine, principal, asked, as_of).await
    }

    /// Runs a segment under its own purpose. The use is journalled before anything leaves.
    ///
    /// # Errors
    /// `Denied` when the session was opened for another use; otherwise as [`LawfulSession::query`].
    pub async fn run_segment(&self, name: &str) -> Result<QueryResult> {
        let segment = self.own_segment(name)?;
        let result = self.rows(&segment.query).await;
        self.record_of("run", &segment, &result).await?;
        let result = result?;
        let column = id_column(|name| result.schema.field_with_name(name).is_ok())?;
        if column == IDS[0] && !self.answered.looking_back {
            self.keep(&segment, &result).await?;
        }
        Ok(result)
    }

    /// Runs a segment of members and keeps whom it found, showing them to nobody: a segment may have more members than a
    /// result may have rows. Answers how many there are. The use is journalled before anything is kept.
    ///
    /// # Errors
    /// `Denied` when the session was opened for another use; `Invalid` for one that looks back, and for a segment of
    /// accounts; `Exhausted` above the limit of exports; otherwise as [`LawfulSession::query`].
    pub async fn refresh_segment(&self, name: &str) -> Result<u64> {
        self.only_of_the_present()?;
        let segment = self.own_segment(name)?;
        let result = self.ids(&segment.query).await.and_then(|result| {
            match result.schema.field_with_name(IDS[0]) {
                Ok(_) => Ok(result),
                Err(_) => Err(of_accounts(&segment.name)),
            }
        });
        self.record_of("refresh", &segment, &result).await?;
        self.keep(&segment, &result?).await
    }

    /// Journals a use of what a segment's query found.
    async fn record_of(
        &self,
        operation: &'static str,
        segment: &SegmentDefinition,
        result: &Result<QueryResult>,
    ) -> Result<()> {
        let of = (segment.name.clone(), segment.version);
        self.record(operation, Some(&segment.query), Some(of), result)
            .await
    }

    /// Keeps whom a run found, and tells how many.
    async fn keep(&self, segment: &SegmentDefinition, result: &QueryResult) -> Result<u64> {
        let set = self.gate.standing.shared();
        let number = |id: &str| {
            let member: SubjectId = id.parse().ok()?;
            let number = set.number_of(&member)?;
            set.member_number(number).filter(|one| *one == number)
        };
        let cells = cells_of(result, IDS[0])?;
        let ids = cells.into_iter().flat_map(|cells| cells.iter().flatten());
        let wanted = ascending(ids.filter_map(number));
        let (position, found) = (self.answered.digest(), wanted.len());
        self.engine.keep_run(segment, position, wanted, set).await?;
        Ok(found)
    }

    /// Who is in the segments that a query of this session names, and stands.
    pub(crate) fn kept_segments(&self) -> Box<Resolve> {
        let (engine, registry) = (Arc::clone(&self.engine), Arc::clone(self.registry()));
        let declared = self.answered.declared.clone();
        let (set, back) = (self.gate.standing.shared(), self.answered.looking_back);
        Box::new(move |names: BTreeSet<String>| {
            if back {
                return Err(looking_back());
            }
            let mut members = BTreeMap::new();
            for name in names {
                let segment = named_within(&registry, &name, &declared)?;
                let latest = engine.materialised.latest(&name, engine.permit())?;
                let latest = latest.ok_or_else(|| never_run(&name))?;
                latest.current(&name, segment.version, &declared)?;
                members.insert(name, latest.standing(&set));
            }
            Ok(Segments {
                members,
                set: Some(Arc::clone(&set)),
            })
        })
    }

    /// The segment, if this session is one for it.
    pub(crate) fn own_segment(&self, name: &str) -> Result<SegmentDefinition> {
        named_within(self.registry(), name, &self.answered.declared).cloned()
    }
}

/// The segment of this name, if it is one of this use.
fn named_within<'a>(
    registry: &'a RegistryState,
    name: &str,
    declared: &Use,
) -> Result<&'a SegmentDefinition> {
    let segment = find(registry, name)?;
    if segment.declared_use() == *declared {
        return Ok(segment);
    }
    Err(Error::denied(
        "other_purpose",
        format!(
            "the segment {} stands under its own purpose {} only",
            segment.name, segment.purpose
        ),
    )
    .help("open the session for that purpose, channel and recipient"))
}

/// Accounts of a segment are in an answer by their permitted contacts, who are counted anew each time.
fn of_accounts(name: &str) -> Error {
    Error::invalid(
        "segment_of_accounts",
        format!("the segment {name} is of accounts, which are not kept"),
    )
    .help(format!("ask for them: `assent segment run {name}`"))
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
    let mut state = state::build(
        Arc::new(catalogs.clone()),
        &Limits::default(),
        Timestamp::from_micros(0),
        registry.settings().calendar,
        Guards::ALL,
    )?;
    // Nobody is in the segments it names, which have to be there.
    let declared = segment.declared_use();
    let there = |names: BTreeSet<String>| {
        let mut segments = Segments::default();
        for name in names {
            named_within(registry, &name, &declared)?;
            segments.members.insert(name, RoaringBitmap::new());
        }
        Ok(segments)
    };
    let statement = known(&mut state, &segment.query, Guards::ALL, &there)?;
    // Planning over tables in memory never waits.
    let planned = on_a_large_stack(|| {
        logical(&state, &catalogs, statement, false, Guards::ALL)
            .now_or_never()
            .ok_or_else(|| Error::internal("check", "planning a segment waited for something"))?
    })?;
    let has_id =
        planned.plan.schema().fields().iter().any(|field| {
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
