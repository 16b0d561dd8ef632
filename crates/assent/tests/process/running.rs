//! The real binary as a child process: started on a free port, spoken to over HTTP, killed.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

/// The repository's root, where `pipelines/` lies.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `assent ARGS` on a data directory, run to its end.
pub fn assent(data_dir: &Path, args: &[&str]) -> Output {
    assent_with(data_dir, &[], args)
}

/// The same with further environment variables.
pub fn assent_with(data_dir: &Path, env: &[(&str, &str)], args: &[&str]) -> Output {
    command(data_dir)
        .envs(env.iter().copied())
        .args(args)
        .output()
        .expect("the binary starts")
}

/// `assent ARGS`, which must succeed; its standard output.
pub fn assent_ok(data_dir: &Path, args: &[&str]) -> String {
    let output = assent(data_dir, args);
    assert!(
        output.status.success(),
        "assent {args:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// `assent ARGS` in this folder, with nothing of the environment but these variables.
pub fn assent_bare(folder: &Path, environment: &[(&str, &str)], args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assent"))
        .current_dir(folder)
        .env_clear()
        .env("COLUMNS", "100")
        .envs(environment.iter().copied())
        .args(args)
        .output()
        .expect("the binary starts")
}

fn command(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assent"));
    command
        .current_dir(repository())
        .env_remove("ASSENT_TOKEN")
        .env("ASSENT_DATA_DIR", data_dir);
    command
}

/// Members the events are about.
pub const MEMBERS: u32 = 9;

/// The number the shop knows a member by.
pub fn customer(member: u32) -> String {
    format!("planted-customer-{member}")
}

/// An order of one of them.
pub fn track(event: u32) -> Value {
    json!({
        "event": "Order Completed", "userId": customer(event % MEMBERS),
        "messageId": format!("order-{event}"), "properties": { "revenue": 1, "currency": "CNY" },
    })
}

/// What a member decided about marketing by e-mail.
pub fn decision(customer: &str, state: &str, message: &str) -> Value {
    json!({
        "subject": { "customer_no": customer }, "purpose": "email_marketing", "state": state,
        "act": "checkbox_ticked", "notice": { "id": "membership", "version": 2 }, "message_id": message,
    })
}

/// What `assent query` answers for that purpose: an array of rows.
pub fn rows(data_dir: &Path, token: &str, sql: &str) -> Value {
    let purpose = ["--purpose", "email_marketing", "--format", "json"];
    let query = [&["query", "--token", token][..], &purpose, &[sql]].concat();
    serde_json::from_str(&assent_ok(data_dir, &query)).expect("JSON")
}

/// Where what a server says goes: into a file of the directory named by `ASSENT_TEST_LOGS`, or nowhere.
fn kept(pid: u32, talk: &str) -> Box<dyn Write + Send> {
    let Some(dir) = std::env::var_os("ASSENT_TEST_LOGS") else {
        return Box::new(std::io::sink());
    };
    let mut file = File::create(Path::new(&dir).join(format!("{pid}.log"))).expect("a log");
    file.write_all(talk.as_bytes()).expect("a log");
    Box::new(file)
}

/// A server that is killed when it goes out of scope.
pub struct Server {
    child: Child,
    address: Address,
}

/// Where some server is spoken to.
pub struct Address(String);

impl Server {
    /// `assent serve` on any free port, with further environment variables.
    pub fn start(data_dir: &Path, env: &[(&str, &str)]) -> Self {
        let mut child = command(data_dir)
            .args(["serve", "--port", "0"])
            .envs(env.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("piped");
        let mut lines = BufReader::new(stderr);
        let mut talk = String::new();
        let address = loop {
            let mut line = String::new();
            let read = lines.read_line(&mut line).expect("readable");
            assert!(read > 0, "the server ended before it served:\n{talk}");
            if let Some((_, rest)) = line.split_once("http://") {
                break Address::of(rest.split_whitespace().next().expect("address"));
            }
            talk.push_str(&line);
        };
        let mut kept = kept(child.id(), &talk);
        // Whoever stops reading a pipe stops the writer in the end.
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut lines, &mut kept);
        });
        Self { child, address }
    }

    /// `assent demo` on any free port, and what it printed until it had no more to say.
    pub fn demo(data_dir: &Path, args: &[&str]) -> (Self, String) {
        let mut child = command(data_dir)
            .args(["demo", "--port", "0"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut printed = String::new();
        while !printed.contains("Ctrl-C ends it") {
            let read = lines.read_line(&mut printed).expect("readable");
            assert!(read > 0, "the demo ended before it served:\n{printed}");
        }
        let (_, rest) = printed.split_once("http://").expect("an address");
        let address = Address::of(rest.split_whitespace().next().expect("an address"));
        (Self { child, address }, printed)
    }

    /// SIGKILL: nothing is flushed, nothing is closed.
    pub fn signal_kill(&self) {
        self.signal("KILL");
    }

    /// `kill -NAME` to the process.
    pub fn signal(&self, name: &str) {
        let line = [format!("-{name}"), self.child.id().to_string()];
        let signalled = Command::new("kill").args(line).status();
        assert!(signalled.is_ok_and(|status| status.success()), "{name}");
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end of a server that was told to stop. Returns whether it ended well.
    pub fn ended(mut self) -> bool {
        self.child.wait().expect("reaped").success()
    }

    /// SIGTERM, and wait: the graceful stop. Returns whether it ended well.
    pub fn stop(mut self) -> bool {
        self.signal("TERM");
        self.child.wait().expect("reaped").success()
    }
}

/// A server is spoken to at its address.
impl Deref for Server {
    type Target = Address;

    fn deref(&self) -> &Address {
        &self.address
    }
}

impl Address {
    /// `host:port`.
    pub fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// One request on a connection of its own. `None` when the server did not answer.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Response> {
        let mut stream = TcpStream::connect(&self.0).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .ok()?;
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n",
            self.0,
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        // A server that refuses early may close before it read everything; its answer still counts.
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(body);
        let mut raw = Vec::new();
        let _ = stream.read_to_end(&mut raw);
        Response::parse(&raw)
    }

    /// Begins a POST with a write key whose body has this length, and sends the first part of it.
    pub fn begin(&self, path: &str, write_key: &str, length: usize, first: &[u8]) -> Begun {
        let mut stream = TcpStream::connect(&self.0).expect("accepted");
        let credential = base64::engine::general_purpose::STANDARD.encode(format!("{write_key}:"));
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {length}\r\n\
             authorization: Basic {credential}\r\n\r\n",
            self.0
        );
        stream.write_all(head.as_bytes()).expect("writable");
        stream.write_all(first).expect("writable");
        Begun(stream)
    }

    /// Posts JSON with a write key.
    pub fn post(&self, path: &str, write_key: &str, body: &Value) -> Option<Response> {
        let credential = base64::engine::general_purpose::STANDARD.encode(format!("{write_key}:"));
        let authorization = format!("Basic {credential}");
        self.request(
            "POST",
            path,
            &[("authorization", &authorization)],
            body.to_string().as_bytes(),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request that is not sent to its end.
pub struct Begun(TcpStream);

impl Begun {
    /// Sends the rest. `None` when the server did not answer.
    pub fn finish(&mut self, rest: &[u8]) -> Option<Response> {
        self.0.write_all(rest).ok()?;
        let mut raw = Vec::new();
        let _ = self.0.read_to_end(&mut raw);
        Response::parse(&raw)
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Response {
    fn parse(raw: &[u8]) -> Option<Self> {
        let end = raw.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&raw[..end]).ok()?;
        let status = head.split_whitespace().nth(1)?.parse().ok()?;
        let chunked = head
            .to_ascii_lowercase()
            .contains("transfer-encoding: chunked");
        let rest = &raw[end + 4..];
        let body = if chunked {
            dechunk(rest)?
        } else {
            rest.to_vec()
        };
        Some(Self { status, body })
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }
}

fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let size =
            usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?.trim(), 16).ok()?;
        rest = &rest[line + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
