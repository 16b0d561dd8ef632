//! What this process knows of definitions and receipts: from its permit index where it answers queries, else from a
//! follower that holds nobody's history.

use std::sync::Arc;

use assent_consent::{FactKind, SubjectId, Timestamp};
use assent_event::EventId;
use assent_intake::{CurrentRegistry, Known, Unheard};
use assent_permit::Permit;
use assent_programme::RegistryState;

use crate::follower::Follower;
use crate::turns::Turns;

/// Where definitions and receipts are known from.
#[derive(Clone)]
pub enum Knowledge {
    /// The permit index.
    Indexed(Arc<Permit>),
    /// A follower.
    Followed(Arc<Follower>),
}

impl Knowledge {
    /// Makes known what any process acknowledged before the call (I2).
    ///
    /// # Errors
    /// When the journal cannot be asked; nothing may rest on what is known then.
    pub async fn catch_up(&self) -> Result<(), Unheard> {
        match self {
            Self::Indexed(permit) => permit.barrier().await.map(|_| ()).map_err(Into::into),
            Self::Followed(follower) => follower.catch_up().await.map_err(Into::into),
        }
    }

    /// The definitions as they are known here.
    pub fn registry(&self) -> Arc<RegistryState> {
        match self {
            Self::Indexed(permit) => permit.registry(),
            Self::Followed(follower) => follower.registry(),
        }
    }

    /// The latest receipt known here.
    pub fn latest_receipt(&self) -> Timestamp {
        match self {
            Self::Indexed(permit) => permit.latest_receipt(),
            Self::Followed(follower) => follower.latest_receipt(),
        }
    }
}

/// What the log says of messages and people, by the permit index.
pub struct Log(pub Arc<Permit>);

impl Known for Log {
    fn fact(&self, subject: SubjectId, event: EventId) -> Option<FactKind> {
        self.0.fact(&subject, event.to_bytes())
    }

    fn is_of_erased(&self, source: &str, message_id: &str) -> bool {
        self.0.is_of_erased(source, message_id)
    }

    fn links_ended(&self) -> u64 {
        self.0.links_ended()
    }

    fn linked_with(&self, subject: SubjectId) -> Vec<SubjectId> {
        self.0.linked_with(subject)
    }

    fn is_more_than_restricted(&self, subject: SubjectId) -> bool {
        self.0.is_more_than_restricted(subject)
    }
}

/// For intake on a journal that is this process's alone: whatever was taken in was taken in here.
pub struct Alone(pub Knowledge);

impl CurrentRegistry for Alone {
    fn current(&self) -> Arc<RegistryState> {
        self.0.registry()
    }
}

/// For intake on a journal that other processes write to.
pub struct AmongOthers {
    knowledge: Knowledge,
    turns: Turns,
}

impl AmongOthers {
    /// By what is known from there.
    pub fn new(knowledge: Knowledge) -> Self {
        Self {
            knowledge,
            turns: Turns::default(),
        }
    }
}

#[async_trait::async_trait]
impl CurrentRegistry for AmongOthers {
    fn current(&self) -> Arc<RegistryState> {
        self.knowledge.registry()
    }

    async fn heard(&self) -> Result<Timestamp, Unheard> {
        // Many requests at once are no reason to ask the leaders as often.
        self.turns
            .share(async || self.knowledge.catch_up().await)
            .await?;
        Ok(self.knowledge.latest_receipt())
    }
}
