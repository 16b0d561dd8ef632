//! What the consent stamp on an event denies: it narrows that event, and says nothing of the person.

use std::collections::BTreeSet;

use assent_consent::PurposeId;
use serde_json::Value;

use super::Call;
use crate::outcome::{Warning, WarningCode};
use crate::text::{self, Object};

/// The stamp says something, but not what.
struct Unreadable;

impl Call<'_> {
    /// The purposes of the source's banner that the stamps on the call deny. What cannot be read denies all of
    /// them (I5); no stamp denies none.
    pub(super) fn denied_by_stamp(&mut self) -> BTreeSet<PurposeId> {
        let of_banner = &self.cx.source.consent_categories;
        let segment = self.context("consent").map(preferences);
        let rudder = self.context("consentManagement").map(consent_ids);
        let mut denied = BTreeSet::new();
        for stamp in [segment, rudder].into_iter().flatten() {
            match stamp {
                Ok(allows) => {
                    let of_stamp = of_banner
                        .iter()
                        .filter(|(category, _)| !allows.permits(category));
                    denied.extend(of_stamp.map(|(_, purpose)| purpose.clone()));
                }
                Err(Unreadable) => {
                    self.warnings.push(Warning::new(
                        WarningCode::LimitWidened,
                        "/context",
                        "the consent stamp could not be read; taken to deny every category of the banner",
                    ));
                    denied.extend(of_banner.values().cloned());
                }
            }
        }
        denied
    }
}

/// What a stamp says of the categories of a banner.
enum Stamp<'s> {
    /// Nothing.
    Silent,
    /// Segment's: what is missing is denied.
    Preferences(&'s Object),
    /// RudderStack's: whatever is allowed, if that is listed, less what is denied.
    Ids {
        allowed: Option<Vec<&'s str>>,
        denied: Vec<&'s str>,
    },
}

impl Stamp<'_> {
    fn permits(&self, category: &str) -> bool {
        match self {
            Self::Silent => true,
            Self::Preferences(preferences) => preferences.get(category) == Some(&Value::Bool(true)),
            Self::Ids { allowed, denied } => {
                let is_listed = allowed.as_ref().is_none_or(|ids| ids.contains(&category));
                is_listed && !denied.contains(&category)
            }
        }
    }
}

/// Reads Segment's `context.consent`.
fn preferences(consent: &Value) -> Result<Stamp<'_>, Unreadable> {
    let consent = consent.as_object().ok_or(Unreadable)?;
    match text::field(consent, "categoryPreferences") {
        None => Ok(Stamp::Silent),
        Some(preferences) => preferences
            .as_object()
            .map(Stamp::Preferences)
            .ok_or(Unreadable),
    }
}

/// Reads RudderStack's `context.consentManagement`. Its `resolutionStrategy` is about destinations that need
/// several ids; a purpose that several categories stand for needs each of them.
fn consent_ids(management: &Value) -> Result<Stamp<'_>, Unreadable> {
    let management = management.as_object().ok_or(Unreadable)?;
    let allowed = ids(management, "allowedConsentIds")?;
    let denied = ids(management, "deniedConsentIds")?;
    Ok(match (allowed, denied) {
        (None, None) => Stamp::Silent,
        (allowed, denied) => Stamp::Ids {
            allowed,
            denied: denied.unwrap_or_default(),
        },
    })
}

fn ids<'s>(management: &'s Object, name: &str) -> Result<Option<Vec<&'s str>>, Unreadable> {
    let Some(value) = text::field(management, name) else {
        return Ok(None);
    };
    let list = value.as_array().ok_or(Unreadable)?;
    let ids: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
    ids.map(Some).ok_or(Unreadable)
}
