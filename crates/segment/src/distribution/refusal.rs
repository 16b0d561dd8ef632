//! Why a worker does not work on a plan.

use std::fmt;

use datafusion::error::DataFusionError;

/// Why a worker refuses. It is told to the coordinator by its code, in an error of which nothing else is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no place, or it is not one.
    NoPlace,
    /// The seal does not fit.
    Unsealed,
    /// It was sealed too long ago.
    Stale,
    /// Another build of this program made it.
    Build,
    /// The position is not reached, or cannot be told.
    Behind,
    /// Other definitions are in force here.
    Definitions,
    /// The verdicts are others here.
    Verdicts,
    /// The manifest is not there.
    Manifest,
    /// A node of the plan is not on the list.
    Node,
    /// A leaf names what does not exist here, or belongs to another place.
    Leaf,
    /// It works on as many queries as it may.
    Busy,
    /// Something failed here.
    Failed,
}

impl Refusal {
    const ALL: [Self; 12] = [
        Self::NoPlace,
        Self::Unsealed,
        Self::Stale,
        Self::Build,
        Self::Behind,
        Self::Definitions,
        Self::Verdicts,
        Self::Manifest,
        Self::Node,
        Self::Leaf,
        Self::Busy,
        Self::Failed,
    ];

    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::NoPlace => "worker_refused_without_place",
            Self::Unsealed => "worker_refused_unsealed",
            Self::Stale => "worker_refused_stale",
            Self::Build => "worker_refused_other_build",
            Self::Behind => "worker_refused_behind",
            Self::Definitions => "worker_refused_other_definitions",
            Self::Verdicts => "worker_refused_other_verdicts",
            Self::Manifest => "worker_refused_no_manifest",
            Self::Node => "worker_refused_node",
            Self::Leaf => "worker_refused_leaf",
            Self::Busy => "worker_refused_busy",
            Self::Failed => "worker_failed",
        }
    }

    /// The refusal that an error tells of. Its text is looked at for codes only: it may hold anything.
    pub(super) fn told_by(error: &DataFusionError) -> Option<Self> {
        let text = error.to_string();
        Self::ALL
            .into_iter()
            .find(|refusal| text.contains(refusal.code()))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for DataFusionError {
    fn from(refusal: Refusal) -> Self {
        Self::External(Box::new(refusal))
    }
}
