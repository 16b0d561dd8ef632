//! Faults of notices.

use crate::folder::{EMAIL, Folder, NOTICE, NOTICE_2, SEGMENT, told};
use crate::{Case, check};

#[test]
fn what_is_wrong_with_a_notice() {
    check(&[
        Case(
            NOTICE,
            "  name: A shop\n",
            "",
            &[
                "notices/terms.v1.yaml:5:1: `handler.name` is missing or empty (art. 17(1)(1)) | fix: name the handler",
            ],
        ),
        Case(
            NOTICE,
            "handler:\n  name: A shop\n  contact: privacy@shop.example\n",
            "",
            &[
                "notices/terms.v1.yaml:1:1: `handler.contact` is missing or empty (art. 17(1)(1)) | fix: say how to reach the handler",
                "notices/terms.v1.yaml:1:1: `handler.name` is missing or empty (art. 17(1)(1)) | fix: name the handler",
            ],
        ),
        Case(
            NOTICE,
            "rights: Write to us.",
            "rights: ''",
            &[
                "notices/terms.v1.yaml:8:1: `rights` is missing or empty (art. 17(1)(3)) | fix: say how people exercise their rights and by what procedure",
            ],
        ),
        Case(
            NOTICE,
            "    retention: Three years.\n",
            "",
            &[
                "notices/terms.v1.yaml:10:3: `purposes.service.retention` is missing or empty (art. 17(1)(2)) | fix: say how long data is kept, or how that is determined, and what happens then",
            ],
        ),
        Case(
            NOTICE,
            "        impact: It could embarrass.\n",
            "",
            &[
                "notices/terms.v1.yaml:35:7: `purposes.advice.sensitive.health.impact` is missing or empty (art. 30) | fix: say how handling it affects people's rights and interests",
            ],
        ),
        Case(
            NOTICE,
            "        contact: privacy@ads.example\n",
            "",
            &[
                "notices/terms.v1.yaml:24:7: `purposes.sharing.recipients.ads.contact` is missing or empty (art. 23) | fix: say how to reach the recipient",
            ],
        ),
        Case(
            NOTICE,
            "  en: We tell you everything.",
            "  en: ''",
            &[
                "notices/terms.v1.yaml:41:3: `texts.en` is missing or empty (art. 17(1)) | fix: write the text shown or leave the language out",
            ],
        ),
        Case(
            NOTICE,
            "texts:\n  en: We tell you everything.\n",
            "",
            &[
                "notices/terms.v1.yaml:1:1: `texts` is missing or empty (art. 17(1)) | fix: add the text shown, in at least one language",
            ],
        ),
        Case(
            NOTICE,
            "  en: We tell you everything.\n",
            "  en: We tell you everything.\nexemption: ''\n",
            &[
                "notices/terms.v1.yaml:42:1: `exemption` is missing or empty (art. 18) | fix: cite the law that allows not telling people, or leave the field out",
            ],
        ),
        Case(
            NOTICE,
            "effective_from: 2024-01-01",
            "effective_from: soon",
            &[
                "notices/terms.v1.yaml:4:17: `effective_from` is neither a day nor an instant | fix: write a day such as 2026-03-01 or an instant such as 2026-03-01T08:00:00+08:00",
            ],
        ),
        Case(
            NOTICE,
            "change: material",
            "change: big",
            &[
                "notices/terms.v1.yaml:3:9: `change` is neither material nor editorial | fix: write material if purpose, method or categories differ from the version before (art. 14), editorial otherwise",
            ],
        ),
        Case(
            NOTICE,
            "version: 1",
            "version: 0",
            &[
                "notices/terms.v1.yaml:2:10: `version` is 0; it must lie between 1 and 4294967295 | fix: write a number in that range, or leave the key out if it may be absent",
            ],
        ),
        Case(
            NOTICE,
            "version: 1",
            "version: one",
            &[
                "notices/terms.v1.yaml:2:10: `version` is a whole number, not text | fix: write it in digits, without quotes",
            ],
        ),
        Case(
            NOTICE,
            "    method: A list a day.",
            "    methods: A list a day.",
            &[
                "notices/terms.v1.yaml:20:3: `purposes.sharing.method` is missing or empty (art. 17(1)(2)) | fix: say how data is handled",
                "notices/terms.v1.yaml:21:5: a purpose in a notice has no key `methods` | fix: did you mean `method`?",
            ],
        ),
        Case(
            NOTICE,
            "  email:\n    method: Sent",
            "  e_mail:\n    method: Sent",
            &[
                "notices/terms.v1.yaml:15:3: the notice lists e_mail, which is not defined | fix: define it, correct the name (defined are advice, email, service, sharing), or publish a version without it",
                "purposes/email.yaml:1:1: no notice lists email, so nobody has been told (art. 17) | fix: list it under `purposes:` of a notice; one with `exemption:` if a law allows silence",
            ],
        ),
        Case(
            NOTICE,
            "    channels: [email]",
            "    channels: [email, fax]",
            &[
                "notices/terms.v1.yaml:18:23: fax is none of the channels of email, which has email | fix: correct the name, leave it out, or add it to the purpose's `channels:`",
            ],
        ),
        Case(
            NOTICE,
            "    categories: [profile, transaction]",
            "    categories: [profile, transaction, account]",
            &[
                "notices/terms.v1.yaml:17:40: account is none of the categories of email, which has profile, transaction | fix: correct the name, leave it out, or add it to the purpose's `categories:`",
            ],
        ),
        Case(
            NOTICE,
            "    personalises: true\n",
            "",
            &[
                "purposes/health.yaml:6:1: no notice tells people that this purpose personalises (art. 24) | fix: say `personalises: true` of the purpose in a new version of its notice",
            ],
        ),
    ]);
}

#[test]
fn a_notice_called_editorial_changes_nothing_that_people_decided_on() {
    for (from, to, what) in [
        (
            "method: Sent by us.",
            "method: Sent by an agency.",
            "the methods",
        ),
        ("    channels: [email]", "    channels: []", "the channels"),
        (
            "        contact: privacy@ads.example",
            "        contact: ads.example",
            "the recipients",
        ),
    ] {
        let folder = Folder::new();
        folder.second_notice(&[("change: material", "change: editorial"), (from, to)]);
        assert_eq!(
            told(&folder.load().unwrap_err()),
            [format!(
                "notices/terms.v2.yaml:3:1: it is called editorial, but {what} differ from terms@1 | fix: write \
             `change: material`: people must be asked anew (art. 14)"
            )]
        );
        folder.second_notice(&[(from, to)]);
        folder.programme();
    }
    let folder = Folder::new();
    folder.second_notice(&[
        ("change: material", "change: editorial"),
        (
            "We tell you everything.",
            "We tell you everything, plainly.",
        ),
    ]);
    folder.programme();
}

#[test]
fn a_later_version_takes_effect_later() {
    let folder = Folder::new();
    folder.second_notice(&[]);
    folder.replace(NOTICE_2, "2025-01-01", "2023-01-01");
    assert_eq!(
        told(&folder.load().unwrap_err()),
        [
            "notices/terms.v2.yaml:4:1: it takes effect before terms@1 does (2023-12-31T16:00:00Z) | fix: let a \
         later version take effect later"
        ]
    );
}

#[test]
fn an_older_notice_may_speak_of_a_purpose_that_has_ended() {
    let folder = Folder::new();
    folder.second_notice(&[(
        "  email:
    method: Sent by us.
    categories: [profile, transaction]
    channels: [email]
    retention: Two years.
",
        "",
    )]);
    folder.remove(EMAIL);
    folder.remove(SEGMENT);
    folder.programme();
}
