//! What a plan refuses: to rewrite what people were shown, or on what ground their data is used.

use assent_consent::{Notice, Purpose, Timestamp};
use serde::Deserialize;

use crate::definition::DefinitionKind;
use crate::fault::Fault;
use crate::programme::Programme;
use crate::registry::RegistryState;
use crate::source::{SourceDefinition, SourceKind};

/// Everything in `wanted` that contradicts what was ever in force.
pub(super) fn rewriting(current: &RegistryState, wanted: &Programme) -> Vec<Fault> {
    let mut faults = Vec::new();
    for purpose in wanted.purposes.values() {
        if let Some(before) = before(current, purpose) {
            faults.extend(other_basis(wanted, purpose, &before));
            faults.extend(other_parent(wanted, purpose, &before));
            faults.extend(longer_validity(wanted, purpose, &before));
        }
    }
    for notice in wanted.notices.values() {
        match current.consent().notice(&notice.reference()) {
            Some(published) => faults.extend(rewritten(current, wanted, published, notice)),
            None => faults.extend(backwards(current, wanted, notice)),
        }
    }
    for published in current.consent().notices() {
        if !wanted.notices.contains_key(&published.reference()) {
            faults.push(missing(published));
        }
    }
    for source in &wanted.sources {
        faults.extend(promoted(current, wanted, source));
    }
    faults
}

/// What a purpose was last, before it was retired perhaps, and since when it has been defined at all.
struct Before {
    purpose: Purpose,
    since: Timestamp,
}

fn before(current: &RegistryState, purpose: &Purpose) -> Option<Before> {
    let history = current.history(DefinitionKind::Purpose, purpose.id.as_str());
    let mut defined = history
        .iter()
        .filter(|recorded| !recorded.definition.is_retirement());
    let since = defined.clone().next()?.at;
    let last = defined.next_back()?;
    let purpose = Purpose::deserialize(&last.definition.body).ok()?;
    Some(Before { purpose, since })
}

/// A purpose keeps its basis for ever, even after it was retired: otherwise withdrawing consent could
/// be answered by finding another ground (law.md §4, other basis).
fn other_basis(wanted: &Programme, purpose: &Purpose, before: &Before) -> Option<Fault> {
    let (name, basis) = (purpose.id.as_str(), before.purpose.basis);
    (basis != purpose.basis).then(|| {
        wanted.origins.fault(
            DefinitionKind::Purpose,
            name,
            &["basis"],
            format!(
                "{name} rests on {basis} since {}; a purpose keeps its basis (art. 13, 14)",
                before.since
            ),
            format!("write `basis: {basis}`, or define another purpose with a notice of its own"),
        )
    })
}

/// A purpose keeps its parent, or its having none: under another, grants of that one would reach it
/// that were never meant for it, and withdrawals of the old one would reach it no more (R8, R16).
fn other_parent(wanted: &Programme, purpose: &Purpose, before: &Before) -> Option<Fault> {
    let parent = before.purpose.parent.as_ref();
    (parent != purpose.parent.as_ref()).then(|| {
        let name = purpose.id.as_str();
        let (was, fix) = match parent {
            Some(parent) => (
                format!("part of {parent}"),
                format!("write `parent: {parent}`"),
            ),
            None => ("part of no other".to_owned(), "remove `parent`".to_owned()),
        };
        wanted.origins.fault(
            DefinitionKind::Purpose,
            name,
            &["parent"],
            format!(
                "{name} is {was} since {}; a purpose keeps its place, since grants and withdrawals \
                 reach what it had when they were made (art. 14, 15)",
                before.since
            ),
            format!("{fix}, or define another purpose with a notice of its own"),
        )
    })
}

/// The time for which a grant counts may be shortened: lengthened, it would revive what had ended, and
/// prolong what people gave for the time they were told (R15).
fn longer_validity(wanted: &Programme, purpose: &Purpose, before: &Before) -> Option<Fault> {
    let days = before.purpose.grant_validity_days?;
    let is_longer = purpose
        .grant_validity_days
        .is_none_or(|wanted| wanted > days);
    is_longer.then(|| {
        let name = purpose.id.as_str();
        wanted.origins.fault(
            DefinitionKind::Purpose,
            name,
            &["grant_validity_days"],
            format!(
                "a grant for {name} counts for {days} days; longer, it would count for more than was \
                 agreed to, and ended ones would count again (art. 14)"
            ),
            format!(
                "write `grant_validity_days: {days}` or less, or define another purpose with a notice \
                 of its own"
            ),
        )
    })
}

fn rewritten(
    current: &RegistryState,
    wanted: &Programme,
    published: &Notice,
    notice: &Notice,
) -> Option<Fault> {
    let field = first_difference(published, notice)?;
    let newest = current
        .consent()
        .versions(&notice.id)
        .map(|n| n.version)
        .max()?;
    let reference = notice.reference().to_string();
    Some(wanted.origins.fault(
        DefinitionKind::Notice,
        &reference,
        &[field],
        format!(
            "{reference} is published and its `{field}` has changed; people were shown the old text"
        ),
        format!(
            "restore the file and publish the change as version {}",
            newest.saturating_add(1)
        ),
    ))
}

fn first_difference(a: &Notice, b: &Notice) -> Option<&'static str> {
    // Taken apart so that a field added later cannot be forgotten here.
    let Notice {
        id: _,
        version: _,
        change,
        effective_from,
        handler,
        rights,
        purposes,
        texts,
        exemption,
    } = a;
    [
        ("change", *change != b.change),
        ("effective_from", *effective_from != b.effective_from),
        ("handler", *handler != b.handler),
        ("rights", *rights != b.rights),
        ("purposes", *purposes != b.purposes),
        ("texts", *texts != b.texts),
        ("exemption", *exemption != b.exemption),
    ]
    .into_iter()
    .find_map(|(field, differs)| differs.then_some(field))
}

fn backwards(current: &RegistryState, wanted: &Programme, notice: &Notice) -> Option<Fault> {
    let newest = current
        .consent()
        .versions(&notice.id)
        .map(|n| n.version)
        .max()?;
    (notice.version < newest).then(|| {
        let reference = notice.reference().to_string();
        wanted.origins.fault(
            DefinitionKind::Notice,
            &reference,
            &["version"],
            format!(
                "version {newest} of {} is published; {} would go backwards",
                notice.id, notice.version
            ),
            format!("write `version: {}`", newest.saturating_add(1)),
        )
    })
}

/// Grants stand on the version they were given under, so a published version is defined for ever.
fn missing(published: &Notice) -> Fault {
    let reference = published.reference();
    Fault {
        file: "notices".to_owned(),
        line: 0,
        column: 0,
        message: format!(
            "{reference} is published and no longer defined; consent was given under it"
        ),
        fix: "put its file back; to end a purpose, publish a version without it".to_owned(),
    }
}

/// A key that stood in pages is known to anybody; it cannot become a secret.
fn promoted(
    current: &RegistryState,
    wanted: &Programme,
    source: &SourceDefinition,
) -> Option<Fault> {
    if source.kind != SourceKind::Server {
        return None;
    }
    let public = current
        .latest(DefinitionKind::Source)
        .flat_map(|recorded| current.history(DefinitionKind::Source, &recorded.definition.key.name))
        .filter_map(|recorded| SourceDefinition::deserialize(&recorded.definition.body).ok())
        .find(|s| s.kind == SourceKind::Browser && s.write_key_sha256 == source.write_key_sha256)?;
    let file = (DefinitionKind::Source, crate::read::SINGLE);
    let index = wanted.origins.item(file, "sources", ("id", &source.id), 0);
    Some(wanted.origins.fault(
        file.0,
        file.1,
        &["sources", &index, "write_key_sha256"],
        format!(
            "{} takes the write key of the browser source {}, which is public",
            source.id, public.id
        ),
        "make a new key for the server source",
    ))
}
