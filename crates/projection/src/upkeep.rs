//! What an owner does to its files beside adding to them: compaction, and the purge of the erased.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use assent_consent::SubjectId;
use assent_programme::TraitCatalog;

use crate::compact::{BATCH_ROWS, Keep, Merge, choose, choose_at_rest};
use crate::held::Held;
use crate::merging::{Choice, Merged, Merging, When};
use crate::shard::{Line, Pile, Shard};
use crate::take_in::{Tools, live};
use crate::worker::Worker;
use crate::{DataFile, Error, Snapshot, Table, metrics};

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

impl Worker {
    /// The next merge that cannot wait for a rest, of the shards held: where there are the most files. What it reads is not
    /// given to another until it was taken back.
    pub(crate) fn next_merge(&mut self) -> Option<Merging> {
        let most = self.settings.max_files;
        let (_, shard, pile) = self
            .piles()
            .map(|(held, pile)| (held.free(pile).len(), held.number, pile))
            .filter(|(files, ..)| *files > most)
            .max_by_key(|(files, ..)| *files)?;
        let free = self.held.get(&shard)?.free(pile);
        let chosen = choose(&free, most)?;
        let chosen = chosen.into_iter().map(|at| free[at].clone()).collect();
        self.merging(shard, pile, When::Busy, chosen)
    }

    /// The next merge of tables of these shards, which are at rest.
    pub(crate) fn next_merge_at_rest(&mut self, shards: &BTreeSet<u32>) -> Option<Merging> {
        let (shard, pile, files) = self
            .piles()
            .filter(|(held, pile)| {
                shards.contains(&held.number) && *pile != Pile::Seen && !held.put_off.contains(pile)
            })
            .find_map(|(held, pile)| {
                let free = held.free(pile);
                let all = free.len() == held.now.line().pile(pile).len();
                let files = || free.iter().copied().cloned().collect();
                (all && choose_at_rest(&free)).then(|| (held.number, pile, files()))
            })?;
        self.merging(shard, pile, When::AtRest, files)
    }

    /// Whether the fold is to wait for merges.
    pub(crate) fn is_crowded(&self) -> bool {
        let most = self.settings.max_files.max(1) * 2;
        self.piles()
            .any(|(held, pile)| held.free(pile).len() > most)
    }

    /// A new rest begins: what could not be put together at the last one is tried again.
    pub(crate) fn begin_rest(&mut self) {
        for held in self.held.values_mut() {
            held.put_off.clear();
        }
    }

    fn piles(&self) -> impl Iterator<Item = (&Held, Pile)> {
        let held = self.held.values();
        held.flat_map(|held| Pile::ALL.map(|pile| (held, pile)))
    }

    fn merging(
        &mut self,
        shard: u32,
        pile: Pile,
        when: When,
        files: Vec<DataFile>,
    ) -> Option<Merging> {
        let held = self.held.get_mut(&shard)?;
        if pile == Pile::Seen && files.len() == held.now.line().seen.len() {
            // All of the window is written again; it is time to go over what is in memory, too.
            held.window.forget_expired();
        }
        let name = held.names.give(pile.as_str());
        let paths = files.iter().map(|file| file.path.clone()).collect();
        held.merging.insert(name.clone(), paths);
        Some(Merging {
            choice: Choice {
                shard,
                epoch: held.base.epoch,
                pile,
                when,
                files,
                name,
            },
            definitions: Arc::clone(&held.definitions),
            horizon: held.window.horizon(),
            storage: Arc::clone(&self.storage),
            row_group_rows: self.settings.row_group_rows,
            fail: Arc::clone(&self.fail),
        })
    }

    /// Commits what came of merges, each in the place of what it read. Where a shard was lost, or what was read is named no
    /// more, it is dropped.
    ///
    /// # Errors
    /// The first merge that failed and could not wait for a rest. At rest it is a warning: whoever reads can do without, and
    /// whatever else is folded must not wait for it.
    pub(crate) fn take_merged(&mut self, merged: Vec<Merged>) -> Result<(), Error> {
        let mut any = false;
        for one in merged {
            any |= self.take_one(one)?;
        }
        if any {
            self.publish_compacted()?;
        }
        Ok(())
    }

    fn take_one(&mut self, merged: Merged) -> Result<bool, Error> {
        let Merged { choice, made, .. } = merged;
        let held = self.held.get_mut(&choice.shard);
        let held = held.filter(|held| held.base.epoch == choice.epoch);
        let place = held.and_then(|held| {
            held.merging.remove(&choice.name);
            held.place_of(&choice).map(|place| (held, place))
        });
        let Some((held, which)) = place else {
            self.drop_file(&choice.name);
            return Ok(false);
        };
        let file = match made {
            Ok(file) => file,
            Err(error) => {
                self.drop_file(&choice.name);
                return self.failed(&choice, error).map(|()| false);
            }
        };
        if let Some(line) = which.of(&mut held.now) {
            let files = line.pile_mut(choice.pile);
            files.retain(|file| !choice.files.contains(file));
            files.extend(file);
        }
        if let Pile::Table(table) = choice.pile {
            metrics::compacted(table, merged.took);
            self.progress.compacted.insert(table);
            self.of_shard(choice.shard).compactions += 1;
        }
        Ok(true)
    }

    /// Sees to a merge that failed.
    fn failed(&mut self, choice: &Choice, error: Error) -> Result<(), Error> {
        let Some(mut held) = self.held.remove(&choice.shard) else {
            return Ok(());
        };
        let left = held.base.clone();
        let Err(error) = self.unless_lost::<()>(choice.shard, Some(&left), Err(error)) else {
            return Ok(());
        };
        if choice.when == When::Busy {
            return Err(error);
        }
        let (shard, pile) = (choice.shard, choice.pile.as_str());
        let error = &error as &dyn std::error::Error;
        tracing::warn!(shard, pile, error, "files cannot be put together");
        metrics::not_put_together();
        held.put_off.insert(choice.pile);
        self.held.insert(choice.shard, held);
        Ok(())
    }

    /// Removes what came of a merge and is not wanted. What is left of it for now its owner finds when it cleans up.
    fn drop_file(&self, name: &str) {
        if let Err(error) = self.storage.remove(name) {
            tracing::warn!(%error, "a file that nothing names stays until its owner cleans up");
        }
    }

    /// Removes the erased from the shards whose owner was asked to and has not; says whether there were any.
    pub(crate) fn purge(&mut self) -> Result<bool, Error> {
        let manifest = self.base();
        let asked: Vec<u32> = self
            .held
            .values()
            .filter(|held| held.base.purged < manifest.purge)
            .map(|held| held.number)
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
    /// The files of the line being folded that no merge is reading.
    fn free(&self, pile: Pile) -> Vec<&DataFile> {
        let is_read = |file: &DataFile| {
            let mut merging = self.merging.values();
            merging.any(|paths| paths.contains(&file.path))
        };
        let files = self.now.line().pile(pile).iter();
        files.filter(|file| !is_read(file)).collect()
    }

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
                let begin = Instant::now();
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
                    BATCH_ROWS,
                    Some(keep),
                )?;
                let schema = Snapshot::file_schema(table, catalog);
                let file = self.write(tools, table.as_str(), &schema, rows)?;
                metrics::compacted(table, begin.elapsed());
                if let Some(line) = which.of(&mut self.now) {
                    line.tables.insert(table, file.into_iter().collect());
                }
                compacted.insert(table);
            }
        }
        Ok(compacted)
    }
}
