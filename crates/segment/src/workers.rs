//! The threads that queries run on, apart from whatever else the process serves.
//!
//! Planning computes constants and running computes everything, both without ever yielding: on a shared runtime one
//! query could keep intake, and with it a withdrawal, waiting. Here a query can only keep other queries waiting, and
//! not more of them than are let in at once. The threads have stacks for the deepest plan that a query may become.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinHandle};

use crate::error::{Error, ErrorKind, Result};

/// Threads that poll queries.
const THREADS: usize = 2;
/// The stack of each, in bytes; a page that is not used takes no memory.
const STACK_BYTES: usize = 16 << 20;

/// A small runtime of its own, and the turns in which queries get to it.
pub(crate) struct Workers {
    runtime: Option<Runtime>,
    turns: Arc<Semaphore>,
}

impl Workers {
    /// Starts the threads. When they cannot be had, every query is refused.
    pub(crate) fn start(concurrent: usize) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("assent-query")
            .thread_stack_size(STACK_BYTES)
            .enable_time()
            .build();
        let runtime = match runtime {
            Ok(runtime) => Some(runtime),
            Err(error) => {
                tracing::error!(%error, "the threads for queries could not be started");
                None
            }
        };
        Self {
            runtime,
            turns: Arc::new(Semaphore::new(concurrent.clamp(1, Semaphore::MAX_PERMITS))),
        }
    }

    /// Runs a query when it is its turn, and tells its outcome or that the time is over. A query whose caller has gone
    /// is ended at its next await; until then it keeps its turn.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        query: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let runtime = self.runtime.as_ref().ok_or_else(stopped)?;
        let whole = async {
            let turn = Arc::clone(&self.turns)
                .acquire_owned()
                .await
                .map_err(|_| stopped())?;
            let task: JoinHandle<Result<T>> = runtime.spawn(async move {
                let _turn = turn;
                query.await
            });
            let _ended = Ending(task.abort_handle());
            task.await.unwrap_or_else(|error| {
                tracing::error!(panicked = error.is_panic(), "a query did not end");
                Err(Error::internal("query", "the query could not be run"))
            })
        };
        match tokio::time::timeout(limit, whole).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                ErrorKind::Exhausted,
                "timeout",
                format!("the query took longer than {} s", limit.as_secs_f64()),
            )
            .help("narrow it, or aggregate earlier")),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // An engine may be dropped where blocking is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").finish_non_exhaustive()
    }
}

/// Ends a query whose caller no longer waits.
struct Ending(AbortHandle);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn stopped() -> Error {
    Error::unavailable("workers", "there are no threads to run a query on")
}

/// Runs `work` on a thread with the stack of a query's, and waits for it.
pub(crate) fn on_a_large_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("assent-check".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|_| stopped())?;
        thread
            .join()
            .unwrap_or_else(|_| Err(Error::internal("check", "a query could not be planned")))
    })
}
