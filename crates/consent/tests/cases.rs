//! The consent cases: every YAML file of `tests/consent-cases`, read and run.
//!
//! The cases are written for lawyers; how to read them stands in the folder's README.

#![allow(clippy::unwrap_used, reason = "test code: a panic is the report")]

#[path = "cases/format.rs"]
mod format;
#[path = "cases/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use format::{CaseFile, ProgrammeFile};
use world::World;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/consent-cases")
}

fn world() -> World {
    let text = fs::read_to_string(folder().join("programme.yaml")).unwrap();
    World::new(read_programme(&text).unwrap()).unwrap()
}

fn read_programme(text: &str) -> Result<ProgrammeFile, String> {
    serde_saphyr::from_str(text).map_err(|e| format!("programme.yaml: {e}"))
}

fn read_cases(text: &str) -> Result<CaseFile, String> {
    let file: CaseFile = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
    if file.cases.is_empty() {
        return Err("the file holds no case".to_owned());
    }
    Ok(file)
}

#[test]
fn every_case_holds() {
    let world = world();
    let (mut names, mut failures) = (BTreeSet::new(), Vec::new());
    let (mut lawful, mut denied) = (0, 0);
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let file_name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let is_cases =
            path.extension().is_some_and(|e| e == "yaml") && file_name != "programme.yaml";
        if !is_cases {
            continue;
        }
        let file = match read_cases(&fs::read_to_string(&path).unwrap()) {
            Ok(file) => file,
            Err(error) => panic!("{file_name}: {error}"),
        };
        for case in &file.cases {
            for failure in world.failures(case) {
                failures.push(format!("{file_name}: {:?}: {failure}", case.name));
            }
            if !names.insert(case.name.clone()) {
                failures.push(format!("{file_name}: {:?}: the name is taken", case.name));
            }
            let asked_lawful = case.then.iter().filter(|then| then.is == "lawful").count();
            lawful += asked_lawful;
            denied += case.then.len() - asked_lawful;
        }
    }
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
    assert!(names.len() >= 70, "only {} cases", names.len());
    assert!(
        lawful >= 50 && denied >= 50,
        "{lawful} lawful, {denied} denied"
    );
}

#[test]
fn every_reason_stands_in_some_case() {
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        if let Ok(file) = read_cases(&text) {
            let expected = file.cases.into_iter().flat_map(|case| case.then);
            seen.extend(expected.map(|then| then.is));
        }
    }
    for reason in assent_consent::Reason::ALL {
        assert!(seen.contains(reason.as_str()), "no case expects {reason}");
    }
}

#[test]
fn a_file_without_cases_and_an_unknown_key_are_errors() {
    assert!(read_cases("theme: nothing\ncases: []\n").is_err());
    let good = "{ name: n, why: w, history: [{ when: day 1, erased: true }], then: [{ at: day 2, use: newsletter, is: erased }] }";
    assert!(read_cases(&format!("theme: t\ncases: [{good}]\n")).is_ok());
    for (place, slip) in [
        ("name: n", "nmae: n, name: n"),
        ("erased: true", "erased: true, ereased: true"),
        ("is: erased", "is: erased, chanel: email"),
    ] {
        let bad = good.replace(place, slip);
        let error = read_cases(&format!("theme: t\ncases: [{bad}]\n"))
            .err()
            .unwrap();
        assert!(error.contains("unknown field"), "{error}");
    }
    assert!(read_programme("day_one: 2026-03-02\npurposes: []\nnotices: []\nmore: 1\n").is_err());
}

#[test]
fn a_case_that_does_not_hold_is_found() {
    let world = world();
    for wrong in [
        "is: withdrawn",
        "is: lawful, for: [contact]",
        "is: erased, look_again: day 9",
        "is: lawful",
    ] {
        let text = format!(
            "theme: t\ncases: [{{ name: n, why: w, history: [{{ when: day 1, erased: true }}], \
             then: [{{ at: day 2, use: newsletter, {wrong} }}] }}]"
        );
        let file = read_cases(&text).unwrap();
        assert_eq!(world.failures(&file.cases[0]).len(), 1, "{wrong}");
    }
}
