//! Members of a tea shop that does not exist, made from a seed: what they are like, what they did, what they decided.
//!
//! Everything is in the shape in which a shop's back end would send it (`/v1/batch`, `/v1/consents`); names, numbers and
//! addresses are invented. The same seed, count and instant give the same bodies.

use assent_consent::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

const DAY: i64 = 86_400_000_000;

/// City, and how many of a hundred members live there or in a city before it.
const CITIES: [(&str, u32); 8] = [
    ("杭州", 24),
    ("上海", 44),
    ("苏州", 56),
    ("南京", 66),
    ("绍兴", 75),
    ("宁波", 84),
    ("湖州", 92),
    ("嘉兴", 100),
];
const TIERS: [(&str, u32); 3] = [("青叶", 62), ("银毫", 90), ("金芽", 100)];
const FAMILIES: [(&str, u32); 6] = [
    ("green", 38),
    ("white", 52),
    ("oolong", 70),
    ("black", 84),
    ("dark", 92),
    ("scented", 100),
];
const PRODUCTS: [(&str, u32); 8] = [
    ("西湖龙井 50g", 98),
    ("安吉白茶 50g", 88),
    ("碧螺春 50g", 108),
    ("白毫银针 30g", 168),
    ("武夷岩茶 75g", 128),
    ("祁门红茶 100g", 78),
    ("陈皮普洱 200g", 118),
    ("中秋礼盒", 298),
];
const CONCERNS: [(&str, u32); 3] = [("sleep", 50), ("stomach", 85), ("pregnancy", 100)];
const INDUSTRIES: [&str; 5] = [
    "manufacturing",
    "software",
    "finance",
    "hospitality",
    "education",
];
const SIZES: [&str; 4] = ["50-199", "200-499", "500-999", "1000+"];
const BUYING_ROLES: [&str; 3] = ["decision_maker", "influencer", "assistant"];

/// The bodies about one member.
pub struct Member {
    /// Calls for `/v1/batch`.
    pub calls: Vec<Value>,
    /// Decisions and facts for `/v1/consents`.
    pub decisions: Vec<Value>,
}

/// The identifier that the shop knows member `number` by.
pub fn customer_no(number: u32) -> String {
    format!("LS{number:07}")
}

/// Member `number` of the population that `seed` makes, as it stands at `now`.
pub fn member(seed: u64, number: u32, now: Timestamp) -> Member {
    let mut maker = Maker {
        rng: StdRng::seed_from_u64(seed ^ (u64::from(number) << 32)),
        customer: customer_no(number),
        now,
        sent: 0,
        calls: Vec::new(),
        decisions: Vec::new(),
    };
    let joined = maker.rng.random_range(30..900);
    maker.identify(joined);
    maker.behaviour(joined);
    maker.subscription(joined);
    maker.company(number);
    maker.decide(joined);
    Member {
        calls: maker.calls,
        decisions: maker.decisions,
    }
}

struct Maker {
    rng: StdRng,
    customer: String,
    now: Timestamp,
    sent: u32,
    calls: Vec<Value>,
    decisions: Vec<Value>,
}

impl Maker {
    fn one_of<'a>(&mut self, shares: &[(&'a str, u32)]) -> &'a str {
        let drawn = self.rng.random_range(0..100);
        shares
            .iter()
            .find(|(_, below)| drawn < *below)
            .map_or(shares[0].0, |(name, _)| name)
    }

    fn chance(&mut self, of_a_hundred: u32) -> bool {
        self.rng.random_range(0..100) < of_a_hundred
    }

    /// An instant on a day so many days ago.
    fn ago(&mut self, days: i64) -> Timestamp {
        let within = self.rng.random_range(0..DAY);
        self.now.plus_micros(-days * DAY - within)
    }

    fn ahead(&self, days: i64) -> String {
        self.now.plus_micros(days * DAY).to_string()
    }

    fn message_id(&mut self) -> String {
        self.sent += 1;
        format!("{}-{}", self.customer, self.sent)
    }

    fn call(&mut self, mut call: Value, at: Timestamp) {
        call["userId"] = self.customer.clone().into();
        call["messageId"] = self.message_id().into();
        call["timestamp"] = at.to_string().into();
        self.calls.push(call);
    }

    fn track(&mut self, event: &str, at: Timestamp, properties: Value) {
        self.call(
            json!({ "type": "track", "event": event, "properties": properties }),
            at,
        );
    }

    fn identify(&mut self, joined: i64) {
        let at = self.ago(joined);
        let mut traits = json!({
            "city": self.one_of(&CITIES),
            "tier": self.one_of(&TIERS),
            "joined_on": at.to_string()[..10],
            "favourite_family": self.one_of(&FAMILIES),
            "newsletter_language": if self.chance(92) { "zh-CN" } else { "en" },
            "email": format!("{}@members.example", self.customer.to_lowercase()),
            "phone": format!("+86199{:08}", self.rng.random_range(0..100_000_000)),
        });
        if self.chance(20) {
            traits["avoids_caffeine"] = self.chance(35).into();
        }
        self.call(json!({ "type": "identify", "traits": traits }), at);
    }

    /// Some buy often, some long ago, most now and then; looking goes before buying.
    fn behaviour(&mut self, joined: i64) {
        let (orders, newest) = match self.rng.random_range(0..100) {
            0..30 => (self.rng.random_range(0..2), 0),
            30..60 => (self.rng.random_range(1..4), 0),
            60..80 => (self.rng.random_range(3..8), 0),
            80..92 => (self.rng.random_range(3..7), 95),
            _ => (self.rng.random_range(8..16), 0),
        };
        let oldest = joined.min(400);
        for _ in 0..orders {
            let at = self.past(newest.min(oldest - 1), oldest);
            let (product, price) = PRODUCTS[self.rng.random_range(0..PRODUCTS.len())];
            let quantity = if self.chance(80) { 1 } else { 2 };
            let revenue = f64::from(price * quantity);
            self.track(
                "Order Completed",
                at,
                json!({ "revenue": revenue, "currency": "CNY", "quantity": quantity, "product": product }),
            );
        }
        for _ in 0..self.rng.random_range(0..9) {
            let at = self.past(0, oldest.min(60));
            let (product, _) = PRODUCTS[self.rng.random_range(0..PRODUCTS.len())];
            self.track("Product Viewed", at, json!({ "product": product }));
        }
        if self.chance(9) {
            let at = self.past(0, oldest);
            self.track("Tasting Attended", at, json!({ "store": "湖滨" }));
        }
        if self.chance(12) {
            let at = self.past(0, oldest.min(150));
            let concern = self.one_of(&CONCERNS);
            self.track(
                "Health Questionnaire Submitted",
                at,
                json!({ "health_concern": concern }),
            );
        }
    }

    /// An instant between so many days ago and so many days ago.
    fn past(&mut self, newest: i64, oldest: i64) -> Timestamp {
        let days = self.rng.random_range(newest..oldest.max(newest + 1));
        self.ago(days)
    }

    fn subscription(&mut self, joined: i64) {
        if !self.chance(14) {
            return;
        }
        let id = format!("BOX-{}", self.customer);
        let age = joined.min(360);
        let at = self.ago(age);
        let renews = self.rng.random_range(0..30);
        self.track(
            "Subscription Started",
            at,
            json!({
                "subscription_id": id, "plan": "monthly_box", "status": "active", "amount": 99.0,
                "currency": "CNY", "renews_at": self.ahead(renews),
            }),
        );
        if self.chance(30) {
            let at = self.past(0, age.min(300));
            self.track(
                "Subscription Ended",
                at,
                json!({
                    "subscription_id": id, "plan": "monthly_box", "status": "cancelled",
                    "ends_at": at.to_string(),
                }),
            );
        }
    }

    /// One member in twenty-five buys for a company; about eight of them share one.
    fn company(&mut self, number: u32) {
        if !number.is_multiple_of(25) {
            return;
        }
        let company = number / 200;
        let at = self.ago(20);
        let industry = INDUSTRIES[company as usize % INDUSTRIES.len()];
        let size = SIZES[company as usize % SIZES.len()];
        let role = BUYING_ROLES[self.rng.random_range(0..BUYING_ROLES.len())];
        self.call(
            json!({
                "type": "group",
                "groupId": format!("CO-{company:04}"),
                "traits": {
                    "name": format!("示例企业 {company}"), "industry": industry, "employees": size,
                    "country": "CN", "job_title": "行政", "buying_role": role, "department": "综合部",
                },
            }),
            at,
        );
        let share = self.chance(70);
        if share {
            self.grant("account_based_marketing", "business_contacts", 1, 60);
        }
    }

    fn decide(&mut self, joined: i64) {
        if self.chance(96) {
            let mut fact = json!({
                "fact": "contract_started",
                "contract": format!("membership-{}", self.customer),
                "purpose": "membership_service",
            });
            let at = self.ago(joined);
            fact["event_time"] = at.to_string().into();
            fact["starts_at"] = at.to_string().into();
            self.decision(fact);
        }
        if self.chance(70) {
            let year = self.rng.random_range(1950..2016);
            let (month, day) = (self.rng.random_range(1..13), self.rng.random_range(1..29));
            self.decision(
                json!({ "fact": "birth_date", "birth_date": format!("{year}-{month:02}-{day:02}") }),
            );
        }
        self.choose("email_marketing", "membership", 72, 14);
        self.choose("sms_marketing", "membership", 52, 10);
        self.choose("personalised_recommendations", "membership", 60, 12);
        if self.chance(30) {
            // Some of these are older than the 180 days that this consent lasts.
            let days = self.rng.random_range(5..260);
            self.separate(
                "ad_platform_sharing",
                "ad_sharing",
                days,
                json!({ "recipient": "xinghe_ads" }),
            );
        }
        if self.chance(12) {
            let days = self.rng.random_range(5..170);
            self.separate(
                "health_advice",
                "health_advice",
                days,
                json!({ "categories": ["profile", "health"] }),
            );
        }
        if self.chance(3) {
            self.decision(json!({ "purpose": "direct_marketing", "state": "withdrawn" }));
        }
    }

    /// Of a hundred members so many granted; some of those withdrew since; of the others some refused.
    fn choose(&mut self, purpose: &str, notice: &str, granted: u32, withdrew: u32) {
        if self.chance(granted) {
            let old = self.chance(12);
            if old {
                self.grant(purpose, notice, 1, 420);
            } else {
                self.grant(purpose, notice, 2, 250);
            }
            if self.chance(withdrew) {
                self.decision(json!({ "purpose": purpose, "state": "withdrawn" }));
            }
        } else if self.chance(40) {
            self.decision(json!({ "purpose": purpose, "state": "refused" }));
        }
    }

    /// A grant up to so many days old; the version shown is the one in force at the time.
    fn grant(&mut self, purpose: &str, notice: &str, version: u32, oldest: i64) {
        let newest = if version == 1 && oldest > 300 { 300 } else { 1 };
        let at = self.past(newest, oldest);
        self.decision(json!({
            "purpose": purpose, "state": "granted", "act": "checkbox_ticked",
            "notice": { "id": notice, "version": version }, "event_time": at.to_string(),
        }));
    }

    /// A separate consent: an act of its own, for nothing else (PIPL art. 23, 29).
    fn separate(&mut self, purpose: &str, notice: &str, days: i64, scope: Value) {
        let at = self.ago(days);
        let mut decision = json!({
            "purpose": purpose, "state": "granted", "act": "button_pressed", "form": "separate",
            "indication": format!("{purpose}-{}", self.customer),
            "notice": { "id": notice, "version": 1 }, "event_time": at.to_string(),
        });
        if let (Some(decision), Value::Object(scope)) = (decision.as_object_mut(), scope) {
            decision.extend(scope);
        }
        self.decision(decision);
    }

    fn decision(&mut self, mut decision: Value) {
        decision["subject"] = json!({ "customer_no": self.customer });
        decision["message_id"] = self.message_id().into();
        self.decisions.push(decision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_members() {
        let now = Timestamp::parse_rfc3339("2026-11-22T00:00:00Z").unwrap();
        for number in 0..50 {
            let (one, other) = (member(7, number, now), member(7, number, now));
            assert_eq!(one.calls, other.calls);
            assert_eq!(one.decisions, other.decisions);
        }
        assert_ne!(member(7, 1, now).calls, member(8, 1, now).calls);
    }
}
