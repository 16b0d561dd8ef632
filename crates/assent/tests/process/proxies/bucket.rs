//! A proxy before an object store, one request a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use super::{Door, Moment, Rules};

/// What a process wants of its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To put a data file, or a part of one.
    PutData,
    /// To create a manifest.
    CreateManifest,
    /// To remove an object.
    Remove,
    /// To list, to read, or to try out whether the store excludes.
    Other,
}

/// What becomes of a request, or of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing unusual.
    GoesOn,
    /// The process is told that the store has too much to do.
    Refused,
    /// The connection breaks.
    Lost,
}

type Laid = Rules<Wish, Fate>;

/// The proxy. Without a rule it lets everything through.
pub struct BucketProxy {
    door: Door,
    bucket: String,
    rules: Arc<Laid>,
}

impl BucketProxy {
    /// Before the bucket at `http://host:port/bucket`.
    pub fn before(address: &str) -> Self {
        let (endpoint, bucket) = address.rsplit_once('/').unwrap();
        let store = endpoint.strip_prefix("http://").unwrap().to_owned();
        let rules = Arc::new(Rules::all(Fate::GoesOn));
        let laid = Arc::clone(&rules);
        let door = Door::open("127.0.0.1:0", move |client| {
            // A connection that breaks concerns nobody but its client.
            let _ = pass(client, &store, &laid);
        });
        Self {
            door,
            bucket: bucket.to_owned(),
            rules,
        }
    }

    /// What processes are told instead of the bucket's address.
    pub fn address(&self) -> String {
        format!("http://{}/{}", self.door.address, self.bucket)
    }

    /// Lays a rule on what comes from now on.
    pub fn rule(&self, rule: impl Fn(Wish, Moment) -> Fate + Send + Sync + 'static) {
        self.rules.lay(rule);
    }

    /// Lets everything through again.
    pub fn calm(&self) {
        self.rule(|_, _| Fate::GoesOn);
    }
}

fn pass(client: TcpStream, store: &str, rules: &Laid) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    if client.read_line(&mut line)? == 0 {
        return Ok(());
    }
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut header = String::new();
        client.read_line(&mut header)?;
        if header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        head.push_str(&header);
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body)?;
    let mut client = client.into_inner();

    let wish = wish(&line);
    if let Some(instead) = instead(rules.ask(wish, Moment::Before)) {
        return client.write_all(instead);
    }
    let mut server = TcpStream::connect(store)?;
    server.write_all(format!("{line}connection: close\r\n{head}\r\n").as_bytes())?;
    server.write_all(&body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    if let Some(instead) = instead(rules.ask(wish, Moment::After)) {
        return client.write_all(instead);
    }
    // It is told that this connection is for one request, if the store did not say so.
    let status = answer.iter().position(|byte| *byte == b'\n').unwrap_or(0) + 1;
    let (status, rest) = answer.split_at(status.min(answer.len()));
    client.write_all(status)?;
    client.write_all(b"connection: close\r\n")?;
    client.write_all(rest)
}

/// What the process hears instead of the store's answer: nothing, where the connection breaks.
fn instead(fate: Fate) -> Option<&'static [u8]> {
    match fate {
        Fate::GoesOn => None,
        Fate::Refused => {
            Some(b"HTTP/1.1 503 Slow Down\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        }
        Fate::Lost => Some(b""),
    }
}

/// By the first line of the request.
fn wish(line: &str) -> Wish {
    let mut words = line.split(' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    match method {
        "PUT" | "POST" if target.contains("/data/") => Wish::PutData,
        "PUT" if target.contains("/manifest/") => Wish::CreateManifest,
        "DELETE" => Wish::Remove,
        // Several at once.
        "POST" if target.contains("?delete") => Wish::Remove,
        _ => Wish::Other,
    }
}
