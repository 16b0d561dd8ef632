//! Plans of reading that still hold, since nothing that they rest on has changed: the next query reads the same rows.
//!
//! A plan is looked up by everything that decides which rows are read: the files, the purpose, the definitions, and every
//! verdict. The last is compared by what sets of verdicts share, so whoever is withdrawn makes another plan be made (I2).
//!
//! Plans keep the files that they read from being forgotten, so those of other manifests than the latest go at once. What a
//! session reads that looks back is not kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use assent_consent::Use;
use assent_programme::RegistryState;
use assent_projection::{Owner, Table};

use super::place::Gate;
use super::standing::Standing;
use super::work::{Plan, Work};
use crate::error::Result;
use crate::guards::Guards;

/// A number is given once by one writer; a projection that was begun anew may give it again.
type ManifestId = (u64, Owner);

fn manifest_of(gate: &Gate) -> Option<ManifestId> {
    let manifest = gate.snapshot.as_ref()?.manifest();
    Some((manifest.number, manifest.writer))
}

/// What a plan rests on.
#[derive(Debug)]
struct Basis {
    table: Table,
    manifest: Option<ManifestId>,
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
            manifest: manifest_of(gate),
            declared: gate.declared.clone(),
            standing: gate.standing.clone(),
            registry: Arc::clone(&gate.registry),
            partitions: gate.partitions,
            guards: gate.guards,
        }
    }

    fn is_that_of(&self, gate: &Gate, table: Table) -> bool {
        self.table == table
            && self.manifest == manifest_of(gate)
            && self.declared == gate.declared
            && self.partitions == gate.partitions
            && self.guards == gate.guards
            && Arc::ptr_eq(&self.registry, &gate.registry)
            && gate.standing.is_unchanged_since(&self.standing)
    }
}

/// As how many runs a plan counts at least, for what it is beside them.
const LEAST: usize = 512;

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
        if gate.standing.looks_back() {
            return Ok(plan);
        }
        let basis = Basis::of(gate, table);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // What it takes the place of can hardly be asked for again: only time goes back to it, and verdicts do not.
        held.retain(|(known, _)| {
            known.manifest == basis.manifest
                && (known.table != table || known.declared != basis.declared)
        });
        held.push_back((basis, Arc::clone(&plan)));
        while held.iter().map(|(_, plan)| weight(plan)).sum::<usize>() > self.budget {
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

/// In runs.
fn weight(plan: &Plan) -> usize {
    LEAST + plan.iter().flatten().map(Work::runs).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use assent_event::ConsentDecision;

    use super::*;
    use crate::LawfulSession;
    use crate::gate::work;
    use crate::tests::world::{World, days_ago, decide, fresh};

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
        for (budget, kept) in [(weight(&made), true), (weight(&made) - 1, false)] {
            let cache = PlanCache::new(budget);
            let again = || Ok(Plan::clone(&made));
            let plan = cache.get(&session.gate, Table::Members, again);
            assert_eq!(rows(&plan.expect("a plan")), rows(&made), "kept or not");
            let known = cache.known(&session.gate, Table::Members);
            assert_eq!(known.is_some(), kept);
        }
    }

    /// They would keep files in memory that nobody reads any more.
    #[test]
    fn plans_of_an_earlier_manifest_go_when_one_of_a_later_comes() {
        let world = fresh();
        let session = opened(&world);
        let cache = PlanCache::new(usize::MAX);
        let get = |gate: &Gate, table| cache.get(gate, table, || Ok(Plan::new())).expect("a plan");
        get(&session.gate, Table::Members);
        get(&session.gate, Table::Events);
        assert_eq!(cache.held.lock().expect("sound").len(), 2);
        let later = Gate {
            snapshot: None,
            ..session.gate.clone()
        };
        get(&later, Table::Members);
        assert_eq!(cache.held.lock().expect("sound").len(), 1);
        assert!(cache.known(&session.gate, Table::Events).is_none());
        assert!(cache.known(&later, Table::Members).is_some());
    }

    /// It would take the place of the plan of the present.
    #[test]
    fn plans_of_sessions_that_look_back_are_not_kept() {
        let world = fresh();
        let session = opened(&world);
        let now = plan(&session, Table::Members);
        let back = world.open_as_of("marketing", Some(days_ago(30)));
        assert!(rows(&plan(&back, Table::Members)) > 0);
        assert!(back.gate.plans.known(&back.gate, Table::Members).is_none());
        assert!(Arc::ptr_eq(&plan(&opened(&world), Table::Members), &now));
    }

    fn rows(plan: &Plan) -> usize {
        plan.iter().flatten().map(Work::rows).sum()
    }
}
