//! The fold: from opened events to the partial rows of one batch. Pure: no clock, no files, no order but the log's.
//!
//! Every event becomes one row of partial state per table it concerns; the rows of a subject are then merged, so a
//! batch yields at most one row per subject and key. The key of `members` is what the events' stamps deny (see
//! [`crate::denial`]).

pub(crate) mod columns;
pub(crate) mod events;
pub(crate) mod scalar;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use assent_consent::Calendar;
use assent_event::{AccountMembership, Behaviour, Envelope, Payload, SubscriptionChange, Traits};
use assent_programme::{IdentifiedTrait, Measure, TraitCatalog};
use serde_json::Value;

use self::columns::{DerivedColumn, Entry, KeyedRows, Stamp, ToldColumn, id_array};
use self::events::EventRows;
use self::scalar::{Scalar, millionths, plain_text, whole_millionths};
use crate::groups::Rows;
use crate::layout::{Layout, Part, column_type};
use crate::merge::partial_rows;
use crate::merge::scalar::instant_array;
use crate::{Definitions, Error, Table, denial, skip};

/// Whether an event could be folded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was; the codes name values that were left out.
    Folded(Vec<&'static str>),
    /// It was not, for this reason.
    Skipped(&'static str),
}

/// Partial states of one batch in the making.
pub(crate) struct Fold<'d> {
    catalog: &'d TraitCatalog,
    calendar: Calendar,
    identified: HashMap<&'d str, usize>,
    derived: HashMap<&'d str, Vec<usize>>,
    subjects: Vec<u128>,
    /// What the stamps of the events deny, in the order of the subjects.
    denied: StringBuilder,
    seen: Vec<Option<i64>>,
    told: Vec<ToldColumn>,
    summed: Vec<DerivedColumn>,
    events: EventRows,
    accounts: KeyedRows,
    contacts: KeyedRows,
    subscriptions: KeyedRows,
}

impl<'d> Fold<'d> {
    pub(crate) fn new(definitions: &'d Definitions) -> Result<Self, Error> {
        let catalog = &definitions.catalog;
        let mut derived: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, t) in catalog.derived.iter().enumerate() {
            derived.entry(&t.event).or_default().push(index);
        }
        let identified = catalog.identified.iter().enumerate();
        Ok(Self {
            catalog,
            calendar: definitions.calendar,
            identified: identified.map(|(at, t)| (t.name.as_str(), at)).collect(),
            derived,
            subjects: Vec::new(),
            denied: StringBuilder::new(),
            seen: Vec::new(),
            told: catalog.identified.iter().map(told_column).collect(),
            summed: catalog
                .derived
                .iter()
                .map(|t| DerivedColumn::new(&Part::derived(&t.name, &t.measure)[1]))
                .collect::<Result<_, _>>()?,
            events: EventRows::default(),
            accounts: KeyedRows::new(Layout::accounts()),
            contacts: KeyedRows::new(Layout::contacts()),
            subscriptions: KeyedRows::new(Layout::subscriptions()),
        })
    }

    /// Takes in one event. An event is folded whole or skipped whole, but for single unreadable values.
    pub(crate) fn add(&mut self, envelope: &Envelope, payload: &Payload) -> Outcome {
        let event = Event {
            row: self.subjects.len() as u32,
            subject: u128::from_be_bytes(envelope.subject.to_bytes()),
            stamp: stamp_of(envelope),
        };
        let outcome = match payload {
            Payload::Traits(traits) => Outcome::Folded(self.traits(&event, traits)),
            Payload::AccountMembership(membership) => {
                self.membership(&event, membership);
                Outcome::Folded(Vec::new())
            }
            Payload::SubscriptionChange(change) => self.subscription(&event, change),
            Payload::Behaviour(behaviour) => self.behaviour(&event, envelope, behaviour),
            Payload::ConsentDecision(_)
            | Payload::IdentityLink(_)
            | Payload::SubjectFact(_)
            | Payload::Use(_)
            | Payload::Rejection(_)
            | Payload::SegmentChange(_) => Outcome::Skipped(skip::KIND_MISPLACED),
        };
        if matches!(outcome, Outcome::Folded(_)) {
            self.subjects.push(event.subject);
            self.seen.push(Some(event.stamp.at));
            self.denied.append_value(match payload {
                Payload::Behaviour(behaviour) => denial::text(behaviour),
                // What a member says of itself is no use of it: only behaviour is stamped.
                _other => String::new(),
            });
        }
        outcome
    }

    fn traits(&mut self, event: &Event, traits: &Traits) -> Vec<&'static str> {
        let mut unreadable = Vec::new();
        let profile = traits.profile.as_ref().map(|block| &block.values);
        let sensitive = traits.sensitive.as_ref().map(|block| &block.values);
        // A trait given in both blocks counts once, as the sensitive block has it; that block is open to sensitive
        // traits only.
        let mut values: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, value) in profile.into_iter().flatten() {
            values.insert(name, value);
        }
        for (name, value) in sensitive.into_iter().flatten() {
            if self.catalog.identified(name).is_some_and(|t| t.sensitive) {
                values.insert(name, value);
            }
        }
        for (name, text) in values {
            // What the catalogue does not declare has no column; it stays in the journal for a later catalogue.
            let Some(index) = self.identified.get(name) else {
                continue;
            };
            match Scalar::read(text, self.catalog.identified[*index].r#type) {
                Some(value) => self.told[*index].tell(event.row, value, event.stamp),
                None => unreadable.push(skip::TRAIT_UNREADABLE),
            }
        }
        unreadable
    }

    fn membership(&mut self, event: &Event, membership: &AccountMembership) {
        let told = |value: &Option<String>| value.clone().map(Scalar::Text);
        let clear = &membership.clear;
        self.accounts.add(
            event.subject,
            clear.account.clone(),
            [
                told(&clear.name),
                told(&clear.industry),
                told(&clear.size_band),
                told(&clear.country),
            ],
            event.stamp,
        );
        let profile = membership.profile.as_ref();
        self.contacts.add(
            event.subject,
            clear.account.clone(),
            [
                profile.and_then(|profile| told(&profile.role)),
                profile.and_then(|profile| told(&profile.buying_role)),
                profile.and_then(|profile| told(&profile.department)),
                Some(Scalar::Boolean(clear.left)),
            ],
            event.stamp,
        );
    }

    fn subscription(&mut self, event: &Event, change: &SubscriptionChange) -> Outcome {
        let Some(profile) = &change.profile else {
            return Outcome::Skipped(skip::BLOCK_MISSING);
        };
        let told = |value: &Option<String>| value.clone().map(Scalar::Text);
        let instant = |value: Option<assent_consent::Timestamp>| {
            value.map(|instant| Scalar::Instant(instant.micros()))
        };
        self.subscriptions.add(
            event.subject,
            profile.subscription.clone(),
            [
                told(&profile.plan),
                told(&profile.status),
                instant(profile.started_at),
                instant(profile.renews_at),
                instant(profile.ends_at),
                profile.amount.map(Scalar::Number),
                told(&profile.currency),
            ],
            event.stamp,
        );
        Outcome::Folded(Vec::new())
    }

    fn behaviour(&mut self, event: &Event, envelope: &Envelope, behaviour: &Behaviour) -> Outcome {
        let Some(profile) = &behaviour.profile else {
            return Outcome::Skipped(skip::BLOCK_MISSING);
        };
        self.events.add(
            event.subject,
            envelope,
            event.stamp,
            &events::Told {
                denied: &denial::text(behaviour),
                name: &profile.name,
                revenue: profile.revenue,
                currency: profile.currency.as_deref(),
                quantity: profile.quantity,
                product: profile.product.as_deref(),
                properties: &profile.properties,
                sensitive: behaviour.sensitive.as_ref().map(|block| &block.properties),
            },
        );
        let mut unreadable = Vec::new();
        let Some(derived) = self.derived.get(profile.name.as_str()) else {
            return Outcome::Folded(unreadable);
        };
        let instant = assent_consent::Timestamp::from_micros(event.stamp.at);
        let day = self.calendar.day_of(instant).days();
        for index in derived {
            let derived = &self.catalog.derived[*index];
            let measure = &derived.measure;
            let mut entry = Entry {
                row: event.row,
                day,
                stamp: event.stamp,
                amount: 0,
                value: String::new(),
            };
            let counts = match measure {
                Measure::Count | Measure::FirstAt | Measure::LastAt | Measure::DaysSinceLast => {
                    true
                }
                Measure::Sum { property } => match amount(behaviour, property, derived.sensitive) {
                    Amount::Of(amount) => {
                        entry.amount = amount;
                        true
                    }
                    Amount::Absent => false,
                    Amount::Unreadable => {
                        unreadable.push(skip::AMOUNT_UNREADABLE);
                        false
                    }
                },
                Measure::FirstValue { property } | Measure::LastValue { property } => {
                    match text(behaviour, property, derived.sensitive) {
                        Some(text) => {
                            entry.value = text;
                            true
                        }
                        None => false,
                    }
                }
            };
            if counts {
                self.summed[*index].add(entry);
            }
        }
        Outcome::Folded(unreadable)
    }

    /// The partial rows of the batch; tables without a row are absent.
    pub(crate) fn finish(mut self) -> Result<BTreeMap<Table, RecordBatch>, Error> {
        let mut tables = BTreeMap::new();
        let rows = self.subjects.len();
        if rows > 0 {
            let layout = Layout::members(self.catalog);
            let seen = instant_array(self.seen);
            let mut columns: Vec<ArrayRef> = vec![
                id_array(&self.subjects)?,
                Arc::new(self.denied.finish()),
                seen.clone(),
                seen,
            ];
            for column in self.told {
                columns.extend(column.finish(rows)?);
            }
            for column in self.summed {
                columns.extend(column.finish(rows)?);
            }
            let batch = RecordBatch::try_new(layout.schema(), columns)?;
            tables.insert(Table::Members, merged(&layout, batch)?);
        }
        for (table, rows) in [
            (Table::Accounts, self.accounts),
            (Table::Contacts, self.contacts),
            (Table::Subscriptions, self.subscriptions),
        ] {
            let layout = rows.layout.clone();
            tables.insert(table, merged(&layout, rows.finish()?)?);
        }
        tables.insert(Table::Events, self.events.finish()?);
        tables.retain(|_, batch| batch.num_rows() > 0);
        Ok(tables)
    }
}

/// The event at hand.
struct Event {
    /// Its row among the members' rows.
    row: u32,
    subject: u128,
    stamp: Stamp,
}

/// The time the fold uses, and the id. A clock that runs ahead is clamped to the receipt (as rule R2 does for facts):
/// otherwise one wrong clock would win every "latest" for ever.
fn stamp_of(envelope: &Envelope) -> Stamp {
    let times = &envelope.times;
    Stamp {
        at: times.event_time.min(times.received_at).micros(),
        by: u128::from_be_bytes(envelope.id.to_bytes()),
    }
}

fn told_column(t: &IdentifiedTrait) -> ToldColumn {
    ToldColumn::new(column_type(t.r#type))
}

fn merged(layout: &Layout, batch: RecordBatch) -> Result<RecordBatch, Error> {
    let batches = [batch];
    let rows = Rows::by_key(&batches, layout.key)?;
    partial_rows(layout, &batches, &rows)
}

enum Amount {
    Of(i128),
    Absent,
    Unreadable,
}

/// A property as an amount in millionths. Null and absent are the same.
fn amount(behaviour: &Behaviour, property: &str, sensitive: bool) -> Amount {
    let profile = behaviour.profile.as_ref();
    let whole = match property {
        "revenue" => profile.and_then(|profile| profile.revenue).map(millionths),
        "quantity" => profile
            .and_then(|profile| profile.quantity)
            .map(|quantity| Some(whole_millionths(quantity))),
        _other => None,
    };
    let amount = whole.or_else(|| {
        let value = json_property(behaviour, property, sensitive)?;
        match &value {
            Value::Null => None,
            Value::Number(number) => Some(match number.as_i64() {
                Some(whole) => Some(whole_millionths(whole)),
                None => number.as_f64().and_then(millionths),
            }),
            Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => Some(None),
        }
    });
    match amount {
        None => Amount::Absent,
        Some(None) => Amount::Unreadable,
        Some(Some(amount)) => Amount::Of(amount),
    }
}

/// A property as plain text; nothing for null, lists and objects.
fn text(behaviour: &Behaviour, property: &str, sensitive: bool) -> Option<String> {
    let profile = behaviour.profile.as_ref()?;
    let own = match property {
        "revenue" => profile.revenue.map(|revenue| revenue.to_string()),
        "quantity" => profile.quantity.map(|quantity| quantity.to_string()),
        "currency" => profile.currency.clone(),
        "product" => profile.product.clone(),
        _other => None,
    };
    own.or_else(|| plain_text(json_property(behaviour, property, sensitive)?))
}

/// A property; of the sensitive block only for a trait that is `sensitive`.
fn json_property(behaviour: &Behaviour, property: &str, sensitive: bool) -> Option<Value> {
    let profile = behaviour.profile.as_ref();
    let sealed = behaviour.sensitive.as_ref().filter(|_| sensitive);
    let text = sealed
        .and_then(|block| block.properties.get(property))
        .or_else(|| profile.and_then(|block| block.properties.get(property)))?;
    serde_json::from_str(text).ok()
}
