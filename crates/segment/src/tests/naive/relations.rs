//! The tables `events`, `accounts`, `contacts` and `subscriptions`.

use std::collections::{BTreeMap, BTreeSet};

use assent_consent::{Category, SubjectId};
use assent_event::{AccountMembership, Payload};
use assent_vault::Draft;
use serde_json::{Map, Value};

use super::{Cell, Column, Kind, NaiveTable, Told, View, behaviour, category, instant, latest};

type Members = BTreeMap<SubjectId, SubjectId>;

/// Names that are identifiers wherever they stand.
const IDENTIFIERS: [&str; 3] = ["email", "phone", "openid"];

pub(super) fn events(told: &Told, view: &View, members: &Members) -> Option<NaiveTable> {
    let row_category = category("behaviour");
    if !view.categories.contains(&row_category) {
        return None;
    }
    let mut columns = vec![
        Column::of("member_id", Kind::Text, None),
        Column::of("event_id", Kind::Text, None),
        Column::of("source", Kind::Text, None),
        Column::of("name", Kind::Text, Some("behaviour")),
        Column::of("event_time", Kind::Instant, None),
        Column::of("received_at", Kind::Instant, None),
        Column::of("revenue", Kind::Number, Some("transaction")),
        Column::of("currency", Kind::Text, Some("transaction")),
        Column::of("quantity", Kind::Integer, Some("transaction")),
        Column::of("product", Kind::Text, Some("transaction")),
        Column::of("properties", Kind::Text, Some("behaviour")),
    ];
    let some_property = told
        .properties
        .values()
        .any(|needed| view.categories.contains(needed));
    if some_property {
        columns.push(Column::of("sensitive_properties", Kind::Text, None));
    }
    let mut rows = Vec::new();
    for (draft, event) in behaviour(told) {
        let who = draft.subject;
        let at = instant(draft);
        let shown =
            view.covers(who, &row_category) && at <= view.at && view.kept.keeps(&row_category, at);
        let (Some(profile), true) = (&event.profile, shown) else {
            continue;
        };
        let transaction = category("transaction");
        let money = view.covers(who, &transaction) && view.kept.keeps(&transaction, at);
        let mut row = vec![
            Cell::Text(members[&who].to_string()),
            Cell::Text(draft.id.to_string()),
            Cell::Text(draft.source.clone()),
            Cell::Text(profile.name.clone()),
            Cell::instant(Some(at)),
            Cell::instant(Some(draft.times.received_at)),
            Cell::number(profile.revenue.filter(|_| money)),
            Cell::text(profile.currency.clone().filter(|_| money)),
            Cell::integer(profile.quantity.filter(|_| money)),
            Cell::text(profile.product.clone().filter(|_| money)),
            Cell::text(ordinary(told, &profile.properties)),
        ];
        if some_property {
            let sensitive = event.sensitive.as_ref().map(|block| &block.properties);
            row.push(Cell::text(
                sensitive.and_then(|p| private(told, view, draft, p)),
            ));
        }
        rows.push(row);
    }
    Some(NaiveTable {
        name: "events",
        key: &["event_id"],
        columns,
        rows,
    })
}

fn object(properties: impl Iterator<Item = (String, String)>) -> Option<String> {
    let object: Map<String, Value> = properties
        .map(|(name, value)| (name, serde_json::from_str(&value).expect("JSON")))
        .collect();
    (!object.is_empty()).then(|| Value::Object(object).to_string())
}

/// Properties without identifiers and without names that are declared sensitive.
fn ordinary(told: &Told, properties: &BTreeMap<String, String>) -> Option<String> {
    let declared = |name: &str| {
        let name = name.to_lowercase();
        IDENTIFIERS.contains(&name.as_str())
            || told
                .properties
                .keys()
                .any(|known| known.to_lowercase() == name)
    };
    object(
        properties
            .iter()
            .filter(|(name, _)| !declared(name))
            .map(|(name, value)| (name.clone(), value.clone())),
    )
}

/// Sensitive properties, each by its own category. What is too old for one of those that the purpose reads goes whole.
fn private(
    told: &Told,
    view: &View,
    draft: &Draft,
    properties: &BTreeMap<String, String>,
) -> Option<String> {
    let readable: BTreeMap<&String, &Category> = told
        .properties
        .iter()
        .filter(|(_, needed)| view.categories.contains(*needed))
        .collect();
    if !readable
        .values()
        .all(|needed| view.kept.keeps(needed, instant(draft)))
    {
        return None;
    }
    object(
        properties
            .iter()
            .filter(|(name, _)| {
                readable
                    .get(name)
                    .is_some_and(|needed| view.covers(draft.subject, needed))
            })
            .map(|(name, value)| (name.clone(), value.clone())),
    )
}

/// Memberships of lawful subjects whose grant covers accounts.
fn memberships<'a>(
    told: &'a Told,
    view: &'a View,
) -> impl Iterator<Item = (&'a Draft, &'a AccountMembership)> {
    let account = category("account");
    told.drafts.iter().filter_map(move |draft| {
        let Payload::AccountMembership(membership) = &draft.payload else {
            return None;
        };
        view.covers(draft.subject, &account)
            .then_some((draft, membership))
    })
}

/// The members of each account, with what is told last of their part in it, and whether they still belong to it.
fn belonging(told: &Told, view: &View, members: &Members) -> BTreeSet<(String, SubjectId)> {
    let pairs: BTreeSet<(String, SubjectId)> = memberships(told, view)
        .map(|(draft, membership)| (membership.clear.account.clone(), members[&draft.subject]))
        .collect();
    pairs
        .into_iter()
        .filter(|(account, member)| {
            let tellings = memberships(told, view)
                .filter(|(draft, membership)| {
                    membership.clear.account == *account && members[&draft.subject] == *member
                })
                .map(|(draft, membership)| (draft, membership.clear.left));
            latest(view, &category("account"), tellings) == Some(false)
        })
        .collect()
}

pub(super) fn accounts(told: &Told, view: &View, members: &Members) -> Option<NaiveTable> {
    let account = category("account");
    if !view.categories.contains(&account) {
        return None;
    }
    let belong = belonging(told, view, members);
    let shown: BTreeSet<&String> = belong.iter().map(|(account, _)| account).collect();
    let rows = shown
        .into_iter()
        .map(|name| {
            let told_of = |read: fn(&AccountMembership) -> &Option<String>| {
                let tellings = memberships(told, view)
                    .filter(|(_, membership)| membership.clear.account == *name)
                    .filter_map(|(draft, membership)| Some((draft, read(membership).clone()?)));
                Cell::text(latest(view, &account, tellings))
            };
            let people = belong.iter().filter(|(of, _)| of == name).count();
            vec![
                Cell::Text(name.clone()),
                told_of(|m| &m.clear.name),
                told_of(|m| &m.clear.industry),
                told_of(|m| &m.clear.size_band),
                told_of(|m| &m.clear.country),
                Cell::integer(i64::try_from(people).ok().filter(|_| people >= told.k)),
            ]
        })
        .collect();
    let of = |name, kind| Column::of(name, kind, Some("account"));
    Some(NaiveTable {
        name: "accounts",
        key: &["account_id"],
        columns: vec![
            of("account_id", Kind::Text),
            of("name", Kind::Text),
            of("industry", Kind::Text),
            of("size_band", Kind::Text),
            of("country", Kind::Text),
            of("contacts", Kind::Integer),
        ],
        rows,
    })
}

pub(super) fn contacts(told: &Told, view: &View, members: &Members) -> Option<NaiveTable> {
    let account = category("account");
    if !view.categories.contains(&account) {
        return None;
    }
    let rows = belonging(told, view, members)
        .into_iter()
        .map(|(name, member)| {
            let told_of = |read: fn(&assent_event::AccountMembershipProfile) -> &Option<String>| {
                let tellings = memberships(told, view)
                    .filter(|(draft, membership)| {
                        membership.clear.account == name && members[&draft.subject] == member
                    })
                    .filter_map(|(draft, membership)| {
                        Some((draft, read(membership.profile.as_ref()?).clone()?))
                    });
                Cell::text(latest(view, &account, tellings))
            };
            vec![
                Cell::Text(member.to_string()),
                Cell::Text(name.clone()),
                told_of(|profile| &profile.role),
                told_of(|profile| &profile.buying_role),
                told_of(|profile| &profile.department),
            ]
        })
        .collect();
    let of = |name| Column::of(name, Kind::Text, Some("account"));
    Some(NaiveTable {
        name: "contacts",
        key: &["member_id", "account_id"],
        columns: vec![
            Column::of("member_id", Kind::Text, None),
            of("account_id"),
            of("role"),
            of("buying_role"),
            of("department"),
        ],
        rows,
    })
}

/// Subscriptions of which something is told by then and still kept.
pub(super) fn subscriptions(told: &Told, view: &View, members: &Members) -> Option<NaiveTable> {
    let subscription = category("subscription");
    if !view.categories.contains(&subscription) {
        return None;
    }
    let changes = || {
        told.drafts.iter().filter_map(|draft| {
            let Payload::SubscriptionChange(change) = &draft.payload else {
                return None;
            };
            let profile = change.profile.as_ref()?;
            view.covers(draft.subject, &subscription)
                .then(|| (members[&draft.subject], draft, profile))
        })
    };
    let keys: BTreeSet<(SubjectId, String)> = changes()
        .map(|(member, _, profile)| (member, profile.subscription.clone()))
        .collect();
    let rows = keys
        .into_iter()
        .map(|(member, id)| {
            macro_rules! last {
                ($field:ident) => {
                    latest(
                        view,
                        &subscription,
                        changes()
                            .filter(|(of, _, profile)| *of == member && profile.subscription == id)
                            .filter_map(|(_, draft, profile)| {
                                Some((draft, profile.$field.clone()?))
                            }),
                    )
                };
            }
            vec![
                Cell::Text(member.to_string()),
                Cell::Text(id.clone()),
                Cell::text(last!(plan)),
                Cell::text(last!(status)),
                Cell::instant(last!(started_at)),
                Cell::instant(last!(renews_at)),
                Cell::instant(last!(ends_at)),
                Cell::number(last!(amount)),
                Cell::text(last!(currency)),
            ]
        })
        .filter(|row| row[2..].iter().any(|cell| *cell != Cell::Null))
        .collect();
    let of = |name, kind| Column::of(name, kind, Some("subscription"));
    Some(NaiveTable {
        name: "subscriptions",
        key: &["member_id", "subscription_id"],
        columns: vec![
            Column::of("member_id", Kind::Text, None),
            of("subscription_id", Kind::Text),
            of("plan", Kind::Text),
            of("status", Kind::Text),
            of("started_at", Kind::Instant),
            of("renews_at", Kind::Instant),
            of("ends_at", Kind::Instant),
            of("amount", Kind::Number),
            of("currency", Kind::Text),
        ],
        rows,
    })
}
