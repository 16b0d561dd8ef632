//! A way to an object store on which answers get lost: requests arrive and are done, and nobody is told.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Debug, Default)]
struct Losses {
    one_in: AtomicU32,
    creations: AtomicU32,
    lost: AtomicU32,
}

/// Hands connections on to an object store.
pub struct LostAnswers {
    port: u16,
    losses: Arc<Losses>,
}

impl LostAnswers {
    /// To a store at `http://host:port`.
    pub fn to(endpoint: &str) -> Self {
        let target = endpoint.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let losses = Arc::new(Losses::default());
        let shared = losses.clone();
        // It ends with the process of the test.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, losses) = (client.unwrap(), shared.clone());
                let server = TcpStream::connect(&target).unwrap();
                std::thread::spawn(move || hand_on(client, server, &losses));
            }
        });
        Self { port, losses }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on, of so many answers to creations of manifests one is lost.
    pub fn lose_one_in(&self, creations: u32) {
        self.losses.one_in.store(creations, Ordering::SeqCst);
    }

    /// How many were lost.
    pub fn lost(&self) -> u32 {
        self.losses.lost.load(Ordering::SeqCst)
    }
}

/// Requests come one after another on a connection, so an answer belongs to the last request.
fn hand_on(mut client: TcpStream, mut server: TcpStream, losses: &Arc<Losses>) {
    let lose = Arc::new(AtomicU32::new(0));
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (doomed, counted) = (lose.clone(), losses.clone());
    let requests = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let head = String::from_utf8_lossy(&buffer[..read.min(400)]).into_owned();
            let creates = head.starts_with("PUT ") && head.contains("/manifest/");
            let one_in = counted.one_in.load(Ordering::SeqCst);
            if creates && one_in > 0 {
                let number = counted.creations.fetch_add(1, Ordering::SeqCst);
                doomed.store(u32::from(number % one_in == one_in - 1), Ordering::SeqCst);
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = server.read(&mut buffer) {
        if lose.swap(0, Ordering::SeqCst) == 1 {
            losses.lost.fetch_add(1, Ordering::SeqCst);
            break;
        }
        if client.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
    requests.join().unwrap();
}
