//! How many tables a query comes to read once its common table expressions are written out.
//!
//! The planner puts the plan of a `WITH` query wherever its name stands. A chain of such queries, each reading the one
//! before twice, doubles the plan with every line, and the planner walks all of it while it plans.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{ObjectName, Query, Visit, Visitor};

use super::size::too_complex;
use crate::error::Error;

/// How many tables and sub-queries a query may read, each common table expression counted wherever it is used.
const TABLE_LIMIT: usize = 500;

/// Refuses a query that reads more tables than that.
pub(super) fn judge(query: &Query) -> ControlFlow<Error> {
    query.visit(&mut Weigh::default())
}

#[derive(Default)]
struct Weigh {
    /// What each common table expression reads. Names are not scoped: of two with one name the larger counts.
    known: HashMap<String, usize>,
    /// Common table expressions not yet left, by the address of their query; never read through.
    named: HashMap<usize, String>,
    /// What the queries around this place read so far.
    open: Vec<usize>,
}

fn address(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

impl Visitor for Weigh {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = table.alias.name.value.to_lowercase();
            self.named.insert(address(&table.query), name);
        }
        self.open.push(1);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Error> {
        let name = relation.to_string().replace(['"', '`'], "").to_lowercase();
        let weight = self.known.get(&name).copied().unwrap_or(1);
        if let Some(sum) = self.open.last_mut() {
            *sum = sum.saturating_add(weight);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let sum = self.open.pop().unwrap_or(1);
        if sum > TABLE_LIMIT {
            return ControlFlow::Break(too_complex(format!(
                "the query reads more than {TABLE_LIMIT} tables, each WITH query counted wherever it is used"
            )));
        }
        if let Some(name) = self.named.remove(&address(query)) {
            let known = self.known.entry(name).or_default();
            *known = sum.max(*known);
        } else if let Some(around) = self.open.last_mut() {
            *around = around.saturating_add(sum);
        }
        ControlFlow::Continue(())
    }
}
