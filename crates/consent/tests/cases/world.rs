//! From the words of a case to facts, times and subjects.

use std::collections::BTreeMap;

use assent_consent::{
    Actor, Calendar, ConsentForm, Day, Decision, DecisionState, Fact, FactKind, PurposeId,
    Registry, Selector, SubjectId, Timestamp, Use, evaluate,
};

use assent_testkit::oracle::{Written, evaluate_naively, what_counts};

use crate::format::{Case, Event, Expectation, ProgrammeFile, Provenance};

/// The shared programme, ready for evaluation.
pub(crate) struct World {
    registry: Registry,
    day_one: Day,
}

impl World {
    pub(crate) fn new(programme: ProgrammeFile) -> Result<Self, String> {
        let mut registry = Registry::new(Calendar::default());
        for purpose in programme.purposes {
            if let Some(fault) = purpose.faults().first() {
                return Err(format!("purpose {}: {fault}", purpose.id));
            }
            registry.insert_purpose(purpose);
        }
        for notice in programme.notices {
            if let Some(deficiency) = notice.deficiencies().first() {
                return Err(format!("notice {}: {deficiency}", notice.reference()));
            }
            registry.insert_notice(notice).map_err(|e| e.to_string())?;
        }
        Ok(Self {
            registry,
            day_one: programme.day_one,
        })
    }

    /// Everything that is wrong with a case; empty when it holds.
    pub(crate) fn failures(&self, case: &Case) -> Vec<String> {
        let mut cast = Cast::default();
        let (events, as_written) = match (&case.history, &case.log) {
            (Some(events), None) => (events, false),
            (None, Some(events)) => (events, true),
            (Some(_), Some(_)) | (None, None) => {
                return vec!["a case has either a history or a log".to_owned()];
            }
        };
        let mut written = Vec::new();
        for (number, event) in (1..).zip(events) {
            let message = cast.message(number, event.message.as_deref());
            match self.fact(&mut cast, message, event) {
                Ok(fact) => written.push(Written { fact, message }),
                Err(error) => return vec![format!("event {number}: {error}")],
            }
        }
        if !as_written {
            written.sort_by_key(|one| one.fact.received_at);
        }
        for (order, one) in (1..).zip(&mut written) {
            one.fact.order = order;
        }
        let history = what_counts(&written);
        if case.why.trim().is_empty() || case.then.is_empty() {
            return vec!["a case needs a why and at least one expectation".to_owned()];
        }
        let mut failures = Vec::new();
        for (number, expectation) in (1..).zip(&case.then) {
            if let Err(error) = self.check(&mut cast, &history, expectation) {
                failures.push(format!("expectation {number}: {error}"));
            }
        }
        failures
    }

    fn check(
        &self,
        cast: &mut Cast,
        history: &[Fact],
        expected: &Expectation,
    ) -> Result<(), String> {
        if (expected.is == "lawful") != expected.covers.is_some() {
            return Err("`for` goes with lawful, and only with it".to_owned());
        }
        let use_ = Use {
            purpose: expected.purpose.clone(),
            channel: expected.channel.clone(),
            recipient: expected.recipient.clone(),
        };
        let subject = cast.subject(expected.of.as_deref());
        let at = self.time(&expected.at)?;
        let evaluation = evaluate(&self.registry, history, subject, &use_, at);
        let naively = evaluate_naively(&self.registry, history, subject, &use_, at);
        if naively != evaluation.verdict {
            return Err(format!("the oracle says {naively:?}"));
        }
        let mut backwards = history.to_vec();
        backwards.reverse();
        if evaluate(&self.registry, &backwards, subject, &use_, at) != evaluation {
            return Err("the order of the history shows".to_owned());
        }
        let is = evaluation.verdict.reason().map_or("lawful", |r| r.as_str());
        let covers = evaluation.verdict.coverage().map(|c| &c.categories);
        if is != expected.is || covers != expected.covers.as_ref() {
            return Err(format!(
                "at {} expected {} {:?}, got {is} {covers:?}",
                expected.at, expected.is, expected.covers
            ));
        }
        let again = match expected.look_again.as_deref() {
            None => return Ok(()),
            Some("never") => None,
            Some(text) => Some(self.time(text)?),
        };
        if evaluation.reconsider_at == again {
            Ok(())
        } else {
            let got = evaluation.reconsider_at;
            Err(format!("expected to look again at {again:?}, got {got:?}"))
        }
    }

    /// `day 5`, `day 5 09:30`, `day 5 09:30:15`, `2026-05-01`, `2026-05-01 00:00`, each also after
    /// `just before` or `just after` (a microsecond). A day without an hour means noon.
    pub(crate) fn time(&self, text: &str) -> Result<Timestamp, String> {
        if let Some(rest) = text.strip_prefix("just before ") {
            return Ok(self.time(rest)?.plus_micros(-1));
        }
        if let Some(rest) = text.strip_prefix("just after ") {
            return Ok(self.time(rest)?.plus_micros(1));
        }
        let unreadable = || format!("unreadable time {text:?}");
        let (day, clock) = if let Some(rest) = text.strip_prefix("day ") {
            let (number, clock) = rest.split_once(' ').unwrap_or((rest, "12:00"));
            let number: i32 = number.parse().map_err(|_| unreadable())?;
            (self.day_one.plus_days(number - 1), clock)
        } else {
            let (day, clock) = text.split_once(' ').unwrap_or((text, "12:00"));
            (Day::parse(day).map_err(|_| unreadable())?, clock)
        };
        let mut seconds = 0;
        let mut units = [3_600, 60, 1].into_iter();
        for part in clock.split(':') {
            let number: i64 = part.parse().map_err(|_| unreadable())?;
            seconds += number * units.next().ok_or_else(unreadable)?;
        }
        let midnight = self.registry.calendar().start_of(day);
        Ok(midnight.plus_micros(seconds * 1_000_000))
    }

    fn fact(&self, cast: &mut Cast, message: u64, event: &Event) -> Result<Fact, String> {
        let event_time = self.time(&event.when)?;
        let received_at = match &event.received {
            Some(text) => self.time(text)?,
            None => event_time,
        };
        let kind = self.kind(cast, event, event_time)?;
        if !matches!(kind, FactKind::Decision(_)) && has_decision_details(event) {
            return Err("details of a decision on something else".to_owned());
        }
        let subject = cast.subject(event.who.as_deref());
        // One for a message and a subject.
        let mut id = subject.to_bytes();
        id[..8].copy_from_slice(&message.to_be_bytes());
        Ok(Fact {
            id,
            subject,
            event_time,
            received_at,
            order: 0,
            kind,
        })
    }

    fn kind(
        &self,
        cast: &mut Cast,
        event: &Event,
        event_time: Timestamp,
    ) -> Result<FactKind, String> {
        let instant = |text: &Option<String>| match text {
            Some(text) => self.time(text),
            None => Ok(event_time),
        };
        let mut kinds = Vec::new();
        for (state, purpose) in [
            (DecisionState::Granted, &event.grants),
            (DecisionState::Refused, &event.refuses),
            (DecisionState::Withdrawn, &event.withdraws),
            (DecisionState::Unreadable, &event.mumbles),
        ] {
            if let Some(purpose) = purpose {
                let decision = self.decision(cast, event, state, purpose)?;
                kinds.push(FactKind::Decision(decision));
            }
        }
        if let Some(other) = &event.links_with {
            let other = cast.subject(Some(other));
            kinds.push(FactKind::Linked { other });
        }
        if let Some(other) = &event.unlinks_from {
            let other = cast.subject(Some(other));
            kinds.push(FactKind::Unlinked { other });
        }
        if let Some(contract) = &event.starts_contract {
            kinds.push(FactKind::ContractStarted {
                contract: contract.clone(),
                purpose: event.for_purpose.clone(),
                starts_at: instant(&event.from)?,
            });
        }
        if let Some(contract) = &event.ends_contract {
            kinds.push(FactKind::ContractEnded {
                contract: contract.clone(),
                ends_at: instant(&event.from)?,
            });
        }
        kinds.extend(event.born.map(FactKind::BirthDate));
        if let Some(guardian) = &event.gets_guardian {
            let guardian = cast.subject(Some(guardian));
            kinds.push(FactKind::GuardianshipStarted { guardian });
        }
        if let Some(guardian) = &event.loses_guardian {
            let guardian = cast.subject(Some(guardian));
            kinds.push(FactKind::GuardianshipEnded { guardian });
        }
        if let Some(purpose) = &event.restricts {
            let purpose = purpose_or_all(purpose)?;
            kinds.push(FactKind::Restricted { purpose });
        }
        if let Some(purpose) = &event.lifts {
            let purpose = purpose_or_all(purpose)?;
            kinds.push(FactKind::RestrictionLifted { purpose });
        }
        if event.erased == Some(true) {
            kinds.push(FactKind::Erased);
        }
        if let Some(provenance) = event.found_in_public {
            let provenance = provenance == Provenance::WithProvenance;
            kinds.push(FactKind::PublicSource { provenance });
        }
        match <[FactKind; 1]>::try_from(kinds) {
            Ok([kind]) => Ok(kind),
            Err(kinds) => Err(format!("{} verbs instead of one", kinds.len())),
        }
    }

    fn decision(
        &self,
        cast: &mut Cast,
        event: &Event,
        state: DecisionState,
        purpose: &str,
    ) -> Result<Decision, String> {
        let selector = purpose_or_all(purpose)?.map_or(Selector::All, Selector::One);
        let actor = match event.by.as_deref() {
            None => Actor::Subject,
            Some("agent") => Actor::Agent,
            Some("system") => Actor::System,
            Some(text) => match text.strip_prefix("guardian ") {
                Some(name) => Actor::Guardian {
                    guardian: cast.subject(Some(name)),
                },
                None => return Err(format!("nobody called {text:?} records decisions")),
            },
        };
        let expires_at = match &event.expires {
            Some(text) => Some(self.time(text)?),
            None => None,
        };
        Ok(Decision {
            channel: event.channel.clone(),
            channel_unread: event.channel_unread.unwrap_or(false),
            recipient: event.recipient.clone(),
            categories: event.categories.clone(),
            personalisation: event.personalisation,
            notice: event.under.clone(),
            form: event.form.unwrap_or(ConsentForm::General),
            act: event
                .act
                .clone()
                .unwrap_or_else(|| "checkbox_ticked".to_owned()),
            indication: event.indication.clone(),
            evidence: event.evidence.unwrap_or(false),
            actor,
            authenticated: event.authenticated.unwrap_or(true),
            expires_at,
            ..Decision::new(state, selector)
        })
    }
}

fn has_decision_details(event: &Event) -> bool {
    event.under.is_some()
        || event.channel.is_some()
        || event.channel_unread.is_some()
        || event.recipient.is_some()
        || event.categories.is_some()
        || event.personalisation.is_some()
        || event.form.is_some()
        || event.act.is_some()
        || event.indication.is_some()
        || event.evidence.is_some()
        || event.by.is_some()
        || event.authenticated.is_some()
        || event.expires.is_some()
}

fn purpose_or_all(text: &str) -> Result<Option<PurposeId>, String> {
    if text == "everything" {
        return Ok(None);
    }
    PurposeId::parse(text).map(Some).map_err(|e| e.to_string())
}

/// The subjects and messages of a case by the names it gives them.
#[derive(Default)]
struct Cast {
    subjects: BTreeMap<String, SubjectId>,
    messages: BTreeMap<String, u64>,
}

impl Cast {
    /// The number of a message; of one without a name that of its event.
    fn message(&mut self, event: u64, name: Option<&str>) -> u64 {
        match name {
            None => event,
            Some(name) => {
                let next = u64::try_from(self.messages.len()).unwrap() + 1_000;
                *self.messages.entry(name.to_owned()).or_insert(next)
            }
        }
    }

    fn subject(&mut self, name: Option<&str>) -> SubjectId {
        let next = u8::try_from(self.subjects.len() + 1).unwrap();
        *self
            .subjects
            .entry(name.unwrap_or("person").to_owned())
            .or_insert(SubjectId::from_bytes([next; 16]))
    }
}
