//! Faults of purposes.

use crate::folder::{
    EMAIL, Folder, HEALTH, NOTICE, SERVICE, SETTINGS, SHARING, SOURCES, TRAITS, told,
};
use crate::{Case, check, spoilt};

#[test]
fn what_is_wrong_with_a_purpose() {
    check(&[
        Case(
            EMAIL,
            "channels: [email]",
            "chanels: [email]",
            &[
                "purposes/email.yaml:5:1: a purpose has no key `chanels` | fix: did you mean `channels`?",
            ],
        ),
        Case(
            EMAIL,
            "channels: [email]",
            "colour: red\nchannels: [email]",
            &[
                "purposes/email.yaml:5:1: a purpose has no key `colour` | fix: remove it; a purpose has the keys id, title, basis, citation, parent, categories, sensitive, personalises, channels, shares, recipients, form, grant_validity_days, default_retention_days, retention_days, reask_after_days, requires_known_age, marketing, export_namespaces",
            ],
        ),
        Case(
            EMAIL,
            "basis: consent",
            "basis: legitimate_interest",
            &[
                "purposes/email.yaml:3:8: basis: the PIPL has no legitimate interest (art. 13 lists seven bases) | fix: ask for consent or name the basis that applies",
            ],
        ),
        Case(
            EMAIL,
            "basis: consent",
            "basis: whim",
            &[
                "purposes/email.yaml:3:8: basis: unknown | fix: write one of consent, contract, legal_duty, emergency, public_interest_news, public_information, other_law",
            ],
        ),
        Case(
            EMAIL,
            "basis: consent",
            "basis: contract",
            &[
                "purposes/email.yaml:3:1: `basis`: marketing is never necessary for a contract (art. 13(1)(2)) | fix: use consent",
            ],
        ),
        Case(
            EMAIL,
            "basis: consent",
            "basis: other_law",
            &[
                "purposes/email.yaml:3:1: `citation`: art. 13(1)(7) needs the law or administrative regulation it relies on | fix: cite it",
            ],
        ),
        Case(
            EMAIL,
            "basis: consent",
            "basis: legal_duty",
            &[
                "purposes/email.yaml:3:1: legal_duty needs the law it relies on (art. 13(1)(3)) | fix: add `citation:` with the law and its article",
                "purposes/email.yaml:3:1: marketing under legal_duty: electronic marketing needs consent or a request whatever the basis (Advertising Law art. 43) | fix: use consent, or remove `marketing: true` if the purpose reaches nobody",
            ],
        ),
        Case(
            EMAIL,
            "basis: consent",
            "basis: public_information",
            &[
                "purposes/email.yaml:3:1: marketing under public_information: electronic marketing needs consent or a request whatever the basis (Advertising Law art. 43) | fix: use consent, or remove `marketing: true` if the purpose reaches nobody",
            ],
        ),
        Case(
            SERVICE,
            "basis: contract",
            "basis: emergency",
            &[
                "purposes/service.yaml:3:1: emergency is off by default (art. 13(1)(4)) | fix: add `enabled_bases: [emergency]` to settings.yaml, if that basis is really yours",
                "purposes/service.yaml:3:1: emergency needs the law it relies on (art. 13(1)(4)) | fix: add `citation:` with the law and its article",
            ],
        ),
        Case(
            SERVICE,
            "basis: contract",
            "basis: public_interest_news\ncitation: Some law",
            &[
                "purposes/service.yaml:3:1: public_interest_news is off by default (art. 13(1)(5)) | fix: add `enabled_bases: [public_interest_news]` to settings.yaml, if that basis is really yours",
            ],
        ),
        Case(
            SERVICE,
            "basis: contract",
            "basis: legal_duty",
            &[
                "purposes/service.yaml:3:1: legal_duty needs the law it relies on (art. 13(1)(3)) | fix: add `citation:` with the law and its article",
            ],
        ),
        Case(
            EMAIL,
            "marketing: true",
            "marketing: maybe",
            &[
                "purposes/email.yaml:6:12: `marketing` is true or false, not text | fix: write true or false",
            ],
        ),
        Case(
            EMAIL,
            "marketing: true",
            "marketing: true\nmarketing: true",
            &[
                "purposes/email.yaml:7:1: `marketing` stands twice, first on line 6 | fix: keep one of them",
            ],
        ),
        Case(
            EMAIL,
            "marketing: true",
            "parent: nobody",
            &[
                "purposes/email.yaml:6:1: the parent nobody is not defined | fix: name one of advice, service, sharing, or leave `parent:` out",
            ],
        ),
        Case(
            EMAIL,
            "marketing: true",
            "parent: email",
            &[
                "purposes/email.yaml:6:1: `parent`: the purpose is its own parent | fix: name another purpose or leave the field out",
            ],
        ),
        Case(
            EMAIL,
            "id: email",
            "id: E-mail",
            &[
                "notices/terms.v1.yaml:15:3: the notice lists email, which is not defined | fix: define it, correct the name (defined are advice, service, sharing), or publish a version without it",
                "purposes/email.yaml:1:5: purpose: not a valid name | fix: write a lower-case letter followed by at most 63 lower-case letters, digits or underscores, such as email_marketing",
                "segments/regulars.sql:3:15: the purpose email is not defined | fix: name one of advice, service, sharing",
            ],
        ),
        Case(
            EMAIL,
            "id: email\n",
            "",
            &[
                "purposes/email.yaml:1:1: a purpose needs `id` | fix: add `id:` with the purpose's name",
            ],
        ),
        Case(
            EMAIL,
            "default_retention_days: 730\n",
            "",
            &[
                "purposes/email.yaml:1:1: a purpose needs `default_retention_days` | fix: add `default_retention_days:`, the shortest time the purpose needs (art. 19)",
            ],
        ),
        Case(
            EMAIL,
            "default_retention_days: 730",
            "default_retention_days: 0",
            &[
                "purposes/email.yaml:7:25: `default_retention_days` is 0; it must lie between 1 and 36525 | fix: write a number in that range, or leave the key out if it may be absent",
            ],
        ),
        Case(
            EMAIL,
            "default_retention_days: 730",
            "default_retention_days: two years",
            &[
                "purposes/email.yaml:7:25: `default_retention_days` is a whole number, not text | fix: write it in digits, without quotes",
            ],
        ),
        Case(
            EMAIL,
            "default_retention_days: 730",
            "default_retention_days: 730\nretention_days: {helth: 3}",
            &[
                "purposes/email.yaml:8:18: `retention_days`: helth is not among the purpose's categories | fix: leave it out or list it under categories, too",
            ],
        ),
        Case(
            EMAIL,
            "default_retention_days: 730",
            "default_retention_days: 730\ngrant_validity_days: -1",
            &[
                "purposes/email.yaml:8:22: `grant_validity_days` is -1; it must lie between 1 and 36525 | fix: write a number in that range, or leave the key out if it may be absent",
            ],
        ),
        Case(
            EMAIL,
            "export_namespaces: [customer_no]",
            "export_namespaces: [customer_no, phone]",
            &[
                "purposes/email.yaml:8:34: exports may not carry phone: it identifies people directly | fix: export a number of your own, such as customer_no; addresses are used at delivery only",
            ],
        ),
        Case(
            EMAIL,
            "export_namespaces: [customer_no]",
            "export_namespaces: [work_email]",
            &[
                "purposes/email.yaml:8:21: exports may not carry work_email: it identifies people directly | fix: export a number of your own, such as customer_no; addresses are used at delivery only",
            ],
        ),
        Case(
            EMAIL,
            "export_namespaces: [customer_no]",
            "export_namespaces: [wechat_openid]",
            &[
                "purposes/email.yaml:8:21: exports may not carry wechat_openid: it identifies people directly | fix: export a number of your own, such as customer_no; addresses are used at delivery only",
            ],
        ),
        Case(
            EMAIL,
            "categories: [profile, transaction]",
            "categories: [profile, transaction, behaviour]",
            &[
                "purposes/email.yaml:4:36: no notice tells people of behaviour under categories (art. 17(1)(2)) | fix: list it under `categories:` of the purpose in a new version of its notice, or leave it out here",
            ],
        ),
        Case(
            EMAIL,
            "categories: [profile, transaction]",
            "categories: [profile, transaction, transaction]",
            &[
                "purposes/email.yaml:4:36: `categories` names the same twice | fix: keep one of them",
            ],
        ),
        Case(
            EMAIL,
            "categories: [profile, transaction]",
            "categories: profile",
            &[
                "purposes/email.yaml:4:13: `categories` is a list, not text | fix: write it as [one, two] or as lines that begin with `- `",
            ],
        ),
        Case(
            EMAIL,
            "categories: [profile, transaction]",
            "categories: []",
            &[
                "notices/terms.v1.yaml:17:18: profile is none of the categories of email, which has none | fix: correct the name, leave it out, or add it to the purpose's `categories:`",
                "notices/terms.v1.yaml:17:27: transaction is none of the categories of email, which has none | fix: correct the name, leave it out, or add it to the purpose's `categories:`",
                "purposes/email.yaml:4:1: `categories`: is empty: the purpose could read nothing | fix: list the categories of data it needs (art. 6)",
            ],
        ),
        Case(
            EMAIL,
            "categories: [profile, transaction]",
            "categories: [profile, transaction]\nsensitive: [biometric]",
            &[
                "purposes/email.yaml:5:1: sensitive categories need separate consent (art. 29) | fix: write `form: separate`, or leave the sensitive categories out",
                "purposes/email.yaml:5:13: `sensitive`: biometric is not among the purpose's categories | fix: list it under categories, too, or leave it out",
            ],
        ),
        Case(
            EMAIL,
            "channels: [email]",
            "channels: [email, sms]",
            &[
                "purposes/email.yaml:5:19: no notice tells people of sms under channels (art. 17(1)(2)) | fix: list it under `channels:` of the purpose in a new version of its notice, or leave it out here",
            ],
        ),
        Case(
            EMAIL,
            "title: {en: Letters}",
            "title: {en: ''}",
            &["purposes/email.yaml:2:13: `en` is empty | fix: write what it should say"],
        ),
        Case(
            EMAIL,
            "title: {en: Letters}",
            "title: 7",
            &[
                "purposes/email.yaml:2:8: `title` is a mapping, not a number | fix: write it as lines of `name: value`, indented",
            ],
        ),
        Case(
            EMAIL,
            "title: {en: Letters}",
            "title: {en: [Letters",
            &[
                "purposes/email.yaml:3:6: this is not well-formed YAML: illegal placement of ':' indicator at line 3, column 6 | fix: check indentation, quotes and brackets here and just above",
            ],
        ),
        Case(
            EMAIL,
            "marketing: true",
            "form: written",
            &[
                "purposes/email.yaml:6:1: `form`: written consent is asked for only where a statute or administrative regulation says so (art. 29) | fix: cite it under citation or write separate",
            ],
        ),
        Case(
            EMAIL,
            "marketing: true",
            "form: guardian",
            &[
                "purposes/email.yaml:6:1: `form`: guardian is a form of grants for children, not one a purpose asks for (art. 31) | fix: write general, separate or written",
            ],
        ),
        Case(
            EMAIL,
            "marketing: true",
            "personalises: true",
            &[
                "purposes/email.yaml:6:1: no notice tells people that this purpose personalises (art. 24) | fix: say `personalises: true` of the purpose in a new version of its notice",
            ],
        ),
        Case(
            HEALTH,
            "form: separate\n",
            "",
            &[
                "purposes/health.yaml:5:1: sensitive categories need separate consent (art. 29) | fix: write `form: separate`, or leave the sensitive categories out",
            ],
        ),
        Case(
            HEALTH,
            "sensitive: [health]\n",
            "",
            &[
                "notices/terms.v1.yaml:35:7: the notice calls health sensitive, the purpose advice does not | fix: list health under `sensitive:` of the purpose",
                "purposes/health.yaml:4:23: health is sensitive: art. 28 names it, but the purpose does not say so | fix: list health under `sensitive:`, too, or leave it out (art. 28)",
            ],
        ),
        Case(
            SHARING,
            "form: separate\n",
            "",
            &[
                "purposes/sharing.yaml:6:1: providing data to another handler needs separate consent (art. 23) | fix: write `form: separate`",
            ],
        ),
        Case(
            SHARING,
            "recipients: [ads]\n",
            "",
            &[
                "purposes/sharing.yaml:5:9: a purpose that shares names no recipient (art. 23) | fix: list the other handlers under `recipients:`",
            ],
        ),
        Case(
            SHARING,
            "shares: true",
            "shares: false",
            &[
                "purposes/sharing.yaml:5:9: a purpose that does not share lists recipients | fix: remove `recipients:`, or say `shares: true`",
            ],
        ),
        Case(
            SHARING,
            "recipients: [ads]",
            "recipients: [ads, broker]",
            &[
                "purposes/sharing.yaml:6:19: no notice tells people of broker under recipients (art. 23) | fix: add name, contact, purpose, method and categories under `recipients:` of the purpose in a new version of its notice, or leave it out here",
            ],
        ),
        Case(
            EMAIL,
            "id: email",
            "id: letters",
            &[
                "notices/terms.v1.yaml:15:3: the notice lists email, which is not defined | fix: define it, correct the name (defined are advice, letters, service, sharing), or publish a version without it",
                "purposes/email.yaml:1:1: no notice lists letters, so nobody has been told (art. 17) | fix: list it under `purposes:` of a notice; one with `exemption:` if a law allows silence",
                "segments/regulars.sql:3:15: the purpose email is not defined | fix: name one of advice, letters, service, sharing",
            ],
        ),
    ]);
}

#[test]
fn parents_that_lead_back_are_a_fault_of_each() {
    let folder = Folder::new();
    folder.replace(EMAIL, "marketing: true", "marketing: true\nparent: sharing");
    folder.replace(SHARING, "shares: true", "shares: true\nparent: email");
    assert_eq!(
        told(&folder.load().unwrap_err()),
        [
            "purposes/email.yaml:7:1: following the parents of email leads back to it | fix: leave `parent:` out \
         of one of them",
            "purposes/sharing.yaml:6:1: following the parents of sharing leads back to it | fix: leave `parent:` \
         out of one of them",
        ]
    );
}

#[test]
fn emergency_works_when_it_is_enabled_and_cited() {
    let folder = Folder::new();
    folder.replace(
        SERVICE,
        "basis: contract",
        "basis: emergency\ncitation: Emergency Response Law art. 1",
    );
    folder.replace(SETTINGS, "k: 5", "k: 5\nenabled_bases: [emergency]");
    folder.programme();
}

#[test]
fn a_category_is_sensitive_because_a_trait_or_a_property_says_so() {
    for (file, from, to, why) in [
        (
            TRAITS,
            "  - name: city\n    type: text\n",
            "  - name: city\n    type: text\n    sensitive: true\n",
            "the trait city declares it",
        ),
        (
            SOURCES,
            "{concern: health}",
            "{concern: profile}",
            "the property concern of source shop declares it",
        ),
    ] {
        let faults = spoilt(file, from, to);
        let expected = format!(
            "purposes/email.yaml:4:14: profile is sensitive: {why}, but the purpose does not say so | fix: \
             list profile under `sensitive:`, too, or leave it out (art. 28)"
        );
        assert!(faults.contains(&expected), "{faults:?}");
    }
}

#[test]
fn a_category_that_no_data_is_of_is_a_slip_of_the_pen() {
    let said = |category: &str| {
        let folder = Folder::new();
        let list = format!("categories: [profile, {category}]");
        folder.replace(EMAIL, "categories: [profile, transaction]", &list);
        // The notice has the same slip, so the two agree.
        folder.replace(NOTICE, "categories: [profile, transaction]", &list);
        folder
    };
    assert_eq!(
        told(&said("transactions").load().unwrap_err()),
        [
            "purposes/email.yaml:4:23: no data is of the category transactions | fix: did you mean `transaction`?"
        ]
    );
    let far = told(&said("loyalty").load().unwrap_err());
    assert_eq!(far.len(), 1, "{far:?}");
    assert!(
        far[0].contains("name one of account, behaviour,"),
        "{far:?}"
    );
    // Fields of events and what the law names are known; so is what a trait or a property is of.
    for known in ["subscription", "contact", "behaviour"] {
        said(known).programme();
    }
    let folder = said("loyalty");
    folder.replace(TRAITS, "    category: profile\n", "    category: loyalty\n");
    folder.programme();
    // What could not be read may have declared it.
    let folder = said("loyalty");
    folder.replace(TRAITS, "window_days: 90", "window_days: 0");
    let faults = told(&folder.load().unwrap_err());
    assert!(
        faults.iter().all(|fault| !fault.contains("no data is of")),
        "{faults:?}"
    );
}
