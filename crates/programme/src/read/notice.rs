//! `notices/*.yaml`: one version of a notice a file.
//!
//! What a notice must say is judged by `Notice::deficiencies`; so an absent text is read as empty here
//! and reported there, with its article.

use std::collections::BTreeMap;

use assent_consent::{
    Calendar, Day, Handler, Notice, NoticeChange, NoticedPurpose, RecipientStatement,
    SensitiveStatement, Timestamp,
};

use crate::fields::{Field, Fields, Report};
use crate::yaml::Node;

const KEYS: &[&str] = &[
    "id",
    "version",
    "change",
    "effective_from",
    "handler",
    "rights",
    "purposes",
    "texts",
    "exemption",
];
const HANDLER_KEYS: &[&str] = &["name", "contact"];
const PURPOSE_KEYS: &[&str] = &[
    "method",
    "categories",
    "sensitive",
    "personalises",
    "channels",
    "recipients",
    "retention",
];
const SENSITIVE_KEYS: &[&str] = &["necessity", "impact"];
const RECIPIENT_KEYS: &[&str] = &["name", "contact", "purpose", "method", "categories"];

pub(super) fn read(node: &Node, calendar: Calendar, report: &mut Report<'_>) -> Option<Notice> {
    let fields = Fields::of(node, "a notice", KEYS, report)?;
    let id = fields
        .required("id", "add `id:` with the notice's name", report)
        .and_then(|f| f.parsed(report));
    let version = fields
        .required("version", "add `version:`, counted from 1", report)
        .and_then(|f| f.count(u32::MAX, report));
    let effective_from = fields
        .required(
            "effective_from",
            "add `effective_from:` with a day or an instant",
            report,
        )
        .and_then(|f| instant(f, calendar, report));
    let change = fields
        .required("change", "add `change:` with material or editorial", report)
        .and_then(|f| change(f, report));
    let handler = fields.optional("handler", report, handler);
    let rights = text(&fields, "rights", report);
    let purposes = fields.optional("purposes", report, |f, r| f.map(r, purpose));
    let texts = fields.optional("texts", report, |f, r| f.map(r, Field::text));
    let exemption = fields.optional("exemption", report, Field::text);
    Some(Notice {
        id: id?,
        version: version?,
        change: change?,
        effective_from: effective_from?,
        handler: handler.unwrap_or_else(|| Handler {
            name: String::new(),
            contact: String::new(),
        }),
        rights,
        purposes: purposes.unwrap_or_default(),
        texts: texts.unwrap_or_default(),
        exemption,
    })
}

fn text(fields: &Fields<'_>, key: &str, report: &mut Report<'_>) -> String {
    fields
        .optional(key, report, Field::text)
        .unwrap_or_default()
}

fn change(field: Field<'_>, report: &mut Report<'_>) -> Option<NoticeChange> {
    match field.text(report)?.as_str() {
        "material" => Some(NoticeChange::Material),
        "editorial" => Some(NoticeChange::Editorial),
        _ => {
            report.at(
                field.node.place,
                "`change` is neither material nor editorial",
                "write material if purpose, method or categories differ from the version before \
                 (art. 14), editorial otherwise",
            );
            None
        }
    }
}

/// An instant, or a day, which begins in the programme's calendar.
fn instant(field: Field<'_>, calendar: Calendar, report: &mut Report<'_>) -> Option<Timestamp> {
    let text = field.text(report)?;
    if let Ok(day) = Day::parse(&text) {
        return Some(calendar.start_of(day));
    }
    match Timestamp::parse_rfc3339(&text) {
        Ok(instant) => Some(instant),
        Err(_) => {
            report.at(
                field.node.place,
                format!("`{}` is neither a day nor an instant", field.key),
                "write a day such as 2026-03-01 or an instant such as 2026-03-01T08:00:00+08:00",
            );
            None
        }
    }
}

fn handler(field: Field<'_>, report: &mut Report<'_>) -> Option<Handler> {
    let fields = Fields::of(field.node, "a handler", HANDLER_KEYS, report)?;
    Some(Handler {
        name: text(&fields, "name", report),
        contact: text(&fields, "contact", report),
    })
}

fn purpose(field: Field<'_>, report: &mut Report<'_>) -> Option<NoticedPurpose> {
    let fields = Fields::of(field.node, "a purpose in a notice", PURPOSE_KEYS, report)?;
    Some(NoticedPurpose {
        method: text(&fields, "method", report),
        categories: fields
            .optional("categories", report, Field::set)
            .unwrap_or_default(),
        sensitive: map(&fields, "sensitive", report, sensitive),
        personalises: fields
            .optional("personalises", report, Field::flag)
            .unwrap_or(false),
        channels: fields
            .optional("channels", report, Field::set)
            .unwrap_or_default(),
        recipients: map(&fields, "recipients", report, recipient),
        retention: text(&fields, "retention", report),
    })
}

fn map<K, V>(
    fields: &Fields<'_>,
    key: &str,
    report: &mut Report<'_>,
    read: fn(Field<'_>, &mut Report<'_>) -> Option<V>,
) -> BTreeMap<K, V>
where
    K: std::str::FromStr + Ord,
    K::Err: std::fmt::Display,
{
    fields
        .optional(key, report, |f, r| f.map(r, read))
        .unwrap_or_default()
}

fn sensitive(field: Field<'_>, report: &mut Report<'_>) -> Option<SensitiveStatement> {
    let what = "a sensitive category in a notice";
    let fields = Fields::of(field.node, what, SENSITIVE_KEYS, report)?;
    Some(SensitiveStatement {
        necessity: text(&fields, "necessity", report),
        impact: text(&fields, "impact", report),
    })
}

fn recipient(field: Field<'_>, report: &mut Report<'_>) -> Option<RecipientStatement> {
    let fields = Fields::of(
        field.node,
        "a recipient in a notice",
        RECIPIENT_KEYS,
        report,
    )?;
    Some(RecipientStatement {
        name: text(&fields, "name", report),
        contact: text(&fields, "contact", report),
        purpose: text(&fields, "purpose", report),
        method: text(&fields, "method", report),
        categories: fields
            .optional("categories", report, Field::set)
            .unwrap_or_default(),
    })
}
