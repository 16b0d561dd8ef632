//! Secrets: they come from a file or from the environment, and cannot be printed.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// A secret. It has neither `Debug` nor `Display`; whoever needs it says so.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A secret as it was given.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret in clear, for the library that presents it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Where a secret is.
#[derive(Clone)]
pub enum SecretAt {
    /// It was given in the environment.
    Given(Secret),
    /// It stands in a file, white space around it aside.
    File(PathBuf),
}

impl SecretAt {
    /// The secret.
    ///
    /// # Errors
    /// The file cannot be read; the text names it.
    pub fn read(&self) -> Result<Secret, String> {
        match self {
            Self::Given(secret) => Ok(secret.clone()),
            Self::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => {
                    let text = Zeroizing::new(text);
                    Ok(Secret::new(text.trim()))
                }
                Err(error) => Err(format!("{}: {error}", path.display())),
            },
        }
    }

    /// The file it stands in, if it does.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Given(_) => None,
            Self::File(path) => Some(path),
        }
    }
}
