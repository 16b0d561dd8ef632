//! `POST /v1/{track,identify,page,screen,group,alias,batch}`: what the SDKs of Segment and
//! RudderStack send.
//!
//! The body is parsed by its bytes whatever its content type. A batch is `{"batch": [item, …],
//! "sentAt": …, "context": …}` whose items carry `type`; the other routes take one item. `userId` and
//! `anonymousId` may be numbers; null and empty are absent; an item needs one of them. `messageId` is
//! opaque and shorter than 100 characters; without one a new one is made.
//!
//! | call | becomes |
//! |---|---|
//! | `track` | behaviour of that name. `properties.revenue`, `currency`, `quantity` and `product` (or `product_id`) are fields of their own; properties declared sensitive for the source are sealed apart; direct identifiers among the properties are left out |
//! | `track` named `Subscription Started`, `Subscription Updated`, `Subscription Ended` | a subscription change (server key) from `subscription` or `subscription_id`, `plan`, `status`, `started_at`, `renews_at`, `ends_at`, `amount`, `currency`; and the same event as behaviour, whose message id has `/behaviour` behind it |
//! | `track` named `Segment Consent Preference Updated` | decisions: each category of the source's `consent_categories` that `context.consent.categoryPreferences` does not set to true is withdrawn; one that is true is a grant, checked like every grant, its notice, act and so on taken from `properties` |
//! | `page`, `screen` | behaviour named `Page Viewed` or `Screen Viewed`, with `name` and `category` among the properties |
//! | `identify` | traits. Those declared in traits.yaml are checked against their type and go to the profile or the sensitive block; the source's identifiers (and `email`, `phone`, `openid`) go to the identity block; others are left out with a warning. `null` deletes a trait |
//! | `group` | membership in the account `groupId`, described by the traits the source declares; `traits.left: true` ends it |
//! | `alias` | a link of `userId` and `previousId` (a known user id, or else an anonymous one) |
//!
//! Under a server key a call with both ids links them (once). A browser's key may record behaviour,
//! traits and memberships of people known by `anonymousId` only; for known people, and for `alias`,
//! it gets `server_key_required`. `context` is used for `traits` and `consent` only, and not kept:
//! addresses and devices are personal information that nobody declared a purpose for (art. 6).
//!
//! **Clock.** `base = timestamp ?? originalTimestamp ?? received`; `skew = received − sentAt` (of the
//! item, else of the batch; none without); the event time is `base + skew`, at the latest the time of
//! receipt. What the sender wrote is kept beside it.
//!
//! **Sec-GPC.** A browser's call with the signal refuses the source's `gpc_purposes` for the
//! `anonymousId`. Its absence says nothing.

mod behaviour;
mod body;
mod group;
mod identify;
mod preferences;
mod subscription;
mod times;

pub(crate) use body::Body;

use assent_event::{Behaviour, ConsentDecision, Identifier};
use serde_json::Value;

use crate::consent::event_too_large;
use crate::outcome::{Code, Rejected, Warning};
use crate::planned::{Context, Item, ItemTimes, Planned, Reading, Say};
use crate::text::{self, Object};

/// Which call a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Something somebody did.
    Track,
    /// What somebody is like.
    Identify,
    /// A page seen.
    Page,
    /// A screen of an app seen.
    Screen,
    /// A membership in an account.
    Group,
    /// Two ids of one person.
    Alias,
    /// Many of them.
    Batch,
}

impl Route {
    /// The route of this name, such as `track`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "track" => Self::Track,
            "identify" => Self::Identify,
            "page" => Self::Page,
            "screen" => Self::Screen,
            "group" => Self::Group,
            "alias" => Self::Alias,
            "batch" => Self::Batch,
            _ => return None,
        })
    }
}

/// What a batch says for all of its items.
#[derive(Clone, Copy, Default)]
pub(crate) struct Shared<'b> {
    pub(crate) sent_at: Option<&'b Value>,
    pub(crate) context: Option<&'b Object>,
}

/// One call about to be read.
pub(crate) struct Call<'c> {
    cx: &'c Context<'c>,
    object: &'c Object,
    shared: Shared<'c>,
    warnings: Vec<Warning>,
    times: ItemTimes,
    user: Option<Identifier>,
    anonymous: Option<Identifier>,
    /// Named by an import instead of by the two ids.
    named: Option<Identifier>,
    /// Whether the call itself is a decision.
    decides: bool,
}

/// Reads one item. `route` is the call it was sent to, `about` whom an import names.
pub(crate) fn read(
    cx: &Context<'_>,
    route: Route,
    value: &Value,
    shared: Shared<'_>,
    about: Option<Identifier>,
) -> Reading {
    let Some(object) = value.as_object() else {
        return Err(Rejected::new(
            Code::NotAnObject,
            "",
            "an event is a JSON object",
            "send what the SDK's call makes",
        ));
    };
    if text::weight(value) > cx.limits.event_bytes {
        return Err(event_too_large(cx));
    }
    let route = route_of(route, object)?;
    let mut call = Call::open(cx, object, shared, about)?;
    let mut planned = match route {
        Route::Track => call.track()?,
        Route::Page => call.viewed("Page Viewed")?,
        Route::Screen => call.viewed("Screen Viewed")?,
        Route::Identify => call.identify()?,
        Route::Group => call.group()?,
        Route::Alias => call.alias()?,
        Route::Batch => return Err(unknown_type()),
    };
    planned.extend(call.link());
    planned.extend(call.refused_by_signal());
    Ok(Item {
        message_id: text::message_id(object, "messageId")?,
        times: call.times,
        planned,
        warnings: call.warnings,
        compare_content: call.decides,
    })
}

fn route_of(route: Route, object: &Object) -> Result<Route, Rejected> {
    match route {
        Route::Batch => object
            .get("type")
            .and_then(Value::as_str)
            .and_then(Route::named)
            .ok_or_else(unknown_type),
        Route::Track
        | Route::Identify
        | Route::Page
        | Route::Screen
        | Route::Group
        | Route::Alias => Ok(route),
    }
}

fn unknown_type() -> Rejected {
    Rejected::new(
        Code::UnknownType,
        "/type",
        "the type is none of the calls",
        "write track, identify, page, screen, group or alias",
    )
}

impl<'c> Call<'c> {
    fn open(
        cx: &'c Context<'c>,
        object: &'c Object,
        shared: Shared<'c>,
        named: Option<Identifier>,
    ) -> Result<Self, Rejected> {
        let namespaces = &cx.source.namespaces;
        let id = |field, namespace: &assent_consent::Namespace| {
            text::optional(object, field).map(|value| {
                value.map(|value| Identifier {
                    namespace: namespace.clone(),
                    value,
                })
            })
        };
        let user = id("userId", &namespaces.user_id)?;
        let anonymous = id("anonymousId", &namespaces.anonymous_id)?;
        if user.is_none() && anonymous.is_none() && named.is_none() {
            return Err(Rejected::new(
                Code::NoUserAnonId,
                "",
                "the event has neither userId nor anonymousId",
                "send one of them",
            ));
        }
        let mut warnings = Vec::new();
        let times = times::read(cx, object, shared.sent_at, &mut warnings)?;
        Ok(Self {
            cx,
            object,
            shared,
            warnings,
            times,
            user,
            anonymous,
            named,
            decides: false,
        })
    }

    /// Whom the call is about.
    fn about(&self) -> Identifier {
        self.named
            .as_ref()
            .or(self.user.as_ref())
            .or(self.anonymous.as_ref())
            .expect("a call names somebody, or it was refused when it was opened")
            .clone()
    }

    /// Whether the source may say what the person is, not only what the person did.
    fn may_describe(&self) -> bool {
        self.cx.server() || (self.user.is_none() && self.named.is_none())
    }

    fn must_describe(&self, what: &str) -> Result<(), Rejected> {
        if self.may_describe() {
            return Ok(());
        }
        Err(Rejected::new(
            Code::ServerKeyRequired,
            "/userId",
            format!(
                "a browser's key cannot record {what} of a known person: everybody can read that key"
            ),
            "send it from a service, with a server key",
        ))
    }

    fn track(&mut self) -> Result<Vec<Planned>, Rejected> {
        let name = text::required(self.object, "event", "name what was done")?;
        if name == preferences::EVENT {
            self.decides = true;
            return self.preferences();
        }
        let behaviour = self.behaviour(&name, &[]);
        let Some(stage) = subscription::Stage::named(&name) else {
            return Ok(vec![Planned::first(self.about(), behaviour)]);
        };
        if !self.may_describe() {
            self.warnings.push(Warning::new(
                crate::WarningCode::ServerKeyRequired,
                "/event",
                "recorded as behaviour only; a subscription changes by a server key",
            ));
            return Ok(vec![Planned::first(self.about(), behaviour)]);
        }
        let change = self.subscription(stage)?;
        Ok(vec![
            Planned::first(self.about(), change),
            Planned::further(self.about(), "/behaviour", behaviour),
        ])
    }

    fn viewed(&mut self, name: &str) -> Result<Vec<Planned>, Rejected> {
        let behaviour: Behaviour = self.behaviour(name, &["name", "category"]);
        Ok(vec![Planned::first(self.about(), behaviour)])
    }

    fn alias(&mut self) -> Result<Vec<Planned>, Rejected> {
        if !self.cx.server() {
            return Err(Rejected::new(
                Code::ServerKeyRequired,
                "",
                "a browser's key cannot link people",
                "call alias from a service, with a server key",
            ));
        }
        let user = text::required(self.object, "userId", "send the person's present id")?;
        let previous = text::required(self.object, "previousId", "send the person's former id")?;
        let namespaces = &self.cx.source.namespaces;
        let about = Identifier {
            namespace: namespaces.user_id.clone(),
            value: user,
        };
        let known = Identifier {
            namespace: namespaces.user_id.clone(),
            value: previous.clone(),
        };
        let anonymous = Identifier {
            namespace: namespaces.anonymous_id.clone(),
            value: previous,
        };
        if about == known || about == anonymous {
            return Err(Rejected::new(
                Code::FieldInvalid,
                "/previousId",
                "it is the same as userId",
                "send the former id",
            ));
        }
        let link = Say::Link {
            other: anonymous,
            or: Some(known),
            linked: true,
        };
        Ok(vec![Planned::first(about, link)])
    }

    /// Both ids of one call belong to one person, if a service says so.
    fn link(&self) -> Option<Planned> {
        if !self.cx.server() || self.named.is_some() {
            return None;
        }
        let (user, anonymous) = (self.user.as_ref()?, self.anonymous.as_ref()?);
        if user == anonymous {
            return None;
        }
        let link = Say::Link {
            other: anonymous.clone(),
            or: None,
            linked: true,
        };
        Some(Planned::further(user.clone(), "/link", link).once())
    }

    /// What `Sec-GPC: 1` refuses.
    fn refused_by_signal(&self) -> Vec<Planned> {
        let Some(anonymous) = self.anonymous.as_ref().filter(|_| self.cx.gpc) else {
            return Vec::new();
        };
        if self.cx.server() {
            return Vec::new();
        }
        self.cx
            .source
            .gpc_purposes
            .iter()
            .map(|purpose| {
                let mut refusal = ConsentDecision::of("refused", Some(purpose.as_str().to_owned()))
                    .act("sec_gpc")
                    .unauthenticated();
                refusal.clear.form = "general".to_owned();
                let suffix = format!("/gpc/{purpose}");
                Planned::further(anonymous.clone(), suffix, refusal).once()
            })
            .collect()
    }

    /// A field of `context`, the item's before the batch's.
    fn context(&self, name: &str) -> Option<&'c Value> {
        let own =
            text::object(self.object, "context").and_then(|context| text::field(context, name));
        own.or_else(|| {
            self.shared
                .context
                .and_then(|context| text::field(context, name))
        })
    }
}
