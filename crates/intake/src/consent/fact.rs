//! Facts about a subject that are no decisions: contracts, age, guardianship, restriction, links.

use assent_consent::{Day, LegalBasis, PurposeId, Timestamp};
use assent_event::SubjectFact;
use serde_json::Value;

use super::decision::{
    id_or_new, most_identifiers, recognisable, time_of_what_widens, time_or_receipt,
};
use super::grant::known_purpose;
use super::{event_too_large, subject};
use crate::outcome::{Code, Rejected, Warning, WarningCode};
use crate::planned::{Context, Item, ItemTimes, Planned, Reading, Said, Say};
use crate::text::{self, Object};

/// The names of all facts.
pub(super) const FACTS: &str = "contract_started, contract_ended, birth_date, guardianship_started, \
                     guardianship_ended, restricted, restriction_lifted, linked, unlinked, \
                     public_source";

/// Facts that restrict. Like a refusal they are recorded whatever is wrong with a detail.
const RESTRICTING: [&str; 4] = [
    "restricted",
    "contract_ended",
    "guardianship_ended",
    "linked",
];

/// The one that neither restricts nor widens.
const BIRTH_DATE: &str = "birth_date";

/// The one that needs nothing but a person.
const RESTRICTED: &str = "restricted";

/// The fact in an object with repeated names, if it restricts; of several facts, a restriction.
pub(super) fn restricting(fact: &Value) -> Option<&str> {
    match fact {
        Value::String(fact) => Some(fact.as_str()).filter(|fact| RESTRICTING.contains(fact)),
        Value::Array(facts) => facts
            .iter()
            .filter_map(Value::as_str)
            .find(|fact| *fact == RESTRICTED),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// Whether a fact of this name may widen what is lawful.
pub(crate) fn widens(fact: &Value) -> bool {
    fact.as_str()
        .is_some_and(|fact| fact != BIRTH_DATE && !RESTRICTING.contains(&fact))
}

pub(super) fn read(cx: &Context<'_>, object: &Object, fact: &str, too_large: bool) -> Reading {
    if !cx.server() {
        return Err(Rejected::new(
            Code::ServerKeyRequired,
            "/fact",
            "a browser's key cannot state facts about people",
            "state facts from a service, with a server key",
        ));
    }
    let restricts = RESTRICTING.contains(&fact);
    if too_large && !restricts {
        return Err(event_too_large(cx));
    }
    let mut warnings = Vec::new();
    let mut named = subject::read(cx, object);
    let most = most_identifiers(cx);
    if fact == RESTRICTED {
        warnings.extend(named.keep_at_most(most));
    }
    let is_cut = fact != RESTRICTED && (named.unreadable > 0 || named.identifiers.len() > most);
    if named.identifiers.is_empty() || is_cut {
        return Err(subject::nobody());
    }
    let times = if restricts {
        time_or_receipt(object, &mut warnings)
    } else {
        ItemTimes::told(time_of_what_widens(cx, object)?)
    };
    if too_large {
        warnings.push(Warning::new(
            WarningCode::EvidenceDropped,
            "",
            "the fact is too long; it was recorded without its evidence",
        ));
    }
    let mut reader = Reader {
        cx,
        object,
        warnings,
        at: times.event.unwrap_or(cx.now).min(cx.now),
        restricts,
        without_evidence: too_large,
    };
    let planned = named
        .identifiers
        .into_iter()
        .map(|about| {
            let say = reader.say(fact)?;
            if let Say::Link { other, .. } = &say
                && *other == about
            {
                return Err(Rejected::new(
                    Code::FieldInvalid,
                    "/other",
                    "an identifier cannot be linked with itself",
                    "name the other identifier of the person",
                ));
            }
            Ok(Planned::first(about, say))
        })
        .collect::<Result<Vec<_>, Rejected>>()?;
    let message_id = if restricts {
        id_or_new(object, &mut reader.warnings)
    } else if fact == BIRTH_DATE {
        text::message_id(object, "message_id")?
    } else {
        recognisable(object, times.event)?
    };
    reader.warnings.dedup();
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
    at: Timestamp,
    restricts: bool,
    without_evidence: bool,
}

impl Reader<'_> {
    fn say(&mut self, fact: &str) -> Result<Say, Rejected> {
        let said = match fact {
            "contract_started" => {
                let starts_at = text::time(self.object, "starts_at")?.unwrap_or(self.at);
                let purpose = self.contract_purpose()?;
                SubjectFact::contract_started(self.contract()?, purpose, starts_at)
            }
            "contract_ended" => {
                let ends_at = self.ends_at().unwrap_or(self.at);
                SubjectFact::contract_ended(self.contract()?, ends_at)
            }
            BIRTH_DATE => SubjectFact::birth_date(self.birth_date()?.days()),
            RESTRICTED => SubjectFact::restricted(self.restricted_purpose()),
            "restriction_lifted" => SubjectFact::restriction_lifted(self.purpose()?),
            "public_source" => SubjectFact::public_source(text::optional(self.object, "url")?),
            "guardianship_started" | "guardianship_ended" => return self.guardianship(fact),
            "linked" | "unlinked" => {
                return Ok(Say::Link {
                    other: subject::one(self.cx, self.object, "other")?,
                    or: None,
                    linked: fact == "linked",
                });
            }
            _ => {
                return Err(Rejected::new(
                    Code::UnknownFact,
                    "/fact",
                    "the fact is none of those that can be recorded",
                    format!("write one of {FACTS}"),
                ));
            }
        };
        Ok(Say::from(self.with_evidence(said)?))
    }

    fn guardianship(&self, fact: &str) -> Result<Say, Rejected> {
        let guardian =
            subject::one(self.cx, self.object, "guardian").map_err(|error| Rejected {
                code: Code::GuardianMissing,
                ..error
            })?;
        // The guardian's subject is put in once it is known.
        let mut said = SubjectFact::default();
        said.clear.fact = fact.to_owned();
        Ok(Say::Guardianship {
            fact: Box::new(self.with_evidence(said)?),
            guardian,
        })
    }

    fn with_evidence(&self, mut fact: SubjectFact) -> Result<SubjectFact, Rejected> {
        if let Some(reason) = self.evidence("reason")? {
            fact = fact.reason(reason);
        }
        if let Some(recorder) = self.evidence("recorded_by")? {
            fact = fact.recorded_by(recorder);
        }
        Ok(fact)
    }

    fn evidence(&self, name: &str) -> Result<Option<String>, Rejected> {
        match text::optional(self.object, name) {
            Ok(_) if self.without_evidence => Ok(None),
            Err(_) if self.restricts => Ok(None),
            read => read,
        }
    }

    /// A contract whose end cannot be read ended when that was said (I6).
    fn ends_at(&mut self) -> Option<Timestamp> {
        text::time(self.object, "ends_at").unwrap_or_else(|_| {
            self.warnings.push(Warning::new(
                WarningCode::TimeIgnored,
                "/ends_at",
                "it is not an RFC 3339 time; the contract ends with the event",
            ));
            None
        })
    }

    fn contract(&self) -> Result<String, Rejected> {
        text::required(
            self.object,
            "contract",
            "send an opaque reference of the contract, never its number",
        )
    }

    fn contract_purpose(&self) -> Result<Option<String>, Rejected> {
        let Some(name) = text::optional(self.object, "purpose")? else {
            return Ok(None);
        };
        let id = known_purpose(self.cx, &name)?;
        let basis = self.cx.registry.purpose(&id).map(|purpose| purpose.basis);
        if basis == Some(LegalBasis::Contract) {
            return Ok(Some(name));
        }
        Err(Rejected::new(
            Code::NotAContractPurpose,
            "/purpose",
            "this purpose does not rest on a contract; one basis is declared for a purpose",
            "leave the purpose out, or name one whose basis is contract",
        ))
    }

    fn birth_date(&self) -> Result<Day, Rejected> {
        let text = text::required(self.object, "birth_date", "write it as YYYY-MM-DD")?;
        let today = self.cx.registry.settings().calendar.day_of(self.cx.now);
        Day::parse(&text)
            .ok()
            .filter(|day| *day <= today)
            .ok_or_else(|| {
                Rejected::new(
                    Code::FieldInvalid,
                    "/birth_date",
                    "the birth date is not a day of the past",
                    "write it as YYYY-MM-DD",
                )
            })
    }

    fn purpose(&self) -> Result<Option<String>, Rejected> {
        text::optional(self.object, "purpose")?
            .filter(|name| name != "all")
            .map(|name| known_purpose(self.cx, &name).map(|id: PurposeId| id.as_str().to_owned()))
            .transpose()
    }

    /// A restriction whose purpose cannot be read is for all purposes (I6).
    fn restricted_purpose(&mut self) -> Option<String> {
        self.purpose().unwrap_or_else(|_| {
            self.warnings.push(Warning::new(
                WarningCode::PurposeWidened,
                "/purpose",
                "the purpose is none of the programme's; restricted for all purposes",
            ));
            None
        })
    }
}
