//! Grants: checked on entry against the notice that was shown (PIPL art. 14, 17, 23, 29).
//!
//! A grant that would count for nothing is not stored as if it counted: it is rejected with the
//! reason, so that whoever asks for consent learns of it the same day.

use assent_consent::{
    Act, Category, Channel, ConsentForm, Notice, NoticeId, NoticeRef, PurposeId, RecipientId,
    Timestamp,
};
use assent_event::{ConsentDecision, Identifier};
use serde_json::Value;

use super::decision::{
    AGENT, FIELDS, most_identifiers, recognisable, time_of_what_widens, with_evidence,
};
use super::scope::Scope;
use super::subject;
use crate::outcome::{Code, Rejected, Warning, WarningCode};
use crate::planned::{Context, Item, ItemTimes, Planned, Reading, Said, Say};
use crate::text::{self, Object};

pub(crate) fn read(cx: &Context<'_>, object: &Object) -> Reading {
    if !cx.server() {
        return Err(Rejected::new(
            Code::ServerKeyRequired,
            "/state",
            "a browser's key cannot record a grant: everybody can read that key",
            "record grants from a service, with a server key",
        ));
    }
    only_known_fields(object)?;
    let authenticated = boolean(object, "authenticated")?.unwrap_or(false);
    let subjects = subjects(cx, object, authenticated)?;
    let purpose = purpose(cx, object)?;
    let event_time = time_of_what_widens(cx, object)?;
    let at = event_time.unwrap_or(cx.now).min(cx.now);
    let notice = notice(cx, object, at)?;
    let scope = stated_scope(cx, notice, &purpose)?;
    let by = Author::read(cx, object)?;
    let form = form(object, &by)?;
    let expires_at = expires_at(object, at)?;

    let mut decision = ConsentDecision::granted(purpose.as_str())
        .notice(notice.id.as_str(), notice.version)
        .form(form.as_str())
        .act(act(object)?);
    decision.clear.channel = within(object, "channel", &scope.channels, Channel::parse)?;
    decision.clear.recipient = within(object, "recipient", &scope.recipients, RecipientId::parse)?;
    decision.clear.categories = categories(object, &scope)?;
    decision.clear.personalisation = boolean(object, "personalisation")?;
    decision.clear.actor = by.name().to_owned();
    decision.clear.authenticated = authenticated;
    decision.clear.expires_at = expires_at;
    let decision = with_evidence(decision, object, &cx.source.id);
    by.check_evidence(&decision)?;

    let message_id = recognisable(object, event_time)?;
    let warnings = unknown_namespaces(cx, &subjects);
    let planned = subjects
        .into_iter()
        .map(|about| Planned::first(about, by.say(&decision)))
        .collect();
    Ok(Item {
        message_id,
        times: ItemTimes::told(event_time),
        planned,
        warnings,
        said: Said::Stated,
    })
}

fn only_known_fields(object: &Object) -> Result<(), Rejected> {
    let known = |name: &String| FIELDS.contains(&name.as_str()) || name == AGENT;
    if object.keys().all(known) {
        return Ok(());
    }
    Err(Rejected::new(
        Code::FieldUnknown,
        "",
        "the grant has a field that means nothing; it may have been meant to limit the grant",
        format!("known fields are {}, {AGENT}", FIELDS.join(", ")),
    ))
}

fn subjects(
    cx: &Context<'_>,
    object: &Object,
    authenticated: bool,
) -> Result<Vec<Identifier>, Rejected> {
    let named = subject::read(cx, object);
    if named.identifiers.is_empty() || named.unreadable > 0 {
        return Err(subject::nobody());
    }
    let most = most_identifiers(cx);
    if named.identifiers.len() > most {
        return Err(Rejected::new(
            Code::FieldInvalid,
            "/subject",
            "too many identifiers for one person",
            format!("send at most {most}"),
        ));
    }
    if named.identifiers.len() > 1 && !authenticated {
        return Err(Rejected::new(
            Code::NotAuthenticated,
            "/authenticated",
            "a grant for several identifiers needs a person who was authenticated: a grant does \
             not spread to identifiers that may be somebody else's",
            "authenticate the person, or send the one identifier the person used",
        ));
    }
    Ok(named.identifiers)
}

fn unknown_namespaces(cx: &Context<'_>, subjects: &[Identifier]) -> Vec<Warning> {
    if subjects
        .iter()
        .all(|id| subject::is_known(cx.registry, &id.namespace))
    {
        return Vec::new();
    }
    vec![Warning::new(
        WarningCode::NamespaceUnknown,
        "/subject",
        "no source writes identifiers of this namespace; check its name",
    )]
}

fn purpose(cx: &Context<'_>, object: &Object) -> Result<PurposeId, Rejected> {
    let name = text::required(object, "purpose", "name one purpose of the programme")?;
    if name == "all" {
        return Err(Rejected::new(
            Code::GrantOfAll,
            "/purpose",
            "consent is given for a purpose, never for all of them at once",
            "send one grant for each purpose the person agreed to",
        ));
    }
    known_purpose(cx, &name)
}

/// The purpose of this name.
pub(super) fn known_purpose(cx: &Context<'_>, name: &str) -> Result<PurposeId, Rejected> {
    let id = PurposeId::parse(name).ok();
    id.filter(|id| cx.registry.purpose(id).is_some())
        .ok_or_else(|| {
            let known: Vec<&str> = cx
                .registry
                .consent()
                .purposes()
                .map(|purpose| purpose.id.as_str())
                .collect();
            Rejected::new(
                Code::UnknownPurpose,
                "/purpose",
                "the programme has no such purpose",
                format!("known purposes are {}", known.join(", ")),
            )
        })
}

/// Reads `{"id": …, "version": …}` or `"id@version"`.
pub(super) fn notice_ref(value: &Value) -> Option<NoticeRef> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Object(fields) => Some(NoticeRef {
            id: NoticeId::parse(fields.get("id")?.as_str()?).ok()?,
            version: u32::try_from(text::integer(fields.get("version")?)?).ok()?,
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

fn notice<'r>(cx: &Context<'r>, object: &Object, at: Timestamp) -> Result<&'r Notice, Rejected> {
    let Some(value) = text::field(object, "notice") else {
        return Err(Rejected::new(
            Code::NoticeMissing,
            "/notice",
            "a grant names the notice that the person was shown",
            "send notice: {\"id\": \"…\", \"version\": …}",
        ));
    };
    let registry = cx.registry.consent();
    let reference = notice_ref(value);
    let Some(notice) = reference.as_ref().and_then(|found| registry.notice(found)) else {
        let known: Vec<String> = registry
            .notices()
            .map(|notice| notice.reference().to_string())
            .collect();
        return Err(Rejected::new(
            Code::NoticeUnknown,
            "/notice",
            "no such notice version was published",
            format!("published are {}", known.join(", ")),
        ));
    };
    if notice.effective_from > at {
        return Err(Rejected::new(
            Code::NoticeNotEffective,
            "/notice",
            format!(
                "this notice version is in force from {} only",
                notice.effective_from
            ),
            "name the version that was in force when the person decided",
        ));
    }
    Ok(notice)
}

fn stated_scope(cx: &Context<'_>, notice: &Notice, purpose: &PurposeId) -> Result<Scope, Rejected> {
    Scope::of_notice(cx.registry.consent(), notice, purpose).ok_or_else(|| {
        let listed: Vec<&str> = notice.purposes.keys().map(PurposeId::as_str).collect();
        Rejected::new(
            Code::PurposeNotInNotice,
            "/purpose",
            format!("notice {} does not list this purpose", notice.reference()),
            format!(
                "it lists {}; publish a version that lists the purpose and show it first",
                listed.join(", ")
            ),
        )
    })
}

/// A limit that the notice has to state, too.
fn within<T: Ord + AsRefStr, E>(
    object: &Object,
    field: &'static str,
    stated: &std::collections::BTreeSet<T>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<String>, Rejected> {
    let Some(text) = text::optional(object, field)? else {
        return Ok(None);
    };
    match parse(&text) {
        Ok(value) if stated.contains(&value) => Ok(Some(text)),
        Ok(_) | Err(_) => Err(not_stated(field, stated)),
    }
}

fn not_stated<T: AsRefStr>(field: &str, stated: &std::collections::BTreeSet<T>) -> Rejected {
    let stated: Vec<&str> = stated.iter().map(AsRefStr::text).collect();
    let stated = if stated.is_empty() {
        "none".to_owned()
    } else {
        stated.join(", ")
    };
    Rejected::new(
        Code::ScopeNotInNotice,
        format!("/{field}"),
        format!("the notice does not state it for this purpose ({field})"),
        format!("the notice states: {stated}"),
    )
}

/// Names that can be listed in a message.
trait AsRefStr {
    fn text(&self) -> &str;
}

impl AsRefStr for Channel {
    fn text(&self) -> &str {
        self.as_str()
    }
}

impl AsRefStr for RecipientId {
    fn text(&self) -> &str {
        self.as_str()
    }
}

impl AsRefStr for Category {
    fn text(&self) -> &str {
        self.as_str()
    }
}

fn categories(object: &Object, scope: &Scope) -> Result<Option<Vec<String>>, Rejected> {
    let Some(value) = text::field(object, "categories") else {
        return Ok(None);
    };
    let read = value.as_array().and_then(|list| {
        list.iter()
            .map(|entry| {
                let category = Category::parse(entry.as_str()?).ok()?;
                let stated = scope.categories.contains(&category);
                stated.then(|| category.as_str().to_owned())
            })
            .collect::<Option<Vec<_>>>()
    });
    match read {
        Some(mut names) => {
            names.sort();
            names.dedup();
            Ok(Some(names))
        }
        None => Err(not_stated("categories", &scope.categories)),
    }
}

fn boolean(object: &Object, field: &'static str) -> Result<Option<bool>, Rejected> {
    match text::field(object, field) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(Rejected::new(
            Code::FieldInvalid,
            format!("/{field}"),
            format!("{field} is neither true nor false"),
            "send a JSON boolean",
        )),
    }
}

fn act(object: &Object) -> Result<String, Rejected> {
    let named = Act::EXPLICIT.join(", ");
    let fix = format!("say what the person did, as one of {named}");
    let act = text::required(object, "act", &fix)?;
    if Act::is_explicit(&act) {
        return Ok(act);
    }
    Err(Rejected::new(
        Code::ActNotExplicit,
        "/act",
        "it is none of the acts that indicate a will (PIPL art. 14)",
        format!("ask the person, and say what the person did, as one of {named}"),
    ))
}

fn form(object: &Object, by: &Author) -> Result<ConsentForm, Rejected> {
    let stated = text::optional(object, "form")?;
    let invalid =
        |fix: &str| Rejected::new(Code::FieldInvalid, "/form", "the form does not fit", fix);
    let form = match &stated {
        None => match by {
            Author::Guardian(_) => ConsentForm::Guardian,
            Author::Subject | Author::Agent | Author::System => ConsentForm::General,
        },
        Some(text) => text
            .parse()
            .map_err(|_| invalid("write general, separate, written or guardian"))?,
    };
    match (form, by) {
        (ConsentForm::Guardian, Author::Subject | Author::Agent | Author::System) => Err(invalid(
            "the guardian form needs actor guardian and the guardian's identifier",
        )),
        (ConsentForm::Separate | ConsentForm::Written, _)
            if text::optional(object, "indication")?.is_none() =>
        {
            Err(Rejected::new(
                Code::IndicationMissing,
                "/indication",
                "a separate or written consent rests on one act of its own (PIPL art. 29)",
                "send indication: the id of the one act by which the person agreed to this alone",
            ))
        }
        (
            ConsentForm::General
            | ConsentForm::Separate
            | ConsentForm::Written
            | ConsentForm::Guardian,
            _,
        ) => Ok(form),
    }
}

fn expires_at(object: &Object, at: Timestamp) -> Result<Option<Timestamp>, Rejected> {
    let expires = text::time(object, "expires_at")?;
    if expires.is_some_and(|expires| expires <= at) {
        return Err(Rejected::new(
            Code::TimeInvalid,
            "/expires_at",
            "the grant ends before it begins",
            "send a later expires_at, or leave it out",
        ));
    }
    Ok(expires)
}

/// Who made the decision.
enum Author {
    Subject,
    Guardian(Identifier),
    Agent,
    System,
}

impl Author {
    fn read(cx: &Context<'_>, object: &Object) -> Result<Self, Rejected> {
        match text::optional(object, "actor")?.as_deref() {
            None | Some("subject") => Ok(Self::Subject),
            Some("agent") => Ok(Self::Agent),
            Some("system") => Ok(Self::System),
            Some("guardian") => subject::one(cx, object, "guardian")
                .map(Self::Guardian)
                .map_err(|error| Rejected {
                    code: Code::GuardianMissing,
                    ..error
                }),
            Some(_) => Err(Rejected::new(
                Code::FieldInvalid,
                "/actor",
                "the actor is none that is known",
                "write subject, guardian, agent or system",
            )),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Guardian(_) => "guardian",
            Self::Agent => "agent",
            Self::System => "system",
        }
    }

    fn check_evidence(&self, decision: &ConsentDecision) -> Result<(), Rejected> {
        match self {
            Self::Subject | Self::Guardian(_) => Ok(()),
            Self::Agent | Self::System if decision.clear.has_evidence => Ok(()),
            Self::Agent | Self::System => Err(Rejected::new(
                Code::EvidenceMissing,
                "/evidence",
                "a grant that somebody else recorded needs an artefact that proves it",
                "send evidence, such as the digest of the scanned form or the id of a recording",
            )),
        }
    }

    fn say(&self, decision: &ConsentDecision) -> Say {
        match self {
            Self::Guardian(guardian) => Say::Guardian {
                decision: Box::new(decision.clone()),
                guardian: guardian.clone(),
            },
            Self::Subject | Self::Agent | Self::System => Say::from(decision.clone()),
        }
    }
}
