//! Round trips, sizes, and what damage is recognised as.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

use super::{Fault, HEADER, Packer, STORED_AIM, Unpacker, check, checksum};
use crate::Record;

const KEY: super::Key = (3, 7, 1 << 40);

fn record() -> impl Strategy<Value = Record> {
    let bytes = || vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    (bytes(), bytes(), vec(("[a-zä]{0,5}", bytes()), 0..3)).prop_map(|(key, value, headers)| {
        Record {
            topic: "t".into(),
            key,
            value,
            headers,
        }
    })
}

fn unpack(key: super::Key, stored: &[u8]) -> Result<Vec<Record>, Fault> {
    let mut unpacker = Unpacker::new(key, stored)?;
    let mut records = Vec::new();
    while let Some(found) = unpacker.next()? {
        records.push(Record {
            topic: "t".into(),
            key: found.key,
            value: found.value,
            headers: found.headers,
        });
    }
    Ok(records)
}

fn packed(records: &[Record]) -> Vec<u8> {
    let refs: Vec<&Record> = records.iter().collect();
    let mut packer = Packer::new().unwrap();
    let (taken, stored) = packer.pack(KEY, &refs).unwrap();
    assert_eq!(taken, records.len());
    stored.to_vec()
}

proptest! {
    #[test]
    fn what_was_packed_comes_back(records in vec(record(), 1..30), skipped in 0usize..30) {
        let stored = packed(&records);
        prop_assert_eq!(check(KEY, &stored), Ok(records.len() as u32));
        prop_assert_eq!(&unpack(KEY, &stored).unwrap(), &records);

        let mut unpacker = Unpacker::new(KEY, &stored).unwrap();
        if skipped < records.len() {
            unpacker.skip(skipped as u64).unwrap();
            let next = unpacker.next().unwrap().unwrap();
            prop_assert_eq!(&next.value, &records[skipped].value);
            prop_assert_eq!(unpacker.left() as usize, records.len() - skipped - 1);
        }
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_recognised(
        records in vec(record(), 1..10), place in any::<proptest::sample::Index>(), bit in 0..8u8,
    ) {
        let stored = packed(&records);
        let mut flipped = stored.clone();
        flipped[place.index(stored.len())] ^= 1 << bit;
        assert!(unpack(KEY, &flipped).is_err());
        assert!(unpack(KEY, &stored[..place.index(stored.len())]).is_err());
    }
}

#[test]
fn damage_has_a_name() {
    let stored = packed(&[Record {
        topic: "t".into(),
        key: Bytes::from_static(b"key"),
        value: Bytes::from(vec![b'v'; 500]),
        headers: vec![],
    }]);
    assert_eq!(unpack(KEY, &[]).unwrap_err(), Fault::Torn);
    assert_eq!(unpack(KEY, &stored[..15]).unwrap_err(), Fault::Torn);
    assert_eq!(unpack(KEY, &stored[..20]).unwrap_err(), Fault::Checksum);
    // The same bytes in another batch's place.
    let elsewhere = (KEY.0, KEY.1 + 1, KEY.2);
    assert_eq!(unpack(elsewhere, &stored).unwrap_err(), Fault::Checksum);

    let mut newer = stored.clone();
    newer[0] = 2;
    assert_eq!(unpack(KEY, &newer).unwrap_err(), Fault::Version(2));

    // What a faulty writer could leave behind, with a checksum that fits.
    let sealed = |change: fn(&mut Vec<u8>)| {
        let mut stored = stored.clone();
        change(&mut stored);
        let crc = checksum(KEY, &stored);
        stored[12..16].copy_from_slice(&crc.to_le_bytes());
        unpack(KEY, &stored).unwrap_err()
    };
    assert_eq!(sealed(|s| s[1] = 9), Fault::Codec);
    assert_eq!(sealed(|s| s[4] = 2), Fault::Body);
    assert_eq!(sealed(|s| s[4] = 0), Fault::Body);
    assert_eq!(sealed(|s| s[8] ^= 1), Fault::Body);
    assert_eq!(sealed(|s| s[11] = 0xff), Fault::Body);
    assert_eq!(sealed(|s| s.truncate(HEADER)), Fault::Body);
}

#[test]
fn stored_values_stay_just_below_a_power_of_two() {
    // A generator of bytes that do not compress; a fixed one, so that sizes are the same in every run.
    let mut state = 1u64;
    let mut noise = |length: usize| -> Bytes {
        (0..length)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            })
            .collect()
    };
    for half_compressible in [false, true] {
        let records: Vec<Record> = (0..8_000)
            .map(|_| {
                let mut value = noise(150).to_vec();
                if half_compressible {
                    value.extend_from_slice(&[b'x'; 450]);
                }
                Record {
                    topic: "t".into(),
                    key: noise(16),
                    value: value.into(),
                    headers: vec![],
                }
            })
            .collect();
        let refs: Vec<&Record> = records.iter().collect();
        let mut packer = Packer::new().unwrap();
        let (mut rest, mut sizes, mut all) = (&refs[..], Vec::new(), Vec::new());
        while !rest.is_empty() {
            let (taken, stored) = packer.pack(KEY, rest).unwrap();
            sizes.push(stored.len());
            all.extend(unpack(KEY, stored).unwrap());
            rest = &rest[taken..];
        }
        assert_eq!(all, records);
        assert!(sizes.iter().all(|size| *size <= STORED_AIM), "{sizes:?}");
        // After the first batch, from which the ratio is learnt, and but for the last.
        let settled = &sizes[2..sizes.len() - 1];
        assert!(settled.len() >= 3, "{sizes:?}");
        assert!(settled.iter().all(|size| *size > 110_000), "{sizes:?}");
    }
}

#[test]
fn a_record_above_the_aim_stands_alone() {
    let big = Record {
        topic: "t".into(),
        key: Bytes::from_static(b"k"),
        value: Bytes::from(vec![1; crate::MAX_RECORD_BYTES - 1]),
        headers: vec![],
    };
    let small = Record {
        value: Bytes::from_static(b"v"),
        ..big.clone()
    };
    let mut packer = Packer::new().unwrap();
    let (taken, stored) = packer.pack(KEY, &[&big, &small]).unwrap();
    assert_eq!(taken, 1);
    assert_eq!(unpack(KEY, stored).unwrap(), [big]);
}
