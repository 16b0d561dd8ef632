//! The guards that keep an answer lawful, by name, so that each can be shown to matter.
//!
//! In the product all of them stand, always: [`Guards`] has no state there, nothing can set it, and the compiler drops
//! what would happen otherwise. Only the tests of this crate can switch one off; for each there is an attack that
//! succeeds then (`tests/mutation.rs`).

/// Defines the guards, and for the tests the list of them, each with all but it: a guard cannot be left out of it.
macro_rules! guards {
    ($($(#[$about:meta])* $guard:ident,)*) => {
        /// One guard.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Guard {
            $($(#[$about])* $guard,)*
        }

        #[cfg(test)]
        impl Guard {
            pub(crate) const EACH: [(Self, Guards); [$(Self::$guard),*].len()] =
                [$((Self::$guard, Guards::without(&[Self::$guard]))),*];
        }
    };
}

guards! {
    /// Only rows of lawful subjects are read.
    Rows,
    /// Of rows with a stamp that refuses the purpose nothing is read.
    Stamps,
    /// Cells of a category that the subject's grant does not cover are null.
    Cells,
    /// Sensitive properties are shown one by one, as their categories are covered.
    Properties,
    /// Names that a source declares sensitive or an identifier never show among ordinary properties.
    DeclaredNames,
    /// What is older than the purpose may keep it is gone.
    Retention,
    /// Under a null lies nothing.
    FreshNulls,
    /// Small groups of people are not counted.
    SmallGroups,
    /// A session that looks back shows only who is lawful now, too.
    LawfulNow,
    /// Verdicts are those of the present, not of the last event.
    Expiry,
    /// A session waits until everything acknowledged is applied.
    Barrier,
    /// Of an error that arises while rows are read, only the class is told.
    ErrorTexts,
    /// Only queries are run.
    Statements,
    /// Plans are not shown.
    Explain,
    /// Only listed functions exist.
    Functions,
    /// There is no information schema.
    MetadataViews,
    /// The optimiser cannot put a predicate under the gate. What follows is off in `gate/off.rs`.
    #[cfg(test)]
    OpaqueLeaf,
    /// No predicate decides which files are read.
    #[cfg(test)]
    Predicates,
    /// No limit ends the reading before the gate.
    #[cfg(test)]
    Limits,
    /// The scan tells no statistics.
    #[cfg(test)]
    Statistics,
    /// Texts are plain, not dictionaries.
    #[cfg(test)]
    PlainText,
}

pub(crate) use stance::Guards;

#[cfg(not(test))]
mod stance {
    use super::Guard;

    /// All guards stand.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Guards;

    impl Guards {
        pub(crate) const ALL: Self = Self;

        /// Whether a guard stands.
        #[inline(always)]
        pub(crate) const fn stand(self, _: Guard) -> bool {
            true
        }
    }

    const _: () = assert!(size_of::<Guards>() == 0, "there is nothing to switch off");
}

#[cfg(test)]
mod stance {
    use super::Guard;

    /// Which guards stand: all but those named.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Guards {
        off: &'static [Guard],
    }

    impl Guards {
        pub(crate) const ALL: Self = Self::without(&[]);

        /// All but these.
        pub(crate) const fn without(off: &'static [Guard]) -> Self {
            Self { off }
        }

        /// Whether a guard stands.
        pub(crate) fn stand(self, guard: Guard) -> bool {
            !self.off.contains(&guard)
        }
    }
}
