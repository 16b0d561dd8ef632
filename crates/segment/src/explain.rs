//! Why people are there or not: counts for everybody, single people for officers.
//!
//! An analyst is told reasons over the whole base, whatever the query, and roughly: running a predicate on the denied
//! would be the breach itself, and differences of counts identify people. Verdicts of one person are an officer's, under
//! a legal duty, and the use log has whom the officer looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use assent_consent::{Reason, SubjectId, Timestamp, Use};
use assent_event::Identifier;
use assent_permit::Explained;
use assent_programme::Role;

use crate::entitlement::Asked;
use crate::error::{Error, ErrorKind, Result};
use crate::session::{LawfulSession, officers_only, refused};
use crate::use_log::Entry;
use crate::workers::Turn;

/// How many members there are, how many are permitted, and why the others are not. Officers are told exactly, whoever
/// else asks roughly: multiples of k that are off by less than k, rare reasons together, and one decision shows in none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseCounts {
    /// Everybody with a profile or a decision.
    pub base: u64,
    /// Members that may be used.
    pub permitted: u64,
    /// Members that may not, by reason.
    pub denied: BTreeMap<Reason, u64>,
    /// Where it is not told exactly: members denied for the reasons that fewer than k have each, and this k.
    pub few: Option<Few>,
}

/// Members denied for rare reasons, together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Few {
    /// How many, as roughly as the other counts.
    pub members: u64,
    /// All counts are multiples of it.
    pub k: u64,
}

impl BaseCounts {
    fn exact(counts: BTreeMap<Option<Reason>, u64>) -> Self {
        let mut told = Self {
            base: counts.values().sum(),
            permitted: 0,
            denied: BTreeMap::new(),
            few: None,
        };
        for (reason, members) in counts {
            match reason {
                None => told.permitted += members,
                Some(reason) => *told.denied.entry(reason).or_default() += members,
            }
        }
        told
    }
}

/// The verdict about one subject of a member.
#[derive(Debug, Clone)]
pub struct SubjectExplained {
    /// The subject.
    pub subject: SubjectId,
    /// Everything the verdict was made of.
    pub explained: Explained,
}

/// The verdicts about a member, subject by subject: grants do not spread over a link.
#[derive(Debug, Clone)]
pub struct MemberExplained {
    /// The member.
    pub member: SubjectId,
    /// The use that was asked about.
    pub declared: Use,
    /// The instant that was asked about.
    pub at: Timestamp,
    /// Its subjects.
    pub subjects: Vec<SubjectExplained>,
}

/// What becomes of the base on the way to the rows of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waterfall {
    /// Everybody with a profile or a decision.
    pub base: BaseCounts,
    /// Rows of the query; predicates saw the permitted only.
    pub rows: usize,
}

impl LawfulSession {
    /// Reason counts over the whole base, for this session's use and time.
    ///
    /// # Errors
    /// As [`LawfulSession::query`]; `Denied` for an earlier instant, unless to an officer.
    pub async fn base_counts(&self) -> Result<BaseCounts> {
        let counts = self.counts().await?;
        self.journal(Entry {
            operation: "explain",
            outcome: "answered".to_owned(),
            ..Entry::default()
        })
        .await?;
        Ok(counts)
    }

    /// Counts what the session stands on, on the threads of queries.
    async fn counts(&self) -> Result<BaseCounts> {
        let officer = self.principal.role == Role::Officer;
        if self.answered.looking_back && !officer {
            // From one instant to the next, single people would show.
            return Err(Error::denied(
                "officer_only",
                "reason counts of an earlier instant are told to officers only",
            ));
        }
        let standing = self.gate.standing.clone();
        let work = move |_: &Turn| Ok(BaseCounts::exact(standing.set().reason_counts()));
        let timeout = self.engine.limits.timeout;
        let counts = self.engine.workers.compute(timeout, work).await?;
        if officer {
            return Ok(counts);
        }
        let k = u64::from(self.registry().settings().k);
        Ok(self.engine.coarse.of(&self.answered.declared, &counts, k))
    }

    /// Why one member is permitted or not for some use, for an officer under a legal-duty purpose. Whether told or not, the
    /// use log has who asked about whom, and about which purpose.
    ///
    /// # Errors
    /// `Denied` for anybody else; `Invalid` for a purpose that does not exist.
    pub async fn explain_member(
        &self,
        member: SubjectId,
        about: &Asked,
        at: Option<Timestamp>,
    ) -> Result<MemberExplained> {
        let result = self.explained(member, about, at);
        self.told(Some(member), about, &result).await?;
        result
    }

    /// As [`LawfulSession::explain_member`], of whoever is known by this identifier. Looking somebody up is a use of data
    /// as well, and is journalled whether or not anybody is found.
    ///
    /// # Errors
    /// As [`LawfulSession::explain_member`]; `NotFound` when nobody is known by it.
    pub async fn explain_identifier(
        &self,
        identifier: Identifier,
        about: &Asked,
        at: Option<Timestamp>,
    ) -> Result<MemberExplained> {
        let found = self.find(identifier).await;
        let member = found.as_ref().ok().copied();
        let result = found.and_then(|member| self.explained(member, about, at));
        self.told(member, about, &result).await?;
        result
    }

    /// Whoever is known by an identifier. The vault is asked only for those who may know.
    async fn find(&self, identifier: Identifier) -> Result<SubjectId> {
        officers_only(self)?;
        let vault = Arc::clone(&self.engine.stores.vault);
        let identifier = identifier.normal(self.registry().settings().phone_calling_code);
        // The vault reads from disk.
        let found = tokio::task::spawn_blocking(move || vault.subjects(&[identifier], false));
        let found = found
            .await
            .map_err(|_| Error::internal("vault", "the vault could not be asked"))?
            .map_err(|error| {
                tracing::warn!(kind = ?error.kind(), "the vault refused to look somebody up");
                Error::unavailable("vault", "the vault cannot be asked now")
            })?;
        found.into_iter().flatten().next().ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                "identifier_unknown",
                "nobody is known by this identifier",
            )
            .help("check the namespace and how the value is written")
        })
    }

    async fn told(
        &self,
        member: Option<SubjectId>,
        about: &Asked,
        result: &Result<MemberExplained>,
    ) -> Result<()> {
        self.journal(Entry {
            operation: "explain",
            rows: result.is_ok().then_some(1),
            outcome: match result {
                Ok(_) => "answered".to_owned(),
                Err(error) => format!("failed: {}", error.code()),
            },
            about: member,
            about_purpose: about.purpose.clone(),
            ..Entry::default()
        })
        .await
    }

    fn explained(
        &self,
        member: SubjectId,
        about: &Asked,
        at: Option<Timestamp>,
    ) -> Result<MemberExplained> {
        officers_only(self)?;
        let declared = self.any_use(about)?;
        let at = at.unwrap_or(self.answered.evaluated_at);
        let evaluate = |subject| {
            self.engine
                .stores
                .permit
                .evaluate_subject(subject, &declared, at, None)
                .map_err(|error| refused(&error))
        };
        let first = evaluate(member)?;
        let subjects = first
            .component
            .iter()
            .map(|subject| {
                Ok(SubjectExplained {
                    subject: *subject,
                    explained: evaluate(*subject)?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(MemberExplained {
            member: first.member,
            declared,
            at,
            subjects,
        })
    }

    /// A use an officer asks about: any purpose of the registry, whoever may use it.
    fn any_use(&self, about: &Asked) -> Result<Use> {
        let everyone = assent_programme::Principal {
            purposes: self
                .registry()
                .consent()
                .purposes()
                .map(|purpose| purpose.id.clone())
                .collect(),
            ..self.principal.clone()
        };
        crate::entitlement::check(self.registry(), &everyone, about)
            .map(|entitled| entitled.declared)
    }

    /// The waterfall of a query, for officers.
    ///
    /// # Errors
    /// `Denied` for anybody else; otherwise as [`LawfulSession::query`].
    pub async fn waterfall(&self, sql: &str) -> Result<Waterfall> {
        if self.principal.role != Role::Officer {
            return Err(Error::denied(
                "officer_only",
                "the waterfall of a query is told to officers only",
            )
            .help("reason counts over the base are told to everybody: leave the query out"));
        }
        let result = self.rows(sql).await;
        self.record("explain", Some(sql), None, &result).await?;
        Ok(Waterfall {
            base: self.counts().await?,
            rows: result?.rows,
        })
    }
}
