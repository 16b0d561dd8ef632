//! The gate: the only way from a profile file to a query (I1).
//!
//! # What passes
//!
//! For every file of the snapshot the gate knows which rows belong to which subject ([`files`]). From the permit set it
//! computes the selection of rows of lawful subjects ([`selection`]) and reads those rows only; the pages of the others
//! are not decoded. Cells of a data category that the subject's grant does not cover become fresh nulls ([`mask`]), what
//! is older than the purpose's retention is dropped ([`retention`]), and linked subjects are combined into members
//! ([`read`]). What comes out are plain batches; nothing of the denied is in them, under them or behind them.
//!
//! # What the engine may know
//!
//! A table ([`table`]) offers a schema of plain types and nothing else: no statistics, no filter or limit pushdown, no
//! constraints. Its plan ([`scan`]) is an opaque leaf: no children, no statistics, no ordering. The optimiser can put a
//! predicate above it, never below or inside. The leaf holds the place it was made for (manifest, use, position, time)
//! and cannot be made without one.

mod columns;
mod files;
mod finish;
mod input;
mod mask;
#[cfg(test)]
mod off;
mod place;
mod plans;
mod private;
mod read;
mod retention;
mod scan;
mod selection;
mod standing;
mod table;
mod work;

pub use columns::{ColumnDoc, column_docs};
pub(crate) use columns::{Shape, table_names, visible};
pub(crate) use files::FileCache;
pub(crate) use place::{Foundation, Gate};
pub(crate) use plans::PlanCache;
pub(crate) use scan::{LawfulScanExec, Share, properties};
pub(crate) use standing::Standing;
pub(crate) use table::{LawfulCatalogs, catalog_of_empty};
pub(crate) use work::strangers;
