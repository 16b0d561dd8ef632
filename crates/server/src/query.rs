//! `POST /v1/query`: one SELECT under one purpose.

use assent_consent::Timestamp;
use assent_programme::Principal;
use assent_segment::{Asked, Engine, LawfulSession};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use crate::answer;
use crate::authorization;
use crate::body::JsonBody;
use crate::problem::Problem;
use crate::routes::Asking;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    sql: String,
    purpose: Option<String>,
    channel: Option<String>,
    recipient: Option<String>,
    as_of: Option<String>,
}

pub(crate) async fn query(
    State(asking): State<Asking>,
    headers: HeaderMap,
    JsonBody(query): JsonBody<Query>,
) -> Result<Response, Problem> {
    let format = answer::accepted(&headers)?;
    let principal = principal_of_session(&asking.engine, &headers).await?;
    let asked = Asked {
        purpose: query.purpose,
        channel: query.channel,
        recipient: query.recipient,
    };
    let as_of = instant(query.as_of.as_deref())?;
    let session = LawfulSession::open(&asking.engine, &principal, &asked, as_of).await?;
    let result = session.query(&query.sql).await?;
    answer::rows(&asking.engine, format, result).await
}

/// The principal whose token the request carries, as of now: a revocation acknowledged before counts (I2).
pub(crate) async fn principal(engine: &Engine, headers: &HeaderMap) -> Result<Principal, Problem> {
    let token = assent_programme::token_sha256(authorization::bearer(headers)?);
    engine.barrier().await?;
    known(engine, &token).ok_or_else(unknown)
}

/// The same for a session, which looks at its principal once more behind a barrier of its own: so only a token that is
/// not known yet needs to wait here.
pub(crate) async fn principal_of_session(
    engine: &Engine,
    headers: &HeaderMap,
) -> Result<Principal, Problem> {
    let token = assent_programme::token_sha256(authorization::bearer(headers)?);
    match known(engine, &token) {
        Some(principal) => Ok(principal),
        None => principal(engine, headers).await,
    }
}

fn known(engine: &Engine, token_sha256: &str) -> Option<Principal> {
    let registry = engine.permit().registry();
    registry.principal_by_token_sha256(token_sha256).cloned()
}

fn unknown() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "token_unknown",
        "this server does not know the token: it was made in another data directory, or revoked; \
         `assent principal add NAME --purpose PURPOSE` makes one here",
    )
}

/// An RFC 3339 instant.
pub(crate) fn instant(text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    text.map(|text| {
        Timestamp::parse_rfc3339(text).map_err(|_| {
            Problem::invalid(
                "as_of_unreadable",
                "as_of is an RFC 3339 instant such as 2026-11-22T09:00:00+08:00",
            )
        })
    })
    .transpose()
}
