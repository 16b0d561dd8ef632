//! A difference made small: first the query, then the town.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use assent_consent::SubjectId;

use super::dice::{self, Dice};
use super::ground::Ground;
use super::sql::{self, Query};
use super::town::{Asking, Plan, Town};

/// Queries tried for a smaller one.
const QUERY_TRIALS: usize = 300;
/// Towns founded for a smaller one.
const TOWN_TRIALS: usize = 40;

/// The smallest case found, told so that it can be made again.
pub fn told(town: &Town, ground: &Ground<'_>, rolled: &[u64], difference: &str) -> String {
    let small = dice::shrink(rolled, QUERY_TRIALS, |choices| {
        ground.trial(&of(ground, choices)).is_err()
    });
    let query = of(ground, &small);
    let gone = smaller_town(town.plan.seed, &ground.asking, &query);
    let mut plan = Plan::of(town.plan.seed);
    plan.without(&gone);
    let town = plan.found();
    let ground = Ground::of(&town, &ground.asking);
    let now = match ground.trial(&query) {
        Ok(_) => difference.to_owned(),
        Err(difference) => difference,
    };
    let mut text = format!(
        "seed {}, {:?}, at {}, {} of {} people left: {now}\nfirst seen as: {difference}\n{}\n",
        town.plan.seed,
        ground.asking,
        town.plan.now,
        town.plan.people.len() - gone.len(),
        town.plan.people.len(),
        query.sql
    );
    for draft in &town.plan.told.drafts {
        let _infallible = writeln!(
            text,
            "  {} {:?} {:?}",
            draft.subject, draft.times, draft.payload
        );
    }
    for fact in &town.plan.told.facts {
        let _infallible = writeln!(text, "  {fact:?}");
    }
    text
}

fn of(ground: &Ground<'_>, choices: &[u64]) -> Query {
    sql::query(&mut Dice::again(choices), &ground.tables, &ground.everybody)
}

/// Who can be left out of the town while the answers still differ.
fn smaller_town(seed: u64, asking: &Asking, query: &Query) -> BTreeSet<SubjectId> {
    let people = Plan::of(seed).people;
    let mut gone: BTreeSet<SubjectId> = BTreeSet::new();
    let mut trials = TOWN_TRIALS;
    let mut size = people.len().div_ceil(2);
    while size > 0 && trials > 0 {
        for some in people.chunks(size) {
            if trials == 0 || some.iter().all(|who| gone.contains(who)) {
                continue;
            }
            trials -= 1;
            let fewer: BTreeSet<SubjectId> = gone.iter().chain(some).copied().collect();
            let mut plan = Plan::of(seed);
            plan.without(&fewer);
            let town = plan.found();
            if Ground::of(&town, asking).trial(query).is_err() {
                gone = fewer;
            }
        }
        size /= 2;
    }
    gone
}
