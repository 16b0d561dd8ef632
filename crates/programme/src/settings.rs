//! Settings of a whole programme.

use std::collections::BTreeSet;

use assent_consent::{Calendar, LegalBasis};
use assent_event::spelling::CHINA;
use serde::{Deserialize, Serialize};

/// What holds for the whole programme.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The calendar in which days begin and end: windows, expiry, birthdays.
    pub calendar: Calendar,
    /// Groups of fewer people than this are suppressed in roll-ups (law.md §4, account roll-up).
    pub k: u32,
    /// How many days an event's (source, messageId) is remembered to recognise a repetition.
    pub deduplication_days: u32,
    /// The calling code of telephone numbers that are written without one.
    #[serde(default = "china", skip_serializing_if = "is_china")]
    pub phone_calling_code: u32,
    /// Bases that are off unless named here: emergency and news (art. 13(1)(4) and (5)).
    pub enabled_bases: BTreeSet<LegalBasis>,
}

impl Default for Settings {
    /// Asia/Shanghai, k = 5, seven days, telephones of China, neither emergency nor news.
    fn default() -> Self {
        Self {
            calendar: Calendar::default(),
            k: 5,
            deduplication_days: 7,
            phone_calling_code: CHINA,
            enabled_bases: BTreeSet::new(),
        }
    }
}

fn china() -> u32 {
    CHINA
}

/// Registries of before the setting say nothing of it, and so do those that have the default.
fn is_china(code: &u32) -> bool {
    *code == CHINA
}
