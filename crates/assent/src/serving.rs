//! A process that serves: HTTP on loopback, the owner's socket, the projector, and a stop in good order.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assent_projection::Profiles;
use assent_segment::{Engine, Worker};
use assent_server::Metrics;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::failure::{Explained, Failure};
use crate::metrics::{self, Numbers};
use crate::node::Node;
use crate::readiness;

/// How often segments are looked through for members who must leave; no answer waits for it.
const LEAVE: Duration = Duration::from_secs(1);
/// How often the newest profiles are asked for when nobody queries.
const REFRESH: Duration = Duration::from_secs(60);

/// `assent serve`.
///
/// # Errors
/// It cannot start, or did not end well.
pub async fn run(config: Config) -> Result<(), Failure> {
    let recorder = metrics::record(&config)?;
    let node = Node::open(config).await?;
    let serving = Serving::start(node, recorder).await?;
    let config = serving.node.config();
    eprintln!(
        "serving on http://{} as {} (data in {}); Ctrl-C ends it",
        serving.address,
        config.roles,
        config.data_dir.display()
    );
    if serving.worker.is_some() {
        let socket = config.workers.socket.display();
        eprintln!("working for queries on {socket}");
    }
    stop_signal().await?;
    serving.stop().await
}

/// Waits for SIGTERM or Ctrl-C.
///
/// # Errors
/// Signals cannot be had.
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
    stop_accepting: watch::Sender<bool>,
    stop_folding: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
    projector: Option<JoinHandle<()>>,
    worker: Option<Worker>,
}

impl Serving {
    /// Whether the port can be had.
    ///
    /// # Errors
    /// It cannot.
    pub async fn probe(port: u16) -> Result<(), Failure> {
        listen(port).await.map(|_| ())
    }

    /// Opens the port and the socket and starts the projector.
    ///
    /// # Errors
    /// The port or the socket cannot be had.
    pub async fn start(node: Node, recorder: Option<PrometheusHandle>) -> Result<Self, Failure> {
        let numbers = recorder.map(|handle| {
            let stores = Arc::clone(node.stores());
            Arc::new(Numbers { handle, stores }) as Arc<dyn Metrics>
        });
        let server = &node.config().server;
        let listener = listen(server.port).await?;
        let address = listener.local_addr().explained("port")?;
        let local = bind_socket(&server.socket).await?;
        let worker = worker(&node).await?;
        let (stop_accepting, accepting) = watch::channel(false);
        let (stop_folding, folding) = watch::channel(false);

        let public = assent_server::router(node.services(numbers.clone()));
        let public = axum::serve(listener, public).with_graceful_shutdown(until(accepting.clone()));
        let owner = assent_server::local_router(node.services(numbers));
        let owner = axum::serve(local, owner).with_graceful_shutdown(until(accepting));
        let servers = vec![
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
        ];
        if let Some(profiles) = node.stores().profiles.clone() {
            tokio::spawn(refresh(profiles, folding.clone()));
        }
        if let Some(engine) = node.stores().engine.clone() {
            tokio::spawn(keep_segments(engine, folding.clone()));
        }
        let projection = node.stores().projection.clone();
        Ok(Self {
            projector: projection.map(|projection| projection.run_until(folding)),
            node: Box::new(node),
            address,
            stop_accepting,
            stop_folding,
            servers,
            worker,
        })
    }

    /// Says that it is not ready, takes no new request, lets the open ones end, folds what they brought, and lets go of
    /// the stores. Everything acknowledged is durable already; what takes longer than the time to drain is cut off, and
    /// was not acknowledged.
    ///
    /// # Errors
    /// Nothing that is left undone is lost, so there are none; the log tells of it.
    pub async fn stop(self) -> Result<(), Failure> {
        self.node.ready().stop();
        let server = self.node.config().server.clone();
        let worked = self.worker.is_some();
        tokio::time::sleep(server.drain_delay).await;
        let drained = async {
            // No receiver means that every task has ended already.
            let _ = self.stop_accepting.send(true);
            // Whoever waits for it answers alone.
            drop(self.worker);
            for task in self.servers {
                ended(task).await;
            }
            // Only now, so that what the last requests brought is folded, too.
            let _ = self.stop_folding.send(true);
            if let Some(projector) = self.projector {
                ended(projector).await;
            }
        };
        if tokio::time::timeout(server.drain, drained).await.is_err() {
            tracing::warn!("something was still open when the time to drain was over");
        }
        let _ = std::fs::remove_file(&server.socket);
        if worked {
            let _ = std::fs::remove_file(&self.node.config().workers.socket);
        }
        // Leaving the group of projectors is a question to the brokers, which blocks.
        let node = self.node;
        tokio::task::spawn_blocking(move || drop(node))
            .await
            .explained("stores")
    }
}

async fn ended(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "a task broke");
    }
}

/// Asks for the newest profiles now and then, whether or not anybody queries: with that, local copies of what was erased
/// go.
async fn refresh(profiles: Arc<Profiles>, stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        if let Err(error) = readiness::load(Arc::clone(&profiles)).await {
            tracing::debug!(error, "the newest profiles cannot be loaded just now");
        }
        tokio::select! {
            () = tokio::time::sleep(REFRESH) => {}
            () = until(stopped.clone()) => {}
        }
    }
}

/// Lets go of members of segments who must leave, and tells what was not told yet.
async fn keep_segments(engine: Arc<Engine>, stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        if let Err(error) = engine.keep_segments().await {
            tracing::debug!(
                code = error.code(),
                "segments cannot be looked through just now"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(LEAVE) => {}
            () = until(stopped.clone()) => {}
        }
    }
}

/// The worker, if the process is one.
async fn worker(node: &Node) -> Result<Option<Worker>, Failure> {
    let workers = &node.config().workers;
    let (Some(engine), Some(secret)) = (&node.stores().bench, &workers.secret) else {
        return Ok(None);
    };
    let listener = bind_socket(&workers.socket).await?;
    let listener = listener.into_std().explained(workers.socket.display())?;
    let worker = Worker::serve(Arc::clone(engine), secret.clone(), listener);
    worker.map(Some).explained("worker")
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

/// Binds the socket for the owner of the process alone. One that nobody answers on is left over.
async fn bind_socket(path: &Path) -> Result<UnixListener, Failure> {
    if UnixStream::connect(path).await.is_ok() {
        return Err(Failure::usage(format!(
            "another process serves on {}; give each its own socket",
            path.display()
        )));
    }
    if let Some(dir) = path.parent() {
        crate::stores::private_dir(dir)?;
    }
    // Under a name of its own until nobody else can reach it.
    let fresh = path.with_extension("new");
    if fresh.exists() {
        std::fs::remove_file(&fresh).explained(fresh.display())?;
    }
    let listener = UnixListener::bind(&fresh).explained(format_args!(
        "{} (a socket's path is limited to about 100 characters: choose a shorter --data-dir)",
        fresh.display()
    ))?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| std::fs::rename(&fresh, path))
        .explained(path.display())?;
    Ok(listener)
}
