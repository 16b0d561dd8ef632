//! Traces as a collector gets them: a request and the fold of what it brought name each other, and nothing personal is in
//! them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};

use crate::running::{Server, assent_ok};

/// Takes what is posted to it, and answers that all is well.
struct Collector {
    port: u16,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let held = Arc::clone(&bodies);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Some(body) = stream.ok().and_then(taken) else {
                    return;
                };
                held.lock().unwrap().push(body);
            }
        });
        Self { port, bodies }
    }

    fn spans(&self) -> Vec<Span> {
        let bodies = self.bodies.lock().unwrap();
        bodies
            .iter()
            .flat_map(|body| {
                ExportTraceServiceRequest::decode(&body[..])
                    .unwrap()
                    .resource_spans
            })
            .flat_map(|of_resource| of_resource.scope_spans)
            .flat_map(|of_scope| of_scope.spans)
            .collect()
    }
}

/// The body of one request, which is answered.
fn taken(stream: TcpStream) -> Option<Vec<u8>> {
    let mut answers = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).ok()?;
    answers
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .ok()?;
    Some(body)
}

fn track(event: u32) -> Value {
    json!({
        "event": "planted-event", "userId": format!("planted-customer-{event}"),
        "messageId": format!("planted-message-{event}"), "properties": { "note": "planted-note" },
    })
}

#[test]
fn a_request_and_the_fold_of_what_it_brought_name_each_other_and_nobody_else() {
    let data = tempfile::tempdir().unwrap();
    assent_ok(data.path(), &["apply", "pipelines"]);
    let token = assent_ok(
        data.path(),
        &[
            "principal",
            "add",
            "planted-principal",
            "--purpose",
            "email_marketing",
        ],
    );
    let collector = Collector::start();
    let endpoint = format!("http://127.0.0.1:{}/v1/traces", collector.port);
    let server = Server::start(
        data.path(),
        &[
            ("ASSENT_TELEMETRY__TRACES_ENDPOINT", &endpoint),
            ("ASSENT_LOG", "debug"),
        ],
    );
    let post = |path: &str, body: &Value| {
        let response = server.post(path, "demo-server-key", body);
        response.expect("answered").status
    };
    for event in 0..5 {
        assert_eq!(post("/v1/track", &track(event)), 200);
    }
    let traits = json!({
        "userId": "planted-customer-1", "messageId": "planted-m",
        "traits": { "email": "planted@example.com", "city": "planted-city" },
    });
    assert_eq!(post("/v1/identify", &traits), 200);
    assert_eq!(post("/v1/track", &json!("planted-nonsense")), 400);
    let decision = json!({
        "subject": { "customer_no": "planted-customer-2" }, "purpose": "email_marketing", "state": "withdrawn",
    });
    assert_eq!(post("/v1/consents", &decision), 200);
    let authorization = format!("Bearer {}", token.trim());
    for sql in [
        "SELECT city FROM members WHERE city = 'planted-city'",
        "SELECT planted FROM members",
    ] {
        let body = json!({ "sql": sql, "purpose": "email_marketing" }).to_string();
        let headers = [("authorization", authorization.as_str())];
        let answer = server.request("POST", "/v1/query", &headers, body.as_bytes());
        assert!(answer.is_some());
    }
    server.request("GET", "/v1/segments/planted-segment?planted=1", &[], b"");
    assent_ok(data.path(), &["project"]);
    assert!(server.stop());

    let spans = collector.spans();
    let named =
        |name: &str| -> Vec<&Span> { spans.iter().filter(|span| span.name == name).collect() };
    let (requests, appends, folds) = (
        named("http request"),
        named("journal append"),
        named("projection"),
    );
    assert!(requests.len() >= 11, "{} requests", requests.len());
    let appended_by_requests = appends
        .iter()
        .filter(|append| {
            let mut parents = requests
                .iter()
                .filter(|request| request.trace_id == append.trace_id);
            parents.any(|request| request.span_id == append.parent_span_id)
        })
        .count();
    assert!(
        appended_by_requests >= 7,
        "{appended_by_requests} of {}",
        appends.len()
    );
    let joined = folds
        .iter()
        .flat_map(|fold| &fold.links)
        .filter(|link| {
            appends
                .iter()
                .any(|append| append.span_id == link.span_id && append.trace_id == link.trace_id)
        })
        .count();
    assert!(joined >= 6, "{joined} links of {} folds", folds.len());

    let committed = named("projection commit")
        .iter()
        .filter(|commit| folds.iter().any(|fold| fold.trace_id == commit.trace_id))
        .count();
    assert!(committed >= 1, "a fold leads to its commit");

    let bodies = collector.bodies.lock().unwrap().concat();
    let told = String::from_utf8_lossy(&bodies);
    for known in [
        "/v1/track",
        "/v1/segments/{name}",
        "http.response.status_code",
    ] {
        assert!(told.contains(known), "the control: {known} is told");
    }
    for personal in ["planted", token.trim()] {
        assert!(!told.contains(personal), "{personal} is in a span");
    }
}
