//! Groups: every aggregate whose result does not hang on the order of rows, grouping sets and `HAVING`.

use super::{Kind, Maker, Scope, Selected, listed, named_columns};

impl Maker<'_> {
    pub(super) fn aggregated(
        &mut self,
        from: &str,
        filter: &str,
        scope: &Scope,
        depth: u32,
    ) -> Selected {
        let mut kinds = Vec::new();
        let mut items = Vec::new();
        for _ in 0..*self.dice.pick(&[1, 1, 0, 2]) {
            let kind = self.kind(scope);
            let item = if self.dice.chance(35) {
                self.scalar(scope, kind, 0)
            } else {
                self.column(scope, kind)
            };
            if !items.contains(&item) {
                kinds.push(kind);
                items.push(item);
            }
        }
        let group = self.grouping(&items);
        if group.contains('(') && !items.is_empty() && self.dice.chance(40) && self.sets(&group) {
            self.mark("grouping()");
            kinds.push(Kind::Integer);
            items.push(format!("cast(grouping({}) AS bigint)", items[0]));
        }
        for _ in 0..=self.dice.below(3) {
            let (item, kind) = self.aggregate(scope);
            items.push(item);
            kinds.push(kind);
        }
        let having = if self.dice.chance(22) {
            self.mark("having");
            let bound = self.dice.below(3);
            let condition = match self.dice.below(3) {
                0 => format!("count(*) > {bound}"),
                1 => {
                    let kind = self.kind(scope);
                    format!("count(DISTINCT {}) >= {bound}", self.column(scope, kind))
                }
                _ if depth > 0 => {
                    let (text, _) = self.table();
                    format!("count(*) <= (SELECT count(*) FROM {text})")
                }
                _ => "min(1) = 1".to_owned(),
            };
            format!(" HAVING {condition}")
        } else {
            String::new()
        };
        Selected {
            sql: format!("SELECT {}{from}{filter}{group}{having}", listed(&items)),
            columns: named_columns(&kinds),
        }
    }

    fn sets(&self, group: &str) -> bool {
        ["ROLLUP", "CUBE", "GROUPING SETS"]
            .iter()
            .any(|word| group.contains(word))
    }

    fn grouping(&mut self, items: &[String]) -> String {
        if items.is_empty() {
            self.mark("aggregate without groups");
            return String::new();
        }
        self.mark("group by");
        let all = items.join(", ");
        match self.dice.below(8) {
            0..5 => format!(" GROUP BY {all}"),
            5 => {
                self.mark("rollup");
                format!(" GROUP BY ROLLUP ({all})")
            }
            6 => {
                self.mark("cube");
                format!(" GROUP BY CUBE ({all})")
            }
            _ => {
                self.mark("grouping sets");
                let each: Vec<String> = items.iter().map(|item| format!("({item})")).collect();
                format!(" GROUP BY GROUPING SETS ({}, ())", each.join(", "))
            }
        }
    }

    /// A number whose sum is exact in any order: a column, or quarters of one.
    pub(super) fn exact(&mut self, scope: &Scope) -> (String, Kind) {
        if self.dice.chance(50) {
            let column = self.column(scope, Kind::Number);
            let item = match self.dice.below(3) {
                0 => column,
                1 => format!("coalesce({column}, 0)"),
                _ => format!("{column} * 0.5"),
            };
            return (item, Kind::Number);
        }
        (self.column(scope, Kind::Integer), Kind::Integer)
    }

    fn aggregate(&mut self, scope: &Scope) -> (String, Kind) {
        let (mut item, kind) = self.bare_aggregate(scope);
        if self.dice.chance(12) && !item.contains("ORDER BY") {
            self.mark("aggregate with a filter");
            item += &format!(" FILTER (WHERE {})", self.comparison(scope));
        }
        (item, kind)
    }

    fn bare_aggregate(&mut self, scope: &Scope) -> (String, Kind) {
        let any = self.kind(scope);
        let column = self.column(scope, any);
        match self.dice.below(18) {
            0..3 => {
                self.mark("count");
                ("count(*)".to_owned(), Kind::Integer)
            }
            3 => {
                self.mark("count");
                (format!("count({column})"), Kind::Integer)
            }
            4 => {
                self.mark("count distinct");
                (format!("count(DISTINCT {column})"), Kind::Integer)
            }
            5 | 6 => {
                self.mark("sum, avg");
                let (number, kind) = self.exact(scope);
                (format!("sum({number})"), kind)
            }
            7 => {
                self.mark("sum, avg");
                let (number, _) = self.exact(scope);
                (format!("avg({number})"), Kind::Number)
            }
            8..11 if any != Kind::Boolean => {
                self.mark("min, max");
                (
                    format!("{}({column})", self.dice.word(&["max", "min"])),
                    any,
                )
            }
            11 => {
                self.mark("bool_and, bool_or");
                let truth = self.column(scope, Kind::Boolean);
                (
                    format!("{}({truth})", self.dice.word(&["bool_and", "bool_or"])),
                    Kind::Boolean,
                )
            }
            12 => {
                self.mark("median");
                (
                    format!("median({})", self.column(scope, Kind::Number)),
                    Kind::Number,
                )
            }
            13 => {
                self.mark("string_agg, array_agg");
                let text = self.column(scope, Kind::Text);
                (
                    format!("string_agg({text}, ',' ORDER BY {text})"),
                    Kind::Text,
                )
            }
            14 => {
                self.mark("string_agg, array_agg");
                let distinct = self.dice.word(&["", "DISTINCT "]);
                (
                    format!(
                        "array_to_string(array_agg({distinct}{column} ORDER BY {column}), ',')"
                    ),
                    Kind::Text,
                )
            }
            // Of two orders that are known to be equal, as after a join, the engine drops one and breaks its own
            // assertion; so only of one source.
            15 if scope.len() == 1 => {
                self.mark("first_value, last_value");
                let order = self.total_order(scope, "");
                let word = self.dice.word(&["first_value", "last_value"]);
                let order = order.trim_start_matches(", ");
                (format!("{word}({column} ORDER BY {order})"), any)
            }
            16 => {
                self.mark("approx_distinct");
                let text = self.column(scope, Kind::Text);
                (
                    format!("cast(approx_distinct({text}) AS bigint)"),
                    Kind::Integer,
                )
            }
            17 => {
                self.mark("stddev, corr");
                self.inexact = true;
                let (number, _) = self.exact(scope);
                let other = self.column(scope, Kind::Number);
                let item = match self.dice.below(3) {
                    0 => format!("stddev({number})"),
                    1 => format!("var_pop({number})"),
                    _ => format!("corr({number}, {other})"),
                };
                (item, Kind::Number)
            }
            _ => {
                self.mark("count");
                ("count(*)".to_owned(), Kind::Integer)
            }
        }
    }
}
