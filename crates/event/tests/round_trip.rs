//! What is written is read back, whole; what was not written so is refused without a panic.

#![allow(
    clippy::unwrap_used,
    reason = "a test stops where something is missing"
)]

mod samples;

use assent_event::*;
use proptest::prelude::*;
use samples::{any_kind, any_payload, bare, full, opened, unsealed};

fn there_and_back(payload: &Payload) {
    let envelope = unsealed(payload);
    let frame = envelope.encode().unwrap();
    let read = Envelope::decode(&frame).unwrap();
    assert_eq!(read, envelope);
    assert_eq!(read.payload(&opened(&read)).unwrap(), *payload);
    // The same bytes again: nothing depends on the order of a map or of fields.
    assert_eq!(read.encode().unwrap(), frame);
}

/// What apache-avro, which shares no code with our codec, makes of every block.
fn independently_read(payload: &Payload) -> usize {
    let (clear, personal) = payload.blocks().unwrap();
    let schema = schema::published(payload.schema_id()).unwrap();
    let blocks = std::iter::once((None, &clear)).chain(personal.iter().map(|(c, b)| (Some(*c), b)));
    blocks
        .map(|(class, bytes)| {
            let mut rest = &bytes[..];
            let value =
                apache_avro::from_avro_datum(schema.block(class).unwrap().avro(), &mut rest, None)
                    .unwrap();
            assert!(rest.is_empty());
            let again =
                apache_avro::to_avro_datum(schema.block(class).unwrap().avro(), value).unwrap();
            assert_eq!(again.len(), bytes.len());
        })
        .count()
}

#[test]
fn the_fullest_and_the_barest_of_every_kind() {
    for kind in Kind::ALL {
        for payload in [full(kind), bare(kind)] {
            assert_eq!(payload.kind(), kind);
            there_and_back(&payload);
        }
        let classes = schema::published(kind.schema_id())
            .unwrap()
            .blocks()
            .count();
        assert_eq!(
            independently_read(&full(kind)),
            classes,
            "{kind}: a block is missing in the sample"
        );
    }
}

#[test]
fn a_block_that_could_not_be_opened_is_absent_and_the_others_stand() {
    let Payload::Traits(whole) = full(Kind::Traits) else {
        panic!("traits")
    };
    let envelope = unsealed(&whole.clone().into());
    let without: Vec<_> = opened(&envelope)
        .into_iter()
        .filter(|(class, _)| *class != KeyClass::Identity)
        .collect();
    let read = envelope.payload(&without).unwrap();
    assert_eq!(
        read,
        Traits {
            identity: None,
            ..whole
        }
        .into()
    );
}

#[test]
fn surplus_and_repeated_blocks_are_refused() {
    let link = unsealed(&full(Kind::IdentityLink));
    let surplus = [(KeyClass::Profile, Vec::new())];
    assert!(matches!(
        link.payload(&surplus),
        Err(Error::UnexpectedBlock { class: KeyClass::Profile, event: Some(event), .. }) if event == link.id
    ));
    let mut traits = unsealed(&full(Kind::Traits));
    let mut twice = opened(&traits);
    twice.push(twice[0].clone());
    assert!(matches!(
        traits.payload(&twice),
        Err(Error::UnexpectedBlock { .. })
    ));
    traits.sealed.push(traits.sealed[0].clone());
    assert!(matches!(traits.encode(), Err(Error::BadClasses { .. })));
}

#[test]
fn kind_and_schema_id_must_agree() {
    let mut envelope = unsealed(&full(Kind::Traits));
    for id in [16, Kind::Behaviour.schema_id()] {
        envelope.schema_id = id;
        let error = envelope.encode().unwrap_err();
        let told = matches!(error, Error::KindMismatch { id: of, .. } if of == id);
        assert!(told, "{error}");
    }
    // A schema id nobody here knows may be newer: the envelope is readable, the payload is not.
    envelope.schema_id = 4711;
    let read = Envelope::decode(&envelope.encode().unwrap()).unwrap();
    let error = read.payload(&[]).unwrap_err();
    assert_eq!(
        error,
        Error::UnknownSchema {
            id: 4711,
            event: Some(envelope.id)
        }
    );
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.to_string().contains(&envelope.id.to_string()),
        "{error}"
    );
    envelope.schema_id = u32::MAX;
    assert!(matches!(envelope.encode(), Err(Error::Unencodable { .. })));
}

#[test]
fn frames_that_are_none_are_refused() {
    for frame in [
        &[][..],
        &[0],
        &[0, 0, 0, 0],
        &[1, 0, 0, 0, 1, 0],
        &[0xc3, 1, 0, 0, 0, 0],
    ] {
        let error = Envelope::decode(frame).unwrap_err();
        assert_eq!(
            error,
            Error::NotFramed {
                length: frame.len()
            }
        );
    }
    for id in [0, 2, 10, u32::MAX] {
        let mut frame = unsealed(&bare(Kind::Use)).encode().unwrap();
        frame[1..5].copy_from_slice(&id.to_be_bytes());
        assert_eq!(
            Envelope::decode(&frame),
            Err(Error::UnknownSchema { id, event: None })
        );
    }
}

#[test]
fn every_truncation_and_any_trailing_byte_is_refused() {
    for kind in Kind::ALL {
        let envelope = unsealed(&full(kind));
        let frame = envelope.encode().unwrap();
        for length in 0..frame.len() {
            assert!(
                Envelope::decode(&frame[..length]).is_err(),
                "{kind} cut to {length}"
            );
        }
        let longer = [&frame[..], &[0]].concat();
        assert!(
            matches!(Envelope::decode(&longer), Err(Error::MalformedEnvelope { fault }) if fault.reason == FaultReason::TrailingBytes)
        );
        for (index, (class, plain)) in opened(&envelope).into_iter().enumerate() {
            for cut in 0..plain.len() {
                let mut blocks = opened(&envelope);
                blocks[index].1.truncate(cut);
                let error = envelope.payload(&blocks).unwrap_err();
                assert!(
                    matches!(error, Error::MalformedBlock { block, .. } if block == Some(class)),
                    "{error}"
                );
            }
            let mut blocks = opened(&envelope);
            blocks[index].1.push(0);
            assert!(envelope.payload(&blocks).is_err());
        }
    }
}

#[test]
fn absurd_lengths_cost_nothing() {
    // A text of 2^62 bytes, a list of 2^62 items, and one of -2^63 items in a block of unknown
    // length.
    let huge = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let least = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for absurd in [&huge[..], &least] {
        let error = Payload::from_blocks(Kind::Rejection, 18, absurd, &[]).unwrap_err();
        assert!(
            matches!(&error, Error::MalformedBlock { fault, .. } if fault.field == "source" && fault.reason == FaultReason::BadLength),
            "{error}"
        );
        let opened = [(KeyClass::Profile, absurd.to_vec())];
        let error = Payload::from_blocks(Kind::Traits, 13, &[], &opened).unwrap_err();
        assert!(
            matches!(&error, Error::MalformedBlock { fault, .. } if fault.field == "values" && (absurd.len() == least.len() || fault.reason == FaultReason::BadLength)),
            "{error}"
        );
    }
}

#[test]
fn an_envelope_too_large_is_refused_both_ways() {
    let big = Rejection::new("shop", "too_large", "r".repeat(MAX_ENVELOPE_BYTES));
    let error = unsealed(&big.into()).encode().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let frame = vec![0; MAX_ENVELOPE_BYTES + 1];
    assert!(matches!(
        Envelope::decode(&frame),
        Err(Error::TooLarge { .. })
    ));
}

#[test]
fn personal_blocks_do_not_go_unsealed() {
    let envelope = unsealed(&full(Kind::Rejection));
    let sealed_needed = Envelope::without_personal_blocks(
        envelope.id,
        envelope.subject,
        "shop",
        "m-1",
        envelope.times,
        &full(Kind::Rejection),
    );
    assert!(matches!(sealed_needed, Err(Error::Unsealed { .. })));
    let link = full(Kind::IdentityLink);
    let plain = Envelope::without_personal_blocks(
        envelope.id,
        envelope.subject,
        "shop",
        "m-1",
        envelope.times,
        &link,
    )
    .unwrap();
    assert_eq!(plain.clear_payload().unwrap(), link);
}

#[test]
fn nothing_personal_is_printed() {
    for kind in Kind::ALL {
        let payload = full(kind);
        let envelope = unsealed(&payload);
        let shown = format!("{payload:?} {payload:#?} {envelope:?}");
        for planted in [
            "13800138000",
            "li@",
            "上海",
            "1200",
            "peanut",
            "ui-4711",
            "scan",
            "clerk",
            "门店",
            "H5",
            "15000",
            "example",
            "request 12",
            "purchasing",
            "gold",
            "12.5",
            "Order",
            "SPRING",
            "J45",
            "track",
            "-0.25",
        ] {
            assert!(!shown.contains(planted), "{kind}: {planted} in {shown}");
        }
    }
    // The control: what stands in clear is shown.
    assert!(format!("{:?}", full(Kind::ConsentDecision)).contains("email_marketing"));
    // Errors about sealed blocks quote nothing either.
    let mut values = b"\x02\x0aphone\x1613800138000".to_vec();
    values.push(7);
    let error =
        Payload::from_blocks(Kind::Traits, 13, &[], &[(KeyClass::Identity, values)]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("138"), "{error:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_payload_survives((kind, payload) in any_kind().prop_flat_map(|kind| (Just(kind), any_payload(kind)))) {
        prop_assert_eq!(payload.kind(), kind);
        there_and_back(&payload);
        independently_read(&payload);
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in any_kind()) {
        let _ = Envelope::decode(&bytes);
        let mut framed = vec![0, 0, 0, 0, 1];
        framed.extend_from_slice(&bytes);
        let _ = Envelope::decode(&framed);
        let _ = Payload::from_blocks(kind, kind.schema_id(), &bytes, &[]);
        let (clear, _) = bare(kind).blocks().unwrap();
        for class in KeyClass::ALL {
            if let Err(error) = Payload::from_blocks(kind, kind.schema_id(), &clear, &[(class, bytes.clone())]) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn flipped_bits_never_panic(kind in any_kind(), flips in proptest::collection::vec((any::<prop::sample::Index>(), 0..8_u32), 1..4)) {
        let mut frame = unsealed(&full(kind)).encode().unwrap();
        for (at, bit) in flips {
            let at = at.index(frame.len());
            frame[at] ^= 1 << bit;
        }
        if let Ok(envelope) = Envelope::decode(&frame) {
            if let Err(error) = envelope.payload(&opened(&envelope)) {
                let named = error.to_string().contains(&envelope.id.to_string());
                prop_assert!(named, "{}", error);
            }
            // I5: whatever stands in the consent topic restricts when it cannot be read.
            let fact = fact_of(&envelope, &opened(&envelope));
            prop_assert_eq!(fact.is_some(), envelope.kind.topic() == topics::CONSENT);
        }
    }
}
