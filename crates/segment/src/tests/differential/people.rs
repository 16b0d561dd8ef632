//! What is told of the people of a town. Whatever is personal carries a text or a number that is one person's alone.

use assent_consent::{SubjectId, Timestamp};
use assent_event::{
    AccountMembership, Behaviour, EventId, Payload, SubscriptionChange, Times, Traits,
};
use assent_programme::TraitCatalog;
use assent_testkit::generate::PURPOSES;
use assent_testkit::seeded::Seeded;
use assent_vault::Draft;
use serde_json::{Value, json};

use crate::tests::house::DAY;

/// A text that stands in every personal text of one person and nowhere else.
pub fn canary(index: usize) -> String {
    format!("P{index:03}X")
}

/// A number that no sum or count of others comes near; in quarters, so that sums are exact.
pub fn number(index: usize) -> f64 {
    f64::from(7_000_331 + u32::try_from(index).expect("small") * 1_000) + 0.25
}

/// The traits of a town: the same names, under categories that differ from town to town.
pub fn catalog(seeded: &mut Seeded) -> TraitCatalog {
    let mut of = |names: &[&str]| seeded.word(names).to_owned();
    let mut identified = Vec::new();
    for (name, r#type, categories) in [
        ("city", "text", &["profile", "contact"][..]),
        ("tier", "text", &["profile", "transaction"]),
        ("note", "text", &["profile", "behaviour"]),
        ("ltv", "number", &["transaction", "profile"]),
        ("visits", "integer", &["behaviour", "profile"]),
        ("vip", "boolean", &["profile", "contact"]),
        ("joined", "date", &["profile", "transaction"]),
        ("renewed", "timestamp", &["transaction", "behaviour"]),
        ("allergy", "text", &["health"]),
        ("home", "text", &["location", "contact"]),
    ] {
        identified.push(json!({
            "name": name, "type": r#type, "category": of(categories),
            // The two that are told in the sensitive block.
            "sensitive": name == "allergy" || name == "home", "description": name,
        }));
    }
    let revenue = json!({"sum": {"property": "revenue"}});
    let mut derived = Vec::new();
    for (name, event, measure, window, category) in [
        (
            "purchases_90d",
            "purchase",
            json!("count"),
            Some(90),
            "transaction",
        ),
        (
            "purchases_total",
            "purchase",
            json!("count"),
            None,
            "transaction",
        ),
        (
            "revenue_total",
            "purchase",
            revenue.clone(),
            None,
            "transaction",
        ),
        ("revenue_30d", "purchase", revenue, Some(30), "transaction"),
        (
            "first_purchase_at",
            "purchase",
            json!("first_at"),
            None,
            "transaction",
        ),
        (
            "last_purchase_at",
            "purchase",
            json!("last_at"),
            None,
            "behaviour",
        ),
        (
            "days_since_view",
            "page_view",
            json!("days_since_last"),
            None,
            "behaviour",
        ),
        (
            "views_total",
            "page_view",
            json!("count"),
            None,
            "behaviour",
        ),
        (
            "first_product",
            "purchase",
            json!({"first_value": {"property": "product"}}),
            None,
            "transaction",
        ),
        (
            "last_page",
            "page_view",
            json!({"last_value": {"property": "page"}}),
            None,
            "behaviour",
        ),
    ] {
        derived.push(json!({
            "name": name, "event": event, "measure": measure, "window_days": window,
            "category": category, "sensitive": false, "description": name,
        }));
    }
    serde_json::from_value(json!({"identified": identified, "derived": derived}))
        .expect("a catalogue")
}

struct Telling<'a> {
    seeded: &'a mut Seeded,
    now: Timestamp,
    drafts: Vec<Draft>,
}

/// Everything that is told of these people, in random order.
pub fn drafts(seeded: &mut Seeded, people: &[SubjectId], now: Timestamp) -> Vec<Draft> {
    let mut telling = Telling {
        seeded,
        now,
        drafts: Vec::new(),
    };
    for (index, subject) in people.iter().enumerate() {
        if !telling.seeded.chance(5) {
            telling.about(index, *subject);
        }
    }
    let Telling {
        seeded, mut drafts, ..
    } = telling;
    seeded.shuffle(&mut drafts);
    drafts
}

impl Telling<'_> {
    fn about(&mut self, index: usize, subject: SubjectId) {
        for _ in 0..*self.seeded.pick(&[1, 1, 2, 3]) {
            let traits = self.traits(index);
            self.say(subject, Payload::Traits(traits));
        }
        for _ in 0..self.seeded.below(8) {
            let behaviour = self.behaviour(index);
            self.say(subject, Payload::Behaviour(behaviour));
        }
        for _ in 0..*self.seeded.pick(&[0, 1, 1, 2]) {
            let membership = self.membership(index);
            self.say(subject, Payload::AccountMembership(membership));
        }
        for _ in 0..*self.seeded.pick(&[0, 0, 1, 2]) {
            let change = self.subscription(index);
            self.say(subject, Payload::SubscriptionChange(change));
        }
    }

    fn say(&mut self, subject: SubjectId, payload: Payload) {
        let times = self.times();
        let id = EventId::from_bytes(self.seeded.bytes16());
        self.drafts.push(Draft {
            id,
            subject,
            source: self.seeded.word(&["shop", "shop", "app"]).to_owned(),
            message_id: id.to_string(),
            times,
            payload,
        });
    }

    /// Within 500 days; sometimes heard of late, sometimes by a clock that runs ahead, often today.
    fn times(&mut self) -> Times {
        let ago = match self.seeded.below(10) {
            0 => self.seeded.between(0, DAY),
            1..4 => self.seeded.between(0, 40 * DAY),
            _ => self.seeded.between(0, 500 * DAY),
        };
        let happened = self.now.plus_micros(-ago);
        let later = Timestamp::from_micros(
            (happened.micros() + self.seeded.between(0, 20 * DAY)).min(self.now.micros()),
        );
        match self.seeded.below(10) {
            0 => Times::new(happened, later),
            1 => Times::new(later, happened),
            _ => Times::at(happened),
        }
    }

    fn traits(&mut self, index: usize) -> Traits {
        let canary = canary(index);
        let note = if self.seeded.chance(80) {
            self.seeded.below(9).to_string()
        } else {
            format!("{canary}-note")
        };
        let day = format!(
            "2025-{:02}-{:02}",
            1 + self.seeded.below(12),
            1 + self.seeded.below(28)
        );
        let plain: [(&str, Value); 8] = [
            ("city", json!(format!("{canary}-city"))),
            (
                "tier",
                json!(self.seeded.word(&["gold", "silver", "bronze"])),
            ),
            ("note", json!(note)),
            ("ltv", json!(number(index))),
            ("visits", json!(self.seeded.below(6))),
            ("vip", json!(self.seeded.chance(50))),
            ("joined", json!(day)),
            ("renewed", json!(format!("{day}T06:30:00Z"))),
        ];
        let mut traits = Traits::new();
        for (name, value) in plain {
            match self.seeded.below(20) {
                0 => traits = traits.value(name, Value::Null),
                1..17 => traits = traits.value(name, value),
                _ => {}
            }
        }
        if self.seeded.chance(70) {
            traits = traits.sensitive("allergy", format!("{canary}-allergy"));
        }
        if self.seeded.chance(60) {
            traits = traits.sensitive("home", format!("{canary}-home"));
        }
        traits
    }

    fn behaviour(&mut self, index: usize) -> Behaviour {
        let canary = canary(index);
        let name = self
            .seeded
            .word(&["purchase", "purchase", "page_view", "app_open"]);
        let mut behaviour = Behaviour::named(name);
        if name == "purchase" {
            let revenue = number(index)
                + f64::from(u32::try_from(self.seeded.below(40)).expect("small")) / 4.0;
            behaviour = behaviour
                .revenue(revenue, self.seeded.word(&["CNY", "EUR"]))
                .quantity(i64::try_from(self.seeded.below(5)).expect("small"));
            if self.seeded.chance(80) {
                behaviour = behaviour.product(format!("{canary}-product"));
            }
        }
        if self.seeded.chance(60) {
            behaviour = behaviour.property("page", format!("{canary}-page"));
        }
        if self.seeded.chance(20) {
            // Folded before anybody declared it, and an identifier that intake would have taken out.
            behaviour = behaviour
                .property("Symptom", format!("{canary}-open"))
                .property("email", format!("{canary}@example.org"));
        }
        if self.seeded.chance(30) {
            behaviour = behaviour.sensitive("symptom", format!("{canary}-symptom"));
        }
        if self.seeded.chance(20) {
            behaviour = behaviour.sensitive("where", format!("{canary}-where"));
        }
        if self.seeded.chance(25) {
            let purposes = 1 + self.seeded.below(2);
            let denied: Vec<&str> = (0..purposes).map(|_| self.purpose()).collect();
            behaviour = behaviour.denied(denied);
        }
        behaviour
    }

    /// What a stamp may name: a purpose, or what is none.
    fn purpose(&mut self) -> &'static str {
        match self.seeded.below(20) {
            0 => "No Purpose",
            1 => "p_unknown",
            _ => self.seeded.word(&PURPOSES),
        }
    }

    fn membership(&mut self, index: usize) -> AccountMembership {
        let canary = canary(index);
        let account = format!("a{}", self.seeded.below(4));
        if self.seeded.chance(15) {
            return AccountMembership::left(account);
        }
        let mut membership = AccountMembership::joined(account).name(format!("{canary} Ltd"));
        if self.seeded.chance(60) {
            membership = membership
                .industry(self.seeded.word(&["tools", "food", "paper"]))
                .country(self.seeded.word(&["CN", "DE"]));
        }
        if self.seeded.chance(70) {
            membership = membership
                .role(format!("{canary}-role"))
                .buying_role(self.seeded.word(&["decider", "user"]));
        }
        membership
    }

    fn subscription(&mut self, index: usize) -> SubscriptionChange {
        let canary = canary(index);
        let mut change = SubscriptionChange::of(format!("s{}", self.seeded.below(2)));
        if self.seeded.chance(80) {
            change = change
                .plan(format!("{canary}-plan"))
                .status(self.seeded.word(&["active", "paused", "cancelled"]));
        }
        if self.seeded.chance(60) {
            let start = self.now.plus_micros(-self.seeded.between(0, 300 * DAY));
            change = change.amount(number(index), "CNY").started_at(start);
        }
        change
    }
}
