//! Errors as RFC 9457 problems, the one place that picks a status.
//!
//! Each problem also carries `code` and `message`: the RudderStack client re-sends a 400 for ever whose JSON lacks
//! `code`. Texts come from typed errors that hold no personal data; whatever is internal is logged, not sent.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What an error answer says (RFC 9457).
#[derive(Debug, Clone)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// A stable snake-case code, which also makes the problem's `type`.
    pub code: String,
    /// What happened here and what to do.
    pub detail: String,
    /// Single faults, each with its place.
    pub errors: Vec<Fault>,
    /// Whole seconds after which a retry makes sense.
    pub retry_after: Option<u32>,
}

/// One fault of several.
#[derive(Debug, Clone, Serialize)]
pub struct Fault {
    /// Where: a JSON pointer, or `file:line:column`.
    pub pointer: String,
    /// What is wrong and how to mend it.
    pub detail: String,
}

impl Problem {
    /// A problem with a status and a stable code.
    #[must_use]
    pub fn new(status: StatusCode, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// With the single faults behind it.
    #[must_use]
    pub fn with_faults(mut self, errors: Vec<Fault>) -> Self {
        self.errors = errors;
        self
    }

    /// 503: nothing was done, a retry makes sense.
    #[must_use]
    pub fn unavailable(code: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        problem.retry_after = Some(1);
        problem
    }

    /// 503 because of this error: when to try again is what the journal behind it says, if it does.
    #[must_use]
    pub fn unavailable_for(
        code: impl Into<String>,
        error: &(dyn std::error::Error + 'static),
    ) -> Self {
        let mut problem = Self::unavailable(code, error.to_string());
        problem.retry_after = hinted(error).or(problem.retry_after);
        problem
    }

    /// 500: the cause goes to the log, not to the caller.
    #[must_use]
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(cause = %cause, "internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "a defect of this program; its log says more",
        )
    }

    /// 400: the request itself is wrong.
    #[must_use]
    pub fn invalid(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }
}

/// What the journal among the causes of an error says of when to try again, in whole seconds and at least one: several
/// SDKs cannot read anything else.
fn hinted(error: &(dyn std::error::Error + 'static)) -> Option<u32> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(journal) = error.downcast_ref::<assent_journal::Error>()
            && let Some(after) = journal.retry_after()
        {
            let seconds = after.as_millis().div_ceil(1_000).max(1);
            return u32::try_from(seconds).ok();
        }
        cause = error.source();
    }
    None
}

impl Problem {
    /// The members of the answer: those of RFC 9457, `code` and `message`, and `errors` if there are any.
    fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut member = |name: &str, value: Value| members.insert(name.to_owned(), value);
        member("type", format!("urn:assent:problem:{}", self.code).into());
        member("title", self.status.canonical_reason().into());
        member("status", self.status.as_u16().into());
        member("detail", self.detail.as_str().into());
        member("code", self.code.as_str().into());
        member("message", self.detail.as_str().into());
        if !self.errors.is_empty() {
            member("errors", json!(self.errors));
        }
        members
    }

    /// The answer, with members of its own besides those of every problem.
    pub(crate) fn with_members(self, own: Map<String, Value>) -> Response {
        let mut members = self.members();
        members.extend(own);
        let mut response = (
            self.status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            Value::Object(members).to_string(),
        )
            .into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.with_members(Map::new())
    }
}

impl From<assent_segment::Error> for Problem {
    fn from(error: assent_segment::Error) -> Self {
        use assent_segment::ErrorKind;
        let text = error.to_string();
        let code = error.code();
        match error.kind() {
            ErrorKind::Invalid => Self::new(StatusCode::BAD_REQUEST, code, text),
            ErrorKind::NotFound => Self::new(StatusCode::NOT_FOUND, code, text),
            // Revoked since the token was looked up: what the next request is told, too.
            ErrorKind::Unauthenticated => Self::new(StatusCode::UNAUTHORIZED, code, text),
            ErrorKind::Denied => Self::new(StatusCode::FORBIDDEN, code, text),
            ErrorKind::Unavailable => Self::unavailable(code, text),
            ErrorKind::Exhausted => Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, text),
            ErrorKind::Corrupt | ErrorKind::Internal => {
                tracing::error!(code, "{text}");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use assent_journal::{Error, ErrorKind};
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn every_problem_has_the_members_of_the_standard() {
        let problems = [
            Problem::invalid("a", "one").with_faults(vec![Fault {
                pointer: "/x".to_owned(),
                detail: "two".to_owned(),
            }]),
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "a", "one"),
            Problem::unavailable("a", "one"),
            Problem::internal(&"cause"),
        ];
        for problem in problems {
            let response = problem.into_response();
            let status = response.status();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            for member in ["type", "title", "detail", "code", "message"] {
                let text = body[member].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{member} of {body}");
            }
            assert_eq!(body["status"], status.as_u16());
        }
    }

    #[test]
    fn who_is_not_known_is_told_so_and_not_that_they_may_not() {
        use assent_segment::{Error, ErrorKind};
        let status = |kind, code| Problem::from(Error::new(kind, code, "…")).status;
        assert_eq!(
            status(ErrorKind::Unauthenticated, "principal_revoked"),
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(
            status(ErrorKind::Denied, "purpose_not_given"),
            StatusCode::FORBIDDEN
        );
    }

    #[test]
    fn when_to_come_back_is_said_in_whole_seconds() {
        let after = |millis: Option<u64>| {
            let error = Error::new(ErrorKind::Unavailable, "busy");
            let error = match millis {
                Some(millis) => error.with_retry_after(Duration::from_millis(millis)),
                None => error,
            };
            // As intake hands it on.
            let error = assent_intake::Error::from(error);
            let response = Problem::from(error).into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            response.headers()[header::RETRY_AFTER]
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(after(None), "1");
        assert_eq!(after(Some(0)), "1");
        assert_eq!(after(Some(200)), "1");
        assert_eq!(after(Some(5_000)), "5");
        assert_eq!(after(Some(5_001)), "6");
    }
}
