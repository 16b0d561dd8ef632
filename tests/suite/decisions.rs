//! The oracle of consent: simple histories made from a seed, and a plain statement of who is lawful.
//!
//! It shares no code with the product. All instants are seconds since 1970, UTC. The statement is only as long as it is
//! because the histories are simple: no links, no children, one notice version, one recipient.

use std::collections::BTreeSet;

use assent_testkit::seeded::Seeded;

use crate::oracle::{day_of, days_from, start_of};

/// A purpose of `tests/programmes/cdnow`, as far as it matters here.
#[derive(Clone, Copy)]
pub(crate) struct Purpose {
    pub(crate) name: &'static str,
    /// Its only channel.
    pub(crate) channel: Option<&'static str>,
    /// Its only recipient; one needs separate consent.
    pub(crate) recipient: Option<&'static str>,
    pub(crate) notice: &'static str,
    pub(crate) categories: &'static [&'static str],
    /// Days after which a grant ends.
    pub(crate) validity_days: Option<i64>,
}

pub(crate) const EMAIL: Purpose = Purpose {
    name: "email_marketing",
    channel: Some("email"),
    recipient: None,
    notice: "shop@1",
    categories: &["profile", "transaction", "behaviour"],
    validity_days: None,
};

pub(crate) const POST: Purpose = Purpose {
    name: "catalogue_mailing",
    channel: Some("post"),
    recipient: None,
    notice: "shop@1",
    categories: &["profile", "transaction"],
    validity_days: Some(180),
};

pub(crate) const LABEL: Purpose = Purpose {
    name: "partner_sharing",
    channel: None,
    recipient: Some("label"),
    notice: "sharing@1",
    categories: &["transaction", "behaviour"],
    validity_days: None,
};

pub(crate) const PURPOSES: [Purpose; 3] = [EMAIL, POST, LABEL];

/// What somebody decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Granted,
    Refused,
    Withdrawn,
}

/// One decision of one customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) state: State,
    /// `None`: all purposes.
    pub(crate) purpose: Option<&'static str>,
    pub(crate) channel: Option<&'static str>,
    pub(crate) categories: Option<&'static [&'static str]>,
    /// The act by which somebody agreed; of separate consent only.
    pub(crate) indication: Option<String>,
    pub(crate) expires: Option<i64>,
    /// When the sender says it was made.
    pub(crate) claimed: i64,
    /// When it is sent to us.
    pub(crate) received: i64,
}

impl Decision {
    fn time(&self) -> i64 {
        self.claimed.min(self.received)
    }

    /// A decision about one purpose, made and received then.
    pub(crate) fn plain(state: State, purpose: &Purpose, claimed: i64, received: i64) -> Self {
        Self {
            state,
            purpose: Some(purpose.name),
            channel: None,
            categories: None,
            indication: None,
            expires: None,
            claimed,
            received,
        }
    }
}

/// The categories of a customer's data that a purpose may use at an instant; `None`: the customer is not there.
///
/// Somebody is there who said yes and did not say no since: a grant counts if it has not ended, and if it was made after
/// and reached us after every refusal and withdrawal of the purpose, of all purposes or of its channel. A grant for a
/// recipient counts only if its act was about nothing else.
pub(crate) fn covered(
    purpose: &Purpose,
    history: &[Decision],
    at: i64,
) -> Option<BTreeSet<&'static str>> {
    let known: Vec<&Decision> = history.iter().filter(|said| said.received <= at).collect();
    let about = |said: &Decision| said.purpose.is_none_or(|name| name == purpose.name);
    let noes: Vec<&&Decision> = known
        .iter()
        .filter(|said| said.state != State::Granted && about(said))
        .filter(|said| said.channel.is_none() || said.channel == purpose.channel)
        .collect();
    let mut found = None;
    for yes in &known {
        if yes.state != State::Granted || yes.purpose != Some(purpose.name) {
            continue;
        }
        let by_act = purpose
            .validity_days
            .map(|days| start_of(day_of(yes.time()) + days));
        let ended = [yes.expires, by_act].iter().flatten().any(|end| *end <= at);
        let bundled = purpose.recipient.is_some()
            && known.iter().any(|other| {
                other.state == State::Granted
                    && other.purpose != yes.purpose
                    && other.indication == yes.indication
            });
        // A no is believed to be a day old at most when it comes.
        let unanswered = noes.iter().all(|no| {
            let said = no.time().max(no.received - 86_400);
            yes.time() > said && yes.received > no.received
        });
        if !ended && !bundled && unanswered {
            let categories = yes.categories.unwrap_or(purpose.categories);
            found
                .get_or_insert_with(BTreeSet::new)
                .extend(categories.iter().copied());
        }
    }
    found
}

/// The instants at which decisions are sent, three hours apart within a round: one for each purpose, so that a customer
/// decides at most one thing at a time.
const ROUNDS: [(i64, i64, i64); 5] = [
    (1997, 12, 5),
    (1998, 2, 10),
    (1998, 4, 1),
    (1998, 5, 20),
    (1998, 6, 25),
];
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

fn instant(round: usize, purpose: usize) -> i64 {
    let (year, month, day) = ROUNDS[round];
    start_of(days_from(year, month, day)) + 3 * HOUR * (1 + purpose as i64)
}

/// A customer's decisions, in the order in which they are received. `at` is when they will be evaluated.
pub(crate) fn history(random: &mut Seeded, customer: &str, at: i64) -> Vec<Decision> {
    let mut said = Vec::new();
    for (index, purpose) in PURPOSES.iter().enumerate() {
        let mut story = Story {
            random,
            purpose,
            index,
            customer,
            said: &mut said,
        };
        story.tell(at);
    }
    said.sort_by_key(|decision| decision.received);
    said
}

struct Story<'s> {
    random: &'s mut Seeded,
    purpose: &'s Purpose,
    index: usize,
    customer: &'s str,
    said: &'s mut Vec<Decision>,
}

impl Story<'_> {
    /// A decision received in a round and made some days before.
    fn say(&mut self, state: State, round: usize) -> &mut Decision {
        let received = instant(round, self.index);
        let claimed = received - self.random.between(HOUR, 14 * DAY);
        self.say_then(state, round, claimed)
    }

    fn say_then(&mut self, state: State, round: usize, claimed: i64) -> &mut Decision {
        let received = instant(round, self.index);
        let mut decision = Decision::plain(state, self.purpose, claimed, received);
        if state == State::Granted && self.purpose.recipient.is_some() {
            decision.indication = Some(format!("{}-{}-{round}", self.customer, self.purpose.name));
        }
        self.said.push(decision);
        self.said.last_mut().expect("it was pushed just now")
    }

    fn tell(&mut self, at: i64) {
        use State::{Granted, Refused, Withdrawn};
        let round = |round| instant(round, self.index);
        let (first, second, third) = (round(1), round(2), round(3));
        match self.random.below(40) {
            // Nothing at all.
            0..18 => {}
            18..24 => {
                let round = self.random.index(ROUNDS.len());
                self.say(Granted, round);
            }
            24 => {
                self.say(Refused, 2);
            }
            25 | 26 => {
                self.say(Granted, 1);
                self.say(Withdrawn, 3);
            }
            27 => {
                self.say(Granted, 0);
                self.say(Withdrawn, 2);
                self.say(Granted, 4);
            }
            // Ends before, at or after the evaluation.
            28 => {
                let end = at + *self.random.pick(&[-30 * DAY, -1, 0, 1, 30 * DAY]);
                self.say(Granted, 2).expires = Some(end);
            }
            // A grant made before the withdrawal reaches us after it.
            29 => {
                self.say_then(Withdrawn, 1, first - 2 * DAY);
                self.say_then(Granted, 3, first - 5 * DAY);
            }
            // A withdrawal made before the grant reaches us after it.
            30 => {
                self.say_then(Granted, 1, first - DAY);
                self.say_then(Withdrawn, 3, first - 5 * DAY);
            }
            // Both made at the same time, in both orders of receipt.
            31 => {
                self.say_then(Withdrawn, 1, first - DAY);
                self.say_then(Granted, 2, first - DAY);
            }
            32 => {
                self.say_then(Granted, 1, first - DAY);
                self.say_then(Refused, 2, first - DAY);
            }
            // No more e-mail, for whatever purpose; and yes again, by some.
            33 | 34 => {
                self.say(Granted, 1);
                let no = self.say(Withdrawn, 2);
                (no.purpose, no.channel) = (None, Some("email"));
                if self.random.chance(40) {
                    self.say(Granted, 3);
                }
            }
            // A clock that is a year ahead refuses, and a true one grants after it.
            35 => {
                self.say_then(Refused, 1, first + 365 * DAY);
                self.say_then(Granted, 3, third - DAY);
            }
            // A clock that is a little ahead grants (what is far ahead is refused), and a true one withdraws after it.
            36 => {
                self.say_then(Granted, 1, first + 50);
                self.say_then(Withdrawn, 2, second - DAY);
            }
            // No more of anything.
            37 => {
                self.say(Granted, 0);
                self.say(Withdrawn, 3).purpose = None;
            }
            // Yes, but not to all categories.
            38 => {
                let some: [&[&str]; 2] =
                    [&self.purpose.categories[..1], &self.purpose.categories[1..]];
                let some = *self.random.pick(&some);
                self.say(Granted, 2).categories = Some(some);
            }
            // The last second of the day that is too long ago, and the first that is not; or one act for two things.
            _ if self.purpose.recipient.is_none() => {
                let second = start_of(days_from(1998, 1, 3)) - self.random.between(0, 2);
                self.say_then(Granted, 1, second);
            }
            _ => {
                let received = round(2);
                let also = Decision::plain(Granted, &EMAIL, received - DAY, received);
                let act = Some(format!("{}-bundle", self.customer));
                self.said.push(Decision {
                    indication: act.clone(),
                    ..also
                });
                self.say(Granted, 2).indication = act;
            }
        }
    }
}
