//! What is to be read for one table: pieces of files, cut so that each member is finished in one place.
//!
//! Events are read piece by piece. The other tables hold partial rows that must be merged per member. Most members have
//! their rows in one place of one file (a single subject, freshly compacted); those are read straight through. The rest,
//! with several subjects or rows in several files, are gathered in chunks of whole members. Which case a member is in
//! depends on the permitted rows only.
//!
//! A chunk is a range of member ids. Files are sorted by subject, and most subjects are members of their own, so a chunk
//! lies together in each file, and each page is decoded for one chunk or two.

use std::sync::Arc;

use assent_consent::SubjectId;
use assent_permit::Permit;
use assent_projection::{Snapshot, Table};

use super::columns::Shape;
use super::files::{FileCache, ProfileFile};
use super::place::Gate;
use super::selection::{Run, Selection, UNKNOWN, deal};
use super::standing::Cover;
use crate::error::Result;
use crate::guards::Guard;
use crate::workers::Turn;

/// Permitted rows that a gathered chunk aims at.
const CHUNK_ROWS: usize = 32_768;

/// Selected rows of a file, all in one row group.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) file: Arc<ProfileFile>,
    pub(crate) selection: Selection,
}

/// Per partition, what it reads.
pub(crate) type Plan = Vec<Vec<Work>>;

/// A part of a table that is read and finished on its own.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// Rows that need no merging across batches.
    Straight(Piece),
    /// All partial rows of some members.
    Gathered(Vec<Piece>),
    /// The accounts, and the contacts that decide which of them are shown.
    Accounts {
        accounts: Vec<Piece>,
        contacts: Vec<Piece>,
    },
}

impl Work {
    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        let (some, others) = match self {
            Self::Straight(piece) => (std::slice::from_ref(piece), &[][..]),
            Self::Gathered(pieces) => (&pieces[..], &[][..]),
            Self::Accounts { accounts, contacts } => (&accounts[..], &contacts[..]),
        };
        some.iter().chain(others)
    }

    /// How many rows are read.
    pub(crate) fn rows(&self) -> usize {
        self.pieces().map(|piece| piece.selection.rows).sum()
    }

    /// How many runs of a subject they are.
    pub(crate) fn runs(&self) -> usize {
        self.pieces().map(|piece| piece.selection.picks.len()).sum()
    }
}

/// A file of which rows that were refused for the purpose are nobody's.
struct Numbered {
    file: Arc<ProfileFile>,
    /// Set only when there are such rows.
    left: Option<Vec<Run>>,
}

impl Numbered {
    fn piece(&self, selection: Selection) -> Piece {
        Piece {
            file: Arc::clone(&self.file),
            selection,
        }
    }

    fn runs(&self) -> &[Run] {
        self.left.as_deref().unwrap_or(&self.file.runs)
    }
}

/// The plan of reading a table: one list of work per partition, balanced by permitted rows. Blocks on disk.
pub(crate) fn plan(gate: &Gate, shape: &Shape) -> Result<Arc<Plan>> {
    gate.plans.get(gate, shape.table, || anew(gate, shape))
}

fn anew(gate: &Gate, shape: &Shape) -> Result<Plan> {
    let lawful = Lawful::of(gate, shape);
    let work = match shape.table {
        Table::Events => all(&numbered(gate, Table::Events)?, &lawful)
            .into_iter()
            .map(Work::Straight)
            .collect(),
        Table::Members | Table::Contacts | Table::Subscriptions => {
            by_member(gate, shape.table, &lawful)?
        }
        Table::Accounts => vec![Work::Accounts {
            accounts: all(&numbered(gate, Table::Accounts)?, &lawful),
            contacts: all(&numbered(gate, Table::Contacts)?, &lawful),
        }],
    };
    Ok(balance(work, gate.partitions))
}

/// Who has rows in a table: permitted, and covered for what the rows themselves say.
struct Lawful<'a> {
    gate: &'a Gate,
    row: Option<Cover>,
}

impl<'a> Lawful<'a> {
    fn of(gate: &'a Gate, shape: &Shape) -> Self {
        Self {
            gate,
            row: shape
                .row
                .as_ref()
                .map(|category| gate.standing.cover(category)),
        }
    }

    fn holds(&self, run: Run) -> bool {
        let standing = &self.gate.standing;
        let lawful = || {
            standing.is_lawful(run.number)
                && self
                    .row
                    .as_ref()
                    .is_none_or(|cover| standing.covers(cover, run.number))
        };
        run.number != UNKNOWN && (lawful() || !self.gate.guards.stand(Guard::Rows))
    }
}

/// Subjects with a profile that the permit index has no number for. Blocks on disk the first time a file is seen.
///
/// # Errors
/// `Corrupt` when a file does not read.
pub(crate) fn strangers(
    files: &FileCache,
    snapshot: &Snapshot,
    permit: &Permit,
    turn: &Turn,
) -> Result<Vec<SubjectId>> {
    let mut strangers = Vec::new();
    for data in snapshot.files(Table::Members) {
        turn.go_on()?;
        let file = files.get(snapshot.stored(data), Table::Members, |subject| {
            permit.number_of(subject)
        })?;
        let unknown = file.unknown.iter().map(|(_, subject)| *subject);
        strangers.extend(unknown.filter(|subject| permit.number_of(subject).is_none()));
    }
    Ok(strangers)
}

fn numbered(gate: &Gate, table: Table) -> Result<Vec<Numbered>> {
    let Some(snapshot) = &gate.snapshot else {
        return Ok(Vec::new());
    };
    let consent = gate.registry.consent();
    let lineage = consent.lineage(&gate.declared.purpose);
    snapshot
        .files(table)
        .iter()
        .map(|data| {
            gate.go_on()?;
            let file = gate.files.get(snapshot.stored(data), table, |subject| {
                gate.standing.number_of(subject)
            })?;
            let refused = if gate.guards.stand(Guard::Stamps) {
                file.denied_to(&lineage)
            } else {
                Vec::new()
            };
            let left = (!refused.is_empty()).then(|| {
                let mut runs = file.runs.clone();
                for run in refused {
                    runs[run].number = UNKNOWN;
                }
                runs
            });
            Ok(Numbered { file, left })
        })
        .collect()
}

/// Every lawful row, piece by piece.
fn all(files: &[Numbered], lawful: &Lawful<'_>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for numbered in files {
        let dealt = deal(numbered.runs(), &numbered.file.groups, 1, |run| {
            lawful.holds(run).then_some(0)
        });
        pieces.extend(dealt.into_iter().flatten().map(|one| numbered.piece(one)));
    }
    pieces
}

fn by_member(gate: &Gate, table: Table, lawful: &Lawful<'_>) -> Result<Vec<Work>> {
    /// The reader of rows that need no merging; each chunk is read by one of those behind it.
    const STRAIGHT: usize = 0;
    let files = numbered(gate, table)?;
    let members = Occurrences::count(gate, table, &files, lawful);
    let chunks = members.gathered_rows.div_ceil(CHUNK_ROWS);
    let mut work = Vec::new();
    let mut gathered: Vec<Vec<Piece>> = vec![Vec::new(); chunks];
    for numbered in &files {
        gate.go_on()?;
        let dealt = deal(numbered.runs(), &numbered.file.groups, 1 + chunks, |run| {
            lawful.holds(run).then(|| {
                let member = gate.standing.member_number(run.number);
                match members.of(member) {
                    1 => STRAIGHT,
                    _several => 1 + chunk_of(gate, member, chunks),
                }
            })
        });
        for (reader, selections) in dealt.into_iter().enumerate() {
            let pieces = selections.into_iter().map(|one| numbered.piece(one));
            match reader.checked_sub(1) {
                None => work.extend(pieces.map(Work::Straight)),
                Some(chunk) => gathered[chunk].extend(pieces),
            }
        }
    }
    gathered.retain(|pieces| !pieces.is_empty());
    work.extend(gathered.into_iter().map(Work::Gathered));
    Ok(work)
}

/// The chunk of a member, by its id: ids are random, so ranges of them are of one size.
fn chunk_of(gate: &Gate, member: u32, chunks: usize) -> usize {
    let Some(id) = gate.standing.member_of(member) else {
        return 0;
    };
    let [a, b, c, d, ..] = id.to_bytes();
    let place = u64::from(u32::from_be_bytes([a, b, c, d]));
    usize::try_from((place * chunks as u64) >> 32).unwrap_or(0)
}

/// Of how many lawful parts each member is put together, up to 255.
struct Occurrences {
    counts: Vec<u8>,
    gathered_rows: usize,
}

impl Occurrences {
    fn count(gate: &Gate, table: Table, files: &[Numbered], lawful: &Lawful<'_>) -> Self {
        let mut counts: Vec<u8> = vec![0; gate.standing.set().len()];
        let mut each = |count: &mut dyn FnMut(&mut u8, Run)| {
            for numbered in files {
                for run in numbered.runs().iter().filter(|run| lawful.holds(**run)) {
                    let member = gate.standing.member_number(run.number) as usize;
                    if member >= counts.len() {
                        counts.resize(member + 1, 0);
                    }
                    count(&mut counts[member], *run);
                }
            }
        };
        each(&mut |count, run| {
            let parts = match table {
                // A member is one row; elsewhere the rows of a run are about different things.
                Table::Members => u8::try_from(run.rows).unwrap_or(u8::MAX),
                Table::Events | Table::Accounts | Table::Contacts | Table::Subscriptions => 1,
            };
            *count = count.saturating_add(parts);
        });
        let mut gathered_rows = 0;
        each(&mut |count, run| {
            if *count > 1 {
                gathered_rows += run.rows as usize;
            }
        });
        Self {
            counts,
            gathered_rows,
        }
    }

    fn of(&self, member: u32) -> u8 {
        self.counts.get(member as usize).copied().unwrap_or(0)
    }
}

/// Gives the largest work first to the partition that has the least.
fn balance(mut work: Vec<Work>, partitions: usize) -> Vec<Vec<Work>> {
    work.sort_by_key(|work| std::cmp::Reverse(work.rows()));
    let mut lists: Vec<(usize, Vec<Work>)> = Vec::new();
    lists.resize_with(partitions.max(1).min(work.len().max(1)), Default::default);
    for item in work {
        if let Some(least) = lists.iter_mut().min_by_key(|(rows, _)| *rows) {
            least.0 += item.rows();
            least.1.push(item);
        }
    }
    lists.into_iter().map(|(_, list)| list).collect()
}
