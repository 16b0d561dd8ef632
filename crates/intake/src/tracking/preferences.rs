//! The consent preferences of a banner, as Segment's SDKs report them.

use assent_event::{ConsentDecision, Identifier};
use serde_json::{Value, json};

use super::Call;
use crate::consent::read_grant;
use crate::outcome::{Code, Rejected, Warning, WarningCode};
use crate::planned::Planned;
use crate::text::{self, Object};

/// The reserved name of the event.
pub(super) const EVENT: &str = "Segment Consent Preference Updated";

/// What a grant may take from the properties of the event.
const OF_PROPERTIES: [&str; 7] = [
    "notice",
    "form",
    "act",
    "indication",
    "evidence",
    "authenticated",
    "language",
];

impl<'c> Call<'c> {
    pub(super) fn preferences(&mut self) -> Result<Vec<Planned>, Rejected> {
        let Some(preferences) = self.category_preferences() else {
            return Err(Rejected::new(
                Code::PreferencesMissing,
                "/context/consent/categoryPreferences",
                "context.consent.categoryPreferences object is required",
                "send the categories of the banner with true or false",
            ));
        };
        let mut planned = self.withdrawals(&self.about());
        let mut refused = None;
        let categories = &self.cx.source.consent_categories;
        for (_, purpose) in categories
            .iter()
            .filter(|(name, _)| is_true(preferences, name))
        {
            match self.preferred(purpose.as_str()) {
                Ok(grant) => planned.extend(grant),
                Err(rejected) => {
                    self.warnings.push(Warning::new(
                        WarningCode::GrantNotRecorded,
                        rejected.pointer.clone(),
                        format!("{}; {}", rejected.message, rejected.fix),
                    ));
                    refused.get_or_insert(rejected);
                }
            }
        }
        match (planned.is_empty(), refused) {
            (false, _) => Ok(planned),
            (true, Some(rejected)) => Err(rejected),
            (true, None) => Err(Rejected::new(
                Code::PreferencesMissing,
                "/context/consent/categoryPreferences",
                "the source declares no category of a consent banner",
                "declare consent_categories for the source",
            )),
        }
    }

    fn category_preferences(&self) -> Option<&'c Object> {
        let consent = self.context("consent")?.as_object()?;
        text::object(consent, "categoryPreferences")
    }

    /// What the preferences withdraw: each category of the source that they do not set to true. What
    /// is missing counts as false; where there are no preferences at all nothing was said.
    pub(super) fn withdrawals(&self, about: &Identifier) -> Vec<Planned> {
        let Some(preferences) = self.category_preferences() else {
            return Vec::new();
        };
        let categories = self.cx.source.consent_categories.iter();
        categories
            .filter(|(name, _)| !is_true(preferences, name))
            .map(|(_, purpose)| {
                let purpose = purpose.as_str();
                let withdrawal = ConsentDecision::withdrawn(purpose)
                    .act("preference_centre")
                    .unauthenticated();
                Planned::further(about.clone(), format!("/{purpose}"), withdrawal)
            })
            .collect()
    }

    /// The grant of one category, checked like every other.
    fn preferred(&self, purpose: &str) -> Result<Vec<Planned>, Rejected> {
        let about = self.about();
        let mut body = Object::new();
        body.insert(
            "subject".to_owned(),
            json!({ about.namespace.as_str(): about.value }),
        );
        body.insert("purpose".to_owned(), Value::from(purpose));
        body.insert("state".to_owned(), Value::from("granted"));
        if let Some(at) = self.times.of_permission() {
            body.insert("event_time".to_owned(), Value::from(at.to_string()));
        }
        if let Some(id) = text::field(self.object, "messageId") {
            body.insert("message_id".to_owned(), id.clone());
        }
        let properties = text::object(self.object, "properties");
        for name in OF_PROPERTIES {
            if let Some(value) = properties.and_then(|properties| text::field(properties, name)) {
                body.insert(name.to_owned(), value.clone());
            }
        }
        let mut grant = read_grant(self.cx, &body)?;
        for planned in &mut grant.planned {
            planned.suffix = format!("/{purpose}");
        }
        Ok(grant.planned)
    }
}

fn is_true(preferences: &Object, category: &str) -> bool {
    preferences.get(category) == Some(&Value::Bool(true))
}
