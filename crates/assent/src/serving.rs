//! All roles in one process: HTTP on loopback, the local socket, the projector, and a graceful stop.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::connection::SOCKET;
use crate::failure::{Explained, Failure};
use crate::node::Node;

/// How long open requests may take to end after a signal to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// `assent serve`.
pub async fn run(data_dir: &Path, port: u16) -> Result<(), Failure> {
    let node = Node::open(data_dir).await?;
    let serving = Serving::start(node, port).await?;
    eprintln!(
        "serving on http://{} (data in {}); Ctrl-C ends it",
        serving.address,
        data_dir.display()
    );
    stop_signal().await?;
    serving.stop().await
}

/// Waits for SIGTERM or Ctrl-C.
pub async fn stop_signal() -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).explained("signals")?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        outcome = tokio::signal::ctrl_c() => outcome.explained("signals"),
    }
}

/// A node that serves.
pub struct Serving {
    pub node: Box<Node>,
    pub address: SocketAddr,
    socket: PathBuf,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Serving {
    /// Whether the port can be had.
    pub async fn probe(port: u16) -> Result<(), Failure> {
        listen(port).await.map(|_| ())
    }

    /// Opens the port and the socket and starts the projector.
    pub async fn start(node: Node, port: u16) -> Result<Self, Failure> {
        let listener = listen(port).await?;
        let address = listener.local_addr().explained("port")?;
        let socket = node.data_dir().join(SOCKET);
        let local = bind_socket(&socket)?;
        let (stop, stopped) = watch::channel(false);

        let public = axum::serve(listener, assent_server::router(node.services()))
            .with_graceful_shutdown(until(stopped.clone()));
        let owner = axum::serve(local, assent_server::local_router(node.services()))
            .with_graceful_shutdown(until(stopped.clone()));
        let tasks = vec![
            tokio::spawn(async move {
                if let Err(error) = public.await {
                    tracing::error!(%error, "http server ended");
                }
            }),
            tokio::spawn(async move {
                if let Err(error) = owner.await {
                    tracing::error!(%error, "local socket ended");
                }
            }),
            node.project_until(stopped),
        ];
        Ok(Self {
            node: Box::new(node),
            address,
            socket,
            stop,
            tasks,
        })
    }

    /// Takes no new request, lets the open ones end, commits what is folded, closes the stores.
    pub async fn stop(self) -> Result<(), Failure> {
        // No receiver means that every task has ended already.
        let _ = self.stop.send(true);
        let drained = async {
            for task in self.tasks {
                if let Err(error) = task.await {
                    tracing::error!(%error, "a task broke");
                }
            }
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("requests were still open when the time to drain was over");
        }
        let _ = std::fs::remove_file(&self.socket);
        self.node.close().await
    }
}

/// Loopback only until TLS is configured.
async fn listen(port: u16) -> Result<TcpListener, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| {
            Failure::failed(format!(
                "port {port} on 127.0.0.1: {error}; choose another with --port"
            ))
        })
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means the sender is gone, which is a stop, too.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Binds the socket for the owner of the data directory alone. The stores are open, so no other process serves here
/// and a socket that is left over is stale.
fn bind_socket(path: &Path) -> Result<UnixListener, Failure> {
    if path.exists() {
        std::fs::remove_file(path).explained(path.display())?;
    }
    let listener = UnixListener::bind(path).explained(format_args!(
        "{} (a socket's path is limited to about 100 characters: choose a shorter --data-dir)",
        path.display()
    ))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .explained(path.display())?;
    Ok(listener)
}
