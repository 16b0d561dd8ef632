//! One step of a segment's history as it is stored: whole or not read at all.
//!
//! ```text
//! SHA-256 of the rest | length of the head, u32 | head, JSON | ids, 16 bytes each
//! ```

use std::collections::BTreeSet;

use assent_consent::{Category, SubjectId, Timestamp, Use};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const DIGEST: usize = 32;
const ID: usize = 16;

/// What a run was of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// Version of the segment's definition.
    pub(crate) version: u32,
    /// SHA-256 of its query.
    pub(crate) sql_sha256: String,
    /// The use under which it ran, and under which its members may be used.
    pub(crate) declared: Use,
    /// When it was evaluated.
    pub(crate) evaluated_at: Timestamp,
    /// The digest of the place it rests on, by which the use log has the positions.
    pub(crate) position: String,
}

/// Members of a run that were lawful for the same categories, with what of them was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Basis {
    pub(crate) covers: BTreeSet<Category>,
    /// Members that are one subject.
    pub(crate) alone: Vec<SubjectId>,
    /// Other subjects that were read, each with its member.
    pub(crate) linked: Vec<(SubjectId, SubjectId)>,
}

/// Why somebody entered or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause {
    /// A run found it so.
    Query,
    /// No longer lawful for all that the run rested on.
    Consent,
    /// Another member since: a link was made or ended.
    Identity,
    /// There is no such segment any more.
    Removed,
}

impl Cause {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Consent => "consent",
            Self::Identity => "identity",
            Self::Removed => "removed",
        }
    }
}

/// Members who entered or left in a step, for one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) entered: bool,
    pub(crate) cause: Cause,
    pub(crate) members: Vec<SubjectId>,
}

/// Who is in the segment after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum After {
    /// Whom a run found; `before` is the run before it.
    Run {
        bases: Vec<Basis>,
        before: Option<u64>,
    },
    /// Whom this earlier run found, but for those who left since without another run.
    Left { run: u64, left: Vec<SubjectId> },
}

/// One step of a segment's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) about: About,
    pub(crate) after: After,
    pub(crate) changes: Vec<Change>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    about: About,
    after: AfterHead,
    changes: Vec<(bool, Cause, usize)>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AfterHead {
    Run {
        /// Categories, members that are one subject, other subjects.
        bases: Vec<(BTreeSet<Category>, usize, usize)>,
        before: Option<u64>,
    },
    Left {
        run: u64,
        left: usize,
    },
}

impl Step {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut ids: Vec<&SubjectId> = Vec::new();
        let after = match &self.after {
            After::Run { bases, before } => {
                for basis in bases {
                    ids.extend(&basis.alone);
                    ids.extend(basis.linked.iter().flat_map(|(one, member)| [one, member]));
                }
                let head =
                    |basis: &Basis| (basis.covers.clone(), basis.alone.len(), basis.linked.len());
                AfterHead::Run {
                    bases: bases.iter().map(head).collect(),
                    before: *before,
                }
            }
            After::Left { run, left } => {
                ids.extend(left);
                AfterHead::Left {
                    run: *run,
                    left: left.len(),
                }
            }
        };
        ids.extend(self.changes.iter().flat_map(|change| &change.members));
        let changes = self.changes.iter();
        let head = Head {
            about: self.about.clone(),
            after,
            changes: changes
                .map(|change| (change.entered, change.cause, change.members.len()))
                .collect(),
        };
        let head = serde_json::to_vec(&head).expect("a head has no map with other keys than texts");
        let length = u32::try_from(head.len()).expect("a head names few categories");
        let mut bytes = vec![0; DIGEST];
        bytes.reserve(4 + head.len() + ID * ids.len());
        bytes.extend(length.to_be_bytes());
        bytes.extend(head);
        for id in ids {
            bytes.extend(id.as_bytes());
        }
        let digest = Sha256::digest(&bytes[DIGEST..]);
        bytes[..DIGEST].copy_from_slice(&digest);
        bytes
    }

    /// `None` for anything but what [`Step::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (digest, rest) = bytes.split_at_checked(DIGEST)?;
        if Sha256::digest(rest)[..] != *digest {
            return None;
        }
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (head, ids) = rest.split_at_checked(length)?;
        let head: Head = serde_json::from_slice(head).ok()?;
        let mut ids = Ids(ids);
        let after = match head.after {
            AfterHead::Run { bases, before } => After::Run {
                bases: bases
                    .into_iter()
                    .map(|(covers, alone, linked)| {
                        let alone = ids.take(alone)?;
                        let linked = ids.take(linked.checked_mul(2)?)?;
                        let pairs = linked.chunks_exact(2);
                        Some(Basis {
                            covers,
                            alone,
                            linked: pairs.map(|pair| (pair[0], pair[1])).collect(),
                        })
                    })
                    .collect::<Option<_>>()?,
                before,
            },
            AfterHead::Left { run, left } => After::Left {
                run,
                left: ids.take(left)?,
            },
        };
        let changes = head.changes.into_iter();
        let changes = changes.map(|(entered, cause, members)| {
            Some(Change {
                entered,
                cause,
                members: ids.take(members)?,
            })
        });
        Some(Self {
            about: head.about,
            after,
            changes: changes.collect::<Option<_>>()?,
        })
    }
}

/// Ids that are still to be read.
struct Ids<'a>(&'a [u8]);

impl Ids<'_> {
    fn take(&mut self, count: usize) -> Option<Vec<SubjectId>> {
        let (ids, rest) = self.0.split_at_checked(count.checked_mul(ID)?)?;
        self.0 = rest;
        let (ids, _) = ids.as_chunks::<ID>();
        Some(ids.iter().copied().map(SubjectId::from_bytes).collect())
    }
}

#[cfg(test)]
mod tests {
    use assent_consent::PurposeId;

    use super::*;

    fn id(n: u8) -> SubjectId {
        SubjectId::from_bytes([n; 16])
    }

    fn steps() -> [Step; 2] {
        let about = About {
            version: 3,
            sql_sha256: "00".to_owned(),
            declared: Use::of(PurposeId::parse("marketing").expect("a purpose")),
            evaluated_at: Timestamp::from_micros(7),
            position: "11".to_owned(),
        };
        let covers = BTreeSet::from([Category::parse("profile").expect("a category")]);
        let run = After::Run {
            bases: vec![
                Basis {
                    covers,
                    alone: vec![id(1), id(2)],
                    linked: vec![(id(4), id(3))],
                },
                Basis {
                    covers: BTreeSet::new(),
                    alone: vec![id(9)],
                    linked: Vec::new(),
                },
            ],
            before: Some(5),
        };
        let change = |entered, cause, members: &[u8]| Change {
            entered,
            cause,
            members: members.iter().map(|n| id(*n)).collect(),
        };
        let left = After::Left {
            run: 6,
            left: vec![id(2)],
        };
        [
            Step {
                about: about.clone(),
                after: run,
                changes: vec![
                    change(true, Cause::Query, &[1, 9]),
                    change(false, Cause::Consent, &[7]),
                ],
            },
            Step {
                about,
                after: left,
                changes: vec![change(false, Cause::Identity, &[2])],
            },
        ]
    }

    #[test]
    fn a_step_reads_back_and_a_damaged_one_does_not() {
        for step in steps() {
            let bytes = step.encode();
            assert_eq!(Step::decode(&bytes), Some(step));
            for place in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[place] ^= 1;
                assert_eq!(Step::decode(&damaged), None, "{place}");
                assert_eq!(Step::decode(&bytes[..place]), None, "{place}");
            }
        }
    }
}
