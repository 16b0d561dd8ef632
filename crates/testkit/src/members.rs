//! A believable membership programme: retail members in China, as their shops and apps would post
//! them.
//!
//! Everything follows from a seed and a member's number, so a stream can be cut and resumed
//! anywhere. The people do not exist: names are left out, mail addresses end in `.invalid`, phone
//! numbers lie in one small made-up range. Bodies are those of `POST /v1/batch` (identify, track)
//! and `POST /v1/consents`. Nothing here is for tests only.

use std::collections::BTreeMap;

use assent_consent::Timestamp;
use serde_json::{Map, Value, json};

use crate::seeded::Seeded;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// Where members live, each as often as it is listed by weight.
const CITIES: [(&str, &str, u64); 16] = [
    ("Shanghai", "Shanghai", 14),
    ("Beijing", "Beijing", 12),
    ("Shenzhen", "Guangdong", 10),
    ("Guangzhou", "Guangdong", 10),
    ("Chengdu", "Sichuan", 9),
    ("Hangzhou", "Zhejiang", 8),
    ("Chongqing", "Chongqing", 6),
    ("Wuhan", "Hubei", 6),
    ("Nanjing", "Jiangsu", 5),
    ("Suzhou", "Jiangsu", 5),
    ("Xi'an", "Shaanxi", 4),
    ("Qingdao", "Shandong", 3),
    ("Changsha", "Hunan", 3),
    ("Xiamen", "Fujian", 2),
    ("Kunming", "Yunnan", 2),
    ("Urumqi", "Xinjiang", 1),
];

/// What is sold: the category, its price in CNY from and to, and how often.
const SHELVES: [(&str, i64, i64, u64); 8] = [
    ("tea", 38, 480, 20),
    ("skincare", 89, 900, 18),
    ("snacks", 12, 160, 22),
    ("kitchen", 45, 700, 12),
    ("baby", 39, 520, 9),
    ("sports", 79, 1_200, 8),
    ("books", 20, 120, 7),
    ("health", 49, 600, 4),
];

/// Tiers, with the share of members and how busy they are.
const TIERS: [(&str, u64, i64); 4] = [
    ("bronze", 58, 1),
    ("silver", 26, 2),
    ("gold", 12, 4),
    ("black", 4, 8),
];

/// One thing that members are asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The purpose.
    pub purpose: String,
    /// The notice version shown, as `id@version`.
    pub notice: String,
    /// `general`, `separate` or `written`.
    pub form: String,
    /// The one channel asked for, if any.
    pub channel: Option<String>,
    /// The recipient asked for, if any (art. 23).
    pub recipient: Option<String>,
    /// The categories named, where the form needs them named.
    pub categories: Vec<String>,
    /// How many of a hundred members say yes.
    pub grant_percent: u64,
}

/// What members are asked for, and how they are named.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The last instant at which anything happens; members joined in the two years before.
    pub now: Timestamp,
    /// The namespace of customer numbers.
    pub customer: String,
    /// The namespace of devices.
    pub device: String,
    /// The purposes that need consent.
    pub asked: Vec<Asked>,
    /// The contract that every member concludes on joining.
    pub contract: String,
}

impl Default for Setting {
    fn default() -> Self {
        let asked = |purpose: &str, channel: Option<&str>, grant_percent| Asked {
            purpose: purpose.to_owned(),
            notice: "membership_terms@1".to_owned(),
            form: "general".to_owned(),
            channel: channel.map(str::to_owned),
            recipient: None,
            categories: Vec::new(),
            grant_percent,
        };
        Self {
            now: Timestamp::from_micros(1_772_294_400 * SECOND),
            customer: "customer".to_owned(),
            device: "device".to_owned(),
            asked: vec![
                asked("email_marketing", Some("email"), 64),
                asked("sms_marketing", Some("sms"), 57),
                asked("personalised_offers", None, 60),
                asked("product_research", None, 62),
            ],
            contract: "membership".to_owned(),
        }
    }
}

/// One member and everything their clients post.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Counted from 0.
    pub number: u64,
    /// Identifiers, by namespace.
    pub identifiers: BTreeMap<String, String>,
    /// What is known of the member.
    pub traits: Map<String, Value>,
    /// `identify` bodies, in order of time.
    pub identifies: Vec<Value>,
    /// `track` bodies, in order of time.
    pub tracks: Vec<Value>,
    /// `/v1/consents` bodies, decisions and facts, in order of time.
    pub consents: Vec<Value>,
}

/// The first `n` members of the seed, asked what [`Setting::default`] asks.
pub fn members(seed: u64, n: u64) -> impl Iterator<Item = Member> {
    members_of(Setting::default(), seed, n)
}

/// The first `n` members of the seed.
pub fn members_of(setting: Setting, seed: u64, n: u64) -> impl Iterator<Item = Member> {
    (0..n).map(move |number| member(&setting, seed, number))
}

/// One member of the seed.
#[must_use]
pub fn member(setting: &Setting, seed: u64, number: u64) -> Member {
    let mixed = seed ^ number.wrapping_add(1).wrapping_mul(0xd134_2543_de82_ef95);
    let mut seeded = Seeded::new(mixed);
    let tier = *weighted(&mut seeded, &TIERS, |tier| tier.1);
    let joined = setting.now.plus_micros(-seeded.between(2 * DAY, 730 * DAY));
    let mut life = Life {
        setting,
        seeded,
        member: Member {
            number,
            identifiers: BTreeMap::new(),
            traits: Map::new(),
            identifies: Vec::new(),
            tracks: Vec::new(),
            consents: Vec::new(),
        },
        customer: format!("C{:08}", number * 7 + 10_000_000),
        device: None,
        joined,
        busy: tier.2,
        child: false,
        messages: 0,
    };
    life.who(tier.0);
    life.joins();
    life.decides();
    life.lives();
    life.member
}

fn weighted<'a, T>(seeded: &mut Seeded, items: &'a [T], weight: impl Fn(&T) -> u64) -> &'a T {
    let mut left = seeded.below(items.iter().map(&weight).sum());
    for item in items {
        let share = weight(item);
        if left < share {
            return item;
        }
        left -= share;
    }
    &items[0]
}

struct Life<'s> {
    setting: &'s Setting,
    seeded: Seeded,
    member: Member,
    customer: String,
    device: Option<String>,
    joined: Timestamp,
    busy: i64,
    child: bool,
    messages: u64,
}

impl Life<'_> {
    fn who(&mut self, tier: &str) {
        let number = self.member.number;
        let (city, province, _) = *weighted(&mut self.seeded, &CITIES, |city| city.2);
        let (shelf, ..) = *weighted(&mut self.seeded, &SHELVES, |shelf| shelf.3);
        let identifiers = &mut self.member.identifiers;
        identifiers.insert(self.setting.customer.clone(), self.customer.clone());
        identifiers.insert(
            "email".to_owned(),
            format!("member{number}@post{}.invalid", number % 7),
        );
        identifiers.insert(
            "phone".to_owned(),
            format!("+86199{:08}", number % 100_000_000),
        );
        if self.seeded.chance(45) {
            let device = format!("d-{:016x}", self.seeded.bits());
            self.member
                .identifiers
                .insert(self.setting.device.clone(), device.clone());
            self.device = Some(device);
        }
        self.child = self.seeded.chance(1);
        let traits = &mut self.member.traits;
        traits.insert("city".to_owned(), json!(city));
        traits.insert("province".to_owned(), json!(province));
        traits.insert("tier".to_owned(), json!(tier));
        traits.insert("language".to_owned(), json!("zh-CN"));
        traits.insert("joined_at".to_owned(), json!(self.joined.to_string()));
        traits.insert("favourite_shelf".to_owned(), json!(shelf));
        traits.insert(
            "points".to_owned(),
            json!(self.seeded.between(0, 2_000) * self.busy),
        );
        if self.seeded.chance(5) {
            let note = self
                .seeded
                .word(&["pregnant", "lactose intolerant", "diabetic"]);
            traits.insert("health_note".to_owned(), json!(note));
        }
    }

    /// Browsing before joining, then the identify call that links the device to the person.
    fn joins(&mut self) {
        if let Some(device) = self.device.clone() {
            for _ in 0..self.seeded.between(1, 7) {
                let at = self
                    .joined
                    .plus_micros(-self.seeded.between(HOUR, 20 * DAY));
                let (name, properties) = self.looks();
                self.track(at, name, properties, Some(&device));
            }
        }
        let mut traits = self.member.traits.clone();
        traits.insert("email".to_owned(), json!(self.member.identifiers["email"]));
        traits.insert("phone".to_owned(), json!(self.member.identifiers["phone"]));
        let message = self.message();
        let mut body = json!({
            "type": "identify",
            "messageId": message,
            "timestamp": self.joined.to_string(),
            "userId": self.customer,
            "traits": traits,
        });
        if let Some(device) = &self.device {
            body["anonymousId"] = json!(device);
        }
        self.member.identifies.push(body);
        let contract = json!({
            "fact": "contract_started",
            "contract": format!("{}-{}", self.setting.contract, self.customer),
            "starts_at": self.joined.to_string(),
        });
        self.states(self.joined, contract);
        let day = if self.child {
            "2016-09-01"
        } else {
            "1988-04-12"
        };
        if self.child || self.seeded.chance(55) {
            let birth = json!({"fact": "birth_date", "birth_date": day});
            self.states(self.joined, birth);
        }
    }

    fn decides(&mut self) {
        for asked in self.setting.asked.clone() {
            let at = self
                .joined
                .plus_micros(self.seeded.between(SECOND, 40 * SECOND));
            let answer = self.seeded.below(100);
            if self.child || answer >= asked.grant_percent {
                // Half of those who do not agree say so; the others say nothing.
                if self.seeded.chance(50) {
                    self.decision(at, &asked, "refused", None);
                }
                continue;
            }
            let validity = self.seeded.between(60, 900) * DAY;
            let expires = self.seeded.chance(20).then(|| at.plus_micros(validity));
            self.decision(at, &asked, "granted", expires);
            let since = self.setting.now.micros() - at.micros();
            if self.seeded.chance(12) {
                let then = at.plus_micros(self.seeded.between(HOUR, since.max(2 * HOUR)));
                self.decision(then.min(self.setting.now), &asked, "withdrawn", None);
            }
        }
        if self.seeded.chance(1) {
            let restricted = json!({"fact": "restricted"});
            let at = self.some_day();
            self.states(at, restricted);
        }
        if self.seeded.chance(4) {
            let ended = json!({
                "fact": "contract_ended",
                "contract": format!("{}-{}", self.setting.contract, self.customer),
            });
            let at = self.some_day();
            self.states(at, ended);
        }
        self.member
            .consents
            .sort_by(|a, b| a["event_time"].as_str().cmp(&b["event_time"].as_str()));
    }

    /// Visits, carts, orders and newsletters since joining.
    fn lives(&mut self) {
        let days = (self.setting.now.micros() - self.joined.micros()) / DAY;
        let visits = self.seeded.between(0, 2 + days * self.busy / 20);
        for _ in 0..visits.min(400) {
            let at = self.some_day();
            let (name, properties) = self.looks();
            self.track(at, name, properties, None);
            if self.seeded.chance(35) {
                let (_, cart) = self.looks();
                let at = at.plus_micros(self.seeded.between(20, 600) * SECOND);
                self.track(at, "Product Added", cart, None);
                if self.seeded.chance(45) {
                    let order = self.order();
                    let at = at.plus_micros(self.seeded.between(60, 1_800) * SECOND);
                    self.track(at, "Order Completed", order, None);
                }
            }
            if self.seeded.chance(15) {
                let at = self.some_day();
                let issue = json!({"issue": format!("2026-{:02}", self.seeded.between(1, 53))});
                self.track(at, "Newsletter Opened", issue, None);
            }
        }
        self.member
            .tracks
            .sort_by(|a, b| a["timestamp"].as_str().cmp(&b["timestamp"].as_str()));
    }

    /// An instant since joining; evenings in Shanghai are busier than nights.
    fn some_day(&mut self) -> Timestamp {
        let since = self.setting.now.micros() - self.joined.micros();
        let day = self.seeded.between(0, (since / DAY).max(1));
        let hour = *self.seeded.pick(&[
            8, 9, 10, 11, 12, 12, 13, 15, 17, 18, 19, 19, 20, 20, 20, 21, 21, 21, 22, 23, 0,
        ]);
        let within = hour * HOUR + self.seeded.between(0, HOUR);
        // Whole days since joining, so that nothing lies before it; Shanghai is eight hours ahead.
        let local_midnight = (self.joined.micros() + 8 * HOUR).div_euclid(DAY) * DAY - 8 * HOUR;
        let at = Timestamp::from_micros(local_midnight + day * DAY + within);
        at.max(self.joined.plus_micros(HOUR)).min(self.setting.now)
    }

    fn looks(&mut self) -> (&'static str, Value) {
        let (shelf, low, high, _) = *weighted(&mut self.seeded, &SHELVES, |shelf| shelf.3);
        let product = json!({
            "product_id": format!("{shelf}-{:03}", self.seeded.below(120)),
            "category": shelf,
            "price": self.seeded.between(low, high),
            "currency": "CNY",
        });
        ("Product Viewed", product)
    }

    fn order(&mut self) -> Value {
        let lines = self.seeded.between(1, 4);
        let mut revenue = 0;
        let mut products = Vec::new();
        for _ in 0..lines {
            let (_, mut product) = self.looks();
            let quantity = self.seeded.between(1, 4);
            revenue += product["price"].as_i64().unwrap_or(0) * quantity;
            product["quantity"] = json!(quantity);
            products.push(product);
        }
        json!({
            "order_id": format!("o-{:012x}", self.seeded.bits() >> 16),
            "revenue": revenue,
            "currency": "CNY",
            "quantity": lines,
            "products": products,
        })
    }

    fn message(&mut self) -> String {
        self.messages += 1;
        format!("m-{}-{}", self.member.number, self.messages)
    }

    fn track(&mut self, at: Timestamp, event: &str, properties: Value, device: Option<&str>) {
        let at = at.min(self.setting.now);
        let mut body = json!({
            "type": "track",
            "messageId": self.message(),
            "timestamp": at.to_string(),
            "event": event,
            "properties": properties,
        });
        match device {
            Some(device) => body["anonymousId"] = json!(device),
            None => body["userId"] = json!(self.customer),
        }
        self.member.tracks.push(body);
    }

    fn states(&mut self, at: Timestamp, mut fact: Value) {
        fact["subject"] = json!({ &self.setting.customer: self.customer });
        fact["event_time"] = json!(at.to_string());
        fact["message_id"] = json!(self.message());
        self.member.consents.push(fact);
    }

    fn decision(&mut self, at: Timestamp, asked: &Asked, state: &str, expires: Option<Timestamp>) {
        let mut body = json!({
            "purpose": asked.purpose,
            "state": state,
            "notice": asked.notice,
            "form": asked.form,
            "act": if state == "withdrawn" { "settings_switch" } else { "checkbox_ticked" },
            "authenticated": true,
            "language": "zh-CN",
            "collection_point": self.seeded.word(&["app", "mini_programme", "till", "web"]),
        });
        if state == "granted" {
            if let Some(channel) = &asked.channel {
                body["channel"] = json!(channel);
            }
            if let Some(recipient) = &asked.recipient {
                body["recipient"] = json!(recipient);
            }
            if !asked.categories.is_empty() {
                body["categories"] = json!(asked.categories);
            }
            if asked.form != "general" {
                body["indication"] = json!(format!("{}-{}", self.customer, asked.purpose));
            }
            if let Some(expires) = expires {
                body["expires_at"] = json!(expires.to_string());
            }
        }
        self.states(at, body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_members_again() {
        let once: Vec<Member> = members(3, 20).collect();
        assert!(members(3, 20).eq(once.iter().cloned()));
        assert_eq!(member(&Setting::default(), 3, 17), once[17]);
        assert!(members(4, 20).ne(once));
    }

    #[test]
    fn about_six_in_ten_grant_and_everything_lies_between_joining_and_now() {
        let setting = Setting::default();
        let mut granted = BTreeMap::<String, u64>::new();
        let (mut withdrawn, mut expiring, mut sensitive, mut orders) = (0, 0, 0, 0);
        for member in members(1, 1_000) {
            for body in &member.consents {
                let at: Timestamp = body["event_time"].as_str().unwrap().parse().unwrap();
                assert!(at <= setting.now, "{body}");
                match body["state"].as_str() {
                    Some("granted") => {
                        *granted.entry(body["purpose"].to_string()).or_default() += 1;
                        expiring += u64::from(body.get("expires_at").is_some());
                    }
                    Some("withdrawn") => withdrawn += 1,
                    Some(_) | None => {}
                }
            }
            for body in &member.tracks {
                let at: Timestamp = body["timestamp"].as_str().unwrap().parse().unwrap();
                assert!(at <= setting.now, "{body}");
                orders += u64::from(body["event"] == "Order Completed");
            }
            sensitive += u64::from(member.traits.contains_key("health_note"));
        }
        assert_eq!(granted.len(), setting.asked.len());
        for (purpose, count) in granted {
            assert!((500..700).contains(&count), "{purpose}: {count}");
        }
        assert!(
            withdrawn > 200 && expiring > 300 && sensitive > 20,
            "{withdrawn} {expiring} {sensitive}"
        );
        assert!(orders > 2_000, "{orders}");
    }
}
