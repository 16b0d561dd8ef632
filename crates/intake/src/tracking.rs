#![doc = include_str!("../../../docs/tracking-api.md")]

mod behaviour;
mod body;
mod group;
mod identify;
mod names;
mod preferences;
mod stamp;
mod subscription;
mod times;

pub(crate) use body::Body;
pub(crate) use names::Names;

use assent_consent::Namespace;
use assent_event::{Behaviour, ConsentDecision, Identifier};
use serde_json::Value;

use crate::consent::event_too_large;
use crate::outcome::{Code, Rejected, Warning};
use crate::planned::{Context, Item, ItemTimes, Often, Planned, Reading, Refused, Said, Say};
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

/// Whether intake itself reads something from events of this name: changes of a subscription, decisions.
pub(crate) fn is_read_by_intake(event: &str) -> bool {
    event == preferences::EVENT || subscription::Stage::named(event).is_some()
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
    people: People,
    /// Whether the call itself is a decision.
    decides: bool,
}

/// Whom a call names.
struct People {
    user: Option<Identifier>,
    anonymous: Option<Identifier>,
    /// Named by an import instead of by the two ids.
    named: Option<Identifier>,
}

/// Reads one item. `route` is the call it was sent to, `about` whom an import names.
pub(crate) fn read(
    cx: &Context<'_>,
    route: Route,
    value: &Value,
    shared: Shared<'_>,
    about: Option<Identifier>,
) -> Result<Item, Refused> {
    let Some(object) = value.as_object() else {
        return Err(Refused::from(Rejected::new(
            Code::NotAnObject,
            "",
            "an event is a JSON object",
            "send what the SDK's call makes",
        )));
    };
    let too_large = text::weight(value) > cx.limits.event_bytes;
    let whole = if too_large {
        Err(event_too_large(cx))
    } else {
        read_whole(cx, route, object, shared, about.clone())
    };
    whole.map_err(|why| {
        let call = Call::open(cx, object, shared, People::readable(cx, object, about));
        Refused::keeping(why, call.restrictions(route))
    })
}

fn read_whole(
    cx: &Context<'_>,
    route: Route,
    object: &Object,
    shared: Shared<'_>,
    about: Option<Identifier>,
) -> Reading {
    let route = route_of(route, object)?;
    let people = People::read(cx, object, about)?;
    let mut call = Call::open(cx, object, shared, people);
    call.times = times::read(cx, object, shared.sent_at, &mut call.warnings)?;
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
        said: if call.decides {
            Said::Preferences
        } else {
            Said::Call
        },
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

impl People {
    /// Whom a call names, all of it readable and somebody at least.
    fn read(
        cx: &Context<'_>,
        object: &Object,
        named: Option<Identifier>,
    ) -> Result<Self, Rejected> {
        let namespaces = &cx.source.namespaces;
        let people = Self {
            user: Self::id(cx, object, "userId", &namespaces.user_id)?,
            anonymous: Self::id(cx, object, "anonymousId", &namespaces.anonymous_id)?,
            named: Self::named(cx, named),
        };
        if people.first().is_none() {
            return Err(Rejected::new(
                Code::NoUserAnonId,
                "",
                "the event has neither userId nor anonymousId",
                "send one of them",
            ));
        }
        Ok(people)
    }

    /// Those of them who can be read.
    fn readable(cx: &Context<'_>, object: &Object, named: Option<Identifier>) -> Self {
        let namespaces = &cx.source.namespaces;
        let id = |field, namespace| Self::id(cx, object, field, namespace).unwrap_or(None);
        Self {
            user: id("userId", &namespaces.user_id),
            anonymous: id("anonymousId", &namespaces.anonymous_id),
            named: Self::named(cx, named),
        }
    }

    fn named(cx: &Context<'_>, named: Option<Identifier>) -> Option<Identifier> {
        named.and_then(|named| cx.identifier(&named.namespace, named.value))
    }

    fn id(
        cx: &Context<'_>,
        object: &Object,
        field: &str,
        namespace: &Namespace,
    ) -> Result<Option<Identifier>, Rejected> {
        let value = text::optional(object, field)?;
        Ok(value.and_then(|value| cx.identifier(namespace, value)))
    }

    /// Whom the call is about.
    fn first(&self) -> Option<&Identifier> {
        let ids = self.user.as_ref().or(self.anonymous.as_ref());
        self.named.as_ref().or(ids)
    }
}

impl<'c> Call<'c> {
    fn open(cx: &'c Context<'c>, object: &'c Object, shared: Shared<'c>, people: People) -> Self {
        Self {
            cx,
            object,
            shared,
            warnings: Vec::new(),
            times: ItemTimes::default(),
            people,
            decides: false,
        }
    }

    /// Whom the call is about.
    fn about(&self) -> Identifier {
        let first = self.people.first();
        first
            .expect("a call names somebody, or it was refused")
            .clone()
    }

    /// What restricts in a call that is refused.
    fn restrictions(&self, route: Route) -> Vec<Planned> {
        let is_track = route_of(route, self.object).is_ok_and(|route| route == Route::Track);
        let event = text::field(self.object, "event").and_then(text::plain);
        let withdrawn = match self.people.first() {
            Some(about) if is_track && event.as_deref() == Some(preferences::EVENT) => {
                self.withdrawals(about)
            }
            Some(_) | None => Vec::new(),
        };
        let mut kept = withdrawn;
        kept.extend(self.refused_by_signal());
        kept
    }

    /// Whether the source may say what the person is, not only what the person did.
    fn may_describe(&self) -> bool {
        self.cx.server() || (self.people.user.is_none() && self.people.named.is_none())
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
        let namespaces = &self.cx.source.namespaces;
        let id = |field, namespace, fix: &str| {
            let value = text::required(self.object, field, fix)?;
            let id = self.cx.identifier(namespace, value);
            id.ok_or_else(|| text::missing(field, fix))
        };
        let about = id(
            "userId",
            &namespaces.user_id,
            "send the person's present id",
        )?;
        let former = "send the person's former id";
        let known = id("previousId", &namespaces.user_id, former)?;
        let anonymous = id("previousId", &namespaces.anonymous_id, former)?;
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
        if !self.cx.server() || self.people.named.is_some() {
            return None;
        }
        let (user, anonymous) = (self.people.user.as_ref()?, self.people.anonymous.as_ref()?);
        if user == anonymous {
            return None;
        }
        let link = Say::Link {
            other: anonymous.clone(),
            or: None,
            linked: true,
        };
        Some(Planned::further(user.clone(), "/link", link).only(Often::WhileItStands))
    }

    /// What `Sec-GPC: 1` refuses.
    fn refused_by_signal(&self) -> Vec<Planned> {
        let Some(anonymous) = self.people.anonymous.as_ref().filter(|_| self.cx.gpc) else {
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
                Planned::further(anonymous.clone(), suffix, refusal).only(Often::InRequest)
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
