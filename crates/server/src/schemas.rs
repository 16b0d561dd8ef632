//! The schemas of the log, served as a schema registry serves them.
//!
//! Owns the part of Confluent's REST interface that reads, looks up and checks, so that the clients which
//! consumers and producers of Kafka already have understand what Assent writes (`docs/wire.md`). It refuses to
//! register anything new: a version comes with a release, and what is registered is the same in every process of that
//! release. The schemas are published with the program, so nobody has to say who asks.

mod refusal;
mod subjects;
#[cfg(test)]
mod tests;

use assent_event::schema::{self, Offered, Published};
use axum::extract::{Path, Query, Request};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use self::refusal::Refusal;
use self::subjects::Subject;
use crate::body;

/// What a registry's answers are, and how it names it.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// How versions of a subject go together: each reads all others, as the tests of the schemas hold them to.
const LEVEL: &str = "FULL_TRANSITIVE";

/// Bytes a request may have; the longest schema of ours has a tenth.
const LIMIT: usize = 256 << 10;

/// The routes of a schema registry, at the root as clients expect them.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Vec<(&'static str, MethodRouter<S>)> {
    vec![
        ("/subjects", get(list)),
        ("/subjects/{subject}", post(look_up)),
        ("/subjects/{subject}/versions", get(versions).post(register)),
        ("/subjects/{subject}/versions/{version}", get(version)),
        ("/schemas/ids/{id}", get(by_id)),
        ("/schemas/ids/{id}/versions", get(versions_by_id)),
        (
            "/compatibility/subjects/{subject}/versions/{version}",
            post(compatibility),
        ),
        ("/config", get(config)),
        ("/config/{subject}", get(subject_config)),
    ]
}

/// A JSON answer of a registry.
struct Answer(Value);

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, MEDIA_TYPE)], self.0.to_string()).into_response()
    }
}

#[derive(Deserialize)]
struct Listing {
    #[serde(rename = "subjectPrefix")]
    prefix: Option<String>,
}

async fn list(Query(listing): Query<Listing>) -> Answer {
    let prefix = listing.prefix.unwrap_or_default();
    let names = subjects::all().into_iter().map(|subject| subject.name);
    Answer(names.filter(|name| name.starts_with(&prefix)).collect())
}

async fn versions(Path(name): Path<String>) -> Result<Answer, Refusal> {
    let subject = Subject::named(&name)?;
    let numbers = subject.versions().map(Published::version);
    Ok(Answer(numbers.collect()))
}

async fn version(Path((name, version)): Path<(String, String)>) -> Result<Answer, Refusal> {
    let subject = Subject::named(&name)?;
    let published = subject.version(&version)?;
    Ok(Answer(told(&name, published)))
}

async fn by_id(Path(id): Path<String>) -> Result<Answer, Refusal> {
    let published = with_id(&id)?;
    Ok(Answer(json!({ "schema": published.datum().json() })))
}

async fn versions_by_id(Path(id): Path<String>) -> Result<Answer, Refusal> {
    let published = with_id(&id)?;
    let subjects = subjects::all().into_iter();
    let of = subjects.filter(|subject| subject.kind == published.kind());
    let told = of.map(|subject| json!({ "subject": subject.name, "version": published.version() }));
    Ok(Answer(told.collect()))
}

async fn look_up(Path(name): Path<String>, request: Request) -> Result<Answer, Refusal> {
    let subject = Subject::named(&name)?;
    let offered = offered(request).await?;
    let found = subject.versions().find(|one| offered.is(one));
    let found = found.ok_or_else(Refusal::schema_not_found)?;
    Ok(Answer(told(&name, found)))
}

/// Clients register what they are about to write with. What is ours already has its id; a new version has none.
async fn register(Path(name): Path<String>, request: Request) -> Result<Answer, Refusal> {
    let offered = offered(request).await?;
    let subject = Subject::named(&name).map_err(|_| Refusal::foreign_subject(&name))?;
    if let Some(same) = subject.versions().find(|one| offered.is(one)) {
        return Ok(Answer(json!({ "id": same.id() })));
    }
    for published in subject.versions() {
        offered
            .goes_with(published)
            .map_err(|why| Refusal::incompatible(&name, &why))?;
    }
    Err(Refusal::comes_with_a_release(&name))
}

#[derive(Deserialize)]
struct Checking {
    /// Java's client says `true`, Python's `True`.
    #[serde(default)]
    verbose: String,
}

async fn compatibility(
    Path((name, version)): Path<(String, String)>,
    Query(checking): Query<Checking>,
    request: Request,
) -> Result<Answer, Refusal> {
    let subject = Subject::named(&name)?;
    let published = subject.version(&version)?;
    let outcome = offered(request).await?.goes_with(published);
    let mut answer = json!({ "is_compatible": outcome.is_ok() });
    if checking.verbose.eq_ignore_ascii_case("true") {
        let messages = outcome.err().map(|why| why.to_string());
        answer["messages"] = messages.into_iter().collect();
    }
    Ok(Answer(answer))
}

async fn config() -> Answer {
    Answer(json!({ "compatibilityLevel": LEVEL }))
}

async fn subject_config(Path(name): Path<String>) -> Result<Answer, Refusal> {
    Subject::named(&name)?;
    Ok(config().await)
}

fn with_id(id: &str) -> Result<&'static Published, Refusal> {
    let number = id.parse().ok();
    let found = number.and_then(schema::published);
    found.ok_or_else(|| Refusal::id_not_found(id))
}

fn told(subject: &str, published: &Published) -> Value {
    json!({
        "subject": subject,
        "version": published.version(),
        "id": published.id(),
        "schema": published.datum().json(),
    })
}

/// What clients send with a schema, as far as it matters here.
#[derive(Deserialize)]
struct Offer {
    #[serde(default)]
    schema: String,
    #[serde(default, rename = "schemaType")]
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<Value>>,
}

async fn offered(request: Request) -> Result<Offered, Refusal> {
    let (head, body) = request.into_parts();
    let bytes = body::read(&head.headers, body, LIMIT)
        .await
        .map_err(|problem| Refusal::unreadable(problem.status, problem.detail))?;
    let offer: Offer = serde_json::from_slice(&bytes).map_err(|_| {
        Refusal::unreadable(
            axum::http::StatusCode::BAD_REQUEST,
            "the body is to be {\"schema\": \"…\"}".to_owned(),
        )
    })?;
    if offer.schema_type.is_some_and(|kind| kind != "AVRO") {
        return Err(Refusal::invalid("only AVRO is spoken here"));
    }
    if offer.references.is_some_and(|named| !named.is_empty()) {
        return Err(Refusal::invalid(
            "a schema has to stand alone here, without references",
        ));
    }
    Offered::parse(&offer.schema).map_err(|error| Refusal::invalid(&error.to_string()))
}
