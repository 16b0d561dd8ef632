//! `FROM`: tables, common table expressions, sub-queries, values and lists, joined in every way.

use super::{Kind, Maker, Scope, Source, named};

impl Maker<'_> {
    /// The text from ` FROM` on and what it puts in scope.
    pub(super) fn from(&mut self, depth: u32) -> (String, Vec<Source>) {
        let (text, first) = self.source(depth);
        let mut from = format!(" FROM {text}");
        let mut scope = vec![first];
        let joins = *self.dice.pick(&[0, 0, 0, 1, 1, 1, 2]);
        for _ in 0..joins {
            match self.dice.below(12) {
                0..9 => self.join(&mut from, &mut scope, depth),
                9 => self.lateral(&mut from, &mut scope),
                10 => self.unnest(&mut from, &mut scope),
                _ => self.cross(&mut from, &mut scope),
            }
        }
        (from, scope)
    }

    pub(super) fn table(&mut self) -> (String, Source) {
        let mut places: Vec<usize> = (0..self.tables.len()).collect();
        if self.dice.chance(90) {
            places.retain(|place| *place == 0 || !self.tables[*place].rows.is_empty());
        }
        let place = *self.dice.pick(&places);
        let alias = self.alias("t");
        let table = &self.tables[place];
        let source = Source {
            alias: alias.clone(),
            columns: table
                .columns
                .iter()
                .map(|column| (column.name.clone(), column.kind))
                .collect(),
            key: table.key.iter().map(|name| (*name).to_owned()).collect(),
            table: Some(place),
        };
        (format!("{} AS {alias}", table.name), source)
    }

    fn source(&mut self, depth: u32) -> (String, Source) {
        let form = self.dice.below(20);
        if form >= 17 && !self.expressions.is_empty() {
            let expression = self.dice.pick(&self.expressions).clone();
            let alias = self.alias("t");
            let text = format!("{} AS {alias}", expression.alias);
            return (
                text,
                Source {
                    alias,
                    ..expression
                },
            );
        }
        if (14..17).contains(&form) && depth > 0 {
            self.mark("sub-query in FROM");
            let selected = self.select(None, depth - 1);
            let alias = self.alias("s");
            let text = format!("({}) AS {alias}", selected.sql);
            return (text, named(alias, selected.columns));
        }
        if form == 13 {
            self.mark("values");
            let alias = self.alias("v");
            let text =
                format!("(VALUES ('gold', 1), ('silver', 2), (NULL, 3)) AS {alias}(tier, rank)");
            let columns = vec![
                ("tier".to_owned(), Kind::Text),
                ("rank".to_owned(), Kind::Integer),
            ];
            return (text, named(alias, columns));
        }
        self.table()
    }

    fn join(&mut self, from: &mut String, scope: &mut Vec<Source>, depth: u32) {
        let (text, right) = self.source(depth.min(1));
        let Some(equal) = self.equality(scope, &right) else {
            return self.cross(from, scope);
        };
        let mut both = scope.clone();
        both.push(right.clone());
        let (word, construct, shows_right) = *self.dice.pick(&[
            ("JOIN", "inner join", true),
            ("LEFT JOIN", "left join", true),
            ("RIGHT JOIN", "right join", true),
            ("FULL JOIN", "full join", true),
            ("LEFT SEMI JOIN", "semi-join", false),
            ("LEFT ANTI JOIN", "anti-join", false),
        ]);
        self.mark(construct);
        let shared = both[0].has("member_id") && right.has("member_id") && both.len() == 2;
        let condition = if shared && self.dice.chance(12) {
            self.mark("join using");
            "USING (member_id)".to_owned()
        } else if self.dice.chance(25) {
            self.mark("join on a further condition");
            format!("ON {equal} AND {}", self.comparison(&both))
        } else {
            format!("ON {equal}")
        };
        *from += &format!(" {word} {text} {condition}");
        if shows_right {
            scope.push(right);
        }
    }

    /// Two columns of one kind, of what is there and what comes: ids where both have them.
    pub(super) fn equality(&mut self, scope: &Scope, right: &Source) -> Option<String> {
        for name in ["member_id", "account_id", "event_id"] {
            let left = scope.iter().rev().find(|source| source.has(name));
            if let Some(left) = left.filter(|_| right.has(name)) {
                return Some(format!("{}.{name} = {}.{name}", left.alias, right.alias));
            }
        }
        let mut pairs = Vec::new();
        for kind in [Kind::Integer, Kind::Boolean, Kind::Text] {
            for left in scope.iter().flat_map(|source| source.of_kind(kind)) {
                for right in right.of_kind(kind) {
                    // Texts of one person are in no other column.
                    let same_name = left.rsplit('.').next() == right.rsplit('.').next();
                    if kind != Kind::Text || same_name {
                        pairs.push(format!("{left} = {right}"));
                    }
                }
            }
        }
        (!pairs.is_empty()).then(|| self.dice.pick(&pairs).clone())
    }

    /// Every pair, or every pair that compares in a way a hash cannot find; with few rows on the right.
    fn cross(&mut self, from: &mut String, scope: &mut Vec<Source>) {
        let alias = self.alias("v");
        let right = named(
            alias.clone(),
            vec![
                ("tier".to_owned(), Kind::Text),
                ("rank".to_owned(), Kind::Integer),
            ],
        );
        let values = format!("(VALUES ('gold', 1), ('bronze', 2)) AS {alias}(tier, rank)");
        let numbers: Vec<String> = scope
            .iter()
            .flat_map(|source| source.of_kind(Kind::Integer))
            .collect();
        if !numbers.is_empty() && self.dice.chance(50) {
            self.mark("join without equality");
            let number = self.dice.pick(&numbers).clone();
            let word = self.dice.word(&["JOIN", "LEFT JOIN"]);
            *from += &format!(" {word} {values} ON {number} > {alias}.rank");
        } else {
            self.mark("cross join");
            *from += &format!(" CROSS JOIN {values}");
        }
        scope.push(right);
    }

    /// A sub-query that names what stands left of it.
    fn lateral(&mut self, from: &mut String, scope: &mut Vec<Source>) {
        let (text, inner) = self.table();
        let Some(equal) = self.equality(scope, &inner) else {
            return self.cross(from, scope);
        };
        self.mark("lateral");
        let alias = self.alias("l");
        let inner_scope = [inner];
        let kind = self.kind(&inner_scope);
        let column = self.column(&inner_scope, kind);
        let aggregate = if kind == Kind::Boolean {
            "bool_or"
        } else {
            "max"
        };
        let sub = format!(
            "(SELECT count(*) AS n, {aggregate}({column}) AS x FROM {text} WHERE {equal}) AS {alias}"
        );
        *from += &if self.dice.chance(50) {
            format!(" CROSS JOIN LATERAL {sub}")
        } else {
            format!(" LEFT JOIN LATERAL {sub} ON true")
        };
        let columns = vec![("n".to_owned(), Kind::Integer), ("x".to_owned(), kind)];
        scope.push(named(alias, columns));
    }

    fn unnest(&mut self, from: &mut String, scope: &mut Vec<Source>) {
        self.mark("unnest");
        let alias = self.alias("u");
        *from += &format!(" CROSS JOIN UNNEST([1, 2, 2]) AS {alias}(i)");
        scope.push(named(alias, vec![("i".to_owned(), Kind::Integer)]));
    }
}
