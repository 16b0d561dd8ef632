//! Conditions: comparisons with values people have, texts, lists, sub-queries of every kind, and some that can fail.

use super::{Kind, Maker, Scope};

const COMPARISONS: [&str; 6] = [">=", "<=", "<>", ">", "<", "="];

impl Maker<'_> {
    /// A condition on the rows of a scope; `depth` bounds the sub-queries.
    pub(super) fn predicate(&mut self, scope: &Scope, depth: u32) -> String {
        match self.dice.below(45) {
            0..9 => self.comparison(scope),
            9..13 => self.known(scope),
            13..15 => self.between(scope),
            15..18 => self.listed_values(scope),
            18..22 => self.pattern(scope),
            22 => self.distinct_from(scope),
            23..27 => {
                self.mark("and, or, not");
                let left = self.predicate(scope, depth);
                let right = self.predicate(scope, depth);
                let word = self.dice.word(&["OR", "OR NOT", "OR", "AND"]);
                format!("({left} {word} ({right}))")
            }
            27 => {
                self.mark("case");
                let (first, second) = (self.comparison(scope), self.known(scope));
                let last = self.comparison(scope);
                format!("CASE WHEN {first} THEN {second} ELSE {last} END")
            }
            28 => self.span(scope),
            29..32 if depth > 0 => self.exists(scope),
            32..36 if depth > 0 => self.membership(scope),
            36..38 if depth > 0 => self.scalar_subquery(scope, depth),
            41 if depth > 0 && !self.daring => self.quantified(scope),
            42.. => self.probe(scope),
            38.. if self.daring => self.risky(scope),
            _ => self.comparison(scope),
        }
    }

    /// A column against a value that somebody has in it.
    pub(super) fn comparison(&mut self, scope: &Scope) -> String {
        let kind = self.kind(scope);
        let column = self.column(scope, kind);
        if kind == Kind::Boolean {
            return self
                .dice
                .pick(&[column.clone(), format!("NOT {column}")])
                .clone();
        }
        match self.sample(scope, &column) {
            Some(value) => {
                let sign = self.dice.word(&COMPARISONS);
                format!("{column} {sign} {value}")
            }
            None => format!("{column} IS DISTINCT FROM {}", self.literal(kind)),
        }
    }

    fn known(&mut self, scope: &Scope) -> String {
        self.mark("is null");
        let kind = self.kind(scope);
        let column = self.column(scope, kind);
        let word = self.dice.word(&["IS NOT NULL", "IS NOT NULL", "IS NULL"]);
        format!("{column} {word}")
    }

    fn between(&mut self, scope: &Scope) -> String {
        self.mark("between");
        let kind = self.kind(scope);
        let column = self.column(scope, kind);
        let (low, high) = (
            self.value_of(scope, &column, kind),
            self.value_of(scope, &column, kind),
        );
        let word = self.dice.word(&["BETWEEN", "NOT BETWEEN"]);
        format!("{column} {word} {low} AND {high}")
    }

    fn listed_values(&mut self, scope: &Scope) -> String {
        self.mark("in a list");
        let kind = self.kind(scope);
        let column = self.column(scope, kind);
        let mut values: Vec<String> = (0..=self.dice.below(4))
            .map(|_| self.value_of(scope, &column, kind))
            .collect();
        if self.dice.chance(20) {
            self.mark("in a list with null");
            values.push("NULL".to_owned());
        }
        let word = self.dice.word(&["IN", "NOT IN"]);
        format!("{column} {word} ({})", values.join(", "))
    }

    fn pattern(&mut self, scope: &Scope) -> String {
        let column = self.column(scope, Kind::Text);
        let (condition, construct) = match self.dice.below(8) {
            0 | 1 => (
                format!("{column} LIKE '%{}%'", self.dice.word(&["P0", "-", "o"])),
                "like",
            ),
            2 => (
                format!("{column} NOT LIKE 'P{}%'", self.dice.below(10)),
                "like",
            ),
            3 => (
                format!("{column} ILIKE 'p0{}%'", self.dice.below(6)),
                "like",
            ),
            4 => (
                format!("{column} ~ '^P0[0-{}]'", 1 + self.dice.below(8)),
                "regular expression",
            ),
            5 => (
                format!("regexp_like({column}, '[13579]X')"),
                "regular expression",
            ),
            6 => (format!("starts_with({column}, 'P')"), "string function"),
            _ => (
                format!("{column} SIMILAR TO 'P0(1|2|3)%'"),
                "regular expression",
            ),
        };
        self.mark(construct);
        condition
    }

    fn distinct_from(&mut self, scope: &Scope) -> String {
        self.mark("is distinct from");
        let kind = self.kind(scope);
        let column = self.column(scope, kind);
        let other = self.column(scope, kind);
        let word = self
            .dice
            .word(&["IS NOT DISTINCT FROM", "IS DISTINCT FROM"]);
        format!("{column} {word} {other}")
    }

    /// Times against spans of time.
    fn span(&mut self, scope: &Scope) -> String {
        self.mark("interval");
        let column = self.column(scope, Kind::Instant);
        let days = 10 * (1 + self.dice.below(40));
        match self.dice.below(3) {
            0 => format!("{column} > now() - interval '{days} days'"),
            1 => format!("now() - {column} < interval '{days} days'"),
            _ => format!("{column} + interval '1 month' < current_date"),
        }
    }

    fn exists(&mut self, scope: &Scope) -> String {
        let (text, inner) = self.table();
        let word = self.dice.word(&["EXISTS", "NOT EXISTS"]);
        let inner_scope = [inner];
        let condition = self.comparison(&inner_scope);
        match self.equality(scope, &inner_scope[0]) {
            Some(equal) if self.dice.chance(85) => {
                self.mark("correlated exists");
                format!("{word} (SELECT 1 FROM {text} WHERE {equal} AND {condition})")
            }
            Some(_) | None => {
                self.mark("uncorrelated exists");
                format!("{word} (SELECT 1 FROM {text} WHERE {condition})")
            }
        }
    }

    /// `IN` and `NOT IN` over sub-queries, which may yield nulls.
    fn membership(&mut self, scope: &Scope) -> String {
        let (text, inner) = self.table();
        let inner_scope = [inner];
        let kind = if self.dice.chance(20) {
            self.kind(scope)
        } else {
            Kind::Text
        };
        let ids = scope.iter().find(|source| source.has("member_id"));
        let (left, right) = match ids {
            Some(outer) if kind == Kind::Text && inner_scope[0].has("member_id") => (
                format!("{}.member_id", outer.alias),
                format!("{}.member_id", inner_scope[0].alias),
            ),
            Some(_) | None => (self.column(scope, kind), self.column(&inner_scope, kind)),
        };
        let (word, construct) = *self
            .dice
            .pick(&[("IN", "in a sub-query"), ("NOT IN", "not in a sub-query")]);
        self.mark(construct);
        let condition = match self.dice.below(4) {
            0 | 1 => format!(" WHERE {}", self.comparison(&inner_scope)),
            2 => match self.equality(scope, &inner_scope[0]) {
                Some(equal) => {
                    self.mark("correlated in");
                    format!(" WHERE {equal}")
                }
                None => String::new(),
            },
            _ => {
                self.mark("in a sub-query with nulls");
                String::new()
            }
        };
        format!("{left} {word} (SELECT {right} FROM {text}{condition})")
    }

    fn scalar_subquery(&mut self, scope: &Scope, depth: u32) -> String {
        let kind = *self
            .dice
            .pick(&[Kind::Integer, Kind::Number, Kind::Instant, Kind::Text]);
        let column = self.column(scope, kind);
        let sub = self.one_value(scope, kind, depth);
        let sign = self.dice.word(&COMPARISONS);
        format!("{column} {sign} {sub}")
    }

    /// A sub-query of one value, correlated if it can be.
    pub(super) fn one_value(&mut self, scope: &Scope, kind: Kind, _depth: u32) -> String {
        let (text, inner) = self.table();
        let inner_scope = [inner];
        let column = self.column(&inner_scope, kind);
        let value = match kind {
            Kind::Boolean => format!("bool_and({column})"),
            Kind::Integer if self.dice.chance(50) => "count(*)".to_owned(),
            Kind::Text | Kind::Number | Kind::Integer | Kind::Day | Kind::Instant => {
                format!("{}({column})", self.dice.word(&["max", "min"]))
            }
        };
        match self.equality(scope, &inner_scope[0]) {
            Some(equal) if self.dice.chance(70) => {
                self.mark("correlated scalar sub-query");
                format!("(SELECT {value} FROM {text} WHERE {equal})")
            }
            Some(_) | None => {
                self.mark("scalar sub-query");
                format!("(SELECT {value} FROM {text})")
            }
        }
    }

    fn quantified(&mut self, scope: &Scope) -> String {
        self.mark("any, all");
        let (text, inner) = self.table();
        let inner_scope = [inner];
        let kind = *self.dice.pick(&[Kind::Integer, Kind::Number, Kind::Text]);
        let (left, right) = (self.column(scope, kind), self.column(&inner_scope, kind));
        let sign = self.dice.word(&COMPARISONS);
        let word = self.dice.word(&["ANY", "ALL"]);
        format!("{left} {sign} {word} (SELECT {right} FROM {text})")
    }

    /// A condition that fails on somebody's row who may not be read, and on no other: it must hold of all there are.
    fn probe(&mut self, scope: &Scope) -> String {
        let Some((column, value, kind)) = self.foreign(scope) else {
            return self.comparison(scope);
        };
        self.mark("probe of somebody denied");
        if kind == Kind::Text && self.dice.chance(50) {
            format!("cast(CASE WHEN {column} = {value} THEN {column} ELSE '1' END AS int) = 1")
        } else {
            format!("10 / (CASE WHEN {column} = {value} THEN 0 ELSE 1 END) = 10")
        }
    }

    /// Conditions that fail on some values: whether they do must depend on lawful rows alone.
    fn risky(&mut self, scope: &Scope) -> String {
        let text = self.column(scope, Kind::Text);
        let integer = self.column(scope, Kind::Integer);
        let number = self.column(scope, Kind::Number);
        match self.dice.below(6) {
            0 => {
                self.mark("cast that can fail");
                format!("cast({text} AS bigint) >= 0")
            }
            1 => {
                self.mark("cast that can fail");
                format!("cast({text} AS date) IS NOT NULL")
            }
            2 => {
                self.mark("division that can fail");
                let less = self.dice.below(4);
                format!("10 / ({integer} - {less}) < 100")
            }
            3 => {
                self.mark("cast that can fail");
                format!("cast({number} AS smallint) > 0")
            }
            4 => {
                self.mark("cast that can fail");
                format!("cast(CASE WHEN {text} LIKE 'P%' THEN {text} ELSE '1' END AS int) = 1")
            }
            _ => {
                self.mark("division that can fail");
                let value = self.value_of(scope, &number, Kind::Number);
                format!("10 / (cast({number} AS bigint) - cast({value} AS bigint)) < 100")
            }
        }
    }
}
