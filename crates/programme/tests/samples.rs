//! The sample programmes of this repository load, and mean what their documentation says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use assent_consent::{LegalBasis, Timestamp};
use assent_programme::{Action, Programme, RegistryState, load, plan, token_sha256};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn loaded(folder: &str) -> Programme {
    load(&root().join(folder)).unwrap_or_else(|faults| {
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!("{folder} has faults:\n{}", told.join("\n"))
    })
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

#[test]
fn the_sample_programme_has_no_fault_and_every_kind_of_basis_it_promises() {
    let programme = loaded("pipelines");
    let bases: Vec<LegalBasis> = programme.purposes.values().map(|p| p.basis).collect();
    for basis in [
        LegalBasis::Consent,
        LegalBasis::Contract,
        LegalBasis::LegalDuty,
        LegalBasis::PublicInformation,
    ] {
        assert!(bases.contains(&basis), "{basis}");
    }
    assert!(programme.segments.len() >= 5);
    let state = RegistryState::of_programme(&programme, at("2026-11-01T00:00:00Z")).unwrap();
    assert_eq!(state.segments().count(), programme.segments.len());
    let again = plan(&state, &programme).unwrap();
    assert!(again.is_empty(), "{again}");
    assert_eq!(again.count(Action::Unchanged), again.changes.len());
}

#[test]
fn the_sample_keys_are_the_documented_ones_and_labelled() {
    let programme = loaded("pipelines");
    let state = RegistryState::of_programme(&programme, at("2026-11-01T00:00:00Z")).unwrap();
    for (key, id) in [
        ("demo-server-key", "demo-server"),
        ("demo-browser-key", "demo-browser"),
        ("demo-import-key", "cdnow-import"),
    ] {
        let source = state.source_by_key_sha256(&token_sha256(key)).unwrap();
        assert_eq!(source.id, id);
        assert!(source.sample, "{id} is not labelled as a sample");
    }
}

#[test]
fn every_purpose_of_the_sample_has_a_segment_but_for_those_that_reach_nobody() {
    let programme = loaded("pipelines");
    let without: Vec<&str> = programme
        .purposes
        .keys()
        .filter(|id| programme.segments.iter().all(|s| s.purpose != **id))
        .map(|id| id.as_str())
        .collect();
    assert_eq!(
        without,
        ["company_research", "direct_marketing", "rights_handling"]
    );
}

#[test]
fn the_programme_of_1997_is_in_force_when_its_data_begins() {
    let programme = loaded("tests/programmes/cdnow");
    assert_eq!(programme.segments.len(), 3);
    for notice in programme.notices.values() {
        assert_eq!(notice.effective_from, at("1997-01-01T00:00:00+08:00"));
    }
}
