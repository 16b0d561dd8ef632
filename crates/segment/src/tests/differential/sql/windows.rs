//! Windows: ranks, offsets, frames and running aggregates, and `QUALIFY`.

use super::{Kind, Maker, Scope, Selected, listed, named_columns};

impl Maker<'_> {
    pub(super) fn windowed(
        &mut self,
        from: &str,
        filter: &str,
        scope: &Scope,
        _depth: u32,
    ) -> Selected {
        self.windows = true;
        let shown = self.kind(scope);
        let mut kinds = vec![shown];
        let mut items = vec![self.column(scope, shown)];
        for _ in 0..=self.dice.below(2) {
            let (item, kind) = self.window(scope);
            items.push(item);
            kinds.push(kind);
        }
        let qualify = if self.dice.chance(12) {
            self.mark("qualify");
            let over = self.over(scope, true);
            // Of rows that are equal in all columns the place among them can tell one from another, and which of them
            // is left is luck: then all are left, or none.
            let by_place = ["row_number()", "ntile(", "lag(", "lead("];
            let tells = |item: &String| by_place.iter().any(|call| item.contains(call));
            let call = match items.iter().any(tells) {
                true => "rank()",
                false => "row_number()",
            };
            format!(
                " QUALIFY {call} OVER ({over}) <= {}",
                1 + self.dice.below(3)
            )
        } else {
            String::new()
        };
        Selected {
            sql: format!("SELECT {}{from}{filter}{qualify}", listed(&items)),
            columns: named_columns(&kinds),
        }
    }

    /// `PARTITION BY … ORDER BY …`, the order telling all rows apart if it has to.
    fn over(&mut self, scope: &Scope, total: bool) -> String {
        let partition = if self.dice.chance(50) {
            self.mark("window with partitions");
            let kind = self.kind(scope);
            format!("PARTITION BY {} ", self.column(scope, kind))
        } else {
            String::new()
        };
        let kind = self.kind(scope);
        let first = self.column(scope, kind);
        let order = if total {
            let rest = self.total_order(scope, &first);
            format!("{first} {}{rest}", self.direction())
        } else {
            format!("{first} {}", self.direction())
        };
        format!("{partition}ORDER BY {order}")
    }

    fn window(&mut self, scope: &Scope) -> (String, Kind) {
        let any = self.kind(scope);
        let column = self.column(scope, any);
        match self.dice.below(9) {
            0 => {
                self.mark("row_number, ntile");
                let over = self.over(scope, true);
                let call = self.dice.word(&["row_number()", "ntile(3)"]);
                (
                    format!("cast({call} OVER ({over}) AS bigint)"),
                    Kind::Integer,
                )
            }
            1 => {
                self.mark("rank");
                let over = self.over(scope, false);
                let call = self.dice.word(&["rank()", "dense_rank()"]);
                (
                    format!("cast({call} OVER ({over}) AS bigint)"),
                    Kind::Integer,
                )
            }
            2 => {
                self.mark("rank");
                let over = self.over(scope, false);
                let call = self.dice.word(&["percent_rank()", "cume_dist()"]);
                (format!("{call} OVER ({over})"), Kind::Number)
            }
            3 | 4 => {
                self.mark("lag, lead");
                let over = self.over(scope, true);
                let word = self.dice.word(&["lag", "lead"]);
                let by = 1 + self.dice.below(2);
                (format!("{word}({column}, {by}) OVER ({over})"), any)
            }
            5 => {
                self.mark("window first_value, nth_value");
                let over = self.over(scope, true);
                let call = match self.dice.below(3) {
                    0 => format!("first_value({column})"),
                    1 => format!("nth_value({column}, 2)"),
                    _ => format!("last_value({column})"),
                };
                (format!("{call} OVER ({over})"), any)
            }
            6 => {
                self.mark("running aggregate");
                let (number, kind) = self.exact(scope);
                let over = self.over(scope, false);
                (format!("sum({number}) OVER ({over})"), kind)
            }
            7 => {
                self.mark("window frame");
                let (number, kind) = self.exact(scope);
                let over = self.over(scope, true);
                let frame = self.dice.word(&[
                    "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
                    "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
                    "ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
                    "GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW",
                ]);
                (format!("sum({number}) OVER ({over} {frame})"), kind)
            }
            _ => {
                self.mark("window over everything");
                (format!("count({column}) OVER ()"), Kind::Integer)
            }
        }
    }
}
