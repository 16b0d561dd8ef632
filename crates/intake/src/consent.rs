//! `POST /v1/consents`: decisions, and the other facts that bear on a verdict.
//!
//! The body is one object or an array of them. An object with `fact` states a fact, every other one
//! is a decision.
//!
//! # A decision
//!
//! ```json
//! {
//!   "subject": {"customer": "42"},
//!   "purpose": "email_marketing",
//!   "state": "granted",
//!   "notice": {"id": "membership_terms", "version": 3},
//!   "act": "checkbox_ticked",
//!   "event_time": "2026-03-01T16:00:00+08:00",
//!   "message_id": "c-8812"
//! }
//! ```
//!
//! | field | meaning | a grant | a refusal or withdrawal |
//! |---|---|---|---|
//! | `subject` | the person: `{namespace: value, …}`, or a list of such; several are one decision recorded for each (rule R1) | needed; more than one only if `authenticated` | needed, as nobody could be protected otherwise |
//! | `identifiers` | the same as a list of `{"namespace": …, "value": …}` | | |
//! | `state` | `granted`, `refused`, `withdrawn` | | `revoked`, `unsubscribed`, `denied`, `declined`, `objected`, `opt_out` are understood; anything else but an attempt at a grant is recorded as unreadable, which restricts |
//! | `purpose` | id of a purpose, or `"all"` | a purpose of the programme | missing, unknown or unreadable: all purposes |
//! | `channel` | only this channel | stated by the notice | unknown to the purpose or unreadable: every channel |
//! | `recipient` | only this recipient (art. 23) | stated by the notice | unknown or unreadable: every recipient |
//! | `categories` | list of data categories; sensitive ones must be named (art. 29) | stated by the notice | one unknown or unreadable: all of them |
//! | `personalisation` | `false` on a restriction: only the personalisation ends (art. 24); on a grant: granted without it | boolean | not a boolean, or true: the whole purpose |
//! | `notice` | `{"id": …, "version": …}` or `"id@version"`: what was shown | needed, published, in force, listing the purpose | optional |
//! | `form` | `general` (default), `separate`, `written`, `guardian` | | unreadable: `general` |
//! | `act` | what the person did | needed; not `pre_ticked`, `silence`, `browsing`, `inferred`, `bundled_terms` (art. 14) | optional |
//! | `indication` | id of that one act; one act cannot be a separate consent and anything else | needed when separate or written | optional |
//! | `evidence` | artefact, or a reference to one: a text or any JSON | needed unless the person acted | left out if too long |
//! | `actor` | `subject` (default), `guardian`, `agent`, `system` | | unreadable: `system` |
//! | `guardian` | `{namespace: value}` of the guardian | needed when the actor is one | |
//! | `authenticated` | whether the person was | default false | default false |
//! | `expires_at` | RFC 3339, exclusive | after `event_time` | ignored: a restriction does not expire |
//! | `event_time` | RFC 3339; default and latest: when it is received | readable | unreadable: when it is received |
//! | `message_id` | less than 100 characters; default: a new one | readable | unreadable: a new one |
//! | `recorded_by`, `collection_point`, `language`, `agent` | further evidence, texts | | |
//!
//! A grant with any field not in this table is rejected: the field might have been meant to limit
//! it. In a restriction such a field is ignored with a warning. Grants need a server key.
//! The decisions of one body are received in its order; where grant and restriction tie, the
//! restriction wins (I6).
//!
//! # A fact
//!
//! `{"subject": …, "fact": …, …}` with a server key; `event_time`, `message_id`, `reason` and
//! `recorded_by` are optional with each.
//!
//! | `fact` | further fields |
//! |---|---|
//! | `contract_started` | `contract` (an opaque reference), `purpose` (one that rests on a contract; default: all of them), `starts_at` (default: `event_time`) |
//! | `contract_ended` | `contract`, `ends_at` (default: `event_time`) |
//! | `birth_date` | `birth_date` (`YYYY-MM-DD`) |
//! | `guardianship_started`, `guardianship_ended` | `guardian` (`{namespace: value}`) |
//! | `restricted` | `purpose` (missing or unknown: all) |
//! | `restriction_lifted` | `purpose` (missing: all) |
//! | `linked`, `unlinked` | `other` (`{namespace: value}`): the two are one person, or are not |
//! | `public_source` | `url`: where the public information was found (art. 27) |

mod decision;
mod fact;
mod grant;
mod restriction;
mod scope;
mod subject;

pub(crate) use grant::read as read_grant;
pub(crate) use subject::RESERVED_NAMESPACE;

use serde_json::Value;

use crate::outcome::{Code, Rejected};
use crate::planned::{Context, Reading};
use crate::text;
use decision::Stated;

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
        Stated::Missing if fact && too_large => Err(event_too_large(cx)),
        Stated::Missing if fact => fact::read(cx, object),
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
