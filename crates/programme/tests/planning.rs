//! What a plan shows, and what it refuses.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod folder;

use assent_consent::{NoticeRef, Timestamp};
use assent_programme::{
    Action, Definition, DefinitionKind, Plan, Principal, RegistryState, Role, SegmentCheck,
    SegmentDefinition, SegmentFault, plan, plan_checked, principal_added, principal_revoked,
    token_sha256,
};
use folder::{EMAIL, Folder, NOTICE, NOTICE_2, SEGMENT, SERVICE, SOURCES, TRAITS, told};

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-03-01T00:00:00Z").unwrap()
}

fn state(folder: &Folder) -> RegistryState {
    RegistryState::of_programme(&folder.programme(), now()).unwrap()
}

/// The plan without its first line, which names a digest.
fn shown(plan: &Plan) -> Vec<String> {
    let text = plan.to_string();
    text.lines().skip(1).map(str::to_owned).collect()
}

fn refused(state: &RegistryState, folder: &Folder) -> Vec<String> {
    told(&plan(state, &folder.programme()).expect_err("the plan should be refused"))
}

#[test]
fn the_first_plan_creates_everything_in_order() {
    let plan = plan(&RegistryState::new(), &Folder::new().programme()).unwrap();
    assert_eq!(
        plan.to_string(),
        "on registry 000000000000\n\
         + settings programme@1\n\
         + purpose advice@1\n\
         + purpose email@1\n\
         + purpose service@1\n\
         + purpose sharing@1\n\
         + notice terms@1\n\
         + traits programme@1\n\
         + source pages@1\n\
         + source shop@1\n\
         + segment regulars@1\n\
         10 to create, 0 to update, 0 to retire, 0 unchanged"
    );
    let keys: Vec<_> = plan.definitions.iter().map(|d| &d.key).collect();
    let changed: Vec<_> = plan.changes.iter().map(|c| &c.key).collect();
    assert_eq!(keys, changed);
}

#[test]
fn what_was_planned_is_unchanged_afterwards() {
    let folder = Folder::new();
    let plan = plan(&state(&folder), &folder.programme()).unwrap();
    assert!(plan.is_empty());
    assert_eq!(plan.count(Action::Unchanged), 10);
}

#[test]
fn a_plan_names_what_changes_and_counts_versions() {
    let folder = Folder::new();
    let state = state(&folder);
    folder.replace(SERVICE, "1095", "365");
    folder.replace(SERVICE, "Service", "Our service");
    folder.replace(SEGMENT, ">= 3", ">= 4");
    folder.replace(TRAITS, "window_days: 90", "window_days: 60");
    folder.replace(SOURCES, "id: pages", "id: site");
    folder.second_notice(&[("method: Sent by us.", "method: Sent by an agency.")]);
    let plan = plan(&state, &folder.programme()).unwrap();
    assert_eq!(
        shown(&plan),
        [
            "= settings programme@1",
            "= purpose advice@1",
            "= purpose email@1",
            "~ purpose service@2 (default_retention_days, title)",
            "= purpose sharing@1",
            "= notice terms@1",
            "+ notice terms@2",
            "~ traits programme@2 (derived)",
            "- source pages@2",
            "= source shop@1",
            "+ source site@1",
            "~ segment regulars@2 (query)",
            "2 to create, 3 to update, 1 to retire, 6 unchanged",
        ]
    );
    let after = state.with(&plan.definitions, now()).unwrap();
    assert_eq!(
        after.purpose(&"service".parse().unwrap()).unwrap().version,
        2
    );
    assert_eq!(after.segment("regulars").unwrap().version, 2);
    assert!(
        after
            .segment_version("regulars", 1)
            .unwrap()
            .query
            .ends_with(">= 3")
    );
    assert!(after.source("pages").is_none());
}

#[test]
fn where_a_query_stands_in_its_file_is_no_content() {
    let folder = Folder::new();
    let state = state(&folder);
    folder.replace(
        SEGMENT,
        "CREATE SEGMENT regulars",
        "CREATE SEGMENT\n\n  regulars",
    );
    assert!(plan(&state, &folder.programme()).unwrap().is_empty());
}

#[test]
fn what_is_retired_may_come_back_and_counts_on() {
    let folder = Folder::new();
    let first = state(&folder);
    let text = folder.read(SEGMENT);
    folder.remove(SEGMENT);
    let retiring = plan(&first, &folder.programme()).unwrap();
    assert_eq!(shown(&retiring)[9], "- segment regulars@2");
    let retired = first.with(&retiring.definitions, now()).unwrap();
    assert!(retired.segment("regulars").is_none());
    assert!(retired.segment_version("regulars", 1).is_some());
    assert!(plan(&retired, &folder.programme()).unwrap().is_empty());
    folder.write(SEGMENT, &text);
    let again = plan(&retired, &folder.programme()).unwrap();
    assert_eq!(shown(&again)[9], "+ segment regulars@3");
}

#[test]
fn a_published_notice_never_changes() {
    for (from, to, field, place) in [
        (
            "We tell you everything.",
            "We tell you most.",
            "texts",
            "40:1",
        ),
        ("material", "editorial", "change", "3:1"),
        (
            "  en: We tell you everything.\n",
            "  en: We tell you everything.\nexemption: A law.\n",
            "exemption",
            "42:1",
        ),
        (
            "effective_from: 2024-01-01",
            "effective_from: 2024-01-02",
            "effective_from",
            "4:1",
        ),
        ("  name: A shop", "  name: Another shop", "handler", "5:1"),
        ("rights: Write to us.", "rights: Call us.", "rights", "8:1"),
        (
            "retention: Two years.",
            "retention: Three more.",
            "purposes",
            "9:1",
        ),
    ] {
        let folder = Folder::new();
        let state = state(&folder);
        folder.replace(NOTICE, from, to);
        assert_eq!(
            refused(&state, &folder),
            [format!(
                "notices/terms.v1.yaml:{place}: terms@1 is published and its `{field}` has changed; people \
                 were shown the old text | fix: restore the file and publish the change as version 2"
            )]
        );
    }
}

#[test]
fn a_published_notice_never_disappears() {
    let folder = Folder::new();
    folder.second_notice(&[]);
    let state = state(&folder);
    folder.remove(NOTICE);
    assert_eq!(
        refused(&state, &folder),
        [
            "notices: terms@1 is published and no longer defined; consent was given under it | fix: put its \
          file back; to end a purpose, publish a version without it"
        ]
    );
}

#[test]
fn versions_of_a_notice_never_go_backwards() {
    let folder = Folder::new();
    folder.second_notice(&[]);
    folder.replace(NOTICE_2, "version: 2", "version: 5");
    let state = state(&folder);
    folder.write(
        "notices/terms.v3.yaml",
        &folder.read(NOTICE_2).replace("version: 5", "version: 3"),
    );
    assert_eq!(
        refused(&state, &folder),
        [
            "notices/terms.v3.yaml:2:1: version 5 of terms is published; 3 would go backwards | fix: write \
          `version: 6`"
        ]
    );
}

#[test]
fn a_purpose_keeps_its_basis_even_after_it_was_retired() {
    let folder = Folder::new();
    let first = state(&folder);
    folder.replace(SERVICE, "basis: contract", "basis: consent");
    let expected = "purposes/service.yaml:3:1: service rests on contract since 2026-03-01T00:00:00Z; a \
                    purpose keeps its basis (art. 13, 14) | fix: write `basis: contract`, or define another \
                    purpose with a notice of its own";
    assert_eq!(refused(&first, &folder), [expected]);

    // Retiring it, which needs a notice without it, and defining it anew does not help.
    let text = folder.read(SERVICE);
    let service = "  service:
    method: Used to deliver.
    categories: [transaction]
    channels: [sms]
    retention: Three years.
";
    folder.second_notice(&[(service, "")]);
    folder.remove(SERVICE);
    let retiring = plan(&first, &folder.programme()).unwrap();
    assert_eq!(retiring.count(Action::Retire), 1);
    let retired = first.with(&retiring.definitions, now()).unwrap();
    assert!(retired.purpose(&"service".parse().unwrap()).is_none());
    folder.write(SERVICE, &text);
    assert_eq!(refused(&retired, &folder), [expected]);
}

#[test]
fn a_purpose_keeps_its_place() {
    let folder = Folder::new();
    let alone = state(&folder);
    folder.replace(EMAIL, "basis: consent", "basis: consent\nparent: advice");
    let place = "a purpose keeps its place, since grants and withdrawals reach what it had when they were \
                 made (art. 14, 15)";
    let fix = "or define another purpose with a notice of its own";
    let since = "since 2026-03-01T00:00:00Z";
    assert_eq!(
        refused(&alone, &folder),
        [format!(
            "purposes/email.yaml:4:1: email is part of no other {since}; {place} | fix: remove `parent`, {fix}"
        )]
    );
    let within = state(&folder);
    folder.replace(EMAIL, "parent: advice", "parent: sharing");
    let kept = format!("write `parent: advice`, {fix}");
    assert_eq!(
        refused(&within, &folder),
        [format!(
            "purposes/email.yaml:4:1: email is part of advice {since}; {place} | fix: {kept}"
        )]
    );
    folder.replace(EMAIL, "\nparent: sharing", "");
    assert_eq!(
        refused(&within, &folder),
        [format!(
            "purposes/email.yaml:1:1: email is part of advice {since}; {place} | fix: {kept}"
        )]
    );
}

#[test]
fn grants_never_last_longer_afterwards() {
    let folder = Folder::new();
    let unlimited = state(&folder);
    let validity = |days: &str| format!("basis: consent\n{days}");
    folder.replace(
        EMAIL,
        "basis: consent",
        &validity("grant_validity_days: 90"),
    );
    let shortened = plan(&unlimited, &folder.programme()).unwrap();
    let limited = unlimited.with(&shortened.definitions, now()).unwrap();
    folder.replace(EMAIL, ": 90", ": 60");
    assert!(plan(&limited, &folder.programme()).is_ok());
    let expected = |place: &str| {
        [format!(
            "purposes/email.yaml:{place}: a grant for email counts for 90 days; longer, it would count for \
             more than was agreed to, and ended ones would count again (art. 14) | fix: write \
             `grant_validity_days: 90` or less, or define another purpose with a notice of its own"
        )]
    };
    folder.replace(EMAIL, ": 60", ": 91");
    assert_eq!(refused(&limited, &folder), expected("4:1"));
    folder.replace(EMAIL, "\ngrant_validity_days: 91", "");
    assert_eq!(refused(&limited, &folder), expected("1:1"));
}

#[test]
fn the_key_of_a_page_never_becomes_that_of_a_server() {
    let folder = Folder::new();
    let state = state(&folder);
    folder.replace(SOURCES, "kind: browser", "kind: server");
    folder.replace(SOURCES, "    origins: [https://shop.example]\n", "");
    assert_eq!(
        refused(&state, &folder),
        [
            "sources.yaml:10:5: pages takes the write key of the browser source pages, which is public | fix: \
          make a new key for the server source"
        ]
    );
}

#[test]
fn several_refusals_are_all_told() {
    let folder = Folder::new();
    let state = state(&folder);
    folder.replace(SERVICE, "basis: contract", "basis: consent");
    folder.replace(NOTICE, "rights: Write to us.", "rights: Call us.");
    assert_eq!(refused(&state, &folder).len(), 2);
}

/// Refuses every query that names a trait which is not defined.
struct Columns;

impl SegmentCheck for Columns {
    fn check(
        &self,
        state: &RegistryState,
        segment: &SegmentDefinition,
    ) -> Result<(), SegmentFault> {
        if state.traits().derived("purchases_total").is_some() {
            return Ok(());
        }
        let line = segment
            .query
            .lines()
            .position(|l| l.contains("purchases_total"));
        Err(SegmentFault {
            line: u32::try_from(line.unwrap()).unwrap() + 1,
            column: 12,
            message: "there is no column purchases_total".to_owned(),
            fix: "name another".to_owned(),
        })
    }
}

#[test]
fn queries_are_checked_against_the_registry_as_it_will_be_and_keep_their_lines() {
    let folder = Folder::new();
    // The trait is defined by the same plan.
    plan_checked(&RegistryState::new(), &folder.programme(), Some(&Columns)).unwrap();

    // The segment did not change, the trait it reads goes, and the file has grown since.
    let state = state(&folder);
    folder.replace(TRAITS, "- name: purchases_total", "- name: orders_total");
    folder.replace(SEGMENT, "-- Regulars.", "-- Regulars.\n");
    let faults = plan_checked(&state, &folder.programme(), Some(&Columns)).unwrap_err();
    assert_eq!(
        told(&faults)[0].split(" | ").next().unwrap(),
        "segments/regulars.sql:6:12: there is no column purchases_total"
    );
}

#[test]
fn a_notice_is_journalled_with_the_hash_of_what_was_shown() {
    let folder = Folder::new();
    let state = state(&folder);
    let reference: NoticeRef = "terms@1".parse().unwrap();
    let notice = state.consent().notice(&reference).unwrap();
    let text = assent_programme::render_notice(notice, "en").unwrap();
    assert!(
        text.starts_with("We tell you everything.\n\n[terms@1]\n"),
        "{text}"
    );
    assert!(text.contains("\n  Sensitive personal information: health\n    Necessity: Nothing can be advised without it.\n"));
    assert!(text.contains("\n  Recipient: An advertiser\n    Contact: privacy@ads.example\n"));
    assert_eq!(assent_programme::render_notice(notice, "fr"), None);
    assert_eq!(
        state.notice_sha256(&reference).unwrap(),
        "52585e212c8f189d0f2efdb19ad73e480833db149c113fd087e36eda5dcfe6d6",
        "a published notice must hash alike for ever"
    );
    assert_eq!(state.notice_sha256(&"terms@2".parse().unwrap()), None);
}

fn principal(name: &str, role: Role, purposes: &[&str]) -> Principal {
    Principal {
        name: name.to_owned(),
        token_sha256: token_sha256(&format!("token of {name}")),
        role,
        purposes: purposes.iter().map(|p| p.parse().unwrap()).collect(),
        revoked: false,
    }
}

#[test]
fn principals_are_definitions_too() {
    let folder = Folder::new();
    let state = state(&folder);
    let ana = principal("ana-growth", Role::Analyst, &["email"]);
    let adding = principal_added(&state, ana.clone()).unwrap();
    assert_eq!(shown(&adding)[0], "+ principal ana-growth@1");
    let added = state.with(&adding.definitions, now()).unwrap();
    assert_eq!(
        added.principal_by_token_sha256(&ana.token_sha256),
        Some(&ana)
    );
    // A programme says nothing of principals, so it does not retire them.
    assert!(plan(&added, &folder.programme()).unwrap().is_empty());

    let revoking = principal_revoked(&added, "ana-growth").unwrap();
    assert_eq!(shown(&revoking)[0], "~ principal ana-growth@2");
    let revoked = added.with(&revoking.definitions, now()).unwrap();
    assert_eq!(revoked.principal_by_token_sha256(&ana.token_sha256), None);
    assert!(revoked.principal("ana-growth").unwrap().revoked);

    // Neither name nor token are given again.
    let message = |state: &RegistryState, p: Principal| -> Vec<String> {
        principal_added(state, p)
            .unwrap_err()
            .into_iter()
            .map(|f| f.message)
            .collect()
    };
    assert_eq!(
        message(&revoked, ana.clone()),
        [
            "this name was given before; records of use name it for ever",
            "this token was given before",
        ]
    );
    assert_eq!(
        told(&principal_revoked(&revoked, "ana-growth").unwrap_err()),
        ["(principal ana-growth): this principal is revoked already | fix: nothing is to be done"]
    );
    assert!(principal_revoked(&revoked, "nobody").is_err());

    // The journal holds no token.
    let text = format!("{:?}", adding.definitions);
    assert!(!text.contains("token of"), "{text}");
    assert!(
        text.contains(&ana.token_sha256),
        "the control: the hash does stand there"
    );
}

#[test]
fn legal_duties_are_officers_and_purposes_exist() {
    let folder = Folder::new();
    folder.replace(
        SERVICE,
        "basis: contract",
        "basis: legal_duty\ncitation: A law",
    );
    let state = state(&folder);
    let messages = |role, purposes: &[&str]| -> Vec<String> {
        match principal_added(&state, principal("bo", role, purposes)) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.into_iter().map(|f| f.message).collect(),
        }
    };
    assert_eq!(
        messages(Role::Analyst, &["service", "nothing"]),
        [
            "the purpose nothing is not in force",
            "the purpose service rests on a legal duty, which is an officer's",
        ]
    );
    assert_eq!(messages(Role::Operator, &["service"]).len(), 1);
    assert!(messages(Role::Officer, &["service", "email"]).is_empty());

    let bad = Principal {
        token_sha256: "secret".to_owned(),
        ..principal("Bo", Role::Analyst, &[])
    };
    let faults = principal_added(&state, bad).unwrap_err();
    assert_eq!(faults.len(), 2);
    assert!(!told(&faults).join("").contains("secret"));
}

#[test]
fn the_fold_itself_refuses_what_no_plan_would_make() {
    let folder = Folder::new();
    let state = state(&folder);
    let current = state.history(DefinitionKind::Purpose, "service")[0]
        .definition
        .clone();
    let with = |change: &dyn Fn(&mut Definition)| {
        let mut definition = current.clone();
        definition.key.version = 2;
        definition.body["version"] = 2.into();
        change(&mut definition);
        state
            .with(&[definition], now())
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    assert_eq!(with(&|_| {}), Ok(()));
    for (change, expected) in [
        (
            Box::new(|d: &mut Definition| d.key.version = 1) as Box<dyn Fn(&mut Definition)>,
            "purpose service@1 cannot follow version 1",
        ),
        (
            Box::new(|d| d.key.version = 3),
            "purpose service@3 cannot follow version 1",
        ),
        (
            Box::new(|d| d.body["basis"] = "consent".into()),
            "purpose service@2 changes the legal basis from contract to consent",
        ),
        (
            Box::new(|d| d.body["id"] = "other".into()),
            "purpose service@2: its body names other@2",
        ),
        (
            Box::new(|d| d.body["limit"] = 7.into()),
            "unknown field `limit`",
        ),
        (
            Box::new(|d| d.body["k"] = 0.5.into()),
            "a body holds a fraction",
        ),
    ] {
        let error = with(&*change).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_example_of_a_plan_changes_email_only() {
    let folder = Folder::new();
    let state = state(&folder);
    folder.replace(
        EMAIL,
        "default_retention_days: 730",
        "default_retention_days: 365",
    );
    let plan = plan(&state, &folder.programme()).unwrap();
    assert_eq!((plan.count(Action::Update), plan.definitions.len()), (1, 1));
    assert_eq!(plan.parent, state.digest());
}
