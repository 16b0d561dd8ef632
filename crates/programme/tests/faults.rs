//! Every fault of a programme is found at its place, with a fix.

mod folder;

use folder::{
    EMAIL, Folder, HEALTH, NOTICE, SEGMENT, SERVICE, SETTINGS, SHARING, SOURCES, TRAITS, told,
};

/// The faults of the small programme with one text replaced.
fn spoilt(file: &str, from: &str, to: &str) -> Vec<String> {
    let folder = Folder::new();
    folder.replace(file, from, to);
    told(&folder.load().expect_err("the programme should have faults"))
}

/// A replacement and all faults it leads to.
struct Case(&'static str, &'static str, &'static str, &'static [&'static str]);

fn check(cases: &[Case]) {
    for Case(file, from, to, expected) in cases {
        assert_eq!(spoilt(file, from, to), *expected, "{file}: `{from}` → `{to}`");
    }
}

#[test]
fn the_programme_itself_has_no_fault() {
    Folder::new().programme();
}

