//! What a notice lacks: the mandatory contents of art. 17, 18, 23 and 30.

use std::fmt;

use crate::notice::{Handler, Notice, NoticedPurpose, RecipientStatement, SensitiveStatement};

/// One thing that a notice must say and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deficiency {
    /// The field, as a path, such as `purposes.email_marketing.retention`.
    pub field: String,
    /// The article of the PIPL that asks for it, such as `17(1)(2)`.
    pub article: &'static str,
    /// What to write.
    pub fix: &'static str,
}

impl fmt::Display for Deficiency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (art. {})", self.field, self.fix, self.article)
    }
}

impl std::error::Error for Deficiency {}

impl Notice {
    /// Everything the notice must say and does not; empty when it can be published.
    ///
    /// A notice with an exemption (art. 18) must cite the law it relies on; the rest of its
    /// contents is still asked for, since it is what people are told once the exemption ends.
    #[must_use]
    pub fn deficiencies(&self) -> Vec<Deficiency> {
        let mut found = Findings(Vec::new());
        if self.version == 0 {
            found.add("version", "17(2)", "count versions from 1");
        }
        let Handler { name, contact } = &self.handler;
        found.text("handler.name", name, "17(1)(1)", "name the handler");
        found.text(
            "handler.contact",
            contact,
            "17(1)(1)",
            "say how to reach the handler",
        );
        found.text(
            "rights",
            &self.rights,
            "17(1)(3)",
            "say how people exercise their rights and by what procedure",
        );
        if self.purposes.is_empty() {
            found.add("purposes", "17(1)(2)", "list the purposes of handling");
        }
        for (purpose, statement) in &self.purposes {
            found.purpose(&format!("purposes.{purpose}"), statement);
        }
        if self.texts.is_empty() {
            found.add(
                "texts",
                "17(1)",
                "add the text shown, in at least one language",
            );
        }
        for (language, text) in &self.texts {
            found.text(
                &format!("texts.{language}"),
                text,
                "17(1)",
                "write the text shown or leave the language out",
            );
        }
        if let Some(citation) = &self.exemption {
            found.text(
                "exemption",
                citation,
                "18",
                "cite the law that allows not telling people, or leave the field out",
            );
        }
        found.0
    }
}

struct Findings(Vec<Deficiency>);

impl Findings {
    fn add(&mut self, field: &str, article: &'static str, fix: &'static str) {
        self.0.push(Deficiency {
            field: field.to_owned(),
            article,
            fix,
        });
    }

    fn text(&mut self, field: &str, text: &str, article: &'static str, fix: &'static str) {
        if text.trim().is_empty() {
            self.add(field, article, fix);
        }
    }

    fn purpose(&mut self, path: &str, statement: &NoticedPurpose) {
        let method = format!("{path}.method");
        self.text(
            &method,
            &statement.method,
            "17(1)(2)",
            "say how data is handled",
        );
        self.text(
            &format!("{path}.retention"),
            &statement.retention,
            "17(1)(2)",
            "say how long data is kept, or how that is determined, and what happens then",
        );
        if statement.categories.is_empty() && statement.sensitive.is_empty() {
            self.add(
                &format!("{path}.categories"),
                "17(1)(2)",
                "list the categories of data handled",
            );
        }
        for (category, sensitive) in &statement.sensitive {
            self.sensitive(&format!("{path}.sensitive.{category}"), sensitive);
        }
        for (recipient, provided) in &statement.recipients {
            self.recipient(&format!("{path}.recipients.{recipient}"), provided);
        }
    }

    fn sensitive(&mut self, path: &str, statement: &SensitiveStatement) {
        self.text(
            &format!("{path}.necessity"),
            &statement.necessity,
            "30",
            "say why this sensitive category is necessary",
        );
        self.text(
            &format!("{path}.impact"),
            &statement.impact,
            "30",
            "say how handling it affects people's rights and interests",
        );
    }

    fn recipient(&mut self, path: &str, statement: &RecipientStatement) {
        let RecipientStatement {
            name,
            contact,
            purpose,
            method,
            categories,
        } = statement;
        for (field, text, fix) in [
            ("name", name, "name the recipient"),
            ("contact", contact, "say how to reach the recipient"),
            (
                "purpose",
                purpose,
                "say what the recipient uses the data for",
            ),
            ("method", method, "say how the recipient handles the data"),
        ] {
            self.text(&format!("{path}.{field}"), text, "23", fix);
        }
        if categories.is_empty() {
            self.add(
                &format!("{path}.categories"),
                "23",
                "list the categories of data provided",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: &str = r#"{
        "id": "terms", "version": 1, "change": "material",
        "effective_from": "2026-01-01T00:00:00Z",
        "handler": { "name": "Example Trading", "contact": "privacy@example.com" },
        "rights": "Write to us.",
        "texts": { "en": "The terms." },
        "purposes": {
            "sharing": {
                "method": "Provided to partners", "categories": ["contact"],
                "retention": "One year, then deleted",
                "sensitive": { "health": { "necessity": "Needed", "impact": "Reveals" } },
                "recipients": { "bank": {
                    "name": "Example Bank", "contact": "privacy@bank.example",
                    "purpose": "Cards", "method": "Letters", "categories": ["contact"]
                } }
            }
        }
    }"#;

    fn deficiencies(text: &str) -> Vec<(String, &'static str)> {
        let notice: Notice = serde_json::from_str(text).unwrap();
        let found = notice.deficiencies();
        found.into_iter().map(|d| (d.field, d.article)).collect()
    }

    #[test]
    fn a_complete_notice_lacks_nothing() {
        assert_eq!(deficiencies(COMPLETE), []);
    }

    #[test]
    fn each_text_that_is_missing_is_named_with_its_article() {
        let sharing = "purposes.sharing";
        for (text, field, article) in [
            ("Example Trading", "handler.name", "17(1)(1)"),
            ("privacy@example.com", "handler.contact", "17(1)(1)"),
            ("Write to us.", "rights", "17(1)(3)"),
            ("The terms.", "texts.en", "17(1)"),
            (
                "Provided to partners",
                &format!("{sharing}.method"),
                "17(1)(2)",
            ),
            (
                "One year, then deleted",
                &format!("{sharing}.retention"),
                "17(1)(2)",
            ),
            (
                "Needed",
                &format!("{sharing}.sensitive.health.necessity"),
                "30",
            ),
            (
                "Reveals",
                &format!("{sharing}.sensitive.health.impact"),
                "30",
            ),
            (
                "Example Bank",
                &format!("{sharing}.recipients.bank.name"),
                "23",
            ),
            (
                "privacy@bank.example",
                &format!("{sharing}.recipients.bank.contact"),
                "23",
            ),
            ("Cards", &format!("{sharing}.recipients.bank.purpose"), "23"),
            (
                "Letters",
                &format!("{sharing}.recipients.bank.method"),
                "23",
            ),
        ] {
            for blank in ["", " "] {
                let notice = COMPLETE.replace(&format!("\"{text}\""), &format!("\"{blank}\""));
                assert_eq!(deficiencies(&notice), [(field.to_owned(), article)]);
            }
        }
    }

    #[test]
    fn lists_that_are_empty_and_a_blank_exemption_are_named() {
        let mut notice: Notice = serde_json::from_str(COMPLETE).unwrap();
        notice.version = 0;
        notice.texts.clear();
        notice.exemption = Some("  ".to_owned());
        let sharing = notice.purposes.values_mut().next().unwrap();
        sharing.categories.clear();
        sharing.sensitive.clear();
        sharing
            .recipients
            .values_mut()
            .next()
            .unwrap()
            .categories
            .clear();
        let fields: Vec<_> = notice.deficiencies().into_iter().map(|d| d.field).collect();
        let expected = [
            "version",
            "purposes.sharing.categories",
            "purposes.sharing.recipients.bank.categories",
            "texts",
            "exemption",
        ];
        assert_eq!(fields, expected);
        notice.purposes.clear();
        let found = notice.deficiencies();
        assert!(found.iter().any(|d| d.field == "purposes"));
        let shown = found[0].to_string();
        assert_eq!(shown, "version: count versions from 1 (art. 17(2))");
    }
}
