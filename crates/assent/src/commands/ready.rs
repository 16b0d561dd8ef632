//! `assent ready`: whether the server of a data directory can do its job, for health checks that cannot speak HTTP.

use tokio::net::UnixStream;

use super::print_bytes;
use crate::config::Config;
use crate::connection::Connection;
use crate::failure::Failure;

/// Asks `/readyz` over the owner's socket. Opens nothing by itself: where no server runs, nothing is ready.
///
/// # Errors
/// No server runs here, or what its roles lack.
pub async fn run(config: &Config) -> Result<(), Failure> {
    let socket = &config.server.socket;
    if UnixStream::connect(socket).await.is_err() {
        return Err(Failure::failed(format!(
            "no server answers on {}; `assent serve` starts one",
            socket.display()
        )));
    }
    let connection = Connection::open(config, None, None, false).await?;
    let answer = connection.get("/readyz", "application/json").await;
    connection.close().await?;
    answer?;
    print_bytes(b"ready\n")
}
