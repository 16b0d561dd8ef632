//! Principals: who may ask, for which purposes. Definitions like any other (I10), but added and revoked
//! one by one rather than read from the programme's folder.

use std::collections::BTreeSet;

use assent_consent::{LegalBasis, PurposeId};
use serde::{Deserialize, Serialize};

use crate::canonical::sha256_hex;
use crate::definition::{Definition, DefinitionKey, DefinitionKind};
use crate::fault::Fault;
use crate::names::{Handle, Sha256Hex};
use crate::plan::{Action, Plan, single};
use crate::registry::RegistryState;

/// What a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Defines and runs segments for the purposes listed.
    Analyst,
    /// Answers for lawfulness: legal-duty purposes, reasons, a member's history.
    Officer,
    /// Runs the installation; sees no person.
    Operator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Analyst, Self::Officer, Self::Operator];

    /// The name used on the command line and in the journal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Analyst => "analyst",
            Self::Officer => "officer",
            Self::Operator => "operator",
        }
    }
}

/// Somebody, or some program, that may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// Name, `[a-z][a-z0-9_-]{0,63}`.
    pub name: String,
    /// SHA-256 of the token, lower-case hex. The token itself stands nowhere.
    pub token_sha256: String,
    /// Role.
    pub role: Role,
    /// Purposes a session of this principal may declare.
    pub purposes: BTreeSet<PurposeId>,
    /// A revoked principal may do nothing; its name and token are never given again.
    pub revoked: bool,
}

/// SHA-256 of a token, as it stands in [`Principal::token_sha256`].
#[must_use]
pub fn token_sha256(token: &str) -> String {
    sha256_hex(token.as_bytes())
}

/// Plans to add a principal.
///
/// # Errors
/// A malformed name or token hash, a name or token that was ever given, unknown purposes, and
/// legal-duty purposes for anybody but an officer.
pub fn principal_added(current: &RegistryState, principal: Principal) -> Result<Plan, Vec<Fault>> {
    let mut faults = Faults {
        name: principal.name.clone(),
        list: Vec::new(),
    };
    if let Err(error) = principal.name.parse::<Handle>() {
        faults.error(&error);
    }
    if let Err(error) = principal.token_sha256.parse::<Sha256Hex>() {
        faults.error(&error);
    }
    if principal.revoked {
        faults.add(
            "a principal cannot be added as revoked",
            "add it, then revoke it",
        );
    }
    if current.principal(&principal.name).is_some() {
        faults.add(
            "this name was given before; records of use name it for ever",
            "choose another name",
        );
    }
    if current
        .principals()
        .any(|p| p.token_sha256 == principal.token_sha256)
    {
        faults.add("this token was given before", "make a new token");
    }
    for id in &principal.purposes {
        match current.purpose(id) {
            None => faults.add(
                format!("the purpose {id} is not in force"),
                "apply a programme that defines it, or leave it out",
            ),
            Some(purpose)
                if purpose.basis == LegalBasis::LegalDuty && principal.role != Role::Officer =>
            {
                faults.add(
                    format!("the purpose {id} rests on a legal duty, which is an officer's"),
                    "leave it out, or give the role officer",
                );
            }
            Some(_) => {}
        }
    }
    if !faults.list.is_empty() {
        return Err(faults.list);
    }
    definition(current, Action::Create, &principal)
}

/// Plans to revoke a principal.
///
/// # Errors
/// A name that is unknown or revoked already.
pub fn principal_revoked(current: &RegistryState, name: &str) -> Result<Plan, Vec<Fault>> {
    let mut faults = Faults {
        name: name.to_owned(),
        list: Vec::new(),
    };
    match current.principal(name) {
        None => faults.add(
            "there is no principal of that name",
            "list the principals and choose one",
        ),
        Some(principal) if principal.revoked => {
            faults.add("this principal is revoked already", "nothing is to be done");
        }
        Some(principal) => {
            let revoked = Principal {
                revoked: true,
                ..principal.clone()
            };
            return definition(current, Action::Update, &revoked);
        }
    }
    Err(faults.list)
}

fn definition(
    current: &RegistryState,
    action: Action,
    principal: &Principal,
) -> Result<Plan, Vec<Fault>> {
    let history = current.history(DefinitionKind::Principal, &principal.name);
    let version = history
        .last()
        .map_or(1, |r| r.definition.key.version.saturating_add(1));
    let name = principal.name.clone();
    let body = serde_json::to_value(principal).map_err(|error| {
        let mut faults = Faults {
            name: name.clone(),
            list: Vec::new(),
        };
        faults.add(error.to_string(), "report this");
        faults.list
    })?;
    let key = DefinitionKey {
        kind: DefinitionKind::Principal,
        name,
        version,
    };
    Ok(single(current, action, Definition { key, body }))
}

/// Faults of a principal stand in no file.
struct Faults {
    name: String,
    list: Vec<Fault>,
}

impl Faults {
    fn add(&mut self, message: impl Into<String>, fix: impl Into<String>) {
        self.list.push(Fault {
            file: format!("(principal {})", self.name),
            line: 0,
            column: 0,
            message: message.into(),
            fix: fix.into(),
        });
    }

    fn error(&mut self, error: &impl std::fmt::Display) {
        let text = error.to_string();
        let (message, fix) = text.split_once("; ").unwrap_or((&text, "write another"));
        self.add(message, fix);
    }
}
