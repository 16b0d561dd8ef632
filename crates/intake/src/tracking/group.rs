//! Membership in an account.

use assent_event::{AccountMembership, AccountMembershipProfile};
use serde_json::Value;

use super::Call;
use crate::outcome::{Rejected, Warning, WarningCode};
use crate::planned::Planned;
use crate::text;

impl Call<'_> {
    pub(super) fn group(&mut self) -> Result<Vec<Planned>, Rejected> {
        self.must_describe("the account")?;
        let account = text::required(self.object, "groupId", "send the account's id")?;
        let names = &self.cx.source.account_traits;
        let mut membership = AccountMembership::joined(account);
        let mut profile = AccountMembershipProfile::default();
        for (name, value) in text::object(self.object, "traits").into_iter().flatten() {
            if name == "left" {
                // Who is not plainly said to stay has left: a membership lets data be used.
                membership.clear.left = *value != Value::Bool(false);
                if !value.is_boolean() {
                    self.warnings.push(Warning::new(
                        WarningCode::TraitMistyped,
                        "/traits/left",
                        "left is neither true nor false; recorded as left. Leave it out to stay",
                    ));
                }
                continue;
            }
            if value.is_null() {
                continue;
            }
            let field = match name.as_str() {
                name if name == names.name => &mut membership.clear.name,
                name if name == names.industry => &mut membership.clear.industry,
                name if name == names.size_band => &mut membership.clear.size_band,
                name if name == names.country => &mut membership.clear.country,
                name if name == names.role => &mut profile.role,
                name if name == names.buying_role => &mut profile.buying_role,
                name if name == names.department => &mut profile.department,
                name => {
                    let fix = "declare it under account_traits of the source";
                    self.left_out(WarningCode::TraitUndeclared, name, fix);
                    continue;
                }
            };
            *field = text::plain(value);
            if field.is_none() {
                self.left_out(WarningCode::TraitMistyped, name, "it is no text");
            }
        }
        if profile != AccountMembershipProfile::default() {
            membership.profile = Some(profile);
        }
        Ok(vec![Planned::first(self.about(), membership)])
    }
}
