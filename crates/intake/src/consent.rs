#![doc = include_str!("../../../docs/consents-api.md")]

mod decision;
mod fact;
mod grant;
mod restriction;
mod scope;
mod subject;

pub(crate) use fact::widens as fact_widens;
pub(crate) use grant::read as read_grant;
pub(crate) use scope::Scope;
pub(crate) use subject::{RESERVED_NAMESPACE, is_known};

use serde_json::Value;

use crate::json::Sent;
use crate::outcome::{Code, Rejected};
use crate::planned::{Context, Reading};
use crate::text;
use decision::Stated;

/// Reads one object of the body as it was sent: a repeated name costs a grant its validity, and a
/// restriction nothing.
pub(crate) fn read_sent(cx: &Context<'_>, sent: &Sent) -> Reading {
    let object = sent.value.as_object().filter(|_| sent.repeated);
    let Some(object) = object else {
        return read(cx, &sent.value);
    };
    let too_large = text::weight(&sent.value) > cx.limits.event_bytes;
    match Stated::of_all(text::field(object, "state")) {
        stated @ (Stated::Refused | Stated::Withdrawn | Stated::Unreadable) => {
            restriction::read(cx, object, stated, too_large)
        }
        stated @ Stated::Missing => {
            let fact = text::field(object, "fact");
            match (fact, fact.and_then(fact::restricting)) {
                (None, _) => restriction::read(cx, object, stated, too_large),
                (Some(_), Some(fact)) => fact::read(cx, object, fact, too_large),
                (Some(_), None) => Err(field_repeated()),
            }
        }
        Stated::Granted | Stated::Misspelt => Err(field_repeated()),
    }
}

/// Whether a state is that of a grant.
pub(crate) fn is_grant(state: &Value) -> bool {
    Stated::of_all(Some(state)) == Stated::Granted
}

fn field_repeated() -> Rejected {
    Rejected::new(
        Code::FieldRepeated,
        "",
        "a name stands twice in the object, so nobody can tell what was meant",
        "write each name once",
    )
}

/// Reads one object of the body.
pub(crate) fn read(cx: &Context<'_>, value: &Value) -> Reading {
    let Some(object) = value.as_object() else {
        return Err(Rejected::new(
            Code::NotAnObject,
            "",
            "a decision is a JSON object",
            "send an object with subject, purpose and state, or an array of such objects",
        ));
    };
    let too_large = text::weight(value) > cx.limits.event_bytes;
    let stated = Stated::read(object);
    let fact = text::field(object, "fact").is_some();
    match stated {
        Stated::Missing if fact => {
            let fact = text::required(object, "fact", fact::FACTS)?;
            fact::read(cx, object, &fact, too_large)
        }
        Stated::Granted if too_large => Err(event_too_large(cx)),
        Stated::Granted => grant::read(cx, object),
        Stated::Misspelt => Err(Rejected::new(
            Code::StateInvalid,
            "/state",
            "the state is none of granted, refused, withdrawn",
            "write \"granted\" for a grant",
        )),
        Stated::Refused | Stated::Withdrawn | Stated::Unreadable | Stated::Missing => {
            restriction::read(cx, object, stated, too_large)
        }
    }
}

/// Refuses an item that is too long.
pub(crate) fn event_too_large(cx: &Context<'_>) -> Rejected {
    Rejected::new(
        Code::EventTooLarge,
        "",
        format!("the event has more than {} bytes", cx.limits.event_bytes),
        "send less with it; keep documents elsewhere and send a reference",
    )
}
