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
    let principal = principal(&asking.engine, &headers).await?;
    let asked = Asked {
        purpose: query.purpose,
        channel: query.channel,
        recipient: query.recipient,
    };
    let as_of = instant(query.as_of.as_deref())?;
    let session = LawfulSession::open(&asking.engine, &principal, &asked, as_of).await?;
    answer::rows(format, &session.query(&query.sql).await?)
}

/// The principal whose token the request carries, as of now: a revocation acknowledged before counts (I2).
pub(crate) async fn principal(engine: &Engine, headers: &HeaderMap) -> Result<Principal, Problem> {
    let token = authorization::bearer(headers)?;
    let permit = engine.permit();
    permit
        .barrier()
        .await
        .map_err(|error| Problem::unavailable_for("barrier", &error))?;
    permit
        .registry()
        .principal_by_token_sha256(&assent_programme::token_sha256(token))
        .filter(|principal| !principal.revoked)
        .cloned()
        .ok_or_else(|| {
            Problem::new(
                StatusCode::UNAUTHORIZED,
                "token_unknown",
                "no principal has this token, or it was revoked; `assent principal add` makes one",
            )
        })
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
