//! Every fault of a programme is found at its place, with a fix.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../folder/mod.rs"]
mod folder;
mod notices;
mod purposes;
mod rest;

use folder::{EMAIL, Folder, NOTICE, SEGMENT, SERVICE, SETTINGS, TRAITS, told};

/// The faults of the small programme with one text replaced.
fn spoilt(file: &str, from: &str, to: &str) -> Vec<String> {
    let folder = Folder::new();
    folder.replace(file, from, to);
    told(&folder.load().expect_err("the programme should have faults"))
}

/// A replacement and all faults it leads to.
struct Case(
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

fn check(cases: &[Case]) {
    for Case(file, from, to, expected) in cases {
        assert_eq!(
            spoilt(file, from, to),
            *expected,
            "{file}: `{from}` → `{to}`"
        );
    }
}

#[test]
fn the_programme_itself_has_no_fault() {
    Folder::new().programme();
}

#[test]
fn every_fault_of_every_file_is_told_at_once_in_order() {
    let folder = Folder::new();
    folder.replace(EMAIL, "basis: consent", "basis: legitimate_interest");
    folder.replace(EMAIL, "marketing: true", "marketing: 1");
    folder.replace(SERVICE, "channels: [sms]", "channels: [sms, Fax]");
    folder.replace(NOTICE, "rights: Write to us.", "right: Write to us.");
    folder.replace(SEGMENT, "CHANNEL email", "CHANEL email");
    folder.replace(TRAITS, "window_days: 90", "window_days: 0");
    folder.replace(SETTINGS, "k: 5", "k: five");
    let faults = folder.load().unwrap_err();
    let places: Vec<String> = faults
        .iter()
        .map(|f| format!("{}:{}:{}", f.file, f.line, f.column))
        .collect();
    assert_eq!(
        places,
        [
            "notices/terms.v1.yaml:1:1",
            "notices/terms.v1.yaml:8:1",
            "purposes/email.yaml:3:8",
            "purposes/email.yaml:6:12",
            "purposes/service.yaml:5:17",
            "segments/regulars.sql:3:21",
            "settings.yaml:2:4",
            "traits.yaml:17:18",
        ]
    );
    assert!(
        faults
            .iter()
            .all(|f| !f.message.is_empty() && !f.fix.is_empty())
    );
}

#[test]
fn a_folder_that_is_not_there_or_empty_is_a_fault() {
    let folder = Folder::new();
    let faults = assent_programme::load(&folder.path().join("nowhere")).unwrap_err();
    assert_eq!(faults.len(), 1);
    assert_eq!(
        (faults[0].line, faults[0].message.as_str()),
        (0, "there is no such folder")
    );

    let empty = tempfile::tempdir().unwrap();
    let faults = assent_programme::load(empty.path()).unwrap_err();
    assert_eq!(
        told(&faults),
        ["purposes: the programme has no purposes | fix: add at least one file purposes/NAME.yaml"]
    );
}

#[test]
fn a_file_that_would_have_no_effect_is_a_fault() {
    let folder = Folder::new();
    folder.write("purposes/post.yml", "id: post\n");
    folder.write("segments/README.md", "Segments.\n");
    folder.write("segments/.hidden", "");
    assert_eq!(
        told(&folder.load().unwrap_err()),
        [
            "purposes/post.yml: only .yaml files are read here; this one has no effect | fix: rename it to \
         end in .yaml, or move it elsewhere"
        ]
    );
}

/// What they hold would be missing from the programme, and so be retired.
#[test]
fn a_file_or_folder_of_the_wrong_name_is_a_fault() {
    let folder = Folder::new();
    let sources = folder.read(folder::SOURCES);
    folder.remove(folder::SOURCES);
    folder.write("sources.yml", &sources);
    folder.write("segment/regulars.sql", &folder.read(SEGMENT));
    folder.write("regulars.sql", &folder.read(SEGMENT));
    folder.write("imports/orders.yaml", "name: orders\n");
    folder.write("README.md", "Ours.\n");
    folder.write(".git/config", "");
    folder.write(".drafts.yaml", "");
    let files = "settings.yaml, sources.yaml, traits.yaml";
    assert_eq!(
        told(&folder.load().unwrap_err()),
        [
            format!(
                "regulars.sql: nothing of this name is read here; it has no effect | fix: rename it to one of {files}, or \
                 move it elsewhere"
            ),
            "segment: nothing of this name is read here; it has no effect | fix: rename it to one of imports, notices, \
             purposes, segments, or move it elsewhere"
                .to_owned(),
            format!(
                "sources.yml: nothing of this name is read here; it has no effect | fix: rename it to one of {files}, or \
                 move it elsewhere"
            ),
        ]
    );
}

#[test]
fn what_is_defined_twice_is_a_fault_in_the_second_file() {
    let folder = Folder::new();
    folder.write("purposes/letters.yaml", &folder.read(EMAIL));
    folder.write("notices/also.yaml", &folder.read(NOTICE));
    folder.write("segments/also.sql", &folder.read(SEGMENT));
    assert_eq!(
        told(&folder.load().unwrap_err()),
        [
            "notices/terms.v1.yaml:2:1: terms@1 is defined in notices/also.yaml, too | fix: give the newer text \
         the next version",
            "purposes/letters.yaml:1:1: email is defined in purposes/email.yaml, too | fix: keep one of them",
            "segments/regulars.sql: regulars is defined in segments/also.sql, too | fix: give it another name",
        ]
    );
}
