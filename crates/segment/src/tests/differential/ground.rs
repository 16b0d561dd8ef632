//! One session of a town beside the plain engine over what it may see.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;

use crate::LawfulSession;
use crate::tests::naive::{NaiveTable, View};
use crate::tests::plain::{Cut, Plain};

use super::compare::{Agreement, compare, said};
use super::people::{canary, number};
use super::sql::Query;
use super::town::{Asking, Town};

/// How else the same rows may be handed to the plain engine.
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
    pub by: By,
}

/// Against which plain answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The first.
    First,
    /// That over the same rows handed over in another way, where an expression can fail: it stands beside a condition
    /// that may leave the failing rows out before or after.
    Luck,
    /// That over the same rows handed over in another way, where nothing fails: the plain engine has two answers and so
    /// is wrong once, but ours follows from lawful rows alone.
    AnotherAnswer,
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

    /// What each of the two answers, for people to look at.
    pub fn both(&self, sql: &str) -> String {
        let runtime = &self.town.runtime;
        let shown = |batches: &[RecordBatch]| match pretty_format_batches(batches) {
            Ok(table) => table.to_string(),
            Err(error) => error.to_string(),
        };
        let ours = match runtime.block_on(self.session.query(sql)) {
            Ok(result) => shown(&result.batches),
            Err(error) => error.to_string(),
        };
        let plain = match runtime.block_on(Plain::asked(&self.plain, sql)) {
            Ok(rows) => shown(&rows.batches),
            Err(failure) => failure.text,
        };
        format!("ours\n{ours}\nplain\n{plain}")
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
            let fails = answer.is_err() || matches!(&whole, Some(Err(_)));
            (compare(query, &ours, &answer, whole.as_ref()), fails)
        };
        let (first, fails) = against(&self.plain);
        let difference = match first {
            Ok(agreement) => {
                let by = By::First;
                return Ok(Trial { agreement, by });
            }
            Err(difference) => difference,
        };
        let at = self.session.answered().evaluated_at;
        for cut in OTHER_CUTS {
            let plain = Arc::new(self.town.plain(&self.tables, at, cut));
            if let (Ok(agreement), fails_now) = against(&plain) {
                let by = if fails || fails_now || ours.is_err() {
                    By::Luck
                } else {
                    By::AnotherAnswer
                };
                return Ok(Trial { agreement, by });
            }
        }
        Err(difference)
    }
}
