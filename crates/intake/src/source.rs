//! Who is writing: write keys and what they may say.

use std::fmt;
use std::sync::Arc;

use assent_programme::{RegistryState, SourceDefinition, SourceKind, token_sha256};

use crate::error::Error;

/// An authenticated source.
#[derive(Clone, PartialEq, Eq)]
pub struct Source(Arc<SourceDefinition>);

impl Source {
    pub(crate) fn new(definition: &SourceDefinition) -> Self {
        Self(Arc::new(definition.clone()))
    }

    /// Its id, as it stands in envelopes.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Browser or server.
    #[must_use]
    pub fn kind(&self) -> SourceKind {
        self.0.kind
    }

    /// All of its definition.
    #[must_use]
    pub fn definition(&self) -> &SourceDefinition {
        &self.0
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.0.id).finish()
    }
}

/// Who sends a request, and what the request said about itself outside of its body.
#[derive(Clone)]
pub struct Caller {
    credential: Credential,
    gpc: bool,
}

#[derive(Clone)]
enum Credential {
    Key(String),
    InBody,
    Source(Source),
}

impl Caller {
    /// A request that carries its write key in the header.
    #[must_use]
    pub fn with_key(key: impl Into<String>) -> Self {
        Self::of(Credential::Key(key.into()))
    }

    /// A request without a key in the header; its body has to carry `writeKey`.
    #[must_use]
    pub fn key_in_body() -> Self {
        Self::of(Credential::InBody)
    }

    /// A part of this program that acts for a source, such as an import.
    #[must_use]
    pub fn source(source: Source) -> Self {
        Self::of(Credential::Source(source))
    }

    /// Whether the request carried `Sec-GPC: 1`; counts for browser sources only.
    #[must_use]
    pub fn global_privacy_control(mut self, set: bool) -> Self {
        self.gpc = set;
        self
    }

    fn of(credential: Credential) -> Self {
        Self {
            credential,
            gpc: false,
        }
    }

    pub(crate) fn gpc(&self) -> bool {
        self.gpc
    }

    /// Whether the key in the header, if there is one, opens anything.
    pub(crate) fn opens(&self, registry: &RegistryState) -> Result<(), Error> {
        match &self.credential {
            Credential::Key(key) => by_key(registry, key).map(|_source| ()),
            Credential::InBody | Credential::Source(_) => Ok(()),
        }
    }

    /// The source, given the `writeKey` of the body if it has one.
    pub(crate) fn resolve(
        &self,
        registry: &RegistryState,
        in_body: Option<&str>,
    ) -> Result<Source, Error> {
        match (&self.credential, in_body) {
            (Credential::Source(source), _) => Ok(source.clone()),
            (Credential::Key(key), Some(other)) if key != other => Err(Error::KeysDisagree),
            (Credential::Key(key), None | Some(_)) => by_key(registry, key),
            (Credential::InBody, Some(key)) => by_key(registry, key),
            (Credential::InBody, None) => Err(Error::KeyMissing),
        }
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Caller(..)")
    }
}

/// The source whose write key this is.
pub(crate) fn by_key(registry: &RegistryState, key: &str) -> Result<Source, Error> {
    let found = registry.source_by_key_sha256(&token_sha256(key));
    found.map(Source::new).ok_or(Error::UnknownKey)
}
