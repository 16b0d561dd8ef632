//! The legal bases of PIPL art. 13 and the forms consent can take.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One of the seven legal bases of PIPL art. 13(1). There is no eighth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LegalBasis {
    /// Art. 13(1)(1): the person's consent.
    Consent,
    /// Art. 13(1)(2): necessary for a contract to which the person is a party, or for human
    /// resources under lawful rules. Never marketing.
    Contract,
    /// Art. 13(1)(3): necessary for a legal duty or responsibility.
    LegalDuty,
    /// Art. 13(1)(4): public health, or protection of life, health and property in an emergency.
    Emergency,
    /// Art. 13(1)(5): news and supervision by public opinion, within reason.
    PublicInterestNews,
    /// Art. 13(1)(6): information the person or the law made public, within reason; ends when
    /// the person refuses (art. 27).
    PublicInformation,
    /// Art. 13(1)(7): another law or administrative regulation, which must be cited.
    OtherLaw,
}

/// A text that names no legal basis of the PIPL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownBasis {
    /// The basis of Art. 6(1)(f) GDPR, which the PIPL does not have.
    #[error(
        "basis: the PIPL has no legitimate interest (art. 13 lists seven bases); ask for consent \
         or name the basis that applies"
    )]
    LegitimateInterest,
    /// Anything else.
    #[error("basis: unknown; write one of {}", LegalBasis::names())]
    Unknown,
}

impl LegalBasis {
    /// All bases, in the order of art. 13(1).
    pub const ALL: [Self; 7] = [
        Self::Consent,
        Self::Contract,
        Self::LegalDuty,
        Self::Emergency,
        Self::PublicInterestNews,
        Self::PublicInformation,
        Self::OtherLaw,
    ];

    /// The name in definitions, such as `legal_duty`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Contract => "contract",
            Self::LegalDuty => "legal_duty",
            Self::Emergency => "emergency",
            Self::PublicInterestNews => "public_interest_news",
            Self::PublicInformation => "public_information",
            Self::OtherLaw => "other_law",
        }
    }

    /// Where the PIPL states it, such as `13(1)(3)`.
    #[must_use]
    pub const fn article(self) -> &'static str {
        match self {
            Self::Consent => "13(1)(1)",
            Self::Contract => "13(1)(2)",
            Self::LegalDuty => "13(1)(3)",
            Self::Emergency => "13(1)(4)",
            Self::PublicInterestNews => "13(1)(5)",
            Self::PublicInformation => "13(1)(6)",
            Self::OtherLaw => "13(1)(7)",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

impl fmt::Display for LegalBasis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LegalBasis {
    type Err = UnknownBasis;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if matches!(text, "legitimate_interest" | "legitimate_interests") {
            return Err(UnknownBasis::LegitimateInterest);
        }
        Self::ALL
            .into_iter()
            .find(|basis| basis.as_str() == text)
            .ok_or(UnknownBasis::Unknown)
    }
}

impl Serialize for LegalBasis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for LegalBasis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// How consent was given, and what form a purpose asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConsentForm {
    /// Voluntary, explicit, informed (art. 14).
    General,
    /// Given for this one thing alone, by an indication of its own (art. 23, 25, 29, 39).
    Separate,
    /// In writing, where a statute or administrative regulation asks for it (art. 29).
    Written,
    /// Given by a parent or guardian for a child under fourteen (art. 31).
    Guardian,
}

/// A text that names no form of consent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("form: unknown; write one of general, separate, written, guardian")]
pub struct UnknownForm;

impl ConsentForm {
    /// All forms.
    pub const ALL: [Self; 4] = [Self::General, Self::Separate, Self::Written, Self::Guardian];

    /// The name in definitions and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Separate => "separate",
            Self::Written => "written",
            Self::Guardian => "guardian",
        }
    }
}

impl fmt::Display for ConsentForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ConsentForm {
    type Err = UnknownForm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|form| form.as_str() == text)
            .ok_or(UnknownForm)
    }
}

impl Serialize for ConsentForm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ConsentForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_basis_is_read_by_its_name_and_names_its_article() {
        for (number, basis) in (1..).zip(LegalBasis::ALL) {
            assert_eq!(basis.as_str().parse(), Ok(basis));
            assert_eq!(basis.article(), format!("13(1)({number})"));
        }
    }

    #[test]
    fn legitimate_interest_is_refused_by_name() {
        let error = serde_json::from_str::<LegalBasis>("\"legitimate_interest\"").unwrap_err();
        assert!(
            error.to_string().contains("no legitimate interest"),
            "{error}"
        );
        let error = "whim".parse::<LegalBasis>().unwrap_err();
        assert!(error.to_string().contains("public_information"), "{error}");
    }

    #[test]
    fn every_form_is_read_by_its_name() {
        for form in ConsentForm::ALL {
            assert_eq!(form.as_str().parse(), Ok(form));
        }
        assert_eq!("verbal".parse::<ConsentForm>(), Err(UnknownForm));
    }
}
