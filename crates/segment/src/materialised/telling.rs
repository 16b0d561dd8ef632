//! Making steps and telling their changes on `assent.membership`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use assent_consent::{SubjectId, Use};
use assent_event::{Envelope, EventId, Payload, SegmentChange, Times};
use assent_permit::PermitSet;
use assent_programme::SegmentDefinition;
use roaring::RoaringBitmap;
use sha2::{Digest, Sha256};

use super::{
    About, After, Basis, Cause, Change, Fallen, Latest, RunMembers, Step, is_forsaken, repair,
    told_file, unavailable,
};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::journalled;
use crate::metrics;
use crate::session::refused;

/// How many changes are appended at once.
const AT_ONCE: usize = 1_000;

impl Engine {
    /// Keeps what a run found and tells what changed by it. `wanted` are members, by number; those of whom nothing lawful
    /// was read are nobody's members.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`. What was kept is told later then.
    pub(crate) async fn keep_run(
        self: &Arc<Self>,
        segment: &SegmentDefinition,
        position: String,
        wanted: RoaringBitmap,
        set: Arc<PermitSet>,
    ) -> Result<()> {
        // It may have run for long: whoever withdrew meanwhile is not told as having entered.
        self.barrier().await?;
        let anew = match self.keep_segment(&segment.name, &[], None).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                Some(self.told_of(&segment.name).await?)
            }
            kept => kept.map(|()| None)?,
        };
        let (engine, name) = (Arc::clone(self), segment.name.clone());
        let about = About {
            version: segment.version,
            sql_sha256: segment.sha256(),
            declared: segment.declared_use(),
            evaluated_at: set.at,
            position,
        };
        let made = blocking(move || {
            let permit = engine.permit();
            let found = RunMembers::numbered(&bases_of(&wanted, &set), permit)?;
            // Before the verdicts are taken, so that they are of these, too.
            let anew = anew.map(|told| repair::numbered(&told, permit));
            let anew = anew.transpose()?;
            let now = engine.live(&about.declared)?;
            let bases = bases_of(&(found.all() - found.fallen(&now).all()), &set);
            let run = RunMembers::numbered(&bases, permit)?;
            loop {
                let (number, before, was) = match &anew {
                    Some(told) => {
                        let number = engine.materialised.next_number(&name)?;
                        (number, None, (told.clone(), repair::fallen(told, &now)))
                    }
                    None => {
                        let latest = engine.materialised.latest(&name, permit)?;
                        let number = latest.as_ref().map_or(1, |latest| latest.step + 1);
                        let before = latest.as_ref().map(|latest| latest.run);
                        let latest =
                            latest.filter(|latest| latest.about.declared == about.declared);
                        let was = latest.map(|latest| (latest.told(), latest.members.fallen(&now)));
                        (number, before, was.unwrap_or_default())
                    }
                };
                let step = Step {
                    about: about.clone(),
                    changes: changes(was, &run, &now),
                    after: After::Run {
                        bases: bases.clone(),
                        before,
                    },
                };
                if engine.materialised.create(&name, number, &step)? {
                    if anew.is_some() {
                        engine.materialised.settle(&name, number)?;
                    }
                    return Ok((name, number, step, before));
                }
            }
        });
        let (name, number, step, before) = made.await?;
        self.tell(&name, number, &step).await?;
        let engine = Arc::clone(self);
        let runs: Vec<u64> = before.into_iter().collect();
        blocking(move || engine.materialised.clean(&name, number, &runs)).await
    }

    /// The verdicts of a use now, by what is applied.
    fn live(&self, declared: &Use) -> Result<Arc<PermitSet>> {
        let set = self.permit().permitted_live(declared, self.clock.now());
        set.map_err(|error| refused(&error))
    }

    /// Takes out of the segments kept whoever is no longer lawful for what their run rested on, and tells so; and tells
    /// what others did not come to tell. Readers do not depend on it. To be called every second or so, by any process.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`; what could be done for other segments was.
    pub async fn keep_segments(self: &Arc<Self>) -> Result<()> {
        metrics::looks_through();
        let engine = Arc::clone(self);
        let listed = blocking(move || engine.materialised.listed()).await?;
        if listed.is_empty() {
            return Ok(());
        }
        // Only now: what these steps rest on was acknowledged before, and is to be known here.
        self.barrier().await?;
        let now = self.clock.now();
        let now = SystemTime::UNIX_EPOCH
            + Duration::from_micros(u64::try_from(now.micros()).unwrap_or(0));
        let mut first_error = None;
        for (name, steps) in listed {
            let forsaken = steps.iter().filter(|(_, listed)| is_forsaken(listed, now));
            let forsaken: Vec<u64> = forsaken.map(|(number, _)| *number).collect();
            let last = steps.keys().last().copied();
            let kept = self.keep_segment(&name, &forsaken, last).await;
            let begins_to_fail = self.materialised.fails(&name, kept.is_err());
            if let Err(error) = kept {
                // Once, not each second for as long as it lasts.
                if begins_to_fail {
                    let code = error.code();
                    tracing::warn!(segment = name, code, "a segment is not kept up to date");
                }
                metrics::not_kept();
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Tells these steps, and lets those leave who must. `last` is the last step, where the caller has just listed them.
    async fn keep_segment(
        self: &Arc<Self>,
        name: &str,
        forsaken: &[u64],
        last: Option<u64>,
    ) -> Result<()> {
        for number in forsaken.iter().copied() {
            let (engine, of) = (Arc::clone(self), name.to_owned());
            let step = blocking(move || engine.materialised.read(&of, number)).await?;
            if let Some(step) = step {
                self.tell(name, number, &step).await?;
            }
        }
        let (engine, of) = (Arc::clone(self), name.to_owned());
        let made = blocking(move || {
            let latest = match last {
                Some(last) => engine.materialised.after(&of, last, engine.permit())?,
                None => engine.materialised.latest(&of, engine.permit())?,
            };
            let Some(latest) = latest else {
                return Ok(None);
            };
            let Some(step) = engine.leaving(&of, &latest)? else {
                return Ok(None);
            };
            let number = latest.step + 1;
            // A rival who was faster saw the same.
            let ours = engine.materialised.create(&of, number, &step)?;
            Ok(ours.then_some((number, step, latest)))
        });
        let Some((number, step, latest)) = made.await? else {
            return Ok(());
        };
        self.tell(name, number, &step).await?;
        // Each such step has all who left since the run.
        let (engine, of) = (Arc::clone(self), name.to_owned());
        let runs: Vec<u64> = latest.before.into_iter().chain([latest.run]).collect();
        blocking(move || engine.materialised.clean(&of, number, &runs)).await
    }

    /// The step by which those leave who must; `None` when nobody does.
    fn leaving(&self, name: &str, latest: &Latest) -> Result<Option<Step>> {
        let declared = &latest.about.declared;
        let permit = self.permit();
        let registry = permit.registry();
        let stands = registry.segment(name);
        let gone = stands.is_none_or(|segment| segment.declared_use() != *declared);
        let set = self.live(declared)?;
        let told = latest.told();
        let leaving = match gone {
            true => vec![(Cause::Removed, told.clone())],
            false => {
                let fallen = latest.members.fallen(&set);
                vec![
                    (Cause::Consent, &told & fallen.by_consent),
                    (Cause::Identity, &told & fallen.by_identity),
                ]
            }
        };
        let changes = left(leaving.clone(), &set);
        if changes.is_empty() {
            return Ok(None);
        }
        let stay = leaving
            .iter()
            .fold(told, |stay, (_, leaving)| stay - leaving);
        Ok(Some(Step {
            about: latest.about.clone(),
            after: After::Left {
                run: latest.run,
                left: subjects(&(latest.members.all() - stay), &set),
            },
            changes,
        }))
    }

    /// Appends the changes of a step; when it returns they are durable, and the step is marked as told.
    async fn tell(self: &Arc<Self>, name: &str, number: u64, step: &Step) -> Result<()> {
        for change in &step.changes {
            let payload: Payload = SegmentChange::of(
                (name, step.about.version),
                &step.about.declared,
                number,
                (change.entered, change.cause.as_str()),
            )
            .into();
            for members in change.members.chunks(AT_ONCE) {
                let records = members.iter().map(|member| {
                    let digest = Sha256::new_with_prefix(name)
                        .chain_update(number.to_be_bytes())
                        .chain_update(member.as_bytes())
                        .finalize();
                    let (id, _) = digest.split_first_chunk::<16>().ok_or_else(untold)?;
                    let envelope = Envelope::without_personal_blocks(
                        EventId::from_bytes(*id),
                        *member,
                        "assent",
                        format!("{name}/{number}"),
                        Times::at(step.about.evaluated_at),
                        &payload,
                    );
                    envelope
                        .and_then(|envelope| journalled::record(member.as_bytes(), &envelope))
                        .map_err(|_| untold())
                });
                let records = records.collect::<Result<Vec<_>>>()?;
                let appended = self.stores.journal.append(records).await;
                appended.map_err(|error| {
                    tracing::warn!(kind = ?error.kind(), "changes of a segment could not be told");
                    untold()
                })?;
                metrics::told(change.entered, members.len());
            }
        }
        let (engine, file) = (Arc::clone(self), told_file(name, number));
        blocking(move || {
            let marked = engine.materialised.storage.create(&file, b"");
            marked.map(|_| ()).map_err(unavailable)
        })
        .await
    }
}

/// What a run changes: who is in it and was not told to be, and who was and is not. With those who were told, and who of
/// them does not stand.
fn changes(
    (told, fallen): (RoaringBitmap, Fallen),
    run: &RunMembers,
    now: &PermitSet,
) -> Vec<Change> {
    let entered = run.all() - &told;
    let out = told - run.all();
    let causes = vec![
        (Cause::Query, &out - fallen.all()),
        (Cause::Consent, &out & fallen.by_consent),
        (Cause::Identity, &out & fallen.by_identity),
    ];
    let mut changes = left(causes, now);
    if !entered.is_empty() {
        changes.push(Change {
            entered: true,
            cause: Cause::Query,
            members: subjects(&entered, now),
        });
    }
    changes
}

/// The changes by which these leave, where anybody does.
fn left(causes: Vec<(Cause, RoaringBitmap)>, set: &PermitSet) -> Vec<Change> {
    let causes = causes
        .into_iter()
        .filter(|(_, members)| !members.is_empty());
    let changes = causes.map(|(cause, members)| Change {
        entered: false,
        cause,
        members: subjects(&members, set),
    });
    changes.collect()
}

fn subjects(numbers: &RoaringBitmap, set: &PermitSet) -> Vec<SubjectId> {
    numbers
        .iter()
        .filter_map(|one| set.subject_of(one))
        .collect()
}

/// What was read of these members, by what it was lawful for.
fn bases_of(wanted: &RoaringBitmap, set: &PermitSet) -> Vec<Basis> {
    let everybody = u32::try_from(set.len()).unwrap_or(u32::MAX);
    let mut by_code: BTreeMap<u16, Basis> = BTreeMap::new();
    for number in 0..everybody {
        let Some(covers) = set.coverage(number) else {
            continue;
        };
        let Some(member) = set
            .member_number(number)
            .filter(|one| wanted.contains(*one))
        else {
            continue;
        };
        let (Some(subject), Some(of)) = (set.subject_of(number), set.subject_of(member)) else {
            continue;
        };
        let basis = by_code.entry(set.code(number)).or_insert_with(|| Basis {
            covers: covers.categories.clone(),
            alone: Vec::new(),
            linked: Vec::new(),
        });
        match number == member {
            true => basis.alone.push(subject),
            false => basis.linked.push((subject, of)),
        }
    }
    by_code.into_values().collect()
}

/// Storage blocks, and so does counting everybody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        Err(Error::internal(
            "segment_steps",
            "a segment could not be kept",
        ))
    })
}

fn untold() -> Error {
    Error::unavailable(
        "segment_untold",
        "what changed in the segment could not be told; it will be",
    )
    .help("try again; if it persists, run `assent doctor`")
}
