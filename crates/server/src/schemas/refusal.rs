//! Refusals as a schema registry words them: a status, a code of five digits that begins with it, a sentence.

use assent_event::schema::Incompatible;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::MEDIA_TYPE;

/// Why something was not answered.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: u32,
    message: String,
}

impl Refusal {
    fn not_found(code: u32, message: String) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code,
            message,
        }
    }

    fn unprocessable(code: u32, message: String) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code,
            message,
        }
    }

    pub(super) fn subject_not_found(subject: &str) -> Self {
        Self::not_found(40_401, format!("Subject '{subject}' not found."))
    }

    pub(super) fn version_not_found(version: &str) -> Self {
        Self::not_found(40_402, format!("Version {version} not found."))
    }

    pub(super) fn schema_not_found() -> Self {
        Self::not_found(40_403, "Schema not found".to_owned())
    }

    pub(super) fn id_not_found(id: &str) -> Self {
        Self::not_found(40_403, format!("Schema {id} not found"))
    }

    pub(super) fn not_a_version(version: &str) -> Self {
        Self::unprocessable(
            42_202,
            format!(
                "The specified version '{version}' is not a valid version id. Allowed values are between [1, 2^31-1] \
                 and the string \"latest\""
            ),
        )
    }

    pub(super) fn invalid(why: &str) -> Self {
        Self::unprocessable(42_201, format!("Invalid schema: {why}"))
    }

    pub(super) fn unreadable(status: StatusCode, message: String) -> Self {
        Self {
            status,
            code: status.as_u16().into(),
            message,
        }
    }

    pub(super) fn incompatible(subject: &str, why: &Incompatible) -> Self {
        Self {
            status: StatusCode::CONFLICT,
            code: 409,
            message: format!(
                "Schema being registered is incompatible with an earlier schema for subject \"{subject}\": {why}"
            ),
        }
    }

    pub(super) fn comes_with_a_release(subject: &str) -> Self {
        Self::unprocessable(
            42_205,
            format!(
                "Subject \"{subject}\" is of Assent itself: a new version of it comes with a release of Assent. This \
                 schema is compatible; write with a version that is registered"
            ),
        )
    }

    pub(super) fn foreign_subject(subject: &str) -> Self {
        Self::unprocessable(
            42_205,
            format!(
                "Subject \"{subject}\" is none of Assent's, and only those stand here; register your own schemas with \
                 a registry of yours"
            ),
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error_code": self.code, "message": self.message });
        (
            self.status,
            [(header::CONTENT_TYPE, MEDIA_TYPE)],
            body.to_string(),
        )
            .into_response()
    }
}
