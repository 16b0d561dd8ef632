//! `purposes/*.yaml`: one purpose a file.

use std::collections::{BTreeMap, BTreeSet};

use assent_consent::{ConsentForm, LegalBasis, Namespace, Purpose};

use crate::fields::{Field, Fields, Report};
use crate::yaml::Node;

const KEYS: &[&str] = &[
    "id",
    "title",
    "basis",
    "citation",
    "parent",
    "categories",
    "sensitive",
    "personalises",
    "channels",
    "shares",
    "recipients",
    "form",
    "grant_validity_days",
    "default_retention_days",
    "retention_days",
    "reask_after_days",
    "requires_known_age",
    "marketing",
    "export_namespaces",
];

/// A century: longer is a slip of the pen.
const MOST_DAYS: u32 = 36_525;

pub(super) fn read(node: &Node, report: &mut Report<'_>) -> Option<Purpose> {
    let fields = Fields::of(node, "a purpose", KEYS, report)?;
    let id = fields
        .required("id", "add `id:` with the purpose's name", report)
        .and_then(|f| f.parsed(report));
    let title = fields
        .required(
            "title",
            "add `title:` with what people are told, by language",
            report,
        )
        .and_then(|f| f.map(report, Field::words));
    let basis = fields
        .required(
            "basis",
            &format!("add `basis:` with one of {}", bases()),
            report,
        )
        .and_then(|f| f.parsed(report));
    let categories = fields
        .required(
            "categories",
            "add `categories:` with the data categories it needs (art. 6)",
            report,
        )
        .and_then(|f| f.set(report));
    let default_retention_days = fields
        .required(
            "default_retention_days",
            "add `default_retention_days:`, the shortest time the purpose needs (art. 19)",
            report,
        )
        .and_then(|f| f.count(MOST_DAYS, report));
    let retention_days = fields
        .optional("retention_days", report, |f, r| {
            f.map(r, |f, r| f.count(MOST_DAYS, r))
        })
        .unwrap_or_default();
    let purpose = Purpose {
        citation: fields.optional("citation", report, Field::words),
        parent: fields.optional("parent", report, Field::parsed),
        sensitive: set(&fields, "sensitive", report),
        personalises: flag(&fields, "personalises", report),
        channels: set(&fields, "channels", report),
        recipients: set(&fields, "recipients", report),
        form: fields
            .optional("form", report, Field::parsed)
            .unwrap_or(ConsentForm::General),
        grant_validity_days: days(&fields, "grant_validity_days", report),
        reask_after_days: days(&fields, "reask_after_days", report),
        requires_known_age: flag(&fields, "requires_known_age", report),
        marketing: flag(&fields, "marketing", report),
        export_namespaces: fields
            .optional("export_namespaces", report, Field::names::<Namespace>)
            .unwrap_or_default(),
        retention_days,
        version: 1,
        id: id?,
        title: title.unwrap_or_else(BTreeMap::new),
        basis: basis?,
        categories: categories?,
        default_retention_days: default_retention_days?,
    };
    sharing(&fields, &purpose, report);
    Some(purpose)
}

/// `shares` says aloud that data goes to another handler, so that forgetting the recipient is a fault.
fn sharing(fields: &Fields<'_>, purpose: &Purpose, report: &mut Report<'_>) {
    let Some(field) = fields.get("shares") else {
        return;
    };
    match (field.flag(report), purpose.recipients.is_empty()) {
        (Some(true), true) => report.at(
            field.node.place,
            "a purpose that shares names no recipient (art. 23)",
            "list the other handlers under `recipients:`",
        ),
        (Some(false), false) => report.at(
            field.node.place,
            "a purpose that does not share lists recipients",
            "remove `recipients:`, or say `shares: true`",
        ),
        (Some(true), false) | (Some(false), true) | (None, _) => {}
    }
}

fn set<T>(fields: &Fields<'_>, key: &str, report: &mut Report<'_>) -> BTreeSet<T>
where
    T: std::str::FromStr + Ord,
    T::Err: std::fmt::Display,
{
    fields.optional(key, report, Field::set).unwrap_or_default()
}

fn flag(fields: &Fields<'_>, key: &str, report: &mut Report<'_>) -> bool {
    fields.optional(key, report, Field::flag).unwrap_or(false)
}

fn days(fields: &Fields<'_>, key: &str, report: &mut Report<'_>) -> Option<u32> {
    fields.optional(key, report, |f, r| f.count(MOST_DAYS, r))
}

fn bases() -> String {
    LegalBasis::ALL.map(LegalBasis::as_str).join(", ")
}
