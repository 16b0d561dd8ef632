//! Changes of a subscription, told by three events.

use assent_consent::Timestamp;
use assent_event::{SubscriptionChange, SubscriptionChangeProfile};
use serde_json::Value;

use super::Call;
use crate::outcome::{Code, Rejected};
use crate::text::{self, Object};

/// Which of the three events it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    Started,
    Updated,
    Ended,
}

impl Stage {
    pub(super) fn named(event: &str) -> Option<Self> {
        Some(match event {
            "Subscription Started" => Self::Started,
            "Subscription Updated" => Self::Updated,
            "Subscription Ended" => Self::Ended,
            _ => return None,
        })
    }
}

impl Call<'_> {
    pub(super) fn subscription(&self, stage: Stage) -> Result<SubscriptionChange, Rejected> {
        let none = Object::new();
        let properties = text::object(self.object, "properties").unwrap_or(&none);
        let place = |error: Rejected| error.within("/properties");
        let of = |name| text::optional(properties, name).map_err(place);
        let time = |name| text::time(properties, name).map_err(place);
        let id = match of("subscription")? {
            Some(id) => Some(id),
            None => of("subscription_id")?,
        };
        let id = id.ok_or_else(|| {
            Rejected::new(
                Code::FieldMissing,
                "/properties/subscription_id",
                "the subscription is not named",
                "send properties.subscription_id",
            )
        })?;
        let happened = self.times.event.unwrap_or(self.cx.now).min(self.cx.now);
        let or_now = |at: Option<Timestamp>| at.or(Some(happened));
        let (status, started_at, ends_at) = match stage {
            Stage::Started => (
                Some("active"),
                or_now(time("started_at")?),
                time("ends_at")?,
            ),
            Stage::Updated => (None, time("started_at")?, time("ends_at")?),
            Stage::Ended => (Some("ended"), time("started_at")?, or_now(time("ends_at")?)),
        };
        Ok(SubscriptionChange::from(SubscriptionChangeProfile {
            subscription: id,
            plan: of("plan")?,
            status: of("status")?.or(status.map(str::to_owned)),
            started_at,
            renews_at: time("renews_at")?,
            ends_at,
            amount: amount(properties)?,
            currency: of("currency")?,
        }))
    }
}

fn amount(properties: &Object) -> Result<Option<f64>, Rejected> {
    match text::field(properties, "amount") {
        None => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(value) => text::number(value).map(Some).ok_or_else(|| {
            Rejected::new(
                Code::FieldInvalid,
                "/properties/amount",
                "amount is not a number",
                "send a JSON number",
            )
        }),
    }
}
