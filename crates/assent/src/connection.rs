//! The command line is a client: of the server that runs here, found through its socket, or, when none runs, of the
//! same router over stores it opens itself. Either way a command is one request.

use std::path::{Path, PathBuf};

use assent_server::ProcessRole;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tower::ServiceExt;

use crate::config::{Config, JournalKind};
use crate::failure::{Explained, Failure};
use crate::node::{self, Node};

/// Where `demo` leaves a token for the commands it suggests.
pub const TOKEN_FILE: &str = "token";

/// A way to the stores of one data directory.
pub struct Connection {
    way: Way,
    data_dir: PathBuf,
    token: Option<Token>,
}

/// A principal's token, and where it was found.
struct Token {
    text: String,
    found: Found,
}

enum Found {
    /// `--token`, or ASSENT_TOKEN.
    Given,
    /// The file of the data directory.
    File(PathBuf),
}

impl Token {
    /// The one given, else that of the data directory.
    fn of(given: Option<String>, data_dir: &Path) -> Option<Self> {
        if let Some(text) = given {
            let found = Found::Given;
            return Some(Self { text, found });
        }
        let file = data_dir.join(TOKEN_FILE);
        let text = std::fs::read_to_string(&file).ok()?.trim().to_owned();
        let found = Found::File(file);
        Some(Self { text, found })
    }
}

enum Way {
    Running(PathBuf),
    Own { router: Router, node: Box<Node> },
}

/// A whole answer.
pub struct Answer {
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body).explained("the answer is not JSON")
    }
}

impl Connection {
    /// Asks the running server if there is one. Else opens the stores: embedded ones, which must be there already unless
    /// the command `founds` them; of a shared journal what the command `needs`, as one more process.
    ///
    /// # Errors
    /// There is nothing to open, or it cannot be opened.
    pub async fn open(
        config: &Config,
        token: Option<String>,
        needs: Option<ProcessRole>,
        founds: bool,
    ) -> Result<Self, Failure> {
        let embedded = match &config.journal {
            JournalKind::Embedded => true,
            JournalKind::Kafka(_) => false,
        };
        let data_dir = &config.data_dir;
        if embedded && !founds && !data_dir.is_dir() {
            return Err(Failure::usage(format!(
                "{}: no data here; `assent apply DIR` begins one, --data-dir names another",
                data_dir.display()
            )));
        }
        let token = Token::of(token, data_dir);
        let socket = config.server.socket.clone();
        let way = if UnixStream::connect(&socket).await.is_ok() {
            Way::Running(socket)
        } else {
            let node = Box::new(Node::open(node::for_one_command(config, needs)).await?);
            // No server keeps embedded profiles up to date, so whoever asks next does.
            if let (true, Some(projection)) = (embedded, &node.stores().projection)
                && let Err(problem) = projection.project(false).await
            {
                eprintln!("assent: the profiles may lag: {}", problem.detail);
            }
            let router = assent_server::local_router(node.services(None));
            Way::Own { router, node }
        };
        Ok(Self {
            way,
            data_dir: data_dir.clone(),
            token,
        })
    }

    /// Sends JSON and returns the whole answer; an error answer becomes a [`Failure`].
    pub async fn post(&self, path: &str, accept: &str, body: &Value) -> Result<Answer, Failure> {
        let request = self
            .request("POST", path, accept)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .explained("request")?;
        self.whole(self.send(request).await?).await
    }

    /// Asks and returns the whole answer.
    pub async fn get(&self, path: &str, accept: &str) -> Result<Answer, Failure> {
        let request = self
            .request("GET", path, accept)
            .body(Body::empty())
            .explained("request")?;
        self.whole(self.send(request).await?).await
    }

    /// Sends JSON and gives each line of an NDJSON answer to `line` as it comes.
    pub async fn follow(
        &self,
        path: &str,
        body: &Value,
        mut line: impl FnMut(Value),
    ) -> Result<(), Failure> {
        let request = self
            .request("POST", path, "application/x-ndjson")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .explained("request")?;
        let response = self.send(request).await?;
        if !response.status().is_success() {
            return self.whole(response).await.map(|_| ());
        }
        let mut body = response.into_body();
        let mut held = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.explained("the answer broke off")?;
            let Some(data) = frame.data_ref() else {
                continue; // trailers carry nothing here
            };
            held.extend_from_slice(data);
            while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let rest = held.split_off(end + 1);
                let value = serde_json::from_slice(&held).explained("the answer is not NDJSON")?;
                line(value);
                held = rest;
            }
        }
        Ok(())
    }

    /// Closes the stores, if they are ours, so that everything is on disk.
    pub async fn close(self) -> Result<(), Failure> {
        match self.way {
            Way::Running(_) => Ok(()),
            Way::Own { router, node } => {
                drop(router);
                drop(node);
                Ok(())
            }
        }
    }

    fn request(&self, method: &str, path: &str, accept: &str) -> axum::http::request::Builder {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::ACCEPT, accept);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.text));
        }
        request
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        match &self.way {
            Way::Own { router, .. } => router.clone().oneshot(request).await.explained("router"),
            Way::Running(socket) => {
                let stream = UnixStream::connect(socket)
                    .await
                    .explained("the server went away")?;
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream))
                        .await
                        .explained("the server's socket")?;
                tokio::spawn(connection);
                let response = sender
                    .send_request(request)
                    .await
                    .explained("the server's socket")?;
                Ok(response.map(Body::new))
            }
        }
    }

    async fn whole(&self, response: Response<Body>) -> Result<Answer, Failure> {
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .explained("the answer broke off")?
            .to_bytes()
            .to_vec();
        if status.is_success() {
            return Ok(Answer { body });
        }
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        Err(match self.in_words_of_a_command(&problem) {
            Some(message) => Failure::of_status(status.as_u16(), message),
            None => refusal(status, &problem),
        })
    }

    /// The sentence for what the server words for programs that call it, and a command is given by flags.
    fn in_words_of_a_command(&self, problem: &Value) -> Option<String> {
        let code = problem["code"].as_str()?;
        match (code, self.token.as_ref().map(|token| &token.found)) {
            ("token_missing", _) => Some(
                "a principal's token is needed: --token or ASSENT_TOKEN; `assent principal add` makes one".to_owned(),
            ),
            ("token_unknown", Some(found)) => Some(unknown_token(found, &self.data_dir)),
            ("purpose_missing", _) => {
                let (what, allowed) = problem["detail"].as_str()?.split_once(": ")?;
                Some(format!("{what}: name one with --purpose; {allowed}"))
            }
            (_, _) => None,
        }
    }
}

fn unknown_token(found: &Found, data_dir: &Path) -> String {
    let token = match found {
        Found::Given => "the token given (--token or ASSENT_TOKEN)".to_owned(),
        Found::File(file) => format!("the token in {}", file.display()),
    };
    format!(
        "{token} is not known in the data directory {}: it was made in another one (--data-dir names it), or revoked; \
         `assent principal add NAME --purpose PURPOSE` makes one here",
        data_dir.display()
    )
}

/// The sentence of a problem answer, with its single faults a line each.
fn refusal(status: StatusCode, problem: &Value) -> Failure {
    let mut message = problem["detail"]
        .as_str()
        .map_or_else(|| format!("HTTP {status}"), str::to_owned);
    for fault in problem["errors"].as_array().into_iter().flatten() {
        let place = fault["pointer"].as_str().unwrap_or_default();
        let detail = fault["detail"].as_str().unwrap_or_default();
        message.push_str(&format!("\n  {place}: {detail}"));
    }
    Failure::of_status(status.as_u16(), message)
}
