//! Bad input over HTTP: an exact status and code, the place named, and the rest of the batch kept.

use std::io::Write;

use assent_intake::{Code, Outcome};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::house::{BROWSER_KEY, House, Opening, SERVER_KEY, TOKEN, grant, withdrawal};

struct Client {
    house: House,
    router: Router,
}

/// An answer: its status and its JSON.
type Answer = (u16, Value);

impl Client {
    async fn new() -> Self {
        let house = Opening::sample().open().await;
        let router = house.router();
        Self { house, router }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        self.house.tick();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let kind = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        if status >= 400 {
            // What the clients look at; one of them re-sends for ever without `code`.
            assert_eq!(kind, "application/problem+json");
            assert_eq!(body["status"], json!(status));
            assert!(
                body["message"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty())
            );
            assert_eq!(body["message"], body["detail"]);
            assert!(body["code"].is_string() && body["type"].is_string());
        }
        (status, body)
    }

    async fn post(&self, path: &str, key: Option<&str>, body: impl Into<Vec<u8>>) -> Answer {
        self.send(request(path, key, None, body.into())).await
    }

    async fn json(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.post(path, Some(key), body.to_string()).await
    }

    /// Refused as a whole: status and code.
    async fn refused(
        &self,
        path: &str,
        key: Option<&str>,
        body: impl Into<Vec<u8>>,
    ) -> (u16, String) {
        code(self.post(path, key, body).await)
    }

    /// Names of events under a use, after projection.
    async fn events(&self) -> Vec<String> {
        self.house.project().await;
        let rows = self
            .house
            .rows("email_marketing", "SELECT name FROM events ORDER BY name")
            .await;
        rows.iter()
            .map(|row| row[0].as_str().unwrap().to_owned())
            .collect()
    }

    /// Everything that a whole request which was refused could have left behind.
    async fn nothing_was_recorded(&self) {
        self.house.decide(grant("a", "email_marketing")).await;
        assert!(self.events().await.is_empty());
    }
}

fn request(path: &str, key: Option<&str>, encoding: Option<&str>, body: Vec<u8>) -> Request<Body> {
    let mut request = Request::post(path);
    if let Some(key) = key {
        let credential = base64::engine::general_purpose::STANDARD.encode(format!("{key}:"));
        request = request.header("authorization", format!("Basic {credential}"));
    }
    if let Some(encoding) = encoding {
        request = request.header("content-encoding", encoding);
    }
    request.body(Body::from(body)).unwrap()
}

fn code((status, body): Answer) -> (u16, String) {
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Index, code and pointer of each rejection.
fn rejections((status, body): &Answer) -> Vec<(u64, &str, &str)> {
    // 422 is the answer to decisions none of which was recorded.
    let recorded = body["success"] == true;
    assert_eq!(*status, if recorded { 200 } else { 422 });
    body["rejected"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(|one| {
            for text in ["message", "fix"] {
                assert!(
                    one[text].as_str().is_some_and(|text| !text.is_empty()),
                    "{one}"
                );
            }
            (
                one["index"].as_u64().unwrap(),
                one["code"].as_str().unwrap(),
                one["pointer"].as_str().unwrap(),
            )
        })
        .collect()
}

fn track(name: &str) -> Value {
    json!({"type": "track", "userId": "a", "event": name})
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_as_a_whole() {
    let client = Client::new().await;
    let key = Some(SERVER_KEY);
    let cut = "{\"batch\": [\n  {\"type\": \"track\", ";
    let (status, body) = client.post("/v1/batch", key, cut).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("not_json")));
    assert!(
        body["detail"].as_str().unwrap().contains("line 2"),
        "{body}"
    );
    let (status, body) = client.post("/v1/consents", key, "[{]").await;
    assert_eq!((status, body["code"].as_str()), (400, Some("not_json")));
    assert!(
        body["detail"]
            .as_str()
            .unwrap()
            .contains("line 1, column 3"),
        "{body}"
    );
    for (path, body, expected) in [
        ("/v1/batch", "", is(400, "not_json")),
        ("/v1/batch", "[]", is(400, "wrong_shape")),
        ("/v1/batch", "{}", is(400, "wrong_shape")),
        ("/v1/batch", "{\"batch\": 1}", is(400, "wrong_shape")),
        ("/v1/track", "\"text\"", is(400, "wrong_shape")),
        ("/v1/track", "\u{0}\u{1}", is(400, "not_json")),
        ("/v1/nowhere", "{}", is(404, "no_such_route")),
    ] {
        assert_eq!(
            client.refused(path, key, body).await,
            expected,
            "{path} {body}"
        );
    }
    let deep = format!(
        "{{\"batch\": {}1{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    assert_eq!(
        client.refused("/v1/batch", key, deep).await,
        is(400, "not_json")
    );
    let invalid = b"{\"batch\": [{\"type\": \"track\", \"event\": \"\xff\"}]}".to_vec();
    assert_eq!(
        client.refused("/v1/batch", key, invalid).await,
        is(400, "not_json")
    );
    client.nothing_was_recorded().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let client = Client::new().await;
    let limits = client.house.intake.limits().clone();
    let (bytes, events) = (limits.body_bytes, limits.events);
    let key = Some(SERVER_KEY);
    let spaces = vec![b' '; bytes + 1];
    assert_eq!(
        client.refused("/v1/batch", key, spaces).await,
        is(413, "body_too_large")
    );
    // Small enough as it comes, and twenty times too large once it is unpacked.
    let bomb = gzip(&vec![b' '; 20 * bytes]);
    assert!(bomb.len() < bytes);
    for path in ["/v1/batch", "/v1/consents"] {
        let request = request(path, key, Some("gzip"), bomb.clone());
        assert_eq!(code(client.send(request).await), is(413, "body_too_large"));
    }
    for (encoding, body, expected) in [
        ("gzip", b"no gzip".to_vec(), is(400, "gzip_broken")),
        ("br", b"{}".to_vec(), is(415, "encoding_unsupported")),
    ] {
        let request = request("/v1/batch", key, Some(encoding), body);
        assert_eq!(code(client.send(request).await), expected);
    }
    let many = json!({"batch": vec![json!(1); events + 1]}).to_string();
    assert_eq!(
        client.refused("/v1/batch", key, many).await,
        is(413, "too_many_events")
    );
    let many = Value::from(vec![json!(1); events + 1]).to_string();
    assert_eq!(
        client.refused("/v1/consents", key, many).await,
        is(413, "too_many_events")
    );
    client.nothing_was_recorded().await;

    // The control: what is sent packed and fits is taken.
    let body = gzip(json!({"batch": [track("packed")]}).to_string().as_bytes());
    let (status, _) = client
        .send(request("/v1/batch", key, Some("gzip"), body))
        .await;
    assert_eq!(status, 200);
    assert_eq!(client.events().await, ["packed"]);
}

#[tokio::test]
async fn who_cannot_show_a_key_is_told_so() {
    let client = Client::new().await;
    let body = json!({"batch": [track("x")]});
    let path = "/v1/batch";
    let text = body.to_string();
    assert_eq!(
        client
            .refused(path, Some("no-such-key"), text.clone())
            .await,
        is(401, "unknown_write_key")
    );
    assert_eq!(
        client.refused(path, None, text.clone()).await,
        is(401, "write_key_missing")
    );
    let mut keyed = body.clone();
    keyed["writeKey"] = "no-such-key".into();
    assert_eq!(
        client.refused(path, None, keyed.to_string()).await,
        is(401, "unknown_write_key")
    );
    assert_eq!(
        client
            .refused(path, Some(SERVER_KEY), keyed.to_string())
            .await,
        is(401, "write_keys_disagree")
    );
    let bearer = Request::post(path)
        .header("authorization", format!("Bearer {SERVER_KEY}"))
        .body(Body::from(text))
        .unwrap();
    assert_eq!(
        code(client.send(bearer).await),
        is(401, "write_key_unreadable")
    );
    let consent = grant("a", "email_marketing").to_string();
    assert_eq!(
        client
            .refused("/v1/consents", Some("no-such-key"), consent.clone())
            .await,
        is(401, "unknown_write_key")
    );
    assert_eq!(
        client.refused("/v1/consents", None, consent).await,
        is(401, "write_key_missing")
    );
    client.nothing_was_recorded().await;
}

#[tokio::test]
async fn a_bad_item_does_not_cost_the_rest_of_its_batch() {
    let client = Client::new().await;
    client.house.decide(grant("a", "email_marketing")).await;
    let long = "x".repeat(100);
    let batch = json!({"batch": [
        track("first"),
        {"type": "track", "event": "nobody"},
        {"type": "track", "userId": {"id": 1}, "event": "x"},
        {"type": "track", "userId": "a"},
        {"type": "track", "userId": "a", "event": ["x"]},
        {"type": "dance", "userId": "a"},
        {"userId": "a", "event": "x"},
        {"type": "track", "userId": "a", "event": "x", "timestamp": 12},
        {"type": "track", "userId": "a", "event": "x", "timestamp": "yesterday"},
        {"type": "track", "userId": "a", "event": "x", "messageId": long},
        {"type": "track", "userId": "a", "event": "x", "properties": {"p": "x".repeat(40_000)}},
        {"type": "group", "userId": "a"},
        {"type": "alias", "userId": "a"},
        {"type": "track", "userId": "a", "event": "Subscription Started"},
        "text", 7, null, [],
        {"type": "track", "userId": 17, "event": 18},
        track("last"),
    ]});
    let answer = client.json("/v1/batch", SERVER_KEY, &batch).await;
    assert_eq!(
        rejections(&answer),
        [
            (1, "no_user_anon_id", "/batch/1"),
            (2, "field_invalid", "/batch/2/userId"),
            (3, "field_missing", "/batch/3/event"),
            (4, "field_invalid", "/batch/4/event"),
            (5, "unknown_type", "/batch/5/type"),
            (6, "unknown_type", "/batch/6/type"),
            (7, "time_invalid", "/batch/7/timestamp"),
            (8, "time_invalid", "/batch/8/timestamp"),
            (9, "message_id_too_long", "/batch/9/messageId"),
            (10, "event_too_large", "/batch/10"),
            (11, "field_missing", "/batch/11/groupId"),
            (12, "field_missing", "/batch/12/previousId"),
            (13, "field_missing", "/batch/13/properties/subscription_id"),
            (14, "not_an_object", "/batch/14"),
            (15, "not_an_object", "/batch/15"),
            (16, "not_an_object", "/batch/16"),
            (17, "not_an_object", "/batch/17"),
        ]
    );
    assert_eq!(answer.1["success"], json!(true));
    // Ids and names that are numbers are taken as their texts.
    assert_eq!(answer.1["journalled"], json!(3));
    assert_eq!(client.events().await, ["first", "last"]);

    // Values of the wrong type cost the value, not the event.
    let odd = json!({
        "userId": "a", "event": "odd",
        "properties": {"revenue": "many", "quantity": 1.5, "currency": {}, "product": ["p"]},
    });
    let (status, body) = client.json("/v1/track", SERVER_KEY, &odd).await;
    assert_eq!((status, &body["journalled"]), (200, &json!(1)));
    client.house.project().await;
    let sql = "SELECT revenue, quantity, product FROM events WHERE name = 'odd'";
    let rows = client.house.rows("email_marketing", sql).await;
    assert_eq!(rows, [[Value::Null, Value::Null, Value::Null]]);
    let traits = json!({"userId": "a", "traits": {"city": 7, "joined_on": "someday", "tier": "银毫", "colour": "red"}});
    let (_, body) = client.json("/v1/identify", SERVER_KEY, &traits).await;
    let mut warned: Vec<(&str, &str)> = body["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["code"].as_str().unwrap(),
                one["pointer"].as_str().unwrap(),
            )
        })
        .collect();
    warned.sort_unstable();
    assert_eq!(
        warned,
        [
            ("trait_mistyped", "/traits/city"),
            ("trait_mistyped", "/traits/joined_on"),
            ("trait_undeclared", "/traits/colour"),
        ]
    );
    client.house.project().await;
    let rows = client
        .house
        .rows("email_marketing", "SELECT city, tier FROM members")
        .await;
    assert_eq!(rows, [[Value::Null, json!("银毫")]]);
}

#[tokio::test]
async fn a_bad_decision_does_not_cost_the_others() {
    let client = Client::new().await;
    client
        .house
        .call(SERVER_KEY, assent_intake::Route::Track, track("x"))
        .await;
    let (wrong, mut future) = (grant("a", "no_such_purpose"), grant("a", "email_marketing"));
    future["notice"] = "membership@9".into();
    let body = json!([wrong, future, grant("a", "email_marketing"), {"state": "withdrawn"}]);
    let answer = client.json("/v1/consents", SERVER_KEY, &body).await;
    assert_eq!(
        rejections(&answer),
        [
            (0, "unknown_purpose", "/0/purpose"),
            (1, "notice_unknown", "/1/notice"),
            (3, "subject_missing", "/3/subject"),
        ]
    );
    assert_eq!(answer.1["journalled"], json!(1));
    assert_eq!(client.events().await, ["x"]);
    // An unknown purpose widens a withdrawal instead: it is never lost.
    let answer = client
        .json(
            "/v1/consents",
            SERVER_KEY,
            &withdrawal("a", "no_such_purpose"),
        )
        .await;
    assert_eq!(answer.1["journalled"], json!(1));
    assert_eq!(answer.1["warnings"][0]["code"], json!("purpose_widened"));
    assert_eq!(answer.1["warnings"][0]["pointer"], json!("/purpose"));
    assert!(client.events().await.is_empty());
}

#[tokio::test]
async fn a_clock_a_year_ahead_counts_as_of_receipt() {
    let client = Client::new().await;
    let mut ahead = track("ahead");
    ahead["timestamp"] = "2027-06-01T00:00:00Z".into();
    let answer = client
        .json(
            "/v1/batch",
            SERVER_KEY,
            &json!({"batch": [ahead, track("now")]}),
        )
        .await;
    assert_eq!(answer.1["journalled"], json!(2));
    let warnings = answer.1["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        (
            &warnings[0]["index"],
            &warnings[0]["code"],
            &warnings[0]["pointer"]
        ),
        (&json!(0), &json!("clock_ahead"), &json!("/timestamp"))
    );
    client.house.decide(grant("a", "email_marketing")).await;
    assert_eq!(client.events().await, ["ahead", "now"]);
    let rows = client
        .house
        .rows(
            "email_marketing",
            "SELECT count(*) FROM events WHERE event_time <= received_at AND event_time < now()",
        )
        .await;
    assert_eq!(rows, [[json!(2)]]);
    // A withdrawal from such a clock does not outlive a later grant; a grant from it is none.
    let mut no = withdrawal("a", "email_marketing");
    no["event_time"] = "2027-06-01T00:00:00Z".into();
    let mut yes = grant("a", "email_marketing");
    client.house.decide(no).await;
    assert!(client.events().await.is_empty());
    yes["event_time"] = "2027-06-01T00:00:00Z".into();
    let outcomes = client.house.consents(SERVER_KEY, yes.clone()).await;
    let [Outcome::Rejected(rejected)] = outcomes.as_slice() else {
        panic!("{outcomes:?}");
    };
    assert_eq!(rejected.code, Code::TimeInvalid);
    assert!(client.events().await.is_empty());
    yes.as_object_mut().unwrap().remove("event_time");
    client.house.decide(yes).await;
    assert_eq!(client.events().await.len(), 2);
    client
        .house
        .decide(withdrawal("a", "email_marketing"))
        .await;
    assert!(client.events().await.is_empty());
}

#[tokio::test]
async fn a_browser_may_withdraw_and_not_grant() {
    let client = Client::new().await;
    client
        .house
        .call(SERVER_KEY, assent_intake::Route::Track, track("x"))
        .await;
    let yes = grant("a", "email_marketing");
    let fact =
        json!({"subject": {"customer_no": "a"}, "fact": "contract_started", "contract": "c"});
    let body = json!([yes, fact]);
    let answer = client.json("/v1/consents", BROWSER_KEY, &body).await;
    assert_eq!(
        rejections(&answer),
        [
            (0, "server_key_required", "/0/state"),
            (1, "server_key_required", "/1/fact"),
        ]
    );
    assert_eq!(answer.1["journalled"], json!(0));
    assert!(client.events().await.is_empty());
    client.house.decide(yes).await;
    assert_eq!(client.events().await, ["x"]);
    let batch = json!({"batch": [
        {"type": "identify", "userId": "a", "traits": {"city": "x"}},
        {"type": "alias", "userId": "a", "previousId": "b"},
        track("seen"),
    ]});
    let answer = client.json("/v1/batch", BROWSER_KEY, &batch).await;
    let refused: Vec<_> = rejections(&answer)
        .iter()
        .map(|one| (one.0, one.1))
        .collect();
    assert_eq!(
        refused,
        [(0, "server_key_required"), (1, "server_key_required")]
    );
    assert_eq!(client.events().await, ["seen", "x"]);
    let answer = client
        .json(
            "/v1/consents",
            BROWSER_KEY,
            &withdrawal("a", "email_marketing"),
        )
        .await;
    assert_eq!(answer.1["journalled"], json!(1));
    assert!(client.events().await.is_empty());
}

#[tokio::test]
async fn a_question_that_is_not_lawful_is_refused() {
    let client = Client::new().await;
    let ask = async |token: &str, body: Value| {
        let request = Request::post("/v1/query")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::from(body.to_string()))
            .unwrap();
        client.send(request).await
    };
    let sql = "SELECT count(*) FROM members";
    for (token, body, expected) in [
        (
            "nobody",
            json!({"sql": sql, "purpose": "email_marketing"}),
            is(401, "token_unknown"),
        ),
        (TOKEN, json!({"sql": sql}), is(400, "purpose_missing")),
        (
            TOKEN,
            json!({"sql": sql, "purpose": "nothing"}),
            is(400, "purpose_unknown"),
        ),
        (
            TOKEN,
            json!({"sql": sql, "purpose": "rights_handling"}),
            is(403, "officer_only"),
        ),
        (
            TOKEN,
            json!({"sql": sql, "purpose": 7}),
            is(400, "body_unreadable"),
        ),
        (
            TOKEN,
            json!({"sql": sql, "purpose": "email_marketing", "channel": "sms"}),
            is(400, "channel_unknown"),
        ),
    ] {
        assert_eq!(code(ask(token, body.clone()).await), expected, "{body}");
    }
    for sql in [
        "",
        "SELECT",
        "SELECT * FROM nothing",
        "SELECT phone FROM members",
        "DROP TABLE members",
        "COPY members TO '/tmp/x'",
        "SET a = 1",
        "EXPLAIN SELECT 1",
        "SELECT 1; SELECT 2",
        "SELECT * FROM information_schema.tables",
    ] {
        let (status, _) = code(ask(TOKEN, json!({"sql": sql, "purpose": "email_marketing"})).await);
        assert_eq!(status, 400, "{sql}");
    }
    let (status, rows) = ask(TOKEN, json!({"sql": sql, "purpose": "email_marketing"})).await;
    assert_eq!(status, 200);
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
}
