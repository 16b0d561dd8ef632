//! Decisions of the oracle, as a client would send them.

use std::collections::BTreeMap;

use assent_consent::Timestamp;
use assent_intake::Caller;
use serde_json::{Value, json};

use crate::decisions::{Decision, PURPOSES, State};
use crate::house::{House, IMPORT_KEY, is_journalled};

/// Less than intake takes at once.
const BATCH: usize = 2_000;

/// Sends every customer's decisions at their times of receipt, the clock set to each.
pub(crate) async fn send(house: &House, histories: &BTreeMap<String, Vec<Decision>>) {
    let mut by_receipt: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
    for (customer, history) in histories {
        for decision in history {
            by_receipt
                .entry(decision.received)
                .or_default()
                .push(body(customer, decision));
        }
    }
    for (received, bodies) in by_receipt {
        house.set_now(instant(received));
        send_all(house, bodies).await;
    }
}

/// Sends these objects now; all of them must be taken.
pub(crate) async fn send_all(house: &House, bodies: Vec<Value>) {
    let caller = Caller::with_key(IMPORT_KEY);
    for batch in bodies.chunks(BATCH) {
        let body = Value::Array(batch.to_vec());
        let outcomes = house.intake.consents(&caller, body).await.unwrap();
        assert_eq!(outcomes.len(), batch.len());
        for (outcome, body) in outcomes.iter().zip(batch) {
            assert!(is_journalled(outcome), "{outcome:?} of {body}");
        }
    }
}

pub(crate) fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn body(customer: &str, decision: &Decision) -> Value {
    let mut body = json!({
        "subject": {"cdnow_customer": customer},
        "purpose": decision.purpose.unwrap_or("all"),
        "state": match decision.state {
            State::Granted => "granted",
            State::Refused => "refused",
            State::Withdrawn => "withdrawn",
        },
        "event_time": instant(decision.claimed).to_string(),
    });
    if let Some(channel) = decision.channel {
        body["channel"] = channel.into();
    }
    if decision.state == State::Granted {
        let of = |name| PURPOSES.into_iter().find(|purpose| purpose.name == name);
        let purpose = decision.purpose.and_then(of).unwrap();
        body["notice"] = purpose.notice.into();
        body["act"] = "checkbox_ticked".into();
        if let Some(recipient) = purpose.recipient {
            body["recipient"] = recipient.into();
            body["form"] = "separate".into();
        }
        if let Some(indication) = &decision.indication {
            body["indication"] = indication.as_str().into();
        }
        if let Some(categories) = decision.categories {
            body["categories"] = json!(categories);
        }
        if let Some(expires) = decision.expires {
            body["expires_at"] = instant(expires).to_string().into();
        }
    }
    body
}
