//! Plans of reading that still hold, since nothing that they rest on has changed: the next query reads the same rows.
//!
//! A plan is looked up by everything that decides which rows are read: the files, the purpose, the definitions, and every
//! verdict. The last is compared by what sets of verdicts share, so whoever is withdrawn makes another plan be made (I2).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use assent_consent::Use;
use assent_programme::RegistryState;
use assent_projection::Table;

use super::place::Gate;
use super::standing::Standing;
use super::work::{Plan, Work};
use crate::error::Result;
use crate::guards::Guards;

/// What a plan rests on.
#[derive(Debug)]
struct Basis {
    table: Table,
    manifest: u64,
    declared: Use,
    standing: Standing,
    registry: Arc<RegistryState>,
    partitions: usize,
    guards: Guards,
}

impl Basis {
    fn of(gate: &Gate, table: Table) -> Self {
        Self {
            table,
            manifest: gate.manifest(),
            declared: gate.declared.clone(),
            standing: gate.standing.clone(),
            registry: Arc::clone(&gate.registry),
            partitions: gate.partitions,
            guards: gate.guards,
        }
    }

    fn is_that_of(&self, gate: &Gate, table: Table) -> bool {
        self.table == table
            && self.manifest == gate.manifest()
            && self.declared == gate.declared
            && self.partitions == gate.partitions
            && self.guards == gate.guards
            && Arc::ptr_eq(&self.registry, &gate.registry)
            && gate.standing.is_unchanged_since(&self.standing)
    }
}

/// The latest plans, bounded by the rows that they name.
#[derive(Debug)]
pub(crate) struct PlanCache {
    budget: usize,
    held: Mutex<VecDeque<(Basis, Arc<Plan>)>>,
}

impl PlanCache {
    /// A cache of plans of at most `budget` rows together.
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            budget,
            held: Mutex::default(),
        }
    }

    /// The plan of reading a table through a gate, made if it is not there.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn get(
        &self,
        gate: &Gate,
        table: Table,
        make: impl FnOnce() -> Result<Plan>,
    ) -> Result<Arc<Plan>> {
        if let Some(plan) = self.known(gate, table) {
            return Ok(plan);
        }
        let plan = Arc::new(make()?);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // What it takes the place of can hardly be asked for again: only time goes back to it, and verdicts do not.
        held.retain(|(basis, _)| basis.table != table || basis.declared != gate.declared);
        held.push_back((Basis::of(gate, table), Arc::clone(&plan)));
        while held.iter().map(|(_, plan)| rows(plan)).sum::<usize>() > self.budget {
            held.pop_front();
        }
        Ok(plan)
    }

    fn known(&self, gate: &Gate, table: Table) -> Option<Arc<Plan>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = held.iter();
        let (_, plan) = known.find(|(basis, _)| basis.is_that_of(gate, table))?;
        Some(Arc::clone(plan))
    }
}

fn rows(plan: &Plan) -> usize {
    plan.iter().flatten().map(Work::rows).sum()
}
