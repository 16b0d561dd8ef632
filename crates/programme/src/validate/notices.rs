//! Notices: versions that follow one another, and a newest one that says what is done, no less and no
//! more. Older versions may speak of what has ended: they are what people were shown.

use std::collections::BTreeSet;

use assent_consent::{Notice, NoticeChange, NoticedPurpose, PurposeId};

use super::{Check, listed};
use crate::definition::DefinitionKind;

pub(super) fn check(check: &mut Check<'_>) {
    let programme = check.programme;
    for notice in check.newest().into_values() {
        for (id, statement) in &notice.purposes {
            matches_purpose(check, notice, id, statement);
        }
    }
    let mut before: Option<&Notice> = None;
    for notice in programme.notices.values() {
        if let Some(before) = before.filter(|b| b.id == notice.id) {
            follows(check, before, notice);
        }
        before = Some(notice);
    }
}

fn add(check: &mut Check<'_>, notice: &Notice, path: &[&str], message: String, fix: String) {
    let name = notice.reference().to_string();
    check.add(DefinitionKind::Notice, &name, path, message, fix);
}

/// A notice must be true, accurate and complete (art. 17(1)).
fn matches_purpose(
    check: &mut Check<'_>,
    notice: &Notice,
    id: &PurposeId,
    statement: &NoticedPurpose,
) {
    let purposes = &check.programme.purposes;
    let path = ["purposes", id.as_str()];
    if check.unread.may_be(id) {
        return;
    }
    let Some(purpose) = purposes.get(id) else {
        let message = format!("the notice lists {id}, which is not defined");
        let fix = format!(
            "define it, correct the name (defined are {}), or publish a version without it",
            listed(purposes.keys())
        );
        return add(check, notice, &path, message, fix);
    };
    let told: BTreeSet<_> = statement
        .categories
        .iter()
        .chain(statement.sensitive.keys())
        .collect();
    let mut beyond = Vec::new();
    for c in told
        .into_iter()
        .filter(|c| !purpose.categories.contains(*c))
    {
        let field = if statement.categories.contains(c) {
            "categories"
        } else {
            "sensitive"
        };
        beyond.push((field, c.as_str(), listed(&purpose.categories)));
    }
    for c in statement.channels.difference(&purpose.channels) {
        beyond.push(("channels", c.as_str(), listed(&purpose.channels)));
    }
    for r in statement
        .recipients
        .keys()
        .filter(|r| !purpose.recipients.contains(*r))
    {
        beyond.push(("recipients", r.as_str(), listed(&purpose.recipients)));
    }
    for (field, item, known) in beyond {
        let message = format!("{item} is none of the {field} of {id}, which has {known}");
        let fix = format!("correct the name, leave it out, or add it to the purpose's `{field}:`");
        add(
            check,
            notice,
            &[path[0], path[1], field, item],
            message,
            fix,
        );
    }
    for c in statement
        .sensitive
        .keys()
        .filter(|c| !purpose.sensitive.contains(*c))
    {
        if purpose.categories.contains(c) {
            let message = format!("the notice calls {c} sensitive, the purpose {id} does not");
            let fix = format!("list {c} under `sensitive:` of the purpose");
            add(
                check,
                notice,
                &[path[0], path[1], "sensitive", c.as_str()],
                message,
                fix,
            );
        }
    }
}

fn follows(check: &mut Check<'_>, before: &Notice, notice: &Notice) {
    let reference = before.reference();
    if notice.effective_from < before.effective_from {
        let message = format!(
            "it takes effect before {reference} does ({})",
            before.effective_from
        );
        let fix = "let a later version take effect later".to_owned();
        add(check, notice, &["effective_from"], message, fix);
    }
    if notice.change == NoticeChange::Editorial
        && let Some(what) = material_difference(before, notice)
    {
        let message = format!("it is called editorial, but {what} differ from {reference}");
        let fix = "write `change: material`: people must be asked anew (art. 14)".to_owned();
        add(check, notice, &["change"], message, fix);
    }
}

/// What art. 14(2) makes a change that needs new consent.
fn material_difference(before: &Notice, after: &Notice) -> Option<&'static str> {
    if !before.purposes.keys().eq(after.purposes.keys()) {
        return Some("the purposes");
    }
    let pairs = || before.purposes.values().zip(after.purposes.values());
    if pairs().any(|(b, a)| b.method != a.method || b.personalises != a.personalises) {
        Some("the methods")
    } else if pairs()
        .any(|(b, a)| b.categories != a.categories || !b.sensitive.keys().eq(a.sensitive.keys()))
    {
        Some("the categories")
    } else if pairs().any(|(b, a)| b.channels != a.channels) {
        Some("the channels")
    } else if pairs().any(|(b, a)| b.recipients != a.recipients) {
        Some("the recipients")
    } else {
        None
    }
}
