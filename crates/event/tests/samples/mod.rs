//! Payloads for tests: of every kind one with everything present and one with as little as
//! possible, and strategies that leave out any optional part.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;

use assent_consent::{PurposeId, SubjectId, Timestamp, Use};
use assent_event::*;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

/// 2026-03-01T04:00:00Z.
pub const INSTANT: Timestamp = Timestamp::from_micros(1_772_337_600_000_000);

pub const SUBJECT: SubjectId = SubjectId::from_bytes([0xa5; 16]);
pub const OTHER: SubjectId = SubjectId::from_bytes([0x5a; 16]);

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// A payload of this kind with every field and block present. Written out field by field, so that a
/// new field stops the compiler here.
pub fn full(kind: Kind) -> Payload {
    match kind {
        Kind::ConsentDecision => Payload::ConsentDecision(ConsentDecision {
            clear: ConsentDecisionClear {
                state: "granted".to_owned(),
                purpose: text("email_marketing"),
                channel: text("email"),
                recipient: text("card_partner"),
                categories: Some(vec!["contact".to_owned(), "transaction".to_owned()]),
                personalisation: Some(true),
                notice_id: text("membership_terms"),
                notice_version: Some(3),
                form: "guardian".to_owned(),
                act: "checkbox_ticked".to_owned(),
                indication_digest: Some(indication_digest("shop", "ui-4711")),
                has_evidence: true,
                actor: "guardian".to_owned(),
                guardian: Some(OTHER),
                authenticated: true,
                expires_at: Some(INSTANT),
            },
            evidence: Some(ConsentDecisionEvidence {
                indication: text("ui-4711"),
                evidence: text("scan:9f86d081"),
                recorded_by: text("clerk 12"),
                collection_point: text("门店 南京西路"),
                language: text("zh"),
                agent: text("H5/3.2"),
            }),
        }),
        Kind::IdentityLink => IdentityLink::linked(OTHER).into(),
        Kind::SubjectFact => Payload::SubjectFact(SubjectFact {
            clear: SubjectFactClear {
                fact: "birth_date".to_owned(),
                purpose: text("delivery"),
                contract: text("c1"),
                at: Some(INSTANT),
                guardian: Some(OTHER),
                provenance: Some(true),
            },
            identity: Some(SubjectFactIdentity {
                birth_date: Some(15_000),
            }),
            evidence: Some(SubjectFactEvidence {
                url: text("https://example.org/a"),
                reason: text("request 12"),
                recorded_by: text("clerk 12"),
            }),
        }),
        Kind::Traits => Payload::Traits(Traits {
            clear: TraitsClear {},
            identity: Some(TraitsIdentity {
                identifiers: map(&[("phone", "13800138000"), ("email", "li@example.org")]),
            }),
            profile: Some(TraitsProfile {
                values: map(&[("city", "\"上海\""), ("points", "1200")]),
            }),
            sensitive: Some(TraitsSensitive {
                values: map(&[("allergy", "\"peanut\"")]),
            }),
        }),
        Kind::AccountMembership => Payload::AccountMembership(AccountMembership {
            clear: AccountMembershipClear {
                account: "acme".to_owned(),
                left: true,
                name: text("Acme"),
                industry: text("tools"),
                size_band: text("50-99"),
                country: text("CN"),
            },
            profile: Some(AccountMembershipProfile {
                role: text("head of purchasing"),
                buying_role: text("decider"),
                department: text("purchasing"),
            }),
        }),
        Kind::SubscriptionChange => Payload::SubscriptionChange(SubscriptionChange {
            clear: SubscriptionChangeClear {},
            profile: Some(SubscriptionChangeProfile {
                subscription: "s1".to_owned(),
                plan: text("gold"),
                status: text("active"),
                started_at: Some(INSTANT),
                renews_at: Some(INSTANT.plus_micros(1)),
                ends_at: Some(INSTANT.plus_micros(-1)),
                amount: Some(12.5),
                currency: text("CNY"),
            }),
        }),
        Kind::Behaviour => Payload::Behaviour(Behaviour {
            clear: BehaviourClear {
                denied_purposes: Some(vec!["ad_sharing".to_owned(), "marketing".to_owned()]),
            },
            profile: Some(BehaviourProfile {
                name: "Order Completed".to_owned(),
                revenue: Some(-0.25),
                currency: text("CNY"),
                quantity: Some(-3),
                product: text("sku-1"),
                properties: map(&[("coupon", "\"SPRING\""), ("gift", "true")]),
            }),
            sensitive: Some(BehaviourSensitive {
                properties: map(&[("diagnosis", "\"J45\"")]),
            }),
        }),
        Kind::Use => Payload::Use(UseRecord {
            clear: UseRecordClear {
                operation: "run".to_owned(),
                principal: "growth".to_owned(),
                purpose: "email_marketing".to_owned(),
                channel: text("email"),
                recipient: text("card_partner"),
                basis: "consent".to_owned(),
                sql_sha256: text("9f86d081"),
                position: "{\"assent.consent\":{\"0\":12}}".to_owned(),
                segment: text("lapsing_regulars"),
                segment_version: Some(u32::MAX),
                as_of: Some(INSTANT),
                rows: Some(42),
                outcome: "answered".to_owned(),
                about: text("00112233445566778899aabbccddeeff"),
                about_purpose: text("email_marketing"),
            },
        }),
        Kind::Rejection => Payload::Rejection(Rejection {
            clear: RejectionClear {
                source: "shop".to_owned(),
                code: "no_user_anon_id".to_owned(),
                place: text("batch[3]"),
                reason: "neither userId nor anonymousId".to_owned(),
            },
            evidence: Some(RejectionEvidence {
                body: "{\"type\":\"track\"}".to_owned(),
            }),
        }),
        Kind::SegmentChange => Payload::SegmentChange(SegmentChange {
            clear: SegmentChangeClear {
                segment: "lapsing_regulars".to_owned(),
                segment_version: 3,
                step: 1 << 40,
                entered: true,
                cause: "query".to_owned(),
                purpose: "email_marketing".to_owned(),
                channel: text("email"),
                recipient: text("card_partner"),
            },
        }),
    }
}

/// A payload of this kind with as little as possible.
pub fn bare(kind: Kind) -> Payload {
    match kind {
        Kind::ConsentDecision => ConsentDecision::withdrawn_from_all().act("explicit").into(),
        Kind::IdentityLink => IdentityLink::unlinked(OTHER).into(),
        Kind::SubjectFact => SubjectFact::erased().into(),
        Kind::Traits => Traits::new().into(),
        Kind::AccountMembership => AccountMembership::joined("acme").into(),
        Kind::SubscriptionChange => SubscriptionChange::of("s1").into(),
        Kind::Behaviour => Behaviour::named("Page Viewed").into(),
        Kind::Use => UseRecord::started("query", "growth", "analytics", "consent", "{}").into(),
        Kind::Rejection => Rejection::new("shop", "invalid_json", "not JSON").into(),
        Kind::SegmentChange => {
            let declared = Use::of(PurposeId::parse("analytics").unwrap());
            SegmentChange::of(("lapsing", 1), &declared, 2, (false, "consent")).into()
        }
    }
}

/// The envelope of a payload, its blocks "sealed" by a fixed nonce and no cipher: for tests of the
/// format only.
pub fn unsealed(payload: &Payload) -> Envelope {
    let (clear, personal) = payload.blocks().unwrap();
    Envelope {
        id: EventId::from_bytes(*b"event-id-16bytes"),
        kind: payload.kind(),
        schema_id: payload.schema_id(),
        subject: SUBJECT,
        source: "shop".to_owned(),
        message_id: "m-1".to_owned(),
        times: Times {
            event_time: INSTANT,
            received_at: INSTANT.plus_micros(2_000_000),
            sent_at: Some(INSTANT.plus_micros(1_000_000)),
            original: None,
        },
        clear,
        sealed: personal
            .into_iter()
            .map(|(class, plain)| SealedBlock {
                class,
                nonce: [class.as_u8(); 24],
                ciphertext: plain,
            })
            .collect(),
    }
}

/// The plain blocks of an envelope made by [`unsealed`].
pub fn opened(envelope: &Envelope) -> Vec<(KeyClass, Vec<u8>)> {
    envelope
        .sealed
        .iter()
        .map(|block| (block.class, block.ciphertext.clone()))
        .collect()
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_]{0,12}", any::<String>()]
}

fn any_map() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(any_text(), any_text(), 0..4)
}

fn any_instant() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_micros)
}

fn any_subject() -> impl Strategy<Value = SubjectId> {
    any::<[u8; 16]>().prop_map(SubjectId::from_bytes)
}

fn any_amount() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("a number", |amount| !amount.is_nan())
}

prop_compose! {
    fn any_decision_clear()(
        (state, purpose, channel, recipient) in (any_text(), of(any_text()), of(any_text()), of(any_text())),
        categories in of(vec(any_text(), 0..4)),
        (personalisation, notice_id, notice_version) in (of(any::<bool>()), of(any_text()), of(any::<u32>())),
        (form, act, actor) in (any_text(), any_text(), any_text()),
        indication_digest in of(any::<[u8; 32]>()),
        (has_evidence, authenticated) in any::<(bool, bool)>(),
        guardian in of(any_subject()),
        expires_at in of(any_instant()),
    ) -> ConsentDecisionClear {
        ConsentDecisionClear {
            state, purpose, channel, recipient, categories, personalisation, notice_id, notice_version, form, act,
            indication_digest, has_evidence, actor, guardian, authenticated, expires_at,
        }
    }
}

prop_compose! {
    fn any_decision_evidence()(
        (indication, evidence, recorded_by) in (of(any_text()), of(any_text()), of(any_text())),
        (collection_point, language, agent) in (of(any_text()), of(any_text()), of(any_text())),
    ) -> ConsentDecisionEvidence {
        ConsentDecisionEvidence { indication, evidence, recorded_by, collection_point, language, agent }
    }
}

prop_compose! {
    fn any_subject_fact()(
        (fact, purpose, contract) in (any_text(), of(any_text()), of(any_text())),
        (at, guardian, provenance) in (of(any_instant()), of(any_subject()), of(any::<bool>())),
        identity in of(of(any::<i32>()).prop_map(|birth_date| SubjectFactIdentity { birth_date })),
        evidence in of((of(any_text()), of(any_text()), of(any_text())).prop_map(
            |(url, reason, recorded_by)| SubjectFactEvidence { url, reason, recorded_by },
        )),
    ) -> SubjectFact {
        SubjectFact {
            clear: SubjectFactClear { fact, purpose, contract, at, guardian, provenance },
            identity,
            evidence,
        }
    }
}

prop_compose! {
    fn any_membership()(
        (account, left) in (any_text(), any::<bool>()),
        (name, industry, size_band, country) in (of(any_text()), of(any_text()), of(any_text()), of(any_text())),
        profile in of((of(any_text()), of(any_text()), of(any_text())).prop_map(
            |(role, buying_role, department)| AccountMembershipProfile { role, buying_role, department },
        )),
    ) -> AccountMembership {
        AccountMembership {
            clear: AccountMembershipClear { account, left, name, industry, size_band, country },
            profile,
        }
    }
}

prop_compose! {
    fn any_subscription()(
        (subscription, plan, status, currency) in (any_text(), of(any_text()), of(any_text()), of(any_text())),
        (started_at, renews_at, ends_at) in (of(any_instant()), of(any_instant()), of(any_instant())),
        amount in of(any_amount()),
    ) -> SubscriptionChangeProfile {
        SubscriptionChangeProfile {
            subscription, plan, status, started_at, renews_at, ends_at, amount, currency,
        }
    }
}

prop_compose! {
    fn any_behaviour()(
        (name, currency, product) in (any_text(), of(any_text()), of(any_text())),
        (revenue, quantity) in (of(any_amount()), of(any::<i64>())),
        properties in any_map(),
    ) -> BehaviourProfile {
        BehaviourProfile { name, revenue, currency, quantity, product, properties }
    }
}

prop_compose! {
    fn any_use()(
        (operation, principal, purpose, basis) in (any_text(), any_text(), any_text(), any_text()),
        (channel, recipient, sql_sha256, segment) in (of(any_text()), of(any_text()), of(any_text()), of(any_text())),
        (position, outcome, about, about_purpose) in (any_text(), any_text(), of(any_text()), of(any_text())),
        (segment_version, as_of, rows) in (of(any::<u32>()), of(any_instant()), of(any::<i64>())),
    ) -> UseRecordClear {
        UseRecordClear {
            operation, principal, purpose, channel, recipient, basis, sql_sha256, position, segment, segment_version,
            as_of, rows, outcome, about, about_purpose,
        }
    }
}

prop_compose! {
    fn any_segment_change()(
        (segment, segment_version, step) in (any_text(), any::<u32>(), 0..1_u64 << 62),
        (entered, cause, purpose) in (any::<bool>(), any_text(), any_text()),
        (channel, recipient) in (of(any_text()), of(any_text())),
    ) -> SegmentChangeClear {
        SegmentChangeClear { segment, segment_version, step, entered, cause, purpose, channel, recipient }
    }
}

/// Any payload of this kind, each optional part present or absent.
pub fn any_payload(kind: Kind) -> BoxedStrategy<Payload> {
    match kind {
        Kind::ConsentDecision => (any_decision_clear(), of(any_decision_evidence()))
            .prop_map(|(clear, evidence)| ConsentDecision { clear, evidence }.into())
            .boxed(),
        Kind::IdentityLink => (any_subject(), any::<bool>())
            .prop_map(|(other, linked)| {
                IdentityLink {
                    clear: IdentityLinkClear { other, linked },
                }
                .into()
            })
            .boxed(),
        Kind::SubjectFact => any_subject_fact().prop_map(Payload::from).boxed(),
        Kind::Traits => (of(any_map()), of(any_map()), of(any_map()))
            .prop_map(|(identity, profile, sensitive)| {
                Traits {
                    clear: TraitsClear {},
                    identity: identity.map(|identifiers| TraitsIdentity { identifiers }),
                    profile: profile.map(|values| TraitsProfile { values }),
                    sensitive: sensitive.map(|values| TraitsSensitive { values }),
                }
                .into()
            })
            .boxed(),
        Kind::AccountMembership => any_membership().prop_map(Payload::from).boxed(),
        Kind::SubscriptionChange => of(any_subscription())
            .prop_map(|profile| {
                SubscriptionChange {
                    clear: SubscriptionChangeClear {},
                    profile,
                }
                .into()
            })
            .boxed(),
        Kind::Behaviour => (
            of(any_behaviour()),
            of(any_map()),
            of(vec(any_text(), 0..3)),
        )
            .prop_map(|(profile, sensitive, denied_purposes)| {
                Behaviour {
                    clear: BehaviourClear { denied_purposes },
                    profile,
                    sensitive: sensitive.map(|properties| BehaviourSensitive { properties }),
                }
                .into()
            })
            .boxed(),
        Kind::Use => any_use()
            .prop_map(|clear| UseRecord { clear }.into())
            .boxed(),
        Kind::Rejection => (
            any_text(),
            any_text(),
            of(any_text()),
            any_text(),
            of(any_text()),
        )
            .prop_map(|(source, code, place, reason, body)| {
                Rejection {
                    clear: RejectionClear {
                        source,
                        code,
                        place,
                        reason,
                    },
                    evidence: body.map(|body| RejectionEvidence { body }),
                }
                .into()
            })
            .boxed(),
        Kind::SegmentChange => any_segment_change()
            .prop_map(|clear| SegmentChange { clear }.into())
            .boxed(),
    }
}

/// Any payload of any kind.
pub fn any_kind() -> impl Strategy<Value = Kind> {
    proptest::sample::select(&Kind::ALL[..])
}
