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
