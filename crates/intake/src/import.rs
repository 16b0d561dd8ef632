#![doc = include_str!("../../../docs/import-mappings.md")]

mod cell;
mod constants;
mod error;
mod events;
mod lines;
mod mapping;
mod progress;
mod rejects;
mod rows;
mod run;
mod time;
mod unread;

pub use error::{ImportError, MappingError};
pub use mapping::Mapping;
pub use progress::Progress;
pub use run::{Files, check, reached, run};
pub use unread::{Unread, unread};
