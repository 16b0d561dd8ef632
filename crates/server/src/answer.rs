//! Rows in the format that the caller accepts.

use arrow::array::{ArrayRef, RecordBatch};
use assent_segment::format::{Format, encode};
use assent_segment::{Engine, QueryResult};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// The format the `Accept` header asks for; JSON when it does not care.
///
/// # Errors
/// 406 listing what there is.
pub(crate) fn accepted(headers: &HeaderMap) -> Result<Format, Problem> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("*/*");
    for wanted in accept.split(',') {
        let wanted = wanted.split(';').next().unwrap_or_default().trim();
        if matches!(wanted, "*/*" | "application/*" | "") {
            return Ok(Format::Json);
        }
        let found = Format::ALL
            .into_iter()
            .find(|format| format.media_type().split(';').next() == Some(wanted));
        if let Some(format) = found {
            return Ok(format);
        }
    }
    let known: Vec<&str> = Format::ALL
        .iter()
        .map(|format| format.media_type())
        .collect();
    Err(Problem::new(
        axum::http::StatusCode::NOT_ACCEPTABLE,
        "not_acceptable",
        format!("answers come as one of: {}", known.join(", ")),
    ))
}

/// The rows of a query, with what they rest on in a header. They are written on the engine's own threads.
pub(crate) async fn rows(
    engine: &Engine,
    format: Format,
    result: QueryResult,
) -> Result<Response, Problem> {
    let answered = result.answered.to_json().to_string();
    let mut response = bytes(format, engine.encode(result, format).await?);
    if let Ok(value) = HeaderValue::from_str(&answered) {
        response.headers_mut().insert("assent-answered", value);
    }
    Ok(response)
}

/// A small table made here, in the same formats.
pub(crate) fn table<const N: usize>(
    format: Format,
    columns: [(&str, ArrayRef); N],
) -> Result<Response, Problem> {
    let batch = RecordBatch::try_from_iter(columns).map_err(|error| Problem::internal(&error))?;
    Ok(bytes(format, encode(format, &batch.schema(), &[batch])?))
}

fn bytes(format: Format, body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, format.media_type())], body).into_response()
}
