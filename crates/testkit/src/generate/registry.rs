//! Registries: purposes of every basis in small trees, and notices in several versions.

use std::collections::{BTreeMap, BTreeSet};

use assent_consent::{
    Calendar, Category, Channel, ConsentForm, Handler, LegalBasis, Notice, NoticeChange, NoticeId,
    NoticedPurpose, Purpose, PurposeId, RecipientId, RecipientStatement, Registry,
    SensitiveStatement, Timestamp,
};

use crate::seeded::Seeded;

/// The purposes that generated registries define.
pub const PURPOSES: [&str; 7] = [
    "p_root", "p_mail", "p_ads", "p_share", "p_care", "p_serve", "p_find",
];
/// The categories of data in generated registries.
pub const CATEGORIES: [&str; 8] = [
    "contact",
    "transaction",
    "behaviour",
    "profile",
    "health",
    "location",
    "account",
    "subscription",
];
/// The channels in generated registries.
pub const CHANNELS: [&str; 3] = ["email", "sms", "wechat"];
/// The recipients in generated registries.
pub const RECIPIENTS: [&str; 2] = ["ad_partner", "insurer"];
/// The notices in generated registries.
pub const NOTICES: [&str; 2] = ["n_terms", "n_more"];

const DAY_MICROS: i64 = 86_400_000_000;

/// The instant around which generated times lie: midnight in Shanghai, 2026-01-01.
#[must_use]
pub fn day_zero() -> Timestamp {
    Timestamp::from_micros(1_767_196_800_000_000)
}

/// The instant `days` after [`day_zero`].
pub(crate) fn day(days: i64) -> Timestamp {
    day_zero().plus_micros(days * DAY_MICROS)
}

pub(crate) fn purpose_id(name: &str) -> PurposeId {
    PurposeId::parse(name).expect("a constant name")
}

pub(crate) fn category(name: &str) -> Category {
    Category::parse(name).expect("a constant name")
}

pub(crate) fn channel(name: &str) -> Channel {
    Channel::parse(name).expect("a constant name")
}

pub(crate) fn recipient(name: &str) -> RecipientId {
    RecipientId::parse(name).expect("a constant name")
}

/// A registry with all of [`PURPOSES`] and [`NOTICES`].
#[must_use]
pub fn registry(seeded: &mut Seeded) -> Registry {
    let mut registry = Registry::new(Calendar::default());
    let mut purposes = Vec::new();
    for place in 0..PURPOSES.len() {
        let purpose = a_purpose(seeded, place);
        registry.insert_purpose(purpose.clone());
        purposes.push(purpose);
    }
    for name in NOTICES {
        for notice in versions(seeded, name, &purposes) {
            registry
                .insert_notice(notice)
                .expect("versions are numbered one by one");
        }
    }
    registry
}

fn a_purpose(seeded: &mut Seeded, place: usize) -> Purpose {
    let mut categories = a_subset(seeded, &CATEGORIES, 65, category);
    categories.insert(category(seeded.word(&CATEGORIES)));
    let some_sensitive = seeded.chance(40);
    let sensitive = ["health", "location"]
        .into_iter()
        .map(category)
        .filter(|c| some_sensitive && categories.contains(c))
        .collect();
    Purpose {
        id: purpose_id(PURPOSES[place]),
        version: 1,
        title: BTreeMap::from([("en".to_owned(), PURPOSES[place].to_owned())]),
        basis: a_basis(seeded, place),
        citation: Some("a statute".to_owned()),
        parent: a_parent(seeded, place),
        categories,
        sensitive,
        personalises: seeded.chance(30),
        channels: a_few_channels(seeded),
        recipients: a_few_recipients(seeded, place),
        form: a_form(seeded),
        grant_validity_days: *seeded.pick(&[None, None, None, Some(30), Some(90)]),
        retention_days: BTreeMap::new(),
        default_retention_days: 365,
        reask_after_days: None,
        requires_known_age: seeded.chance(8),
        marketing: false,
        export_namespaces: Vec::new(),
    }
}

/// Most rest on consent; the later ones take every other basis, too.
fn a_basis(seeded: &mut Seeded, place: usize) -> LegalBasis {
    match place {
        5 => *seeded.pick(&[
            LegalBasis::Contract,
            LegalBasis::Contract,
            LegalBasis::LegalDuty,
        ]),
        6 => *seeded.pick(&[
            LegalBasis::PublicInformation,
            LegalBasis::PublicInformation,
            LegalBasis::Emergency,
            LegalBasis::PublicInterestNews,
            LegalBasis::OtherLaw,
        ]),
        _ => LegalBasis::Consent,
    }
}

/// Trees, and now and then a parent that does not exist or a cycle.
fn a_parent(seeded: &mut Seeded, place: usize) -> Option<PurposeId> {
    if seeded.chance(2) {
        return Some(purpose_id("p_unknown"));
    }
    if seeded.chance(2) {
        return Some(purpose_id(seeded.word(&PURPOSES)));
    }
    (place > 0 && seeded.chance(45)).then(|| purpose_id(PURPOSES[seeded.index(place)]))
}

fn a_few_channels(seeded: &mut Seeded) -> BTreeSet<Channel> {
    let how_many = *seeded.pick(&[0, 1, 1, 2, 3]);
    CHANNELS[..how_many].iter().copied().map(channel).collect()
}

fn a_few_recipients(seeded: &mut Seeded, place: usize) -> BTreeSet<RecipientId> {
    let share = if place == 3 { 80 } else { 7 };
    if !seeded.chance(share) {
        return BTreeSet::new();
    }
    let how_many = *seeded.pick(&[1, 1, 2]);
    RECIPIENTS[..how_many]
        .iter()
        .copied()
        .map(recipient)
        .collect()
}

fn a_form(seeded: &mut Seeded) -> ConsentForm {
    match seeded.below(100) {
        0..68 => ConsentForm::General,
        68..90 => ConsentForm::Separate,
        90..98 => ConsentForm::Written,
        _ => ConsentForm::Guardian,
    }
}

fn versions(seeded: &mut Seeded, name: &str, purposes: &[Purpose]) -> Vec<Notice> {
    let count = *seeded.pick(&[1, 1, 2, 2, 3]);
    let mut from = seeded.between(-40, 3);
    let mut statements = BTreeMap::new();
    for purpose in purposes {
        if seeded.chance(92) {
            let statement = a_statement(seeded, purpose);
            statements.insert(purpose.id.clone(), statement);
        }
    }
    let mut made = Vec::new();
    for version in 1..=count {
        let change = if version == 1 || seeded.chance(60) {
            NoticeChange::Material
        } else {
            NoticeChange::Editorial
        };
        // An editorial version that changes something is a lie the rules must not fall for.
        if version > 1 && (change == NoticeChange::Material || seeded.chance(30)) {
            vary(seeded, &mut statements, purposes);
        }
        made.push(Notice {
            id: NoticeId::parse(name).expect("a constant name"),
            version,
            change,
            effective_from: day(from),
            handler: Handler {
                name: "Example Trading Co., Ltd.".to_owned(),
                contact: "privacy@example.invalid".to_owned(),
            },
            rights: "write to us".to_owned(),
            purposes: statements.clone(),
            texts: BTreeMap::new(),
            exemption: seeded.chance(6).then(|| "a statute".to_owned()),
        });
        from += seeded.between(-5, 60);
    }
    made
}

/// What a careful notice says of a purpose, sometimes less.
fn a_statement(seeded: &mut Seeded, purpose: &Purpose) -> NoticedPurpose {
    let said = |said: &str| said.to_owned();
    let mut sensitive = BTreeMap::new();
    for category in &purpose.sensitive {
        if seeded.chance(93) {
            let necessity = if seeded.chance(96) { "needed" } else { " " };
            sensitive.insert(
                category.clone(),
                SensitiveStatement {
                    necessity: said(necessity),
                    impact: said("some"),
                },
            );
        }
    }
    let mut recipients = BTreeMap::new();
    for recipient in &purpose.recipients {
        if seeded.chance(94) {
            recipients.insert(
                recipient.clone(),
                RecipientStatement {
                    name: said("Example Partner"),
                    contact: said("partner@example.invalid"),
                    purpose: said("ads"),
                    method: said("matching"),
                    categories: mostly(seeded, &purpose.categories),
                },
            );
        }
    }
    NoticedPurpose {
        method: said("automatic"),
        categories: mostly(seeded, &purpose.categories),
        sensitive,
        personalises: purpose.personalises && seeded.chance(93),
        channels: purpose
            .channels
            .iter()
            .filter(|_| seeded.chance(94))
            .cloned()
            .collect(),
        recipients,
        retention: said("a year, then deleted"),
    }
}

fn mostly(seeded: &mut Seeded, categories: &BTreeSet<Category>) -> BTreeSet<Category> {
    categories
        .iter()
        .filter(|_| seeded.chance(93))
        .cloned()
        .collect()
}

fn vary(
    seeded: &mut Seeded,
    statements: &mut BTreeMap<PurposeId, NoticedPurpose>,
    purposes: &[Purpose],
) {
    for purpose in purposes {
        if !seeded.chance(45) {
            continue;
        }
        match seeded.below(8) {
            // As often as everything else together, where there are recipients.
            6 | 7 => {
                for (_, told) in statements
                    .get_mut(&purpose.id)
                    .into_iter()
                    .flat_map(|statement| &mut statement.recipients)
                {
                    match seeded.below(4) {
                        0 => told.purpose.push_str(" and more"),
                        1 => told.method.push_str(" and more"),
                        2 => told.contact.push_str(" and more"),
                        _ => {}
                    }
                }
            }
            0 => {
                statements.remove(&purpose.id);
            }
            1 => {
                if let Some(statement) = statements.get_mut(&purpose.id) {
                    statement.method.push_str(", by another method");
                }
            }
            2 => {
                if let Some(statement) = statements.get_mut(&purpose.id) {
                    statement.personalises = !statement.personalises;
                }
            }
            3 => {
                if let Some(statement) = statements.get_mut(&purpose.id) {
                    statement.channels = purpose.channels.clone();
                    statement.categories = purpose.categories.clone();
                }
            }
            _ => {
                let fresh = a_statement(seeded, purpose);
                statements.insert(purpose.id.clone(), fresh);
            }
        }
    }
}

fn a_subset<T: Ord>(
    seeded: &mut Seeded,
    names: &[&str],
    percent: u64,
    make: fn(&str) -> T,
) -> BTreeSet<T> {
    names
        .iter()
        .filter(|_| seeded.chance(percent))
        .map(|name| make(name))
        .collect()
}
