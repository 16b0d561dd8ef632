//! One test for any file of purchases: intake, projection, gate and segments against the two oracles.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use assent_consent::SubjectId;
use assent_testkit::seeded::Seeded;
use assent_vault::Vault;
use serde_json::{Value, json};

use crate::decisions::{Decision, EMAIL, LABEL, POST, PURPOSES, Purpose, State, covered, history};
use crate::house::{House, Opening, identifier, repository};
use crate::oracle::{Figures, FileForm, Shop, day_of, days_from, start_of};
use crate::told::{instant, send, send_all};

const HOUR: i64 = 3_600;

/// The columns that are compared, person by person.
const COLUMNS: &str = "member_id, purchases_total, purchases_90d, revenue_total, revenue_365d, \
     first_purchase_at, last_purchase_at, days_since_last_purchase";

/// A file of purchases on its way through the product, and what the oracles know of it.
struct Retail {
    house: House,
    shop: Shop,
    figures: BTreeMap<String, Figures>,
    histories: BTreeMap<String, Vec<Decision>>,
    /// Who has no contract any more.
    left: BTreeSet<String>,
    members: BTreeMap<String, SubjectId>,
}

/// Takes a file through everything, evaluated on 1 July 1998.
pub(crate) async fn check(file: &Path, form: &FileForm, mapping: &Path, seed: u64) {
    let now = start_of(days_from(1998, 7, 1)) + 12 * HOUR;
    let mut retail = Retail::bring_in(file, form, mapping, seed, now).await;
    retail.everybody_under_contract(now).await;
    for purpose in &PURPOSES {
        retail.members_of(purpose, now).await;
    }
    retail.a_wrong_oracle_is_contradicted(now).await;
    retail.segments(now).await;
    let later = retail.change_their_minds(seed, now).await;
    retail.segments(later).await;
    for purpose in &PURPOSES {
        retail.members_of(purpose, later).await;
    }
}

impl Retail {
    async fn bring_in(file: &Path, form: &FileForm, mapping: &Path, seed: u64, now: i64) -> Self {
        let shop = Shop::read(file, form);
        let mut random = Seeded::new(seed);
        let histories: BTreeMap<String, Vec<Decision>> = shop
            .customers
            .keys()
            .map(|customer| (customer.clone(), history(&mut random, customer, now)))
            .collect();
        let left: BTreeSet<String> = shop
            .customers
            .keys()
            .filter(|_| random.chance(2))
            .cloned()
            .collect();
        let house = Opening {
            programme: repository().join("tests/programmes/cdnow"),
            now: "1997-11-30T12:00:00+08:00",
            sealed: true,
        }
        .open()
        .await;
        let contracts = contracts(&shop, &left);
        send_all(&house, contracts).await;
        send(&house, &histories).await;
        house.set_now(instant(now - HOUR));
        let progress = house.import(file, mapping).await;
        let purchases = shop.purchases() as u64;
        assert_eq!(
            (progress.rows, progress.journalled, progress.rejected),
            (purchases, purchases, 0)
        );
        house.set_now(instant(now));
        let projected = house.project().await;
        assert_eq!(projected.counts.folded, purchases);
        let figures = shop
            .customers
            .iter()
            .map(|(customer, purchases)| (customer.clone(), Figures::of(purchases, day_of(now))))
            .collect();
        let members = members(&house, &shop);
        Self {
            house,
            shop,
            figures,
            histories,
            left,
            members,
        }
    }

    /// Contracts are everybody's but of those who left: nearly the whole file is seen at once.
    async fn everybody_under_contract(&self, now: i64) {
        let here: Vec<&Figures> = self
            .figures
            .iter()
            .filter(|(customer, _)| !self.left.contains(*customer))
            .map(|(_, figures)| figures)
            .collect();
        let total = |of: fn(&Figures) -> i64| here.iter().map(|figures| of(figures)).sum::<i64>();
        let rows = self
            .house
            .rows(
                "order_service/post",
                "SELECT count(*), sum(purchases_total), sum(revenue_total), sum(purchases_90d) FROM members",
            )
            .await;
        assert_eq!(rows[0][0], json!(here.len()));
        assert_eq!(rows[0][1], json!(total(|figures| figures.purchases)));
        assert_eq!(cents(&rows[0][2]), total(|figures| figures.cents));
        assert_eq!(rows[0][3], json!(total(|figures| figures.purchases_90d)));
        let events = self
            .house
            .rows(
                "order_service/post",
                "SELECT count(*), sum(revenue) FROM events WHERE name = 'Order Completed'",
            )
            .await;
        assert_eq!(events[0][0], json!(total(|figures| figures.purchases)));
        assert_eq!(cents(&events[0][1]), total(|figures| figures.cents));
        for channel in ["post", "email"] {
            let orders = Purpose {
                name: "order_service",
                channel: Some(channel),
                ..EMAIL
            };
            self.compare(
                &format!("order_service/{channel}"),
                &self.expected(&orders, now),
            )
            .await;
        }
    }

    /// The members of a purpose, and each of their columns.
    async fn members_of(&self, purpose: &Purpose, now: i64) {
        let expected = self.expected(purpose, now);
        assert!(!expected.is_empty() && expected.len() < self.shop.customers.len());
        let use_ = format!(
            "{}/{}/{}",
            purpose.name,
            purpose.channel.unwrap_or_default(),
            purpose.recipient.unwrap_or_default()
        );
        self.compare(&use_, &expected).await;
    }

    /// Customers who are there, and whether their purchases may be seen.
    fn expected(&self, purpose: &Purpose, now: i64) -> BTreeMap<&str, bool> {
        let of = |customer: &String| {
            if purpose.name == "order_service" {
                // Only a refusal of the channel reaches a contract.
                let no_mail = self.histories[customer]
                    .iter()
                    .any(|said| said.channel == purpose.channel && said.purpose.is_none());
                return (!self.left.contains(customer) && !no_mail).then_some(true);
            }
            covered(purpose, &self.histories[customer], now)
                .map(|categories| categories.contains("transaction"))
        };
        self.shop
            .customers
            .keys()
            .filter_map(|customer| Some((customer.as_str(), of(customer)?)))
            .collect()
    }

    async fn compare(&self, use_: &str, expected: &BTreeMap<&str, bool>) {
        let found = self.found(use_).await;
        if let Some(customer) = self.first_wrong(&found, expected) {
            let said = &self.histories[customer];
            let (row, figures) = (found.get(customer), &self.figures[customer]);
            panic!("{use_}: {customer} is {row:?}, expected {figures:?} after {said:#?}");
        }
    }

    /// The rows of `members`, by customer.
    async fn found(&self, use_: &str) -> BTreeMap<&str, Vec<Value>> {
        let by_member: BTreeMap<String, &str> = self
            .members
            .iter()
            .map(|(customer, member)| (member.to_string(), customer.as_str()))
            .collect();
        let rows = self
            .house
            .rows(use_, &format!("SELECT {COLUMNS} FROM members"))
            .await;
        let count = rows.len();
        let found: BTreeMap<&str, Vec<Value>> = rows
            .into_iter()
            .map(|mut row| {
                let rest = row.split_off(1);
                (by_member[row[0].as_str().unwrap()], rest)
            })
            .collect();
        assert_eq!(found.len(), count, "{use_}: a member is there twice");
        found
    }

    /// The first customer whose row is not as expected: there or not, with figures or masked.
    fn first_wrong<'r>(
        &'r self,
        found: &BTreeMap<&'r str, Vec<Value>>,
        expected: &BTreeMap<&str, bool>,
    ) -> Option<&'r str> {
        let right = |customer: &str| match (found.get(customer), expected.get(customer)) {
            (None, None) => true,
            (Some(row), Some(true)) => has_figures(row, &self.figures[customer]),
            (Some(row), Some(false)) => row.iter().all(Value::is_null),
            (None, Some(_)) | (Some(_), None) => false,
        };
        self.figures
            .keys()
            .map(String::as_str)
            .find(|customer| !right(customer))
    }

    /// The control: an oracle that errs about one person or by one cent is contradicted.
    async fn a_wrong_oracle_is_contradicted(&mut self, now: i64) {
        let found: BTreeMap<String, Vec<Value>> = self
            .found("partner_sharing//label")
            .await
            .into_iter()
            .map(|(customer, row)| (customer.to_owned(), row))
            .collect();
        let one = found
            .iter()
            .find(|(_, row)| !row[0].is_null())
            .map(|(customer, _)| customer.clone())
            .unwrap();
        let wrong = |retail: &Self| {
            let found = found
                .iter()
                .map(|(customer, row)| (customer.as_str(), row.clone()))
                .collect();
            let expected = retail.expected(&LABEL, now);
            retail.first_wrong(&found, &expected).map(str::to_owned)
        };
        assert_eq!(wrong(self), None);
        let figures = self.figures[&one].clone();
        type Change = fn(&mut Figures);
        let changes: [Change; 6] = [
            |figures| figures.purchases += 1,
            |figures| figures.purchases_90d += 1,
            |figures| figures.cents += 1,
            |figures| figures.cents_365d -= 1,
            |figures| figures.first_day -= 1,
            |figures| figures.days_since_last += 1,
        ];
        for change in changes {
            change(self.figures.get_mut(&one).unwrap());
            assert_eq!(wrong(self).as_ref(), Some(&one));
            self.figures.insert(one.clone(), figures.clone());
        }
        let no = Decision::plain(State::Withdrawn, &LABEL, now, now);
        self.histories.get_mut(&one).unwrap().push(no);
        assert_eq!(wrong(self).as_ref(), Some(&one));
        self.histories.get_mut(&one).unwrap().pop();
        assert_eq!(wrong(self), None);
    }

    /// The three segments of the programme, as identifiers in exported files.
    async fn segments(&self, now: i64) {
        let of =
            |purpose: &Purpose, all: &[&str], wanted: &dyn Fn(&Figures) -> bool| -> Vec<String> {
                self.figures
                    .iter()
                    .filter(|(_, figures)| wanted(figures))
                    .filter(|(customer, _)| {
                        covered(purpose, &self.histories[*customer], now)
                            .is_some_and(|covered| all.iter().all(|one| covered.contains(one)))
                    })
                    .map(|(customer, _)| customer.clone())
                    .collect()
            };
        let lapsing = of(&EMAIL, &["transaction"], &|figures| {
            figures.purchases_90d == 0 && figures.purchases >= 3
        });
        let best = of(&POST, &["transaction"], &|figures| {
            figures.cents_365d >= 20_000
        });
        let large = of(&LABEL, &["transaction", "behaviour"], &|figures| {
            figures.largest_cents >= 5_000
        });
        for (segment, expected) in [
            ("lapsing_regulars", lapsing),
            ("best_buyers", best),
            ("large_orders", large),
        ] {
            assert!(!expected.is_empty(), "{segment} would prove nothing");
            let exported = self.house.exported(segment).await;
            let wrong = |one: &[String], other: &[String]| {
                let wrong = one.iter().find(|customer| !other.contains(customer))?;
                Some((
                    wrong.clone(),
                    self.histories[wrong].clone(),
                    self.figures[wrong].clone(),
                ))
            };
            assert_eq!(
                (wrong(&exported, &expected), wrong(&expected, &exported)),
                (None, None),
                "{segment} holds one too many, or lacks one"
            );
            assert_eq!(exported, expected, "{segment}");
        }
    }

    /// An hour later some withdraw and some come back. Nothing is projected in between.
    async fn change_their_minds(&mut self, seed: u64, now: i64) -> i64 {
        let mut random = Seeded::new(!seed);
        let mut news: BTreeMap<String, Vec<Decision>> = BTreeMap::new();
        let at = now + HOUR;
        for (customer, history) in &self.histories {
            let purpose = random.pick(&PURPOSES);
            let state = match covered(purpose, history, now) {
                Some(_) if random.chance(30) => State::Withdrawn,
                None if random.chance(5) => State::Granted,
                Some(_) | None => continue,
            };
            let mut decision = Decision::plain(state, purpose, at, at);
            if state == State::Granted && purpose.recipient.is_some() {
                decision.indication = Some(format!("{customer}-again"));
            }
            if state == State::Withdrawn && random.chance(20) {
                decision.purpose = None;
            }
            news.insert(customer.clone(), vec![decision]);
        }
        assert!(news.len() > self.histories.len() / 50);
        send(&self.house, &news).await;
        for (customer, said) in news {
            self.histories.get_mut(&customer).unwrap().extend(said);
        }
        self.house.set_now(instant(at + HOUR));
        at + HOUR
    }
}

/// Everybody has a contract; of some it has ended since.
fn contracts(shop: &Shop, left: &BTreeSet<String>) -> Vec<Value> {
    let of = |customer: &String, fact: &str| {
        json!({
            "subject": {"cdnow_customer": customer}, "fact": fact, "contract": "orders",
            "message_id": format!("{fact}-{customer}"),
            (if fact == "contract_started" { "starts_at" } else { "ends_at" }):
                if fact == "contract_started" { "1997-01-01T00:00:00Z" } else { "1998-06-30T00:00:00Z" },
        })
    };
    let started = shop
        .customers
        .keys()
        .map(|customer| of(customer, "contract_started"));
    let ended = left.iter().map(|customer| of(customer, "contract_ended"));
    started.chain(ended).collect()
}

fn members(house: &House, shop: &Shop) -> BTreeMap<String, SubjectId> {
    let ids: Vec<_> = shop
        .customers
        .keys()
        .map(|customer| identifier("cdnow_customer", customer))
        .collect();
    let subjects = house.vault.subjects(&ids, false).unwrap();
    shop.customers
        .keys()
        .cloned()
        .zip(
            subjects
                .into_iter()
                .map(|subject| subject.expect("everybody is known")),
        )
        .collect()
}

fn has_figures(row: &[Value], figures: &Figures) -> bool {
    let micros = |day| json!(start_of(day) * 1_000_000);
    row[0] == json!(figures.purchases)
        && row[1] == json!(figures.purchases_90d)
        && cents(&row[2]) == figures.cents
        && cents(&row[3]) == figures.cents_365d
        && row[4] == micros(figures.first_day)
        && row[5] == micros(figures.last_day)
        && row[6] == json!(figures.days_since_last)
}

/// Whole cents of an amount that must be a whole number of cents; none when there is no amount.
fn cents(amount: &Value) -> i64 {
    let Some(amount) = amount.as_f64() else {
        return i64::MIN;
    };
    let cents = amount * 100.0;
    assert!((cents - cents.round()).abs() < 1e-3, "{amount}");
    cents.round() as i64
}
