//! Places where tests may interfere with a commit.

/// A place in the commit path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultPoint {
    /// The group has been written into the transaction; nothing is durable yet.
    BeforeCommit,
    /// The group is durable; nothing has been acknowledged yet.
    AfterCommit,
}

/// Faults that a test puts into the commit path. Only tests have a reason to implement this.
pub trait Faults: Send + Sync + 'static {
    /// Called on the committing thread. It may abort the process, wait, or fail.
    ///
    /// # Errors
    /// A text; the journal treats it as a failed commit.
    fn at(&self, point: FaultPoint) -> Result<(), String>;
}
