//! The threads that queries run on, apart from whatever else the process serves.
//!
//! Planning computes constants and running computes everything, both without ever yielding: on a shared runtime one
//! query could keep intake, and with it a withdrawal, waiting. Here a query can only keep other queries waiting, and
//! not more of them than are let in at once. The threads have stacks for the deepest plan that a query may become.
//!
//! A query's turn ends with its last piece of work, not with the caller's patience: what reads files for it holds the
//! [`Turn`], and looks at it between two files.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinHandle};

use crate::error::{Error, ErrorKind, Result};

/// Threads that poll queries.
const THREADS: usize = 2;
/// The stack of each, in bytes; a page that is not used takes no memory.
const STACK_BYTES: usize = 16 << 20;

/// The turn of one query. Whoever works for the query holds it, on whichever thread, so that it is given on only when
/// all of that work has ended.
#[derive(Debug)]
pub(crate) struct Turn {
    _held: OwnedSemaphorePermit,
    over: AtomicBool,
}

impl Turn {
    /// Whether there is still somebody to work for; asked between two files, chunks or batches.
    ///
    /// # Errors
    /// `Exhausted` once the caller has gone or the time is over; nobody is there to read it.
    pub(crate) fn go_on(&self) -> Result<()> {
        if self.over.load(Ordering::Relaxed) {
            return Err(Error::new(
                ErrorKind::Exhausted,
                "cancelled",
                "nobody waits for the query any more",
            ));
        }
        Ok(())
    }
}

/// A small runtime whose threads have stacks for the deepest plan.
pub(crate) fn runtime(name: &str) -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name(name)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
}

/// A small runtime of its own, and the turns in which queries get to it.
pub(crate) struct Workers {
    runtime: Option<Runtime>,
    turns: Arc<Semaphore>,
}

impl Workers {
    /// Starts the threads. When they cannot be had, every query is refused.
    pub(crate) fn start(concurrent: usize) -> Self {
        let runtime = match runtime("assent-query") {
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
    /// is ended at its next await; whatever still works for it keeps its turn until it has ended, too.
    pub(crate) async fn run<T: Send + 'static, F>(
        &self,
        limit: Duration,
        query: impl FnOnce(Arc<Turn>) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let runtime = self.runtime.as_ref().ok_or_else(stopped)?;
        let whole = async {
            let turn = Arc::new(Turn {
                _held: Arc::clone(&self.turns)
                    .acquire_owned()
                    .await
                    .map_err(|_| stopped())?,
                over: AtomicBool::new(false),
            });
            let query = query(Arc::clone(&turn));
            let held = Arc::clone(&turn);
            let task: JoinHandle<Result<T>> = runtime.spawn(async move {
                let _turn = held;
                query.await
            });
            let _ended = Ending {
                task: task.abort_handle(),
                turn,
            };
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

impl Workers {
    /// Computes something that never waits, when it is its turn; as [`Workers::run`].
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&Turn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(limit, |turn| async move { work(&turn) }).await
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

/// Ends a query whose caller no longer waits, and tells whatever works for it elsewhere.
struct Ending {
    task: AbortHandle,
    turn: Arc<Turn>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.turn.over.store(true, Ordering::Relaxed);
        self.task.abort();
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Callers that give up at once, over and over; each query goes on elsewhere until it notices.
    #[test]
    fn work_that_outlives_its_caller_keeps_its_turn() {
        const TURNS: usize = 3;
        let workers = Arc::new(Workers::start(TURNS));
        let (running, most, begun) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicUsize::new(0)),
        );
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let one = || {
                let (running, most, begun) =
                    (Arc::clone(&running), Arc::clone(&most), Arc::clone(&begun));
                let workers = Arc::clone(&workers);
                async move {
                    let limit = Duration::from_millis(40);
                    let outcome = workers
                        .run(limit, |turn| async move {
                            let work = tokio::task::spawn_blocking(move || {
                                begun.fetch_add(1, Ordering::SeqCst);
                                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                                most.fetch_max(now, Ordering::SeqCst);
                                while turn.go_on().is_ok() {
                                    std::thread::sleep(Duration::from_millis(1));
                                }
                                // It notices late: reading a file takes its time.
                                std::thread::sleep(Duration::from_millis(60));
                                running.fetch_sub(1, Ordering::SeqCst);
                            });
                            work.await.map_err(|_| stopped())
                        })
                        .await;
                    assert_eq!(outcome.expect_err("gives up").code(), "timeout");
                }
            };
            for _ in 0..4 {
                futures::future::join_all((0..10).map(|_| one())).await;
            }
        });
        assert!(
            begun.load(Ordering::SeqCst) > TURNS,
            "control: turns are given on"
        );
        assert_eq!(most.load(Ordering::SeqCst), TURNS);
    }
}
