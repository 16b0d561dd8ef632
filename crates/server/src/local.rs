//! Routes of the local socket: for whoever owns the data directory. The socket's file permissions are the
//! authorisation; reading members still needs a principal's token, as everywhere.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, StringArray};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use crate::answer;
use crate::body::JsonBody;
use crate::control::{Changes, Examined, ImportRequest, NewPrincipal, PrincipalListed, Projected};
use crate::problem::Problem;
use crate::routes::Owning;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Programme {
    dir: PathBuf,
}

pub(crate) async fn plan(
    State(owning): State<Owning>,
    JsonBody(programme): JsonBody<Programme>,
) -> Result<Json<Changes>, Problem> {
    owning.control.plan(programme.dir).await.map(Json)
}

pub(crate) async fn apply(
    State(owning): State<Owning>,
    JsonBody(programme): JsonBody<Programme>,
) -> Result<Json<Changes>, Problem> {
    owning.control.apply(programme.dir).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Project {
    rebuild: bool,
}

pub(crate) async fn project(
    State(owning): State<Owning>,
    JsonBody(project): JsonBody<Project>,
) -> Result<Json<Projected>, Problem> {
    owning.control.project(project.rebuild).await.map(Json)
}

/// Streams one line of progress after each acknowledged batch.
pub(crate) async fn import(
    State(owning): State<Owning>,
    JsonBody(request): JsonBody<ImportRequest>,
) -> Response {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move { owning.control.import(request, sender).await });
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
    State(owning): State<Owning>,
    JsonBody(request): JsonBody<NewPrincipal>,
) -> Result<Json<serde_json::Value>, Problem> {
    let token = owning.control.add_principal(request).await?;
    Ok(Json(json!({ "token": token })))
}

pub(crate) async fn revoke_principal(
    State(owning): State<Owning>,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, Problem> {
    owning.control.revoke_principal(&name).await?;
    Ok(Json(json!({ "revoked": name })))
}

pub(crate) async fn principals(
    State(owning): State<Owning>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let format = answer::accepted(&headers)?;
    let listed = owning.control.principals().await?;
    let text = |of: &dyn Fn(&PrincipalListed) -> String| -> ArrayRef {
        let texts = listed.iter().map(|principal| Some(of(principal)));
        Arc::new(texts.collect::<StringArray>())
    };
    let revoked: BooleanArray = listed.iter().map(|one| Some(one.revoked)).collect();
    answer::table(
        format,
        [
            ("name", text(&|one| one.name.clone())),
            ("role", text(&|one| one.role.to_owned())),
            ("purposes", text(&|one| one.purposes.join(" "))),
            ("revoked", Arc::new(revoked)),
        ],
    )
}

pub(crate) async fn examine(State(owning): State<Owning>) -> Json<Examined> {
    Json(owning.control.examine().await)
}
