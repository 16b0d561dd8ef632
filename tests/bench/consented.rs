//! A programme's members for the benchmark of the gate: what they told and did, and what they decided about it.

use assent_consent::Timestamp;
use assent_intake::Route;
use serde_json::{Value, json};

use crate::house::{House, SERVER_KEY};
use crate::population::{BATCH, call, customer, introduce, mixed};

/// Of a hundred members so many granted, for each purpose others.
pub(crate) const GRANTED: u64 = 60;

/// Purposes that members decide about: the notice and its version, and a number that makes the draw another.
const PURPOSES: [(&str, &str, u32, u64); 4] = [
    ("account_based_marketing", "business_contacts", 1, 0x6ea7),
    ("email_marketing", "membership", 2, 0xe3a1),
    ("sms_marketing", "membership", 2, 0x535),
    ("personalised_recommendations", "membership", 2, 0x9e25),
];

/// A decision that was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decision {
    pub(crate) member: u64,
    pub(crate) purpose: &'static str,
    pub(crate) granted: bool,
    pub(crate) decided_at: Timestamp,
}

/// The members, and every decision of theirs in the order made.
pub(crate) struct Consented {
    pub(crate) members: u64,
    pub(crate) decisions: Vec<Decision>,
}

impl Consented {
    /// Takes them in.
    pub(crate) async fn fill(house: &House, members: u64, events: u64) -> Self {
        introduce(house, members).await;
        for first in (0..events).step_by(usize::try_from(BATCH).unwrap_or(1)) {
            let calls: Vec<Value> = (first..events.min(first + BATCH))
                .map(|number| call(house.now(), number, members))
                .collect();
            let batch = json!({ "batch": calls });
            house.call(SERVER_KEY, Route::Batch, batch).await;
        }
        let mut consented = Self {
            members,
            decisions: Vec::new(),
        };
        let (mut groups, mut decisions) = (Vec::new(), Vec::new());
        for member in 0..members {
            groups.push(json!({
                "type": "group", "userId": customer(member), "messageId": format!("g-{member}"),
                "groupId": format!("CO-{}", mixed(member) % (members / 20)),
                "traits": { "country": "CN", "employees": "200-499", "buying_role": "influencer" },
            }));
            for (place, (.., salt)) in PURPOSES.iter().enumerate() {
                if mixed(member ^ salt) % 100 < GRANTED {
                    decisions.push(consented.decide(house, member, place, true));
                }
            }
            let last = member + 1 == members;
            if groups.len() as u64 >= BATCH || last {
                let batch = json!({ "batch": std::mem::take(&mut groups) });
                house.call(SERVER_KEY, Route::Batch, batch).await;
            }
            if decisions.len() as u64 >= BATCH || last {
                send(house, &mut decisions).await;
            }
        }
        consented
    }

    /// Of a hundred members so many do something more, and decide anew about the first purpose.
    pub(crate) async fn change(&mut self, house: &House, first_event: u64, of_a_hundred: u64) {
        let (mut calls, mut decisions) = (Vec::new(), Vec::new());
        let changed =
            (0..self.members).filter(|member| mixed(member ^ 0xc4a9) % 100 < of_a_hundred);
        for (number, member) in (first_event..).zip(changed) {
            calls.push(json!({
                "type": "track", "event": "Order Completed", "userId": customer(member),
                "messageId": format!("o-{number}"), "properties": { "revenue": 40, "currency": "CNY" },
            }));
            let granted = mixed(member ^ 0x91) % 10 >= 4;
            decisions.push(self.decide(house, member, 0, granted));
        }
        for batch in calls.chunks(usize::try_from(BATCH).unwrap_or(1)) {
            let batch = json!({ "batch": batch });
            house.call(SERVER_KEY, Route::Batch, batch).await;
        }
        for batch in decisions.chunks(usize::try_from(BATCH).unwrap_or(1)) {
            house.decide(Value::Array(batch.to_vec())).await;
        }
    }

    /// Notes a decision; the same to be sent.
    fn decide(&mut self, house: &House, member: u64, purpose: usize, granted: bool) -> Value {
        let (purpose, notice, version, _) = PURPOSES[purpose];
        self.decisions.push(Decision {
            member,
            purpose,
            granted,
            decided_at: house.now(),
        });
        let (state, act) = match granted {
            true => ("granted", "checkbox_ticked"),
            false => ("withdrawn", "unsubscribe_clicked"),
        };
        json!({
            "subject": { "customer_no": customer(member) }, "purpose": purpose, "state": state, "act": act,
            "notice": { "id": notice, "version": version },
        })
    }
}

async fn send(house: &House, decisions: &mut Vec<Value>) {
    if !decisions.is_empty() {
        house.decide(Value::Array(std::mem::take(decisions))).await;
    }
}
