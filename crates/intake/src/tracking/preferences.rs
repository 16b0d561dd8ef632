//! The consent preferences of a banner, as Segment's SDKs report them.

use assent_event::ConsentDecision;
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

impl Call<'_> {
    pub(super) fn preferences(&mut self) -> Result<Vec<Planned>, Rejected> {
        let preferences = self
            .context("consent")
            .and_then(Value::as_object)
            .and_then(|consent| text::object(consent, "categoryPreferences"));
        let Some(preferences) = preferences else {
            return Err(Rejected::new(
                Code::PreferencesMissing,
                "/context/consent/categoryPreferences",
                "context.consent.categoryPreferences object is required",
                "send the categories of the banner with true or false",
            ));
        };
        let mut planned = Vec::new();
        let mut refused = None;
        for (category, purpose) in &self.cx.source.consent_categories {
            // What is missing counts as false.
            let granted = preferences.get(category) == Some(&Value::Bool(true));
            if granted {
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
            } else {
                let mut withdrawal =
                    ConsentDecision::of("withdrawn", Some(purpose.as_str().to_owned()))
                        .act("preference_centre");
                withdrawal.clear.authenticated = false;
                let suffix = format!("/{purpose}");
                planned.push(Planned::further(self.about(), suffix, withdrawal));
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
