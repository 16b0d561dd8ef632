//! Files become events, through the same door as everything else.
//!
//! A [`Mapping`] says which columns of a CSV or NDJSON file become which events. [`run`] streams the
//! file, turns each row into the JSON that a client would send, and submits it in batches. After each
//! acknowledged batch it writes a progress file, so that an import that was interrupted goes on where
//! it stopped; message ids are derived from the rows, so that what was sent twice is recognised.
//! A row that cannot be mapped, or an event that intake refuses, goes to a file of rejects with its
//! line, column and reason (never its contents), and the import goes on.
//!
//! # A mapping
//!
//! ```yaml
//! name: cdnow_purchases         # part of every message id: a slug, never to be changed later
//! source: shop                  # the source the events are recorded under (sources.yaml)
//! format: csv                   # or ndjson; a column is then a key, or a JSON pointer (/a/b)
//! delimiter: ","                # csv only; default a comma
//! time_zone: Asia/Shanghai      # of times without offset; default the programme's calendar
//! key: [order_id]               # what identifies a row. Without it: its contents, and which
//!                               # repetition of them it is, so that equal rows stay distinct
//! events:                       # each row becomes each of these
//!   - do: track                 # track, identify, page, screen, group, decision, fact
//!     subject: {namespace: customer, column: customer_id}
//!     time: {column: date, format: "%Y-%m-%d"}
//!     event: Order Completed
//!     properties:
//!       revenue: {column: amount_usd, type: number}
//!       currency: USD
//!     when: {column: amount_usd, not: ""}
//! ```
//!
//! A field is a constant, or `{column: …}` with
//! - `type`: `text` (default), `number`, `integer`, `boolean`, `date`, `time`;
//! - `format`: of a date or time, as in strftime, or `rfc3339`, `unix_seconds`, `unix_millis`;
//! - `map`: a table of texts to values, applied before the type; a text it does not list is an error
//!   unless there is a `default`;
//! - `default`: for an empty cell; without it an empty cell leaves the field out.
//!
//! `when` takes `equals` or `not`; a row that does not meet it makes no such event. `identify` and
//! `group` take `traits`, `group` also `group` (the account's id). `decision` and `fact` take
//! `fields`: those of `/v1/consents` (see [`crate::consent`]).

mod cell;
mod error;
mod mapping;
mod progress;
mod rows;
mod run;

pub use error::{ImportError, MappingError};
pub use mapping::Mapping;
pub use progress::Progress;
pub use run::{Files, run};
