//! Queries from choices, over the tables a session sees: everything relational that DataFusion plans.
//!
//! Queries have one admissible answer wherever it can be arranged: windows and ordered aggregates are ordered by keys,
//! `LIMIT` follows an order by every column, and amounts are quarters, so that their sums are exact in whatever order.
//! The rest is marked: a `LIMIT` without an order, and functions whose last digits depend on the order.

mod aggregates;
mod from;
mod predicates;
mod scalars;
mod windows;

use std::collections::BTreeSet;

use super::dice::Dice;
use crate::tests::naive::{Cell, Kind, NaiveTable};

/// A generated query.
#[derive(Debug, Clone)]
pub struct Query {
    pub sql: String,
    /// The constructs it is made of.
    pub constructs: BTreeSet<&'static str>,
    /// Whether the last digits of numbers may differ.
    pub inexact: bool,
    /// Whether rows come in an order that tells all of them apart but equal ones.
    pub ordered: bool,
    pub limit: Option<Limit>,
}

/// A `LIMIT`, which may take any rows unless the query is ordered.
#[derive(Debug, Clone)]
pub struct Limit {
    /// The query without it.
    pub whole: String,
    pub rows: usize,
    pub skipped: usize,
}

/// A table, sub-query or common table expression that stands in a `FROM`.
#[derive(Debug, Clone)]
struct Source {
    alias: String,
    columns: Vec<(String, Kind)>,
    /// What tells its rows apart, all columns at worst.
    key: Vec<String>,
    /// The table it is, for values to compare with.
    table: Option<usize>,
}

impl Source {
    fn of_kind(&self, kind: Kind) -> Vec<String> {
        self.columns
            .iter()
            .filter(|(_, of)| *of == kind)
            .map(|(name, _)| format!("{}.{name}", self.alias))
            .collect()
    }

    fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|(column, _)| column == name)
    }
}

/// What a `SELECT` can name.
type Scope = [Source];

/// A `SELECT` without order and limit.
struct Selected {
    sql: String,
    columns: Vec<(String, Kind)>,
}

struct Maker<'a> {
    dice: &'a mut Dice,
    tables: &'a [NaiveTable],
    /// The same tables with everybody in them: values to ask for.
    everybody: &'a [NaiveTable],
    constructs: BTreeSet<&'static str>,
    inexact: bool,
    /// Whether there is a window: DataFusion 55.2 may believe that its rows are in an order they are not in, so that no
    /// order of the whole holds. Such a query is compared as a bag, and has no limit.
    windows: bool,
    /// How many aliases were given.
    aliases: usize,
    /// Common table expressions in scope.
    expressions: Vec<Source>,
    /// Whether an expression that can fail may still be put in.
    daring: bool,
}

/// How many queries of a hundred may fail on some values.
const DARING: u64 = 18;

/// The query of these choices.
pub fn query(dice: &mut Dice, tables: &[NaiveTable], everybody: &[NaiveTable]) -> Query {
    let mut maker = Maker {
        dice,
        tables,
        everybody,
        constructs: BTreeSet::new(),
        inexact: false,
        windows: false,
        aliases: 0,
        expressions: Vec::new(),
        daring: false,
    };
    maker.daring = maker.dice.chance(DARING);
    maker.whole()
}

impl Maker<'_> {
    fn mark(&mut self, construct: &'static str) {
        self.constructs.insert(construct);
    }

    fn alias(&mut self, letter: &str) -> String {
        self.aliases += 1;
        format!("{letter}{}", self.aliases)
    }

    fn whole(&mut self) -> Query {
        let with = self.with();
        let selected = self.body();
        let mut sql = format!("{with}{}", selected.sql);
        let (mut ordered, mut limit) = (false, None);
        let places: Vec<usize> = (1..=selected.columns.len()).collect();
        match self.dice.below(10) {
            0..4 => {}
            4..8 if !self.inexact => {
                self.mark("order by");
                ordered = !self.windows;
                sql += &format!(" ORDER BY {}", self.every(&places));
                if ordered && self.dice.chance(60) {
                    self.mark("limit");
                    limit = Some(self.limit(&mut sql));
                }
            }
            8 => {
                self.mark("order by some columns");
                let place = *self.dice.pick(&places);
                sql += &format!(" ORDER BY {place} {}", self.direction());
            }
            // A limit may stop before the row that fails.
            9 if !self.inexact && !self.daring => {
                self.mark("limit without order");
                limit = Some(self.limit(&mut sql));
            }
            _ => {}
        }
        Query {
            sql,
            constructs: std::mem::take(&mut self.constructs),
            inexact: self.inexact,
            ordered,
            limit,
        }
    }

    fn limit(&mut self, sql: &mut String) -> Limit {
        let whole = sql.clone();
        let rows = 1 + self.dice.below(10);
        *sql += &format!(" LIMIT {rows}");
        let mut skipped = 0;
        if self.dice.chance(40) {
            self.mark("offset");
            skipped = self.dice.below(4);
            *sql += &format!(" OFFSET {skipped}");
        }
        Limit {
            whole,
            rows: usize::try_from(rows).expect("small"),
            skipped: usize::try_from(skipped).expect("small"),
        }
    }

    fn direction(&mut self) -> &'static str {
        self.dice
            .word(&["ASC", "DESC", "ASC NULLS FIRST", "DESC NULLS LAST"])
    }

    /// An order by all of these, each its own way.
    fn every<T: std::fmt::Display>(&mut self, items: &[T]) -> String {
        let items: Vec<String> = items
            .iter()
            .map(|item| format!("{item} {}", self.direction()))
            .collect();
        items.join(", ")
    }

    /// Common table expressions.
    fn with(&mut self) -> String {
        if !self.dice.chance(18) {
            return String::new();
        }
        if self.dice.chance(25) {
            self.mark("recursive query");
            let name = self.alias("n");
            self.expressions.push(Source {
                alias: name.clone(),
                columns: vec![("i".to_owned(), Kind::Integer)],
                key: vec!["i".to_owned()],
                table: None,
            });
            let end = 2 + self.dice.below(5);
            return format!(
                "WITH RECURSIVE {name} AS (SELECT 0 AS i UNION ALL SELECT i + 1 FROM {name} WHERE i < {end}) "
            );
        }
        self.mark("common table expression");
        let mut parts = Vec::new();
        for _ in 0..=self.dice.below(2) {
            let name = self.alias("w");
            let selected = self.select(None, 1);
            parts.push(format!("{name} AS ({})", selected.sql));
            let expression = named(name, selected.columns);
            self.expressions.push(expression);
        }
        format!("WITH {} ", parts.join(", "))
    }

    fn body(&mut self) -> Selected {
        match self.dice.below(100) {
            0..74 => return self.select(None, 2),
            74..82 => return self.of_one_table(),
            _ => {}
        }
        let (left, right) = if self.dice.chance(30) {
            let left = self.select(None, 1);
            let kinds: Vec<Kind> = left.columns.iter().map(|(_, kind)| *kind).collect();
            let right = self.select(Some(&kinds), 1);
            (left, right)
        } else {
            self.twice()
        };
        let (word, construct) = *self.dice.pick(&[
            ("UNION ALL", "union all"),
            ("UNION", "union"),
            ("INTERSECT", "intersect"),
            ("EXCEPT", "except"),
            ("EXCEPT ALL", "except all"),
            ("INTERSECT ALL", "intersect all"),
        ]);
        self.mark(construct);
        Selected {
            sql: format!("{} {word} {}", left.sql, right.sql),
            columns: left.columns,
        }
    }

    /// A whole table, or how much there is of it: what an engine likes to answer without reading it.
    fn of_one_table(&mut self) -> Selected {
        let (text, source) = self.table();
        match self.dice.below(4) {
            0 | 1 => {
                self.mark("every column");
                Selected {
                    sql: format!("SELECT * FROM {text}"),
                    columns: source.columns,
                }
            }
            2 => {
                self.mark("count of a table");
                let scope = [source];
                let kind = *self.dice.pick(&[Kind::Text, Kind::Number, Kind::Instant]);
                let column = self.column(&scope, kind);
                Selected {
                    sql: format!(
                        "SELECT count(*) AS c0, min({column}) AS c1, max({column}) AS c2 FROM {text}"
                    ),
                    columns: named_columns(&[Kind::Integer, kind, kind]),
                }
            }
            _ => {
                self.mark("count of a limit");
                let (rows, skipped) = (1 + self.dice.below(40), self.dice.below(10));
                Selected {
                    sql: format!(
                        "SELECT count(*) AS c0 FROM (SELECT 1 AS one FROM {text} LIMIT {rows} OFFSET {skipped}) AS s"
                    ),
                    columns: named_columns(&[Kind::Integer]),
                }
            }
        }
    }

    /// The same columns of the same table under two conditions, so that the two have rows in common.
    fn twice(&mut self) -> (Selected, Selected) {
        let (text, source) = self.table();
        let scope = [source];
        let kinds: Vec<Kind> = (0..=self.dice.below(3))
            .map(|_| self.kind(&scope))
            .collect();
        let items: Vec<String> = kinds
            .iter()
            .map(|kind| self.column(&scope, *kind))
            .collect();
        let [left, right] = [0, 1].map(|_| Selected {
            sql: format!(
                "SELECT {} FROM {text} WHERE {}",
                listed(&items),
                self.predicate(&scope, 1)
            ),
            columns: named_columns(&kinds),
        });
        (left, right)
    }

    /// A `SELECT`, of columns of these kinds if it matters; `depth` bounds the sub-queries.
    fn select(&mut self, kinds: Option<&[Kind]>, depth: u32) -> Selected {
        let (from, scope) = self.from(depth);
        let filter = if self.dice.chance(42) {
            format!(" WHERE {}", self.predicate(&scope, depth))
        } else {
            String::new()
        };
        let form = self.dice.below(20);
        match (kinds, form) {
            (None, 9..14) => self.aggregated(&from, &filter, &scope, depth),
            (None, 14..18) => self.windowed(&from, &filter, &scope, depth),
            (None, 18) => self.distinct_on(&from, &filter, &scope),
            _ => self.listed(kinds, (&from, &filter), &scope, depth),
        }
    }

    /// Columns and expressions, row by row.
    fn listed(
        &mut self,
        kinds: Option<&[Kind]>,
        (from, filter): (&str, &str),
        scope: &Scope,
        depth: u32,
    ) -> Selected {
        let chosen: Vec<Kind> = match kinds {
            Some(kinds) => kinds.to_vec(),
            None => (0..=self.dice.below(4)).map(|_| self.kind(scope)).collect(),
        };
        let mut items = Vec::new();
        for kind in &chosen {
            let item = if self.dice.chance(55) {
                self.column(scope, *kind)
            } else {
                self.scalar(scope, *kind, depth)
            };
            items.push(item);
        }
        let distinct = if self.dice.chance(14) {
            self.mark("distinct");
            "DISTINCT "
        } else {
            ""
        };
        Selected {
            sql: format!("SELECT {distinct}{}{from}{filter}", listed(&items)),
            columns: named_columns(&chosen),
        }
    }

    fn distinct_on(&mut self, from: &str, filter: &str, scope: &Scope) -> Selected {
        self.mark("distinct on");
        let kind = self.kind(scope);
        let on = self.column(scope, kind);
        let shown = self.kind(scope);
        let column = self.column(scope, shown);
        let order = self.total_order(scope, &on);
        Selected {
            // A sub-query, so that its order is no order of the whole.
            sql: format!(
                "SELECT c0, c1 FROM (SELECT DISTINCT ON ({on}) {on} AS c0, {column} AS c1{from}{filter} ORDER BY {on}{order}) AS d"
            ),
            columns: named_columns(&[kind, shown]),
        }
    }

    /// Columns that, after `first`, tell the rows of a scope apart, but for equal ones; begins with a comma.
    fn total_order(&mut self, scope: &Scope, first: &str) -> String {
        let mut order = String::new();
        for source in scope {
            for name in &source.key {
                let column = format!("{}.{name}", source.alias);
                if column != first {
                    order += &format!(", {column} {}", self.direction());
                }
            }
        }
        order
    }

    /// A kind of which the scope has a column.
    fn kind(&mut self, scope: &Scope) -> Kind {
        let kinds: Vec<Kind> = scope
            .iter()
            .flat_map(|source| source.columns.iter().map(|(_, kind)| *kind))
            .collect();
        if kinds.is_empty() {
            return Kind::Integer;
        }
        *self.dice.pick(&kinds)
    }

    /// A column of a kind, or a literal when there is none.
    fn column(&mut self, scope: &Scope, kind: Kind) -> String {
        let columns: Vec<String> = scope
            .iter()
            .flat_map(|source| source.of_kind(kind))
            .collect();
        if columns.is_empty() {
            return self.literal(kind);
        }
        self.dice.pick(&columns).clone()
    }

    /// A value that somebody may have in a column, lawful or not.
    fn value_of(&mut self, scope: &Scope, column: &str, kind: Kind) -> String {
        let value = self.sample(scope, column);
        value.unwrap_or_else(|| self.literal(kind))
    }

    fn sample(&mut self, scope: &Scope, column: &str) -> Option<String> {
        let found = scope.iter().find_map(|source| {
            let name = column.strip_prefix(&format!("{}.", source.alias))?;
            Some((source.table?, name.to_owned()))
        });
        let (table, name) = found?;
        // Mostly of people who may be read: a query that finds nothing shows little.
        let pool = if self.dice.chance(25) {
            &self.everybody[table]
        } else {
            &self.tables[table]
        };
        let place = pool.columns.iter().position(|of| of.name == name)?;
        if pool.rows.is_empty() {
            return None;
        }
        literal_of(&self.dice.pick(&pool.rows)[place])
    }

    /// A column, and a value that it has for nobody who may be read.
    fn foreign(&mut self, scope: &Scope) -> Option<(String, String, Kind)> {
        let mut found = Vec::new();
        for source in scope {
            let Some(table) = source.table else { continue };
            for (name, kind) in &source.columns {
                if matches!(kind, Kind::Text | Kind::Number | Kind::Instant) {
                    found.push((
                        table,
                        format!("{}.{name}", source.alias),
                        name.clone(),
                        *kind,
                    ));
                }
            }
        }
        if found.is_empty() {
            return None;
        }
        let (table, column, name, kind) = self.dice.pick(&found).clone();
        let values = |of: &NaiveTable| -> Vec<Cell> {
            let place = of.columns.iter().position(|column| column.name == name);
            let rows = of.rows.iter();
            place.map_or(Vec::new(), |place| {
                rows.map(|row| row[place].clone()).collect()
            })
        };
        let known = values(&self.tables[table]);
        let mut foreign = values(&self.everybody[table]);
        foreign.retain(|cell| *cell != Cell::Null && !known.contains(cell));
        if foreign.is_empty() {
            return None;
        }
        let value = literal_of(self.dice.pick(&foreign))?;
        Some((column, value, kind))
    }

    fn literal(&mut self, kind: Kind) -> String {
        match kind {
            Kind::Text => format!(
                "'{}'",
                self.dice.word(&["gold", "silver", "1", "", "P", "none"])
            ),
            Kind::Number => format!("{}.25", self.dice.below(90)),
            Kind::Integer => self.dice.below(6).to_string(),
            Kind::Boolean => self.dice.word(&["true", "false"]).to_owned(),
            Kind::Day => format!(
                "date '2025-0{}-1{}'",
                1 + self.dice.below(9),
                self.dice.below(10)
            ),
            Kind::Instant => format!(
                "timestamp '2025-1{}-0{}T08:00:00Z'",
                self.dice.below(3),
                1 + self.dice.below(9)
            ),
        }
    }
}

/// A value as SQL writes it; none for null.
fn literal_of(cell: &Cell) -> Option<String> {
    Some(match cell {
        Cell::Null => return None,
        Cell::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Cell::Number(number) => format!("{number:?}"),
        Cell::Integer(number) => number.to_string(),
        Cell::Boolean(truth) => truth.to_string(),
        Cell::Day(day) => format!("date '{}'", assent_consent::Day::from_days(*day)),
        Cell::Instant(at) => format!(
            "timestamp '{}'",
            assent_consent::Timestamp::from_micros(*at)
        ),
    })
}

/// Expressions with the names `c0`, `c1` and so on.
fn listed(items: &[String]) -> String {
    let items: Vec<String> = items
        .iter()
        .enumerate()
        .map(|(place, item)| format!("{item} AS c{place}"))
        .collect();
    items.join(", ")
}

fn named_columns(kinds: &[Kind]) -> Vec<(String, Kind)> {
    kinds
        .iter()
        .enumerate()
        .map(|(place, kind)| (format!("c{place}"), *kind))
        .collect()
}

/// A sub-query under a name.
fn named(alias: String, columns: Vec<(String, Kind)>) -> Source {
    Source {
        alias,
        key: columns.iter().map(|(name, _)| name.clone()).collect(),
        columns,
        table: None,
    }
}
