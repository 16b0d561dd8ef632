//! R8, R9, R14, R15: which grants are valid, what each covers, and how each fails to.

use std::collections::BTreeSet;

use assent_consent::{
    Actor, Category, ConsentForm, Decision, DecisionState, Fact, FactKind, Notice, NoticeChange,
    NoticedPurpose, Purpose, Reason, Selector, Timestamp,
};

use super::age::{ByAge, r13_guardian_grant, r13_own_grant};
use super::{Case, channel_of_use, r2_time, recipient_of_use, with_ancestors};

/// A valid grant of the subject, and what it amounts to for the use.
pub(crate) struct Grant<'a> {
    pub(crate) fact: &'a Fact,
    /// What it covers, enders aside.
    pub(crate) categories: BTreeSet<Category>,
    pub(crate) names_categories: bool,
    without_personalisation: bool,
    lacks_separate: bool,
    superseded: bool,
    expired: bool,
    out_of_scope: bool,
}

impl Grant<'_> {
    /// Whether it covers the use, enders aside.
    pub(crate) fn would_cover(&self) -> bool {
        self.miss().is_none()
    }

    /// C4: its farthest miss.
    fn miss(&self) -> Option<Reason> {
        if self.out_of_scope {
            Some(Reason::ScopeNotCovered)
        } else if self.expired {
            Some(Reason::Expired)
        } else if self.superseded {
            Some(Reason::NoticeSuperseded)
        } else if self.lacks_separate {
            Some(Reason::SeparateConsentMissing)
        } else if self.without_personalisation {
            Some(Reason::PersonalisationRefused)
        } else {
            None
        }
    }
}

/// R4, C4: the nearest of the grants' farthest misses.
pub(crate) fn r4_nearest_miss(valid: &[Grant<'_>]) -> Reason {
    for reason in [
        Reason::PersonalisationRefused,
        Reason::SeparateConsentMissing,
        Reason::NoticeSuperseded,
        Reason::Expired,
    ] {
        if valid.iter().any(|grant| grant.miss() == Some(reason)) {
            return reason;
        }
    }
    Reason::ScopeNotCovered
}

/// R8: the subject's own valid grants for the use, with what each covers and lacks.
pub(crate) fn r8_valid_grants<'a>(case: &Case<'a>, purpose: &Purpose) -> Vec<Grant<'a>> {
    let mut valid = Vec::new();
    for fact in &case.facts {
        let FactKind::Decision(decision) = &fact.kind else {
            continue;
        };
        if fact.subject != case.subject || decision.state != DecisionState::Granted {
            continue;
        }
        if !r8_names_the_purpose(case, decision, purpose)
            || !r8_is_explicit(&decision.act)
            || !r8_is_evidenced(decision)
        {
            continue;
        }
        let Some(notice) = r8_notice(case, fact, decision, purpose) else {
            continue;
        };
        let ended_by_age = match by_age(case, fact, decision) {
            ByAge::Absent => continue,
            ByAge::Counts => false,
            ByAge::Ended => true,
        };
        valid.push(judge(case, purpose, fact, decision, notice, ended_by_age));
    }
    valid
}

/// R8: One(p) for the purpose or an ancestor; a wildcard grant never counts.
fn r8_names_the_purpose(case: &Case<'_>, decision: &Decision, purpose: &Purpose) -> bool {
    match &decision.purpose {
        Selector::All => false,
        Selector::One(id) => with_ancestors(case.registry, &purpose.id).contains(id),
    }
}

/// R8: an act that indicates a will, written exactly so; all others indicate none.
fn r8_is_explicit(act: &str) -> bool {
    let on_a_screen = [
        "checkbox_ticked",
        "option_selected",
        "switch_turned_on",
        "button_pressed",
    ];
    let in_other_ways = [
        "code_entered",
        "reply_sent",
        "signature",
        "written_statement",
        "oral_statement",
    ];
    on_a_screen.contains(&act) || in_other_ways.contains(&act)
}

/// R8: agents and imports need an artefact.
fn r8_is_evidenced(decision: &Decision) -> bool {
    match decision.actor {
        Actor::Subject | Actor::Guardian { .. } => true,
        Actor::Agent | Actor::System => decision.evidence,
    }
}

/// R8: the notice shown, in force when the grant was given, listing the use's purpose.
fn r8_notice<'a>(
    case: &Case<'a>,
    fact: &Fact,
    decision: &Decision,
    purpose: &Purpose,
) -> Option<&'a Notice> {
    let notice = case.registry.notice(decision.notice.as_ref()?)?;
    let shown = notice.effective_from <= r2_time(fact);
    (shown && notice.purposes.contains_key(&purpose.id)).then_some(notice)
}

/// R13: guardian grants in both form and actor, own grants in neither.
fn by_age(case: &Case<'_>, fact: &Fact, decision: &Decision) -> ByAge {
    let guardian_form = decision.form == ConsentForm::Guardian;
    match decision.actor {
        Actor::Guardian { guardian } if guardian_form => r13_guardian_grant(case, fact, guardian),
        Actor::Guardian { .. } => ByAge::Absent,
        Actor::Subject | Actor::Agent | Actor::System => {
            if guardian_form {
                ByAge::Absent
            } else {
                r13_own_grant(case, fact)
            }
        }
    }
}

fn judge<'a>(
    case: &Case<'a>,
    purpose: &Purpose,
    fact: &'a Fact,
    decision: &Decision,
    notice: &Notice,
    ended_by_age: bool,
) -> Grant<'a> {
    let statement = &notice.purposes[&purpose.id];
    let separate = r8_counts_as_separate(case, fact, decision);
    let mut grant = Grant {
        fact,
        categories: r9_categories(case, purpose, decision, statement, separate),
        names_categories: decision.categories.is_some(),
        without_personalisation: purpose.personalises && decision.personalisation == Some(false),
        lacks_separate: !r8_is_strong_enough(decision, separate, purpose)
            || (!purpose.recipients.is_empty() && !separate),
        superseded: r14_ended_by_notice(case, purpose, notice),
        expired: ended_by_age || r15_is_over(case, purpose, fact, decision),
        out_of_scope: !r9_decision_reaches(case, purpose, decision),
    };
    let newer = c14_newer_statement(case, purpose, notice);
    let mut needs = |has: &dyn Fn(&NoticedPurpose) -> bool| {
        if has(statement) {
            return;
        }
        if newer.is_some_and(has) {
            grant.superseded = true;
        } else {
            grant.out_of_scope = true;
        }
    };
    needs(&|said| {
        channel_of_use(case, purpose).is_none_or(|channel| said.channels.contains(&channel))
    });
    needs(&|said| recipient_of_use(case, purpose).is_none_or(|r| said.recipients.contains_key(&r)));
    needs(&|said| !purpose.personalises || said.personalises);
    if grant.categories.is_empty() {
        if c14_separate_would_do(case, purpose, decision, statement) {
            grant.lacks_separate = true;
        } else {
            needs(&|said| c14_separate_would_do(case, purpose, decision, said));
        }
    }
    grant
}

/// C14: what the version in force says of the purpose, if a later material version is effective.
fn c14_newer_statement<'a>(
    case: &Case<'a>,
    purpose: &Purpose,
    notice: &Notice,
) -> Option<&'a NoticedPurpose> {
    if later_material(case, notice).is_empty() {
        return None;
    }
    case.registry
        .versions(&notice.id)
        .filter(|version| version.effective_from <= case.at)
        .max_by_key(|version| version.version)?
        .purposes
        .get(&purpose.id)
}

/// C14: whether the categories in reach lack nothing but the separate form or the naming.
fn c14_separate_would_do(
    case: &Case<'_>,
    purpose: &Purpose,
    decision: &Decision,
    statement: &NoticedPurpose,
) -> bool {
    purpose.categories.iter().any(|category| {
        r9_in_reach(case, purpose, decision, statement, category)
            && (!purpose.sensitive.contains(category) || r9_is_justified(statement, category))
    })
}

/// R9, C13, C14: whether the decision itself leaves out the use's channel or recipient.
fn r9_decision_reaches(case: &Case<'_>, purpose: &Purpose, decision: &Decision) -> bool {
    let channel_ok = match &decision.channel {
        None => true,
        Some(channel) => channel_of_use(case, purpose).as_ref() == Some(channel),
    };
    channel_ok && decision.recipient == recipient_of_use(case, purpose)
}

/// R8, C12: separate, written or guardian form with an indication that serves nothing else.
fn r8_counts_as_separate(case: &Case<'_>, fact: &Fact, decision: &Decision) -> bool {
    if decision.form == ConsentForm::General {
        return false;
    }
    let Some(indication) = &decision.indication else {
        return false;
    };
    if indication.trim().is_empty() {
        return false;
    }
    !case.facts.iter().any(|other| {
        let FactKind::Decision(bundled) = &other.kind else {
            return false;
        };
        other.id != fact.id
            && bundled.state == DecisionState::Granted
            && bundled.indication.as_ref() == Some(indication)
            && (bundled.purpose != decision.purpose
                || bundled.recipient != decision.recipient
                || bundled.categories != decision.categories)
    })
}

/// R8, C12: General ≤ Separate ≤ Written; guardian grants count at most as separate.
fn r8_is_strong_enough(decision: &Decision, separate: bool, purpose: &Purpose) -> bool {
    match purpose.form {
        ConsentForm::General => true,
        ConsentForm::Separate => separate,
        ConsentForm::Written => separate && decision.form == ConsentForm::Written,
        ConsentForm::Guardian => separate && decision.form == ConsentForm::Guardian,
    }
}

/// R9: what a grant covers under a statement.
fn r9_categories(
    case: &Case<'_>,
    purpose: &Purpose,
    decision: &Decision,
    statement: &NoticedPurpose,
    separate: bool,
) -> BTreeSet<Category> {
    let mut covered = BTreeSet::new();
    for category in &purpose.categories {
        let named = decision.categories.is_some();
        let sensitive_ok = !purpose.sensitive.contains(category)
            || (separate && named && r9_is_justified(statement, category));
        if sensitive_ok && r9_in_reach(case, purpose, decision, statement, category) {
            covered.insert(category.clone());
        }
    }
    covered
}

/// R9, C13: a category that the statement, the decision and the recipient's statement all admit.
fn r9_in_reach(
    case: &Case<'_>,
    purpose: &Purpose,
    decision: &Decision,
    statement: &NoticedPurpose,
    category: &Category,
) -> bool {
    let stated =
        statement.categories.contains(category) || statement.sensitive.contains_key(category);
    let decided = match &decision.categories {
        None => true,
        Some(categories) => categories.contains(category),
    };
    let received = match recipient_of_use(case, purpose) {
        None => true,
        Some(recipient) => statement
            .recipients
            .get(&recipient)
            .is_some_and(|told| told.categories.contains(category)),
    };
    stated && decided && received
}

/// R9, C13: necessity and impact stated (art. 30).
fn r9_is_justified(statement: &NoticedPurpose, category: &Category) -> bool {
    statement
        .sensitive
        .get(category)
        .is_some_and(|said| !said.necessity.trim().is_empty() && !said.impact.trim().is_empty())
}

/// R14, C15: later material versions of the notice that are effective.
fn later_material<'a>(case: &Case<'a>, notice: &Notice) -> Vec<&'a Notice> {
    case.registry
        .versions(&notice.id)
        .filter(|later| {
            later.version > notice.version
                && later.change == NoticeChange::Material
                && later.effective_from <= case.at
        })
        .collect()
}

/// R14, C15: another method, the purpose dropped, personalised where it was not, or the recipient
/// dropped or with another purpose or method.
fn r14_ended_by_notice(case: &Case<'_>, purpose: &Purpose, notice: &Notice) -> bool {
    let old = &notice.purposes[&purpose.id];
    later_material(case, notice)
        .into_iter()
        .any(|later| match later.purposes.get(&purpose.id) {
            None => true,
            Some(new) => {
                new.method != old.method
                    || (purpose.personalises && new.personalises && !old.personalises)
                    || r14_recipient_changed(case, purpose, old, new)
            }
        })
}

fn r14_recipient_changed(
    case: &Case<'_>,
    purpose: &Purpose,
    old: &NoticedPurpose,
    new: &NoticedPurpose,
) -> bool {
    let Some(recipient) = recipient_of_use(case, purpose) else {
        return false;
    };
    match (
        old.recipients.get(&recipient),
        new.recipients.get(&recipient),
    ) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(before), Some(after)) => {
            before.purpose != after.purpose || before.method != after.method
        }
    }
}

/// R15, C18: [start, end), in days of the calendar; the shortest validity from the use's purpose
/// up to the one the grant names.
fn r15_is_over(case: &Case<'_>, purpose: &Purpose, fact: &Fact, decision: &Decision) -> bool {
    let calendar = case.registry.calendar();
    let mut ends: Vec<Timestamp> = decision.expires_at.into_iter().collect();
    for id in with_ancestors(case.registry, &purpose.id) {
        let validity = case
            .registry
            .purpose(&id)
            .and_then(|p| p.grant_validity_days);
        if let Some(days) = validity {
            let days = i32::try_from(days).unwrap_or(i32::MAX);
            let last = calendar.day_of(r2_time(fact)).plus_days(days);
            ends.push(calendar.start_of(last));
        }
        if decision.purpose == Selector::One(id) {
            break;
        }
    }
    ends.into_iter().any(|end| case.at >= end)
}
