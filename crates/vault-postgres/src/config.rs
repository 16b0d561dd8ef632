//! Where the store is and how it is reached, checked before anything connects.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use assent_vault::Error;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use zeroize::Zeroizing;

/// The password of the database account. It is wiped when dropped and never printed.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes the password as it is.
    pub fn new(password: impl Into<String>) -> Self {
        Self(Zeroizing::new(password.into()))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// How the line to PostgreSQL is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Not at all; for loopback addresses and Unix sockets only.
    Off,
    /// By TLS. The server's certificate must be signed by an authority whose certificate stands in
    /// this PEM file, and name the host.
    Authority(PathBuf),
}

/// The settings of a [`PostgresVault`](crate::PostgresVault). `Debug` shows neither the password
/// nor the account.
#[derive(Clone)]
pub struct PostgresConfig {
    pub(crate) connection: tokio_postgres::Config,
    pub(crate) tls: Tls,
    pub(crate) schema: String,
    /// Connections at most; as many calls are answered at the same time.
    pub connections: usize,
    /// How long a call may take, waiting for a connection included, before it is given up.
    pub patience: Duration,
    /// Identifiers whose subject is remembered; about 100 bytes each.
    pub cached_subjects: usize,
    /// Data keys remembered; about 120 bytes each.
    pub cached_keys: usize,
}

impl PostgresConfig {
    /// Reads a connection string: `postgres://account@host:port/database` or pairs such as
    /// `host=/run/postgresql user=assent dbname=assent`. It may hold the password.
    ///
    /// # Errors
    /// [`Error::Settings`] when it cannot be read, names no host, or names one that is not on this
    /// machine while `tls` is off. The text is not repeated, since it may hold the password.
    pub fn new(connection: &str, tls: Tls) -> Result<Self, Error> {
        let mut connection: tokio_postgres::Config = connection.parse().map_err(|_| {
            settings(
                "the connection string cannot be read; write postgres://account@host:port/database, \
                 or pairs such as host=/run/postgresql user=assent dbname=assent",
            )
        })?;
        if connection.get_hosts().is_empty() && connection.get_hostaddrs().is_empty() {
            return Err(settings("the connection string names no host"));
        }
        let mode = match &tls {
            Tls::Off if !stays_here(&connection) => {
                return Err(settings(
                    "the host is not on this machine and TLS is off; name the certificate of the \
                     authority that signed the server's",
                ));
            }
            Tls::Off if connection.get_ssl_mode() == SslMode::Require => {
                return Err(settings(
                    "sslmode=require needs the certificate of the authority that signed the \
                     server's",
                ));
            }
            Tls::Off => SslMode::Disable,
            Tls::Authority(_) => SslMode::Require,
        };
        connection
            .ssl_mode(mode)
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .keepalives_idle(Duration::from_secs(30));
        if connection.get_application_name().is_none() {
            connection.application_name("assent");
        }
        Ok(Self {
            connection,
            tls,
            schema: "assent".to_owned(),
            connections: 8,
            patience: Duration::from_secs(10),
            cached_subjects: 200_000,
            cached_keys: 400_000,
        })
    }

    /// With this password instead of the one in the connection string.
    #[must_use]
    pub fn password(mut self, password: &Password) -> Self {
        self.connection.password(password.0.as_bytes());
        self
    }

    /// In this schema of the database instead of `assent`. It is made when it is missing.
    ///
    /// # Errors
    /// [`Error::Settings`] when it is not of lower-case letters, digits and `_`, at most 63.
    pub fn schema(mut self, name: &str) -> Result<Self, Error> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts || name.len() > 63 || !name.chars().all(plain) || name.starts_with("pg_") {
            return Err(settings(
                "a schema has a name of lower-case letters, digits and `_`, at most 63, that \
                 starts with a letter",
            ));
        }
        name.clone_into(&mut self.schema);
        Ok(self)
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("hosts", &self.connection.get_hosts())
            .field("ports", &self.connection.get_ports())
            .field("database", &self.connection.get_dbname())
            .field("schema", &self.schema)
            .field("tls", &self.tls)
            .field("connections", &self.connections)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// Whether every host is a Unix socket or a loopback address.
fn stays_here(connection: &tokio_postgres::Config) -> bool {
    let named = connection.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
    });
    // An address takes the place of a name.
    named && connection.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

fn settings(what: &str) -> Error {
    Error::Settings(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_without_tls() {
        for here in [
            "postgres://a:b@127.0.0.1:5432/c",
            "postgres://a@[::1]/c",
            "postgres://a@localhost/c?sslmode=prefer",
            "host=/run/postgresql user=a dbname=c",
            "host=localhost hostaddr=127.0.0.1 user=a",
        ] {
            PostgresConfig::new(here, Tls::Off).unwrap();
        }
        for elsewhere in [
            "postgres://a:secret@10.0.0.1/c",
            "postgres://a:secret@db.example.org/c",
            "postgres://a:secret@127.0.0.1,10.0.0.1/c",
            "host=localhost hostaddr=10.0.0.1 user=a password=secret",
            "host=db.example.org hostaddr=127.0.0.1 user=a password=secret",
            "postgres://a:secret@localhost/c?sslmode=require",
            "postgres:///c",
            "secret",
        ] {
            let error = PostgresConfig::new(elsewhere, Tls::Off).unwrap_err();
            assert!(matches!(error, Error::Settings(_)), "{elsewhere}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let authority = || Tls::Authority("authority.pem".into());
        for any in ["postgres://a@10.0.0.1/c", "postgres://a@localhost/c"] {
            let config = PostgresConfig::new(any, authority()).unwrap();
            assert_eq!(config.connection.get_ssl_mode(), SslMode::Require);
        }
    }

    #[test]
    fn the_password_is_never_printed() {
        let password = Password::new("planted-secret");
        let config = PostgresConfig::new("postgres://a:planted-secret@localhost/c", Tls::Off)
            .unwrap()
            .password(&password);
        let shown = format!("{config:?} {password:?}");
        assert!(shown.contains("localhost"), "control");
        assert!(!shown.contains("planted"), "{shown}");
    }

    #[test]
    fn a_schema_is_a_plain_name() {
        let config = || PostgresConfig::new("postgres://a@localhost/c", Tls::Off).unwrap();
        assert_eq!(config().schema("assent_2").unwrap().schema, "assent_2");
        for bad in [
            "",
            "Assent",
            "a b",
            "a\"b",
            "2a",
            "pg_a",
            "a;b",
            &"a".repeat(64),
        ] {
            let error = config().schema(bad).unwrap_err();
            assert!(matches!(error, Error::Settings(_)), "{bad}");
        }
    }
}
