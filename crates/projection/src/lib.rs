//! The projection: the deterministic fold of the profile and behaviour topics into Parquet tables.
//!
//! # The idea
//!
//! What is kept per subject is an element of a *commutative monoid* (counts, sums, the latest value by a total
//! order, day buckets). A commit writes only new files with the partial states of the records it folded; readers
//! merge the partial states of a subject; compaction merges files. Nothing on disk is ever changed, so folding in
//! any batch split, after any crash, with or without compaction, gives the same merged tables (I4).
//!
//! Files and log positions commit together, in one numbered [`Manifest`] that is created exclusively. A reader
//! opens a [`Snapshot`] and sees all tables at one checkpoint.
//!
//! Time never enters the fold: windows are finished at read, by [`members::Finisher`], from day buckets and the
//! evaluation time of the query.
//!
//! # What it owns, what it refuses
//!
//! It owns the layout of what is stored, the fold, the commit protocol, compaction and the merging of partial rows, on
//! a local directory or in an object store ([`Storage`]). It knows neither SQL nor HTTP, decides nothing about
//! lawfulness, and stores no direct identifiers: these stay sealed in the vault. It follows neither consent decisions
//! nor links: those are read through the permit index, so that un-linking is exact.
//!
//! # Shards
//!
//! A *shard* is a partition number: shard 3 is partition 3 of the profile and of the behaviour topic. Everything in a
//! manifest is kept by shard: positions, files, the de-duplication window, counts, and whose it is. Each projector folds
//! the shards that its [`assent_journal::Group`] gives it, and all of them commit to one chain of manifests, so that a
//! reader sees one checkpoint of everything. A commit is the newest manifest with the writer's own shards replaced. Who
//! loses the race for a number puts its shards onto the new newest and tries again: nothing is folded twice for that.
//!
//! A shard is taken over by a commit that raises its *epoch* to the number of that manifest. Whoever finds another epoch
//! than its own is *fenced*: it drops the shard and goes on with the others ([`Progress::fenced`]). So a process that
//! was paused, and does not know that its shards were given away, commits nothing over their new owner, whatever the
//! group says and whenever. There are no clocks and no locks in this.
//!
//! Partial states of different shards merge like those of one. A member whose linked subjects lie in several shards is
//! combined by the reader, as one whose subjects lie in one.
//!
//! # Crashes, rivals, readers
//!
//! Data files become durable before the manifest that names them; the manifest is created under its number or not at
//! all. Whether a creation succeeded is never guessed: it is read back and compared. After an error whose outcome stays
//! unknown the projector forgets what it held and takes it over again; that commit needs the same number, so it settles
//! the question. A crash at any point loses at most work.
//!
//! What a crash left is removed by the next owner of the shard, and by nobody else: see the module `clean` for why no
//! living rival loses a file. Readers hold no locks: a superseded manifest and its files stay for
//! [`Settings::keep_for`], and a query must not run longer than that.
//!
//! # Definitions change
//!
//! When the definitions change what the fold writes ([`Definitions::digest`]), or a rebuild is asked for, each owner
//! folds its shards again from the journal's beginning, beside what readers see, and commits that as it goes
//! ([`Next`]). The commit that says of the last shard that it has caught up swaps all of them at once: readers never see
//! shards that were folded by different definitions. Until then they see the old generation, which stands still where
//! its owner is rebuilding. A journal that no longer retains its beginning gives a rebuild without it.
//!
//! # Erasure
//!
//! An event whose key was destroyed is a tombstone in every later fold. Rows folded before stay in the files until
//! [`Projector::purge_erased`] has every owner merge its files without them; the manifest keeps account of who has. With
//! the last, all older manifests are forgotten and their files removed (I8), and readers remove their local copies when
//! they next look for the newest snapshot. It looks at the profile key; after the destruction of sensitive keys alone,
//! [`Projector::rebuild`] is what removes the rows.
//!
//! # Tables on disk
//!
//! All files are Parquet, zstd, with the page index; whole numbers and times are delta-encoded; text is plain UTF-8
//! (no dictionary type in the Arrow schema); `subject` is the first column, `FixedSizeBinary(16)`, and rows are
//! sorted by it. Times are `Timestamp(Microsecond, "+00:00")`. [`Snapshot::file_schema`] gives the exact schema.
//!
//! | table | rows | sorted by | columns after `subject` |
//! |---|---|---|---|
//! | members | at most one per subject, stamp and file | subject, `__denied` | `__denied` Utf8; `first_seen`, `last_seen` (times); then per identified trait and per derived trait the columns below |
//! | events | one per behaviour event | subject, event_time, event_id | `__denied` Utf8; `event_id` FixedSizeBinary(16), `source` Utf8, `name` Utf8, `event_time`, `received_at`, `revenue` Float64, `currency` Utf8, `quantity` Int64, `product` Utf8, `properties` Utf8 (JSON object), `sensitive_properties` Utf8 (JSON object) |
//! | accounts | at most one per subject, account and file | subject, account | `account` Utf8; attributes `name`, `industry`, `size_band`, `country` (Utf8) |
//! | contacts | at most one per subject, account and file | subject, account | `account` Utf8; attributes `role`, `buying_role`, `department` (Utf8), `left` (Boolean) |
//! | subscriptions | at most one per subject, subscription and file | subject, subscription | `subscription` Utf8; attributes `plan`, `status` (Utf8), `started_at`, `renews_at`, `ends_at` (times), `amount` Float64, `currency` Utf8 |
//!
//! `__denied` says for which purposes nothing of the row may be read ([`denies`]): what was refused when the events
//! behind it happened. It is empty for nearly every row, never null, and no column of any finished table.
//!
//! An *attribute* or identified trait `x` stands in three columns: `x`, `x__at` (time) and `x__by`
//! (FixedSizeBinary(16), the id of the event that told it). All three are null when nothing was told. The latest in
//! the total order (time, event id, value) wins; `x` null with `x__at` set means that it was cleared.
//!
//! A derived trait `x` stands in a total and in day buckets, by measure:
//!
//! | measure | total | `x__days`: list of structs, ascending by `day` (Int32, days since 1970-01-01 in the programme's calendar) |
//! |---|---|---|
//! | count | `x__count` Int64 | `day`, `count` Int64 |
//! | sum | `x__sum` Decimal128(38, 6) | `day`, `sum` Decimal128(38, 6) |
//! | first_at, last_at, days_since_last | `x__at` time | `day`, `at` time (first or last of the day) |
//! | first_value, last_value | `x__value` Utf8, `x__at`, `x__by` | `day`, `at`, `by` FixedSizeBinary(16), `value` Utf8 |
//!
//! On disk `x__count`, `x__sum` and `x__days` are never null (0 and the empty list are the neutral elements). A
//! reader may null any cell of a partial row, for instance where a purpose does not cover its category: null is
//! neutral in every merge, and a finished count is null, not 0, when all its partial cells were null.
//!
//! **Sums are exact.** An amount becomes micro-units once, when its event is folded (half away from zero); adding
//! 128-bit integers is associative, adding floats is not, and I4 asks for equality.
//!
//! **Time of an event** everywhere in these tables is `min(event_time, received_at)`: a clock that runs ahead
//! neither wins for ever nor counts before it was received (the same clamp as rule R2 of the consent rules).

mod attributes;
mod chain;
mod clean;
mod cluster;
mod compact;
mod definitions;
mod denial;
mod dump;
mod error;
mod files;
mod fold;
mod groups;
mod held;
mod layout;
mod manifest;
pub mod members;
mod merge;
mod merges;
mod merging;
pub mod metrics;
mod names;
mod owner;
mod progress;
mod projector;
mod rests;
mod seen;
mod settings;
mod shard;
pub mod skip;
mod snapshot;
mod storage;
mod table;
mod take_in;
mod upkeep;
mod worker;

pub use attributes::{Attributes, accounts, contacts, subscriptions, whole};
pub use cluster::{Clustering, Clusters};
pub use definitions::Definitions;
pub use denial::{DENIED, denies};
pub use dump::canonical_dump;
pub use error::{Error, ErrorKind};
pub use groups::Groups;
pub use manifest::{Counts, DataFile, Generation, Manifest, Skipped};
pub use owner::Owner;
pub use progress::{Fenced, Progress, Rebuilt, ShardProgress};
pub use projector::{Parts, Projector};
pub use settings::{FailPoint, NoFailPoint, Settings, Step};
pub use shard::{Line, Next, Shard};
pub use snapshot::{Profiles, Snapshot, StoredFile};
pub use storage::{
    CacheSettings, Created, Entry, LocalStorage, ObjectStorage, S3Credentials, S3Settings, Staged,
    Storage,
};
pub use table::Table;
