//! One connection to a server: a request, its answer, the next.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A connection that stays open.
pub(crate) struct Client {
    address: String,
    sender: SendRequest<Body>,
}

impl Client {
    /// Connects to `host:port`.
    pub(crate) async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("connected");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("http");
        tokio::spawn(connection);
        Self {
            address: address.to_owned(),
            sender,
        }
    }

    /// The body of the answer, which must be 200.
    pub(crate) async fn get(&mut self, path: &str) -> Vec<u8> {
        self.send(Request::get(path), Vec::new()).await
    }

    /// Posts JSON, with a value of the header `Authorization` where the body says nothing of who sends it; the answer, which
    /// must be 200 and JSON.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        authorization: Option<&str>,
        body: Vec<u8>,
    ) -> Value {
        let mut request = Request::post(path).header(header::ACCEPT, "application/json");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let answer = self.send(request, body).await;
        serde_json::from_slice(&answer).expect("JSON")
    }

    async fn send(&mut self, request: axum::http::request::Builder, body: Vec<u8>) -> Vec<u8> {
        let request = request
            .header(header::HOST, &self.address)
            .body(Body::from(body))
            .expect("a request");
        self.sender.ready().await.expect("the connection is open");
        let response = self.sender.send_request(request).await.expect("an answer");
        let status = response.status();
        let body = response.into_body().collect().await.expect("whole");
        let body = body.to_bytes().to_vec();
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
        body
    }
}
