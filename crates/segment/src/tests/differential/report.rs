//! What a campaign did, construct by construct.

use std::collections::BTreeMap;
use std::fmt;

use super::compare::Agreement;
use super::ground::{By, Ground, Trial};
use super::sql::Query;

/// The least share of queries that have rows, in per cent.
const WITH_ROWS: u64 = 70;
/// How often every construct occurs at least, in five thousand queries.
const EACH: u64 = 20;

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    queries: u64,
    with_rows: u64,
}

#[derive(Debug, Default)]
pub struct Report {
    towns: u64,
    sessions: u64,
    members: usize,
    denied: usize,
    all: Count,
    luck: u64,
    two_answers: Vec<String>,
    disorders: u64,
    failures: BTreeMap<String, u64>,
    constructs: BTreeMap<&'static str, Count>,
    differences: Vec<String>,
    /// Queries answered with the help of workers, and those run again without.
    pub by_workers: [u64; 2],
}

impl Report {
    /// Of a town in which nothing was asked yet.
    pub fn of_town(grounds: &[&Ground<'_>]) -> Self {
        Self {
            towns: 1,
            sessions: grounds.len() as u64,
            members: grounds.iter().map(|ground| ground.people()).sum(),
            denied: grounds.iter().map(|ground| ground.denied()).sum(),
            ..Self::default()
        }
    }

    pub fn agreed(&mut self, query: &Query, trial: &Trial) {
        let rows = match &trial.agreement {
            Agreement::Rows(rows) => *rows,
            Agreement::Disorder(rows) => {
                self.disorders += 1;
                *rows
            }
            Agreement::Failure(code) => {
                *self.failures.entry(code.clone()).or_default() += 1;
                0
            }
        };
        match trial.by {
            By::First => {}
            By::Luck => self.luck += 1,
            By::AnotherAnswer => self.two_answers.push(query.sql.clone()),
        }
        self.count(query, rows > 0);
    }

    pub fn differs(&mut self, query: &Query, told: String) {
        self.count(query, false);
        self.differences.push(told);
    }

    fn count(&mut self, query: &Query, with_rows: bool) {
        let one = Count {
            queries: 1,
            with_rows: u64::from(with_rows),
        };
        self.all = self.all.plus(one);
        for name in &query.constructs {
            let slot = self.constructs.entry(name).or_default();
            *slot = slot.plus(one);
        }
    }

    pub fn differences(&self) -> usize {
        self.differences.len()
    }

    pub fn add(&mut self, other: Self) {
        self.towns += other.towns;
        self.sessions += other.sessions;
        self.members += other.members;
        self.denied += other.denied;
        self.all = self.all.plus(other.all);
        self.luck += other.luck;
        self.two_answers.extend(other.two_answers);
        self.disorders += other.disorders;
        for (code, times) in other.failures {
            *self.failures.entry(code).or_default() += times;
        }
        for (name, count) in other.constructs {
            let slot = self.constructs.entry(name).or_default();
            *slot = slot.plus(count);
        }
        self.differences.extend(other.differences);
        let [answered, again] = other.by_workers;
        self.by_workers[0] += answered;
        self.by_workers[1] += again;
    }

    pub fn assert_agreement(&self) {
        assert!(
            self.differences.is_empty(),
            "{} answers differ:\n\n{}",
            self.differences.len(),
            self.differences.join("\n\n")
        );
    }

    /// A comparison of empty answers shows nothing.
    pub fn assert_variety(&self) {
        let share = self.all.with_rows * 100 / self.all.queries;
        assert!(
            share >= WITH_ROWS,
            "only {share} % of the queries have rows"
        );
        for (name, count) in &self.constructs {
            assert!(count.queries >= EACH, "{name}: {} queries", count.queries);
            assert!(count.with_rows > 0, "{name}: no query has rows");
        }
    }
}

impl Count {
    fn plus(self, other: Self) -> Self {
        Self {
            queries: self.queries + other.queries,
            with_rows: self.with_rows + other.with_rows,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} queries in {} towns and {} sessions (per session {:.1} members shown, {:.1} people denied); \
             {} with rows ({:.1} %), {} failed alike, {} failed or not by the order of evaluation, \
             {} have another plain answer that is ours, {} agree but for an order that the engine did not keep, \
             {} differ",
            self.all.queries,
            self.towns,
            self.sessions,
            self.members as f64 / self.sessions as f64,
            self.denied as f64 / self.sessions as f64,
            self.all.with_rows,
            self.all.with_rows as f64 * 100.0 / self.all.queries as f64,
            self.failures.values().sum::<u64>(),
            self.luck,
            self.two_answers.len(),
            self.disorders,
            self.differences.len()
        )?;
        let [answered, again] = self.by_workers;
        if answered + again > 0 {
            writeln!(
                f,
                "{answered} with the help of workers, {again} again without"
            )?;
        }
        for (code, times) in &self.failures {
            writeln!(f, "  {code}: {times}")?;
        }
        for sql in &self.two_answers {
            writeln!(f, "  two plain answers: {sql}")?;
        }
        writeln!(f, "| construct | queries | with rows |\n|---|---|---|")?;
        for (name, count) in &self.constructs {
            writeln!(f, "| {name} | {} | {} |", count.queries, count.with_rows)?;
        }
        Ok(())
    }
}
