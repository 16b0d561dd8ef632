//! Making steps and telling their changes on `assent.membership`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use assent_consent::SubjectId;
use assent_event::{Envelope, EventId, Kind, Payload, SegmentChange, Times};
use assent_journal::{Record, Topic};
use assent_permit::PermitSet;
use assent_programme::SegmentDefinition;
use roaring::RoaringBitmap;
use sha2::{Digest, Sha256};

use super::{
    About, After, Basis, Cause, Change, Latest, Step, is_forsaken, told_file, unavailable,
};
use crate::engine::Engine;
use crate::error::{Error, Result};
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
        let (engine, name) = (Arc::clone(self), segment.name.clone());
        let about = About {
            version: segment.version,
            sql_sha256: segment.sha256(),
            declared: segment.declared_use(),
            evaluated_at: set.at,
            position,
        };
        let made = blocking(move || {
            let bases = bases_of(&wanted, &set);
            loop {
                let latest = engine.materialised.latest(&name, engine.permit())?;
                let number = latest.as_ref().map_or(1, |latest| latest.step + 1);
                let before = latest.as_ref().map(|latest| latest.run);
                let step = Step {
                    about: about.clone(),
                    changes: changes(latest.as_deref(), &bases, &set, &engine)?,
                    after: After::Run {
                        bases: bases.clone(),
                        before,
                    },
                };
                if engine.materialised.create(&name, number, &step)? {
                    return Ok((name, number, step, before));
                }
            }
        });
        let (name, number, step, before) = made.await?;
        self.tell(&name, number, &step).await?;
        let engine = Arc::clone(self);
        blocking(move || engine.materialised.clean(&name, before)).await
    }

    /// Takes out of the segments kept whoever is no longer lawful for what their run rested on, and tells so; and tells
    /// what others did not come to tell. Readers do not depend on it. To be called every second or so, by any process.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`; what could be done for other segments was.
    pub async fn keep_segments(self: &Arc<Self>) -> Result<()> {
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
            let mut forsaken = Vec::new();
            for (number, listed) in &steps {
                if is_forsaken(listed, now) {
                    forsaken.push(*number);
                }
            }
            let kept = self.keep_segment(&name, forsaken).await;
            if let Err(error) = kept {
                tracing::warn!(
                    segment = name,
                    code = error.code(),
                    "a segment could not be kept up to date"
                );
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    async fn keep_segment(self: &Arc<Self>, name: &str, forsaken: Vec<u64>) -> Result<()> {
        for number in forsaken {
            let (engine, of) = (Arc::clone(self), name.to_owned());
            let step = blocking(move || engine.materialised.read(&of, number)).await?;
            if let Some(step) = step {
                self.tell(name, number, &step).await?;
            }
        }
        let (engine, of) = (Arc::clone(self), name.to_owned());
        let made = blocking(move || {
            let Some(latest) = engine.materialised.latest(&of, engine.permit())? else {
                return Ok(None);
            };
            let Some(step) = engine.leaving(&of, &latest)? else {
                return Ok(None);
            };
            let number = latest.step + 1;
            // A rival who was faster saw the same.
            let ours = engine.materialised.create(&of, number, &step)?;
            Ok(ours.then_some((number, step)))
        });
        match made.await? {
            Some((number, step)) => self.tell(name, number, &step).await,
            None => Ok(()),
        }
    }

    /// The step by which those leave who must; `None` when nobody does.
    fn leaving(&self, name: &str, latest: &Latest) -> Result<Option<Step>> {
        let declared = &latest.about.declared;
        let permit = self.permit();
        let registry = permit.registry();
        let stands = registry.segment(name);
        let gone = stands.is_none_or(|segment| segment.declared_use() != *declared);
        let set = permit
            .permitted_live(declared, self.clock.now())
            .map_err(|error| refused(&error))?;
        let told = latest.told();
        let leaving = match gone {
            true => told.clone(),
            false => &told & latest.members.fallen(&set),
        };
        if leaving.is_empty() {
            return Ok(None);
        }
        let subject = |number| set.subject_of(number);
        let mut by_cause: BTreeMap<Cause, Vec<SubjectId>> = BTreeMap::new();
        for member in &leaving {
            let cause = match gone {
                true => Cause::Removed,
                false => latest.members.cause(member, &set),
            };
            by_cause.entry(cause).or_default().extend(subject(member));
        }
        let out = latest.members.all() - (told - leaving);
        Ok(Some(Step {
            about: latest.about.clone(),
            after: After::Left {
                run: latest.run,
                left: out.iter().filter_map(subject).collect(),
            },
            changes: by_cause
                .into_iter()
                .map(|(cause, members)| left(cause, members))
                .collect(),
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
                    let value = envelope.and_then(|envelope| envelope.encode());
                    Ok(Record {
                        topic: Topic::new(Kind::SegmentChange.topic()),
                        key: member.as_bytes().to_vec().into(),
                        value: value.map_err(|_| untold())?.into(),
                        headers: Vec::new(),
                    })
                });
                let records = records.collect::<Result<Vec<_>>>()?;
                let appended = self.stores.journal.append(records).await;
                appended.map_err(|error| {
                    tracing::warn!(kind = ?error.kind(), "changes of a segment could not be told");
                    untold()
                })?;
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

/// What a run changes: who is in it and was not, and who was and is not.
fn changes(
    latest: Option<&Latest>,
    bases: &[Basis],
    set: &Arc<PermitSet>,
    engine: &Engine,
) -> Result<Vec<Change>> {
    let run = super::RunMembers::numbered(bases, engine.permit())?;
    let told = latest.map(Latest::told).unwrap_or_default();
    let subjects = |numbers: RoaringBitmap| {
        numbers
            .iter()
            .filter_map(|one| set.subject_of(one))
            .collect()
    };
    let mut changes = vec![Change {
        entered: true,
        cause: Cause::Query,
        members: subjects(run.all() - &told),
    }];
    if let Some(latest) = latest {
        let out = told - run.all();
        let fallen = &out & latest.members.fallen(set);
        changes.push(left(Cause::Query, subjects(&out - &fallen)));
        for cause in [Cause::Consent, Cause::Identity] {
            let mut of_cause = fallen.clone();
            of_cause = of_cause
                .iter()
                .filter(|one| latest.members.cause(*one, set) == cause)
                .collect();
            changes.push(left(cause, subjects(of_cause)));
        }
    }
    changes.retain(|change| !change.members.is_empty());
    Ok(changes)
}

fn left(cause: Cause, members: Vec<SubjectId>) -> Change {
    Change {
        entered: false,
        cause,
        members,
    }
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
