//! Proxies between a process and its servers: a test sees what goes through, and delays, refuses or loses it.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub mod broker;
pub mod bucket;

/// Where clients come in, each connection on a thread of its own, until this is dropped.
struct Door {
    /// `host:port`.
    address: String,
    open: Arc<AtomicBool>,
}

impl Door {
    fn open(at: &str, each: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let open = Arc::new(AtomicBool::new(true));
        let (each, still) = (Arc::new(each), Arc::clone(&open));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !still.load(Ordering::SeqCst) {
                    return;
                }
                let each = Arc::clone(&each);
                std::thread::spawn(move || each(client));
            }
        });
        Self { address, open }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.open.store(false, Ordering::SeqCst);
        // Wakes the thread that waits for clients, so that it leaves and the port is free.
        let _ = TcpStream::connect(&self.address);
    }
}
