use assent_consent::{Namespace, Timestamp};
use assent_event::{Behaviour, ConsentDecision, Identifier, Traits};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::{EmbeddedVault, ErrorKind, MasterKey, SharedRng};

const PLANTED: &str = "planted-13800138000";

struct Room {
    _dir: tempfile::TempDir,
    vault: EmbeddedVault,
    random: SharedRng<StdRng>,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let random = SharedRng::new(StdRng::seed_from_u64(1));
        let master = MasterKey::generate(&random);
        let vault = EmbeddedVault::open(
            &dir.path().join("vault.redb"),
            master,
            Box::new(SharedRng::new(StdRng::seed_from_u64(2))),
        )
        .unwrap();
        Self {
            _dir: dir,
            vault,
            random,
        }
    }

    fn sealer(&self) -> Sealer<'_> {
        Sealer::new(&self.vault, &self.random)
    }

    fn subject(&self, value: &str) -> SubjectId {
        let id = Identifier {
            namespace: Namespace::parse("customer").unwrap(),
            value: value.to_owned(),
        };
        self.vault.subjects(&[id], true).unwrap()[0].unwrap()
    }

    fn seal(&self, drafts: Vec<Draft>) -> Vec<Envelope> {
        self.sealer().seal_batch(drafts).unwrap()
    }

    fn open(&self, envelope: &Envelope) -> Result<Opened, Error> {
        let opened = self.sealer().open_batch(std::slice::from_ref(envelope))?;
        Ok(opened.into_iter().next().unwrap())
    }
}

fn draft(number: u8, subject: SubjectId, payload: impl Into<Payload>) -> Draft {
    Draft {
        id: EventId::from_bytes([number; 16]),
        subject,
        source: "shop".to_owned(),
        message_id: format!("m{number}"),
        times: Times::at(Timestamp::from_millis(1_000)),
        payload: payload.into(),
    }
}

fn traits() -> Traits {
    Traits::new()
        .identifier("phone", PLANTED)
        .value("city", PLANTED)
        .sensitive("diagnosis", PLANTED)
}

fn payload(opened: Opened) -> Payload {
    match opened {
        Opened::Payload(payload) => payload,
        Opened::Erased => panic!("erased"),
    }
}

fn holds(envelope: &Envelope, needle: &[u8]) -> bool {
    let bytes = envelope.encode().unwrap();
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn what_is_sealed_opens_and_nothing_stands_in_clear() {
    let room = Room::new();
    let one = room.subject("1");
    let drafts = vec![
        draft(1, one, traits()),
        draft(
            2,
            one,
            Behaviour::named("Order Completed").property("note", PLANTED),
        ),
        draft(
            3,
            room.subject("2"),
            ConsentDecision::withdrawn("sms").recorded_by(PLANTED),
        ),
        draft(4, one, ConsentDecision::withdrawn("sms")),
    ];
    let expected: Vec<Payload> = drafts.iter().map(|d| d.payload.clone()).collect();
    let envelopes = room.seal(drafts);
    assert_eq!(envelopes[0].sealed.len(), 3, "one block per class");
    for envelope in &envelopes {
        assert!(!holds(envelope, PLANTED.as_bytes()));
        assert_eq!(
            Envelope::decode(&envelope.encode().unwrap()).unwrap(),
            *envelope
        );
    }
    let opened = room.sealer().open_batch(&envelopes).unwrap();
    let opened: Vec<Payload> = opened.into_iter().map(payload).collect();
    assert_eq!(opened, expected);
}

#[test]
fn with_sealing_off_the_planted_value_is_found() {
    let mut room = Room::new();
    room.vault = room.vault.unsealed_as_test_control();
    let one = room.subject("1");
    let envelopes = room.seal(vec![draft(1, one, traits())]);
    assert!(holds(&envelopes[0], PLANTED.as_bytes()));
    assert_eq!(payload(room.open(&envelopes[0]).unwrap()), traits().into());
}

#[test]
fn nonces_are_never_the_same() {
    let room = Room::new();
    let one = room.subject("1");
    let drafts = (0..50).map(|n| draft(n, one, traits())).collect();
    let nonces: std::collections::HashSet<_> = room
        .seal(drafts)
        .iter()
        .flat_map(|e| e.sealed.iter().map(|b| b.nonce).collect::<Vec<_>>())
        .collect();
    assert_eq!(nonces.len(), 150);
}

#[test]
fn any_change_is_detected_and_the_error_names_the_event_only() {
    let room = Room::new();
    let (one, two) = (room.subject("1"), room.subject("2"));
    let mut sealed = room.seal(vec![
        draft(1, one, traits()),
        draft(2, one, traits()),
        draft(3, two, traits()),
    ]);
    let (third, second, first) = (
        sealed.pop().unwrap(),
        sealed.pop().unwrap(),
        sealed.pop().unwrap(),
    );
    let mut changed = Vec::new();
    for at in 0..first.sealed[0].ciphertext.len() {
        let mut envelope = first.clone();
        envelope.sealed[0].ciphertext[at] ^= 1;
        changed.push(("ciphertext", envelope));
    }
    for at in 0..24 {
        let mut envelope = first.clone();
        envelope.sealed[1].nonce[at] ^= 1;
        changed.push(("nonce", envelope));
    }
    let mut cut = first.clone();
    cut.sealed[0].ciphertext.truncate(3);
    changed.push(("length", cut));
    let mut moved = first.clone();
    moved.id = EventId::from_bytes([9; 16]);
    changed.push(("event id", moved));
    let mut moved = first.clone();
    moved.subject = two;
    changed.push(("subject", moved));
    let mut moved = first.clone();
    moved.sealed[1].class = KeyClass::Sensitive;
    moved.sealed[2].class = KeyClass::Profile;
    changed.push(("class", moved));
    let mut moved = first.clone();
    moved.kind = assent_event::Kind::Behaviour;
    moved.schema_id = moved.kind.schema_id();
    changed.push(("schema", moved));
    let mut swapped = first.clone();
    swapped.sealed = second.sealed.clone();
    changed.push(("another event's blocks", swapped));
    let mut swapped = first.clone();
    swapped.sealed = third.sealed.clone();
    changed.push(("another subject's blocks", swapped));
    for (what, envelope) in changed {
        match room.open(&envelope) {
            Err(error @ Error::Tampered { event }) => {
                assert_eq!(event, envelope.id, "{what}");
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert!(!format!("{error} {error:?}").contains("planted"));
            }
            other => panic!("{what}: {other:?}"),
        }
    }
    room.open(&first).unwrap();
}

#[test]
fn each_part_of_the_associated_data_binds_by_itself() {
    let room = Room::new();
    let one = room.subject("1");
    let envelope = room.seal(vec![draft(1, one, traits())]).remove(0);
    let original = associated(&envelope, KeyClass::Profile).unwrap();
    let mut others = Vec::new();
    let mut other = envelope.clone();
    other.id = EventId::from_bytes([2; 16]);
    others.push(associated(&other, KeyClass::Profile).unwrap());
    let mut other = envelope.clone();
    other.subject = room.subject("2");
    others.push(associated(&other, KeyClass::Profile).unwrap());
    others.push(associated(&envelope, KeyClass::Identity).unwrap());
    let mut other = envelope;
    other.schema_id = assent_event::Kind::Behaviour.schema_id();
    others.push(associated(&other, KeyClass::Profile).unwrap());
    for other in others {
        assert_ne!(other, original);
    }
}

#[test]
fn a_missing_key_is_not_a_destroyed_key() {
    let room = Room::new();
    let other = Room::new();
    let one = room.subject("1");
    let envelope = room.seal(vec![draft(1, one, traits())]).remove(0);
    let error = other.open(&envelope).unwrap_err();
    assert!(matches!(error, Error::KeyMissing { event, .. } if event == envelope.id));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    room.vault.destroy(one).unwrap();
    assert!(matches!(room.open(&envelope).unwrap(), Opened::Erased));
    let error = room
        .sealer()
        .seal_batch(vec![draft(2, one, traits())])
        .unwrap_err();
    assert!(
        matches!(error, Error::Erased { subject } if subject == one),
        "{error}"
    );
}

#[test]
fn a_decision_stands_without_its_evidence() {
    let room = Room::new();
    let one = room.subject("1");
    let decision = ConsentDecision::withdrawn("sms").recorded_by(PLANTED);
    let envelope = room.seal(vec![draft(1, one, decision.clone())]).remove(0);
    room.vault
        .destroy_classes(one, &[KeyClass::Evidence])
        .unwrap();
    let expected = ConsentDecision {
        evidence: None,
        ..decision
    };
    assert_eq!(payload(room.open(&envelope).unwrap()), expected.into());
}

#[test]
fn a_schema_nobody_published_is_an_error_naming_the_event() {
    let room = Room::new();
    let one = room.subject("1");
    let mut envelope = room.seal(vec![draft(1, one, traits())]).remove(0);
    envelope.schema_id = 9_999;
    let error = room.open(&envelope).unwrap_err();
    assert!(
        matches!(error, Error::Codec { event, .. } if event == envelope.id),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(
        clear in proptest::collection::vec(any::<u8>(), 0..80),
        ciphertext in proptest::collection::vec(any::<u8>(), 0..200),
        class in 0..4_usize,
        kind in 0..assent_event::Kind::ALL.len(),
        schema_id in prop_oneof![0..30_u32, any::<u32>()],
        off in any::<bool>(),
    ) {
        let mut room = Room::new();
        if off {
            room.vault = room.vault.unsealed_as_test_control();
        }
        let one = room.subject("1");
        let class = KeyClass::ALL[class];
        room.vault.keys(&[(one, class)], true).unwrap();
        let envelope = Envelope {
            kind: assent_event::Kind::ALL[kind],
            schema_id,
            clear,
            sealed: vec![SealedBlock { class, nonce: [0; 24], ciphertext }],
            ..room.seal(vec![draft(1, one, traits())]).remove(0)
        };
        let opened = room.open(&envelope);
        prop_assert!(off || opened.is_err());
    }
}
