//! A proxy before PostgreSQL, by which connections break at a commit.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use super::{Door, Moment, Rules, shut};

/// What a transaction ends with, and what the server says of one that ended so.
const COMMIT: &[u8] = b"COMMIT\0";

/// The proxy. In the beginning it lets everything through. It reads what is said in clear.
pub struct DatabaseProxy {
    door: Door,
    account: String,
    database: String,
    rules: Arc<Laid>,
}

/// Whether a commit, or its confirmation, goes on; else the connection breaks.
type Laid = Rules<(), bool>;

impl DatabaseProxy {
    /// Before the server of `postgres://user:password@host:port/database`.
    pub fn before(url: &str) -> Self {
        let (account, place) = url.rsplit_once('@').unwrap();
        let (server, database) = place.split_once('/').unwrap();
        // The last colon stands before the password.
        let (account, _) = account.rsplit_once(':').unwrap();
        let rules = Arc::new(Rules::all(true));
        let (laid, server) = (Arc::clone(&rules), server.to_owned());
        let door = Door::open("127.0.0.1:0", move |client| {
            // A connection that breaks concerns nobody but its client.
            let _ = pass(client, &server, &laid);
        });
        Self {
            door,
            account: account.to_owned(),
            database: database.to_owned(),
            rules,
        }
    }

    /// The connection that processes are told instead, without its password.
    pub fn connection(&self) -> String {
        format!("{}@{}/{}", self.account, self.door.address, self.database)
    }

    /// Lays a rule on what comes from now on: whether a commit goes on, or its connection breaks.
    pub fn rule(&self, rule: impl Fn(Moment) -> bool + Send + Sync + 'static) {
        self.rules.lay(move |(), moment| rule(moment));
    }

    /// Lets everything through again.
    pub fn calm(&self) {
        self.rule(|_| true);
    }
}

fn pass(client: TcpStream, server: &str, rules: &Laid) -> std::io::Result<()> {
    let server = TcpStream::connect(server)?;
    let (client_in, server_out) = (client.try_clone()?, server.try_clone()?);
    std::thread::scope(|scope| {
        scope.spawn(|| copy(client_in, server_out, || rules.ask((), Moment::Before)));
        copy(server, client, || rules.ask((), Moment::After))
    })
}

/// Copies what comes as it comes, until a part with a commit in it does not go on or a side is gone; then neither goes on.
fn copy(mut from: TcpStream, mut to: TcpStream, goes_on: impl Fn() -> bool) -> std::io::Result<()> {
    let mut part = vec![0; 64 * 1024];
    let mut copy = || {
        loop {
            let read = from.read(&mut part)?;
            let part = &part[..read];
            let commits = part.windows(COMMIT.len()).any(|words| words == COMMIT);
            if read == 0 || (commits && !goes_on()) {
                return Ok(());
            }
            to.write_all(part)?;
        }
    };
    let ended = copy();
    shut(&from, &to);
    ended
}
