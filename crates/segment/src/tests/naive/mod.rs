//! The same world by hand: what is left of everything that was told once the people and cells without a verdict, and
//! what is too old, were physically removed.
//!
//! Nothing here touches the permit index, the projection or the gate. Verdicts come from the naive evaluator of
//! `assent-testkit` over the facts, rows and counts from the list of what was told, by loops over everything. It knows
//! the tables by their documentation: which column has which category is written down here once more.

mod members;
mod relations;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use assent_consent::{
    Calendar, Category, Day, Fact, Purpose, Registry, SubjectId, Timestamp, Use, Verdict,
};
use assent_event::Payload;
use assent_programme::TraitCatalog;
use assent_testkit::oracle::{evaluate_naively, person_naively};
use assent_vault::Draft;

pub use table::{Cell, Column, Kind, NaiveTable};

/// Everything that was told, and the definitions it is read by.
#[derive(Clone)]
pub struct Told {
    /// Events of the profile and behaviour topics.
    pub drafts: Vec<Draft>,
    /// What bears on verdicts.
    pub facts: Vec<Fact>,
    pub consent: Registry,
    pub catalog: TraitCatalog,
    /// Sensitive properties of events, with their category.
    pub properties: BTreeMap<String, Category>,
    /// The smallest group of people that is counted.
    pub k: usize,
}

/// Who may be read for what; absent means denied.
pub type Lawful = BTreeMap<SubjectId, BTreeSet<Category>>;

/// From where one looks: who is lawful, when, and how long what may be kept.
pub struct View {
    pub lawful: Lawful,
    /// The evaluation time.
    pub at: Timestamp,
    /// The categories that the purpose reads.
    pub categories: BTreeSet<Category>,
    /// The purpose and whatever it is part of; nothing for no gate at all.
    purposes: Vec<String>,
    kept: Kept,
}

/// What is kept, by the days of the calendar.
struct Kept {
    calendar: Calendar,
    today: Day,
    days: BTreeMap<Category, u32>,
    default_days: u32,
}

impl View {
    /// What a use may see at `at`, looked at from `now`: lawful then and now, covered then and now.
    pub fn of(told: &Told, use_: &Use, at: Timestamp, now: Timestamp) -> Self {
        let purpose = told
            .consent
            .purpose(&use_.purpose)
            .expect("a defined purpose");
        let mut lawful = told.lawful(use_, at);
        if at != now {
            let today = told.lawful(use_, now);
            lawful.retain(|subject, _| today.contains_key(subject));
            for (subject, categories) in &mut lawful {
                categories.retain(|category| today[subject].contains(category));
            }
        }
        Self {
            lawful,
            at,
            categories: purpose.categories.clone(),
            purposes: within(&told.consent, purpose),
            kept: Kept::of(purpose, told.consent.calendar(), now),
        }
    }

    /// Everybody, for all of these categories and for ever: no gate at all.
    pub fn of_everybody(told: &Told, categories: BTreeSet<Category>, now: Timestamp) -> Self {
        let calendar = told.consent.calendar();
        Self {
            lawful: told
                .subjects()
                .into_iter()
                .map(|subject| (subject, categories.clone()))
                .collect(),
            at: now,
            categories,
            purposes: Vec::new(),
            kept: Kept::for_ever(calendar, now),
        }
    }

    /// The same without an end to what is kept.
    pub fn keeping_for_ever(mut self) -> Self {
        self.kept.days.clear();
        self.kept.default_days = Kept::EVER;
        self
    }

    fn covers(&self, subject: SubjectId, category: &Category) -> bool {
        self.lawful
            .get(&subject)
            .is_some_and(|covered| covered.contains(category))
    }
}

impl Kept {
    const EVER: u32 = 100_000;

    fn for_ever(calendar: Calendar, now: Timestamp) -> Self {
        Self {
            calendar,
            today: calendar.day_of(now),
            days: BTreeMap::new(),
            default_days: Self::EVER,
        }
    }

    fn of(purpose: &Purpose, calendar: Calendar, now: Timestamp) -> Self {
        Self {
            calendar,
            today: calendar.day_of(now),
            days: purpose.retention_days.clone(),
            default_days: purpose.default_retention_days,
        }
    }

    /// Whether data of the category from that instant is still there.
    fn keeps(&self, category: &Category, at: Timestamp) -> bool {
        let days = self.days.get(category).unwrap_or(&self.default_days);
        let age = i64::from(self.today.days()) - i64::from(self.calendar.day_of(at).days());
        age <= i64::from(*days)
    }
}

impl Told {
    /// The verdicts for a use at an instant.
    pub fn lawful(&self, use_: &Use, at: Timestamp) -> Lawful {
        let mut lawful = Lawful::new();
        for subject in self.subjects() {
            let verdict = evaluate_naively(&self.consent, &self.facts, subject, use_, at);
            if let Verdict::Lawful(coverage) = verdict {
                lawful.insert(subject, coverage.categories);
            }
        }
        lawful
    }

    /// Whoever something was told of beside facts.
    pub fn subjects(&self) -> BTreeSet<SubjectId> {
        self.drafts.iter().map(|draft| draft.subject).collect()
    }

    /// The id of the person that a subject is part of.
    pub fn member(&self, subject: SubjectId, at: Timestamp) -> SubjectId {
        *person_naively(&self.facts, subject, at)
            .first()
            .expect("oneself at least")
    }

    /// The tables that a view shows, with their names.
    pub fn tables(&self, view: &View) -> Vec<NaiveTable> {
        let lawful_members = self.members_of(view);
        let told = &self.without_refused(view);
        [
            Some(members::members(told, view, &lawful_members)),
            relations::events(told, view, &lawful_members),
            relations::accounts(told, view, &lawful_members),
            relations::contacts(told, view, &lawful_members),
            relations::subscriptions(told, view, &lawful_members),
        ]
        .into_iter()
        .flatten()
        .map(|table| table.visible_to(&view.categories))
        .collect()
    }

    /// The same without the events whose sender was told not to use them for this, or for something it is part of. A
    /// stamp that names what can be no purpose speaks of all of them.
    fn without_refused(&self, view: &View) -> Self {
        let refused = |purpose: &String| {
            view.purposes.contains(purpose) || purpose.parse::<assent_consent::PurposeId>().is_err()
        };
        let mut told = self.clone();
        told.drafts.retain(|draft| match &draft.payload {
            Payload::Behaviour(behaviour) if !view.purposes.is_empty() => {
                let denied = behaviour.clear.denied_purposes.iter().flatten();
                !denied.into_iter().any(refused)
            }
            _ => true,
        });
        told
    }

    /// The member of each lawful subject.
    fn members_of(&self, view: &View) -> BTreeMap<SubjectId, SubjectId> {
        view.lawful
            .keys()
            .map(|subject| (*subject, self.member(*subject, view.at)))
            .collect()
    }
}

/// A purpose, and what it is part of, as far up as it goes; parents may run in a circle.
fn within(registry: &Registry, purpose: &Purpose) -> Vec<String> {
    let mut within = vec![purpose.id.to_string()];
    let mut current = Some(purpose);
    for _ in registry.purposes() {
        let Some(parent) = current.and_then(|purpose| purpose.parent.as_ref()) else {
            break;
        };
        within.push(parent.to_string());
        current = registry.purpose(parent);
    }
    within
}

/// When something happened: no later than it was received.
fn instant(draft: &Draft) -> Timestamp {
    draft.times.event_time.min(draft.times.received_at)
}

/// The order in which the later of two tellings counts.
fn stamp(draft: &Draft) -> (Timestamp, [u8; 16]) {
    (instant(draft), draft.id.to_bytes())
}

/// The last that was told of something, if it is known by then and still kept; what was told before it does not show
/// through.
fn latest<'a, T>(
    view: &View,
    category: &Category,
    tellings: impl Iterator<Item = (&'a Draft, T)>,
) -> Option<T> {
    tellings
        .max_by_key(|(draft, _)| stamp(draft))
        .filter(|(draft, _)| instant(draft) <= view.at)
        .filter(|(draft, _)| view.kept.keeps(category, instant(draft)))
        .map(|(_, value)| value)
}

pub fn category(name: &str) -> Category {
    Category::parse(name).expect("a category")
}

/// The events of behaviour, with whom they are about.
fn behaviour(told: &Told) -> impl Iterator<Item = (&Draft, &assent_event::Behaviour)> {
    told.drafts.iter().filter_map(|draft| {
        let Payload::Behaviour(behaviour) = &draft.payload else {
            return None;
        };
        Some((draft, behaviour))
    })
}
