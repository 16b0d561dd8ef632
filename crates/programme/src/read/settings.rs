//! `settings.yaml`.

use assent_consent::{Calendar, LegalBasis};

use crate::fields::{Field, Fields, Report};
use crate::settings::Settings;
use crate::yaml::Node;

const KEYS: &[&str] = &[
    "calendar",
    "k",
    "deduplication_days",
    "phone_calling_code",
    "enabled_bases",
];

/// A k of one suppresses nothing.
const SMALLEST_K: u32 = 2;

pub(super) fn read(node: &Node, report: &mut Report<'_>) -> Settings {
    let mut settings = Settings::default();
    let Some(fields) = Fields::of(node, "settings", KEYS, report) else {
        return settings;
    };
    if let Some(calendar) = fields.optional("calendar", report, calendar) {
        settings.calendar = calendar;
    }
    if let Some(k) = fields.optional("k", report, k) {
        settings.k = k;
    }
    if let Some(days) = fields.optional("deduplication_days", report, |f, r| f.count(366, r)) {
        settings.deduplication_days = days;
    }
    if let Some(code) = fields.optional("phone_calling_code", report, |f, r| f.count(999, r)) {
        settings.phone_calling_code = code;
    }
    if let Some(bases) = fields.get("enabled_bases") {
        for item in bases.list(report).unwrap_or_default() {
            if let Some(basis) = enabled(item, report) {
                settings.enabled_bases.insert(basis);
            }
        }
    }
    settings
}

fn calendar(field: Field<'_>, report: &mut Report<'_>) -> Option<Calendar> {
    let name = field.text(report)?;
    Calendar::named(&name)
        .map_err(|error| report.error(field.node.place, &error))
        .ok()
}

fn k(field: Field<'_>, report: &mut Report<'_>) -> Option<u32> {
    let k = field.count(1_000_000, report)?;
    if k < SMALLEST_K {
        report.at(
            field.node.place,
            "a k of 1 suppresses nothing",
            "write 5, or another number from 2 up",
        );
        return None;
    }
    Some(k)
}

fn enabled(field: Field<'_>, report: &mut Report<'_>) -> Option<LegalBasis> {
    let basis = field.parsed(report)?;
    match basis {
        LegalBasis::Emergency | LegalBasis::PublicInterestNews => Some(basis),
        LegalBasis::Consent
        | LegalBasis::Contract
        | LegalBasis::LegalDuty
        | LegalBasis::PublicInformation
        | LegalBasis::OtherLaw => {
            report.at(
                field.node.place,
                format!("{basis} is always enabled"),
                "list only emergency and public_interest_news, which are off by default",
            );
            None
        }
    }
}
