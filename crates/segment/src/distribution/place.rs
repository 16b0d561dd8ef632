//! Where a query stands, as it goes to workers: sealed, and good for as long as a query may run.

use std::fmt;
use std::time::Duration;

use assent_consent::{Timestamp, Use};
use assent_journal::Checkpoint;
use assent_projection::Owner;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::refusal::Refusal;
use crate::use_log::sha256_hex;

/// The header that it travels in.
const HEADER: HeaderName = HeaderName::from_static("x-assent-place");
/// How far clocks of two machines may be apart.
const SKEW: Duration = Duration::from_secs(60);

/// What coordinators and workers share: who knows it may have lawful rows read.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The fewest bytes it has.
    pub const LEAST: usize = 32;

    /// A secret of these bytes; `None` for fewer than [`Secret::LEAST`].
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.into();
        (bytes.len() >= Self::LEAST).then_some(Self(bytes))
    }

    fn seal(&self, text: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length is a key");
        mac.update(text);
        mac
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The place of a query: everything that decides which rows its tables have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueryPlace {
    /// The build of this program that made it.
    pub(super) build: String,
    /// Purpose and scope.
    pub(super) declared: Use,
    /// How far consent and definitions were applied.
    pub(super) position: Checkpoint,
    /// The digest of the definitions.
    pub(super) definitions: String,
    /// The number and the writer of the manifest; `None` before the first.
    pub(super) manifest: Option<(u64, Owner)>,
    /// The verdicts at the evaluation time.
    pub(super) then: Verdicts,
    /// The verdicts of the present, when that is another time.
    pub(super) now: Option<Verdicts>,
    /// How many rows a batch may have.
    pub(super) batch_rows: usize,
}

/// Who is lawful at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Verdicts {
    pub(super) at: Timestamp,
    /// As of [`assent_permit::Permit::fingerprint`].
    pub(super) fingerprint: u64,
}

/// This build: its version, and a digest of the sources that decide which rows a query reads and how.
pub(super) fn build() -> String {
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("ASSENT_BUILD")).to_owned()
}

impl QueryPlace {
    /// The present that it was made in.
    pub(super) fn made_at(&self) -> Timestamp {
        self.now.unwrap_or(self.then).at
    }

    /// What a leaf names it by.
    pub(super) fn digest(&self) -> String {
        sha256_hex(&self.to_text())
    }

    fn to_text(&self) -> String {
        serde_json::to_string(self).expect("it is made of texts and numbers")
    }

    /// As headers of a request.
    pub(super) fn sealed(&self, secret: &Secret) -> HeaderMap {
        let text = self.to_text();
        let seal = secret.seal(text.as_bytes()).finalize().into_bytes();
        let value = format!("{}.{}", hex::encode(text), hex::encode(seal));
        let value = HeaderValue::from_str(&value).expect("hexadecimal digits");
        HeaderMap::from_iter([(HEADER, value)])
    }

    /// The place in the headers of a request; `now` is the present here, `valid` how long a query may run.
    ///
    /// # Errors
    /// There is none, the seal does not fit, another build made it, or it is too old.
    pub(super) fn opened(
        headers: &HeaderMap,
        secret: &Secret,
        now: Timestamp,
        valid: Duration,
    ) -> Result<Self, Refusal> {
        let value = headers.get(&HEADER).ok_or(Refusal::NoPlace)?;
        let (text, seal) = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once('.'))
            .and_then(|(text, seal)| Some((hex::decode(text).ok()?, hex::decode(seal).ok()?)))
            .ok_or(Refusal::NoPlace)?;
        secret
            .seal(&text)
            .verify_slice(&seal)
            .map_err(|_| Refusal::Unsealed)?;
        let place: Self = serde_json::from_slice(&text).map_err(|_| Refusal::Build)?;
        if place.build != build() {
            return Err(Refusal::Build);
        }
        let made = place.made_at().micros();
        let age = now.micros().saturating_sub(made).unsigned_abs();
        let most = match made <= now.micros() {
            true => valid.saturating_add(SKEW),
            false => SKEW,
        };
        if u128::from(age) > most.as_micros() {
            return Err(Refusal::Stale);
        }
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use assent_consent::PurposeId;

    use super::*;

    fn secret(byte: u8) -> Secret {
        Secret::new([byte; 32]).expect("long enough")
    }

    fn place() -> QueryPlace {
        QueryPlace {
            build: build(),
            declared: Use::of(PurposeId::parse("marketing").expect("a name")),
            position: Checkpoint::new(),
            definitions: "d".to_owned(),
            manifest: None,
            then: Verdicts {
                at: Timestamp::from_micros(1_000_000),
                fingerprint: u64::MAX,
            },
            now: None,
            batch_rows: 8192,
        }
    }

    fn open(headers: &HeaderMap, seconds: i64) -> Result<QueryPlace, Refusal> {
        let now = Timestamp::from_micros(seconds * 1_000_000);
        QueryPlace::opened(headers, &secret(1), now, Duration::from_secs(30))
    }

    #[test]
    fn a_place_opens_as_it_was_sealed_and_for_as_long_as_a_query_runs() {
        let headers = place().sealed(&secret(1));
        assert_eq!(open(&headers, 2), Ok(place()));
        assert_eq!(open(&headers, 91), Ok(place()), "30 s and a minute");
        assert_eq!(open(&headers, 92), Err(Refusal::Stale));
        assert_eq!(open(&headers, -59), Ok(place()), "another clock");
        assert_eq!(open(&headers, -60), Err(Refusal::Stale), "of the future");
    }

    #[test]
    fn what_is_not_sealed_by_the_secret_is_no_place() {
        assert_eq!(open(&HeaderMap::new(), 2), Err(Refusal::NoPlace));
        let with = |value: &str| {
            let value = HeaderValue::from_str(value).expect("a value");
            HeaderMap::from_iter([(HEADER, value)])
        };
        for nothing in ["", ".", "zz.zz", "7b7d"] {
            let opened = open(&with(nothing), 2);
            let refused = opened.expect_err("no place");
            assert!(
                matches!(refused, Refusal::NoPlace | Refusal::Unsealed),
                "{nothing}: {refused}"
            );
        }
        let foreign = place().sealed(&secret(2));
        assert_eq!(open(&foreign, 2), Err(Refusal::Unsealed));
        // Another purpose under the seal of this one.
        let sealed = place().sealed(&secret(1));
        let (text, seal) = sealed[&HEADER]
            .to_str()
            .ok()
            .and_then(|value| value.split_once('.'))
            .expect("two parts");
        let other = text.replace(&hex::encode("marketing"), &hex::encode("warketing"));
        assert_ne!(text, other, "the control");
        let forged = with(&format!("{other}.{seal}"));
        assert_eq!(open(&forged, 2), Err(Refusal::Unsealed));
    }

    #[test]
    fn a_place_of_another_build_is_refused() {
        let mut other = place();
        other.build = "0.0.0".to_owned();
        assert_eq!(open(&other.sealed(&secret(1)), 2), Err(Refusal::Build));
    }

    #[test]
    fn a_secret_is_long_and_does_not_show() {
        assert!(Secret::new([7; 31]).is_none());
        assert_eq!(format!("{:?}", secret(7)), "Secret");
    }
}
