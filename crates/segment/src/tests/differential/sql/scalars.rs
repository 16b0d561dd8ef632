//! Expressions of every kind over the columns of a row.

use super::{Kind, Maker, Scope};

impl Maker<'_> {
    /// An expression of a kind; `depth` bounds the sub-queries.
    pub(super) fn scalar(&mut self, scope: &Scope, kind: Kind, depth: u32) -> String {
        match self.dice.below(12) {
            0 => self.choice(scope, kind),
            1 => {
                self.mark("coalesce, nullif");
                let (column, literal) = (self.column(scope, kind), self.literal(kind));
                let word = self.dice.word(&["coalesce", "nullif"]);
                format!("{word}({column}, {literal})")
            }
            2 if depth > 0 => self.one_value(scope, kind, depth),
            3..6 if self.daring => self.daring(scope, kind),
            _ => match kind {
                Kind::Text => self.text(scope),
                Kind::Number => self.number(scope),
                Kind::Integer => self.integer(scope),
                Kind::Boolean => self.truth(scope),
                Kind::Day => self.day(scope),
                Kind::Instant => self.instant(scope),
            },
        }
    }

    fn choice(&mut self, scope: &Scope, kind: Kind) -> String {
        self.mark("case");
        let condition = self.comparison(scope);
        let (then, other) = (self.column(scope, kind), self.column(scope, kind));
        if self.dice.chance(30) {
            return format!("CASE WHEN {condition} THEN {then} END");
        }
        format!("CASE WHEN {condition} THEN {then} ELSE {other} END")
    }

    fn text(&mut self, scope: &Scope) -> String {
        self.mark("string function");
        let column = self.column(scope, Kind::Text);
        match self.dice.below(14) {
            0 => format!("upper({column})"),
            1 => format!("substr({column}, 1, {})", 1 + self.dice.below(5)),
            2 => format!("split_part({column}, '-', 2)"),
            3 => format!("concat({column}, '/', {})", self.column(scope, Kind::Text)),
            4 => format!("left({column}, 2) || '.'"),
            5 => format!("replace({column}, 'P', 'Q')"),
            6 => format!("reverse(btrim({column}))"),
            7 => format!("lpad({column}, 12, '.')"),
            8 => format!("regexp_replace({column}, '[0-9]+', '#', 'g')"),
            9 => format!("initcap(lower({column}))"),
            10 => {
                self.mark("date function");
                let at = self.column(scope, Kind::Instant);
                format!("to_char({at}, '%Y-%m')")
            }
            11 => {
                self.mark("cast");
                let kind =
                    *self
                        .dice
                        .pick(&[Kind::Integer, Kind::Number, Kind::Boolean, Kind::Day]);
                format!("cast({} AS varchar)", self.column(scope, kind))
            }
            12 => format!("translate({column}, 'P-', 'p+')"),
            _ => format!("right({column}, 4)"),
        }
    }

    fn number(&mut self, scope: &Scope) -> String {
        self.mark("arithmetic");
        let column = self.column(scope, Kind::Number);
        match self.dice.below(6) {
            0 => format!("{column} * 0.5"),
            1 => format!("abs({column}) + 1"),
            2 => format!("round({column}, 1)"),
            3 => format!("floor({column} / 1000)"),
            4 => format!("sqrt({column})"),
            _ => format!("cast({} AS double) / 4", self.column(scope, Kind::Integer)),
        }
    }

    fn integer(&mut self, scope: &Scope) -> String {
        let column = self.column(scope, Kind::Integer);
        match self.dice.below(8) {
            0 => {
                self.mark("arithmetic");
                format!("{column} + 1")
            }
            1 => {
                self.mark("string function");
                format!("cast(length({}) AS bigint)", self.column(scope, Kind::Text))
            }
            2 => {
                self.mark("date function");
                let part = self.dice.word(&["month", "year", "dow", "day"]);
                let at = self.column(scope, Kind::Instant);
                format!("cast(date_part('{part}', {at}) AS bigint)")
            }
            3 => {
                self.mark("guarded cast");
                format!("try_cast({} AS bigint)", self.column(scope, Kind::Text))
            }
            4 => {
                self.mark("guarded cast");
                let text = self.column(scope, Kind::Text);
                format!(
                    "CASE WHEN {text} ~ '^[0-9]{{1,9}}$' THEN cast({text} AS bigint) ELSE -1 END"
                )
            }
            5 => {
                self.mark("guarded division");
                format!("100 / nullif({column}, 0)")
            }
            6 => {
                self.mark("string function");
                format!(
                    "cast(strpos({}, 'X') AS bigint)",
                    self.column(scope, Kind::Text)
                )
            }
            _ => {
                self.mark("arithmetic");
                format!("{column} % 3")
            }
        }
    }

    fn truth(&mut self, scope: &Scope) -> String {
        match self.dice.below(3) {
            0 => self.comparison(scope),
            1 => {
                let column = self.column(scope, Kind::Boolean);
                format!("{column} IS TRUE")
            }
            _ => self.predicate(scope, 0),
        }
    }

    fn day(&mut self, scope: &Scope) -> String {
        self.mark("date function");
        let column = self.column(scope, Kind::Day);
        match self.dice.below(3) {
            0 => format!("cast({} AS date)", self.column(scope, Kind::Instant)),
            1 => format!("cast(date_trunc('month', {column}) AS date)"),
            _ => format!("greatest({column}, date '2025-06-01')"),
        }
    }

    fn instant(&mut self, scope: &Scope) -> String {
        self.mark("date function");
        let column = self.column(scope, Kind::Instant);
        match self.dice.below(5) {
            0 => format!("date_trunc('month', {column})"),
            1 => format!("date_trunc('day', {column})"),
            2 => format!("{column} + interval '1 day'"),
            3 => format!("least({column}, now())"),
            _ => format!("date_bin(interval '7 days', {column}, timestamp '2025-01-01T00:00:00Z')"),
        }
    }

    /// Expressions that fail on some values.
    fn daring(&mut self, scope: &Scope, kind: Kind) -> String {
        let text = self.column(scope, Kind::Text);
        let integer = self.column(scope, Kind::Integer);
        match kind {
            Kind::Integer => {
                if self.dice.chance(50) {
                    self.mark("division that can fail");
                    return format!("10 / {integer}");
                }
                self.mark("cast that can fail");
                format!("cast({text} AS bigint)")
            }
            Kind::Number => {
                self.mark("cast that can fail");
                format!("cast({text} AS double)")
            }
            Kind::Day => {
                self.mark("cast that can fail");
                format!("cast({text} AS date)")
            }
            Kind::Instant => {
                self.mark("cast that can fail");
                // Not `to_timestamp_micros`: under a session's time zone it returns another type than it promised when
                // planned, and which of its two errors comes first is a matter of how the rows are cut.
                format!("cast({text} AS timestamp with time zone)")
            }
            Kind::Text | Kind::Boolean => self.column(scope, kind),
        }
    }
}
