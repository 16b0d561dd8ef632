//! How the brokers know us, and we them.
//!
//! Names and passwords go over TLS only: there is no way to say otherwise, since whoever can listen to a
//! plain connection reads the records, too.

use std::fmt;
use std::path::PathBuf;

use assent_journal::{Error, ErrorKind};
use rdkafka::ClientConfig;

/// How the connection to the brokers is protected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// Not at all: for brokers on this machine or on a network of their own.
    #[default]
    Plaintext,
    /// Encrypted, and the brokers prove who they are.
    Tls(Tls),
    /// Encrypted, the brokers prove who they are, and so do we.
    SaslTls(Tls, Sasl),
}

/// What the brokers must prove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificates of the authorities we trust, a PEM file; `None` means those of the system.
    ///
    /// A broker must show a certificate signed by one of them for the name it was called by.
    pub ca_file: Option<PathBuf>,
}

/// What we prove ourselves with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sasl {
    /// How.
    pub mechanism: Mechanism,
    /// The name the brokers know us by.
    pub name: String,
    /// What goes with it.
    pub password: Password,
}

/// A way to prove a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The password itself is sent, within TLS.
    Plain,
    /// Challenge and response over SHA-256.
    ScramSha256,
    /// Challenge and response over SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// The mechanism of this registered name, `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for any other.
    pub fn parse(name: &str) -> Result<Self, Error> {
        [Self::Plain, Self::ScramSha256, Self::ScramSha512]
            .into_iter()
            .find(|mechanism| mechanism.as_str() == name)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Invalid,
                    "the SASL mechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
                )
            })
    }

    /// Its registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// A password. Shows itself to nobody but the brokers.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A password in clear.
    pub fn new(clear: impl Into<String>) -> Self {
        Self(clear.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Properties that only [`Security`] may set, by their beginnings.
const OWN: &[&str] = &[
    "security.protocol",
    "sasl.",
    "ssl.ca.",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
];

/// Refuses further properties that would say otherwise than [`Security`], or hold a password in clear.
pub(crate) fn check_property(name: &str) -> Result<(), Error> {
    match OWN.iter().any(|own| name.starts_with(own)) {
        true => Err(Error::new(
            ErrorKind::Invalid,
            format!("the property {name} follows from the settings of TLS and SASL: set those"),
        )),
        false => Ok(()),
    }
}

impl Security {
    pub(crate) fn apply(&self, config: &mut ClientConfig) {
        let (protocol, tls, sasl) = match self {
            Self::Plaintext => ("plaintext", None, None),
            Self::Tls(tls) => ("ssl", Some(tls), None),
            Self::SaslTls(tls, sasl) => ("sasl_ssl", Some(tls), Some(sasl)),
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = tls {
            config.set("enable.ssl.certificate.verification", "true");
            config.set("ssl.endpoint.identification.algorithm", "https");
            if let Some(file) = &tls.ca_file {
                config.set("ssl.ca.location", file.to_string_lossy());
            }
        }
        if let Some(sasl) = sasl {
            config.set("sasl.mechanism", sasl.mechanism.as_str());
            config.set("sasl.username", &sasl.name);
            config.set("sasl.password", &sasl.password.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_shows_itself_to_nobody() {
        let sasl = Sasl {
            mechanism: Mechanism::Plain,
            name: "assent".into(),
            password: Password::new("hunter2"),
        };
        let security = Security::SaslTls(Tls::default(), sasl);
        let mut config = ClientConfig::new();
        security.apply(&mut config);
        for told in [format!("{security:?}"), format!("{config:?}")] {
            assert!(told.contains("assent"), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
        // It does reach the client.
        assert_eq!(config.get("sasl.password"), Some("hunter2"));
    }

    #[test]
    fn properties_cannot_weaken_what_is_configured() {
        for name in ["sasl.password", "security.protocol", "ssl.ca.pem"] {
            assert_eq!(check_property(name).unwrap_err().kind(), ErrorKind::Invalid);
        }
        check_property("client.rack").unwrap();
        check_property("ssl.certificate.location").unwrap();
    }

    #[test]
    fn mechanisms_have_their_registered_names() {
        for name in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            assert_eq!(Mechanism::parse(name).unwrap().as_str(), name);
        }
        assert!(Mechanism::parse("GSSAPI").is_err());
    }
}
