//! Which partition a key belongs to, the same in every implementation.

/// The partition of a key: murmur2 as Kafka's default partitioner computes it, so that records
/// written by Java clients, by Kafka and by the embedded journal agree.
///
/// An empty key is hashed like any other (Kafka would spread records *without* a key; ours all have
/// one). `partitions` of zero counts as one.
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    // Kafka's `toPositive`: the sign bit is cleared, not the absolute value taken.
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// 32-bit murmur2 with Kafka's seed (`org.apache.kafka.common.utils.Utils#murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;

    // Keys are bounded by `MAX_RECORD_BYTES`, so the length fits; Java's `int` would wrap likewise.
    let mut hash = SEED ^ (data.len() as u32);
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (at, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of Kafka's own `UtilsTest#testMurmur2`.
    #[test]
    fn murmur2_agrees_with_kafka() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn a_negative_hash_stays_within_the_partitions() {
        // -973932308 & 0x7fffffff = 1173551340
        assert_eq!(partition_of(b"21", 7), 1_173_551_340 % 7);
        assert_eq!(partition_of(b"", 0), 0);
        assert!((0..1000u32).all(|n| partition_of(&n.to_be_bytes(), 3) < 3));
    }
}
