//! What an owner does to its files beside adding to them: compaction, and the purge of the erased.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use assent_consent::SubjectId;
use assent_programme::TraitCatalog;

use crate::compact::{Keep, Merge, batch_rows, choose, choose_at_rest};
use crate::held::Held;
use crate::merging::{Choice, Merged, Merging, When};
use crate::names::is_clustered;
use crate::shard::{Line, Pile, Shard};
use crate::take_in::{Tools, live};
use crate::worker::Worker;
use crate::{DataFile, Error, Snapshot, Table, metrics};

/// In how many clusters a table of a shard lies at most.
const MOST_CLUSTERS: usize = 16;

/// One of a shard's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Live,
    Next,
}

impl Which {
    fn of(self, shard: &mut Shard) -> Option<&mut Line> {
        match self {
            Self::Live => Some(&mut shard.live),
            Self::Next => shard.next.as_mut().map(|next| &mut next.line),
        }
    }
}

/// What was done about merges, and what is to be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tended {
    /// Nothing is under way.
    pub(crate) idle: bool,
    /// Nothing is under way, or waits, at rest.
    pub(crate) rested: bool,
    /// The fold is to wait for merges.
    pub(crate) crowded: bool,
}

impl Worker {
    /// Commits what has come of merges, and begins others: one where there are too many files, and one in the shards that
    /// are at rest.
    ///
    /// # Errors
    /// Of a commit, and the first merge that failed where there are too many files. At rest it is a warning: whoever reads
    /// can do without, and whatever else is folded must not wait for it.
    pub(crate) fn tend(&mut self, resting: &BTreeSet<u32>) -> Result<Tended, Error> {
        let mut any = false;
        for merged in self.merges.gather() {
            if merged.choice.when == When::AtRest {
                self.rests.note(merged.took, Instant::now());
            }
            any |= self.take(merged)?;
        }
        if any {
            self.publish_compacted()?;
        }
        if !self.merges.are_given_up() {
            if !self.merges.is_under_way(When::Busy)
                && let Some(merging) = self.next_merge()
            {
                self.merges.begin(merging);
            }
            if !self.merges.is_under_way(When::AtRest)
                && let Some(merging) = self.next_merge_at_rest(resting)
            {
                self.merges.begin(merging);
            }
        }
        Ok(Tended {
            idle: self.merges.is_idle(),
            rested: !self.merges.is_under_way(When::AtRest),
            crowded: self.is_crowded(),
        })
    }

    /// Whether files may be put together at rest now.
    pub(crate) fn begin_rest(&mut self) -> bool {
        let begun = self.rests.begin(Instant::now());
        if begun == Some(true) {
            for held in self.held.values_mut() {
                held.put_off.clear();
            }
        }
        begun.is_some()
    }

    /// The next merge that cannot wait for a rest, of the shards held: where there are the most files.
    fn next_merge(&mut self) -> Option<Merging> {
        let most = self.settings.max_files;
        let (_, shard, pile) = self
            .piles()
            .map(|(held, pile)| (self.loose(held, pile).len(), held.number, pile))
            .filter(|(files, ..)| *files > most)
            .max_by_key(|(files, ..)| *files)?;
        let loose = self.loose(self.held.get(&shard)?, pile);
        let chosen = choose(&loose, most)?;
        let chosen = chosen.into_iter().map(|at| loose[at].clone()).collect();
        self.merging(shard, pile, When::Busy, chosen)
    }

    /// The next merge of tables of these shards, which are at rest.
    fn next_merge_at_rest(&mut self, shards: &BTreeSet<u32>) -> Option<Merging> {
        let (shard, pile, files) = self
            .piles()
            .filter(|(held, pile)| {
                shards.contains(&held.number) && *pile != Pile::Seen && !held.put_off.contains(pile)
            })
            .find_map(|(held, pile)| {
                let free = self.free(held, pile);
                let all = free.len() == held.now.line().pile(pile).len();
                let clustered = self.clusters_of(&free) > 1;
                let files = || free.iter().copied().cloned().collect();
                (all && choose_at_rest(&free, clustered)).then(|| (held.number, pile, files()))
            })?;
        self.held.get_mut(&shard)?.put_off.insert(pile);
        self.merging(shard, pile, When::AtRest, files)
    }

    /// Whether the fold is to wait for merges. A shard in which none may be begun does not count.
    fn is_crowded(&self) -> bool {
        let most = self.settings.max_files.max(1) * 2;
        self.piles()
            .any(|(held, pile)| self.loose(held, pile).len() > most)
    }

    /// The files of the shards in which merges may be begun: not where the erased are to be purged, since that would have to
    /// wait for them.
    fn piles(&self) -> impl Iterator<Item = (&Held, Pile)> {
        let purge = self.base().purge;
        let held = self.held.values();
        held.filter(move |held| held.base.purged >= purge)
            .flat_map(|held| Pile::all().map(move |pile| (held, pile)))
    }

    /// The files of the line being folded that no merge is reading.
    fn free<'h>(&self, held: &'h Held, pile: Pile) -> Vec<&'h DataFile> {
        let files = held.now.line().pile(pile).iter();
        files
            .filter(|file| !self.merges.reads(&file.path))
            .collect()
    }

    /// Of those, the ones that are not of a cluster.
    fn loose<'h>(&self, held: &'h Held, pile: Pile) -> Vec<&'h DataFile> {
        let mut loose = self.free(held, pile);
        loose.retain(|file| !is_clustered(&file.path));
        loose
    }

    /// In how many clusters the rows of these files are to lie at most.
    fn clusters_of(&self, files: &[&DataFile]) -> usize {
        let clustering = self.clustering.as_ref();
        if !clustering.is_some_and(|clustering| clustering.is_ready()) {
            return 1;
        }
        let rows: u64 = files.iter().map(|file| file.rows).sum();
        let clusters = rows / self.settings.cluster_rows.max(1);
        usize::try_from(clusters)
            .unwrap_or(MOST_CLUSTERS)
            .clamp(1, MOST_CLUSTERS)
    }

    fn merging(
        &mut self,
        shard: u32,
        pile: Pile,
        when: When,
        files: Vec<DataFile>,
    ) -> Option<Merging> {
        let clusters = match when {
            When::Busy => 1,
            When::AtRest => self.clusters_of(&files.iter().collect::<Vec<_>>()),
        };
        let held = self.held.get_mut(&shard)?;
        if pile == Pile::Seen && files.len() == held.now.line().seen.len() {
            // All of the window is written again; it is time to go over what is in memory, too.
            held.window.forget_expired();
        }
        let names = match clusters {
            1 => vec![held.names.give(pile.as_str())],
            _ => held.names.give_clustered(pile.as_str(), clusters),
        };
        Some(Merging {
            choice: Choice {
                shard,
                epoch: held.base.epoch,
                pile,
                when,
                files,
                names,
            },
            definitions: Arc::clone(&held.definitions),
            horizon: held.window.horizon(),
            clustering: (clusters > 1).then(|| self.clustering.clone()).flatten(),
            storage: Arc::clone(&self.storage),
            row_group_rows: self.settings.row_group_rows,
            fail: Arc::clone(&self.fail),
        })
    }

    /// Puts what came of a merge in the place of what it read; says whether there is anything to commit. Where the shard was
    /// lost, or what was read is named no more, it is dropped.
    fn take(&mut self, merged: Merged) -> Result<bool, Error> {
        let Merged { choice, made, .. } = merged;
        let held = self.held.get_mut(&choice.shard);
        let held = held.filter(|held| held.base.epoch == choice.epoch);
        let place = held.and_then(|held| held.place_of(&choice).map(|place| (held, place)));
        let (Some((held, which)), Ok(made)) = (place, &made) else {
            self.drop_files(&choice);
            return match made {
                Err(error) if !self.merges.are_given_up() => {
                    self.failed(&choice, error).map(|()| false)
                }
                Ok(_) | Err(_) => Ok(false),
            };
        };
        if let Some(line) = which.of(&mut held.now) {
            let files = line.pile_mut(choice.pile);
            files.retain(|file| !choice.files.contains(file));
            files.extend(made.iter().cloned());
        }
        if let Pile::Table(table) = choice.pile {
            metrics::compacted(table);
            self.progress.compacted.insert(table);
            self.of_shard(choice.shard).compactions += 1;
        }
        Ok(true)
    }

    /// Sees to a merge that failed.
    fn failed(&mut self, choice: &Choice, error: Error) -> Result<(), Error> {
        if matches!(error, Error::Corrupt { .. }) {
            // Its files may be gone since another has taken the shard over.
            self.refresh()?;
        }
        let held = self.held.get_mut(&choice.shard);
        let held = held.filter(|held| held.base.epoch == choice.epoch);
        if held.and_then(|held| held.place_of(choice)).is_none() {
            return Ok(());
        }
        if choice.when == When::Busy {
            return Err(error);
        }
        let (shard, pile) = (choice.shard, choice.pile.as_str());
        let error = &error as &dyn std::error::Error;
        tracing::warn!(shard, pile, error, "files cannot be put together");
        metrics::not_put_together();
        Ok(())
    }

    /// Removes what came of a merge and is not wanted. What is left of it for now its owner finds when it cleans up.
    fn drop_files(&self, choice: &Choice) {
        for name in &choice.names {
            if let Err(error) = self.storage.remove(name) {
                tracing::warn!(%error, "a file that nothing names stays until its owner cleans up");
            }
        }
    }

    /// Removes the erased from the shards whose owner was asked to and has not, but for those that merges are still reading:
    /// these have their turn when they have ended. Says whether there were any.
    pub(crate) fn purge(&mut self) -> Result<bool, Error> {
        let manifest = self.base();
        let asked: Vec<u32> = self
            .held
            .values()
            .filter(|held| held.base.purged < manifest.purge)
            .map(|held| held.number)
            // What they make may hold the erased, and is not there yet to be removed.
            .filter(|number| !self.merges.is_at(*number))
            .collect();
        for number in &asked {
            let Some(mut held) = self.held.remove(number) else {
                continue;
            };
            let shown = manifest.live.as_ref().map(|live| &live.definitions.catalog);
            let done = held.purge(&self.tools(), shown);
            let left = held.base.clone();
            let Some(compacted) = self.unless_lost(*number, Some(&left), done)? else {
                continue;
            };
            held.now.purged = manifest.purge;
            self.held.insert(*number, held);
            self.of_shard(*number).compactions += compacted.len() as u64;
            self.progress.compacted.extend(compacted);
        }
        Ok(!asked.is_empty())
    }
}

impl Held {
    /// The line that names all that a merge has read.
    fn place_of(&mut self, choice: &Choice) -> Option<Which> {
        [Which::Live, Which::Next].into_iter().find(|which| {
            let named = which.of(&mut self.now).map(|line| line.pile(choice.pile));
            named.is_some_and(|named| choice.files.iter().all(|file| named.contains(file)))
        })
    }

    /// Merges all files of every table into one without the erased, in both lines; `shown` is the catalogue of the one
    /// that readers see.
    fn purge(
        &mut self,
        tools: &Tools<'_>,
        shown: Option<&TraitCatalog>,
    ) -> Result<BTreeSet<Table>, Error> {
        let making = self.now.next.as_ref();
        let making = making.map(|next| next.definitions.catalog.clone());
        let mut compacted = BTreeSet::new();
        for (which, catalog) in [(Which::Live, shown), (Which::Next, making.as_ref())] {
            let Some(catalog) = catalog else {
                continue;
            };
            for table in Table::ALL {
                let line = which.of(&mut self.now);
                let files = line.map_or(Vec::new(), |line| line.files(table).to_vec());
                if files.is_empty() {
                    continue;
                }
                let mut keep = |subjects: &[SubjectId]| {
                    live(tools.vault, subjects).map_err(|source| Error::Vault {
                        position: format!("compaction of {table}"),
                        source: Box::new(source),
                    })
                };
                let keep: &mut Keep<'_> = &mut keep;
                let files: Vec<&DataFile> = files.iter().collect();
                let rows = Merge::new(
                    tools.storage,
                    table,
                    catalog,
                    &files,
                    batch_rows(files.len()),
                    Some(keep),
                )?;
                let schema = Snapshot::file_schema(table, catalog);
                let file = self.write(tools, table.as_str(), &schema, rows)?;
                metrics::compacted(table);
                if let Some(line) = which.of(&mut self.now) {
                    line.tables.insert(table, file.into_iter().collect());
                }
                compacted.insert(table);
            }
        }
        Ok(compacted)
    }
}
