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

#[test]
fn show() {
    for (file, from, to) in [
        (EMAIL, "channels: [email]", "chanels: [email]"),
        (EMAIL, "channels: [email]", "colour: red\nchannels: [email]"),
        (EMAIL, "basis: consent", "basis: legitimate_interest"),
        (EMAIL, "basis: consent", "basis: whim"),
        (EMAIL, "basis: consent", "basis: contract"),
        (EMAIL, "basis: consent", "basis: other_law"),
        (EMAIL, "basis: consent", "basis: legal_duty"),
        (EMAIL, "basis: consent", "basis: public_information"),
        (SERVICE, "basis: contract", "basis: emergency"),
        (SERVICE, "basis: contract", "basis: public_interest_news\ncitation: Some law"),
        (SERVICE, "basis: contract", "basis: legal_duty"),
        (EMAIL, "marketing: true", "marketing: maybe"),
        (EMAIL, "marketing: true", "marketing: true\nmarketing: true"),
        (EMAIL, "marketing: true", "parent: nobody"),
        (EMAIL, "marketing: true", "parent: email"),
        (EMAIL, "id: email", "id: E-mail"),
        (EMAIL, "id: email\n", ""),
        (EMAIL, "default_retention_days: 730\n", ""),
        (EMAIL, "default_retention_days: 730", "default_retention_days: 0"),
        (EMAIL, "default_retention_days: 730", "default_retention_days: two years"),
        (EMAIL, "default_retention_days: 730", "default_retention_days: 730\nretention_days: {helth: 3}"),
        (EMAIL, "default_retention_days: 730", "default_retention_days: 730\ngrant_validity_days: -1"),
        (EMAIL, "export_namespaces: [customer_no]", "export_namespaces: [customer_no, phone]"),
        (EMAIL, "export_namespaces: [customer_no]", "export_namespaces: [work_email]"),
        (EMAIL, "export_namespaces: [customer_no]", "export_namespaces: [wechat_openid]"),
        (EMAIL, "categories: [profile, transaction]", "categories: [profile, transaction, behaviour]"),
        (EMAIL, "categories: [profile, transaction]", "categories: [profile, transaction, transaction]"),
        (EMAIL, "categories: [profile, transaction]", "categories: profile"),
        (EMAIL, "categories: [profile, transaction]", "categories: []"),
        (EMAIL, "categories: [profile, transaction]", "categories: [profile, transaction]\nsensitive: [biometric]"),
        (EMAIL, "channels: [email]", "channels: [email, sms]"),
        (EMAIL, "title: {en: Letters}", "title: {en: ''}"),
        (EMAIL, "title: {en: Letters}", "title: 7"),
        (EMAIL, "title: {en: Letters}", "title: {en: [Letters"),
        (EMAIL, "marketing: true", "form: written"),
        (EMAIL, "marketing: true", "form: guardian"),
        (EMAIL, "marketing: true", "personalises: true"),
        (HEALTH, "form: separate\n", ""),
        (HEALTH, "sensitive: [health]\n", ""),
        (SHARING, "form: separate\n", ""),
        (SHARING, "recipients: [ads]\n", ""),
        (SHARING, "shares: true", "shares: false"),
        (SHARING, "recipients: [ads]", "recipients: [ads, broker]"),
        (EMAIL, "id: email", "id: letters"),
        (NOTICE, "  name: A shop\n", ""),
        (NOTICE, "handler:\n  name: A shop\n  contact: privacy@shop.example\n", ""),
        (NOTICE, "rights: Write to us.", "rights: ''"),
        (NOTICE, "    retention: Three years.\n", ""),
        (NOTICE, "        impact: It could embarrass.\n", ""),
        (NOTICE, "        contact: privacy@ads.example\n", ""),
        (NOTICE, "  en: We tell you everything.", "  en: ''"),
        (NOTICE, "texts:\n  en: We tell you everything.\n", ""),
        (NOTICE, "  en: We tell you everything.\n", "  en: We tell you everything.\nexemption: ''\n"),
        (NOTICE, "effective_from: 2024-01-01", "effective_from: soon"),
        (NOTICE, "change: material", "change: big"),
        (NOTICE, "version: 1", "version: 0"),
        (NOTICE, "version: 1", "version: one"),
        (NOTICE, "    method: A list a day.", "    methods: A list a day."),
        (NOTICE, "  email:\n    method: Sent", "  e_mail:\n    method: Sent"),
        (NOTICE, "    channels: [email]", "    channels: [email, fax]"),
        (NOTICE, "    categories: [profile, transaction]", "    categories: [profile, transaction, account]"),
        (NOTICE, "    personalises: true\n", ""),
        (SEGMENT, "FOR PURPOSE email", "FOR PURPOSE letters"),
        (SEGMENT, "CHANNEL email", "CHANNEL fax"),
        (SEGMENT, "CHANNEL email", "RECIPIENT ads"),
        (SEGMENT, "FOR PURPOSE email CHANNEL email", "FOR PURPOSE service CHANNEL email"),
        (SEGMENT, "CREATE SEGMENT", "CREATE VIEW"),
        (SEGMENT, ">= 3;", ">= 3; SELECT 1"),
        (TRAITS, "- name: city", "- name: purchases_total"),
        (TRAITS, "- name: city", "- name: member_id"),
        (TRAITS, "- name: city", "- name: work_email"),
        (TRAITS, "- name: city", "- name: City"),
        (TRAITS, "measure: count", "measure: median"),
        (TRAITS, "measure: count", "measure: {total: revenue}"),
        (TRAITS, "measure: {sum: revenue}", "measure: {sum: product}"),
        (TRAITS, "measure: {sum: revenue}", "measure: {sum: concern}"),
        (TRAITS, "measure: {sum: revenue}", "measure: last_at"),
        (TRAITS, "window_days: 90", "window_days: 0"),
        (TRAITS, "window_days: 90", "window_days: -7"),
        (TRAITS, "type: text", "type: string"),
        (TRAITS, "    sensitive: true\n", ""),
        (TRAITS, "    type: text\n    category: profile", "    type: text\n    category: profil"),
        (SOURCES, "'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'", "demo-browser-key"),
        (SOURCES, "'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'", "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'"),
        (SOURCES, "kind: browser", "kind: mobile"),
        (SOURCES, "kind: browser", "kind: server"),
        (SOURCES, "- id: pages", "- id: shop"),
        (SOURCES, "gpc_purposes: [sharing]", "gpc_purposes: [selling]"),
        (SOURCES, "{ads: sharing}", "{ads: selling}"),
        (SOURCES, "identifiers: {email: email}", "identifiers: {city: email}"),
        (SOURCES, "origins: [https://shop.example]", "identifiers: {email: email}"),
        (SOURCES, "origins: [https://shop.example]", "origins: ['*']"),
        (SETTINGS, "calendar: Asia/Shanghai", "calendar: Asia/Peking"),
        (SETTINGS, "k: 5", "k: 1"),
        (SETTINGS, "k: 5", "k: 5\nenabled_bases: [consent]"),
        (SETTINGS, "k: 5", "kk: 5"),
    ] {
        let folder = Folder::new();
        folder.replace(file, from, to);
        match folder.load() {
            Ok(_) => println!("@@ {file}|{from:?}|{to:?}\n!! NONE"),
            Err(f) => {
                println!("@@ {file}|{from:?}|{to:?}");
                for line in told(&f) { println!("-- {line:?}"); }
            }
        }
    }
}
