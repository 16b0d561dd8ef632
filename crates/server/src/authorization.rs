//! Who calls: the write key of a source, or the token of a principal.

use assent_intake::Caller;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;

use crate::problem::Problem;

/// The bearer token of a principal (RFC 6750).
///
/// # Errors
/// 401 when there is none.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .filter(|token| !token.is_empty())
        .ok_or_else(|| {
            unauthorized(
                "token_missing",
                "send a principal's token as `Authorization: Bearer TOKEN`; `assent principal add` makes one",
            )
        })
}

/// Who sends events: HTTP Basic with the write key as user name and no password, as Segment's SDKs send it. Without a
/// header the body has to carry `writeKey`, which intake looks for; it also checks that both agree.
///
/// # Errors
/// 401 for another scheme or a credential that cannot be read.
pub fn caller(headers: &HeaderMap) -> Result<Caller, Problem> {
    let caller = match headers.get(header::AUTHORIZATION) {
        None => Caller::key_in_body(),
        Some(value) => basic_user(value.to_str().unwrap_or_default())
            .map(Caller::with_key)
            .ok_or_else(|| {
                unauthorized(
                    "write_key_unreadable",
                    "send the write key as `Authorization: Basic base64(KEY:)`",
                )
            })?,
    };
    // https://w3c.github.io/gpc/: exactly "1"; anything else says nothing.
    let gpc = headers.get("sec-gpc").is_some_and(|value| value == "1");
    Ok(caller.global_privacy_control(gpc))
}

/// The user name of a Basic credential, if its password is empty.
fn basic_user(value: &str) -> Option<String> {
    let (scheme, credential) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(credential.trim())
        .ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':').unwrap_or((&text, ""));
    (password.is_empty() && !user.is_empty()).then(|| user.to_owned())
}

fn unauthorized(code: &'static str, detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    #[test]
    fn a_write_key_is_the_user_of_a_basic_credential_without_password() {
        // demo-server-key:
        let user = basic_user("Basic ZGVtby1zZXJ2ZXIta2V5Og==");
        assert_eq!(user.as_deref(), Some("demo-server-key"));
        for wrong in ["Bearer abc", "Basic !!!", "Basic", "Basic dXNlcjpwYXNz"] {
            assert_eq!(basic_user(wrong), None, "{wrong}");
            assert_eq!(
                caller(&with(wrong)).err().map(|problem| problem.status),
                Some(StatusCode::UNAUTHORIZED)
            );
        }
        assert!(caller(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_bearer_token_is_needed() {
        assert_eq!(bearer(&with("bearer abc")).unwrap(), "abc");
        assert!(bearer(&with("Basic abc")).is_err());
        assert!(bearer(&with("Bearer ")).is_err());
        assert!(bearer(&HeaderMap::new()).is_err());
    }
}
