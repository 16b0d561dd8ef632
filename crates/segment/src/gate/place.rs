//! The place a gate stands at: without it, no table can be made.

use std::fmt;
use std::sync::Arc;

use assent_consent::{Purpose, Use};
use assent_journal::Checkpoint;
use assent_projection::Snapshot;

use super::files::FileCache;
use super::plans::PlanCache;
use super::private::Private;
use super::retention::Retention;
use super::standing::Standing;
use crate::engine::Engine;
use crate::error::Result;
use crate::guards::Guards;
use crate::workers::Turn;
use assent_programme::RegistryState;

/// Everything that decides what passes, fixed when the session is opened. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Gate {
    /// What the session declared.
    pub(crate) declared: Use,
    /// Who is lawful.
    pub(crate) standing: Standing,
    /// The profile files; `None` when nothing was projected yet.
    pub(crate) snapshot: Option<Snapshot>,
    /// How far the consent and registry topics were applied.
    pub(crate) position: Checkpoint,
    /// The definitions in force.
    pub(crate) registry: Arc<RegistryState>,
    /// Names that never show where they do not belong.
    pub(crate) private: Arc<Private>,
    /// How long what may be kept.
    pub(crate) retention: Retention,
    /// Which rows of which file belong to whom.
    pub(crate) files: Arc<FileCache>,
    /// Plans of reading that may still hold.
    pub(crate) plans: Arc<PlanCache>,
    /// Over how many threads a table is read.
    pub(crate) partitions: usize,
    /// Of the query that reads through it; whatever holds the gate works for that query.
    pub(crate) turn: Option<Arc<Turn>>,
    /// Which guards stand.
    pub(crate) guards: Guards,
}

/// What a gate is built on.
pub(crate) struct Foundation {
    pub(crate) declared: Use,
    pub(crate) standing: Standing,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) position: Checkpoint,
    pub(crate) registry: Arc<RegistryState>,
}

impl Gate {
    /// A gate for a purpose, which is that of the declared use.
    pub(crate) fn on(engine: &Engine, purpose: &Purpose, foundation: Foundation) -> Self {
        let Foundation {
            declared,
            standing,
            snapshot,
            position,
            registry,
        } = foundation;
        let calendar = registry.settings().calendar;
        Self {
            declared,
            snapshot,
            position,
            retention: Retention::of(purpose, calendar, standing.present(), engine.guards),
            standing,
            private: Arc::new(Private::of(&registry)),
            registry,
            files: Arc::clone(&engine.files),
            plans: Arc::clone(&engine.plans),
            partitions: engine.limits.partitions,
            guards: engine.guards,
            turn: None,
        }
    }

    /// Whether there is still somebody to read for.
    ///
    /// # Errors
    /// `Exhausted` when there is not.
    pub(crate) fn go_on(&self) -> Result<()> {
        self.turn.as_ref().map_or(Ok(()), |turn| turn.go_on())
    }

    /// The number of the manifest; 0 before the first.
    pub(crate) fn manifest(&self) -> u64 {
        self.snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.manifest().number)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("manifest", &self.manifest())
            .field("use", &self.declared)
            .field("position", &self.position)
            .field("evaluated_at", &self.standing.evaluated_at())
            .finish_non_exhaustive()
    }
}
