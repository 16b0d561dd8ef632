//! `GET /metrics`, and what HTTP tells of itself. A route is the pattern it was found by, never the path that was asked
//! for, which may hold a name.

use std::time::Instant;

use ::metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use async_trait::async_trait;
use axum::extract::{MatchedPath, Request};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument as _;

const REQUESTS: &str = "assent_http_requests_total";
const SECONDS: &str = "assent_http_request_seconds";

/// The format of Prometheus, version 0.0.4.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Stands for every path that is no route.
const NO_ROUTE: &str = "(none)";

/// The numbers of this process.
#[async_trait]
pub trait Metrics: Send + Sync + 'static {
    /// All of them, in the text format of Prometheus.
    async fn render(&self) -> String;
}

/// Tells the recorder what the numbers mean.
pub fn describe() {
    describe_counter!(REQUESTS, "Requests by route and status");
    describe_histogram!(
        SECONDS,
        Unit::Seconds,
        "From a request's head to the head of its answer, by route"
    );
}

pub(crate) fn answer(text: String) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

/// Counts a request and spans it for traces.
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| NO_ROUTE.to_owned(), |path| path.as_str().to_owned());
    let span = tracing::info_span!(
        "http request",
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = %route,
        http.response.status_code = tracing::field::Empty,
    );
    let begin = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    counter!(REQUESTS, "route" => route.clone(), "status" => status.to_string()).increment(1);
    histogram!(SECONDS, "route" => route).record(begin.elapsed());
    response
}
