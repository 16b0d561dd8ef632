//! Proxies between a process and its servers: a test sees what goes through, and delays, refuses or loses it.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use crate::running::Server;

pub mod broker;
pub mod bucket;
pub mod database;

/// When a rule is asked about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The server has not seen it.
    Before,
    /// The server has done what it was asked; the process does not know yet.
    After,
}

/// What becomes of requests and of their answers, by what they ask. `F` is what may become of one.
struct Rules<A, F>(RwLock<Arc<Rule<A, F>>>);

type Rule<A, F> = dyn Fn(A, Moment) -> F + Send + Sync;

impl<A, F: Clone + Send + Sync + 'static> Rules<A, F> {
    /// The same for all.
    fn all(fate: F) -> Self {
        Self(RwLock::new(Arc::new(move |_, _| fate.clone())))
    }

    fn lay(&self, rule: impl Fn(A, Moment) -> F + Send + Sync + 'static) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rule);
    }

    fn ask(&self, ask: A, moment: Moment) -> F {
        let rule = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        rule(ask, moment)
    }
}

/// A process that a rule kills, once.
pub struct Victim {
    /// Zero once it was killed.
    pid: AtomicU32,
    killed: AtomicBool,
}

impl Victim {
    pub fn of(server: &Server) -> Arc<Self> {
        Arc::new(Self {
            pid: AtomicU32::new(server.pid()),
            killed: AtomicBool::new(false),
        })
    }

    /// `kill -9`. Returns whether it was this call that killed it.
    pub fn kill(&self) -> bool {
        let pid = self.pid.swap(0, Ordering::SeqCst);
        if pid == 0 {
            return false;
        }
        let line = ["-KILL", &pid.to_string()];
        let kill = std::process::Command::new("kill").args(line).status();
        self.killed
            .store(kill.is_ok_and(|kill| kill.success()), Ordering::SeqCst);
        true
    }

    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }
}

/// Both ends, so that neither side waits for the other for ever.
fn shut(one: &TcpStream, other: &TcpStream) {
    // Either may be gone already.
    let _ = one.shutdown(Shutdown::Both);
    let _ = other.shutdown(Shutdown::Both);
}

/// Where clients come in, each connection on a thread of its own, until this is dropped.
struct Door {
    /// `host:port`.
    address: String,
    open: Arc<AtomicBool>,
    /// Takes clients in.
    porter: Option<JoinHandle<()>>,
}

impl Door {
    fn open(at: &str, each: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let open = Arc::new(AtomicBool::new(true));
        let (each, still) = (Arc::new(each), Arc::clone(&open));
        let porter = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !still.load(Ordering::SeqCst) {
                    return;
                }
                let each = Arc::clone(&each);
                std::thread::spawn(move || each(client));
            }
        });
        Self {
            address,
            open,
            porter: Some(porter),
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.open.store(false, Ordering::SeqCst);
        // Wakes the thread that waits for clients. When it has left, the port is free for the next test.
        if TcpStream::connect(&self.address).is_ok()
            && let Some(porter) = self.porter.take()
        {
            let _ = porter.join();
        }
    }
}
