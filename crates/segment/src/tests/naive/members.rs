//! The table `members`: what is known of each person with a lawful subject.

use std::collections::{BTreeMap, BTreeSet};

use assent_consent::{Category, SubjectId, Timestamp};
use assent_event::{Behaviour, Payload};
use assent_programme::{DerivedTrait, IdentifiedTrait, Measure, TraitType};
use assent_vault::Draft;
use serde_json::Value;

use super::{Cell, Column, Kind, NaiveTable, Told, View, behaviour, instant, latest, stamp};

pub(super) fn members(
    told: &Told,
    view: &View,
    members: &BTreeMap<SubjectId, SubjectId>,
) -> NaiveTable {
    let known = told.subjects();
    let mut people: BTreeMap<SubjectId, BTreeSet<SubjectId>> = BTreeMap::new();
    for (subject, member) in members {
        if known.contains(subject) {
            people.entry(*member).or_default().insert(*subject);
        }
    }
    let rows = people
        .iter()
        .map(|(member, subjects)| {
            let mut row = vec![Cell::Text(member.to_string())];
            row.extend(
                told.catalog
                    .identified
                    .iter()
                    .map(|t| identified(told, view, subjects, t)),
            );
            row.extend(
                told.catalog
                    .derived
                    .iter()
                    .map(|t| derived(told, view, subjects, t)),
            );
            row.extend(seen(told, view, subjects));
            row
        })
        .collect();
    NaiveTable {
        name: "members",
        key: &["member_id"],
        columns: columns(told),
        rows,
    }
}

fn columns(told: &Told) -> Vec<Column> {
    let mut columns = vec![Column::of("member_id", Kind::Text, None)];
    columns.extend(told.catalog.identified.iter().map(|t| Column {
        name: t.name.clone(),
        kind: match t.r#type {
            TraitType::Text => Kind::Text,
            TraitType::Number => Kind::Number,
            TraitType::Integer => Kind::Integer,
            TraitType::Boolean => Kind::Boolean,
            TraitType::Date => Kind::Day,
            TraitType::Timestamp => Kind::Instant,
        },
        category: Some(t.category.clone()),
    }));
    columns.extend(told.catalog.derived.iter().map(|t| Column {
        name: t.name.clone(),
        kind: match t.measure {
            Measure::Count | Measure::DaysSinceLast => Kind::Integer,
            Measure::Sum { .. } => Kind::Number,
            Measure::FirstAt | Measure::LastAt => Kind::Instant,
            Measure::FirstValue { .. } | Measure::LastValue { .. } => Kind::Text,
        },
        category: Some(t.category.clone()),
    }));
    for name in ["first_seen", "last_seen"] {
        columns.push(Column::of(name, Kind::Instant, Some("behaviour")));
    }
    columns
}

/// The value told last; one told after the evaluation time hides what came before it.
fn identified(
    told: &Told,
    view: &View,
    subjects: &BTreeSet<SubjectId>,
    t: &IdentifiedTrait,
) -> Cell {
    let tellings = told.drafts.iter().filter_map(|draft| {
        let Payload::Traits(traits) = &draft.payload else {
            return None;
        };
        if !subjects.contains(&draft.subject) || !view.covers(draft.subject, &t.category) {
            return None;
        }
        let plain = traits
            .profile
            .as_ref()
            .and_then(|block| block.values.get(&t.name));
        let sensitive = traits
            .sensitive
            .as_ref()
            .and_then(|block| block.values.get(&t.name));
        let value: Value = serde_json::from_str(sensitive.or(plain)?).expect("JSON");
        Some((draft, value))
    });
    let Some(value) = latest(view, &t.category, tellings) else {
        return Cell::Null;
    };
    if value.is_null() {
        return Cell::Null;
    }
    let text = || value.as_str().expect("a text");
    match t.r#type {
        TraitType::Text => Cell::Text(text().to_owned()),
        TraitType::Number => Cell::number(value.as_f64()),
        TraitType::Integer => Cell::integer(value.as_i64()),
        TraitType::Boolean => Cell::Boolean(value.as_bool().expect("a truth value")),
        TraitType::Date => Cell::Day(text().parse::<assent_consent::Day>().expect("a day").days()),
        TraitType::Timestamp => {
            Cell::instant(Some(Timestamp::parse_rfc3339(text()).expect("a time")))
        }
    }
}

/// Whole days: all events of the evaluation day count, also those later that day.
fn derived(told: &Told, view: &View, subjects: &BTreeSet<SubjectId>, t: &DerivedTrait) -> Cell {
    let covered = subjects.iter().any(|who| view.covers(*who, &t.category));
    if !covered {
        return Cell::Null;
    }
    let calendar = told.consent.calendar();
    let day = |at| i64::from(calendar.day_of(at).days());
    let today = day(view.at);
    let first_day = t
        .window_days
        .map_or(i64::MIN, |days| today - i64::from(days) + 1);
    let events: Vec<(&Draft, &Behaviour)> = behaviour(told)
        .filter(|(draft, behaviour)| {
            let name = behaviour
                .profile
                .as_ref()
                .map(|profile| profile.name.as_str());
            name == Some(t.event.as_str())
                && subjects.contains(&draft.subject)
                && view.covers(draft.subject, &t.category)
                && view.kept.keeps(&t.category, instant(draft))
                && (first_day..=today).contains(&day(instant(draft)))
        })
        .collect();
    let first = events.iter().map(|(draft, _)| instant(draft)).min();
    let last = events.iter().map(|(draft, _)| instant(draft)).max();
    let valued = |property: &str| {
        let mut valued: Vec<(&Draft, String)> = events
            .iter()
            .filter_map(|(draft, behaviour)| Some((*draft, text(behaviour, property)?)))
            .collect();
        valued.sort_by_key(|(draft, _)| stamp(draft));
        valued
    };
    match &t.measure {
        Measure::Count => Cell::integer(i64::try_from(events.len()).ok()),
        Measure::Sum { property } => Cell::Number(
            events
                .iter()
                .filter_map(|(_, behaviour)| amount(behaviour, property))
                .fold(0.0, |sum, amount| sum + amount),
        ),
        Measure::FirstAt => Cell::instant(first),
        Measure::LastAt => Cell::instant(last),
        Measure::DaysSinceLast => Cell::integer(last.map(|last| today - day(last))),
        Measure::FirstValue { property } => {
            Cell::text(valued(property).first().map(|(_, text)| text.clone()))
        }
        Measure::LastValue { property } => {
            Cell::text(valued(property).last().map(|(_, text)| text.clone()))
        }
    }
}

fn property(behaviour: &Behaviour, name: &str) -> Option<Value> {
    let plain = behaviour
        .profile
        .as_ref()
        .and_then(|block| block.properties.get(name));
    let sensitive = behaviour
        .sensitive
        .as_ref()
        .and_then(|block| block.properties.get(name));
    serde_json::from_str(sensitive.or(plain)?).ok()
}

fn amount(behaviour: &Behaviour, name: &str) -> Option<f64> {
    let profile = behaviour.profile.as_ref()?;
    match name {
        "revenue" => profile.revenue,
        "quantity" => profile.quantity.map(|quantity| quantity as f64),
        other => property(behaviour, other)?.as_f64(),
    }
}

fn text(behaviour: &Behaviour, name: &str) -> Option<String> {
    let profile = behaviour.profile.as_ref()?;
    match name {
        "product" => profile.product.clone(),
        "currency" => profile.currency.clone(),
        other => match property(behaviour, other)? {
            Value::String(text) => Some(text),
            value @ (Value::Bool(_) | Value::Number(_)) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        },
    }
}

/// When something of any kind happened first and last. Each is one value: of a first instant that is too old to be
/// kept nothing is left, and of a last one that is still to come nothing is known.
fn seen(told: &Told, view: &View, subjects: &BTreeSet<SubjectId>) -> [Cell; 2] {
    let category: Category = super::category("behaviour");
    let instants: Vec<Timestamp> = told
        .drafts
        .iter()
        .filter(|draft| subjects.contains(&draft.subject) && view.covers(draft.subject, &category))
        .map(instant)
        .collect();
    let shown = |at: &Timestamp| *at <= view.at && view.kept.keeps(&category, *at);
    [instants.iter().min(), instants.iter().max()]
        .map(|at| Cell::instant(at.copied().filter(|at| shown(at))))
}
