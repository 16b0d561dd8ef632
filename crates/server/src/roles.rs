//! What a process of a deployment does: one or some of its roles.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// What a process can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProcessRole {
    /// Takes events and decisions in.
    Intake,
    /// Folds events into profiles.
    Projector,
    /// Answers lawful queries.
    Query,
    /// Reads its share of the lawful rows for queries of others.
    Worker,
}

impl ProcessRole {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Intake, Self::Projector, Self::Query, Self::Worker];

    /// What a process does that is alone: nobody shares work with it.
    const OF_ONE: [Self; 3] = [Self::Intake, Self::Projector, Self::Query];

    /// The name, as configurations and answers have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Projector => "projector",
            Self::Query => "query",
            Self::Worker => "worker",
        }
    }
}

impl fmt::Display for ProcessRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The roles of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles(BTreeSet<ProcessRole>);

impl Roles {
    /// All roles of a process that is alone.
    #[must_use]
    pub fn all() -> Self {
        ProcessRole::OF_ONE.into_iter().collect()
    }

    /// Whether the process has this role.
    #[must_use]
    pub fn has(&self, role: ProcessRole) -> bool {
        self.0.contains(&role)
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The roles, in order.
    pub fn iter(&self) -> impl Iterator<Item = ProcessRole> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<ProcessRole> for Roles {
    fn from_iter<I: IntoIterator<Item = ProcessRole>>(roles: I) -> Self {
        Self(roles.into_iter().collect())
    }
}

/// Names separated by commas; `all` stands for those of a process that is alone. At least one.
impl FromStr for Roles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut roles = Self::default();
        for name in text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            if name == "all" {
                roles.0.extend(ProcessRole::OF_ONE);
                continue;
            }
            let role = ProcessRole::ALL
                .into_iter()
                .find(|role| role.as_str() == name);
            roles
                .0
                .insert(role.ok_or("the roles are intake, projector, query and worker, or all, which are the first three")?);
        }
        if roles.is_empty() {
            return Err(
                "a process needs at least one role: intake, projector, query, worker or all"
                    .to_owned(),
            );
        }
        Ok(roles)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(ProcessRole::as_str).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_named_once_and_never_none() {
        let parse = |text: &str| text.parse::<Roles>().map(|roles| roles.to_string());
        assert_eq!(parse("query, intake,query").as_deref(), Ok("intake, query"));
        assert_eq!(parse("all").as_deref(), Ok("intake, projector, query"));
        assert_eq!(parse("intake,all"), parse("all"));
        assert!(parse("").is_err());
        assert!(parse(" , ").is_err());
        assert_eq!(
            parse("worker,all").as_deref(),
            Ok("intake, projector, query, worker")
        );
        assert!(parse("intake,cook").is_err());
    }
}
