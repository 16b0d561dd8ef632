//! A few connections to PostgreSQL, on a thread of their own.
//!
//! The vault's methods block while the client is asynchronous. A question is handed to the runtime
//! here, and the caller waits for the answer as for any lock; so it does not matter whether the
//! caller's thread drives a runtime itself.

use std::ops::Deref;
use std::sync::mpsc;
use std::time::Duration;

use assent_vault::Error;
use deadpool_postgres::{
    Client, Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
};
use futures::future::BoxFuture;
use tokio_postgres::NoTls;

use crate::config::{PostgresConfig, Tls};
use crate::error::{asked, too_late};
use crate::tls;

/// An error of PostgreSQL or of the line to it.
pub(crate) type PgError = tokio_postgres::Error;

/// The connections of one vault.
pub(crate) struct Connections {
    /// `None` only while it is dropped.
    runtime: Option<tokio::runtime::Runtime>,
    pool: Pool,
    patience: Duration,
}

impl Connections {
    /// Sets up the connections without making any. `connected` is called whenever one was made, and
    /// before it is used: the server may be another one by then.
    pub(crate) fn new(
        config: &PostgresConfig,
        connected: impl Fn() + Clone + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("vault-postgres")
            .enable_all()
            .build()
            .map_err(|source| Error::Store {
                action: "start the thread of its connections",
                source: Box::new(source),
            })?;
        let mut connection = config.connection.clone();
        connection
            .connect_timeout(config.patience)
            .tcp_user_timeout(config.patience);
        let how = ManagerConfig {
            // Whether the line is closed is known without a question.
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = match &config.tls {
            Tls::Off => Manager::from_config(connection, NoTls, how),
            Tls::Authority(path) => Manager::from_config(connection, tls::trusting(path)?, how),
        };
        let session = session(config);
        let pool = Pool::builder(manager)
            .max_size(config.connections.max(1))
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(move |client, _| {
                let session = session.clone();
                let connected = connected.clone();
                Box::pin(async move {
                    let set = client.batch_execute(&session).await;
                    set.map_err(HookError::Backend)?;
                    connected();
                    Ok(())
                })
            }))
            .build()
            .map_err(|error| Error::Settings(error.to_string()))?;
        Ok(Self {
            runtime: Some(runtime),
            pool,
            patience: config.patience,
        })
    }

    /// Puts a question to PostgreSQL on one connection and waits for the answer, at most as long
    /// as the patience configured.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when there is none in time; what else PostgreSQL says.
    pub(crate) fn ask<T, Q>(&self, action: &'static str, question: Q) -> Result<T, Error>
    where
        T: Send + 'static,
        Q: for<'c> FnOnce(&'c Client) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        self.put(action, Some(self.patience), question)
    }

    /// As [`Connections::ask`], however long it takes.
    pub(crate) fn ask_patiently<T, Q>(&self, action: &'static str, question: Q) -> Result<T, Error>
    where
        T: Send + 'static,
        Q: for<'c> FnOnce(&'c Client) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        self.put(action, None, question)
    }

    fn put<T, Q>(
        &self,
        action: &'static str,
        patience: Option<Duration>,
        question: Q,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        Q: for<'c> FnOnce(&'c Client) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        let pool = self.pool.clone();
        let (answer, waiting) = mpsc::sync_channel(1);
        let asking = async move {
            let lent = Lent(Some(pool.get().await.map_err(no_connection(action))?));
            let answer = question(&lent).await?;
            lent.give_back();
            Ok(answer)
        };
        let runtime = self.runtime.as_ref();
        runtime
            .expect("it is taken only when the connections are dropped")
            .spawn(async move {
                let outcome = match patience {
                    Some(patience) => tokio::time::timeout(patience, asking)
                        .await
                        .unwrap_or_else(|_| Err(too_late(action))),
                    None => asking.await,
                };
                // Whoever asked waits until we are done.
                let _ = answer.send(outcome);
            });
        waiting.recv().unwrap_or_else(|_| Err(too_late(action)))
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime must not be waited for where blocking is not allowed, and there is nothing
            // to wait for: whoever asked holds the vault.
            runtime.shutdown_background();
        }
    }
}

/// A connection for one question. One that was not given back has an unknown state (the question
/// failed, or the time was up) and is closed; the server then undoes what was not committed.
struct Lent(Option<Client>);

impl Lent {
    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Deref for Lent {
    type Target = Client;

    fn deref(&self) -> &Client {
        let client = self.0.as_ref();
        client.expect("it is taken only when it is given back or dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Client::take(client));
        }
    }
}

/// What is set on every connection. Every statement ends before the caller has given up on it, and
/// a commit is durable before it is confirmed, whatever the server's default is. Nothing is compiled:
/// of a store with many keys the server guesses that a third was destroyed since the caller's epoch, and
/// with half a million it compiled for half a second before it found that none was.
fn session(config: &PostgresConfig) -> String {
    let (schema, patience) = (&config.schema, config.patience.as_millis());
    format!(
        "SET search_path TO \"{schema}\"; \
         SET statement_timeout TO {patience}; \
         SET idle_in_transaction_session_timeout TO {patience}; \
         SET jit TO off; \
         SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') = 'off'"
    )
}

fn no_connection(action: &'static str) -> impl FnOnce(PoolError) -> Error {
    move |error| match error {
        PoolError::Backend(source) | PoolError::PostCreateHook(HookError::Backend(source)) => {
            asked(action)(source)
        }
        other @ (PoolError::Timeout(_)
        | PoolError::Closed
        | PoolError::NoRuntimeSpecified
        | PoolError::PostCreateHook(HookError::Message(_))) => Error::Unreachable {
            action,
            source: Box::new(other),
        },
    }
}
