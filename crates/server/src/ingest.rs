//! `POST /v1/consents` and `POST /v1/{track,identify,page,screen,group,alias,batch}`.
//!
//! The answer is exactly 200 for whatever was taken (two SDKs send again on 202), and it comes after the journal's
//! acknowledgement. Each event has its own outcome; a bad item does not cost the rest of its batch.

use assent_intake::{ErrorKind, Outcome, Route, Warning};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::authorization;
use crate::body;
use crate::problem::Problem;
use crate::routes::Taking;

/// The tracking routes, with the short names of the browser SDK.
pub(crate) const TRACKING: [(&str, Route); 14] = [
    ("/v1/track", Route::Track),
    ("/v1/t", Route::Track),
    ("/v1/identify", Route::Identify),
    ("/v1/i", Route::Identify),
    ("/v1/page", Route::Page),
    ("/v1/p", Route::Page),
    ("/v1/screen", Route::Screen),
    ("/v1/s", Route::Screen),
    ("/v1/group", Route::Group),
    ("/v1/g", Route::Group),
    ("/v1/alias", Route::Alias),
    ("/v1/a", Route::Alias),
    ("/v1/batch", Route::Batch),
    ("/v1/b", Route::Batch),
];

pub(crate) async fn events(
    State(taking): State<Taking>,
    route: Route,
    request: Request,
) -> Result<Json<Map<String, Value>>, Problem> {
    let (head, body) = request.into_parts();
    let caller = authorization::caller(&head.headers)?;
    taking.intake.admit(&caller).await?;
    let body = body::read(&head.headers, body, taking.body_limit).await?;
    let outcomes = taking.intake.events(&caller, route, body.into()).await?;
    Ok(Json(answer(&outcomes)))
}

pub(crate) async fn consents(
    State(taking): State<Taking>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let caller = authorization::caller(&head.headers)?;
    taking.intake.admit(&caller).await?;
    let body = body::read(&head.headers, body, taking.body_limit).await?;
    let body = body.into();
    let outcomes = taking.intake.consents_bytes(&caller, body).await?;
    Ok(decided(&outcomes))
}

/// A caller who sent decisions and had none recorded must not take the answer for a yes: 422, with the same members as
/// ever besides those of a problem. (Tracking routes answer 200 whatever became of single events: their SDKs would send
/// the same batch again for ever.)
fn decided(outcomes: &[Outcome]) -> Response {
    let mut answer = answer(outcomes);
    let refused = |outcome: &Outcome| matches!(outcome, Outcome::Rejected(_));
    if outcomes.is_empty() || !outcomes.iter().all(refused) {
        return Json(answer).into_response();
    }
    let problem = Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "nothing_recorded",
        "every decision of this request was refused; see `rejected`",
    );
    answer.insert("success".to_owned(), false.into());
    problem.with_members(answer)
}

/// `success` is what SDKs look at; `rejected` and `warnings` are for people.
fn answer(outcomes: &[Outcome]) -> Map<String, Value> {
    let (mut journalled, mut duplicates) = (0_u64, 0_u64);
    let (mut rejected, mut warnings) = (Vec::new(), Vec::new());
    for (index, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Outcome::Journalled { warnings: of, .. } => {
                journalled += 1;
                warnings.extend(of.iter().map(|warning| told(index, warning)));
            }
            Outcome::Duplicate => duplicates += 1,
            Outcome::Rejected(reason) => rejected.push(json!({
                "index": index,
                "code": reason.code.as_str(),
                "pointer": reason.pointer,
                "message": reason.message,
                "fix": reason.fix,
            })),
        }
    }
    let mut answer = Map::new();
    let mut member = |name: &str, value: Value| answer.insert(name.to_owned(), value);
    member("success", true.into());
    member("journalled", journalled.into());
    member("duplicates", duplicates.into());
    if !rejected.is_empty() {
        member("rejected", rejected.into());
    }
    if !warnings.is_empty() {
        member("warnings", warnings.into());
    }
    answer
}

fn told(index: usize, warning: &Warning) -> Value {
    json!({
        "index": index,
        "code": warning.code.as_str(),
        "pointer": warning.pointer,
        "message": warning.message,
    })
}

impl From<assent_intake::Error> for Problem {
    fn from(error: assent_intake::Error) -> Self {
        let code = error.code();
        let text = error.to_string();
        match error.kind() {
            ErrorKind::Invalid => Self::new(StatusCode::BAD_REQUEST, code, text),
            ErrorKind::TooLarge => Self::new(StatusCode::PAYLOAD_TOO_LARGE, code, text),
            ErrorKind::Denied => Self::new(StatusCode::UNAUTHORIZED, code, text),
            ErrorKind::NotFound => Self::new(StatusCode::NOT_FOUND, code, text),
            ErrorKind::Unavailable => {
                tracing::warn!(code, cause = ?std::error::Error::source(&error).map(ToString::to_string), "intake unavailable");
                Self::unavailable_for(code, &error)
            }
            ErrorKind::Corrupt | ErrorKind::Internal => {
                tracing::error!(code, cause = ?std::error::Error::source(&error).map(ToString::to_string), "intake failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use assent_intake::{Code, Rejected};
    use axum::http::header;
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn decisions_of_which_none_was_recorded_are_a_whole_problem() {
        let refused = || {
            Outcome::Rejected(Rejected {
                code: Code::ALL[0],
                pointer: "/purpose".to_owned(),
                message: "unknown".to_owned(),
                fix: "name one".to_owned(),
            })
        };
        let response = decided(&[refused(), refused()]);
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let of = |name: &str| body[name].clone();
        assert_eq!(of("type"), "urn:assent:problem:nothing_recorded");
        assert_eq!(of("title"), "Unprocessable Entity");
        assert_eq!(of("status"), 422);
        assert_eq!(of("detail"), of("message"));
        assert_eq!(of("success"), false);
        assert_eq!(of("rejected").as_array().map(Vec::len), Some(2));
        // One that was taken makes it an answer of the usual kind.
        let one = decided(&[refused(), Outcome::Duplicate]);
        assert_eq!(one.status(), StatusCode::OK);
    }
}
