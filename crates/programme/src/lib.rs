//! Definitions as code: a folder of YAML and SQL becomes versioned definitions in the journal (I10).
//!
//! Three steps, one direction. [`load`] reads a folder and names every fault with file, line and fix.
//! [`plan`] compares it with the [`RegistryState`] in force and refuses what would rewrite the past.
//! [`apply`] journals the difference, stating the state it was planned on, and reports a conflict when
//! the registry moved on in between. [`RegistryState`] is the deterministic fold of that topic; whoever
//! follows the topic holds the same purposes, notices, segments, sources, traits and principals.
//!
//! This crate knows neither SQL nor HTTP: the header of a segment is parsed here, its query is checked
//! by the caller through [`SegmentCheck`].

mod apply;
mod canonical;
mod definition;
mod error;
mod fault;
mod fields;
mod names;
mod notice_text;
mod origin;
mod plan;
mod principal;
mod programme;
mod read;
mod record;
mod registry;
mod scanner;
mod segment;
mod segment_file;
mod settings;
mod source;
mod traits;
mod validate;
mod yaml;

pub use apply::{Applied, apply};
pub use canonical::canonical_json;
pub use definition::{Definition, DefinitionKey, DefinitionKind, Digest, MalformedDigest};
pub use error::{Error, ErrorKind};
pub use fault::Fault;
pub use names::{alike, folded, is_direct_identifier};
pub use notice_text::{notice_sha256, render_notice};
pub use origin::Origins;
pub use plan::{Action, Change, Plan, plan, plan_checked};
pub use principal::{Principal, Role, principal_added, principal_revoked, token_sha256};
pub use programme::{Programme, load};
pub use registry::{Absorbed, AcceptedSet, Recorded, RegistryState};
pub use segment::{SegmentCheck, SegmentDefinition, SegmentFault};
pub use segment_file::parse_segment;
pub use settings::Settings;
pub use source::{AccountTraits, SourceDefinition, SourceKind, SourceNamespaces};
pub use traits::{DerivedTrait, IdentifiedTrait, Measure, TraitCatalog, TraitType};
