//! Refusals and withdrawals: recorded at their widest sensible reading, never rejected for a detail.
//!
//! A person who says no has said enough (PIPL art. 15: withdrawing must be easy). What a restriction
//! names in order to be narrower (a purpose, a channel, a recipient, categories, the personalisation)
//! counts only if the programme knows it; otherwise it would restrict nothing, silently. Then the
//! restriction holds without that limit and the sender is told.

use assent_consent::{Category, Channel, ConsentForm, NoticeRef, PurposeId, RecipientId};
use assent_event::ConsentDecision;
use serde_json::Value;

use super::decision::{
    AGENT, FIELDS, Stated, id_or_new, most_identifiers, time_or_receipt, with_evidence,
};
use super::scope::Scope;
use super::subject;
use crate::outcome::{Warning, WarningCode};
use crate::planned::{Context, Item, Planned, Reading, Said, Say};
use crate::text::{self, Object};

/// The state of a decision that could not be read.
const UNREADABLE: &str = "unreadable";

pub(super) fn read(cx: &Context<'_>, object: &Object, stated: Stated, too_large: bool) -> Reading {
    let mut named = subject::read(cx, object);
    if named.identifiers.is_empty() {
        return Err(subject::nobody());
    }
    let mut reader = Reader {
        cx,
        object,
        warnings: Vec::new(),
    };
    reader
        .warnings
        .extend(named.keep_at_most(most_identifiers(cx)));
    if named
        .identifiers
        .iter()
        .any(|id| !subject::is_known(cx.registry, &id.namespace))
    {
        reader.warn(
            WarningCode::NamespaceUnknown,
            "/subject",
            "no source writes identifiers of this namespace, so nobody may be meant; check its name",
        );
    }
    let decisions = reader.decisions(stated, too_large);
    let guardian = text::field(object, "guardian")
        .and_then(|_| subject::one(cx, object, "guardian").ok())
        .filter(|_| cx.server() && reader.actor() == "guardian");
    let times = time_or_receipt(object, &mut reader.warnings);
    let message_id = id_or_new(object, &mut reader.warnings);
    let say = |decision: &ConsentDecision| match &guardian {
        Some(guardian) => Say::Guardian {
            decision: Box::new(decision.clone()),
            guardian: guardian.clone(),
        },
        None => Say::from(decision.clone()),
    };
    let planned = named
        .identifiers
        .iter()
        .flat_map(|about| {
            decisions.iter().map(|(suffix, decision)| {
                Planned::further(about.clone(), suffix.as_str(), say(decision))
            })
        })
        .collect();
    Ok(Item {
        message_id,
        times,
        planned,
        warnings: reader.warnings,
        said: Said::Stated,
    })
}

struct Reader<'r> {
    cx: &'r Context<'r>,
    object: &'r Object,
    warnings: Vec<Warning>,
}

impl Reader<'_> {
    fn warn(&mut self, code: WarningCode, pointer: &str, message: &str) {
        self.warnings.push(Warning::new(code, pointer, message));
    }

    /// The decision, and what it takes to say all of it; each with what tells it apart. A channel that
    /// cannot be read may be any: besides the decision without it, every channel is refused, since on
    /// bases other than consent nothing else would reach the channel (rule R10).
    fn decisions(&mut self, stated: Stated, too_large: bool) -> Vec<(String, ConsentDecision)> {
        let purpose = self.purpose();
        let scope = Scope::of_purposes(self.cx.registry.consent(), purpose.as_ref());
        let decision = self.decision(stated, purpose, &scope, too_large);
        let clear = &decision.clear;
        let is_channel_lost =
            text::field(self.object, "channel").is_some() && clear.channel.is_none();
        let is_of_channels = clear.personalisation != Some(false) || clear.state == UNREADABLE;
        let mut decisions = vec![(String::new(), decision.clone())];
        if is_channel_lost && is_of_channels {
            decisions.extend(scope.channels.iter().map(|channel| {
                let refusal = decision.clone().channel(channel.as_str());
                (format!("/channel/{channel}"), refusal)
            }));
        }
        decisions
    }

    fn decision(
        &mut self,
        stated: Stated,
        purpose: Option<PurposeId>,
        scope: &Scope,
        too_large: bool,
    ) -> ConsentDecision {
        let state = match stated {
            Stated::Refused => "refused",
            Stated::Withdrawn => "withdrawn",
            Stated::Granted | Stated::Misspelt | Stated::Unreadable | Stated::Missing => {
                self.warn(
                    WarningCode::StateUnreadable,
                    "/state",
                    "the state could not be read; recorded as a restriction. Write granted, \
                     refused or withdrawn",
                );
                UNREADABLE
            }
        };
        let mut decision = ConsentDecision::of(state, purpose.map(|id| id.as_str().to_owned()));
        decision.clear.channel = self.limit("channel", |text| {
            Channel::parse(text).is_ok_and(|channel| scope.channels.contains(&channel))
        });
        decision.clear.recipient = self.limit("recipient", |text| {
            RecipientId::parse(text).is_ok_and(|recipient| scope.recipients.contains(&recipient))
        });
        decision.clear.categories = self.categories(scope);
        decision.clear.personalisation = self.personalisation(scope);
        if let Some(notice) = self.notice() {
            decision = decision.notice(notice.id.as_str(), notice.version);
        }
        decision.clear.form = self.form();
        decision.clear.act = text::field(self.object, "act")
            .and_then(text::plain)
            .unwrap_or_else(|| "unspecified".to_owned());
        decision.clear.actor = self.actor();
        decision.clear.authenticated = self.cx.server()
            && text::field(self.object, "authenticated") == Some(&Value::Bool(true));
        self.ignored();
        if too_large {
            self.warn(
                WarningCode::EvidenceDropped,
                "",
                "the decision is too long; it was recorded without its evidence",
            );
            return decision;
        }
        with_evidence(decision, self.object, &self.cx.source.id)
    }

    fn purpose(&mut self) -> Option<PurposeId> {
        let value = text::field(self.object, "purpose");
        if value.and_then(Value::as_str) == Some("all") {
            return None;
        }
        let known = value
            .and_then(Value::as_str)
            .and_then(|text| PurposeId::parse(text).ok())
            .filter(|id| self.cx.registry.purpose(id).is_some());
        if known.is_none() {
            self.warn(
                WarningCode::PurposeWidened,
                "/purpose",
                "the purpose is missing or none of the programme's; recorded for all purposes",
            );
        }
        known
    }

    fn limit(&mut self, field: &'static str, known: impl FnOnce(&str) -> bool) -> Option<String> {
        let value = text::field(self.object, field)?;
        match value.as_str().filter(|text| known(text)) {
            Some(text) => Some(text.to_owned()),
            None => {
                self.warn(
                    WarningCode::LimitWidened,
                    &format!("/{field}"),
                    "the purpose does not know it; recorded without this limit",
                );
                None
            }
        }
    }

    fn categories(&mut self, scope: &Scope) -> Option<Vec<String>> {
        let value = text::field(self.object, "categories")?;
        let read = value
            .as_array()
            .filter(|list| !list.is_empty())
            .and_then(|list| {
                list.iter()
                    .map(|entry| {
                        let category = Category::parse(entry.as_str()?).ok()?;
                        let known = scope.categories.contains(&category);
                        known.then(|| category.as_str().to_owned())
                    })
                    .collect::<Option<Vec<_>>>()
            });
        if read.is_none() {
            self.warn(
                WarningCode::LimitWidened,
                "/categories",
                "one of them could not be read; recorded for all categories",
            );
        }
        read
    }

    /// `false` ends only the personalisation, where there is any; everything else is the whole
    /// purpose.
    fn personalisation(&mut self, scope: &Scope) -> Option<bool> {
        match text::field(self.object, "personalisation")? {
            Value::Bool(false) if scope.personalises => Some(false),
            Value::Bool(false) => {
                self.warn(
                    WarningCode::LimitWidened,
                    "/personalisation",
                    "the purpose does not personalise, so the limit would leave nothing; recorded \
                     for the whole purpose",
                );
                None
            }
            Value::Bool(true)
            | Value::Null
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => {
                self.warn(
                    WarningCode::LimitWidened,
                    "/personalisation",
                    "only false limits a restriction to the personalisation; recorded for the \
                     whole purpose",
                );
                None
            }
        }
    }

    fn notice(&mut self) -> Option<NoticeRef> {
        let value = text::field(self.object, "notice")?;
        let read = super::grant::notice_ref(value);
        if read.is_none() {
            self.warn(WarningCode::FieldIgnored, "/notice", "it could not be read");
        }
        read
    }

    fn form(&mut self) -> String {
        let known = text::field(self.object, "form")
            .and_then(Value::as_str)
            .and_then(|text| text.parse::<ConsentForm>().ok());
        known.unwrap_or(ConsentForm::General).as_str().to_owned()
    }

    /// A browser speaks for the person only.
    fn actor(&self) -> String {
        let guardian = || subject::one(self.cx, self.object, "guardian").is_ok();
        match text::field(self.object, "actor").map(Value::as_str) {
            None | Some(Some("subject")) => "subject",
            Some(_) if !self.cx.server() => "subject",
            Some(Some("agent")) => "agent",
            Some(Some("guardian")) if guardian() => "guardian",
            Some(Some(_) | None) => "system",
        }
        .to_owned()
    }

    fn ignored(&mut self) {
        if text::field(self.object, "expires_at").is_some() {
            self.warn(
                WarningCode::FieldIgnored,
                "/expires_at",
                "a refusal or withdrawal does not expire",
            );
        }
        let unknown = |name: &&String| !FIELDS.contains(&name.as_str()) && name.as_str() != AGENT;
        if self.object.keys().find(unknown).is_some() {
            self.warn(
                WarningCode::FieldIgnored,
                "",
                "a field is unknown and was ignored",
            );
        }
    }
}
