//! One session of a town beside the plain engine over what it may see.

use std::sync::Arc;

use crate::LawfulSession;
use crate::tests::naive::{NaiveTable, View};
use crate::tests::plain::{Cut, Plain};

use super::compare::{Agreement, compare, said};
use super::people::{canary, number};
use super::sql::Query;
use super::town::{Asking, Town};

/// How else the same rows may be handed to the plain engine, for queries that fail on some of them.
const OTHER_CUTS: [Cut; 6] = [
    Cut::Batches(1),
    Cut::Stream(1_000),
    Cut::Stream(1),
    Cut::Batches(8),
    Cut::Stream(8),
    Cut::Batches(3),
];

/// How a trial ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    pub agreement: Agreement,
    /// Whether rows had to be handed over in another way before the answers agreed: an expression that can fail stood
    /// beside a condition that may leave the failing rows out first.
    pub by_another_cut: bool,
}

pub struct Ground<'a> {
    pub tables: Vec<NaiveTable>,
    /// The same tables without a gate.
    pub everybody: Vec<NaiveTable>,
    pub asking: Asking,
    town: &'a Town,
    session: LawfulSession,
    plain: Arc<Plain>,
    /// Texts of people who may not be read.
    planted: Vec<String>,
}

impl<'a> Ground<'a> {
    pub fn of(town: &'a Town, asking: &Asking) -> Self {
        let plan = &town.plan;
        let at = asking.as_of.unwrap_or(plan.now);
        let view = View::of(&plan.told, &asking.use_, at, plan.now);
        let all = View::of_everybody(&plan.told, view.categories.clone(), plan.now);
        let tables = plan.told.tables(&view);
        let denied = plan
            .people
            .iter()
            .enumerate()
            .filter(|(_, subject)| !view.lawful.contains_key(subject));
        Self {
            plain: Arc::new(town.plain(&tables, at, Cut::Whole)),
            tables,
            everybody: plan.told.tables(&all),
            asking: asking.clone(),
            session: town.open(asking),
            planted: denied
                .flat_map(|(index, _)| [canary(index), format!("{}", number(index))])
                .collect(),
            town,
        }
    }

    /// How many members there are.
    pub fn people(&self) -> usize {
        self.tables[0].rows.len()
    }

    /// How many people may not be read.
    pub fn denied(&self) -> usize {
        self.planted.len() / 2
    }

    /// Asks both.
    ///
    /// # Errors
    /// How the answers differ, or what an error tells of people who may not be read.
    pub fn trial(&self, query: &Query) -> Result<Trial, String> {
        let runtime = &self.town.runtime;
        let ours = runtime.block_on(self.session.query(&query.sql));
        if let Err(error) = &ours {
            let said = said(error);
            let told = |text: &&String| said.contains(*text) && !query.sql.contains(*text);
            if let Some(text) = self.planted.iter().find(told) {
                return Err(format!("an error tells {text}: {said}"));
            }
        }
        let against = |plain: &Plain| {
            let answer = runtime.block_on(plain.ask(&query.sql));
            let limit = query.limit.as_ref();
            let whole = limit.map(|limit| runtime.block_on(plain.ask(&limit.whole)));
            (
                compare(query, &ours, &answer, whole.as_ref()),
                answer.is_err(),
            )
        };
        let (first, failed) = against(&self.plain);
        let difference = match first {
            Ok(agreement) => {
                return Ok(Trial {
                    agreement,
                    by_another_cut: false,
                });
            }
            Err(difference) => difference,
        };
        if !failed && ours.is_ok() {
            return Err(difference);
        }
        for cut in OTHER_CUTS {
            let at = self.session.answered().evaluated_at;
            let plain = Arc::new(self.town.plain(&self.tables, at, cut));
            if let (Ok(agreement), _) = against(&plain) {
                return Ok(Trial {
                    agreement,
                    by_another_cut: true,
                });
            }
        }
        Err(difference)
    }
}
