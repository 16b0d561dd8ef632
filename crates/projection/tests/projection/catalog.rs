//! A catalogue with every type and every measure.

use assent_consent::{Calendar, Category};
use assent_programme::{DerivedTrait, IdentifiedTrait, Measure, TraitCatalog, TraitType};
use assent_projection::Definitions;

pub fn category(name: &str) -> Category {
    Category::parse(name).unwrap()
}

fn identified(name: &str, r#type: TraitType, sensitive: bool) -> IdentifiedTrait {
    IdentifiedTrait {
        name: name.to_owned(),
        r#type,
        category: category(if sensitive { "health" } else { "profile" }),
        sensitive,
        description: String::new(),
    }
}

pub fn derived(name: &str, measure: Measure, window_days: Option<u32>) -> DerivedTrait {
    DerivedTrait {
        name: name.to_owned(),
        event: "Order Completed".to_owned(),
        measure,
        window_days,
        category: category("transaction"),
        sensitive: false,
        description: String::new(),
    }
}

pub fn of(property: &str) -> String {
    property.to_owned()
}

pub fn catalog() -> TraitCatalog {
    let sum = |property: &str| Measure::Sum {
        property: of(property),
    };
    let first = |property: &str| Measure::FirstValue {
        property: of(property),
    };
    let last = |property: &str| Measure::LastValue {
        property: of(property),
    };
    TraitCatalog {
        identified: vec![
            identified("city", TraitType::Text, false),
            identified("score", TraitType::Number, false),
            identified("visits", TraitType::Integer, false),
            identified("vip", TraitType::Boolean, false),
            identified("anniversary", TraitType::Date, false),
            identified("last_login", TraitType::Timestamp, false),
            identified("allergy", TraitType::Text, true),
        ],
        derived: vec![
            derived("purchases_total", Measure::Count, None),
            derived("purchases_30d", Measure::Count, Some(30)),
            derived("revenue_total", sum("revenue"), None),
            derived("revenue_30d", sum("revenue"), Some(30)),
            derived("items", sum("quantity"), None),
            DerivedTrait {
                sensitive: true,
                ..derived("doses", sum("dose"), None)
            },
            // Not sensitive, so what is sealed as sensitive is not open to it.
            derived("doses_unsealed", sum("dose"), None),
            derived("first_purchase", Measure::FirstAt, None),
            derived("last_purchase", Measure::LastAt, None),
            derived("last_purchase_30d", Measure::LastAt, Some(30)),
            derived("days_since_purchase", Measure::DaysSinceLast, None),
            derived("first_product", first("product"), None),
            derived("last_product", last("product"), None),
            derived("last_coupon_30d", last("coupon"), Some(30)),
        ],
    }
}

pub fn definitions() -> Definitions {
    Definitions::new(catalog(), Calendar::default())
}
