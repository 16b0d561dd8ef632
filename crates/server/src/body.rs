//! Request bodies as ingest clients really send them: gzip or plain, whatever the content type says, bounded.

use std::io::Read;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::problem::Problem;
use crate::routes::Bounded;

/// A JSON body of a route that is not for ingest, whose faults are problems like all others.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Bounded + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (head, body) = request.into_parts();
        let bytes = read(&head.headers, body, state.body_limit()).await?;
        parse(&bytes).map(Self)
    }
}

impl<T: DeserializeOwned + Default> JsonBody<T> {
    /// As extracted, with an empty body standing for the default.
    pub(crate) async fn or_default(
        request: Request,
        state: &impl Bounded,
    ) -> Result<Self, Problem> {
        let (head, body) = request.into_parts();
        let bytes = read(&head.headers, body, state.body_limit()).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        // serde's text can quote a value of the body; the place is enough to find it.
        let what = match error.classify() {
            Category::Data => "a field is missing, unknown or of another type",
            Category::Syntax | Category::Eof | Category::Io => "it is not JSON",
        };
        Problem::invalid(
            "body_unreadable",
            format!(
                "the body: {what} (line {}, column {})",
                error.line(),
                error.column()
            ),
        )
    })
}

/// Reads a whole body of at most `limit` bytes, inflated if it says gzip; the limit holds for both sizes.
///
/// # Errors
/// 413 above the limit, 415 for another encoding, 400 for a broken stream.
pub async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    let raw = match Limited::new(body, limit).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(too_large(limit)),
        Err(_) => {
            return Err(Problem::invalid(
                "body_unreadable",
                "the body broke off; send it again",
            ));
        }
    };
    match encoding(headers)? {
        Encoding::Plain => Ok(raw),
        // Off the runtime: a megabyte of zeros takes its time.
        Encoding::Gzip => tokio::task::spawn_blocking(move || inflate(&raw, limit))
            .await
            .unwrap_or_else(|interrupted| Err(Problem::internal(&interrupted))),
    }
}

enum Encoding {
    Plain,
    Gzip,
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(Encoding::Plain);
    };
    match value.as_bytes().to_ascii_lowercase().as_slice() {
        b"" | b"identity" => Ok(Encoding::Plain),
        b"gzip" | b"x-gzip" => Ok(Encoding::Gzip),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "encoding_unsupported",
            "send the body plain or with Content-Encoding: gzip",
        )),
    }
}

fn inflate(raw: &[u8], limit: usize) -> Result<Bytes, Problem> {
    let mut plain = Vec::new();
    // One byte more than allowed tells a body at the limit from one above it.
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    flate2::read::MultiGzDecoder::new(raw)
        .take(bound)
        .read_to_end(&mut plain)
        .map_err(|_| Problem::invalid("gzip_broken", "the body is not valid gzip"))?;
    if plain.len() > limit {
        return Err(too_large(limit));
    }
    Ok(plain.into())
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("at most {limit} bytes a request, inflated; split the batch"),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    async fn read_with(encoding: Option<&str>, body: Vec<u8>) -> Result<Bytes, u16> {
        let mut headers = HeaderMap::new();
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
        }
        read(&headers, body.into(), 100)
            .await
            .map_err(|problem| problem.status.as_u16())
    }

    #[tokio::test]
    async fn bodies_are_bounded_before_and_after_inflation() {
        assert_eq!(read_with(None, vec![b'x'; 100]).await.unwrap().len(), 100);
        assert_eq!(read_with(None, vec![b'x'; 101]).await, Err(413));
        assert_eq!(
            read_with(Some("gzip"), gzip(&[b'x'; 100]))
                .await
                .unwrap()
                .len(),
            100
        );
        assert_eq!(read_with(Some("gzip"), gzip(&[b'x'; 101])).await, Err(413));
        assert_eq!(
            read_with(Some("gzip"), b"nonsense".to_vec()).await,
            Err(400)
        );
        assert_eq!(read_with(Some("br"), vec![1]).await, Err(415));
    }
}
