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

/// The latest plans, bounded by the runs that they name.
#[derive(Debug)]
pub(crate) struct PlanCache {
    budget: usize,
    held: Mutex<VecDeque<(Basis, Arc<Plan>)>>,
}

impl PlanCache {
    /// A cache of plans of at most `budget` runs together.
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
        while held.iter().map(|(_, plan)| runs(plan)).sum::<usize>() > self.budget {
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

fn runs(plan: &Plan) -> usize {
    plan.iter().flatten().map(Work::runs).sum()
}

#[cfg(test)]
mod tests {
    use assent_event::ConsentDecision;

    use super::*;
    use crate::LawfulSession;
    use crate::gate::work;
    use crate::tests::world::{World, decide, fresh};

    fn plan(session: &LawfulSession, table: Table) -> Arc<Plan> {
        let shape = session.shapes.iter().find(|shape| shape.table == table);
        work::plan(&session.gate, shape.expect("a table of the purpose")).expect("a plan")
    }

    fn opened(world: &World) -> LawfulSession {
        world.clock.tick();
        world.open("marketing")
    }

    #[test]
    fn a_plan_holds_until_a_verdict_changes() {
        let world = fresh();
        let (before, other) = (opened(&world), world.open("sales"));
        let [members, events] = [Table::Members, Table::Events].map(|table| plan(&before, table));
        let of_sales = plan(&other, Table::Members);
        let again = opened(&world);
        assert!(again.gate.standing.evaluated_at() > before.gate.standing.evaluated_at());
        assert!(Arc::ptr_eq(&members, &plan(&again, Table::Members)));
        assert!(Arc::ptr_eq(&events, &plan(&again, Table::Events)));

        decide(&world, 0, ConsentDecision::withdrawn("marketing"));
        let after = opened(&world);
        for (table, before) in [(Table::Members, members), (Table::Events, events)] {
            let after = plan(&after, table);
            assert!(rows(&after) < rows(&before), "{table}");
        }
        // Another purpose is not concerned.
        assert!(Arc::ptr_eq(
            &of_sales,
            &plan(&world.open("sales"), Table::Members)
        ));
    }

    #[test]
    fn plans_that_name_too_many_runs_are_not_kept() {
        let world = fresh();
        let session = opened(&world);
        let made = plan(&session, Table::Members);
        for (budget, kept) in [(runs(&made), true), (runs(&made) - 1, false)] {
            let cache = PlanCache::new(budget);
            let again = || Ok(Plan::clone(&made));
            let plan = cache.get(&session.gate, Table::Members, again);
            assert_eq!(runs(&plan.expect("a plan")), runs(&made), "kept or not");
            let known = cache.known(&session.gate, Table::Members);
            assert_eq!(known.is_some(), kept);
        }
    }

    fn rows(plan: &Plan) -> usize {
        plan.iter().flatten().map(Work::rows).sum()
    }
}
