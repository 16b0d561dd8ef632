//! The answer to each event: exactly one outcome (invariant I9).
//!
//! Texts say what is wrong and how to mend it. They name fields, never values: an outcome goes into
//! the journal in clear and a value may be personal data.

use std::fmt;

use assent_event::EventId;

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the journal, durably.
    Journalled {
        /// Its id; of an event that was recorded as several, the first one's.
        event_id: EventId,
        /// The message id it stands under; made by intake when the sender gave none.
        message_id: String,
        /// What was changed or left out on the way.
        warnings: Vec<Warning>,
    },
    /// An event of this source and message id was acknowledged before.
    Duplicate,
    /// It was refused, and the refusal is recorded.
    Rejected(Rejected),
}

/// Something about an event that was taken nevertheless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// A stable code.
    pub code: WarningCode,
    /// Where, as a JSON pointer (RFC 6901) into the event.
    pub pointer: String,
    /// What was done and what to do about it.
    pub message: String,
}

impl Warning {
    pub(crate) fn new(
        code: WarningCode,
        pointer: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            pointer: pointer.into(),
            message: message.into(),
        }
    }
}

/// Why an event was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// A stable code.
    pub code: Code,
    /// Where, as a JSON pointer (RFC 6901) into the body.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: String,
}

impl Rejected {
    pub(crate) fn new(
        code: Code,
        pointer: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            code,
            pointer: pointer.into(),
            message: message.into(),
            fix: fix.into(),
        }
    }

    /// The same, for an item that stands at this place of the body.
    pub(crate) fn within(mut self, place: &str) -> Self {
        self.pointer.insert_str(0, place);
        self
    }
}

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$item])* $variant,)*
        }

        impl $name {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as it stands in answers and in the journal.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

codes! {
    /// Why an event can be refused.
    Code {
        /// The item is not a JSON object.
        NotAnObject = "not_an_object",
        /// The event is longer than allowed.
        EventTooLarge = "event_too_large",
        /// `type` is missing or not one of the tracking calls.
        UnknownType = "unknown_type",
        /// Neither userId nor anonymousId.
        NoUserAnonId = "no_user_anon_id",
        /// A message id of 100 characters or more.
        MessageIdTooLong = "message_id_too_long",
        /// A required field is missing.
        FieldMissing = "field_missing",
        /// A field has the wrong type or an impossible value.
        FieldInvalid = "field_invalid",
        /// A grant has a field that means nothing: it might have been meant to limit the grant.
        FieldUnknown = "field_unknown",
        /// A name stands twice in an object that is to widen what is lawful.
        FieldRepeated = "field_repeated",
        /// A time is not RFC 3339.
        TimeInvalid = "time_invalid",
        /// The key is a browser's, and what was sent needs a server's.
        ServerKeyRequired = "server_key_required",
        /// No identifier of a person can be read.
        SubjectMissing = "subject_missing",
        /// The purpose is not one of the programme.
        UnknownPurpose = "unknown_purpose",
        /// The state is neither granted, refused nor withdrawn.
        StateInvalid = "state_invalid",
        /// A grant for all purposes at once.
        GrantOfAll = "grant_of_all",
        /// A grant for several identifiers of somebody who was not authenticated.
        NotAuthenticated = "not_authenticated",
        /// A grant without the notice that was shown (PIPL art. 14, 17).
        NoticeMissing = "notice_missing",
        /// A grant under a notice version that was never published.
        NoticeUnknown = "notice_unknown",
        /// A grant under a notice that was not yet in force.
        NoticeNotEffective = "notice_not_effective",
        /// The notice does not list the purpose.
        PurposeNotInNotice = "purpose_not_in_notice",
        /// The notice does not state this channel, recipient or category for the purpose.
        ScopeNotInNotice = "scope_not_in_notice",
        /// The act is none of those that indicate a will (PIPL art. 14).
        ActNotExplicit = "act_not_explicit",
        /// A grant recorded by somebody else than the person, without an artefact.
        EvidenceMissing = "evidence_missing",
        /// A separate or written consent without the act that indicated it (PIPL art. 29).
        IndicationMissing = "indication_missing",
        /// The guardian is not named.
        GuardianMissing = "guardian_missing",
        /// The fact is none of those that can be recorded.
        UnknownFact = "unknown_fact",
        /// A consent preference event without its preferences.
        PreferencesMissing = "preferences_missing",
        /// The message id stands for something else already, so what widens under it would not count.
        MessageIdUsed = "message_id_used",
        /// The purpose does not rest on a contract.
        NotAContractPurpose = "not_a_contract_purpose",
        /// One of the two identifiers belongs to as many people already as one may.
        TooManyLinks = "too_many_links",
        /// The body could not be read at all.
        UnreadableBody = "unreadable_body",
    }
}

codes! {
    /// What can be said about an event that was taken.
    WarningCode {
        /// The sender's clock is ahead; the event counts as of its receipt.
        ClockAhead = "clock_ahead",
        /// A time could not be read and was left out.
        TimeIgnored = "time_ignored",
        /// A trait that traits.yaml does not declare was left out.
        TraitUndeclared = "trait_undeclared",
        /// A trait whose value is not of its declared type was left out.
        TraitMistyped = "trait_mistyped",
        /// A direct identifier among the properties of an event was left out.
        IdentifierInProperties = "identifier_in_properties",
        /// A field was not understood and left out.
        FieldIgnored = "field_ignored",
        /// The purpose could not be read: the restriction holds for all of them.
        PurposeWidened = "purpose_widened",
        /// A limit (channel, recipient, categories …) could not be read: the restriction holds
        /// without it.
        LimitWidened = "limit_widened",
        /// The state could not be read: recorded as unreadable, which restricts.
        StateUnreadable = "state_unreadable",
        /// No source writes identifiers of this namespace.
        NamespaceUnknown = "namespace_unknown",
        /// A restriction is about an identifier that nobody sent before.
        SubjectUnknown = "subject_unknown",
        /// One of several identifiers could not be read.
        IdentifierIgnored = "identifier_ignored",
        /// The message id could not be used; a new one was made.
        MessageIdReplaced = "message_id_replaced",
        /// What needs a server key was left out.
        ServerKeyRequired = "server_key_required",
        /// A link was not recorded: one of the two identifiers belongs to too many people already.
        LinkNotRecorded = "link_not_recorded",
        /// A grant of the preferences was not recorded.
        GrantNotRecorded = "grant_not_recorded",
        /// Evidence was too long and left out.
        EvidenceDropped = "evidence_dropped",
    }
}
