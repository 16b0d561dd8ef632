use axum::Router;
use axum::body::Body;
use axum::http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::from_slice;
use tower::ServiceExt;

use super::*;

async fn ask(method: Method, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(body.into())
        .unwrap();
    let router = routes::<()>()
        .into_iter()
        .fold(Router::new(), |router, (path, handler)| {
            router.route(path, handler)
        });
    let response = router.with_state(()).oneshot(request).await.unwrap();
    let status = response.status();
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        MEDIA_TYPE,
        "{path}"
    );
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, from_slice(&body).unwrap())
}

async fn get(path: &str) -> Value {
    let (status, answer) = ask(Method::GET, path, Body::empty()).await;
    assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    answer
}

async fn post(path: &str, schema: &str) -> (StatusCode, Value) {
    ask(Method::POST, path, json!({ "schema": schema }).to_string()).await
}

async fn refused(method: Method, path: &str, body: impl Into<Body>, code: u32) -> String {
    let (status, answer) = ask(method, path, body).await;
    assert_eq!(answer["error_code"], code, "{path}: {answer}");
    let digits = code.to_string();
    assert!(digits.starts_with(status.as_str()), "{path}: {status}");
    assert_eq!(answer.as_object().unwrap().len(), 2);
    answer["message"].as_str().unwrap().to_owned()
}

const LINK: &str = "assent.consent-assent.event.IdentityLink";

/// The newest schema of a link, with one more field.
fn link_with(field: &Value) -> String {
    let mut json: Value =
        serde_json::from_str(schema::text(assent_event::Kind::IdentityLink)).unwrap();
    let fields = json["fields"][0]["type"]["fields"].as_array_mut().unwrap();
    fields.push(field.clone());
    json.to_string()
}

#[tokio::test]
async fn every_schema_is_found_by_name_and_by_id() {
    let subjects = get("/subjects").await;
    for expected in [
        "assent.consent-value",
        "assent.consent-assent.event.Envelope",
        "assent.consent-assent.event.ConsentDecision",
        "assent.profile-assent.event.Traits",
        "assent.behaviour-value",
        "assent.use-assent.event.UseRecord",
        "assent.rejects-assent.event.Rejection",
    ] {
        assert!(
            subjects.as_array().unwrap().contains(&expected.into()),
            "{expected}"
        );
    }
    let mut seen = std::collections::BTreeSet::new();
    for subject in subjects.as_array().unwrap() {
        let subject = subject.as_str().unwrap();
        for version in get(&format!("/subjects/{subject}/versions"))
            .await
            .as_array()
            .unwrap()
        {
            let told = get(&format!("/subjects/{subject}/versions/{version}")).await;
            assert_eq!(told["subject"], subject);
            assert_eq!(told["version"], *version);
            let id = told["id"].as_u64().unwrap();
            let by_id = get(&format!("/schemas/ids/{id}")).await;
            assert_eq!(by_id, json!({"schema": told["schema"]}));
            let versions = get(&format!("/schemas/ids/{id}/versions")).await;
            let here = json!({"subject": subject, "version": version});
            assert!(versions.as_array().unwrap().contains(&here));
            // What a client has from us it can look up and register.
            let text = told["schema"].as_str().unwrap();
            let path = format!("/subjects/{subject}");
            assert_eq!(post(&path, text).await, (StatusCode::OK, told.clone()));
            let registered = post(&format!("{path}/versions"), text).await;
            assert_eq!(registered, (StatusCode::OK, json!({"id": id})));
            seen.insert(u32::try_from(id).unwrap());
        }
        let latest = get(&format!("/subjects/{subject}/versions/latest")).await;
        assert_eq!(
            get(&format!("/subjects/{subject}/versions/-1")).await,
            latest
        );
    }
    let published: std::collections::BTreeSet<u32> =
        schema::all().iter().map(Published::id).collect();
    assert_eq!(seen, published, "every published schema has a subject");
    assert_eq!(
        get("/subjects?subjectPrefix=assent.use").await,
        json!([
            "assent.use-value",
            "assent.use-assent.event.Envelope",
            "assent.use-assent.event.UseRecord"
        ])
    );
}

#[tokio::test]
async fn what_is_not_there_has_the_codes_of_a_registry() {
    for (path, code) in [
        ("/subjects/nobody/versions", 40_401),
        ("/subjects/nobody/versions/1", 40_401),
        ("/config/nobody", 40_401),
        ("/subjects/assent.use-value/versions/9", 40_402),
        ("/schemas/ids/9999", 40_403),
        ("/schemas/ids/x/versions", 40_403),
        ("/subjects/assent.use-value/versions/first", 42_202),
        ("/subjects/assent.use-value/versions/0", 42_202),
    ] {
        refused(Method::GET, path, Body::empty(), code).await;
    }
    let other = json!({"schema": "\"string\""}).to_string();
    refused(Method::POST, "/subjects/nobody", other.clone(), 40_401).await;
    refused(
        Method::POST,
        &format!("/subjects/{LINK}"),
        other.clone(),
        40_403,
    )
    .await;
    refused(
        Method::POST,
        "/compatibility/subjects/nobody/versions/1",
        other.clone(),
        40_401,
    )
    .await;
    let path = format!("/compatibility/subjects/{LINK}/versions/7");
    refused(Method::POST, &path, other, 40_402).await;
}

#[tokio::test]
async fn nothing_new_is_registered_and_it_is_said_why() {
    let path = format!("/subjects/{LINK}/versions");
    let optional = json!({"name": "new", "type": ["null", "string"], "default": null});
    let wider = json!({"schema": link_with(&optional)}).to_string();
    let message = refused(Method::POST, &path, wider, 42_205).await;
    assert!(message.contains("comes with a release"), "{message}");
    let needed = json!({"name": "new", "type": "string"});
    let breaking = json!({"schema": link_with(&needed)}).to_string();
    let message = refused(Method::POST, &path, breaking, 409).await;
    assert!(
        message.contains("incompatible with an earlier schema"),
        "{message}"
    );
    let own = json!({"schema": "\"string\""}).to_string();
    let message = refused(Method::POST, "/subjects/orders-value/versions", own, 42_205).await;
    assert!(message.contains("registry of yours"), "{message}");
    assert_eq!(get(&path).await, json!([1]), "nothing was registered");
}

#[tokio::test]
async fn what_is_no_schema_is_refused() {
    let path = format!("/subjects/{LINK}/versions");
    for body in [
        json!({"schema": "{"}),
        json!({"schema": ""}),
        json!({}),
        json!({"schema": "\"string\"", "schemaType": "PROTOBUF"}),
        json!({"schema": "\"string\"", "references": [{"name": "a"}]}),
    ] {
        refused(Method::POST, &path, body.to_string(), 42_201).await;
    }
    refused(Method::POST, &path, "no JSON", 400).await;
    refused(Method::POST, &path, vec![b' '; LIMIT + 1], 413).await;
}

#[tokio::test]
async fn compatibility_is_checked_both_ways() {
    let path = format!("/compatibility/subjects/{LINK}/versions/latest");
    let optional = json!({"name": "new", "type": ["null", "string"], "default": null});
    let needed = json!({"name": "new", "type": "string"});
    let same = schema::text(assent_event::Kind::IdentityLink).to_owned();
    for (text, compatible) in [
        (same, true),
        (link_with(&optional), true),
        (link_with(&needed), false),
        ("\"string\"".to_owned(), false),
    ] {
        let answer = post(&path, &text).await;
        assert_eq!(
            answer,
            (StatusCode::OK, json!({"is_compatible": compatible}))
        );
        let (_, told) = post(&format!("{path}?verbose=True&normalize=False"), &text).await;
        assert_eq!(
            told["messages"].as_array().unwrap().is_empty(),
            compatible,
            "{told}"
        );
    }
    for path in ["/config".to_owned(), format!("/config/{LINK}")] {
        assert_eq!(
            get(&path).await,
            json!({"compatibilityLevel": "FULL_TRANSITIVE"})
        );
    }
}
