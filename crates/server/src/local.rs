//! Routes of the local socket: for whoever owns the data directory. The socket's file permissions are the
//! authorisation; reading members still needs a principal's token, as everywhere.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, StringArray};
use assent_consent::PurposeId;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use crate::Services;
use crate::answer;
use crate::body::JsonBody;
use crate::control::{Changes, ImportRequest, NewPrincipal, Projected};
use crate::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Programme {
    dir: PathBuf,
}

pub(crate) async fn plan(
    State(services): State<Services>,
    JsonBody(programme): JsonBody<Programme>,
) -> Result<Json<Changes>, Problem> {
    services.control.plan(programme.dir).await.map(Json)
}

pub(crate) async fn apply(
    State(services): State<Services>,
    JsonBody(programme): JsonBody<Programme>,
) -> Result<Json<Changes>, Problem> {
    services.control.apply(programme.dir).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Project {
    rebuild: bool,
}

pub(crate) async fn project(
    State(services): State<Services>,
    JsonBody(project): JsonBody<Project>,
) -> Result<Json<Projected>, Problem> {
    services.control.project(project.rebuild).await.map(Json)
}

/// Streams one line of progress after each acknowledged batch.
pub(crate) async fn import(
    State(services): State<Services>,
    JsonBody(request): JsonBody<ImportRequest>,
) -> Response {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move { services.control.import(request, sender).await });
    let lines =
        futures::stream::poll_fn(move |context| receiver.poll_recv(context)).map(|progress| {
            let mut line = serde_json::to_vec(&progress)?;
            line.push(b'\n');
            Ok::<_, serde_json::Error>(Bytes::from(line))
        });
    (
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response()
}

pub(crate) async fn add_principal(
    State(services): State<Services>,
    JsonBody(request): JsonBody<NewPrincipal>,
) -> Result<Json<serde_json::Value>, Problem> {
    let token = services.control.add_principal(request).await?;
    Ok(Json(json!({ "token": token })))
}

pub(crate) async fn revoke_principal(
    State(services): State<Services>,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, Problem> {
    services.control.revoke_principal(&name).await?;
    Ok(Json(json!({ "revoked": name })))
}

pub(crate) async fn principals(
    State(services): State<Services>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let format = answer::accepted(&headers)?;
    let permit = services.engine.permit();
    permit
        .barrier()
        .await
        .map_err(|error| Problem::unavailable("barrier", error.to_string()))?;
    let registry = permit.registry();
    let mut names = Vec::new();
    let mut roles = Vec::new();
    let mut purposes = Vec::new();
    let mut revoked = Vec::new();
    for principal in registry.principals() {
        names.push(Some(principal.name.clone()));
        roles.push(Some(principal.role.as_str()));
        let list: Vec<&str> = principal.purposes.iter().map(PurposeId::as_str).collect();
        purposes.push(Some(list.join(" ")));
        revoked.push(Some(principal.revoked));
    }
    answer::table(
        format,
        [
            ("name", Arc::new(StringArray::from(names)) as ArrayRef),
            ("role", Arc::new(StringArray::from(roles))),
            ("purposes", Arc::new(StringArray::from(purposes))),
            ("revoked", Arc::new(BooleanArray::from(revoked))),
        ],
    )
}
