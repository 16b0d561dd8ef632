//! `POST /v1/explain`: reason counts for everybody; one member or the waterfall of a query for officers.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, UInt64Array};
use assent_consent::{FactKind, Namespace, Reason, Selector, SubjectId, Verdict};
use assent_event::Identifier;
use assent_segment::{Asked, BaseCounts, LawfulSession, MemberExplained};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer;
use crate::body::JsonBody;
use crate::problem::Problem;
use crate::query::principal_of_session;
use crate::routes::Asking;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Explain {
    purpose: Option<String>,
    channel: Option<String>,
    recipient: Option<String>,
    member: Option<String>,
    /// Whom somebody knows by `namespace=value`.
    identifier: Option<String>,
    sql: Option<String>,
    /// The legal-duty purpose under which an officer looks at one member.
    under: Option<String>,
}

pub(crate) async fn explain(
    State(asking): State<Asking>,
    headers: HeaderMap,
    JsonBody(explain): JsonBody<Explain>,
) -> Result<Response, Problem> {
    let format = answer::accepted(&headers)?;
    let principal = principal_of_session(&asking.engine, &headers).await?;
    let about = Asked {
        purpose: explain.purpose,
        channel: explain.channel,
        recipient: explain.recipient,
    };
    let open =
        async |asked: &Asked| LawfulSession::open(&asking.engine, &principal, asked, None).await;
    let of_one = match (explain.member, explain.identifier) {
        (Some(_), Some(_)) => return Err(one_of_both()),
        (Some(member), None) => Some(Who::Member(member_id(&member)?)),
        (None, Some(identifier)) => Some(Who::Known(known_by(&identifier)?)),
        (None, None) => None,
    };
    match (of_one, explain.sql, explain.under) {
        (Some(_), Some(_), _) => Err(Problem::invalid(
            "member_and_sql",
            "ask about one person or about a query, one at a time",
        )),
        (None, _, Some(_)) => Err(Problem::invalid(
            "under_without_member",
            "--under goes with --member or --identifier: it names the legal-duty purpose you look at one person under",
        )),
        (Some(_), None, None) => Err(Problem::invalid(
            "under_missing",
            "name the legal-duty purpose you look under, such as --under rights_handling",
        )),
        (Some(who), None, Some(under)) => {
            let under = Asked {
                purpose: Some(under),
                ..Asked::default()
            };
            let session = open(&under).await?;
            let told = match who {
                Who::Member(member) => session.explain_member(member, &about, None).await?,
                Who::Known(identifier) => {
                    session.explain_identifier(identifier, &about, None).await?
                }
            };
            let text = serde_json::to_string_pretty(&member_json(&told))
                .map_err(|error| Problem::internal(&error))?;
            let json = [(header::CONTENT_TYPE, "application/json")];
            Ok((json, format!("{text}\n")).into_response())
        }
        (None, Some(sql), None) => {
            let waterfall = open(&about).await?.waterfall(&sql).await?;
            let mut steps = reasons(&waterfall.base);
            steps.push(("rows of the query".to_owned(), waterfall.rows as u64));
            counted(format, &steps)
        }
        (None, None, None) => counted(format, &reasons(&open(&about).await?.base_counts().await?)),
    }
}

/// Of whom an officer asks.
enum Who {
    Member(SubjectId),
    Known(Identifier),
}

fn one_of_both() -> Problem {
    Problem::invalid(
        "member_and_identifier",
        "name the person by member or by identifier, not by both",
    )
}

fn member_id(text: &str) -> Result<SubjectId, Problem> {
    text.parse().map_err(|_| {
        Problem::invalid(
            "member_unreadable",
            "a member id has 32 hexadecimal digits, as `members.member_id` shows it",
        )
    })
}

/// `namespace=value`; the value may hold further equals signs.
fn known_by(text: &str) -> Result<Identifier, Problem> {
    let unreadable = || {
        Problem::invalid(
            "identifier_unreadable",
            "an identifier is written namespace=value, such as customer_no=1042",
        )
    };
    let (namespace, value) = text.split_once('=').ok_or_else(unreadable)?;
    let namespace = Namespace::parse(namespace).map_err(|_| unreadable())?;
    if value.is_empty() {
        return Err(unreadable());
    }
    Ok(Identifier::new(namespace, value))
}

/// The base, then what is lost to each reason, then what is left.
fn reasons(counts: &BaseCounts) -> Vec<(String, u64)> {
    let mut steps = vec![("base".to_owned(), counts.base)];
    for (reason, members) in &counts.denied {
        steps.push((format!("denied: {}", Reason::as_str(*reason)), *members));
    }
    if let Some(few) = counts.few {
        let name = format!("denied: other reasons, fewer than {} each", few.k);
        steps.push((name, few.members));
    }
    steps.push(("permitted".to_owned(), counts.permitted));
    steps
}

fn counted(
    format: assent_segment::format::Format,
    steps: &[(String, u64)],
) -> Result<Response, Problem> {
    let names: StringArray = steps.iter().map(|(name, _)| Some(name.as_str())).collect();
    let counts: UInt64Array = steps.iter().map(|(_, count)| Some(*count)).collect();
    answer::table(
        format,
        [
            ("step", Arc::new(names) as ArrayRef),
            ("members", Arc::new(counts)),
        ],
    )
}

/// The account of a member's verdicts: each subject with the facts, notices and positions that made its verdict.
fn member_json(told: &MemberExplained) -> Value {
    let subjects: Vec<Value> = told
        .subjects
        .iter()
        .map(|subject| {
            let explained = &subject.explained;
            let verdict = match &explained.evaluation.verdict {
                Verdict::Lawful(coverage) => json!({
                    "lawful": true,
                    "categories": coverage.categories.iter().map(ToString::to_string).collect::<Vec<_>>(),
                }),
                Verdict::Denied(reason) => json!({ "lawful": false, "reason": reason.as_str() }),
            };
            let facts: Vec<Value> = explained
                .facts
                .iter()
                .map(|placed| {
                    json!({
                        "fact": fact_json(&placed.fact.kind),
                        "subject": placed.fact.subject.to_string(),
                        "event_time": placed.fact.event_time.to_string(),
                        "received_at": placed.fact.received_at.to_string(),
                        "position": placed.position.to_string(),
                        "decided": explained.evaluation.decided_by == Some(placed.fact.id),
                    })
                })
                .collect();
            json!({
                "subject": subject.subject.to_string(),
                "verdict": verdict,
                "may_change_at": explained.evaluation.reconsider_at.map(|at| at.to_string()),
                "notices": explained.notices.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "facts": facts,
            })
        })
        .collect();
    json!({
        "member": told.member.to_string(),
        "purpose": told.declared.purpose.to_string(),
        "channel": told.declared.channel.as_ref().map(ToString::to_string),
        "recipient": told.declared.recipient.as_ref().map(ToString::to_string),
        "at": told.at.to_string(),
        "subjects": subjects,
    })
}

/// What a fact says, without what the officer does not need: a birth date is told as known, not as a date.
fn fact_json(kind: &FactKind) -> Value {
    match kind {
        FactKind::Decision(decision) => json!({
            "decision": format!("{:?}", decision.state).to_lowercase(),
            "purpose": match &decision.purpose {
                Selector::All => "all",
                Selector::One(purpose) => purpose.as_str(),
            },
            "channel": decision.channel.as_ref().map(ToString::to_string),
            "recipient": decision.recipient.as_ref().map(ToString::to_string),
            "categories": decision.categories.as_ref().map(|set| set.iter().map(ToString::to_string).collect::<Vec<_>>()),
            "personalisation": decision.personalisation,
            "notice": decision.notice.as_ref().map(ToString::to_string),
            "form": format!("{:?}", decision.form).to_lowercase(),
            "expires_at": decision.expires_at.map(|at| at.to_string()),
        }),
        FactKind::Linked { other } => json!({ "linked_with": other.to_string() }),
        FactKind::Unlinked { other } => json!({ "unlinked_from": other.to_string() }),
        FactKind::ContractStarted {
            purpose, starts_at, ..
        } => json!({
            "contract_started": starts_at.to_string(),
            "purpose": purpose.as_ref().map(ToString::to_string),
        }),
        FactKind::ContractEnded { ends_at, .. } => json!({ "contract_ended": ends_at.to_string() }),
        FactKind::BirthDate(_) => json!({ "birth_date": "known" }),
        FactKind::GuardianshipStarted { .. } => json!({ "guardianship": "started" }),
        FactKind::GuardianshipEnded { .. } => json!({ "guardianship": "ended" }),
        FactKind::Restricted { purpose } => {
            json!({ "restricted": purpose.as_ref().map_or("all".to_owned(), ToString::to_string) })
        }
        FactKind::RestrictionLifted { purpose } => {
            json!({ "restriction_lifted": purpose.as_ref().map_or("all".to_owned(), ToString::to_string) })
        }
        FactKind::Erased => json!({ "erased": true }),
        FactKind::PublicSource { .. } => json!({ "public_source": true }),
    }
}
