//! What runs of segments have in common, and in what they differ, for people who are lawful now.

use std::sync::Arc;

use assent_consent::Timestamp;
use assent_programme::Role;
use roaring::RoaringBitmap;

use super::never_run;
use crate::error::{Error, Result};
use crate::session::LawfulSession;
use crate::use_log::Entry;

/// How many segments are laid over each other at most.
const MOST_OVERLAID: usize = 6;

/// In what a segment's last run differs from the one before it, as of the session: nobody is counted who is not lawful
/// now, but for those who left since they are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentDiff {
    /// The last run.
    pub run: u64,
    /// When it was evaluated.
    pub evaluated_at: Timestamp,
    /// The version of the definition it ran by.
    pub version: u32,
    /// The run before it; `None` when there was none, or when it is not kept.
    pub before: Option<u64>,
    /// Members of both runs.
    pub stayed: u64,
    /// Members of the last run who were not in the one before, ascending.
    pub entered: Vec<String>,
    /// Lawful members of the run before whom the last one did not find, ascending.
    pub left_by_query: Vec<String>,
    /// How many left because they are no longer lawful for what a run rested on. Exact for officers; for others as roughly
    /// as reason counts are told.
    pub left_by_consent: u64,
    /// How many left because they are another member since, by a link. As exact as `left_by_consent`.
    pub left_by_identity: u64,
}

/// How many members some segments share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// These segments.
    pub segments: Vec<String>,
    /// Members of each of them.
    pub members: u64,
    /// Of those, members of no other segment that was asked about.
    pub only: u64,
}

impl LawfulSession {
    /// In what the last run of a segment of this session's use differs from the one before it.
    ///
    /// # Errors
    /// `Denied` under another use; `Invalid` when no run is kept; `Unavailable`, `Corrupt`. The use is journalled first.
    pub async fn segment_diff(&self, name: &str) -> Result<SegmentDiff> {
        let result = self.compared(name).await;
        let names = [name.to_owned()];
        self.kept_used("diff", &names, &result).await?;
        result
    }

    async fn compared(&self, name: &str) -> Result<SegmentDiff> {
        let segment = self.own_segment(name)?;
        self.only_of_the_present()?;
        let (engine, of) = (Arc::clone(&self.engine), segment.name.clone());
        let (set, declared) = (self.gate.standing.shared(), segment.declared_use());
        let k = match self.principal.role {
            Role::Officer => None,
            _ => Some(u64::from(self.registry().settings().k)),
        };
        let work = move |_: &crate::workers::Turn| {
            let permit = engine.permit();
            let last = engine.materialised.latest(&of, permit)?;
            let last = last.ok_or_else(|| never_run(&of))?;
            last.under(&of, &declared)?;
            let before = match last.before {
                Some(before) => {
                    let run = engine.materialised.run(&of, before, &declared, permit)?;
                    run.map(|run| (before, run))
                }
                None => None,
            };
            let ids = |numbers: RoaringBitmap| {
                let subjects = numbers.iter().filter_map(|one| set.subject_of(one));
                let mut ids: Vec<String> = subjects.map(|one| one.to_string()).collect();
                ids.sort_unstable();
                ids
            };
            let now = last.standing(&set);
            let (was, fallen) = match &before {
                Some((_, run)) => (run.all().clone(), run.fallen(&set)),
                None => Default::default(),
            };
            let by_query = (&was - fallen.all()) - last.members.all();
            let out = &was - (&now | &by_query);
            let by_identity = out.intersection_len(&fallen.by_identity);
            let rough = |what: &str, exact| match k {
                None => exact,
                Some(k) => engine
                    .coarse
                    .one(&format!("{of}/{}/{what}", last.run), exact, k),
            };
            Ok(SegmentDiff {
                run: last.run,
                evaluated_at: last.about.evaluated_at,
                version: last.about.version,
                before: before.map(|(before, _)| before),
                stayed: now.intersection_len(&was),
                left_by_consent: rough("consent", out.len() - by_identity),
                left_by_identity: rough("identity", by_identity),
                entered: ids(&now - &was),
                left_by_query: ids(by_query),
            })
        };
        let timeout = self.engine.limits.timeout;
        self.engine.workers.compute(timeout, work).await
    }

    /// How many members segments of this session's use share, for each choice of them, from single ones up.
    ///
    /// # Errors
    /// As [`LawfulSession::segment_diff`]; `Invalid` for more than six segments, or one named twice.
    pub async fn segment_overlap(&self, names: &[String]) -> Result<Vec<Overlap>> {
        let result = self.overlaid(names).await;
        self.kept_used("overlap", names, &result).await?;
        result
    }

    async fn overlaid(&self, names: &[String]) -> Result<Vec<Overlap>> {
        let mut distinct = names.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        if names.is_empty() || distinct.len() != names.len() || names.len() > MOST_OVERLAID {
            return Err(Error::invalid(
                "overlap_segments",
                format!("an overlap is of one to {MOST_OVERLAID} different segments"),
            ));
        }
        self.only_of_the_present()?;
        let segments = names.iter().map(|name| self.own_segment(name));
        let segments = segments.collect::<Result<Vec<_>>>()?;
        let engine = Arc::clone(&self.engine);
        let set = self.gate.standing.shared();
        let names = names.to_vec();
        let work = move |_: &crate::workers::Turn| {
            let standing = segments.iter().map(|segment| {
                let latest = engine.materialised.latest(&segment.name, engine.permit())?;
                let latest = latest.ok_or_else(|| never_run(&segment.name))?;
                latest.current(&segment.name, segment.version, &segment.declared_use())?;
                Ok(latest.standing(&set))
            });
            Ok(overlaps(&names, &standing.collect::<Result<Vec<_>>>()?))
        };
        let timeout = self.engine.limits.timeout;
        self.engine.workers.compute(timeout, work).await
    }

    /// What is kept of segments is of the present.
    ///
    /// # Errors
    /// `Invalid` for a session that looks back.
    pub(crate) fn only_of_the_present(&self) -> Result<()> {
        if self.answered.looking_back {
            return Err(looking_back());
        }
        Ok(())
    }

    /// Journals a use of what is kept of these segments, one record each; what else was named may be any text.
    async fn kept_used<T>(
        &self,
        operation: &'static str,
        names: &[String],
        result: &Result<T>,
    ) -> Result<()> {
        let outcome = match result {
            Ok(_) => "answered".to_owned(),
            Err(error) => format!("failed: {}", error.code()),
        };
        let found = names
            .iter()
            .take(MOST_OVERLAID)
            .filter_map(|name| self.own_segment(name).ok());
        let mut found: Vec<_> = found.map(|one| Some((one.name, one.version))).collect();
        if found.is_empty() {
            found.push(None);
        }
        for segment in found {
            let entry = Entry {
                operation,
                segment,
                outcome: outcome.clone(),
                ..Entry::default()
            };
            self.journal(entry).await?;
        }
        Ok(())
    }
}

pub(crate) fn looking_back() -> Error {
    Error::invalid(
        "segment_looking_back",
        "what is kept of segments is of the present; a session that looks back cannot use it",
    )
    .help("leave the evaluation time out, or write the segment's query")
}

/// The members shared by each choice of segments, fewer segments first.
pub(crate) fn overlaps(names: &[String], members: &[RoaringBitmap]) -> Vec<Overlap> {
    let mut choices: Vec<u32> = (1..1_u32 << members.len()).collect();
    choices.sort_by_key(|choice| (choice.count_ones(), *choice));
    let chosen = |choice: u32| (0..members.len()).filter(move |one| choice & (1 << one) != 0);
    let shared: Vec<u64> = (0..1_u32 << members.len())
        .map(|choice| {
            let mut all = chosen(choice).map(|one| &members[one]);
            match (all.next(), all.next()) {
                (None, _) => 0,
                (Some(one), None) => one.len(),
                (Some(one), Some(other)) => {
                    let mut rest: Vec<&RoaringBitmap> = all.collect();
                    match rest.pop() {
                        None => one.intersection_len(other),
                        Some(last) => {
                            let most = rest.into_iter().fold(one & other, |most, next| most & next);
                            most.intersection_len(last)
                        }
                    }
                }
            }
        })
        .collect();
    // Inclusion and exclusion over the choices that hold this one.
    let only = |choice: u32| -> u64 {
        let wider = choices.iter().filter(|wider| *wider & choice == choice);
        let signed = wider.map(|wider| {
            let shared = i64::try_from(shared[*wider as usize]).unwrap_or(i64::MAX);
            match (wider.count_ones() - choice.count_ones()) % 2 {
                0 => shared,
                _ => -shared,
            }
        });
        u64::try_from(signed.sum::<i64>()).unwrap_or(0)
    };
    let overlap = |choice: &u32| Overlap {
        segments: chosen(*choice).map(|one| names[one].clone()).collect(),
        members: shared[*choice as usize],
        only: only(*choice),
    };
    choices.iter().map(overlap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_those_of_sets() {
        let members = [
            RoaringBitmap::from_iter([1, 2, 3, 4, 70_000]),
            RoaringBitmap::from_iter([2, 3, 5]),
            RoaringBitmap::from_iter([3, 4, 5, 6]),
        ];
        let names = ["a", "b", "c"].map(str::to_owned);
        let told = overlaps(&names, &members);
        let told: Vec<(String, u64, u64)> = told
            .into_iter()
            .map(|one| (one.segments.join("&"), one.members, one.only))
            .collect();
        let expected = [
            ("a", 5, 2),
            ("b", 3, 0),
            ("c", 4, 1),
            ("a&b", 2, 1),
            ("a&c", 2, 1),
            ("b&c", 2, 1),
            ("a&b&c", 1, 1),
        ];
        assert_eq!(
            told,
            expected.map(|(one, all, only)| (one.to_owned(), all, only))
        );
    }
}
