//! `assent principal add|list|revoke`: for whoever owns the data directory.

use serde_json::json;

use super::{At, print, print_bytes};
use crate::cli::{Principal, Role};
use crate::failure::Failure;

/// Runs one of the principal commands.
pub async fn run(at: At, command: Principal) -> Result<(), Failure> {
    match command {
        Principal::Add {
            name,
            role,
            purposes,
        } => {
            let role = match role {
                Role::Analyst => "analyst",
                Role::Officer => "officer",
            };
            let body = json!({ "name": name, "role": role, "purposes": purposes });
            let answer = at
                .connected(None, async |connection| {
                    connection
                        .post("/local/principals", "application/json", &body)
                        .await?
                        .json()
                })
                .await?;
            let token = answer["token"].as_str().unwrap_or_default();
            print_bytes(format!("{token}\n").as_bytes())?;
            eprintln!(
                "{name} may use: {}. The token is shown this once; only its hash is kept.",
                purposes.join(", ")
            );
            Ok(())
        }
        Principal::List { format } => {
            let answer = at
                .connected(None, async |connection| {
                    connection
                        .get("/local/principals", format.media_type())
                        .await
                })
                .await?;
            print(&answer)
        }
        Principal::Revoke { name } => {
            let path = format!("/local/principals/{name}/revoke");
            at.connected(None, async |connection| {
                connection.post(&path, "application/json", &json!({})).await
            })
            .await?;
            eprintln!("{name}'s token is revoked");
            Ok(())
        }
    }
}
