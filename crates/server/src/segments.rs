//! `/v1/segments`: list, show, run, refresh, compare; and export, on the local socket only, since it writes a file here.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, StringArray, UInt32Array, UInt64Array};
use assent_programme::SegmentDefinition;
use assent_segment::{ExportFormat, LawfulSession};
use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer;
use crate::body::JsonBody;
use crate::problem::Problem;
use crate::query::{instant, principal, principal_of_session};
use crate::routes::Asking;

/// Days after which an exported file must not be used: people may withdraw meanwhile.
const EXPORT_VALID_DAYS: u32 = 7;

pub(crate) async fn list(
    State(asking): State<Asking>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let format = answer::accepted(&headers)?;
    let principal = principal(&asking.engine, &headers).await?;
    let segments = asking.engine.segments(&principal);
    let text = |of: &dyn Fn(&SegmentDefinition) -> Option<String>| -> ArrayRef {
        let texts = segments.iter().map(|(segment, _)| of(segment));
        Arc::new(texts.collect::<StringArray>())
    };
    let versions: UInt32Array = segments
        .iter()
        .map(|(segment, _)| Some(segment.version))
        .collect();
    let allowed: BooleanArray = segments.iter().map(|(_, allowed)| Some(*allowed)).collect();
    answer::table(
        format,
        [
            ("name", text(&|segment| Some(segment.name.clone()))),
            ("version", Arc::new(versions)),
            (
                "purpose",
                text(&|segment| Some(segment.purpose.to_string())),
            ),
            (
                "channel",
                text(&|segment| segment.channel.as_ref().map(ToString::to_string)),
            ),
            ("allowed", Arc::new(allowed)),
            (
                "description",
                text(&|segment| Some(segment.description.clone())),
            ),
        ],
    )
}

pub(crate) async fn show(
    State(asking): State<Asking>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let principal = principal(&asking.engine, &headers).await?;
    let (segment, allowed) = asking.engine.segment(&principal, &name)?;
    let wants_text = headers
        .get(axum::http::header::ACCEPT)
        .is_some_and(|accept| accept.as_bytes().starts_with(b"text/plain"));
    if wants_text {
        let mut header = format!(
            "CREATE SEGMENT {}\n  FOR PURPOSE {}",
            segment.name, segment.purpose
        );
        if let Some(channel) = &segment.channel {
            header.push_str(&format!(" CHANNEL {channel}"));
        }
        if let Some(recipient) = &segment.recipient {
            header.push_str(&format!(" RECIPIENT {recipient}"));
        }
        let text = format!(
            "-- {}\n-- version {}, sha256 of the query {}\n{header}\n  AS {};\n",
            segment.description.replace('\n', "\n-- "),
            segment.version,
            segment.sha256(),
            segment.query.trim()
        );
        return Ok(text.into_response());
    }
    Ok(Json(json!({
        "name": segment.name,
        "version": segment.version,
        "purpose": segment.purpose.as_str(),
        "channel": segment.channel.as_ref().map(ToString::to_string),
        "recipient": segment.recipient.as_ref().map(ToString::to_string),
        "description": segment.description,
        "query": segment.query,
        "sql_sha256": segment.sha256(),
        "allowed": allowed,
    }))
    .into_response())
}

/// A session of the present under a segment's own use.
async fn session(
    asking: &Asking,
    headers: &HeaderMap,
    segment: &str,
) -> Result<LawfulSession, Problem> {
    let principal = principal_of_session(&asking.engine, headers).await?;
    Ok(LawfulSession::for_segment(&asking.engine, &principal, segment, None).await?)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    as_of: Option<String>,
}

pub(crate) async fn run(
    State(asking): State<Asking>,
    headers: HeaderMap,
    Path(name): Path<String>,
    body: Request,
) -> Result<Response, Problem> {
    let format = answer::accepted(&headers)?;
    let principal = principal_of_session(&asking.engine, &headers).await?;
    // An empty body asks for the present.
    let JsonBody(run) = JsonBody::<Run>::or_default(body, &asking).await?;
    let as_of = instant(run.as_of.as_deref())?;
    let session = LawfulSession::for_segment(&asking.engine, &principal, &name, as_of).await?;
    let result = session.run_segment(&name).await?;
    answer::rows(&asking.engine, format, result).await
}

pub(crate) async fn refresh(
    State(asking): State<Asking>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let format = answer::accepted(&headers)?;
    let session = session(&asking, &headers, &name).await?;
    let members = session.refresh_segment(&name).await?;
    let members: UInt64Array = [Some(members)].into_iter().collect();
    answer::table(format, [("members", Arc::new(members) as ArrayRef)])
}

/// What the last run of a segment changed: counts, or with `?members=true` who.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Diff {
    #[serde(default)]
    members: bool,
}

pub(crate) async fn diff(
    State(asking): State<Asking>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(asked): Query<Diff>,
) -> Result<Response, Problem> {
    let format = answer::accepted(&headers)?;
    let session = session(&asking, &headers, &name).await?;
    let diff = session.segment_diff(&name).await?;
    if asked.members {
        let entered = diff.entered.iter().map(|id| ("entered", id));
        let left = diff.left_by_query.iter().map(|id| ("left", id));
        let rows: Vec<(&str, &String)> = entered.chain(left).collect();
        let change: StringArray = rows.iter().map(|(change, _)| Some(*change)).collect();
        let members: StringArray = rows.iter().map(|(_, id)| Some(*id)).collect();
        return answer::table(
            format,
            [
                ("change", Arc::new(change)),
                ("member_id", Arc::new(members)),
            ],
        );
    }
    let rows = [
        ("stayed", None, diff.stayed),
        ("entered", None, diff.entered.len() as u64),
        ("left", Some("query"), diff.left_by_query.len() as u64),
        ("left", Some("consent"), diff.left_by_consent),
        ("left", Some("identity"), diff.left_by_identity),
    ];
    let change: StringArray = rows.iter().map(|(change, ..)| Some(*change)).collect();
    let cause: StringArray = rows.iter().map(|(_, cause, _)| *cause).collect();
    let members: UInt64Array = rows.iter().map(|(.., members)| Some(*members)).collect();
    answer::table(
        format,
        [
            ("change", Arc::new(change)),
            ("cause", Arc::new(cause)),
            ("members", Arc::new(members)),
        ],
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Overlaid {
    segments: Vec<String>,
}

pub(crate) async fn overlap(
    State(asking): State<Asking>,
    headers: HeaderMap,
    JsonBody(asked): JsonBody<Overlaid>,
) -> Result<Response, Problem> {
    let format = answer::accepted(&headers)?;
    let first = asked.segments.first().map_or("", String::as_str);
    let session = session(&asking, &headers, first).await?;
    let overlaps = session.segment_overlap(&asked.segments).await?;
    let segments: StringArray = overlaps
        .iter()
        .map(|one| Some(one.segments.join(" & ")))
        .collect();
    let members: UInt64Array = overlaps.iter().map(|one| Some(one.members)).collect();
    let only: UInt64Array = overlaps.iter().map(|one| Some(one.only)).collect();
    answer::table(
        format,
        [
            ("segments", Arc::new(segments)),
            ("members", Arc::new(members)),
            ("only", Arc::new(only)),
        ],
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Export {
    format: String,
    dir: PathBuf,
}

pub(crate) async fn export(
    State(asking): State<Asking>,
    headers: HeaderMap,
    Path(name): Path<String>,
    JsonBody(export): JsonBody<Export>,
) -> Result<Json<Value>, Problem> {
    let principal = principal_of_session(&asking.engine, &headers).await?;
    let format: ExportFormat = export.format.parse().map_err(Problem::from)?;
    let session = LawfulSession::for_segment(&asking.engine, &principal, &name, None).await?;
    let exported = session
        .export_segment(&name, format, &export.dir, EXPORT_VALID_DAYS)
        .await?;
    Ok(Json(json!({
        "file": exported.file,
        "manifest_file": exported.manifest_file,
        "manifest": exported.manifest,
    })))
}
