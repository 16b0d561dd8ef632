//! The vault of several processes, in PostgreSQL.
//!
//! [`PostgresVault`] is [`assent_vault::Vault`] on a schema of a PostgreSQL database (14 or newer),
//! with the same records, the same keyed index and the same master key as the embedded one; the
//! server sees wrapped keys, sealed identifiers and namespaces. The suite
//! `assent_vault::contract` runs on both.
//!
//! It owns the connections, the numbered migrations and the statements. It refuses to guess:
//!
//! - **Caches.** Every call asks the head of the store, in the same round trip as its own question,
//!   which destructions there were since its cache was right. So a key that another process
//!   destroyed is never served from memory once the destruction was confirmed (invariant I8), and a
//!   master key that another process rolled is noticed before anything is read with the old one.
//!   `docs/decisions/0010-the-shared-vault-asks-every-time.md` tells why.
//! - **Outages.** A call that PostgreSQL does not answer in time is
//!   [`Error::Unreachable`](assent_vault::Error::Unreachable); nothing is answered from memory
//!   alone. Connections are made anew when they broke.
//! - **Durability.** A server with `fsync` off is refused, and `synchronous_commit = off` is
//!   overruled: what was acknowledged may seal the journal for ever. Standbys are refused, too.
//! - **Privacy of the line.** Without the certificate of an authority ([`Tls::Authority`]) only
//!   loopback addresses and Unix sockets are accepted; with it, the server must present a
//!   certificate of that authority that names the host.
//!
//! The methods block, and may be called from any thread, also from one that drives asynchronous
//! tasks: the connections live on a thread of their own.
//!
//! **Old row versions.** A row that was changed stays in the files, the write-ahead log and the
//! backups of the server for a while. As with the embedded store, erasure is complete with the next
//! roll of the master key and the destruction of the old one, which makes every such remnant
//! unreadable.

mod config;
mod connections;
mod error;
mod migrate;
mod queries;
mod remembered;
mod roll;
mod tls;
mod vault;

pub use config::{Password, PostgresConfig, Tls};
pub use vault::PostgresVault;
