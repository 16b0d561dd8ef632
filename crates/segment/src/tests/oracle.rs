//! The shared world by hand: who may be read for what, and a plain engine over the tables that are left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use assent_consent::{Category, PurposeId, SubjectId, Timestamp, Use};
use assent_testkit::oracle::person_naively;
use datafusion::execution::config::SessionConfig;
use datafusion::prelude::SessionContext;

use super::naive::{self, View};
use super::plain::{Cut, Plain};
use super::world::{Person, World, now};
use crate::format::{Format, encode};

pub use super::naive::category;

/// Who may be read for what: categories per person; absent means denied.
pub type Lawful = BTreeMap<usize, BTreeSet<Category>>;

/// The people linked with this one, directly or through others.
pub fn component(world: &World, who: usize) -> BTreeSet<usize> {
    person_naively(&world.told.facts, world.people[who].subject, now())
        .into_iter()
        .map(|subject| index(world, subject))
        .collect()
}

fn index(world: &World, subject: SubjectId) -> usize {
    let place = world
        .people
        .iter()
        .position(|person| person.subject == subject);
    place.expect("one of the people")
}

fn use_of(purpose: &str) -> Use {
    Use::of(PurposeId::parse(purpose).expect("a purpose"))
}

/// The verdicts for a purpose at an instant.
pub fn lawful_at(world: &World, purpose: &str, at: Timestamp) -> Lawful {
    by_index(world, world.told.lawful(&use_of(purpose), at))
}

fn by_index(world: &World, lawful: naive::Lawful) -> Lawful {
    lawful
        .into_iter()
        .map(|(subject, categories)| (index(world, subject), categories))
        .collect()
}

pub fn lawful(world: &World, purpose: &str) -> Lawful {
    lawful_at(world, purpose, now())
}

/// Those who may not be read.
pub fn denied(world: &World, lawful: &Lawful) -> Vec<usize> {
    (0..world.people.len())
        .filter(|who| !lawful.contains_key(who))
        .collect()
}

/// The first of the denied of whom a text or number stands in `text`.
pub fn leak(text: &str, denied: &[usize]) -> Option<usize> {
    denied.iter().copied().find(|who| {
        text.contains(&Person::canary(*who)) || text.contains(&format!("{}", Person::number(*who)))
    })
}

/// What a purpose may see now.
pub fn view(world: &World, purpose: &str) -> View {
    View::of(&world.told, &use_of(purpose), now(), now())
}

/// A plain engine over what a purpose may see.
pub fn filtered(world: &World, purpose: &str) -> SessionContext {
    over(world, &view(world, purpose))
}

/// A plain engine over everything, as if there were no gate.
pub fn ungated(world: &World) -> SessionContext {
    over(world, &everything(world))
}

/// Everybody, for everything and for ever.
pub fn everything(world: &World) -> View {
    let all: BTreeSet<Category> = world
        .told
        .consent
        .purposes()
        .flat_map(|purpose| purpose.categories.clone())
        .collect();
    View::of_everybody(&world.told, all, now())
}

/// A plain engine over what a view shows.
pub fn over(world: &World, view: &View) -> SessionContext {
    let tables = world.told.tables(view);
    Plain::over(&tables, now(), world.told.consent.calendar(), Cut::Whole).context()
}

/// A plain engine with nothing in it, typed as ours.
pub fn bare() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(2);
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    SessionContext::new_with_config(config)
}

/// The answer of a plain engine, which runs any statement: rows as JSON, or the error's whole text.
pub fn answer(world: &World, context: &SessionContext, sql: &str) -> Result<String, String> {
    world.runtime.block_on(async {
        let frame = context.sql(sql).await.map_err(|error| error.to_string())?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await.map_err(|error| error.to_string())?;
        let bytes = encode(Format::Ndjson, &schema, &batches).map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|error| error.to_string())
    })
}
