//! Faults of segments, traits, sources and settings.

use crate::folder::{Folder, NOTICE, SEGMENT, SERVICE, SETTINGS, SHARING, SOURCES, TRAITS, told};
use crate::{Case, check, spoilt};

#[test]
fn what_is_wrong_with_a_segment() {
    check(&[
        Case(
            SEGMENT,
            "FOR PURPOSE email",
            "FOR PURPOSE letters",
            &[
                "segments/regulars.sql:3:15: the purpose letters is not defined | fix: name one of advice, email, service, sharing",
            ],
        ),
        Case(
            SEGMENT,
            "CHANNEL email",
            "CHANNEL fax",
            &[
                "segments/regulars.sql:3:29: the purpose email has no channel fax | fix: name one of email",
            ],
        ),
        Case(
            SEGMENT,
            "CHANNEL email",
            "RECIPIENT ads",
            &[
                "segments/regulars.sql:3:31: the purpose email has no recipient ads | fix: remove the RECIPIENT clause; the purpose shares with nobody",
            ],
        ),
        Case(
            SEGMENT,
            "FOR PURPOSE email CHANNEL email",
            "FOR PURPOSE service CHANNEL email",
            &[
                "segments/regulars.sql:3:31: the purpose service has no channel email | fix: name one of sms",
            ],
        ),
        Case(
            SEGMENT,
            "CREATE SEGMENT",
            "CREATE VIEW",
            &[
                "segments/regulars.sql:2:8: expected SEGMENT, found `VIEW` | fix: write: CREATE SEGMENT name FOR PURPOSE purpose [CHANNEL channel] [RECIPIENT recipient] AS SELECT …",
            ],
        ),
        Case(
            SEGMENT,
            ">= 3;",
            ">= 3; SELECT 1",
            &[
                "segments/regulars.sql:5:34: something follows the end of the segment | fix: put each segment into a file of its own",
            ],
        ),
    ]);
}

#[test]
fn several_recipients_need_a_choice() {
    let folder = Folder::new();
    folder.replace(SHARING, "recipients: [ads]", "recipients: [ads, label]");
    folder.replace(
        NOTICE,
        "      ads:\n",
        "      label:
        name: A label
        contact: privacy@label.example
        purpose: Planning.
        method: Counting.
        categories: [transaction]
      ads:\n",
    );
    folder.write(
        "segments/shared.sql",
        "CREATE SEGMENT shared\n  FOR PURPOSE sharing\n  AS SELECT 1",
    );
    assert_eq!(
        told(&folder.load().unwrap_err()),
        [
            "segments/shared.sql:2:15: the purpose sharing has several recipients and the segment names none | \
         fix: add RECIPIENT with one of ads, label (art. 23)"
        ]
    );
    folder.replace(
        "segments/shared.sql",
        "sharing\n",
        "sharing RECIPIENT label\n",
    );
    folder.programme();
}

#[test]
fn several_channels_need_a_choice() {
    let folder = Folder::new();
    folder.replace(SERVICE, "[sms]", "[email, sms]");
    folder.replace(NOTICE, "[sms]", "[email, sms]");
    folder.write(
        "segments/served.sql",
        "CREATE SEGMENT served\n  FOR PURPOSE service\n  AS SELECT 1",
    );
    assert_eq!(
        told(&folder.load().unwrap_err()),
        [
            "segments/served.sql:2:15: the purpose service has several channels and the segment names none | \
         fix: add CHANNEL with one of email, sms: people refuse channels one by one"
        ]
    );
    folder.replace("segments/served.sql", "service\n", "service CHANNEL sms\n");
    folder.programme();
    // Of one channel, or none, there is nothing to choose.
    folder.replace(SERVICE, "[email, sms]", "[sms]");
    folder.replace(NOTICE, "[email, sms]", "[sms]");
    folder.replace("segments/served.sql", " CHANNEL sms", "");
    folder.programme();
}

#[test]
fn what_is_wrong_with_a_trait() {
    check(&[
        Case(
            TRAITS,
            "- name: city",
            "- name: purchases_total",
            &[
                "traits.yaml:10:5: the trait purchases_total stands twice, first under identified | fix: give one of them another name: both would be the same column",
            ],
        ),
        Case(
            TRAITS,
            "- name: city",
            "- name: member_id",
            &[
                "traits.yaml:2:5: member_id is a column of every member | fix: give the trait another name",
            ],
        ),
        Case(
            TRAITS,
            "- name: city",
            "- name: work_email",
            &[
                "traits.yaml:2:5: work_email identifies people directly and is never a column | fix: list it under `identifiers:` of the source, with its namespace",
            ],
        ),
        Case(
            TRAITS,
            "- name: city",
            "- name: City",
            &[
                "traits.yaml:2:11: this is not a valid name | fix: write a lower-case letter followed by at most 63 lower-case letters, digits or underscores",
            ],
        ),
        Case(
            TRAITS,
            "measure: count",
            "measure: median",
            &[
                "traits.yaml:12:14: this is no measure | fix: write count, first_at, last_at, days_since_last, `sum: PROPERTY`, `first_value: PROPERTY` or `last_value: PROPERTY`",
            ],
        ),
        Case(
            TRAITS,
            "measure: count",
            "measure: {total: revenue}",
            &[
                "traits.yaml:12:14: this is no measure | fix: write count, first_at, last_at, days_since_last, `sum: PROPERTY`, `first_value: PROPERTY` or `last_value: PROPERTY`",
            ],
        ),
        Case(
            TRAITS,
            "measure: {sum: revenue}",
            "measure: {sum: product}",
            &[
                "traits.yaml:16:5: product is text and cannot be summed | fix: sum revenue, quantity or a property that holds numbers",
            ],
        ),
        Case(
            TRAITS,
            "measure: {sum: revenue}",
            "measure: {sum: concern}",
            &[
                "traits.yaml:14:5: the property concern is sensitive (source shop), the trait is not | fix: add `sensitive: true`",
                "traits.yaml:18:5: the property concern has category health, the trait transaction | fix: write `category: health`",
            ],
        ),
        Case(
            TRAITS,
            "measure: {sum: revenue}",
            "measure: last_at",
            &[
                "traits.yaml:17:18: the measure last_at takes no window | fix: remove `window_days`; only count and sum are kept by day",
            ],
        ),
        Case(
            TRAITS,
            "window_days: 90",
            "window_days: 0",
            &[
                "traits.yaml:17:18: `window_days` is 0; it must lie between 1 and 3653 | fix: write a number in that range, or leave the key out if it may be absent",
            ],
        ),
        Case(
            TRAITS,
            "window_days: 90",
            "window_days: -7",
            &[
                "traits.yaml:17:18: `window_days` is -7; it must lie between 1 and 3653 | fix: write a number in that range, or leave the key out if it may be absent",
            ],
        ),
        Case(
            TRAITS,
            "type: text",
            "type: string",
            &[
                "traits.yaml:3:11: this is no type of trait | fix: write one of text, number, integer, boolean, date, timestamp",
            ],
        ),
        Case(
            TRAITS,
            "    sensitive: true\n",
            "",
            &[
                "traits.yaml:7:5: health is sensitive (art. 28), the trait does not say so | fix: add `sensitive: true`",
            ],
        ),
        Case(
            TRAITS,
            "    type: text\n    category: profile",
            "    type: text\n    category: profil",
            &[
                "traits.yaml:4:5: no purpose may read profil, so the column would always be empty | fix: name one of health, profile, transaction, or add it to a purpose",
            ],
        ),
    ]);
}

#[test]
fn a_trait_never_takes_the_name_of_a_part_of_a_column_or_of_an_id() {
    for (name, message) in [
        (
            "score__at",
            "score__at has two underscores in a row, which mark parts of a column | fix: write a single underscore",
        ),
        (
            "member",
            "member is a column of every member | fix: give the trait another name",
        ),
        (
            "account_id",
            "account_id is a column of every member | fix: give the trait another name",
        ),
        (
            "subscription_id",
            "subscription_id is a column of every member | fix: give the trait another name",
        ),
    ] {
        let faults = spoilt(TRAITS, "- name: city", &format!("- name: {name}"));
        assert_eq!(faults, [format!("traits.yaml:2:5: {message}")]);
    }
}

#[test]
fn what_identifies_people_is_no_column_of_any_type_and_by_no_way() {
    let fix = "list it under `identifiers:` of the source, with its namespace";
    for r#type in ["text", "number", "integer"] {
        let folder = Folder::new();
        let spoilt = format!("- name: mobile\n    type: {type}");
        folder.replace(TRAITS, "- name: city\n    type: text", &spoilt);
        assert_eq!(
            told(&folder.load().unwrap_err()),
            [format!(
                "traits.yaml:2:5: mobile identifies people directly and is never a column | fix: {fix}"
            )]
        );
    }
    // Whether there is one tells nobody which.
    let folder = Folder::new();
    let flag = "- name: mobile\n    type: boolean";
    folder.replace(TRAITS, "- name: city\n    type: text", flag);
    folder.programme();
    for (measure, line) in [
        ("{last_value: workEmail}", 16),
        ("{first_value: Phone}", 16),
        ("{sum: mobile}", 16),
    ] {
        let faults = spoilt(
            TRAITS,
            "measure: {sum: revenue}\n    window_days: 90",
            &format!("measure: {measure}"),
        );
        let property = measure.split([' ', '}']).nth(1).unwrap();
        assert_eq!(
            faults,
            [format!(
                "traits.yaml:{line}:5: {property} identifies people directly and is never a column | fix: {fix}"
            )]
        );
    }
    let faults = spoilt(
        TRAITS,
        "- name: revenue_90d\n    event: Order Completed\n    measure: {sum: revenue}\n    window_days: 90",
        "- name: last_phone\n    event: Order Completed\n    measure: {last_value: contact}",
    );
    assert_eq!(
        faults,
        [format!(
            "traits.yaml:14:5: last_phone identifies people directly and is never a column | fix: {fix}"
        )]
    );
    // What a source declares is as direct as what the words say.
    let folder = Folder::new();
    folder.replace(SOURCES, "{email: email}", "{Loyalty: customer_no}");
    folder.replace(TRAITS, "measure: {sum: revenue}", "measure: {sum: loyalty}");
    assert_eq!(
        told(&folder.load().unwrap_err()),
        [
            "traits.yaml:16:5: loyalty is an identifier (source shop) | fix: read another property: identifiers are sealed and never columns"
        ]
    );
}

#[test]
fn what_a_trait_reads_is_compared_as_intake_compares_it_over_every_source() {
    // The second source, in another case.
    let folder = Folder::new();
    folder.replace(
        SOURCES,
        "origins: [https://shop.example]",
        "sensitive_properties: {Mood: health}",
    );
    folder.replace(TRAITS, "measure: {sum: revenue}", "measure: {sum: mood}");
    assert_eq!(
        told(&folder.load().unwrap_err()),
        [
            "traits.yaml:14:5: the property mood is sensitive (source pages), the trait is not | fix: add `sensitive: true`",
            "traits.yaml:16:5: the property is declared as Mood and kept under that name | fix: write `Mood`",
            "traits.yaml:18:5: the property mood has category health, the trait transaction | fix: write `category: health`",
        ]
    );
    // Two categories feed it.
    let folder = Folder::new();
    folder.replace(
        SOURCES,
        "origins: [https://shop.example]",
        "sensitive_properties: {concern: biometric}",
    );
    folder.replace(
        TRAITS,
        "measure: {sum: revenue}\n    window_days: 90\n    category: transaction",
        "measure: {sum: concern}\n    window_days: 90\n    category: health\n    sensitive: true",
    );
    assert_eq!(
        told(&folder.load().unwrap_err()),
        [
            "traits.yaml:16:5: the property concern has several categories: biometric, health | fix: give it one category in every source, or name the properties apart"
        ]
    );
    // Two spellings would be two columns of one thing.
    let faults = spoilt(
        SOURCES,
        "origins: [https://shop.example]",
        "sensitive_properties: {Concern: health}",
    );
    assert_eq!(
        faults,
        [
            "sources.yaml:7:28: concern is the same property as Concern of source pages | fix: write `Concern`: it is kept under one name, whatever its case"
        ]
    );
}

#[test]
fn what_is_wrong_with_a_source() {
    check(&[
        Case(
            SOURCES,
            "'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'",
            "demo-browser-key",
            &[
                "sources.yaml:10:23: this is not a SHA-256 | fix: write the 64 lower-case hex digits that `printf %s KEY | sha256sum` prints, in quotes, never the key itself",
            ],
        ),
        Case(
            SOURCES,
            "'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'",
            "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'",
            &[
                "sources.yaml:8:5: shop and pages have the same write key | fix: give each source a key of its own, or nobody can tell who wrote",
            ],
        ),
        Case(
            SOURCES,
            "kind: browser",
            "kind: mobile",
            &[
                "sources.yaml:9:11: `kind` is neither browser nor server | fix: write browser if anybody can read the key, server if only services of yours can",
            ],
        ),
        Case(
            SOURCES,
            "kind: browser",
            "kind: server",
            &[
                "sources.yaml:12:14: a server source lists web origins, so its secret key would live in pages | fix: remove `origins`, or make it a browser source with a key of its own",
            ],
        ),
        Case(
            SOURCES,
            "- id: pages",
            "- id: shop",
            &["sources.yaml:8:5: the source shop stands twice | fix: keep one of them"],
        ),
        Case(
            SOURCES,
            "gpc_purposes: [sharing]",
            "gpc_purposes: [selling]",
            &[
                "sources.yaml:13:20: the purpose selling is not defined | fix: name one of advice, email, service, sharing",
            ],
        ),
        Case(
            SOURCES,
            "{ads: sharing}",
            "{ads: selling}",
            &[
                "sources.yaml:14:26: the purpose selling is not defined | fix: name one of advice, email, service, sharing",
            ],
        ),
        Case(
            SOURCES,
            "identifiers: {email: email}",
            "identifiers: {city: email}",
            &[
                "sources.yaml:6:19: city is a column (traits.yaml) and an identifier at once | fix: keep one: identifiers are sealed and never columns",
            ],
        ),
        Case(
            SOURCES,
            "origins: [https://shop.example]",
            "identifiers: {email: email}",
            &[
                "sources.yaml:12:5: a browser source names identifiers, but anybody may hold its key | fix: remove `identifiers`; links of known people come from a server source",
            ],
        ),
        Case(
            SOURCES,
            "origins: [https://shop.example]",
            "origins: ['*']",
            &[
                "sources.yaml:12:15: this is no web origin | fix: write scheme and host, such as https://www.example.com, without path or wildcard",
            ],
        ),
    ]);
}

#[test]
fn what_is_wrong_with_settings() {
    check(&[
        Case(
            SETTINGS,
            "calendar: Asia/Shanghai",
            "calendar: Asia/Peking",
            &[
                "settings.yaml:1:11: calendar: unknown time zone \"Asia/Peking\" | fix: name one of the IANA database, such as Asia/Shanghai",
            ],
        ),
        Case(
            SETTINGS,
            "k: 5",
            "k: 1",
            &[
                "settings.yaml:2:4: a k of 1 suppresses nothing | fix: write 5, or another number from 2 up",
            ],
        ),
        Case(
            SETTINGS,
            "k: 5",
            "k: 5\nenabled_bases: [consent]",
            &[
                "settings.yaml:3:17: consent is always enabled | fix: list only emergency and public_interest_news, which are off by default",
            ],
        ),
        Case(
            SETTINGS,
            "k: 5",
            "k: 5\nphone_calling_code: 1000",
            &[
                "settings.yaml:3:21: `phone_calling_code` is 1000; it must lie between 1 and 999 | fix: write a number in that range, or leave the key out if it may be absent",
            ],
        ),
        Case(
            SETTINGS,
            "k: 5",
            "kk: 5",
            &["settings.yaml:2:1: settings has no key `kk` | fix: did you mean `k`?"],
        ),
    ]);
}
