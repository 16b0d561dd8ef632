//! Who may open a session for what: the check behind the barrier, before any verdict is worked out or file is touched.
//!
//! A session is (principal, purpose). There is no session without a purpose (art. 6), none for a purpose that the
//! principal was not given, and legal-duty purposes belong to officers.

use assent_consent::{Channel, LegalBasis, Purpose, PurposeId, RecipientId, Use};
use assent_programme::{Principal, RegistryState, Role};

use crate::error::{Error, Result, listed, names};

/// What somebody asks to do, as it came in: nothing in it has been checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The name of the purpose. There is no default.
    pub purpose: Option<String>,
    /// The name of the channel, if people will be reached.
    pub channel: Option<String>,
    /// The name of the recipient, if data will be provided to another handler.
    pub recipient: Option<String>,
}

impl From<&Use> for Asked {
    fn from(declared: &Use) -> Self {
        Self {
            purpose: Some(declared.purpose.to_string()),
            channel: declared.channel.as_ref().map(ToString::to_string),
            recipient: declared.recipient.as_ref().map(ToString::to_string),
        }
    }
}

/// A use that this principal may declare, with the purpose as it is defined now.
#[derive(Debug, Clone)]
pub(crate) struct Entitled {
    pub(crate) declared: Use,
    pub(crate) purpose: Purpose,
}

/// The purposes a principal may open a session for.
#[must_use]
pub fn allowed_purposes(registry: &RegistryState, principal: &Principal) -> Vec<PurposeId> {
    if principal.revoked || principal.role == Role::Operator {
        return Vec::new();
    }
    registry
        .consent()
        .purposes()
        .filter(|purpose| may(principal, purpose))
        .map(|purpose| purpose.id.clone())
        .collect()
}

fn may(principal: &Principal, purpose: &Purpose) -> bool {
    principal.purposes.contains(&purpose.id)
        && (principal.role == Role::Officer || purpose.basis != LegalBasis::LegalDuty)
}

/// Checks what is asked against the registry and the principal.
///
/// # Errors
/// `Unauthenticated` for a principal that was revoked; `Invalid` for a missing or unknown name and `Denied` for one the
/// principal does not have, which list the allowed.
pub(crate) fn check(
    registry: &RegistryState,
    principal: &Principal,
    asked: &Asked,
) -> Result<Entitled> {
    if principal.revoked {
        return Err(
            Error::unauthenticated("principal_revoked", "this principal was revoked")
                .help("ask an operator for a new token"),
        );
    }
    let allowed = allowed_purposes(registry, principal);
    let list = || format!("allowed purposes: {}", listed(&allowed));
    let Some(name) = asked.purpose.as_deref() else {
        return Err(Error::invalid("purpose_missing", "a session needs a purpose").help(list()));
    };
    let purpose = PurposeId::parse(name)
        .ok()
        .and_then(|id| registry.consent().purpose(&id).cloned())
        .ok_or_else(|| {
            Error::invalid("purpose_unknown", "there is no such purpose").help(list())
        })?;
    if !allowed.contains(&purpose.id) {
        let officers = purpose.basis == LegalBasis::LegalDuty && principal.role != Role::Officer;
        return Err(if officers {
            Error::denied(
                "officer_only",
                format!(
                    "the purpose {} rests on a legal duty and belongs to officers",
                    purpose.id
                ),
            )
        } else {
            Error::denied(
                "purpose_not_given",
                format!("this principal may not use the purpose {}", purpose.id),
            )
        }
        .help(list()));
    }
    Ok(Entitled {
        declared: Use {
            channel: channel(&purpose, asked.channel.as_deref())?,
            recipient: recipient(&purpose, asked.recipient.as_deref())?,
            purpose: purpose.id.clone(),
        },
        purpose,
    })
}

fn channel(purpose: &Purpose, asked: Option<&str>) -> Result<Option<Channel>> {
    let Some(name) = asked else { return Ok(None) };
    match Channel::parse(name) {
        Ok(channel) if purpose.channels.contains(&channel) => Ok(Some(channel)),
        Ok(_) | Err(_) => Err(Error::invalid(
            "channel_unknown",
            format!("the purpose {} does not use that channel", purpose.id),
        )
        .help(format!(
            "its channels: {}",
            names(purpose.channels.iter().map(Channel::as_str))
        ))),
    }
}

fn recipient(purpose: &Purpose, asked: Option<&str>) -> Result<Option<RecipientId>> {
    let Some(name) = asked else { return Ok(None) };
    match RecipientId::parse(name) {
        Ok(recipient) if purpose.recipients.contains(&recipient) => Ok(Some(recipient)),
        Ok(_) | Err(_) => Err(Error::invalid(
            "recipient_unknown",
            format!("the purpose {} does not name that recipient", purpose.id),
        )
        .help(format!(
            "its recipients: {}",
            names(purpose.recipients.iter().map(RecipientId::as_str))
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn who_was_revoked_is_nobody_any_more_rather_than_somebody_who_may_not() {
        let of = |revoked| {
            let principal = Principal {
                name: "mei".to_owned(),
                token_sha256: String::new(),
                role: Role::Analyst,
                purposes: [].into(),
                revoked,
            };
            let error = check(&RegistryState::new(), &principal, &Asked::default());
            let error = error.expect_err("no purpose");
            (error.kind(), error.code())
        };
        assert_eq!(of(true), (ErrorKind::Unauthenticated, "principal_revoked"));
        assert_eq!(of(false), (ErrorKind::Invalid, "purpose_missing"));
    }
}
