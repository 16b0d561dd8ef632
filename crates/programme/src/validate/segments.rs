//! Segments: a purpose, channel and recipient that exist, the latter two named where there is a choice.
//! Their SQL is checked by the caller.

use assent_consent::PurposeId;

use super::{Check, listed};
use crate::definition::DefinitionKind;
use crate::segment::SegmentDefinition;

pub(super) fn check(check: &mut Check<'_>) {
    let programme = check.programme;
    for segment in &programme.segments {
        one(check, segment);
    }
}

fn one(check: &mut Check<'_>, segment: &SegmentDefinition) {
    let Check {
        programme, unread, ..
    } = *check;
    let purposes = &programme.purposes;
    let mut add = |field: &str, message: String, fix: String| {
        check.add(
            DefinitionKind::Segment,
            &segment.name,
            &[field],
            message,
            fix,
        );
    };
    let id: &PurposeId = &segment.purpose;
    if unread.may_be(id) {
        return;
    }
    let Some(purpose) = purposes.get(id) else {
        let known = listed(purposes.keys());
        return add(
            "purpose",
            format!("the purpose {id} is not defined"),
            format!("name one of {known}"),
        );
    };
    match &segment.channel {
        Some(channel) if !purpose.channels.contains(channel) => {
            let message = format!("the purpose {id} has no channel {channel}");
            let fix = if purpose.channels.is_empty() {
                "remove the CHANNEL clause; the purpose reaches nobody".to_owned()
            } else {
                format!("name one of {}", listed(&purpose.channels))
            };
            add("channel", message, fix);
        }
        // Whoever refused one of them would be reached by it all the same (R10).
        None if purpose.channels.len() > 1 => add(
            "channel",
            format!("the purpose {id} has several channels and the segment names none"),
            format!(
                "add CHANNEL with one of {}: people refuse channels one by one",
                listed(&purpose.channels)
            ),
        ),
        Some(_) | None => {}
    }
    match &segment.recipient {
        Some(recipient) if !purpose.recipients.contains(recipient) => {
            let message = format!("the purpose {id} has no recipient {recipient}");
            let fix = if purpose.recipients.is_empty() {
                "remove the RECIPIENT clause; the purpose shares with nobody".to_owned()
            } else {
                format!("name one of {}", listed(&purpose.recipients))
            };
            add("recipient", message, fix);
        }
        None if purpose.recipients.len() > 1 => add(
            "recipient",
            format!("the purpose {id} has several recipients and the segment names none"),
            format!(
                "add RECIPIENT with one of {} (art. 23)",
                listed(&purpose.recipients)
            ),
        ),
        Some(_) | None => {}
    }
}
