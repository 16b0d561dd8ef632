//! Materialised segments: whom the runs of a segment found, kept, so that they can be counted, combined and compared
//! without running it again.
//!
//! A segment's history is a chain of steps beside the profiles, each created exclusively under the next number: a run,
//! or some who left since without one. The members of a segment are whom its last run found, but for those who left; and
//! whoever is no longer lawful for what the run rested on is out for a reader *at once*, before a step says so (I2).
//!
//! ```text
//! segments/NAME.N.step    immutable, created exclusively; N: 20 digits
//! segments/NAME.N.told    the changes of that step stand in `assent.membership`
//! ```
//!
//! Changes are told at least once, under ids that are the same when they are told again, each with the number of its step:
//! what comes late after a failure has the smaller number. This module owns steps, bitmaps and the telling; it runs no
//! query, and it shows members to nobody: sessions do (`compared`).

mod compared;
mod members;
mod repair;
mod step;
mod telling;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use assent_consent::Use;
use assent_permit::{Permit, PermitSet};
use assent_projection::{Created, Storage};
use roaring::RoaringBitmap;

pub(crate) use compared::looking_back;
pub use compared::{Overlap, SegmentDiff};
pub(crate) use members::{Fallen, RunMembers, ascending};
pub(crate) use step::{About, After, Basis, Cause, Change, Step};

use crate::error::{Error, Result};

/// The folder of steps.
const FOLDER: &str = "segments";
/// How often a reader whose step was removed while it read begins anew.
const TRIES: usize = 5;

/// The histories of segments.
#[derive(Debug)]
pub(crate) struct Materialised {
    storage: Arc<dyn Storage>,
    latest: Mutex<HashMap<String, Arc<Latest>>>,
    /// Segments that could not be kept up to date when that was tried last.
    failing: Mutex<BTreeSet<String>>,
}

/// A segment as its last step left it.
#[derive(Debug)]
pub(crate) struct Latest {
    /// The number of the last step.
    pub(crate) step: u64,
    /// The number of the last run.
    pub(crate) run: u64,
    /// The run before it.
    pub(crate) before: Option<u64>,
    pub(crate) about: About,
    pub(crate) members: Arc<RunMembers>,
    /// Who left since, by number.
    left: RoaringBitmap,
}

impl Latest {
    /// Members as far as steps tell.
    pub(crate) fn told(&self) -> RoaringBitmap {
        self.members.all() - &self.left
    }

    /// Members as of this set of the segment's use, in which nobody is who may not be.
    pub(crate) fn standing(&self, set: &Arc<PermitSet>) -> RoaringBitmap {
        self.told() - self.members.fallen(set).all()
    }

    /// Refuses what was run by another definition.
    ///
    /// # Errors
    /// `Invalid`.
    pub(crate) fn current(&self, name: &str, version: u32, declared: &Use) -> Result<()> {
        self.under(name, declared)?;
        if self.about.version == version {
            return Ok(());
        }
        Err(outdated(name))
    }

    /// Refuses what was run under another use: its members are nobody's business under this one.
    ///
    /// # Errors
    /// `Invalid`.
    pub(crate) fn under(&self, name: &str, declared: &Use) -> Result<()> {
        match self.about.declared == *declared {
            true => Ok(()),
            false => Err(outdated(name)),
        }
    }
}

/// One step as the folder lists it.
#[derive(Debug, Clone, Copy)]
struct Listed {
    created_at: SystemTime,
    told: bool,
}

impl Materialised {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            storage,
            latest: Mutex::default(),
            failing: Mutex::default(),
        }
    }

    /// The steps of every segment. Blocks.
    fn listed(&self) -> Result<BTreeMap<String, BTreeMap<u64, Listed>>> {
        let mut segments: BTreeMap<String, BTreeMap<u64, Listed>> = BTreeMap::new();
        let mut told = Vec::new();
        for entry in self.storage.list(FOLDER, "").map_err(unavailable)? {
            let mut parts = entry.name.split('.');
            let (Some(name), Some(number), Some(kind)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match kind {
                "step" => {
                    let listed = Listed {
                        created_at: entry.created_at,
                        told: false,
                    };
                    let steps = segments.entry(name.to_owned()).or_default();
                    steps.insert(number, listed);
                }
                _ => told.push((name.to_owned(), number)),
            }
        }
        for (name, number) in told {
            let steps = segments.get_mut(&name);
            if let Some(step) = steps.and_then(|steps| steps.get_mut(&number)) {
                step.told = true;
            }
        }
        Ok(segments)
    }

    /// A step; `None` when it was removed. Blocks.
    ///
    /// # Errors
    /// `Corrupt`, naming the file.
    fn read(&self, name: &str, number: u64) -> Result<Option<Step>> {
        let file = step_file(name, number);
        let Some(bytes) = self.storage.read(&file).map_err(unavailable)? else {
            return Ok(None);
        };
        Step::decode(&bytes).map(Some).ok_or_else(|| {
            Error::corrupt(
                "segment_step",
                format!("{file}, a step of the segment {name}, does not read"),
            )
            .help(format!(
                "run `assent segment refresh {name}`: it begins anew, and what it changes for those who read what was told \
                 is told"
            ))
        })
    }

    /// The members of an earlier run; `None` when it is not kept any more, or was of another use. Blocks.
    pub(crate) fn run(
        &self,
        name: &str,
        number: u64,
        declared: &Use,
        permit: &Permit,
    ) -> Result<Option<RunMembers>> {
        let step = self.read(name, number)?;
        match step
            .filter(|step| step.about.declared == *declared)
            .map(|step| step.after)
        {
            Some(After::Run { bases, .. }) => RunMembers::numbered(&bases, permit).map(Some),
            Some(After::Left { .. }) | None => Ok(None),
        }
    }

    /// The segment after its last step; `None` when it was never run. Blocks.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt`, naming the file.
    pub(crate) fn latest(&self, name: &str, permit: &Permit) -> Result<Option<Arc<Latest>>> {
        for _ in 0..TRIES {
            let steps = self.listed()?;
            let Some(last) = steps.get(name).and_then(|steps| steps.keys().last()) else {
                return Ok(None);
            };
            // Whoever removes old steps wrote later ones before.
            if let Some(latest) = self.after(name, *last, permit)? {
                return Ok(Some(latest));
            }
        }
        Err(Error::unavailable(
            "segment_steps",
            format!("the segment {name} is run faster than it can be read"),
        )
        .help("try again"))
    }

    /// The segment after this step, which was the last one; `None` when it was removed meanwhile. Blocks.
    fn after(&self, name: &str, number: u64, permit: &Permit) -> Result<Option<Arc<Latest>>> {
        let known = self.known(name);
        if let Some(known) = known.filter(|known| known.step == number) {
            return Ok(Some(known));
        }
        let Some(step) = self.read(name, number)? else {
            return Ok(None);
        };
        let latest = match step.after {
            After::Run { bases, before } => Latest {
                step: number,
                run: number,
                before,
                about: step.about,
                members: Arc::new(RunMembers::numbered(&bases, permit)?),
                left: RoaringBitmap::new(),
            },
            After::Left { run, left } => {
                let known = self.known(name).filter(|known| known.run == run);
                let (members, before) = match known {
                    Some(known) => (Arc::clone(&known.members), known.before),
                    None => match self.read(name, run)?.map(|step| step.after) {
                        Some(After::Run { bases, before }) => {
                            (Arc::new(RunMembers::numbered(&bases, permit)?), before)
                        }
                        Some(After::Left { .. }) | None => return Ok(None),
                    },
                };
                Latest {
                    step: number,
                    run,
                    before,
                    about: step.about,
                    members,
                    left: left
                        .iter()
                        .filter_map(|one| permit.number_of(one))
                        .collect(),
                }
            }
        };
        let latest = Arc::new(latest);
        self.lock().insert(name.to_owned(), Arc::clone(&latest));
        Ok(Some(latest))
    }

    /// Stores a step under this number; `false` when a rival was faster. Blocks.
    pub(crate) fn create(&self, name: &str, number: u64, step: &Step) -> Result<bool> {
        let (file, bytes) = (step_file(name, number), step.encode());
        match self.storage.create(&file, &bytes) {
            Ok(Created::New) => Ok(true),
            // Of an earlier attempt of our own the bytes are the same.
            Ok(Created::Taken) | Err(_) => match self.storage.read(&file).map_err(unavailable)? {
                Some(there) => Ok(there == bytes),
                None => Err(Error::unavailable(
                    "segment_steps",
                    "the members of the segment could not be kept",
                )),
            },
        }
    }

    /// Removes steps before the last that were told, but for these runs. Blocks.
    pub(crate) fn clean(&self, name: &str, last: u64, runs: &[u64]) -> Result<()> {
        let steps = self.listed()?.remove(name).unwrap_or_default();
        for (number, listed) in steps {
            if number < last && listed.told && !runs.contains(&number) {
                for file in [step_file(name, number), told_file(name, number)] {
                    self.storage.remove(&file).map_err(unavailable)?;
                }
            }
        }
        Ok(())
    }

    /// Notes whether a segment could be kept up to date; whether it is the first time that it could not.
    fn fails(&self, name: &str, fails: bool) -> bool {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if fails {
            return failing.insert(name.to_owned());
        }
        failing.remove(name);
        false
    }

    fn known(&self, name: &str) -> Option<Arc<Latest>> {
        self.lock().get(name).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Latest>>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How old a step is that nobody told; whoever made it may still be at it, unless it took long.
fn is_forsaken(listed: &Listed, now: SystemTime) -> bool {
    const PATIENCE: Duration = Duration::from_secs(60);
    let age = now.duration_since(listed.created_at);
    !listed.told && age.is_ok_and(|age| age > PATIENCE)
}

fn step_file(name: &str, number: u64) -> String {
    format!("{FOLDER}/{name}.{number:020}.step")
}

fn told_file(name: &str, number: u64) -> String {
    format!("{FOLDER}/{name}.{number:020}.told")
}

fn unavailable(error: assent_projection::Error) -> Error {
    tracing::warn!(%error, "the steps of segments cannot be reached");
    Error::unavailable(
        "segment_steps",
        "the members kept of segments cannot be reached now",
    )
    .help("try again; if it persists, run `assent doctor`")
}

fn outdated(name: &str) -> Error {
    Error::invalid(
        "segment_outdated",
        format!("the segment {name} was defined anew since its last run"),
    )
    .help(format!("run `assent segment run {name}`"))
}

/// A segment of which nothing is kept.
pub(crate) fn never_run(name: &str) -> Error {
    Error::invalid(
        "segment_not_run",
        format!("no run of the segment {name} is kept"),
    )
    .help(format!(
        "run `assent segment run {name}`; segments of accounts are not kept"
    ))
}
