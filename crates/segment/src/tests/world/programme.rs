//! The programme of the shared world: four purposes on two bases, one notice, a few traits, segments and principals.

use std::collections::BTreeMap;

use assent_consent::{Notice, Purpose, PurposeId};
use assent_programme::{
    Principal, Programme, Role, SegmentDefinition, SourceDefinition, TraitCatalog, token_sha256,
};
use serde_json::json;

fn purposes() -> Vec<Purpose> {
    let base = |id: &str, categories: serde_json::Value| {
        json!({
            "id": id, "version": 1, "title": {"en": id}, "basis": "consent",
            "categories": categories, "channels": ["email"], "default_retention_days": 400,
        })
    };
    let mut marketing = base("marketing", json!(["profile", "behaviour", "transaction"]));
    marketing["retention_days"] = json!({"behaviour": 300});
    marketing["export_namespaces"] = json!(["customer_number"]);
    let mut wellness = base("wellness", json!(["profile", "behaviour", "health"]));
    wellness["sensitive"] = json!(["health"]);
    let sales = base("sales", json!(["account", "profile", "subscription"]));
    let mut audit = base(
        "audit",
        json!([
            "profile",
            "behaviour",
            "transaction",
            "account",
            "subscription"
        ]),
    );
    audit["basis"] = json!("legal_duty");
    audit["citation"] = json!("PIPL art. 54");
    audit["channels"] = json!([]);
    [marketing, wellness, sales, audit]
        .into_iter()
        .map(|value| serde_json::from_value(value).expect("a purpose"))
        .collect()
}

fn notice() -> Notice {
    let of = |categories: serde_json::Value| {
        json!({"method": "analysis and mail", "categories": categories, "channels": ["email"],
               "retention": "400 days, then deleted"})
    };
    let mut wellness = of(json!(["profile", "behaviour"]));
    wellness["sensitive"] =
        json!({"health": {"necessity": "to warn", "impact": "tells of health"}});
    let mut audit = of(json!([
        "profile",
        "behaviour",
        "transaction",
        "account",
        "subscription"
    ]));
    audit["channels"] = json!([]);
    serde_json::from_value(json!({
        "id": "privacy", "version": 1, "change": "material",
        "effective_from": "2024-01-01T00:00:00Z",
        "handler": {"name": "Assent Test Ltd", "contact": "privacy@example.org"},
        "rights": "write to us",
        "purposes": {
            "marketing": of(json!(["profile", "behaviour", "transaction"])),
            "wellness": wellness,
            "sales": of(json!(["account", "profile", "subscription"])),
            "audit": audit,
        },
        "texts": {"en": "We handle your data."},
    }))
    .expect("a notice")
}

fn traits() -> TraitCatalog {
    let told = |name: &str, r#type: &str, category: &str, sensitive: bool| {
        json!({"name": name, "type": r#type, "category": category, "sensitive": sensitive,
               "description": name})
    };
    let derived = |name: &str, measure: serde_json::Value, window: Option<u32>| {
        json!({"name": name, "event": "purchase", "measure": measure, "window_days": window,
               "category": "transaction", "sensitive": false, "description": name})
    };
    serde_json::from_value(json!({
        "identified": [
            told("city", "text", "profile", false),
            told("note", "text", "profile", false),
            told("ltv", "number", "transaction", false),
            told("allergy", "text", "health", true),
        ],
        "derived": [
            derived("purchases_90d", json!("count"), Some(90)),
            derived("purchases_total", json!("count"), None),
            derived("revenue_total", json!({"sum": {"property": "revenue"}}), None),
            derived("last_purchase_at", json!("last_at"), None),
        ],
    }))
    .expect("a catalogue")
}

fn segments() -> Vec<SegmentDefinition> {
    let of = |name: &str, purpose: &str, query: &str| {
        serde_json::from_value(json!({
            "name": name, "version": 0, "purpose": purpose, "channel": null, "recipient": null,
            "description": "", "query": query, "query_line": 3, "query_column": 6,
        }))
        .expect("a segment")
    };
    vec![
        of(
            "buyers",
            "marketing",
            "SELECT member_id FROM members WHERE purchases_total >= 1",
        ),
        of(
            "patients",
            "wellness",
            "SELECT member_id FROM members WHERE allergy IS NOT NULL",
        ),
        of("firms", "sales", "SELECT account_id FROM accounts"),
    ]
}

/// A source that declares what others send; it is retired before anybody asks.
pub fn retired_source() -> SourceDefinition {
    serde_json::from_value(json!({
        "id": "till", "kind": "server", "description": "the till",
        "write_key_sha256": token_sha256("till"), "sample": false,
        "namespaces": {"user_id": "customer_number", "anonymous_id": "device"},
        "identifiers": {"till_card": "customer_number"}, "origins": [], "gpc_purposes": [],
        "consent_categories": {}, "sensitive_properties": {"mood": "health"},
        "account_traits": {"name": "name", "industry": "industry", "size_band": "size_band",
            "country": "country", "role": "role", "buying_role": "buying_role",
            "department": "department"},
    }))
    .expect("a source")
}

pub fn programme() -> Programme {
    let notice = notice();
    Programme {
        purposes: purposes().into_iter().map(|p| (p.id.clone(), p)).collect(),
        notices: BTreeMap::from([(notice.reference(), notice)]),
        segments: segments(),
        sources: vec![
            serde_json::from_value(json!({
                "id": "shop", "kind": "server", "description": "the shop",
                "write_key_sha256": token_sha256("write"), "sample": false,
                "namespaces": {"user_id": "customer_number", "anonymous_id": "device"},
                "identifiers": {}, "origins": [], "gpc_purposes": [], "consent_categories": {},
                "sensitive_properties": {"symptom": "health", "health_form": "health",
                    "fingerprint": "biometric"},
                "account_traits": {"name": "name", "industry": "industry", "size_band": "size_band",
                    "country": "country", "role": "role", "buying_role": "buying_role",
                    "department": "department"},
            }))
            .expect("a source"),
        ],
        traits: traits(),
        ..Programme::default()
    }
}

pub fn principals() -> Vec<Principal> {
    let of = |name: &str, role, purposes: &[&str]| Principal {
        name: name.to_owned(),
        token_sha256: token_sha256(name),
        role,
        purposes: purposes
            .iter()
            .map(|purpose| PurposeId::parse(purpose).expect("a purpose"))
            .collect(),
        revoked: false,
    };
    vec![
        of(
            "analyst",
            Role::Analyst,
            &["marketing", "wellness", "sales"],
        ),
        of("narrow", Role::Analyst, &["sales"]),
        of("officer", Role::Officer, &["marketing", "audit"]),
        of("operator", Role::Operator, &[]),
    ]
}
