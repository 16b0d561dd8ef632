//! What is sent again, out of order, twice in one object or spelt otherwise must not widen anything.

use assent_event::{EventId, Kind, Payload};
use assent_intake::{Caller, Code, Outcome, Route, WarningCode};
use serde_json::{Value, json};

use crate::followed::Followed;
use crate::room::{BROWSER_KEY, NOW, Room, SERVER_KEY, at, code, grant, journalled, with};

fn withdrawal(message_id: &str) -> Value {
    json!({
        "subject": {"customer": "42"}, "purpose": "email_marketing", "state": "withdrawn",
        "message_id": message_id,
    })
}

fn id_of(outcome: &Outcome) -> EventId {
    match outcome {
        Outcome::Journalled { event_id, .. } => *event_id,
        other @ (Outcome::Duplicate | Outcome::Rejected(_)) => panic!("{other:?}"),
    }
}

/// The states of the decisions, as they were received.
async fn states(room: &Room) -> Vec<String> {
    let found = room.of_kind(Kind::ConsentDecision).await;
    let states = found.iter().map(|found| match &found.payload {
        Payload::ConsentDecision(decision) => decision.clear.state.clone(),
        other => panic!("{other:?}"),
    });
    states.collect()
}

#[tokio::test]
async fn a_grant_sent_again_has_the_id_it_had_whatever_came_in_between() {
    let mut room = Room::new();
    let first = id_of(&room.consents(SERVER_KEY, grant()).await[0]);
    // Also when something about it differs: it is the same message about the same person.
    let changed = with(grant(), "language", json!("zh"));
    let again = room.consents(SERVER_KEY, changed.clone()).await;
    assert_eq!(again, [Outcome::Duplicate]);
    room.decide(SERVER_KEY, withdrawal("w1")).await;
    room.restart();
    room.set_now("2026-03-02T08:00:00Z");
    assert_eq!(
        id_of(&room.consents(SERVER_KEY, changed).await[0]),
        first,
        "by its id whoever folds it knows it again"
    );
    // Another message, person or source is another event.
    let other = with(grant(), "message_id", json!("g2"));
    let somebody = with(grant(), "subject", json!({"customer": "43"}));
    let mut ids = vec![first];
    for body in [other, somebody] {
        ids.push(id_of(&room.consents(SERVER_KEY, body).await[0]));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

/// A sender that hears nothing tries again; by then the person may have withdrawn.
#[tokio::test]
async fn a_grant_without_a_message_id_is_the_same_by_its_time_or_is_refused() {
    let mut room = Room::new();
    let bare = with(grant(), "message_id", Value::Null);
    let why = room.refuse(SERVER_KEY, bare.clone()).await;
    assert_eq!(
        (why.code, why.pointer.as_str()),
        (Code::FieldMissing, "/message_id")
    );
    assert!(why.fix.contains("event_time"), "{why:?}");
    let at = |time: &str| with(bare.clone(), "event_time", json!(time));
    let early = at("2026-02-01T00:00:00Z");
    // The clock of its sender is ahead, so that the time of receipt counts instead.
    let ahead = at("2026-03-01T08:00:01Z");
    for body in [early.clone(), ahead] {
        let first = id_of(&room.consents(SERVER_KEY, body.clone()).await[0]);
        room.restart();
        room.set_now("2026-03-01T09:00:00Z");
        assert_eq!(
            id_of(&room.consents(SERVER_KEY, body.clone()).await[0]),
            first
        );
        let narrower = with(body.clone(), "channel", json!("email"));
        assert_ne!(id_of(&room.consents(SERVER_KEY, narrower).await[0]), first);
        let somebody = with(body, "subject", json!({"customer": "43"}));
        assert_ne!(id_of(&room.consents(SERVER_KEY, somebody).await[0]), first);
    }
    let later = at("2026-02-01T00:00:01Z");
    let ids = [early, later].map(async |body| id_of(&room.consents(SERVER_KEY, body).await[0]));
    let [early, later] = ids;
    assert_ne!(early.await, later.await);
}

#[tokio::test]
async fn facts_that_widen_have_lasting_ids_too() {
    let mut room = Room::new();
    let facts = [
        json!({"fact": "restriction_lifted"}),
        json!({"fact": "contract_started", "contract": "k1"}),
        json!({"fact": "unlinked", "other": {"phone": "138"}}),
        json!({"fact": "guardianship_started", "guardian": {"customer": "7"}}),
        json!({"fact": "public_source"}),
    ];
    for (index, fact) in facts.into_iter().enumerate() {
        let body = with(fact, "subject", json!({"customer": "42"}));
        let body = with(body, "message_id", json!(format!("f{index}")));
        let first = id_of(&room.consents(SERVER_KEY, body.clone()).await[0]);
        let again = room.consents(SERVER_KEY, body.clone()).await;
        assert_eq!(again, [Outcome::Duplicate], "{body}");
        room.restart();
        let later = id_of(&room.consents(SERVER_KEY, body.clone()).await[0]);
        assert_eq!(later, first, "{body}");
    }
}

#[tokio::test]
async fn a_message_id_used_for_something_else_is_refused_with_the_reason() {
    let mut room = Room::new();
    room.decide(SERVER_KEY, grant()).await;
    let sharing = json!({
        "subject": {"customer": "42"}, "purpose": "ad_sharing", "state": "granted",
        "notice": "terms@2", "act": "signature", "form": "separate", "indication": "i1",
        "recipient": "ad_network", "message_id": "g1",
    });
    let others = [
        sharing.clone(),
        with(grant(), "channel", json!("email")),
        with(grant(), "notice", json!("terms@1")),
        with(grant(), "personalisation", json!(false)),
        with(grant(), "categories", json!(["transaction"])),
        with(grant(), "expires_at", json!("2027-01-01T00:00:00Z")),
        json!({"subject": {"customer": "42"}, "fact": "restriction_lifted", "message_id": "g1"}),
    ];
    let same = with(grant(), "act", json!("signature"));
    // By what is remembered, and after a restart by what the log says.
    for round in 0..2 {
        for body in &others {
            let why = room.refuse(SERVER_KEY, body.clone()).await;
            assert_eq!(why.code, Code::MessageIdUsed, "{round}: {body}");
            assert_eq!(why.pointer, "/message_id");
            assert!(why.fix.contains("new message id"), "{why:?}");
        }
        let again = room.consents(SERVER_KEY, same.clone()).await;
        assert_eq!(again, [Outcome::Duplicate], "{round}");
        // Somebody else may use it, and whoever withdraws is heard.
        let somebody = with(
            sharing.clone(),
            "subject",
            json!({"customer": format!("{round}")}),
        );
        room.decide(SERVER_KEY, somebody).await;
        room.decide(SERVER_KEY, withdrawal("g1")).await;
        let known = Followed::from(&room, &[]).await;
        room.restart();
        room.intake.ask(known);
    }
    // Every refusal is recorded (I9).
    let refused = room.of_kind(Kind::Rejection).await.len();
    assert_eq!(refused, 2 * others.len());
    // A grant under the id of a withdrawal would not count either.
    room.decide(SERVER_KEY, withdrawal("w9")).await;
    let body = with(grant(), "message_id", json!("w9"));
    let why = room.refuse(SERVER_KEY, body).await;
    assert_eq!(why.code, Code::MessageIdUsed);
    // Nor the second of two in one body.
    let body = json!([
        with(grant(), "message_id", json!("g8")),
        with(sharing, "message_id", json!("g8"))
    ]);
    let outcomes = room.consents(SERVER_KEY, body).await;
    assert_eq!(code(&outcomes[0]), None);
    assert_eq!(code(&outcomes[1]), Some(Code::MessageIdUsed));
}

#[tokio::test]
async fn what_was_erased_does_not_come_back_by_its_message() {
    let room = Room::new();
    room.intake.ask(Followed::from(&room, &["g1", "f1"]).await);
    let contract = json!({
        "subject": {"customer": "42"}, "fact": "contract_started", "contract": "k", "message_id": "f1",
    });
    for body in [grant(), contract] {
        let why = room.refuse(SERVER_KEY, body).await;
        assert_eq!(why.code, Code::MessageIdUsed);
        assert!(!why.message.contains("eras"), "it tells of nobody");
    }
    // Nobody is made known by it.
    assert_eq!(room.subject("customer", "42"), None);
    room.decide(SERVER_KEY, withdrawal("g1")).await;
    room.decide(SERVER_KEY, with(grant(), "message_id", json!("g2")))
        .await;
}

#[tokio::test]
async fn a_birth_date_is_recorded_once_for_each_day_it_tells() {
    let room = Room::new();
    let born = |day: &str| {
        json!({
            "subject": {"customer": "42"}, "fact": "birth_date", "birth_date": day,
            "message_id": "b1",
        })
    };
    room.decide(SERVER_KEY, born("1990-05-01")).await;
    let again = room.consents(SERVER_KEY, born("1990-05-01")).await;
    assert_eq!(again, [Outcome::Duplicate]);
    room.decide(SERVER_KEY, born("2016-05-01")).await;
    let again = room.consents(SERVER_KEY, born("1990-05-01")).await;
    assert_eq!(again, [Outcome::Duplicate]);
    assert_eq!(room.of_kind(Kind::SubjectFact).await.len(), 2);
}

#[tokio::test]
async fn of_preferences_what_says_something_else_is_told_and_the_rest_recorded() {
    let room = Room::new();
    let body = |notice: &str, advertising: bool| {
        json!({
            "userId": "42", "event": "Segment Consent Preference Updated", "messageId": "p1",
            "context": {"consent": {"categoryPreferences": {"Email": true, "Advertising": advertising}}},
            "properties": {"notice": notice, "act": "button_pressed"},
        })
    };
    room.call(SERVER_KEY, Route::Track, body("terms@2", false))
        .await;
    let warnings = room
        .call(SERVER_KEY, Route::Track, body("terms@1", false))
        .await;
    let codes: Vec<_> = warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [WarningCode::GrantNotRecorded]);
    assert_eq!(warnings[0].pointer, "/messageId");
    let mut found = states(&room).await;
    found.sort();
    assert_eq!(found, ["granted", "withdrawn", "withdrawn"]);
}

#[tokio::test]
async fn a_restriction_is_never_a_duplicate() {
    let room = Room::new();
    room.decide(SERVER_KEY, withdrawal("w1")).await;
    room.decide(SERVER_KEY, with(grant(), "message_id", json!("g2")))
        .await;
    // The person withdraws once more, and the sender's id is the same.
    room.decide(SERVER_KEY, withdrawal("w1")).await;
    assert_eq!(states(&room).await, ["withdrawn", "granted", "withdrawn"]);
    // Nor within one body.
    let body = json!([
        withdrawal("w3"),
        with(grant(), "message_id", json!("g3")),
        withdrawal("w3")
    ]);
    for outcome in room.consents(SERVER_KEY, body).await {
        journalled(outcome);
    }
    assert_eq!(
        states(&room).await[3..],
        ["withdrawn", "granted", "withdrawn"]
    );
    for fact in [
        json!({"fact": "restricted"}),
        json!({"fact": "linked", "other": {"phone": "138"}}),
    ] {
        let body = with(fact, "subject", json!({"customer": "42"}));
        let body = with(body, "message_id", json!("f1"));
        room.decide(SERVER_KEY, body.clone()).await;
        room.decide(SERVER_KEY, body).await;
    }
    assert_eq!(room.of_kind(Kind::SubjectFact).await.len(), 2);
    assert_eq!(room.of_kind(Kind::IdentityLink).await.len(), 2);
}

#[tokio::test]
async fn of_preferences_sent_again_only_what_restricts_is_recorded_again() {
    let room = Room::new();
    let body = json!({
        "userId": "42", "event": "Segment Consent Preference Updated", "messageId": "p1",
        "context": {"consent": {"categoryPreferences": {"Email": true, "Advertising": false}}},
        "properties": {"notice": "terms@2", "act": "button_pressed"},
    });
    room.call(SERVER_KEY, Route::Track, body.clone()).await;
    room.call(SERVER_KEY, Route::Track, body).await;
    let mut found = states(&room).await;
    found.sort();
    assert_eq!(found, ["granted", "withdrawn", "withdrawn"]);
}

#[tokio::test]
async fn a_signal_counts_also_on_a_call_that_is_sent_again() {
    let room = Room::new();
    let body = json!({"anonymousId": "a1", "event": "e", "messageId": "m1"});
    let caller = Caller::with_key(BROWSER_KEY).global_privacy_control(true);
    for _ in 0..2 {
        let body = body.to_string().into_bytes();
        let outcomes = room.intake.events(&caller, Route::Track, body).await;
        journalled(outcomes.unwrap().remove(0));
    }
    assert_eq!(states(&room).await, ["refused", "refused"]);
    assert_eq!(room.of_kind(Kind::Behaviour).await.len(), 1);
}

#[tokio::test]
async fn a_link_is_recorded_again_after_it_was_ended() {
    let room = Room::new();
    let call = |message_id: &str| json!({"userId": "42", "anonymousId": "a1", "event": "e", "messageId": message_id});
    let links = async || room.of_kind(Kind::IdentityLink).await.len();
    room.call(SERVER_KEY, Route::Track, call("m1")).await;
    room.call(SERVER_KEY, Route::Track, call("m2")).await;
    assert_eq!(links().await, 1);
    let unlinked = json!({
        "subject": {"customer": "42"}, "fact": "unlinked", "other": {"anonymous": "a1"},
        "message_id": "u1",
    });
    room.decide(SERVER_KEY, unlinked).await;
    room.call(SERVER_KEY, Route::Track, call("m3")).await;
    assert_eq!(links().await, 3);
    // It stands again, and a call sent again adds nothing.
    room.call(SERVER_KEY, Route::Track, call("m4")).await;
    let again = room.events(SERVER_KEY, Route::Track, call("m4")).await;
    assert_eq!(again, [Outcome::Duplicate]);
    assert_eq!(links().await, 3);
}

#[tokio::test]
async fn a_name_that_stands_twice_never_widens() {
    let room = Room::new();
    room.introduce(&["42"]);
    let head = r#"{"subject":{"customer":"42"},"purpose":"email_marketing""#;
    let tail = r#""notice":"terms@2","act":"checkbox_ticked"}"#;
    for states_given in [
        r#""state":"withdrawn","state":"granted""#,
        r#""state":"granted","state":"withdrawn""#,
    ] {
        let body = format!("{head},{states_given},{tail}");
        journalled(room.consents_text(SERVER_KEY, &body).await.remove(0));
    }
    assert_eq!(states(&room).await, ["withdrawn", "withdrawn"]);
    for twice in [
        format!(r#"{head},"state":"granted","state":"granted",{tail}"#),
        format!(r#"{head},"state":"granted","channel":"email","channel":"email",{tail}"#),
        format!(
            r#"{head},"state":"granted","act":"signature","notice":{{"id":"terms","version":1,"version":2}}}}"#
        ),
        r#"{"subject":{"customer":"42"},"fact":"unlinked","fact":"restriction_lifted"}"#.into(),
    ] {
        let outcomes = room.consents_text(SERVER_KEY, &twice).await;
        assert_eq!(code(&outcomes[0]), Some(Code::FieldRepeated), "{twice}");
    }
    // It costs nobody else anything, and of two people both are protected.
    let two = r#"[{"subject":{"customer":"1"},"subject":{"customer":"2"},"state":"refused"},
                  {"state":"granted","state":"granted"}]"#;
    let outcomes = room.consents_text(SERVER_KEY, two).await;
    assert_eq!(code(&outcomes[0]), None);
    assert_eq!(code(&outcomes[1]), Some(Code::FieldRepeated));
    assert_eq!(states(&room).await.len(), 4);
    let body = format!("{head},\"state\":\"granted\",\"message_id\":\"g1\",{tail}");
    journalled(room.consents_text(SERVER_KEY, &body).await.remove(0));
    let error = room
        .intake
        .consents_bytes(&Caller::with_key(SERVER_KEY), b"{".to_vec())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "not_json");
    // Preferences, too.
    let body = br#"{"userId":"42","event":"Segment Consent Preference Updated",
        "context":{"consent":{"categoryPreferences":{"Email":false,"Email":true}}},
        "properties":{"notice":"terms@2","act":"button_pressed"}}"#;
    let caller = Caller::with_key(SERVER_KEY);
    let before = states(&room).await.len();
    let taken = room.intake.events(&caller, Route::Track, body.to_vec());
    journalled(taken.await.unwrap().remove(0));
    assert_eq!(states(&room).await[before..], ["withdrawn", "withdrawn"]);
}

#[tokio::test]
async fn what_is_said_later_is_received_later_even_when_the_clock_is_set_back() {
    let mut room = Room::new();
    room.decide(SERVER_KEY, grant()).await;
    room.set_now("2026-02-01T00:00:00Z");
    room.decide(SERVER_KEY, withdrawal("w1")).await;
    assert_eq!(states(&room).await, ["granted", "withdrawn"]);
    // After a restart by what the binary tells.
    room.restart();
    room.intake.received_until(at(NOW).plus_micros(1));
    room.intake.received_until(at("2026-01-01T00:00:00Z"));
    let refusal = with(withdrawal("w2"), "state", json!("refused"));
    room.decide(SERVER_KEY, refusal).await;
    assert_eq!(states(&room).await, ["granted", "withdrawn", "refused"]);
    let found = room.of_kind(Kind::ConsentDecision).await;
    let times = found[2].envelope.times;
    assert_eq!(times.received_at, at(NOW).plus_micros(2));
    assert_eq!(times.event_time, times.received_at);
}

#[tokio::test]
async fn who_is_not_plainly_a_member_has_left() {
    let room = Room::new();
    let cases = [
        (json!({}), false, 0),
        (json!({"left": false}), false, 0),
        (json!({"left": true}), true, 0),
        (json!({"left": "true"}), true, 1),
        (json!({"left": "false"}), true, 1),
        (json!({"left": 1}), true, 1),
        (json!({"left": null}), true, 1),
        (json!({"left": "2026-03-01"}), true, 1),
    ];
    for (traits, left, warnings) in cases {
        let body = json!({"userId": "42", "groupId": "acme", "traits": traits});
        let told = room.call(SERVER_KEY, Route::Group, body).await;
        assert_eq!(told.len(), warnings, "{traits}");
        assert!(told.iter().all(|told| told.pointer == "/traits/left"));
        let found = room.of_kind(Kind::AccountMembership).await.pop().unwrap();
        let Payload::AccountMembership(membership) = found.payload else {
            panic!();
        };
        assert_eq!(membership.clear.left, left, "{traits}");
    }
}

#[tokio::test]
async fn identifiers_are_the_same_with_white_space_and_what_cannot_be_seen() {
    let room = Room::new();
    let call = |user: &str| json!({"userId": user, "event": "e"});
    room.call(SERVER_KEY, Route::Track, call("P01")).await;
    let known = room.subject("customer", "P01").unwrap();
    for spelt in [
        "P01 ",
        " P01",
        "\u{a0}P01\u{3000}",
        "P\u{200b}01",
        "\u{feff}P01",
        "P01\u{200b} ",
    ] {
        let mut body = withdrawal("w1");
        body["subject"] = json!({"customer": spelt});
        assert_eq!(room.decide(SERVER_KEY, body).await, [], "{spelt:?}");
        room.call(SERVER_KEY, Route::Track, call(spelt)).await;
        let fact =
            json!({"subject": {"phone": "1"}, "fact": "linked", "other": {"customer": spelt}});
        room.decide(SERVER_KEY, fact).await;
    }
    let found = room.of_kind(Kind::ConsentDecision).await;
    assert_eq!(found.len(), 6);
    assert!(found.iter().all(|found| found.envelope.subject == known));
    let found = room.of_kind(Kind::Behaviour).await;
    assert!(found.iter().all(|found| found.envelope.subject == known));
    for found in room.of_kind(Kind::IdentityLink).await {
        let Payload::IdentityLink(link) = found.payload else {
            panic!();
        };
        assert_eq!(link.clear.other, known);
    }
    let nobody = json!({"userId": "\u{200b} ", "event": "e"});
    let why = room.refused_call(SERVER_KEY, Route::Track, nobody).await;
    assert_eq!(why.code, Code::NoUserAnonId);
}

/// 2^64 and its neighbours are one floating-point number; two people must not be.
#[tokio::test]
async fn a_number_that_json_rounds_is_nobodys_identifier() {
    let mut room = Room::new();
    let rounded = ["18446744073709551616", "18446744073709551617", "1.5", "1e3"];
    for number in rounded {
        let call = format!(r#"{{"userId":{number},"event":"e"}}"#);
        let caller = Caller::with_key(SERVER_KEY);
        let taken = room.intake.events(&caller, Route::Track, call.into_bytes());
        let Outcome::Rejected(why) = taken.await.unwrap().remove(0) else {
            panic!("{number}");
        };
        assert_eq!(
            (why.code, why.pointer.as_str()),
            (Code::FieldInvalid, "/userId")
        );
        assert!(why.fix.contains("string"), "{why:?}");
        let refusal = format!(r#"{{"subject":{{"customer":{number}}},"state":"refused"}}"#);
        let outcome = room.consents_text(SERVER_KEY, &refusal).await.remove(0);
        assert_eq!(code(&outcome), Some(Code::SubjectMissing), "{number}");
        let traits = format!(r#"{{"userId":"7","traits":{{"mobile":{number}}}}}"#);
        let taken = room
            .intake
            .events(&caller, Route::Identify, traits.into_bytes());
        let warnings = journalled(taken.await.unwrap().remove(0));
        assert_eq!(warnings[0].pointer, "/traits/mobile");
    }
    // The longest that are exact, and any number as a text.
    room.restart();
    for exact in [
        "18446744073709551615",
        "-9223372036854775808",
        r#""18446744073709551616""#,
    ] {
        let refusal = format!(r#"{{"subject":{{"customer":{exact}}},"state":"refused"}}"#);
        journalled(room.consents_text(SERVER_KEY, &refusal).await.remove(0));
    }
    assert!(room.subject("customer", "18446744073709551615").is_some());
    assert!(room.subject("customer", "18446744073709551616").is_some());
}

#[tokio::test]
async fn a_restriction_about_somebody_never_heard_of_is_told() {
    let room = Room::new();
    let told = room.decide(SERVER_KEY, withdrawal("w1")).await;
    assert_eq!(told, [WarningCode::SubjectUnknown]);
    assert_eq!(room.decide(SERVER_KEY, withdrawal("w2")).await, []);
    let restricted = json!({"subject": {"customer": "43"}, "fact": "restricted"});
    let told = room.decide(SERVER_KEY, restricted).await;
    assert_eq!(told, [WarningCode::SubjectUnknown]);
    // Named before in the same body; a grant and a birth date may well begin it all.
    let of = |body| with(body, "subject", json!({"customer": "44"}));
    let body = json!([of(grant()), of(withdrawal("w3"))]);
    for outcome in room.consents(SERVER_KEY, body).await {
        assert_eq!(journalled(outcome), []);
    }
    let birth =
        json!({"subject": {"customer": "45"}, "fact": "birth_date", "birth_date": "2000-01-01"});
    assert_eq!(room.decide(SERVER_KEY, birth).await, []);
}

#[tokio::test]
async fn what_any_source_declares_is_sealed_or_left_out_from_every_source() {
    // "web" declares nothing of its own here.
    let room = Room::declaring_apart();
    let body = json!({
        "anonymousId": "a1", "event": "e", "properties": {
            "Diagnosis": "planted-1", "DIAGNOSIS ": "planted-2",
            "visit": {"notes": [{"diagnosis": "planted-3"}], "tier": 1},
            "Email": "planted-4", "buyer": {"MOBILE": "planted-5", "tier": 2}, "plain": 7,
        },
    });
    let warnings = room.call(BROWSER_KEY, Route::Track, body).await;
    let codes: Vec<_> = warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [WarningCode::IdentifierInProperties; 2]);
    let found = room.of_kind(Kind::Behaviour).await.remove(0);
    let Payload::Behaviour(behaviour) = found.payload else {
        panic!();
    };
    let profile = behaviour.profile.unwrap().properties;
    let kept: Vec<_> = profile
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(kept, [("buyer", r#"{"tier":2}"#), ("plain", "7")]);
    let sealed = behaviour.sensitive.unwrap().properties;
    let sealed: Vec<_> = sealed
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    // Under the declared spelling, once; a second one keeps its own, since nothing is lost.
    assert_eq!(
        sealed,
        [
            ("Diagnosis", "\"planted-1\""),
            ("diagnosis", "\"planted-2\""),
            ("visit", r#"{"notes":[{"diagnosis":"planted-3"}],"tier":1}"#),
        ]
    );
    // Traits: an identifier goes to the identity block whoever sends it.
    let body = json!({"anonymousId": "a1", "traits": {"Mobile": "138", "EMAIL": "a@example.com"}});
    assert_eq!(room.call(BROWSER_KEY, Route::Identify, body).await, []);
    let Payload::Traits(traits) = room.of_kind(Kind::Traits).await.remove(0).payload else {
        panic!();
    };
    let identifiers = traits.identity.unwrap().identifiers;
    assert_eq!(identifiers["phone"], "138");
    assert_eq!(identifiers["email"], "a@example.com");
}

#[tokio::test]
async fn what_names_people_by_its_words_is_an_identifier_whatever_is_declared() {
    let room = Room::new();
    let body = json!({
        "userId": "42", "event": "e", "properties": {
            "workEmail": "planted-1", "buyer": {"wechat_open_id": "planted-2", "tier": 2},
            "email_opens_90d": 3,
        },
    });
    let warnings = room.call(SERVER_KEY, Route::Track, body).await;
    let codes: Vec<_> = warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [WarningCode::IdentifierInProperties; 2]);
    let Payload::Behaviour(behaviour) = room.of_kind(Kind::Behaviour).await.remove(0).payload
    else {
        panic!();
    };
    let kept = behaviour.profile.unwrap().properties;
    let kept: Vec<_> = kept.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(kept, [("buyer", r#"{"tier":2}"#), ("email_opens_90d", "3")]);
    let body =
        json!({"userId": "42", "traits": {"passport_no": "planted-3", "Phone Number": "138"}});
    let warnings = room.call(SERVER_KEY, Route::Identify, body).await;
    // No namespace can have that name.
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].code, WarningCode::TraitUndeclared);
    assert!(warnings[0].message.contains("`identifiers:`"));
    let Payload::Traits(traits) = room.of_kind(Kind::Traits).await.remove(0).payload else {
        panic!();
    };
    let identifiers = traits.identity.unwrap().identifiers;
    assert_eq!(identifiers["passport_no"], "planted-3");
    assert_eq!(identifiers.len(), 1);
}

#[tokio::test]
async fn what_a_retired_source_declared_stays_sealed() {
    let room = Room::after_the_shop();
    assert!(room.registry.source("shop").is_none(), "control");
    let body = json!({
        "anonymousId": "a1", "event": "e",
        "properties": {"diagnosis": "planted-1", "mobile": "planted-2", "plain": 7},
    });
    let warnings = room.call(BROWSER_KEY, Route::Track, body).await;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let Payload::Behaviour(behaviour) = room.of_kind(Kind::Behaviour).await.remove(0).payload
    else {
        panic!();
    };
    let kept = behaviour.profile.unwrap().properties;
    assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["plain"]);
    assert!(
        behaviour
            .sensitive
            .unwrap()
            .properties
            .contains_key("diagnosis")
    );
}
