//! The plan: what journalling a programme would change, and what it refuses to change.
//!
//! Versions of purposes, segments, sources, traits and settings are counted here: the next number
//! follows whenever the content differs. The version of a notice is its author's and never moves
//! content. What stands in the journal is past, so a plan that would rewrite it is refused.

mod compare;
mod refuse;
mod show;

use assent_consent::Timestamp;

use crate::definition::{Definition, DefinitionKey, DefinitionKind, Digest};
use crate::fault::Fault;
use crate::programme::Programme;
use crate::registry::RegistryState;
use crate::segment::{SegmentCheck, SegmentDefinition};
use compare::Comparison;

/// What happens to a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It is new.
    Create,
    /// A version that says something else follows.
    Update,
    /// It stays as it is.
    Unchanged,
    /// It is in force and no longer defined: a version that ends it follows.
    Retire,
}

/// What happens to one definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happens.
    pub action: Action,
    /// To which definition, in the version it will have.
    pub key: DefinitionKey,
    /// The fields that change, for an update.
    pub fields: Vec<String>,
}

/// What journalling a programme would change.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The state it was made on; [`crate::apply()`] refuses when another is in force.
    pub parent: Digest,
    /// Everything compared, in the order of [`DefinitionKind::ALL`], then by name and version.
    pub changes: Vec<Change>,
    /// What will be journalled.
    pub definitions: Vec<Definition>,
}

impl Plan {
    /// Whether there is nothing to journal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.definitions.is_empty()
    }

    /// How many changes have this action.
    #[must_use]
    pub fn count(&self, action: Action) -> usize {
        self.changes.iter().filter(|c| c.action == action).count()
    }
}

/// Compares a programme with the registry in force.
///
/// # Errors
/// Every refusal, with file and line.
pub fn plan(current: &RegistryState, wanted: &Programme) -> Result<Plan, Vec<Fault>> {
    plan_checked(current, wanted, None)
}

/// As [`plan()`], with the SQL of every segment checked against the registry as it will be: a segment
/// that did not change may break because a trait did.
///
/// # Errors
/// Every refusal, with file and line.
pub fn plan_checked(
    current: &RegistryState,
    wanted: &Programme,
    check: Option<&dyn SegmentCheck>,
) -> Result<Plan, Vec<Fault>> {
    let mut faults = refuse::rewriting(current, wanted);
    if !faults.is_empty() {
        return Err(sorted(faults));
    }
    let mut comparison = Comparison::new(current);
    compare::programme(&mut comparison, wanted).map_err(|error| vec![unwritable(&error)])?;
    let plan = comparison.finish();
    let next = current
        .with(&plan.definitions, Timestamp::from_micros(0))
        .map_err(|error| vec![unwritable(&error.to_string())])?;
    if let Some(check) = check {
        for segment in next.segments() {
            if let Err(fault) = check.check(&next, segment) {
                faults.push(in_file(
                    wanted,
                    segment,
                    fault.line,
                    fault.column,
                    fault.message,
                    fault.fix,
                ));
            }
        }
    }
    if faults.is_empty() {
        Ok(plan)
    } else {
        Err(sorted(faults))
    }
}

fn sorted(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort();
    faults
}

/// A fault of a query, told in the coordinates of its file.
fn in_file(
    wanted: &Programme,
    segment: &SegmentDefinition,
    line: u32,
    column: u32,
    message: String,
    fix: String,
) -> Fault {
    let fault = wanted.origins.fault(
        DefinitionKind::Segment,
        &segment.name,
        &["name"],
        message,
        fix,
    );
    // The registry may hold an older place of the same query; the file at hand is what is shown.
    let placed = wanted.segments.iter().find(|s| s.name == segment.name);
    let (line, column) = placed.unwrap_or(segment).place_in_file(line, column);
    Fault {
        line,
        column,
        ..fault
    }
}

/// A fault of this program rather than of the programme: definitions it made and cannot take.
fn unwritable(reason: &str) -> Fault {
    Fault {
        file: "(plan)".to_owned(),
        line: 0,
        column: 0,
        message: reason.to_owned(),
        fix: "report this: the programme was read but cannot be written down".to_owned(),
    }
}

/// A plan of one definition that follows the ones in force.
pub(crate) fn single(current: &RegistryState, action: Action, definition: Definition) -> Plan {
    Plan {
        parent: current.digest(),
        changes: vec![Change {
            action,
            key: definition.key.clone(),
            fields: Vec::new(),
        }],
        definitions: vec![definition],
    }
}
