//! What the owner of the data directory asks of the stores: definitions, principals, imports, the projection.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use assent_consent::PurposeId;
use assent_programme::{Action, Fault, Plan, Principal, RegistryState, Role};
use assent_segment::SqlCheck;
use assent_server::{
    Changes, Control, Examined, ImportProgress, ImportRequest, NewPrincipal, PrincipalListed,
    Problem, ProcessRole, Projected,
};
use axum::http::StatusCode;
use tokio::sync::mpsc;

use crate::clock;
use crate::config::Config;
use crate::examine;
use crate::node::Stores;

/// The stores, as their owner may change them.
pub struct Owner {
    pub stores: Arc<Stores>,
    pub config: Config,
}

#[async_trait::async_trait]
impl Control for Owner {
    async fn plan(&self, dir: PathBuf) -> Result<Changes, Problem> {
        let plan = self.planned(&dir).await?;
        Ok(changes(&plan))
    }

    async fn apply(&self, dir: PathBuf) -> Result<Changes, Problem> {
        let plan = self.planned(&dir).await?;
        self.journalled(&plan).await?;
        Ok(changes(&plan))
    }

    async fn import(
        &self,
        request: ImportRequest,
        progress: mpsc::UnboundedSender<ImportProgress>,
    ) {
        crate::import::run(&self.stores, request, progress).await;
    }

    async fn project(&self, rebuild: bool) -> Result<Projected, Problem> {
        match &self.stores.projection {
            Some(projection) => projection.project(rebuild).await,
            // The router offers this to projectors only.
            None => Err(Problem::internal(&format_args!(
                "{} without the role",
                ProcessRole::Projector
            ))),
        }
    }

    async fn add_principal(&self, request: NewPrincipal) -> Result<String, Problem> {
        let token = clock::random::<32>()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        let principal = Principal {
            name: request.name,
            token_sha256: assent_programme::token_sha256(&token),
            role: role(&request.role)?,
            purposes: request
                .purposes
                .iter()
                .map(|name| {
                    PurposeId::parse(name)
                        .map_err(|error| Problem::invalid("purpose_invalid", error.to_string()))
                })
                .collect::<Result<_, _>>()?,
            revoked: false,
        };
        let plan = assent_programme::principal_added(&*self.registry().await?, principal)
            .map_err(faults)?;
        self.journalled(&plan).await?;
        Ok(token)
    }

    async fn revoke_principal(&self, name: &str) -> Result<(), Problem> {
        let plan =
            assent_programme::principal_revoked(&*self.registry().await?, name).map_err(faults)?;
        self.journalled(&plan).await
    }

    async fn principals(&self) -> Result<Vec<PrincipalListed>, Problem> {
        let registry = self.registry().await?;
        Ok(registry
            .principals()
            .map(|principal| PrincipalListed {
                name: principal.name.clone(),
                role: principal.role.as_str(),
                purposes: principal.purposes.iter().map(ToString::to_string).collect(),
                revoked: principal.revoked,
            })
            .collect())
    }

    async fn examine(&self) -> Examined {
        Examined {
            findings: examine::stores(&self.config, &self.stores).await,
        }
    }
}

impl Owner {
    /// The definitions in force, with everything acknowledged so far (I2).
    async fn registry(&self) -> Result<Arc<RegistryState>, Problem> {
        let knowledge = &self.stores.knowledge;
        knowledge
            .catch_up()
            .await
            .map_err(|error| Problem::unavailable("barrier", error.to_string()))?;
        Ok(knowledge.registry())
    }

    /// Loads and validates the folder whole, its SQL included, against the definitions in force.
    async fn planned(&self, dir: &Path) -> Result<Plan, Problem> {
        let wanted = assent_programme::load(dir).map_err(faults)?;
        let current = self.registry().await?;
        // Compiling SQL is work for a thread that may block.
        tokio::task::spawn_blocking(move || {
            assent_programme::plan_checked(&current, &wanted, Some(&SqlCheck))
        })
        .await
        .map_err(|error| Problem::internal(&error))?
        .map_err(faults)
    }

    async fn journalled(&self, plan: &Plan) -> Result<(), Problem> {
        use assent_programme::ErrorKind;
        assent_programme::apply(&*self.stores.journal, plan, clock::now())
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::Conflict => Problem::new(
                    StatusCode::CONFLICT,
                    "definitions_moved_on",
                    error.to_string(),
                ),
                ErrorKind::Unavailable => Problem::unavailable("journal", error.to_string()),
                _ => Problem::internal(&error),
            })?;
        self.registry().await.map(|_| ())
    }
}

fn role(name: &str) -> Result<Role, Problem> {
    Role::ALL
        .into_iter()
        .find(|role| role.as_str() == name)
        .ok_or_else(|| {
            let roles = Role::ALL.map(Role::as_str).join(", ");
            Problem::invalid("role_unknown", format!("the roles are {roles}"))
        })
}

fn changes(plan: &Plan) -> Changes {
    Changes {
        changes: plan
            .changes
            .iter()
            .map(|change| assent_server::Change {
                action: match change.action {
                    Action::Create => "create",
                    Action::Update => "update",
                    Action::Unchanged => "unchanged",
                    Action::Retire => "retire",
                },
                key: change.key.to_string(),
            })
            .collect(),
    }
}

/// A programme with any fault is not applied: every fault with its place and its fix.
fn faults(faults: Vec<Fault>) -> Problem {
    let errors = faults
        .iter()
        .map(|fault| assent_server::Fault {
            pointer: if fault.line > 0 {
                format!("{}:{}:{}", fault.file, fault.line, fault.column)
            } else {
                fault.file.clone()
            },
            detail: format!("{} (fix: {})", fault.message, fault.fix),
        })
        .collect();
    Problem::invalid(
        "programme_faulty",
        format!("nothing was journalled: {} to mend", faults.len()),
    )
    .with_faults(errors)
}
